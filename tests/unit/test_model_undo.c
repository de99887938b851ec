/*
 * Taking back what could not be committed: any sequence of commands, undone in reverse, leaves the
 * model exactly as it was; and whatever happens in between, the model agrees with itself.
 */
#include "tests/support/model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/support/seed.h"

static struct model_fixture f;

static void setup(void) {
    model_fixture_init(&f);
}

static void teardown(void) {
    model_fixture_deinit(&f);
}

TestSuite(model_undo, .init = setup, .fini = teardown);

/* What is staged and not yet published, oldest first, each with what was before it. */
struct staged {
    struct changeset set;
    char *before;
};
enum { STAGED_MAX = 16 };
static struct staged staged[STAGED_MAX];
static size_t staged_count;

static struct changeset take_set(void) {
    struct changeset set = f.set;
    f.set = (struct changeset){ 0 };
    return set;
}

/* ---- random commands ---- */

static struct model_pool *any_pool(struct seed *seed) {
    size_t skip = seed_below(seed, f.model->pools.count), i = 0;
    struct model_pool *pool = map_next(&f.model->pools, &i);
    while (skip--)
        pool = map_next(&f.model->pools, &i);
    return pool;
}

static struct model_key *any_key(struct seed *seed) {
    struct model_pool *pool = any_pool(seed);
    return pool->order[seed_below(seed, pool->count)];
}

static const char *any_of(struct seed *seed, const char *const *texts, size_t count) {
    return texts[seed_below(seed, count)];
}
#define ANY(seed, ...)                                                                             \
    any_of(seed, (const char *const[]){ __VA_ARGS__ },                                             \
           sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

static struct key_spec any_spec(struct seed *seed) {
    struct key_spec spec = { 0 };
    if (seed_below(seed, 2))
        spec.name = ANY(seed, "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9");
    if (seed_below(seed, 2))
        spec.account = ANY(seed, "", "acme", "globex", "initech");
    if (seed_below(seed, 4) == 0)
        spec.note = ANY(seed, "", "a note", "another");
    if (seed_below(seed, 4) == 0)
        spec.weight = 1 + (uint32_t)seed_below(seed, 1000);
    if (seed_below(seed, 4) == 0) {
        spec.has_expires = true;
        spec.expires_at_ms =
            seed_below(seed, 3) ? f.cause.now.wall_ms + 1 + (int64_t)seed_below(seed, 100000) : 0;
    }
    return spec;
}

static const char *any_config(struct seed *seed) {
    return ANY(seed, "{\"api_key\":\"sk-aaaaaaaaaaaa\"}", "{\"api_key\":\"sk-bbbbbbbbbbbb\"}",
               "{\"api_key\":\"sk-cccccccccccc\",\"organization\":\"org\"}");
}

static void shuffle(struct seed *seed, struct model_key **order, uint32_t count) {
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = (uint32_t)seed_below(seed, i);
        struct model_key *key = order[i - 1];
        order[i - 1] = order[j];
        order[j] = key;
    }
}

static void stage_order(struct seed *seed) {
    struct model_pool *pool = any_pool(seed);
    uint32_t count = pool->count;
    struct model_key **order = malloc(count * sizeof(struct model_key *));
    memcpy(order, pool->order, count * sizeof(struct model_key *));
    shuffle(seed, order, count);
    fixture_stage_order(&f, pool, order, count);
    free(order);
}

static void stage_pool(struct seed *seed) {
    struct pool_spec spec = { .name = ANY(seed, "p1", "p2", "p3", "p4"),
                              .vendor = ANY(seed, "openai", "anthropic", "deepseek") };
    fixture_stage_pool(&f, &spec, NULL);
}

static void stage_set_pool(struct seed *seed) {
    struct pool_spec spec = { 0 };
    if (seed_below(seed, 2))
        spec.exceeded_recovery = ANY(seed, "never", "1s", "1h", "daily@00:00", "monthly@1");
    if (seed_below(seed, 2))
        spec.error_recovery = ANY(seed, "never", "5s", "2h");
    if (seed_below(seed, 4) == 0)
        spec.strategy = STRATEGY_PRIORITY + (uint32_t)seed_below(seed, 2);
    fixture_stage_set_pool(&f, any_pool(seed), spec);
}

