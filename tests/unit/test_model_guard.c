/*
 * What the mass-failure guard holds back, and what proves it: keys that are bad although the guard
 * is on are benched as soon as another answers, and an outage, a blocked worker or a late answer
 * bench none.
 */
#include <criterion/criterion.h>

#include "tests/support/model_fixture.h"

enum { KEYS_MAX = 300 };
static struct model_fixture f;
static struct model_pool *pool;
static struct model_key *keys[KEYS_MAX];

static void make_pool(int count) {
    struct pool_spec spec = { .name = "main", .vendor = "deepseek" };
    cr_assert_eq(fixture_stage_pool(&f, &spec, NULL), 0);
    fixture_publish(&f);
    pool = model_find_pool(f.model, "main");
    keys[0] = pool->order[0];
    for (int i = 1; i < count; i++)
        keys[i] = fixture_key(&f, pool, NULL, NULL);
}

static void setup(void) {
    model_fixture_init(&f);
}

static void teardown(void) {
    model_fixture_deinit(&f);
}

TestSuite(guard_proof, .init = setup, .fini = teardown);

static enum report_fate invalid(int key) {
    return fixture_report(&f, keys[key], KB_INVALID, KB_NO_HINT);
}

static enum report_fate good(int key) {
    return fixture_report(&f, keys[key], KB_SUCCESS, KB_NO_HINT);
}

static void as_worker(uint32_t pid) {
    f.worker.pid = pid;
}

static void expect(int from, int to, kb_status status) {
    for (int i = from; i <= to; i++)
        cr_expect_eq(fixture_status(&f, keys[i]), status, "key %d is %s", i + 1,
                     model_status_name(fixture_status(&f, keys[i])));
}

/* Of eight: four are benched before it comes on, the others held. */
static void fail_all_of_eight(void) {
    for (int i = 0; i < 8; i++)
        invalid(i);
    cr_assert(model_guard_is_on(pool));
    cr_assert_eq(model_guard_held(pool), 4);
    expect(0, 3, KB_STATUS_ERROR);
    expect(4, 7, KB_STATUS_NORMAL);
}

/* ---- it is the keys ---- */

Test(guard_proof, two_bad_keys_of_three_are_benched_when_the_third_answers) {
    make_pool(3);
    cr_assert_eq(invalid(0), FATE_APPLIED);
    cr_assert_eq(invalid(1), FATE_GUARDED);
    cr_assert_eq(model_guard_held(pool), 1);
    cr_assert_eq(good(2), FATE_APPLIED);
    cr_assert_not(model_guard_is_on(pool));
    cr_assert_eq(f.model->guards, 0);
    expect(0, 1, KB_STATUS_ERROR);
    expect(2, 2, KB_STATUS_NORMAL);
    cr_assert_str_eq(fixture_event(&f, EVENT_GUARD)->reason,
                     "guard off: another key works, so it was the keys: 1 more");
    cr_assert_str_eq(keys[1]->state.reason, "the vendor refuses the key");
    cr_assert_eq(keys[1]->state.last_outcome, KB_INVALID);
}

Test(guard_proof, one_good_key_of_ten_is_enough) {
    make_pool(10);
    for (int i = 0; i < 9; i++)
        cr_assert_eq(invalid(i), i < 5 ? FATE_APPLIED : FATE_GUARDED);
    cr_assert_eq(good(9), FATE_APPLIED);
    expect(0, 8, KB_STATUS_ERROR);
    expect(9, 9, KB_STATUS_NORMAL);
    cr_assert_not(model_guard_is_on(pool));
    cr_assert_eq(invalid(9), FATE_GUARDED, "the last key is held again");
}

Test(guard_proof, a_request_every_twelve_seconds_is_often_enough) {
    make_pool(3);
    uint64_t handed_out = f.generation;
    invalid(0);
    invalid(1);
    fixture_report_at(&f, keys[2], handed_out, KB_SUCCESS, KB_NO_HINT);
    expect(1, 1, KB_STATUS_NORMAL);
    fixture_pass_and_tick(&f, 12000);
    cr_assert_eq(invalid(1), FATE_GUARDED, "it is tried again");
    cr_assert_eq(good(2), FATE_APPLIED);
    expect(0, 1, KB_STATUS_ERROR);
    cr_assert_not(model_guard_is_on(pool));
}

