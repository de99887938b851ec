/*
 * Rules for keys: add, set, delete; names and texts; the default key; what expired keys still take;
 * slots.
 */
#include "tests/support/model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include <keybroker_shared/board.h>

static struct model_fixture f;
static struct model_pool *pool;
static struct model_key *first;

static void setup(void) {
    model_fixture_init(&f);
    pool = fixture_pool(&f, "main", "openai");
    first = pool->order[0];
}

static void teardown(void) {
    model_fixture_deinit(&f);
}

TestSuite(model_names, .init = setup, .fini = teardown);
TestSuite(model_key, .init = setup, .fini = teardown);
TestSuite(model_default_key, .init = setup, .fini = teardown);
TestSuite(model_expired_key, .init = setup, .fini = teardown);
TestSuite(model_slots, .init = setup, .fini = teardown);

static int add(struct key_spec spec) {
    return fixture_stage_add(&f, pool, spec, NULL);
}

static void repeat(char *out, const char *text, unsigned times) {
    for (*out = '\0'; times--;)
        strcat(out, text);
}

/* ---- names ---- */

Test(model_names, are_1_to_64_characters_however_many_bytes_each_has) {
    char name[300];
    const char *const CHARACTERS[] = { "a", "é", "鍵", "🔑" };
    for (size_t i = 0; i < 4; i++) {
        repeat(name, CHARACTERS[i], 64);
        cr_assert_eq(add((struct key_spec){ .name = name }), 0, "64 × %s", CHARACTERS[i]);
        fixture_publish(&f);
        repeat(name, CHARACTERS[i], 65);
        cr_assert_eq(add((struct key_spec){ .name = name }), REFUSED_SYNTAX);
        cr_assert_str_eq(f.refusal.field, "name");
    }
    cr_assert_eq(add((struct key_spec){ .name = "" }), REFUSED_SYNTAX);
    cr_assert_eq(add((struct key_spec){ .name = "x" }), 0);
    fixture_publish(&f);
}

Test(model_names, may_be_in_any_script) {
    const char *const NAMES[] = { "résumé", "ключ", "מפתח", "مفتاح", "鍵 2", "a#b", "a/b=\"c\"'" };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        struct model_key *key = fixture_key(&f, pool, NAMES[i], NAMES[i]);
        cr_assert_str_eq(key->record->name, NAMES[i]);
        cr_assert_str_eq(key->record->account, NAMES[i]);
        cr_assert_eq(model_find_key(f.model, pool, NAMES[i]), key);
    }
}

Test(model_names, must_be_printable_utf_8) {
    const char *const NAMES[] = {
        "#1",           /* would read as an id */
        "a\nb",         /* control characters */
        "a\tb",         /**/
        "\x1b[31m",     /* a terminal's */
        "a\x7f",        /**/
        "a\xc2\x85",    /* C1 */
        " a",           /* white space at an end */
        "a ",           /**/
        "\xff",         /* no UTF-8 */
        "a\xc3",        /* cut short */
        "\x80",         /* a continuation alone */
        "\xc0\xaf",     /* overlong */
        "\xe0\x80\xaf", /**/
        "\xf0\x80\x80\xaf",
        "\xed\xa0\x80",     /* a surrogate */
        "\xf4\x90\x80\x80", /* beyond Unicode */
        "\xf5\x80\x80\x80",
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        cr_assert_eq(add((struct key_spec){ .name = NAMES[i] }), REFUSED_SYNTAX, "name %zu", i);
        cr_assert_str_eq(f.refusal.reason, "bad-name");
        cr_assert_eq(add((struct key_spec){ .account = NAMES[i] }), REFUSED_SYNTAX, "%zu", i);
        cr_assert_str_eq(f.refusal.field, "account");
        cr_assert_eq(fixture_stage_set(&f, first, (struct key_spec){ .name = NAMES[i] }, NULL),
                     REFUSED_SYNTAX);
    }
}

Test(model_names, hold_nothing_that_disguises_the_line_they_stand_in) {
    const char *const NAMES[] = {
        "a\u202eb", "a\u202ab", "a\u2066b", "a\u2069b", "a\u200bb",
        "a\u200fb", "a\u2028b", "a\u2029b", "\ufeffa",
    };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        cr_assert_eq(add((struct key_spec){ .name = NAMES[i] }), REFUSED_SYNTAX, "name %zu", i);
}

