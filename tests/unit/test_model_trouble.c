/*
 * When it is not the key: endpoints that fail, and the mass-failure guard. Both forget within
 * seconds, so most of these tests are about time.
 */
#include <criterion/criterion.h>

#include "tests/support/model_fixture.h"

static struct model_fixture f;
static struct model_pool *pool;
static struct model_key *keys[8];

static void setup(void) {
    model_fixture_init(&f);
    struct pool_spec spec = { .name = "main", .vendor = "deepseek" };
    cr_assert_eq(fixture_stage_pool(&f, &spec, NULL), 0);
    fixture_publish(&f);
    pool = model_find_pool(f.model, "main");
    keys[0] = pool->order[0];
    for (int i = 1; i < 8; i++)
        keys[i] = fixture_key(&f, pool, NULL, NULL);
}

static void teardown(void) {
    model_fixture_deinit(&f);
}

TestSuite(guard, .init = setup, .fini = teardown);
TestSuite(endpoint, .init = setup, .fini = teardown);

static enum report_fate invalid(int key) {
    return fixture_report(&f, keys[key], KB_INVALID, KB_NO_HINT);
}

static void expect_status(int key, kb_status status) {
    cr_expect_eq(fixture_status(&f, keys[key]), status, "key %d is %s", key + 1,
                 model_status_name(fixture_status(&f, keys[key])));
}

/* ---- the guard ---- */

Test(guard, half_of_the_keys_may_fail_and_no_more) {
    for (int i = 0; i < 4; i++)
        cr_assert_eq(invalid(i), FATE_APPLIED);
    cr_assert_not(model_guard_is_on(pool));
    cr_assert_eq(invalid(4), FATE_GUARDED);
    cr_assert(model_guard_is_on(pool));
    const struct event *event = fixture_event(&f, EVENT_GUARD);
    cr_assert_str_eq(
        event->reason,
        "guard on: 5 of 8 keys failed at once, it may not be the keys; 4 stay benched");
    expect_status(3, KB_STATUS_ERROR);
    expect_status(4, KB_STATUS_NORMAL);
}

Test(guard, failures_that_are_far_apart_are_the_keys_own) {
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(invalid(i), FATE_APPLIED);
        fixture_pass_and_tick(&f, 11000);
    }
    cr_assert_not(model_guard_is_on(pool));
}

Test(guard, it_ends_a_minute_after_its_last_trigger) {
    for (int i = 0; i < 5; i++)
        invalid(i);
    fixture_pass_and_tick(&f, 40000);
    cr_assert_eq(invalid(5), FATE_GUARDED);
    fixture_pass_and_tick(&f, 59000);
    cr_assert(model_guard_is_on(pool));
    cr_assert_leq(model_next_tick(f.model, f.cause.now), f.cause.now.mono_ms + 1000);
    fixture_pass_and_tick(&f, 1000);
    cr_assert_not(model_guard_is_on(pool));
    cr_assert_eq(f.model->guards, 0);
    cr_assert_eq(invalid(5), FATE_APPLIED);
}

Test(guard, a_rate_limit_without_a_hint_cools_briefly_while_it_holds) {
    for (int i = 0; i < 5; i++)
        invalid(i);
    cr_assert_eq(fixture_report(&f, keys[5], KB_RATE, KB_NO_HINT), FATE_APPLIED);
    cr_assert_leq(keys[5]->state.deadline_mono, f.cause.now.mono_ms + 5000);
    cr_assert_eq(keys[5]->state.backoff, 0, "it may not be the key");
    cr_assert_eq(fixture_report(&f, keys[6], KB_RATE, 60000), FATE_APPLIED);
    cr_assert_eq(keys[6]->state.deadline_mono, f.cause.now.mono_ms + 60000, "a hint is believed");
}

Test(guard, a_used_up_quota_is_never_guarded) {
    for (int i = 0; i < 8; i++)
        cr_assert_eq(fixture_report(&f, keys[i], KB_QUOTA, KB_NO_HINT), FATE_APPLIED);
    cr_assert_not(model_guard_is_on(pool));
}

Test(guard, a_pool_of_one_key_is_not_guarded) {
    struct pool_spec spec = { .name = "single", .vendor = "deepseek" };
    cr_assert_eq(fixture_stage_pool(&f, &spec, NULL), 0);
    fixture_publish(&f);
    struct model_key *only = model_find_pool(f.model, "single")->order[0];
    cr_assert_eq(fixture_report(&f, only, KB_INVALID, KB_NO_HINT), FATE_APPLIED);
}

Test(guard, a_pool_of_two_keeps_one) {
    struct pool_spec spec = { .name = "pair", .vendor = "deepseek" };
    cr_assert_eq(fixture_stage_pool(&f, &spec, NULL), 0);
    fixture_publish(&f);
    struct model_pool *pair = model_find_pool(f.model, "pair");
    struct model_key *first = pair->order[0], *second = fixture_key(&f, pair, NULL, NULL);
    cr_assert_eq(fixture_report(&f, first, KB_INVALID, KB_NO_HINT), FATE_APPLIED);
    cr_assert_eq(fixture_report(&f, second, KB_INVALID, KB_NO_HINT), FATE_GUARDED);
    cr_assert_eq(fixture_status(&f, second), KB_STATUS_NORMAL);
}