Test(guard_proof, many_workers_that_fail_and_go_on_agree) {
    make_pool(3);
    invalid(0);
    for (uint32_t pid = 1; pid <= 50; pid++) {
        as_worker(pid);
        invalid(1);
    }
    for (uint32_t pid = 1; pid <= 50; pid++) {
        as_worker(pid);
        good(2);
    }
    expect(0, 1, KB_STATUS_ERROR);
    cr_assert_not(model_guard_is_on(pool));
}

Test(guard_proof, workers_that_tell_of_failures_only_are_not_held_for_ever) {
    make_pool(3);
    invalid(0);
    for (int second = 0; second < 60; second += 5) {
        cr_assert_eq(invalid(1), FATE_GUARDED, "second %d", second);
        fixture_pass_and_tick(&f, 5000);
    }
    cr_assert_not(model_guard_is_on(pool), "only a key that had not failed yet prolongs it");
    cr_assert_eq(model_guard_held(pool), 0);
    cr_assert_eq(invalid(1), FATE_APPLIED);
}

Test(guard_proof, a_good_key_that_is_often_rate_limited_does_not_keep_the_guard_on) {
    make_pool(3);
    invalid(0);
    invalid(1);
    fixture_report(&f, keys[2], KB_RATE, KB_NO_HINT);
    for (int second = 0; second < 60; second += 6) {
        cr_assert_eq(invalid(1), FATE_GUARDED, "second %d", second);
        fixture_pass_and_tick(&f, 5000);
        cr_assert_eq(good(2), FATE_UNCHANGED, "it has failed itself");
        fixture_report(&f, keys[2], KB_RATE, KB_NO_HINT);
        fixture_pass_and_tick(&f, 1000);
    }
    fixture_pass_and_tick(&f, 5000);
    cr_assert_not(model_guard_is_on(pool));
}

Test(guard_proof, what_is_held_of_very_many_takes_effect_in_pieces) {
    make_pool(KEYS_MAX);
    for (int i = 0; i < KEYS_MAX - 1; i++)
        invalid(i);
    uint32_t held = model_guard_held(pool);
    cr_assert_gt(held, 2 * GUARD_PIECE);
    for (; held > GUARD_PIECE; held -= GUARD_PIECE) {
        cr_assert_eq(good(KEYS_MAX - 1), FATE_APPLIED);
        cr_assert_eq(model_guard_held(pool), held - GUARD_PIECE);
        cr_assert(model_guard_is_on(pool));
    }
    cr_assert_eq(good(KEYS_MAX - 1), FATE_APPLIED);
    cr_assert_not(model_guard_is_on(pool));
    expect(0, KEYS_MAX - 2, KB_STATUS_ERROR);
}

Test(guard_proof, rate_limits_are_the_keys_own_when_another_answers) {
    make_pool(4);
    for (int i = 0; i < 3; i++)
        fixture_report(&f, keys[i], KB_RATE, KB_NO_HINT);
    cr_assert(model_guard_is_on(pool));
    good(3);
    cr_assert_not(model_guard_is_on(pool));
}

/* ---- it is not the keys ---- */

Test(guard_proof, the_end_of_an_outage_benches_nothing) {
    make_pool(8);
    fail_all_of_eight();
    for (int i = 4; i < 8; i++)
        cr_assert_eq(good(i), FATE_UNCHANGED);
    cr_assert_eq(model_guard_held(pool), 0, "what works is let go");
    fixture_pass_and_tick(&f, GUARD_HOLD_MS);
    cr_assert_not(model_guard_is_on(pool));
    expect(4, 7, KB_STATUS_NORMAL);
}

Test(guard_proof, an_outage_of_an_hour_benches_nothing_more) {
    make_pool(8);
    fail_all_of_eight();
    for (int second = 0; second < 3600; second += 12) {
        for (int i = 4; i < 8; i++)
            cr_assert_eq(invalid(i), FATE_GUARDED, "second %d", second);
        fixture_pass_and_tick(&f, 12000);
    }
    expect(4, 7, KB_STATUS_NORMAL);
}

Test(guard_proof, an_outage_of_one_vendor_benches_nothing_more_beside_another) {
    make_pool(9);
    fixture_set(&f, keys[8], (struct key_spec){ 0 }, "{\"base_url\":\"http://other.test/v1\"}");
    for (int i = 0; i < 8; i++)
        invalid(i);
    cr_assert(model_guard_is_on(pool));
    for (int second = 0; second < 600; second += 12) {
        for (int i = 5; i < 8; i++)
            cr_assert_eq(invalid(i), FATE_GUARDED, "second %d", second);
        good(8);
        fixture_pass_and_tick(&f, 12000);
    }
    expect(5, 8, KB_STATUS_NORMAL);
}