Test(model_names, are_whole_in_every_event_however_long_they_are) {
    char name[300];
    repeat(name, "🔑", 64);
    struct model_key *key = fixture_key(&f, pool, name, name);
    struct model_key *const order[] = { key, first };
    cr_assert_eq(fixture_stage_order(&f, pool, order, 2), 0);
    const struct event *event = fixture_event(&f, EVENT_ORDER_KEYS);
    json_t *reason = json_string(event->reason), *of = json_string(event->key);
    cr_assert_not_null(reason, "half a character is no text");
    cr_assert_not_null(of);
    json_decref(reason);
    json_decref(of);
    fixture_publish(&f);
    cr_assert_eq(add((struct key_spec){ .name = name }), REFUSED_RULE);
    json_t *message = json_string(f.refusal.message);
    cr_assert_not_null(message);
    json_decref(message);
}

Test(model_names, are_given_by_counting_where_none_is_given) {
    cr_assert_str_eq(first->record->name, "key1");
    cr_assert_str_eq(fixture_key(&f, pool, NULL, NULL)->record->name, "key2");
    fixture_key(&f, pool, "key3", NULL);
    cr_assert_str_eq(fixture_key(&f, pool, NULL, NULL)->record->name, "key4");
    cr_assert_eq(fixture_stage_delete(&f, model_find_key(f.model, pool, "key4")), 0);
    fixture_publish(&f);
    cr_assert_str_eq(fixture_key(&f, pool, NULL, NULL)->record->name, "key5",
                     "a name that went is not given to another key");
}

Test(model_names, are_unique_in_their_pool_and_free_in_others) {
    fixture_key(&f, pool, "prod", NULL);
    cr_assert_eq(add((struct key_spec){ .name = "prod" }), REFUSED_RULE);
    cr_assert_str_eq(f.refusal.reason, "name-taken");
    cr_assert_eq(fixture_stage_set(&f, first, (struct key_spec){ .name = "prod" }, NULL),
                 REFUSED_RULE);
    struct model_pool *second = fixture_pool(&f, "second", "openai");
    struct model_key *key = fixture_key(&f, second, "prod", NULL);
    cr_assert_eq(model_find_key(f.model, second, "prod"), key);
    cr_assert_neq(model_find_key(f.model, pool, "prod"), key);
    cr_assert_eq(add((struct key_spec){ .name = "Prod" }), 0, "case matters");
    fixture_publish(&f);
}

Test(model_names, change_and_leave_the_old_one_free) {
    struct model_key *key = fixture_key(&f, pool, "old", NULL);
    fixture_set(&f, key, (struct key_spec){ .name = "new" }, NULL);
    cr_assert_eq(model_find_key(f.model, pool, "new"), key);
    cr_assert_null(model_find_key(f.model, pool, "old"));
    fixture_key(&f, pool, "old", NULL);
    fixture_set(&f, key, (struct key_spec){ .name = "new" }, NULL);
}

Test(model_names, a_key_is_found_by_its_id_in_its_own_pool_alone) {
    struct model_key *key = fixture_key(&f, pool, "prod", NULL);
    struct model_pool *second = fixture_pool(&f, "second", "openai");
    char text[32];
    snprintf(text, sizeof text, "#%llu", (unsigned long long)key->record->id);
    cr_assert_eq(model_find_key(f.model, pool, text), key);
    cr_assert_null(model_find_key(f.model, second, text));
    const char *const NONE[] = { "#", "#x",    "#-1", "# 1", "#1x", "#99999999999999999999999",
                                 "",  "nobody" };
    for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++)
        cr_assert_null(model_find_key(f.model, pool, NONE[i]), "%s", NONE[i]);
}

/* ---- add and set ---- */

Test(model_key, what_was_given_is_what_it_has) {
    struct key_spec spec = { .name = "prod",
                             .account = "acme",
                             .note = "paid by marketing",
                             .weight = 1000,
                             .has_expires = true,
                             .expires_at_ms = FIXTURE_WALL_MS + 1 };
    cr_assert_eq(fixture_stage_add(&f, pool, spec,
                                   "{\"organization\":\"org-1\",\"api_key\":\"sk-abcdefgh\"}"),
                 0);
    const struct event *event = fixture_event(&f, EVENT_ADD_KEY);
    cr_assert_not_null(event);
    cr_assert_str_eq(event->key, "prod");
    cr_assert_eq(event->actor.uid, 1000);
    fixture_publish(&f);
    const struct key_record *record = pool->order[1]->record;
    cr_assert_str_eq(record->account, "acme");
    cr_assert_str_eq(record->note, "paid by marketing");
    cr_assert_eq(record->weight, 1000);
    cr_assert_eq(record->expires_at_ms, FIXTURE_WALL_MS + 1);
    cr_assert_eq(record->created_at_ms, FIXTURE_WALL_MS);
    cr_assert_str_eq(record->config, "{\"api_key\":\"sk-abcdefgh\",\"organization\":\"org-1\"}");
}

