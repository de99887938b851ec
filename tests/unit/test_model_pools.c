/*
 * Rules for pools, and the order of their keys: add, set, delete; move and order; ranks; what the
 * revision counts.
 */
#include "tests/support/model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/support/seed.h"

static struct model_fixture f;
static struct model_pool *pool;
static struct model_key *a, *b, *c, *d;

static void setup(void) {
    model_fixture_init(&f);
    pool = fixture_pool(&f, "main", "openai");
    a = pool->order[0];
    fixture_set(&f, a, (struct key_spec){ .name = "a" }, NULL);
    b = fixture_key(&f, pool, "b", NULL);
    c = fixture_key(&f, pool, "c", NULL);
    d = fixture_key(&f, pool, "d", NULL);
}

static void teardown(void) {
    model_fixture_deinit(&f);
}

TestSuite(model_pool, .init = setup, .fini = teardown);
TestSuite(model_order, .init = setup, .fini = teardown);
TestSuite(model_ranks, .init = setup, .fini = teardown);
TestSuite(model_revision, .init = setup, .fini = teardown);

static int add_pool(const char *name, const char *vendor, const char *config) {
    struct pool_spec spec = { .name = name, .vendor = vendor };
    return fixture_stage_pool(&f, &spec, config);
}

/* ---- add ---- */

Test(model_pool, names_are_what_a_directory_can_be_called) {
    char name[64];
    memset(name, 'x', sizeof name);
    name[48] = '\0';
    const char *const GOOD[] = { "a", "0", "openai-2", "a.b_c-d", name };
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        cr_assert_eq(add_pool(GOOD[i], "openai", NULL), 0, "%s", GOOD[i]);
        fixture_publish(&f);
        cr_assert_not_null(model_find_pool(f.model, GOOD[i]));
    }
    name[48] = 'x';
    name[49] = '\0';
    const char *const BAD[] = { "",    ".",   "..", ".a",  "-a",  "_a",  "A",
                                "a/b", "a b", "ä",  "a\n", "a\\", "a:b", name };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        cr_assert_eq(add_pool(BAD[i], "openai", NULL), REFUSED_SYNTAX, "%s", BAD[i]);
        cr_assert_str_eq(f.refusal.reason, "bad-pool-name");
    }
}

Test(model_pool, there_is_only_one_of_a_name) {
    cr_assert_eq(add_pool("main", "anthropic", NULL), REFUSED_RULE);
    cr_assert_str_eq(f.refusal.reason, "pool-exists");
}

Test(model_pool, its_vendor_is_one_that_is_known) {
    cr_assert_eq(add_pool("second", "openay", NULL), REFUSED_NOT_FOUND);
    cr_assert_str_eq(f.refusal.reason, "no-such-vendor");
}

Test(model_pool, has_defaults_that_recover_nothing_by_themselves) {
    const struct pool_record *record = pool->record;
    cr_assert_eq(record->strategy, STRATEGY_PRIORITY);
    cr_assert_str_eq(record->exceeded_recovery, "never");
    cr_assert_str_eq(record->error_recovery, "never");
    cr_assert_str_eq(record->group, "");
    cr_assert_str_eq(record->vendor, "openai");
    cr_assert_eq(record->created_at_ms, FIXTURE_WALL_MS);
    cr_assert_eq(pool->vendor, vendor_find("openai"));
}

Test(model_pool, a_default_key_that_is_refused_leaves_no_pool_behind) {
    char *before = model_fixture_snapshot(f.model);
    uint64_t next_id = f.model->next_id;
    cr_assert_eq(add_pool("second", "openai", "{}"), REFUSED_SYNTAX);
    cr_assert_eq(add_pool("second", "generic", NULL), REFUSED_SYNTAX, "it needs a base_url");
    cr_assert_null(model_find_pool(f.model, "second"));
    char *after = model_fixture_snapshot(f.model);
    model_fixture_expect_same(before, after, "refused");
    free(before);
    free(after);
    cr_assert_geq(f.model->next_id, next_id);
    fixture_pool(&f, "second", "openai");
}

Test(model_pool, a_base_url_of_the_pool_serves_keys_that_have_none) {
    struct pool_spec spec = { .name = "local",
                              .vendor = "generic",
                              .base_url = "http://localhost:8000/v1" };
    cr_assert_eq(fixture_stage_pool(&f, &spec, NULL), 0, "%s", f.refusal.message);
    fixture_publish(&f);
    cr_assert_str_eq(model_find_pool(f.model, "local")->record->base_url,
                     "http://localhost:8000/v1");
}

