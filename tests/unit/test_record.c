/*
 * Records and changes: immutable values that are shared by counting, and what a changeset owns.
 */
#include "broker/change.h"
#include "broker/record.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

static struct key_record *key_record(void) {
    struct key_record *record = key_record_new();
    record->id = 12;
    record->pool_id = 3;
    record->slot = 4;
    record->weight = 7;
    record->expires_at_ms = 5;
    record->created_at_ms = 6;
    record->updated_at_ms = 8;
    record_set_string(&record->name, "prod");
    record_set_string(&record->account, "acme");
    record_set_string(&record->note, "a note");
    record_set_string(&record->config, "{\"api_key\":\"sk-1\"}");
    return record;
}

Test(record, a_new_one_has_empty_texts_and_recovers_nothing) {
    struct key_record *key = key_record_new();
    cr_assert_eq(key->refs, 1);
    cr_assert_eq(key->weight, 1);
    cr_assert_str_eq(key->name, "");
    cr_assert_str_eq(key->account, "");
    cr_assert_str_eq(key->config, "");
    struct pool_record *pool = pool_record_new();
    cr_assert_eq(pool->strategy, STRATEGY_PRIORITY);
    cr_assert_str_eq(pool->exceeded_recovery, "never");
    cr_assert_str_eq(pool->error_recovery, "never");
    cr_assert_str_eq(pool->base_url, "");
    key_record_unref(key);
    pool_record_unref(pool);
}

Test(record, a_copy_says_the_same_and_shares_nothing) {
    struct key_record *key = key_record(), *copy = key_record_copy(key);
    cr_assert_eq(copy->refs, 1);
    cr_assert(copy->id == 12 && copy->pool_id == 3 && copy->slot == 4 && copy->weight == 7);
    cr_assert(copy->expires_at_ms == 5 && copy->created_at_ms == 6 && copy->updated_at_ms == 8);
    cr_assert_str_eq(copy->config, key->config);
    cr_assert_str_eq(copy->note, "a note");
    record_set_string(&copy->name, "other");
    record_set_string(&copy->account, "globex");
    cr_assert_str_eq(key->name, "prod");
    cr_assert_str_eq(key->account, "acme");
    cr_assert_null(key_record_unref(key));
    cr_assert_str_eq(copy->config, "{\"api_key\":\"sk-1\"}", "it outlives the original");
    key_record_unref(copy);
}

Test(record, a_pools_copy_says_the_same) {
    struct pool_record *pool = pool_record_new();
    pool->id = 1;
    pool->default_key_id = 2;
    pool->revision = 3;
    pool->created_at_ms = 4;
    pool->strategy = STRATEGY_SPREAD;
    record_set_string(&pool->name, "main");
    record_set_string(&pool->vendor, "openai");
    record_set_string(&pool->group, "workers");
    record_set_string(&pool->exceeded_recovery, "1h");
    record_set_string(&pool->error_recovery, "2h");
    record_set_string(&pool->base_url, "https://x.example");
    struct pool_record *copy = pool_record_copy(pool);
    pool_record_unref(pool);
    cr_assert(copy->id == 1 && copy->default_key_id == 2 && copy->revision == 3);
    cr_assert(copy->created_at_ms == 4 && copy->strategy == STRATEGY_SPREAD);
    cr_assert_str_eq(copy->name, "main");
    cr_assert_str_eq(copy->vendor, "openai");
    cr_assert_str_eq(copy->group, "workers");
    cr_assert_str_eq(copy->exceeded_recovery, "1h");
    cr_assert_str_eq(copy->error_recovery, "2h");
    cr_assert_str_eq(copy->base_url, "https://x.example");
    pool_record_unref(copy);
}

Test(record, lives_as_long_as_its_last_reference) {
    struct key_record *key = key_record();
    cr_assert_eq(key_record_ref(key), key);
    cr_assert_eq(key->refs, 2);
    key_record_unref(key);
    cr_assert_str_eq(key->name, "prod");
    cr_assert_null(key_record_unref(key));
    cr_assert_null(key_record_unref(NULL));
    cr_assert_null(pool_record_unref(NULL));
}

Test(record, a_string_may_be_replaced_by_a_part_of_itself) {
    struct key_record *key = key_record();
    record_set_string(&key->name, key->name + 2);
    cr_assert_str_eq(key->name, "od");
    key_record_unref(key);
}

Test(change, a_changeset_keeps_what_it_names_until_it_is_dropped) {
    struct changeset set = { 0 };
    struct key_record *before = key_record(), *after = key_record_copy(before);
    changeset_key(&set, before, after);
    changeset_key(&set, NULL, after);
    cr_assert_eq(before->refs, 2);
    cr_assert_eq(after->refs, 3);
    key_record_unref(before);
    cr_assert_str_eq(set.items[0].key.before->name, "prod");
    cr_assert_eq(set.items[0].key_id, 12);
    cr_assert_eq(set.items[0].pool_id, 3);
    cr_assert_null(set.items[1].key.before);
    changeset_truncate(&set, 1);
    cr_assert_eq(after->refs, 2);
    changeset_deinit(&set);
    cr_assert_eq(after->refs, 1);
    cr_assert_eq(set.count, 0);
    cr_assert_null(set.items);
    key_record_unref(after);
    changeset_deinit(&set);
}

Test(change, states_and_events_are_copies) {
    struct changeset set = { 0 };
    struct key_state before = { .status = 1 }, after = { .status = 2 };
    struct event event = { .kind = EVENT_STATUS, .pool_id = 3, .key_id = 12 };
    changeset_state(&set, 3, 12, &before, &after);
    changeset_state(&set, 3, 12, NULL, &after);
    changeset_state(&set, 3, 12, &before, NULL);
    changeset_event(&set, &event);
    before.status = after.status = 9;
    event.kind = 0;
    cr_assert_eq(set.items[0].state.before->status, 1);
    cr_assert_eq(set.items[0].state.after->status, 2);
    cr_assert_null(set.items[1].state.before);
    cr_assert_null(set.items[2].state.after);
    cr_assert_eq(set.items[3].event->kind, EVENT_STATUS);
    cr_assert_eq(set.items[3].key_id, 12);
    changeset_deinit(&set);
}

Test(change, the_order_of_making_is_kept_through_growth) {
    struct changeset set = { 0 };
    for (uint64_t i = 1; i <= 1000; i++)
        changeset_rank(&set, 3, i, i * 2, i * 3);
    cr_assert_eq(set.count, 1000);
    for (uint64_t i = 1; i <= 1000; i++) {
        cr_assert_eq(set.items[i - 1].kind, CHANGE_RANK);
        cr_assert_eq(set.items[i - 1].key_id, i);
        cr_assert_eq(set.items[i - 1].rank.before, i * 2);
        cr_assert_eq(set.items[i - 1].rank.after, i * 3);
    }
    changeset_deinit(&set);
}

Test(change, every_kind_of_event_has_a_name_of_its_own) {
    for (uint32_t a = 1; a < EVENT_KIND_COUNT; a++) {
        cr_assert_str_neq(event_kind_name(a), "?");
        for (uint32_t b = 1; b < a; b++)
            cr_assert_str_neq(event_kind_name(a), event_kind_name(b));
    }
    cr_assert_str_eq(event_kind_name(0), "?");
    cr_assert_str_eq(event_kind_name(EVENT_KIND_COUNT), "?");
}