Test(model_key, a_weight_is_from_1_to_1000_and_1_by_default) {
    cr_assert_eq(fixture_key(&f, pool, NULL, NULL)->record->weight, 1);
    cr_assert_eq(add((struct key_spec){ .weight = 1001 }), REFUSED_SYNTAX);
    cr_assert_str_eq(f.refusal.field, "weight");
    cr_assert_eq(fixture_stage_set(&f, first, (struct key_spec){ .weight = UINT32_MAX }, NULL),
                 REFUSED_SYNTAX);
    fixture_set(&f, first, (struct key_spec){ .weight = 1000 }, NULL);
    cr_assert_eq(first->record->weight, 1000);
}

Test(model_key, an_expiry_lies_in_the_future_or_is_never) {
    const int64_t PAST[] = { FIXTURE_WALL_MS, FIXTURE_WALL_MS - 1, 1, -1, INT64_MIN };
    for (size_t i = 0; i < sizeof PAST / sizeof *PAST; i++) {
        struct key_spec spec = { .has_expires = true, .expires_at_ms = PAST[i] };
        cr_assert_eq(add(spec), REFUSED_SYNTAX);
        cr_assert_str_eq(f.refusal.reason, "expiry-in-the-past");
        cr_assert_eq(fixture_stage_set(&f, first, spec, NULL), REFUSED_SYNTAX);
    }
    fixture_expire_in(&f, first, 1);
    fixture_set(&f, first, (struct key_spec){ .has_expires = true }, NULL);
    cr_assert_eq(first->record->expires_at_ms, 0);
    fixture_pass_and_tick(&f, 1000);
    cr_assert_eq(f.set.count, 0);
}

Test(model_key, a_note_has_at_most_1024_printable_characters) {
    static char note[1100 * 4];
    repeat(note, "ü", 1024);
    fixture_set(&f, first, (struct key_spec){ .note = note }, NULL);
    repeat(note, "ü", 1025);
    cr_assert_eq(fixture_stage_set(&f, first, (struct key_spec){ .note = note }, NULL),
                 REFUSED_SYNTAX);
    cr_assert_eq(add((struct key_spec){ .note = "two\nlines" }), REFUSED_SYNTAX);
    fixture_set(&f, first, (struct key_spec){ .note = "" }, NULL);
    cr_assert_str_eq(first->record->note, "");
}

Test(model_key, what_is_not_named_stays_as_it_is) {
    struct key_spec all = { .account = "acme", .note = "n", .weight = 5 };
    fixture_set(&f, first, all, NULL);
    fixture_set(&f, first, (struct key_spec){ .name = "renamed" }, NULL);
    cr_assert_str_eq(first->record->account, "acme");
    cr_assert_str_eq(first->record->note, "n");
    cr_assert_eq(first->record->weight, 5);
    cr_assert_str_eq(first->record->config, "{\"api_key\":\"sk-0123456789abcdef\"}");
}

Test(model_key, a_config_is_merged_or_replaced) {
    fixture_set(&f, first, (struct key_spec){ 0 }, "{\"organization\":\"org-1\",\"x\":1}");
    cr_assert_str_eq(first->record->config,
                     "{\"api_key\":\"sk-0123456789abcdef\",\"organization\":\"org-1\",\"x\":1}");
    fixture_set(&f, first, (struct key_spec){ 0 }, "{\"x\":null}");
    cr_assert_str_eq(first->record->config,
                     "{\"api_key\":\"sk-0123456789abcdef\",\"organization\":\"org-1\"}");
    fixture_set(&f, first, (struct key_spec){ .replace_config = true },
                "{\"api_key\":\"sk-another-one\"}");
    cr_assert_str_eq(first->record->config, "{\"api_key\":\"sk-another-one\"}");
}