/* Stage one random command into f.set; a refusal stages nothing. */
static void stage_any(struct seed *seed) {
    struct model_key *key = any_key(seed);
    switch (seed_below(seed, 20)) {
    case 0:
        stage_pool(seed);
        break;
    case 1:
        if (f.model->pools.count > 2)
            fixture_stage_delete_pool(&f, any_pool(seed));
        break;
    case 2:
        stage_set_pool(seed);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        fixture_stage_add(&f, any_pool(seed), any_spec(seed), any_config(seed));
        break;
    case 7:
    case 8:
    case 9:
        fixture_stage_set(&f, key, any_spec(seed), seed_below(seed, 2) ? any_config(seed) : NULL);
        break;
    case 10:
    case 11:
        fixture_stage_delete(&f, key);
        break;
    case 12:
    case 13:
        fixture_stage_enable(&f, key);
        break;
    case 14:
        fixture_stage_disable(&f, key);
        break;
    case 15:
        stage_order(seed);
        break;
    default:
        fixture_stage_move(&f, key, (uint32_t)seed_below(seed, 4));
        break;
    }
}

/* Reports and time, which are never taken back. */
static void happen_any(struct seed *seed) {
    changeset_deinit(&f.set);
    if (seed_below(seed, 3) == 0)
        fixture_pass_and_tick(&f, 1 + (int64_t)seed_below(seed, 40000));
    struct model_key *key = any_key(seed);
    const kb_outcome OUTCOMES[] = { KB_SUCCESS, KB_INVALID, KB_QUOTA, KB_RATE, KB_RATE };
    uint64_t back = seed_below(seed, 4);
    fixture_report_at(&f, key, f.generation - back, OUTCOMES[seed_below(seed, 5)],
                      seed_below(seed, 2) ? KB_NO_HINT : 1 + seed_below(seed, 60000));
}

/* ---- staging, publishing, undoing ---- */

static void begin_two_pools(void) {
    fixture_pool(&f, "p1", "openai");
    fixture_pool(&f, "p2", "openai");
    fixture_key(&f, model_find_pool(f.model, "p1"), "n1", "acme");
    fixture_key(&f, model_find_pool(f.model, "p2"), "n1", "acme");
}

static void keep_staged(char *before) {
    staged[staged_count++] = (struct staged){ .set = take_set(), .before = before };
}

static void forget_oldest(void) {
    changeset_deinit(&staged[0].set);
    free(staged[0].before);
    memmove(&staged[0], &staged[1], --staged_count * sizeof *staged);
}

static void undo_newest(void) {
    struct staged *newest = &staged[--staged_count];
    model_undo(f.model, &newest->set);
    changeset_deinit(&newest->set);
}

/* Undo the newest `count` and compare with what was before them. */
static void undo_and_compare(size_t count) {
    char *before = NULL;
    for (size_t i = 0; i < count; i++) {
        free(before);
        before = staged[staged_count - 1].before;
        undo_newest();
        model_fixture_check(f.model);
        char *after = model_fixture_snapshot(f.model);
        model_fixture_expect_same(before, after, "undone");
        free(after);
    }
    free(before);
}

Test(model_undo, any_commands_taken_back_leave_the_model_exactly_as_it_was, .timeout = 60) {
    struct seed seed = seed_begin("model_undo");
    begin_two_pools();
    for (int round = 0; round < 150; round++) {
        size_t many = 1 + seed_below(&seed, STAGED_MAX - 1);
        while (staged_count < many) {
            char *before = model_fixture_snapshot(f.model);
            changeset_deinit(&f.set);
            stage_any(&seed);
            keep_staged(before);
        }
        model_fixture_check(f.model);
        undo_and_compare(seed_below(&seed, staged_count + 1));
        while (staged_count) { /* the others are committed */
            model_published(f.model, &staged[0].set, ++f.generation);
            forget_oldest();
        }
        model_settle(f.model, ++f.generation);
        for (int i = 0; i < 5; i++)
            happen_any(&seed);
    }
}

