/*
 * What is to be expected of a pool: the key that would be next, and when an exhausted pool has one
 * again.
 */
#include "tests/support/model_fixture.h"

#include <criterion/criterion.h>

#include "broker/outlook.h"

static struct model_fixture f;
static struct model_pool *pool;
static struct model_key *first, *second, *third;

static void setup(void) {
    model_fixture_init(&f);
    pool = fixture_pool(&f, "main", "openai");
    first = pool->order[0];
    second = fixture_key(&f, pool, "second", NULL);
    third = fixture_key(&f, pool, "third", NULL);
}

static void teardown(void) {
    model_fixture_deinit(&f);
}

TestSuite(outlook, .init = setup, .fini = teardown);

static const struct model_key *next_after(const struct model_key *current) {
    return outlook_next(pool, current ? current->record->id : 0, f.cause.now.wall_ms);
}

static int64_t recovers_in(void) {
    int64_t at = outlook_recovers_at(pool, f.cause.now);
    return at ? at - f.cause.now.wall_ms : 0;
}

Test(outlook, the_next_key_is_the_first_usable_one_beside_the_current) {
    cr_assert_eq(next_after(first), second);
    fixture_disable(&f, second);
    cr_assert_eq(next_after(first), third);
    fixture_report(&f, third, KB_RATE, 20000);
    cr_assert_null(next_after(first));
}

Test(outlook, a_better_key_that_came_back_is_next_after_a_worse_one) {
    cr_assert_eq(next_after(third), first);
}

Test(outlook, an_expired_key_is_never_next) {
    fixture_expire_in(&f, second, 1000);
    cr_assert_eq(next_after(first), second);
    fixture_pass(&f, 1000);
    cr_assert_eq(next_after(first), third);
}

Test(outlook, a_pool_that_uses_no_key_or_all_of_them_has_no_next) {
    cr_assert_null(next_after(NULL));
    fixture_set_pool(&f, pool, (struct pool_spec){ .strategy = STRATEGY_SPREAD });
    cr_assert_null(next_after(first));
}

Test(outlook, an_exhausted_pool_comes_back_with_its_first_key) {
    cr_assert_eq(recovers_in(), 0);
    fixture_report(&f, first, KB_RATE, 90000);
    fixture_report(&f, second, KB_RATE, 20000);
    cr_assert_eq(recovers_in(), 0, "the third is usable");
    fixture_disable(&f, third);
    cr_assert_eq(recovers_in(), 20000);
    fixture_pass(&f, 5000);
    cr_assert_eq(recovers_in(), 15000);
    fixture_pass_and_tick(&f, 15000);
    cr_assert_eq(recovers_in(), 0);
}

Test(outlook, nothing_is_promised_where_only_an_operator_can_help) {
    fixture_disable(&f, first);
    fixture_bring_to(&f, second, KB_STATUS_ERROR);
    fixture_disable(&f, third);
    cr_assert_eq(recovers_in(), 0);
}

Test(outlook, a_key_that_expires_before_it_has_cooled_promises_nothing) {
    fixture_disable(&f, first);
    fixture_disable(&f, third);
    fixture_expire_in(&f, second, 10000);
    fixture_report(&f, second, KB_RATE, 20000);
    cr_assert_eq(recovers_in(), 0);
    cr_assert_eq(outlook_key_recovers_at(second, f.cause.now), f.cause.now.wall_ms + 20000);
}