Test(model_key, no_config_is_without_its_api_key) {
    cr_assert_eq(fixture_stage_add(&f, pool, (struct key_spec){ 0 }, "{}"), REFUSED_SYNTAX);
    cr_assert_eq(fixture_stage_set(&f, first, (struct key_spec){ 0 }, "{\"api_key\":null}"),
                 REFUSED_SYNTAX);
    cr_assert_eq(fixture_stage_set(&f, first, (struct key_spec){ .replace_config = true },
                                   "{\"organization\":\"org-1\"}"),
                 REFUSED_SYNTAX);
    cr_assert_str_eq(first->record->config, "{\"api_key\":\"sk-0123456789abcdef\"}");
}

Test(model_key, a_refused_set_changes_nothing_of_what_it_names) {
    char *before = model_fixture_snapshot(f.model);
    struct key_spec spec = { .name = "renamed", .account = "acme", .weight = 9, .note = "\x01" };
    cr_assert_eq(fixture_stage_set(&f, first, spec, "{\"x\":1}"), REFUSED_SYNTAX);
    spec.note = NULL;
    cr_assert_eq(fixture_stage_set(&f, first, spec, "{\"api_key\":\"a b\"}"), REFUSED_SYNTAX);
    char *after = model_fixture_snapshot(f.model);
    model_fixture_expect_same(before, after, "refused");
    free(before);
    free(after);
}

Test(model_key, a_new_api_key_heals_an_error) {
    fixture_bring_to(&f, first, KB_STATUS_ERROR);
    cr_assert_eq(fixture_stage_set(&f, first, (struct key_spec){ 0 },
                                   "{\"api_key\":\"sk-rotated-rotated\"}"),
                 0);
    const struct event *event = fixture_event(&f, EVENT_STATUS);
    cr_assert_not_null(event);
    cr_assert_eq(event->from, KB_STATUS_ERROR);
    cr_assert_eq(event->to, KB_STATUS_NORMAL);
    cr_assert_eq(event->actor.kind, ACTOR_ADMIN);
    cr_assert_not_null(fixture_event(&f, EVENT_SET_KEY));
    fixture_publish(&f);
    cr_assert_eq(first->state.status, KB_STATUS_NORMAL);
    cr_assert_eq(first->state.valid_since, f.generation);
    cr_assert_eq(first->state.backoff, 0);
}

Test(model_key, a_new_api_key_ends_the_wait_of_an_error_for_its_recovery) {
    fixture_set_pool(&f, pool, (struct pool_spec){ .error_recovery = "1h" });
    fixture_bring_to(&f, first, KB_STATUS_ERROR);
    fixture_set(&f, first, (struct key_spec){ 0 }, "{\"api_key\":\"sk-rotated-rotated\"}");
    cr_assert_eq(first->state.deadline_mono, 0);
    fixture_pass_and_tick(&f, 3600 * 1000);
    cr_assert_eq(f.set.count, 0);
}

Test(model_key, a_new_api_key_heals_nothing_but_an_error) {
    const kb_status OTHERS[] = { KB_STATUS_COOLING, KB_STATUS_EXCEEDED, KB_STATUS_DISABLED };
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
        char config[64];
        fixture_bring_to(&f, first, OTHERS[i]);
        snprintf(config, sizeof config, "{\"api_key\":\"sk-rotated-%zu\"}", i);
        fixture_set(&f, first, (struct key_spec){ 0 }, config);
        cr_assert_eq(first->state.status, OTHERS[i]);
        fixture_enable(&f, first);
    }
}

Test(model_key, another_setting_does_not_heal_an_error) {
    fixture_bring_to(&f, first, KB_STATUS_ERROR);
    fixture_set(&f, first, (struct key_spec){ .account = "acme", .weight = 2 },
                "{\"organization\":\"org-2\"}");
    cr_assert_eq(first->state.status, KB_STATUS_ERROR);
    fixture_set(&f, first, (struct key_spec){ 0 }, "{\"api_key\":\"sk-0123456789abcdef\"}");
    cr_assert_eq(first->state.status, KB_STATUS_ERROR, "the same secret again");
}