/* Once nothing is staged any more every key's state is announced. */
static void expect_nothing_pending(void) {
    size_t i = 0;
    for (const struct model_key *key; (key = map_next(&f.model->keys, &i));) {
        cr_assert_eq(key->pending, 0, "%s of %s", key->record->name, key->pool->record->name);
        cr_assert_neq(key->state.valid_since, VALID_SINCE_PENDING);
        cr_assert_leq(key->state.valid_since, f.generation);
    }
}

Test(model_undo, the_model_agrees_with_itself_whatever_happens, .timeout = 60) {
    struct seed seed = seed_begin("model_walk");
    begin_two_pools();
    for (int step = 0; step < 4000; step++) {
        switch (seed_below(&seed, 8)) {
        case 0:
        case 1:
        case 2:
            if (staged_count < STAGED_MAX) {
                changeset_deinit(&f.set);
                stage_any(&seed);
                keep_staged(NULL);
            }
            break;
        case 3:
            if (staged_count) { /* the oldest group is committed */
                model_published(f.model, &staged[0].set, ++f.generation);
                forget_oldest();
            }
            break;
        case 4:
            if (seed_below(&seed, 8) == 0) { /* a commit fails: everything staged goes */
                while (staged_count)
                    undo_newest();
                model_settle(f.model, ++f.generation);
            }
            break;
        case 5:
            if (seed_below(&seed, 20) == 0) {
                f.cause.now.wall_ms += (int64_t)seed_below(&seed, 100000) - 50000;
                model_clock_stepped(f.model, f.cause.now);
            }
            break;
        default:
            happen_any(&seed);
            break;
        }
        if (step % 8 == 0)
            model_fixture_check(f.model);
        if (!staged_count)
            expect_nothing_pending();
    }
    while (staged_count)
        undo_newest();
    model_settle(f.model, ++f.generation);
    expect_nothing_pending();
}

/* ---- single cases ---- */