Test(model_pool, adding_one_says_so) {
    cr_assert_eq(add_pool("second", "anthropic", NULL), 0);
    const struct event *event = fixture_event(&f, EVENT_ADD_POOL);
    cr_assert_not_null(event);
    cr_assert_str_eq(event->pool, "second");
    cr_assert_eq(event->key_id, 0);
    cr_assert_not_null(strstr(event->reason, "anthropic"));
    cr_assert_not_null(fixture_event(&f, EVENT_ADD_KEY));
    cr_assert_eq(f.set.items[0].kind, CHANGE_POOL, "a pool comes before its keys");
    cr_assert_null(f.set.items[0].pool.before);
    fixture_publish(&f);
}

/* ---- set ---- */

Test(model_pool, a_rule_is_taken_or_refused_with_a_reason_and_leaves_the_rest) {
    uint64_t revision = pool->record->revision;
    fixture_set_pool(&f, pool, (struct pool_spec){ .rule = "429 any=a quota" });
    fixture_set_pool(&f, pool, (struct pool_spec){ .rule = "429 any=b quota" });
    cr_assert_str_eq(pool->record->rules, "429 any=b quota\n429 any=a quota");
    cr_assert_eq(pool->record->revision, revision + 2);
    struct pool_spec bad = { .rule = "nonsense", .strategy = STRATEGY_SPREAD };
    cr_assert_eq(fixture_stage_set_pool(&f, pool, bad), REFUSED_SYNTAX);
    cr_assert_str_eq(f.refusal.reason, "bad-rule");
    cr_assert_eq(pool->record->strategy, STRATEGY_PRIORITY);
    fixture_set_pool(&f, pool, (struct pool_spec){ .strategy = STRATEGY_SPREAD });
    cr_assert_str_eq(pool->record->rules, "429 any=b quota\n429 any=a quota");
    fixture_set_pool(&f, pool, (struct pool_spec){ .rules = "" });
    cr_assert_str_eq(pool->record->rules, "");
}

Test(model_pool, settings_are_taken_one_by_one) {
    fixture_set_pool(&f, pool, (struct pool_spec){ .strategy = STRATEGY_SPREAD });
    fixture_set_pool(&f, pool, (struct pool_spec){ .group = "workers" });
    fixture_set_pool(&f, pool, (struct pool_spec){ .exceeded_recovery = "daily@00:00" });
    fixture_set_pool(&f, pool, (struct pool_spec){ .error_recovery = "15m" });
    fixture_set_pool(&f, pool, (struct pool_spec){ .base_url = "https://proxy.example/v1" });
    const struct pool_record *record = pool->record;
    cr_assert_eq(record->strategy, STRATEGY_SPREAD);
    cr_assert_str_eq(record->group, "workers");
    cr_assert_str_eq(record->exceeded_recovery, "daily@00:00");
    cr_assert_str_eq(record->error_recovery, "15m");
    cr_assert_str_eq(record->base_url, "https://proxy.example/v1");
    cr_assert_eq(pool->exceeded_recovery.kind, RECOVERY_DAILY);
    cr_assert_eq(pool->error_recovery.after_ms, 15 * 60 * 1000);
}

Test(model_pool, a_setting_that_is_none_is_refused) {
    const struct pool_spec BAD[] = {
        { .exceeded_recovery = "soon" },
        { .error_recovery = "0s" },
        { .exceeded_recovery = "1h", .error_recovery = "daily@24:00" },
        { .base_url = "ftp://example" },
        { .base_url = "https://a b" },
    };
    char *before = model_fixture_snapshot(f.model);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        cr_assert_eq(fixture_stage_set_pool(&f, pool, BAD[i]), REFUSED_SYNTAX, "%zu", i);
    char *after = model_fixture_snapshot(f.model);
    model_fixture_expect_same(before, after, "refused");
    free(before);
    free(after);
}

Test(model_pool, of_a_vendor_without_an_address_keeps_one) {
    struct pool_spec spec = { .name = "local",
                              .vendor = "generic",
                              .base_url = "http://localhost:8000/v1" };
    cr_assert_eq(fixture_stage_pool(&f, &spec, NULL), 0);
    fixture_publish(&f);
    struct model_pool *local = model_find_pool(f.model, "local");
    cr_assert_eq(fixture_stage_set_pool(&f, local, (struct pool_spec){ .base_url = "" }),
                 REFUSED_RULE);
    cr_assert_str_eq(f.refusal.reason, "base-url-required");
    fixture_set_pool(&f, pool, (struct pool_spec){ .base_url = "" });
}