Test(model_key, a_set_says_what_it_set_and_never_a_secret) {
    struct key_spec spec = { .account = "acme", .weight = 2 };
    cr_assert_eq(fixture_stage_set(&f, first, spec, "{\"api_key\":\"sk-secret-secret\"}"), 0);
    const struct event *event = fixture_event(&f, EVENT_SET_KEY);
    cr_assert_not_null(strstr(event->reason, "account"));
    cr_assert_not_null(strstr(event->reason, "weight"));
    cr_assert_not_null(strstr(event->reason, "config"));
    cr_assert_null(strstr(event->reason, "secret"));
    cr_assert_null(strstr(event->reason, "name"));
    fixture_publish(&f);
}

/* ---- delete, and the default key ---- */

Test(model_key, a_deleted_key_is_gone_for_good) {
    struct model_key *key = fixture_key(&f, pool, "prod", "acme");
    uint64_t id = key->record->id;
    cr_assert_eq(fixture_stage_delete(&f, key), 0);
    const struct event *event = fixture_event(&f, EVENT_DELETE_KEY);
    cr_assert_str_eq(event->key, "prod");
    fixture_publish(&f);
    cr_assert_null(model_find_key(f.model, pool, "prod"));
    cr_assert_null(model_key_by_id(f.model, id));
    struct report report = { .key_id = id, .generation = f.generation, .outcome = KB_INVALID };
    cr_assert_eq(fixture_report_full(&f, pool, report), FATE_UNKNOWN);
    struct model_key *again = fixture_key(&f, pool, "prod", "acme");
    cr_assert_neq(again->record->id, id, "an id is never used again");
    cr_assert_eq(again->state.status, KB_STATUS_NORMAL);
}

Test(model_default_key, is_made_with_its_pool) {
    cr_assert_eq(pool->count, 1);
    cr_assert(model_is_default(first));
    cr_assert_eq(pool->record->default_key_id, first->record->id);
    cr_assert_not(model_is_default(fixture_key(&f, pool, NULL, NULL)));
}

Test(model_default_key, is_never_deleted) {
    fixture_key(&f, pool, "other", NULL);
    cr_assert_eq(fixture_stage_delete(&f, first), REFUSED_RULE);
    cr_assert_str_eq(f.refusal.reason, "default-key");
    cr_assert_eq(pool->count, 2);
}

Test(model_default_key, can_be_edited_moved_and_disabled) {
    fixture_key(&f, pool, "other", NULL);
    struct key_spec spec = { .name = "main", .account = "acme", .weight = 3 };
    fixture_set(&f, first, spec, "{\"api_key\":\"sk-new-new-new\"}");
    cr_assert_eq(fixture_stage_move(&f, first, 1), 0);
    fixture_publish(&f);
    cr_assert_str_eq(fixture_order(pool), "other main");
    fixture_disable(&f, first);
    cr_assert(model_is_default(first));
}

/* ---- expired keys ---- */

static struct model_key *expired_key(void) {
    struct model_key *key = fixture_key(&f, pool, "short", NULL);
    fixture_expire_in(&f, key, 1000);
    fixture_pass_and_tick(&f, 1000);
    cr_assert_eq(fixture_status(&f, key), KB_STATUS_EXPIRED);
    return key;
}

Test(model_expired_key, can_be_moved_ordered_and_deleted) {
    struct model_key *key = expired_key();
    cr_assert_eq(fixture_stage_move(&f, key, 0), 0);
    fixture_publish(&f);
    cr_assert_str_eq(fixture_order(pool), "short key1");
    struct model_key *const order[] = { first, key };
    cr_assert_eq(fixture_stage_order(&f, pool, order, 2), 0);
    fixture_publish(&f);
    cr_assert_eq(fixture_stage_delete(&f, key), 0);
    fixture_publish(&f);
}

Test(model_expired_key, takes_no_setting_at_all) {
    struct model_key *key = expired_key();
    const struct key_spec SPECS[] = {
        { .name = "renamed" },
        { .weight = 2 },
        { .note = "late" },
        { .account = "acme" },
        { .has_expires = true, .expires_at_ms = FIXTURE_WALL_MS + 90000 },
        { .has_expires = true },
    };
    for (size_t i = 0; i < sizeof SPECS / sizeof *SPECS; i++) {
        cr_assert_eq(fixture_stage_set(&f, key, SPECS[i], NULL), REFUSED_RULE);
        cr_assert_str_eq(f.refusal.reason, "key-expired");
    }
    cr_assert_eq(fixture_stage_set(&f, key, (struct key_spec){ 0 }, "{\"x\":1}"), REFUSED_RULE);
}