/* Stage by `stage`, undo, compare. */
#define EXPECT_UNDONE(stage)                                                                       \
    do {                                                                                           \
        char *before = model_fixture_snapshot(f.model);                                            \
        cr_assert_eq(stage, 0, "%s", f.refusal.message);                                           \
        cr_assert_gt(f.set.count, 0);                                                              \
        model_undo(f.model, &f.set);                                                               \
        model_fixture_check(f.model);                                                              \
        char *after = model_fixture_snapshot(f.model);                                             \
        model_fixture_expect_same(before, after, #stage);                                          \
        free(before);                                                                              \
        free(after);                                                                               \
    } while (0)

Test(model_undo, a_pool_that_was_deleted_comes_back_with_all_it_had) {
    begin_two_pools();
    struct model_pool *pool = model_find_pool(f.model, "p1");
    fixture_set_pool(&f, pool, (struct pool_spec){ .exceeded_recovery = "1h", .strategy = 2 });
    for (int i = 0; i < 5; i++)
        fixture_key(&f, pool, NULL, "acme");
    fixture_bring_to(&f, pool->order[2], KB_STATUS_EXCEEDED);
    fixture_bring_to(&f, pool->order[4], KB_STATUS_DISABLED);
    EXPECT_UNDONE(fixture_stage_delete_pool(&f, pool));
    pool = model_find_pool(f.model, "p1");
    fixture_pass_and_tick(&f, 3600 * 1000);
    cr_assert_eq(pool->order[2]->state.status, KB_STATUS_NORMAL, "and recovers as it would have");
}

Test(model_undo, a_key_that_was_deleted_while_another_command_waits_is_still_pending) {
    begin_two_pools();
    struct model_key *key = model_find_key(f.model, model_find_pool(f.model, "p1"), "n1");
    cr_assert_eq(fixture_stage_disable(&f, key), 0);
    struct changeset disabling = take_set();
    EXPECT_UNDONE(fixture_stage_delete(&f, key));
    key = model_find_key(f.model, model_find_pool(f.model, "p1"), "n1");
    cr_expect_eq(key->pending, 1);
    changeset_deinit(&f.set);
    model_published(f.model, &disabling, ++f.generation);
    changeset_deinit(&disabling);
    cr_assert_eq(key->pending, 0);
}

Test(model_undo, an_expired_key_that_was_deleted_is_not_announced_again) {
    begin_two_pools();
    struct model_key *key = model_find_key(f.model, model_find_pool(f.model, "p1"), "n1");
    fixture_expire_in(&f, key, 1000);
    fixture_pass_and_tick(&f, 1000);
    EXPECT_UNDONE(fixture_stage_delete(&f, key));
    fixture_tick(&f);
    cr_assert_null(fixture_event(&f, EVENT_EXPIRED));
}

Test(model_undo, what_a_deletion_had_not_stored_yet_is_stored_after_all) {
    begin_two_pools();
    struct model_key *key = model_find_key(f.model, model_find_pool(f.model, "p1"), "n1");
    uint64_t id = key->record->id;
    fixture_report(&f, key, KB_RATE, 60000);
    EXPECT_UNDONE(fixture_stage_delete(&f, key));
    struct changeset stored = { 0 };
    model_collect_dirty(f.model, &stored);
    bool found = false;
    for (size_t i = 0; i < stored.count; i++)
        found = found || (stored.items[i].key_id == id &&
                          stored.items[i].state.after->status == KB_STATUS_COOLING);
    cr_assert(found);
    changeset_deinit(&stored);
}

Test(model_undo, a_renamed_key_has_its_old_name_and_the_new_one_is_free) {
    begin_two_pools();
    struct model_pool *pool = model_find_pool(f.model, "p1");
    struct model_key *key = model_find_key(f.model, pool, "n1");
    EXPECT_UNDONE(fixture_stage_set(&f, key, (struct key_spec){ .name = "other" }, NULL));
    cr_assert_null(model_find_key(f.model, pool, "other"));
    fixture_key(&f, pool, "other", NULL);
}

Test(model_undo, a_key_whose_addition_failed_leaves_its_slot_free) {
    begin_two_pools();
    struct model_pool *pool = model_find_pool(f.model, "p1");
    uint32_t slot = model_free_slot(pool);
    EXPECT_UNDONE(fixture_stage_add(&f, pool, (struct key_spec){ .account = "acme" }, NULL));
    cr_assert_eq(model_free_slot(pool), slot);
}

Test(model_undo, an_account_is_whole_again) {
    begin_two_pools();
    struct model_key *key = model_find_key(f.model, model_find_pool(f.model, "p1"), "n1");
    EXPECT_UNDONE(fixture_stage_set(&f, key, (struct key_spec){ .account = "globex" }, NULL));
    EXPECT_UNDONE(fixture_stage_delete(&f, key));
    changeset_deinit(&f.set);
    model_settle(f.model, ++f.generation);
    key = model_find_key(f.model, model_find_pool(f.model, "p1"), "n1");
    fixture_report(&f, key, KB_QUOTA, KB_NO_HINT);
    struct model_key *mate = model_find_key(f.model, model_find_pool(f.model, "p2"), "n1");
    cr_assert_eq(mate->state.status, KB_STATUS_EXCEEDED);
}

Test(model_undo, reports_count_again_once_a_failed_command_is_taken_back) {
    begin_two_pools();
    struct model_key *key = model_find_key(f.model, model_find_pool(f.model, "p1"), "n1");
    uint64_t handed_out = f.generation;
    cr_assert_eq(fixture_stage_disable(&f, key), 0);
    fixture_undo(&f);
    cr_assert_eq(fixture_report_at(&f, key, handed_out, KB_INVALID, 0), FATE_APPLIED);
}

Test(model_undo, a_published_enabling_stays_when_a_later_command_fails) {
    begin_two_pools();
    struct model_key *key = model_find_key(f.model, model_find_pool(f.model, "p1"), "n1");
    fixture_bring_to(&f, key, KB_STATUS_ERROR);
    uint64_t handed_out = f.generation;
    cr_assert_eq(fixture_stage_enable(&f, key), 0);
    struct changeset enabling = take_set();
    cr_assert_eq(fixture_stage_disable(&f, key), 0);
    struct changeset disabling = take_set();
    model_published(f.model, &enabling, ++f.generation);
    model_undo(f.model, &disabling);
    model_settle(f.model, ++f.generation);
    changeset_deinit(&enabling);
    changeset_deinit(&disabling);
    cr_assert_eq(key->state.status, KB_STATUS_NORMAL);
    cr_assert_eq(key->state.valid_since, f.generation);
    cr_assert_eq(fixture_report_at(&f, key, handed_out, KB_INVALID, 0), FATE_STALE);
}

Test(model_undo, the_numbers_that_a_failed_command_drew_are_drawn_again) {
    begin_two_pools();
    struct model_pool *pool = model_find_pool(f.model, "p1");
    uint64_t next_id = f.model->next_id;
    EXPECT_UNDONE(fixture_stage_add(&f, pool, (struct key_spec){ .weight = 2 }, NULL));
    struct pool_spec spec = { .name = "p3", .vendor = "openai" };
    EXPECT_UNDONE(fixture_stage_pool(&f, &spec, NULL));
    cr_assert_eq(fixture_stage_pool(&f, &spec, "{}"), 400);
    cr_assert_eq(f.model->next_id, next_id);
    const struct model_key *key = fixture_key(&f, pool, NULL, NULL);
    cr_assert_eq(key->record->id, next_id);
    cr_assert_str_eq(key->record->name, "key2");
}

Test(model_undo, a_pools_command_is_taken_back_alone_when_anothers_later_one_stays) {
    begin_two_pools();
    struct model_pool *pool = model_find_pool(f.model, "p1"),
                      *other = model_find_pool(f.model, "p2");
    cr_assert_eq(fixture_stage_add(&f, pool, (struct key_spec){ .weight = 2 }, NULL), 0);
    struct changeset failed = take_set();
    const struct model_key *stays = fixture_key(&f, other, NULL, NULL);
    uint64_t id = stays->record->id;
    model_undo(f.model, &failed);
    changeset_deinit(&failed);
    cr_assert_eq(model_key_by_id(f.model, id), stays);
    cr_assert_gt(fixture_key(&f, pool, NULL, NULL)->record->id, id, "ids are never used twice");
}

Test(model_undo, an_expired_key_whose_renewal_failed_is_not_announced_again) {
    begin_two_pools();
    struct model_pool *pool = model_find_pool(f.model, "p1");
    struct model_key *key = model_key_by_id(f.model, pool->record->default_key_id);
    fixture_expire_in(&f, key, 1000);
    fixture_pass_and_tick(&f, 1000);
    EXPECT_UNDONE(fixture_stage_set(
        &f, key,
        (struct key_spec){ .has_expires = true, .expires_at_ms = f.cause.now.wall_ms + 1000 },
        NULL));
    fixture_tick(&f);
    cr_assert_null(fixture_event(&f, EVENT_EXPIRED));
}

/* ---- at full size ---- */

enum { MANY = 40000 };

Test(model_undo, the_order_of_a_big_pool_is_taken_back_in_no_time, .timeout = 60) {
    begin_two_pools();
    struct model_pool *pool = model_find_pool(f.model, "p1");
    fixture_load_keys(&f, pool, MANY, UINT64_C(1) << 63, 1000);
    uint32_t count = pool->count;
    struct model_key **order = malloc(count * sizeof(struct model_key *));
    struct model_key **before = malloc(count * sizeof(struct model_key *));
    memcpy(before, pool->order, count * sizeof(struct model_key *));
    for (uint32_t i = 0; i < count; i++)
        order[i] = before[count - 1 - i];
    cr_assert_eq(fixture_stage_order(&f, pool, order, count), 0);
    cr_assert_arr_eq(pool->order, order, count * sizeof(struct model_key *));
    fixture_undo(&f);
    cr_assert_arr_eq(pool->order, before, count * sizeof(struct model_key *));
    free(order);
    free(before);
}

Test(model_undo, a_big_pool_that_was_deleted_comes_back_in_no_time, .timeout = 60) {
    begin_two_pools();
    struct model_pool *pool = model_find_pool(f.model, "p1");
    fixture_load_keys(&f, pool, MANY, UINT64_C(1) << 63, 1000);
    cr_assert_eq(fixture_stage_delete_pool(&f, pool), 0);
    fixture_undo(&f);
    pool = model_find_pool(f.model, "p1");
    cr_assert_eq(pool->count, MANY + 2);
    cr_assert_str_eq(pool->order[MANY + 1]->record->name, "loaded40000");
}

/* Half of the keys go, every other one, as in an import that replaces; processor time in ms. */
static double delete_half(uint32_t keys) {
    struct timespec began, ended;
    struct model_pool *pool = fixture_pool(&f, keys > 8000 ? "many" : "few", "openai");
    fixture_load_keys(&f, pool, keys, UINT64_C(1) << 63, 1000);
    struct model_key **doomed = malloc(keys * sizeof(struct model_key *));
    uint32_t count = 0;
    for (uint32_t i = 1; i < pool->count; i += 2)
        doomed[count++] = pool->order[i];
    changeset_truncate(&f.set, 0);
    f.set.live = false;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began);
    model_loosen(pool);
    for (uint32_t i = count; i-- > 0;)
        cr_assert_eq(model_delete_key(f.model, &f.cause, doomed[i], &f.set, &f.refusal), 0);
    model_tidy(f.model, pool);
    fixture_undo(&f);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended);
    free(doomed);
    return (double)(ended.tv_sec - began.tv_sec) * 1e3 +
           (double)(ended.tv_nsec - began.tv_nsec) / 1e6;
}