Test(guard, keys_that_expired_are_none_to_fall_back_on) {
    for (int i = 3; i < 8; i++)
        fixture_expire_in(&f, keys[i], 1000);
    fixture_pass_and_tick(&f, 2000);
    cr_assert_eq(invalid(0), FATE_APPLIED);
    cr_assert_eq(invalid(1), FATE_GUARDED, "two of three");
}

/* ---- reports that reach an account ---- */

static enum report_fate account_report(int key, kb_outcome outcome) {
    struct report report = { .key_id = keys[key]->record->id,
                             .generation = f.generation,
                             .hint_ms = KB_NO_HINT,
                             .outcome = outcome,
                             .scope = KB_SCOPE_ACCOUNT,
                             .count = 1,
                             .vendor_code = "" };
    return fixture_report_full(&f, pool, report);
}

static void share_accounts(int keys_each) {
    static const char *const LABELS[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
    for (int i = 0; i < 8; i++)
        fixture_set(&f, keys[i], (struct key_spec){ .account = LABELS[i / keys_each] }, NULL);
}

Test(guard, the_rate_limit_of_a_single_account_is_no_mass_failure) {
    share_accounts(8);
    cr_assert_eq(account_report(0, KB_RATE), FATE_APPLIED);
    cr_assert_not(model_guard_is_on(pool));
    for (int i = 0; i < 8; i++)
        cr_assert_eq(keys[i]->state.deadline_mono, f.cause.now.mono_ms + 30000, "key %d", i + 1);
}

Test(guard, a_report_is_held_or_let_through_with_all_keys_of_its_account) {
    share_accounts(2);
    cr_assert_eq(account_report(0, KB_RATE), FATE_APPLIED);
    cr_assert_eq(account_report(2, KB_RATE), FATE_APPLIED);
    cr_assert_not(model_guard_is_on(pool), "half of the keys");
    account_report(4, KB_RATE);
    cr_assert(model_guard_is_on(pool));
    static const int64_t COOLING_MS[] = { 30000, 30000, 30000, 30000, 5000, 5000 };
    for (int i = 0; i < 6; i++)
        cr_assert_eq(keys[i]->state.deadline_mono, f.cause.now.mono_ms + COOLING_MS[i], "key %d",
                     i + 1);
    expect_status(6, KB_STATUS_NORMAL);
}

Test(guard, a_closed_account_that_has_most_of_the_keys_is_held) {
    share_accounts(8);
    cr_assert_eq(account_report(0, KB_INVALID), FATE_GUARDED);
    for (int i = 0; i < 8; i++)
        expect_status(i, KB_STATUS_NORMAL);
}

Test(guard, its_share_can_be_set_and_setting_it_ends_it) {
    fixture_set_pool(&f, pool, (struct pool_spec){ .guard = "25%" });
    cr_assert_eq(invalid(0), FATE_APPLIED);
    cr_assert_eq(invalid(1), FATE_APPLIED);
    cr_assert_eq(invalid(2), FATE_GUARDED);
    fixture_set_pool(&f, pool, (struct pool_spec){ .guard = "off" });
    cr_assert_not(model_guard_is_on(pool));
    for (int i = 2; i < 8; i++)
        cr_assert_eq(invalid(i), FATE_APPLIED);
}

Test(guard, what_is_no_share_is_refused) {
    static const char *const BAD[] = { "", "0", "100", "101%", "half", "-5", "5%%", "on " };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        cr_expect_eq(fixture_stage_set_pool(&f, pool, (struct pool_spec){ .guard = BAD[i] }), 400,
                     "%s", BAD[i]);
}

Test(guard, deleting_a_guarded_pool_forgets_its_guard) {
    for (int i = 0; i < 5; i++)
        invalid(i);
    cr_assert_eq(f.model->guards, 1);
    cr_assert_eq(fixture_stage_delete_pool(&f, pool), 0);
    cr_assert_eq(f.model->guards, 0);
    fixture_publish(&f);
}

/* ---- endpoints ---- */

static void point(int key, const char *url) {
    char config[128];
    snprintf(config, sizeof config, "{\"base_url\":\"%s\"}", url);
    fixture_set(&f, keys[key], (struct key_spec){ 0 }, config);
}

static enum report_fate overload(int key) {
    return fixture_report(&f, keys[key], KB_OVERLOAD, KB_NO_HINT);
}

Test(endpoint, three_failures_within_ten_seconds_cool_its_keys) {
    point(0, "http://dead.test/v1");
    point(1, "http://dead.test/v1");
    cr_assert_eq(overload(0), FATE_NOTED);
    cr_assert_eq(overload(1), FATE_NOTED);
    cr_assert_eq(fixture_report(&f, keys[0], KB_NETWORK, KB_NO_HINT), FATE_APPLIED);
    expect_status(0, KB_STATUS_COOLING);
    expect_status(1, KB_STATUS_COOLING);
    expect_status(2, KB_STATUS_NORMAL);
    cr_assert_eq(keys[0]->state.deadline_mono, f.cause.now.mono_ms + 10000);
    cr_assert_eq(keys[0]->state.backoff, 0);
    fixture_pass_and_tick(&f, 10000);
    expect_status(0, KB_STATUS_NORMAL);
}

Test(endpoint, the_last_usable_endpoint_is_never_cooled) {
    for (int i = 0; i < 9; i++)
        cr_assert_eq(overload(i % 8), FATE_NOTED);
    for (int i = 0; i < 8; i++)
        expect_status(i, KB_STATUS_NORMAL);
}

Test(endpoint, failures_that_are_far_apart_do_not_add_up) {
    point(0, "http://dead.test/v1");
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(overload(0), FATE_NOTED);
        fixture_pass_and_tick(&f, 5100);
    }
}