/* ---- delete ---- */

Test(model_pool, a_deleted_pool_takes_all_its_keys_and_no_others) {
    struct model_pool *second = fixture_pool(&f, "second", "openai");
    fixture_set(&f, b, (struct key_spec){ .account = "acme" }, NULL);
    struct model_key *mate = fixture_key(&f, second, "mate", "acme");
    uint64_t ids[] = { a->record->id, b->record->id, c->record->id, d->record->id };
    cr_assert_eq(fixture_stage_delete_pool(&f, pool), 0);
    cr_assert_not_null(fixture_event(&f, EVENT_DELETE_POOL));
    const struct change *last_but_event = &f.set.items[f.set.count - 2];
    cr_assert_eq(last_but_event->kind, CHANGE_POOL, "a pool goes after its keys");
    fixture_publish(&f);
    cr_assert_null(model_find_pool(f.model, "main"));
    for (size_t i = 0; i < 4; i++)
        cr_assert_null(model_key_by_id(f.model, ids[i]));
    cr_assert_eq(model_account_first(f.model, mate)->first, mate);
    fixture_pool(&f, "main", "anthropic");
}

/* ---- order ---- */

static void move(struct model_key *key, uint32_t index, const char *expected) {
    cr_assert_eq(fixture_stage_move(&f, key, index), 0);
    fixture_publish(&f);
    cr_assert_str_eq(fixture_order(pool), expected);
    model_fixture_check(f.model);
}

Test(model_order, new_keys_come_last) {
    cr_assert_str_eq(fixture_order(pool), "a b c d");
}

Test(model_order, a_key_moves_to_every_place_from_every_place) {
    /* The place is counted in the order without the key, so it is where the key then stands. */
    for (uint32_t from = 0; from < 4; from++)
        for (uint32_t to = 0; to < 4; to++) {
            struct model_key *key = pool->order[from];
            struct model_key *others[3];
            for (uint32_t i = 0, n = 0; i < 4; i++)
                if (i != from)
                    others[n++] = pool->order[i];
            cr_assert_eq(fixture_stage_move(&f, key, to), 0);
            fixture_publish(&f);
            model_fixture_check(f.model);
            for (uint32_t i = 0, n = 0; i < 4; i++)
                cr_assert_eq(pool->order[i], i == to ? key : others[n++], "%u to %u", from, to);
        }
}

Test(model_order, first_last_up_and_down) {
    move(c, 0, "c a b d");
    move(c, pool->count - 1, "a b d c");
    move(c, c->position - 1, "a b c d");
    move(c, c->position + 1, "a b d c");
    move(a, UINT32_MAX, "b d c a");
    move(b, b->position + 1, "d b c a");
}

Test(model_order, before_and_after_another_key) {
    move(d, a->position, "d a b c");     /* before a key above */
    move(d, c->position - 1, "a b d c"); /* before a key below */
    move(a, c->position, "b d c a");     /* after a key below */
    move(a, b->position + 1, "b a d c"); /* after a key above */
}

Test(model_order, moving_a_key_to_where_it_is_changes_nothing) {
    cr_assert_eq(fixture_stage_move(&f, b, b->position), 0);
    cr_assert_eq(f.set.count, 0);
    cr_assert_eq(fixture_stage_move(&f, d, UINT32_MAX), 0);
    cr_assert_eq(f.set.count, 0);
    cr_assert_eq(fixture_stage_move(&f, a, 0), 0);
    cr_assert_eq(f.set.count, 0);
}

Test(model_order, a_move_stores_one_rank_and_says_from_where_to_where) {
    cr_assert_eq(fixture_stage_move(&f, d, 0), 0);
    cr_assert_eq(fixture_changes(&f, CHANGE_RANK), 1);
    cr_assert_eq(fixture_changes(&f, CHANGE_STATE), 0);
    cr_assert_eq(fixture_changes(&f, CHANGE_KEY), 0);
    const struct event *event = fixture_event(&f, EVENT_MOVE_KEY);
    cr_assert_str_eq(event->reason, "from 4 to 1");
    cr_assert_str_eq(event->key, "d");
    fixture_publish(&f);
}