Test(guard_proof, keys_that_have_an_endpoint_each_are_not_held_for_ever) {
    make_pool(3);
    for (int i = 0; i < 3; i++) {
        char config[64];
        snprintf(config, sizeof config, "{\"base_url\":\"http://r%d.test/v1\"}", i);
        fixture_set(&f, keys[i], (struct key_spec){ 0 }, config);
    }
    invalid(0);
    for (int second = 0; second < 60; second += 5) {
        cr_assert_eq(invalid(1), FATE_GUARDED, "second %d", second);
        good(2);
        fixture_pass_and_tick(&f, 5000);
    }
    cr_assert_eq(invalid(1), FATE_APPLIED);
}

Test(guard_proof, an_outage_leaves_a_pool_of_two_its_second_key) {
    make_pool(2);
    invalid(0);
    for (int second = 0; second < 600; second += 12) {
        cr_assert_eq(invalid(1), FATE_GUARDED);
        fixture_pass_and_tick(&f, 12000);
    }
    cr_assert_eq(good(1), FATE_UNCHANGED);
    expect(1, 1, KB_STATUS_NORMAL);
}

Test(guard_proof, an_answer_to_a_request_from_before_proves_nothing) {
    make_pool(4);
    uint64_t handed_out = f.generation;
    for (int i = 0; i < 3; i++)
        invalid(i);
    cr_assert(model_guard_is_on(pool));
    uint64_t before_guard = f.generation - 1;
    fixture_report_at(&f, keys[3], handed_out, KB_SUCCESS, KB_NO_HINT);
    fixture_report_at(&f, keys[3], before_guard, KB_SUCCESS, KB_NO_HINT);
    expect(2, 3, KB_STATUS_NORMAL);
    cr_assert(model_guard_is_on(pool));
    cr_assert_eq(good(3), FATE_APPLIED, "but one from since does");
}

Test(guard_proof, an_answer_of_another_endpoint_proves_nothing) {
    make_pool(4);
    fixture_set(&f, keys[3], (struct key_spec){ 0 }, "{\"base_url\":\"http://other.test/v1\"}");
    for (int i = 0; i < 3; i++)
        invalid(i);
    cr_assert_eq(good(3), FATE_UNCHANGED);
    expect(2, 2, KB_STATUS_NORMAL);
    cr_assert(model_guard_is_on(pool));
}

Test(guard_proof, each_endpoint_is_proved_by_its_own) {
    make_pool(8);
    for (int i = 5; i < 8; i++)
        fixture_set(&f, keys[i], (struct key_spec){ 0 }, "{\"base_url\":\"http://other.test/v1\"}");
    for (int i = 0; i < 4; i++)
        invalid(i);
    invalid(5);
    invalid(6);
    cr_assert_eq(model_guard_held(pool), 2);
    cr_assert_eq(good(4), FATE_UNCHANGED, "nothing is held of its endpoint");
    expect(5, 6, KB_STATUS_NORMAL);
    cr_assert_eq(good(7), FATE_APPLIED);
    expect(5, 6, KB_STATUS_ERROR);
    cr_assert_not(model_guard_is_on(pool));
}

/* One worker's way out is blocked: all that it tries fails. Another's is not. */
Test(guard_proof, a_blocked_worker_is_not_believed_because_others_are_not_blocked) {
    make_pool(8);
    as_worker(1);
    fail_all_of_eight();
    for (int second = 0; second < 1200; second += 5) {
        as_worker(1);
        for (int i = 4; i < 8; i++)
            cr_assert_eq(invalid(i), FATE_GUARDED, "second %d", second);
        as_worker(2);
        good(4);
        fixture_pass_and_tick(&f, 5000);
    }
    expect(4, 7, KB_STATUS_NORMAL);
}

Test(guard_proof, a_key_that_the_blocked_worker_has_not_met_proves_nothing_for_it) {
    make_pool(8);
    as_worker(1);
    for (int i = 0; i < 6; i++)
        invalid(i);
    as_worker(2);
    cr_assert_eq(good(7), FATE_UNCHANGED);
    expect(4, 7, KB_STATUS_NORMAL);
    cr_assert(model_guard_is_on(pool));
    as_worker(1);
    cr_assert_eq(good(7), FATE_APPLIED);
    expect(4, 5, KB_STATUS_ERROR);
}

