/*
 * The order of a pool's keys at one moment, copied piece by piece while the pool may change, and
 * shared by all lists of that moment.
 */
#include "tests/support/model_fixture.h"

#include <criterion/criterion.h>

#include "broker/roll.h"

enum { KEYS = 10000 };

static struct model_fixture f;
static struct model_pool *pool;
static struct roll *rolls;

static void setup(void) {
    model_fixture_init(&f);
    pool = fixture_pool(&f, "main", "openai");
    fixture_load_keys(&f, pool, KEYS, UINT64_C(1) << 63, 1000);
}

static void teardown(void) {
    cr_assert_null(rolls, "a roll was kept");
    model_fixture_deinit(&f);
}

TestSuite(roll, .init = setup, .fini = teardown);

static unsigned fill(struct roll *roll) {
    unsigned steps = 1;
    while (!roll_fill(roll, f.model))
        steps++;
    return steps;
}

static void expect_order(const struct roll *roll) {
    cr_assert_eq(roll->count, pool->count);
    for (uint32_t i = 0; i < pool->count; i++)
        cr_assert_eq(roll->ids[i], pool->order[i]->record->id);
}

Test(roll, lists_of_one_moment_share_it) {
    struct roll *first = roll_of(&rolls, pool), *second = roll_of(&rolls, pool);
    cr_assert_eq(first, second);
    cr_assert_gt(fill(first), 10, "not all at once");
    expect_order(first);
    cr_assert_null(roll_unref(first));
    cr_assert_eq(roll_of(&rolls, pool), second, "it is there while anybody needs it");
    roll_unref(second);
    roll_unref(second);
    cr_assert_null(roll_unref(NULL));
}

Test(roll, a_whole_one_stays_as_it_is_and_a_later_list_has_another) {
    struct roll *before = roll_of(&rolls, pool);
    fill(before);
    uint64_t first_id = pool->order[0]->record->id;
    cr_assert_eq(fixture_stage_move(&f, pool->order[0], 500), 0);
    fixture_publish(&f);
    struct roll *after = roll_of(&rolls, pool);
    cr_assert_neq(before, after);
    fill(after);
    expect_order(after);
    cr_assert_eq(before->ids[0], first_id);
    cr_assert_eq(before->count, after->count);
    roll_unref(before);
    roll_unref(after);
}

Test(roll, one_that_is_not_whole_begins_anew_when_the_order_changes) {
    struct roll *roll = roll_of(&rolls, pool);
    roll_fill(roll, f.model);
    cr_assert_eq(fixture_stage_move(&f, pool->order[9000], 0), 0);
    fixture_publish(&f);
    fill(roll);
    expect_order(roll);
    roll_unref(roll);
}

Test(roll, a_change_that_is_taken_back_leaves_no_trace) {
    struct roll *before = roll_of(&rolls, pool);
    cr_assert_eq(fixture_stage_move(&f, pool->order[9000], 0), 0);
    struct roll *staged = roll_of(&rolls, pool);
    fill(staged);
    fixture_undo(&f);
    cr_assert_eq(roll_of(&rolls, pool), before);
    fill(before);
    expect_order(before);
    roll_unref(before);
    roll_unref(before);
    roll_unref(staged);
}

Test(roll, a_pool_that_is_changed_on_and_on_is_copied_all_the_same) {
    struct roll *roll = roll_of(&rolls, pool);
    unsigned changes = 0;
    while (!roll_fill(roll, f.model)) {
        cr_assert_eq(fixture_stage_move(&f, pool->order[9000], 0), 0);
        fixture_publish(&f);
        cr_assert_lt(++changes, 100, "it never comes to its end");
    }
    expect_order(roll);
    roll_unref(roll);
}

Test(roll, of_a_pool_that_is_deleted_has_an_end) {
    struct roll *roll = roll_of(&rolls, pool);
    cr_assert_eq(fixture_stage_delete_pool(&f, pool), 0);
    fixture_publish(&f);
    fill(roll);
    roll_unref(roll);
}