Test(model_expired_key, that_is_the_default_takes_settings_and_stays_expired) {
    fixture_expire_in(&f, first, 1000);
    fixture_pass_and_tick(&f, 1000);
    fixture_set(&f, first, (struct key_spec){ .note = "renew me" }, "{\"api_key\":\"sk-renewed\"}");
    cr_assert_eq(fixture_status(&f, first), KB_STATUS_EXPIRED);
    cr_assert_eq(fixture_stage_enable(&f, first), REFUSED_RULE);
    cr_assert_eq(fixture_stage_delete(&f, first), REFUSED_RULE);
}

Test(model_expired_key, that_is_the_default_comes_back_to_the_status_underneath) {
    for (kb_status from = KB_STATUS_NORMAL; from <= KB_STATUS_DISABLED; from++) {
        if (from == KB_STATUS_COOLING)
            continue; /* it would be over */
        fixture_bring_to(&f, first, from);
        fixture_expire_in(&f, first, 1000);
        fixture_pass_and_tick(&f, 1000);
        cr_assert_eq(fixture_status(&f, first), KB_STATUS_EXPIRED);
        fixture_expire_in(&f, first, 5000);
        cr_assert_eq(fixture_status(&f, first), from);
        fixture_pass_and_tick(&f, 5000);
        cr_assert_not_null(fixture_event(&f, EVENT_EXPIRED), "it expires again");
        fixture_set(&f, first, (struct key_spec){ .has_expires = true }, NULL);
        cr_assert_eq(fixture_status(&f, first), from, "never is a future expiry, too");
        if (from != KB_STATUS_NORMAL)
            fixture_enable(&f, first);
    }
}

/* ---- slots ---- */

Test(model_slots, are_fixed_for_life_and_used_again_only_after_a_deletion) {
    struct model_key *keys[5];
    keys[0] = first;
    for (uint32_t i = 1; i < 5; i++)
        keys[i] = fixture_key(&f, pool, NULL, NULL);
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(keys[i]->record->slot, i);
    cr_assert_eq(fixture_stage_move(&f, keys[4], 0), 0);
    fixture_publish(&f);
    fixture_set(&f, keys[4], (struct key_spec){ .name = "x" }, "{\"api_key\":\"sk-other-other\"}");
    cr_assert_eq(keys[4]->record->slot, 4);
    cr_assert_eq(fixture_stage_delete(&f, keys[2]), 0);
    fixture_publish(&f);
    cr_assert_eq(model_slot_count(pool), 5);
    cr_assert_eq(fixture_key(&f, pool, NULL, NULL)->record->slot, 2);
    cr_assert_eq(fixture_key(&f, pool, NULL, NULL)->record->slot, 5);
    cr_assert_eq(fixture_stage_delete(&f, keys[4]), 0);
    fixture_publish(&f);
    cr_assert_eq(model_slot_count(pool), 6);
}

Test(model_slots, are_counted_up_to_the_highest_in_use) {
    for (int i = 0; i < 130; i++)
        fixture_key(&f, pool, NULL, NULL);
    cr_assert_eq(model_slot_count(pool), 131);
    while (pool->count > 64) {
        cr_assert_eq(fixture_stage_delete(&f, pool->order[pool->count - 1]), 0);
        fixture_publish(&f);
    }
    cr_assert_eq(model_slot_count(pool), 64);
}

Test(model_slots, there_are_65536_and_one_more_key_is_refused, .timeout = 60) {
    fixture_load_keys(&f, pool, KB_BOARD_SLOTS_MAX - 2, UINT64_C(1) << 63, 1000);
    struct model_key *last = fixture_key(&f, pool, "last", NULL);
    cr_assert_eq(pool->count, KB_BOARD_SLOTS_MAX);
    cr_assert_eq(last->record->slot, KB_BOARD_SLOTS_MAX - 1);
    cr_assert_eq(model_slot_count(pool), KB_BOARD_SLOTS_MAX);
    cr_assert_eq(add((struct key_spec){ .name = "one-more" }), REFUSED_RULE);
    cr_assert_str_eq(f.refusal.reason, "pool-full");
    struct model_key *middle = model_find_key(f.model, pool, "loaded30000");
    uint32_t slot = middle->record->slot;
    cr_assert_eq(fixture_stage_delete(&f, middle), 0);
    fixture_publish(&f);
    cr_assert_eq(fixture_key(&f, pool, "one-more", NULL)->record->slot, slot);
}