Test(guard_proof, a_key_that_is_benched_already_gets_no_worse_while_it_holds) {
    make_pool(8);
    fixture_report(&f, keys[6], KB_RATE, 60000);
    fixture_report(&f, keys[7], KB_QUOTA, KB_NO_HINT);
    for (int i = 0; i < 6; i++)
        invalid(i);
    cr_assert(model_guard_is_on(pool));
    cr_assert_eq(invalid(6), FATE_GUARDED);
    cr_assert_eq(invalid(7), FATE_GUARDED);
    expect(6, 6, KB_STATUS_COOLING);
    expect(7, 7, KB_STATUS_EXCEEDED);
}

/* ---- what operators do meanwhile ---- */

Test(guard_proof, a_key_that_was_enabled_or_renewed_since_is_not_benched) {
    make_pool(10);
    for (int i = 0; i < 9; i++)
        invalid(i);
    fixture_disable(&f, keys[5]);
    fixture_enable(&f, keys[5]);
    cr_assert_eq(fixture_stage_enable(&f, keys[6]), 0, "it is normal, and stays so");
    fixture_publish(&f);
    fixture_set(&f, keys[7], (struct key_spec){ 0 }, "{\"api_key\":\"sk-renewed-0123456789\"}");
    cr_assert_eq(model_guard_held(pool), 1);
    good(9);
    expect(5, 7, KB_STATUS_NORMAL);
    expect(8, 8, KB_STATUS_ERROR);
}

Test(guard_proof, a_key_that_a_command_is_under_way_to_is_not_benched) {
    make_pool(3);
    invalid(0);
    invalid(1);
    struct model_key *held = keys[1];
    held->pending++; /* as of a command that the disk has not got yet */
    cr_assert_eq(good(2), FATE_UNCHANGED);
    held->pending--;
    expect(1, 1, KB_STATUS_NORMAL);
}

Test(guard_proof, a_key_that_is_deleted_disabled_or_expires_is_held_no_longer) {
    make_pool(10);
    for (int i = 0; i < 9; i++)
        invalid(i);
    cr_assert_eq(model_guard_held(pool), 4);
    cr_assert_eq(fixture_stage_delete(&f, keys[5]), 0);
    fixture_publish(&f);
    fixture_disable(&f, keys[6]);
    fixture_expire_in(&f, keys[7], 1000);
    fixture_pass_and_tick(&f, 1000);
    cr_assert_eq(model_guard_held(pool), 1);
    good(9);
    expect(6, 6, KB_STATUS_DISABLED);
    expect(8, 8, KB_STATUS_ERROR);
}

Test(guard_proof, setting_the_guard_forgets_what_it_held) {
    make_pool(3);
    invalid(0);
    invalid(1);
    fixture_set_pool(&f, pool, (struct pool_spec){ .guard = "off" });
    cr_assert_eq(model_guard_held(pool), 0);
    cr_assert_eq(good(2), FATE_UNCHANGED);
    expect(1, 1, KB_STATUS_NORMAL);
    cr_assert_eq(invalid(1), FATE_APPLIED);
}

Test(guard_proof, deleting_its_pool_takes_what_it_held_along) {
    make_pool(3);
    invalid(0);
    invalid(1);
    cr_assert_eq(fixture_stage_delete_pool(&f, pool), 0);
    fixture_publish(&f);
    cr_assert_eq(f.model->guards, 0);
}

/* ---- accounts ---- */

static void label(int key, const char *account) {
    fixture_set(&f, keys[key], (struct key_spec){ .account = account }, NULL);
}

Test(guard_proof, an_account_that_was_closed_is_one_failure_however_many_keys_it_has) {
    make_pool(7);
    for (int i = 0; i < 5; i++)
        label(i, "closed");
    for (int i = 0; i < 5; i++)
        cr_assert_eq(invalid(i), FATE_APPLIED, "key %d", i + 1);
    cr_assert_not(model_guard_is_on(pool));
    cr_assert_eq(invalid(5), FATE_GUARDED, "the second account of three");
    cr_assert_str_eq(
        fixture_event(&f, EVENT_GUARD)->reason,
        "guard on: 2 of 3 accounts failed at once, it may not be the keys; 5 stay benched");
}

Test(guard_proof, keys_are_counted_where_all_are_of_one_account) {
    make_pool(6);
    for (int i = 0; i < 6; i++)
        label(i, "only");
    for (int i = 0; i < 6; i++)
        cr_assert_eq(invalid(i), i < 3 ? FATE_APPLIED : FATE_GUARDED, "key %d", i + 1);
}