Test(model_order, a_whole_order_is_taken_at_once) {
    struct model_key *const order[] = { d, b, a, c };
    cr_assert_eq(fixture_stage_order(&f, pool, order, 4), 0);
    cr_assert_not_null(fixture_event(&f, EVENT_ORDER_KEYS));
    fixture_publish(&f);
    cr_assert_str_eq(fixture_order(pool), "d b a c");
    cr_assert_eq(d->position, 0);
}

Test(model_order, the_order_that_is_already_there_changes_nothing) {
    move(d, 0, "d a b c");
    move(c, 1, "d c a b");
    struct model_key *const order[] = { d, c, a, b };
    uint64_t revision = pool->record->revision;
    cr_assert_eq(fixture_stage_order(&f, pool, order, 4), 0);
    cr_assert_eq(f.set.count, 0, "whatever the ranks are");
    cr_assert_eq(pool->record->revision, revision);
}

Test(model_order, an_order_names_every_key_once) {
    struct model_key *const missing[] = { d, b, a };
    cr_assert_eq(fixture_stage_order(&f, pool, missing, 3), REFUSED_RULE);
    cr_assert_str_eq(f.refusal.reason, "incomplete-order");
    struct model_key *const twice[] = { d, b, a, d };
    cr_assert_eq(fixture_stage_order(&f, pool, twice, 4), REFUSED_RULE);
    cr_assert_str_eq(f.refusal.reason, "duplicate-key");
    struct model_key *const more[] = { d, b, a, c, d };
    cr_assert_eq(fixture_stage_order(&f, pool, more, 5), REFUSED_RULE);
    cr_assert_eq(fixture_stage_order(&f, pool, NULL, 0), REFUSED_RULE);
    cr_assert_str_eq(fixture_order(pool), "a b c d");
    model_fixture_check(f.model);
}

Test(model_order, a_deleted_key_leaves_the_others_in_order) {
    move(c, 0, "c a b d");
    cr_assert_eq(fixture_stage_delete(&f, b), 0);
    fixture_publish(&f);
    cr_assert_str_eq(fixture_order(pool), "c a d");
    cr_assert_eq(d->position, 2);
}

Test(model_order, is_the_same_after_a_start) {
    move(c, 0, "c a b d");
    move(d, 1, "c d a b");
    struct model_fixture again;
    model_fixture_init(&again);
    model_load_pool(again.model, pool_record_ref(pool->record));
    struct model_key *const any[] = { a, b, c, d };
    for (size_t i = 0; i < 4; i++)
        model_load_key(again.model, key_record_ref(any[i]->record), any[i]->rank, &any[i]->state);
    model_loaded(again.model, f.model->next_id, true, FIXTURE_START + 100, f.cause.now);
    cr_assert_str_eq(fixture_order(model_find_pool(again.model, "main")), "c d a b");
    model_fixture_deinit(&again);
}

/* ---- ranks ---- */

Test(model_ranks, never_run_out_between_two_neighbours) {
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(fixture_stage_move(&f, i % 2 ? c : d, 1), 0);
        fixture_publish(&f);
        model_fixture_check(f.model);
        cr_assert_str_eq(fixture_order(pool), i % 2 ? "a c d b" : i ? "a d c b" : "a d b c");
        if (i == 0) {
            cr_assert_eq(fixture_stage_move(&f, c, 2), 0);
            fixture_publish(&f);
        }
    }
}

Test(model_ranks, never_run_out_at_the_front) {
    fixture_load_keys(&f, pool, 1, 3, 1); /* as if the front had been used up already */
    struct model_key *low = pool->order[0];
    cr_assert_str_eq(fixture_order(pool), "loaded1 a b c d");
    struct model_key *const KEYS[] = { a, b, c, d, low };
    for (size_t i = 0; i < 50; i++) {
        cr_assert_eq(fixture_stage_move(&f, KEYS[i % 5], 0), 0);
        fixture_publish(&f);
        cr_assert_eq(pool->order[0], KEYS[i % 5]);
        model_fixture_check(f.model);
    }
}

Test(model_ranks, never_run_out_at_the_end) {
    fixture_load_keys(&f, pool, 1, UINT64_MAX - 5, 1);
    struct model_key *added = fixture_key(&f, pool, "added", NULL);
    cr_assert_eq(added->position, 5);
    cr_assert_str_eq(fixture_order(pool), "a b c d loaded1 added");
    model_fixture_check(f.model);
    cr_assert_eq(fixture_stage_move(&f, a, 5), 0);
    fixture_publish(&f);
    cr_assert_str_eq(fixture_order(pool), "b c d loaded1 added a");
}