Test(endpoint, a_success_between_starts_the_count_anew) {
    point(0, "http://dead.test/v1");
    overload(0);
    overload(0);
    fixture_report(&f, keys[0], KB_SUCCESS, KB_NO_HINT);
    cr_assert_eq(overload(0), FATE_NOTED);
    cr_assert_eq(overload(0), FATE_NOTED);
    cr_assert_eq(overload(0), FATE_APPLIED);
}

Test(endpoint, successes_are_asked_for_from_the_first_failure_until_one_comes) {
    point(0, "http://dead.test/v1");
    cr_assert_not(trouble_is_doubtful(&pool->trouble));
    overload(0);
    cr_assert(trouble_is_doubtful(&pool->trouble));
    fixture_report(&f, keys[1], KB_SUCCESS, KB_NO_HINT);
    cr_assert(trouble_is_doubtful(&pool->trouble), "that was another endpoint");
    fixture_report(&f, keys[0], KB_SUCCESS, KB_NO_HINT);
    cr_assert_not(trouble_is_doubtful(&pool->trouble));
    overload(0);
    overload(0);
    overload(0);
    cr_assert_not(trouble_is_doubtful(&pool->trouble), "no doubt any more: its keys cool");
    expect_status(0, KB_STATUS_COOLING);
}

Test(endpoint, what_is_too_old_to_count_is_forgotten_at_the_next_success_anywhere) {
    point(0, "http://dead.test/v1");
    overload(0);
    fixture_pass_and_tick(&f, 10001);
    fixture_report(&f, keys[1], KB_SUCCESS, KB_NO_HINT);
    cr_assert_not(trouble_is_doubtful(&pool->trouble));
}

Test(endpoint, a_new_base_url_counts_from_then_on) {
    point(0, "http://dead.test/v1");
    overload(0);
    overload(0);
    point(0, "http://alive.test/v1");
    cr_assert_eq(overload(0), FATE_NOTED);
    expect_status(0, KB_STATUS_NORMAL);
}

Test(endpoint, a_new_base_url_of_the_pool_counts_for_all_its_keys) {
    point(0, "http://own.test/v1");
    overload(1);
    overload(1);
    fixture_set_pool(&f, pool, (struct pool_spec){ .base_url = "http://other.test/v1" });
    cr_assert_eq(overload(1), FATE_NOTED);
    cr_assert_eq(overload(1), FATE_NOTED);
    cr_assert_eq(overload(1), FATE_APPLIED);
    expect_status(0, KB_STATUS_NORMAL);
}

Test(endpoint, more_endpoints_than_are_remembered_do_no_harm) {
    struct trouble trouble = { 0 };
    for (uint64_t round = 0; round < 3; round++)
        for (uint64_t i = 1; i <= 100; i++)
            cr_assert_not(trouble_endpoint_failed(&trouble, i, (int64_t)(round * 100 + i)));
    cr_assert_not(trouble_endpoint_failed(&trouble, 500, 1000));
    cr_assert_not(trouble_endpoint_failed(&trouble, 500, 1001));
    cr_assert(trouble_endpoint_failed(&trouble, 500, 1002));
    trouble_endpoint_answered(&trouble, 100, 1000000);
    cr_assert_not(trouble_is_doubtful(&trouble), "all of them too old");
}

/* ---- requests ---- */

Test(guard, what_a_rule_says_of_the_request_alone_costs_no_key_anything) {
    static const kb_outcome OUTCOMES[] = { KB_INVALID, KB_QUOTA,    KB_RATE,
                                           KB_REQUEST, KB_OVERLOAD, KB_NETWORK };
    for (size_t i = 0; i < sizeof OUTCOMES / sizeof *OUTCOMES; i++) {
        struct report report = { .key_id = keys[0]->record->id,
                                 .generation = f.generation,
                                 .hint_ms = KB_NO_HINT,
                                 .outcome = OUTCOMES[i],
                                 .scope = KB_SCOPE_REQUEST,
                                 .count = 1,
                                 .vendor_code = "" };
        for (int again = 0; again < 4; again++)
            cr_assert_eq(fixture_report_full(&f, pool, report), FATE_NOTED);
        expect_status(0, KB_STATUS_NORMAL);
    }
}