Test(model_undo, eight_times_as_many_keys_take_eight_times_as_long_to_delete, .timeout = 60) {
    double few = delete_half(8000), many = delete_half(64000);
    cr_assert_lt(many, few * 30, "%.1f ms for 8,000 keys, %.1f ms for 64,000", few, many);
}

/* ---- pauses ---- */

static unsigned pauses;

/* What a report asks of a pool while many of its keys change: every key once. */
static void look(void *owner) {
    const struct model_pool *pool = model_find_pool(f.model, "p1");
    struct model_key *key = NULL;
    uint64_t sum = 0, of_all = 0;
    size_t i = 0;
    (void)owner;
    if (pauses++ % 64 == 0 && pool) { /* a look at all of them takes long */
        for (uint32_t at = 0; at < pool->count; at++)
            sum += pool->order[at]->record->id;
        while ((key = map_next(&f.model->keys, &i)))
            of_all += key->pool == pool ? key->record->id : 0;
        cr_assert_eq(sum, of_all, "%u of them", pool->count);
    }
}

static void expect_pauses(const char *what) {
    cr_assert_gt(pauses, MANY / 100, "%s: %u pauses", what, pauses);
    model_fixture_check(f.model);
    pauses = 0;
}

Test(model_undo, long_work_pauses_where_every_key_is_whole, .timeout = 60) {
    begin_two_pools();
    struct model_pool *pool = model_find_pool(f.model, "p1");
    fixture_load_keys(&f, pool, MANY, UINT64_C(1) << 63, 1000);
    f.model->pause = (struct pause){ look, NULL };
    struct model_key **order = malloc(pool->count * sizeof(struct model_key *));
    for (uint32_t i = 0; i < pool->count; i++)
        order[i] = pool->order[pool->count - 1 - i];
    cr_assert_eq(fixture_stage_order(&f, pool, order, pool->count), 0);
    expect_pauses("order");
    fixture_undo(&f);
    expect_pauses("order, taken back");
    free(order);
    cr_assert_eq(fixture_stage_delete_pool(&f, pool), 0);
    expect_pauses("delete pool");
    fixture_undo(&f);
    expect_pauses("delete pool, taken back");
    f.model->pause = (struct pause){ 0 };
}