Test(model_ranks, that_were_given_anew_are_all_stored) {
    fixture_load_keys(&f, pool, 6, UINT64_C(1) << 63, 1); /* no room between them */
    struct model_key *moved = pool->order[0];
    cr_assert_eq(fixture_stage_move(&f, moved, 7), 0);
    uint64_t stored[16] = { 0 };
    for (size_t i = 0; i < f.set.count; i++)
        if (f.set.items[i].kind == CHANGE_RANK)
            stored[f.set.items[i].key_id] = f.set.items[i].rank.after;
    for (uint32_t i = 0; i < pool->count; i++) {
        uint64_t last = stored[pool->order[i]->record->id];
        cr_assert(!last || last == pool->order[i]->rank, "the last rank stored is the key's");
        cr_assert(last || pool->order[i]->rank < UINT64_C(1) << 63, "none was forgotten");
    }
    cr_assert_eq(moved->position, 7);
    fixture_publish(&f);
}

Test(model_ranks, keep_any_order_through_any_moves) {
    struct seed seed = seed_begin("model_ranks");
    struct model_key *expected[12];
    for (int i = 0; i < 8; i++)
        fixture_key(&f, pool, NULL, NULL);
    memcpy(expected, pool->order, sizeof expected);
    for (int round = 0; round < 3000; round++) {
        /* Few places, so that room runs out often. */
        uint32_t from = (uint32_t)seed_below(&seed, 12), to = (uint32_t)seed_below(&seed, 3);
        struct model_key *key = expected[from];
        memmove(&expected[from], &expected[from + 1], (11 - from) * sizeof *expected);
        memmove(&expected[to + 1], &expected[to], (11 - to) * sizeof *expected);
        expected[to] = key;
        cr_assert_eq(fixture_stage_move(&f, key, to), 0);
        fixture_publish(&f);
        cr_assert_arr_eq(pool->order, expected, sizeof expected);
        for (uint32_t i = 1; i < 12; i++)
            cr_assert_lt(pool->order[i - 1]->rank, pool->order[i]->rank);
    }
}

/* ---- revisions ---- */

static uint64_t revision_before;

static void expect_revision(uint64_t more, const char *after) {
    cr_assert_eq(pool->record->revision, revision_before + more, "%s", after);
    revision_before = pool->record->revision;
}

Test(model_revision, counts_changes_of_order_and_configuration) {
    revision_before = pool->record->revision;
    fixture_key(&f, pool, "e", NULL);
    expect_revision(1, "add key");
    fixture_set(&f, a, (struct key_spec){ .weight = 5 }, NULL);
    expect_revision(1, "set key");
    fixture_set_pool(&f, pool, (struct pool_spec){ .strategy = STRATEGY_SPREAD });
    expect_revision(1, "set pool");
    cr_assert_eq(fixture_stage_move(&f, d, 0), 0);
    fixture_publish(&f);
    expect_revision(1, "move key");
    struct model_key *const order[] = { a, b, c, d, pool->order[4] };
    cr_assert_eq(fixture_stage_order(&f, pool, order, 5), 0);
    fixture_publish(&f);
    expect_revision(1, "order keys");
    cr_assert_eq(fixture_stage_delete(&f, pool->order[4]), 0);
    fixture_publish(&f);
    expect_revision(1, "delete key");
}

Test(model_revision, does_not_count_changes_of_status) {
    revision_before = pool->record->revision;
    fixture_disable(&f, a);
    fixture_enable(&f, a);
    fixture_report(&f, a, KB_RATE, 1000);
    fixture_pass_and_tick(&f, 1000);
    fixture_report(&f, a, KB_QUOTA, 1000);
    expect_revision(0, "status");
    cr_assert_eq(fixture_stage_move(&f, a, 0), 0);
    expect_revision(0, "a move to where it is");
    cr_assert_eq(fixture_stage_set(&f, a, (struct key_spec){ .name = "b" }, NULL), REFUSED_RULE);
    expect_revision(0, "a refusal");
}

Test(model_revision, of_one_pool_is_not_moved_by_another) {
    struct model_pool *second = fixture_pool(&f, "second", "openai");
    revision_before = pool->record->revision;
    cr_assert_eq(second->record->revision, 1);
    fixture_key(&f, second, NULL, NULL);
    expect_revision(0, "another pool's key");
    cr_assert_eq(second->record->revision, 2);
}
