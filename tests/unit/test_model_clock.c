/*
 * What time does to keys: recoveries by every policy, what is due when, a clock that is set, and a
 * machine that was started anew.
 */
#include "tests/support/model_fixture.h"

#include <string.h>

#include <criterion/criterion.h>

#define SECOND INT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

static struct model_fixture f;
static struct model_pool *pool;
static struct model_key *key;

static void setup(void) {
    model_fixture_init(&f);
    pool = fixture_pool(&f, "main", "openai");
    key = pool->order[0];
}

static void teardown(void) {
    model_fixture_deinit(&f);
}

TestSuite(model_recovery, .init = setup, .fini = teardown);
TestSuite(model_tick, .init = setup, .fini = teardown);
TestSuite(model_boot, .init = setup, .fini = teardown);

static kb_status status(const struct model_key *of) {
    return fixture_status(&f, of);
}

static void exceeded_recovery(const char *policy) {
    fixture_set_pool(&f, pool, (struct pool_spec){ .exceeded_recovery = policy });
}

static void error_recovery(const char *policy) {
    fixture_set_pool(&f, pool, (struct pool_spec){ .error_recovery = policy });
}

static void expect_recovery_in(int64_t ms) {
    cr_assert_eq(key->state.deadline_wall, f.cause.now.wall_ms + ms);
    cr_assert_eq(key->state.deadline_mono, f.cause.now.mono_ms + ms);
    kb_status before = status(key);
    fixture_pass_and_tick(&f, ms - 1);
    cr_assert_eq(status(key), before);
    fixture_pass_and_tick(&f, 1);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
    cr_assert_str_eq(key->state.reason, "recovered");
}

/* ---- policies ---- */

Test(model_recovery, an_exceeded_key_comes_back_after_the_pools_duration) {
    exceeded_recovery("6h");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    expect_recovery_in(6 * HOUR);
}

Test(model_recovery, an_exceeded_key_comes_back_at_the_hour_of_the_day) {
    exceeded_recovery("daily@14:30");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    expect_recovery_in(2 * HOUR + HOUR / 2);
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    expect_recovery_in(DAY);
}

Test(model_recovery, the_hour_of_the_day_may_be_another_zones) {
    exceeded_recovery("daily@00:00-08:00");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    expect_recovery_in(20 * HOUR); /* 12:00 UTC → 08:00 UTC */
}

Test(model_recovery, an_exceeded_key_comes_back_on_the_day_of_the_month) {
    exceeded_recovery("monthly@31");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    expect_recovery_in(15 * DAY + 12 * HOUR); /* 15 March 12:00 → 31 March 00:00 */
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    expect_recovery_in(30 * DAY); /* the last day of April */
}

Test(model_recovery, an_error_has_a_policy_of_its_own) {
    exceeded_recovery("1h");
    fixture_bring_to(&f, key, KB_STATUS_ERROR);
    cr_assert_eq(key->state.deadline_mono, 0);
    fixture_enable(&f, key);
    error_recovery("15m");
    fixture_bring_to(&f, key, KB_STATUS_ERROR);
    expect_recovery_in(HOUR / 4);
}

Test(model_recovery, an_exceeded_key_that_turns_out_refused_waits_by_the_error_policy) {
    exceeded_recovery("1h");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    fixture_report(&f, key, KB_INVALID, KB_NO_HINT);
    cr_assert_eq(status(key), KB_STATUS_ERROR);
    cr_assert_eq(key->state.deadline_mono, 0);
    fixture_pass_and_tick(&f, HOUR);
    cr_assert_eq(status(key), KB_STATUS_ERROR);
}

Test(model_recovery, a_recovered_key_makes_older_reports_stale) {
    exceeded_recovery("1h");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    uint64_t before = f.generation;
    fixture_pass_and_tick(&f, HOUR);
    cr_assert_eq(fixture_report_at(&f, key, before, KB_QUOTA, 0), FATE_STALE);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
}

/* ---- a policy that changes while keys wait ---- */

Test(model_recovery, a_new_duration_counts_from_the_change_of_status) {
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    fixture_pass_and_tick(&f, HOUR);
    exceeded_recovery("3h");
    expect_recovery_in(2 * HOUR);
}

Test(model_recovery, a_new_duration_that_has_passed_already_recovers_at_once) {
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    fixture_pass_and_tick(&f, 10 * HOUR);
    exceeded_recovery("3h");
    fixture_pass_and_tick(&f, 1);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
}

Test(model_recovery, never_again_means_never) {
    exceeded_recovery("1h");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    exceeded_recovery("never");
    cr_assert_eq(key->state.deadline_mono, 0);
    fixture_pass_and_tick(&f, 10 * DAY);
    cr_assert_eq(status(key), KB_STATUS_EXCEEDED);
}

Test(model_recovery, from_a_duration_to_a_calendar_and_back) {
    exceeded_recovery("1h");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    exceeded_recovery("monthly@1");
    fixture_pass_and_tick(&f, HOUR);
    cr_assert_eq(status(key), KB_STATUS_EXCEEDED, "the old deadline counts no longer");
    exceeded_recovery("90m");
    expect_recovery_in(HOUR / 2);
}

Test(model_recovery, a_policy_concerns_neither_cooling_nor_disabled_keys) {
    struct model_key *other = fixture_key(&f, pool, "other", NULL);
    fixture_report(&f, key, KB_RATE, 5000);
    fixture_disable(&f, other);
    exceeded_recovery("1s");
    error_recovery("1s");
    fixture_pass_and_tick(&f, 4999);
    cr_assert_eq(status(key), KB_STATUS_COOLING);
    cr_assert_eq(status(other), KB_STATUS_DISABLED);
}

Test(model_recovery, the_error_policy_leaves_exceeded_keys_waiting_as_they_were) {
    exceeded_recovery("daily@14:00");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    fixture_pass(&f, 2 * HOUR);
    error_recovery("1h");
    fixture_tick(&f);
    cr_assert_eq(status(key), KB_STATUS_NORMAL, "due now, and not again tomorrow");
}

Test(model_recovery, nothing_recovers_by_a_policy_that_is_not_committed) {
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    fixture_pass(&f, 10 * HOUR);
    cr_assert_eq(fixture_stage_set_pool(&f, pool, (struct pool_spec){ .exceeded_recovery = "1h" }),
                 0);
    cr_assert_eq(fixture_changes(&f, CHANGE_STATE), 1);
    struct changeset setting = f.set;
    f.set = (struct changeset){ 0 };
    fixture_pass_and_tick(&f, 1000);
    cr_assert_eq(status(key), KB_STATUS_EXCEEDED);
    model_published(f.model, &setting, ++f.generation);
    changeset_deinit(&setting);
    fixture_tick(&f);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
}

Test(model_recovery, a_recovery_that_fell_due_during_a_failed_command_still_happens) {
    fixture_report(&f, key, KB_RATE, 1000);
    cr_assert_eq(fixture_stage_disable(&f, key), 0);
    struct changeset disabling = f.set;
    f.set = (struct changeset){ 0 };
    fixture_pass_and_tick(&f, 2000);
    model_undo(f.model, &disabling);
    model_settle(f.model, ++f.generation);
    changeset_deinit(&disabling);
    cr_assert_eq(status(key), KB_STATUS_COOLING);
    fixture_tick(&f);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
}

/* ---- what is due ---- */

Test(model_tick, nothing_is_due_in_a_model_at_rest) {
    cr_assert_eq(model_next_tick(f.model, f.cause.now), INT64_MAX);
    fixture_tick(&f);
    cr_assert_eq(f.set.count, 0);
}

Test(model_tick, the_next_tick_is_the_earliest_of_recoveries_and_expiries) {
    struct model_key *other = fixture_key(&f, pool, "other", NULL);
    fixture_report(&f, key, KB_RATE, 9000);
    cr_assert_eq(model_next_tick(f.model, f.cause.now), FIXTURE_MONO_MS + 9000);
    fixture_expire_in(&f, other, 5000);
    cr_assert_eq(model_next_tick(f.model, f.cause.now), FIXTURE_MONO_MS + 5000);
    fixture_pass(&f, 2000);
    cr_assert_eq(model_next_tick(f.model, f.cause.now), FIXTURE_MONO_MS + 5000);
    f.cause.now.wall_ms -= 1000;
    cr_assert_eq(model_next_tick(f.model, f.cause.now), FIXTURE_MONO_MS + 6000);
}

static int64_t next_expiry_in(void) {
    int64_t at = model_next_expiry(f.model, pool, f.cause.now.wall_ms);
    return at ? at - f.cause.now.wall_ms : 0;
}

Test(model_tick, a_pool_knows_its_next_expiry_whatever_is_set_deleted_or_passed) {
    cr_assert_eq(next_expiry_in(), 0, "none expires");
    struct model_key *other = fixture_key(&f, pool, "other", NULL);
    struct model_key *third = fixture_key(&f, pool, "third", NULL);
    fixture_expire_in(&f, other, 5000);
    fixture_expire_in(&f, third, 9000);
    cr_assert_eq(next_expiry_in(), 5000);
    fixture_expire_in(&f, other, 20000);
    cr_assert_eq(next_expiry_in(), 9000, "it was set anew");
    fixture_pass_and_tick(&f, 9000);
    cr_assert_eq(next_expiry_in(), 11000, "one has passed");
    f.cause.now.wall_ms -= 5000;
    model_clock_stepped(f.model, f.cause.now);
    cr_assert_eq(next_expiry_in(), 5000, "and is to come again");
    cr_assert_eq(fixture_stage_delete(&f, third), 0);
    cr_assert_eq(next_expiry_in(), 16000, "it was deleted");
    fixture_undo(&f);
    cr_assert_eq(next_expiry_in(), 5000, "and was not");
    for (int64_t i = 0; i < 1000; i++)
        fixture_expire_in(&f, other, 16000 + i);
    cr_assert_leq(pool->expiries.count, 2 * pool->count + 65, "old ones are not kept");
    cr_assert_eq(next_expiry_in(), 5000);
}

Test(model_tick, at_most_so_many_keys_are_judged_at_once) {
    for (int i = 0; i < 9; i++)
        fixture_key(&f, pool, NULL, NULL);
    for (uint32_t i = 0; i < 10; i++)
        fixture_report(&f, pool->order[i], KB_RATE, 1000 + i);
    fixture_pass(&f, 5000);
    unsigned rounds[] = { 4, 4, 2 };
    for (size_t i = 0; i < 3; i++) {
        struct changeset set = { .live = true };
        cr_assert_eq(model_tick(f.model, f.cause.now, 4, &set), i < 2);
        size_t events = 0;
        for (size_t j = 0; j < set.count; j++)
            events += set.items[j].kind == CHANGE_HAPPENED;
        cr_assert_eq(events, rounds[i]);
        model_announced(f.model, &set, ++f.generation);
        changeset_deinit(&set);
    }
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(status(pool->order[i]), KB_STATUS_NORMAL);
}

Test(model_tick, recoveries_and_expiries_share_the_limit) {
    struct model_key *other = fixture_key(&f, pool, "other", NULL);
    fixture_report(&f, key, KB_RATE, 1000);
    fixture_expire_in(&f, other, 1000);
    fixture_pass(&f, 1000);
    struct changeset set = { .live = true };
    cr_assert(model_tick(f.model, f.cause.now, 1, &set));
    cr_assert_eq(set.count, 1, "the recovery");
    cr_assert_not(model_tick(f.model, f.cause.now, 1, &set));
    cr_assert_eq(set.count, 2, "and the expiry");
    model_announced(f.model, &set, ++f.generation);
    changeset_deinit(&set);
}

Test(model_tick, the_earliest_deadline_comes_first) {
    struct model_key *other = fixture_key(&f, pool, "other", NULL);
    fixture_report(&f, key, KB_RATE, 9000);
    fixture_report(&f, other, KB_RATE, 3000);
    fixture_pass(&f, 10000);
    struct changeset set = { .live = true };
    cr_assert(model_tick(f.model, f.cause.now, 1, &set));
    cr_assert_eq(set.items[0].key_id, other->record->id);
    model_announced(f.model, &set, ++f.generation);
    changeset_deinit(&set);
}

Test(model_tick, deadlines_that_moved_are_not_piled_up_for_ever) {
    for (int i = 1; i < 20000; i++)
        fixture_report(&f, key, KB_RATE, (uint64_t)i);
    cr_assert_lt(f.model->recoveries.count, 200);
    fixture_pass_and_tick(&f, 19998);
    cr_assert_eq(status(key), KB_STATUS_COOLING);
    fixture_pass_and_tick(&f, 1);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
}

Test(model_tick, deleted_keys_are_not_waited_for) {
    struct model_key *other = fixture_key(&f, pool, "other", NULL);
    fixture_report(&f, other, KB_RATE, 1000);
    cr_assert_eq(fixture_stage_delete(&f, other), 0);
    fixture_publish(&f);
    fixture_pass_and_tick(&f, 1000);
    cr_assert_eq(f.set.count, 0);
}

/* ---- the clock is set ---- */

static void set_clock(int64_t ms) {
    f.cause.now.wall_ms += ms;
    model_clock_stepped(f.model, f.cause.now);
}

Test(model_tick, cooling_does_not_move_when_the_clock_is_set) {
    const int64_t STEPS[] = { 5 * DAY, -5 * DAY };
    for (size_t i = 0; i < 2; i++) {
        fixture_report(&f, key, KB_RATE, 9000);
        int64_t deadline = key->state.deadline_mono;
        set_clock(STEPS[i]);
        cr_assert_eq(key->state.deadline_mono, deadline);
        cr_assert_eq(key->state.deadline_wall, f.cause.now.wall_ms + 9000,
                     "what is kept for a reboot follows the new calendar");
        fixture_pass_and_tick(&f, 8999);
        cr_assert_eq(status(key), KB_STATUS_COOLING);
        fixture_pass_and_tick(&f, 1);
        cr_assert_eq(status(key), KB_STATUS_NORMAL);
    }
}

Test(model_tick, a_duration_does_not_move_when_the_clock_is_set) {
    exceeded_recovery("6h");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    set_clock(100 * DAY);
    expect_recovery_in(6 * HOUR);
}

Test(model_tick, calendars_count_anew_when_the_clock_is_set) {
    exceeded_recovery("daily@14:00");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    set_clock(-3 * HOUR);
    expect_recovery_in(5 * HOUR);
}

/* A machine that sleeps through the night sees its clock set, and must not wait another day. */
Test(model_tick, a_calendars_moment_that_the_clock_passed_over_is_due_at_once) {
    exceeded_recovery("daily@14:00");
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    set_clock(3 * HOUR);
    fixture_tick(&f);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
}

Test(model_tick, a_clock_that_is_set_back_brings_expired_keys_back) {
    fixture_expire_in(&f, key, 1000);
    set_clock(DAY);
    fixture_tick(&f);
    cr_assert_not_null(fixture_event(&f, EVENT_EXPIRED));
    cr_assert_eq(status(key), KB_STATUS_EXPIRED);
    set_clock(-DAY);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
    cr_assert_eq(model_next_tick(f.model, f.cause.now), f.cause.now.mono_ms + 1000);
    fixture_pass_and_tick(&f, 1000);
    cr_assert_not_null(fixture_event(&f, EVENT_EXPIRED), "and it expires again");
}

Test(model_tick, what_moved_with_the_clock_is_stored) {
    fixture_report(&f, key, KB_RATE, 9000);
    struct changeset stored = { 0 };
    model_collect_dirty(f.model, &stored);
    changeset_truncate(&stored, 0);
    set_clock(DAY);
    model_collect_dirty(f.model, &stored);
    cr_assert_eq(stored.count, 1);
    cr_assert_eq(stored.items[0].state.after->deadline_wall, f.cause.now.wall_ms + 9000);
    changeset_deinit(&stored);
}

/* ---- starts ---- */

/* What a start would load, at another moment; `same_boot` as the store says. */
static struct model_key *load(struct model_fixture *into, struct moment now, bool same_boot) {
    model_fixture_init(into);
    into->cause.now = now;
    into->generation = f.generation + (UINT64_C(1) << 40);
    model_load_pool(into->model, pool_record_ref(pool->record));
    for (uint32_t i = pool->count; i-- > 0;)
        model_load_key(into->model, key_record_ref(pool->order[i]->record), pool->order[i]->rank,
                       &pool->order[i]->state);
    model_loaded(into->model, f.model->next_id, same_boot, into->generation, now);
    model_fixture_check(into->model);
    return model_key_by_id(into->model, key->record->id);
}

Test(model_boot, a_start_on_the_same_boot_keeps_every_deadline) {
    fixture_report(&f, key, KB_RATE, 9000);
    fixture_pass(&f, 4000);
    struct model_fixture again;
    struct model_key *loaded = load(&again, f.cause.now, true);
    cr_assert_eq(loaded->state.deadline_mono, FIXTURE_MONO_MS + 9000);
    fixture_pass_and_tick(&again, 5000);
    cr_assert_eq(fixture_status(&again, loaded), KB_STATUS_NORMAL);
    model_fixture_deinit(&again);
}

Test(model_boot, after_a_reboot_what_remained_by_the_calendar_remains) {
    fixture_report(&f, key, KB_RATE, 9000);
    struct model_fixture again;
    struct moment now = { .mono_ms = 300, .wall_ms = FIXTURE_WALL_MS + 4000 };
    struct model_key *loaded = load(&again, now, false);
    cr_assert_eq(loaded->state.deadline_mono, 300 + 5000);
    cr_assert_eq(loaded->state.normal_since_mono, 300);
    model_fixture_deinit(&again);
}

Test(model_boot, what_fell_due_while_the_machine_was_off_happens_at_once) {
    fixture_report(&f, key, KB_RATE, 9000);
    struct model_fixture again;
    struct moment now = { .mono_ms = 300, .wall_ms = FIXTURE_WALL_MS + DAY };
    struct model_key *loaded = load(&again, now, false);
    fixture_pass_and_tick(&again, 1);
    cr_assert_eq(fixture_status(&again, loaded), KB_STATUS_NORMAL);
    model_fixture_deinit(&again);
}

Test(model_boot, a_machine_that_wakes_in_the_past_waits_no_longer_than_the_whole_time) {
    fixture_report(&f, key, KB_RATE, 9000);
    struct model_fixture again;
    struct moment now = { .mono_ms = 300, .wall_ms = 0 };
    struct model_key *loaded = load(&again, now, false);
    cr_assert_eq(loaded->state.deadline_mono, 300 + 9000);
    model_fixture_deinit(&again);
}

Test(model_boot, an_operators_decision_survives_every_start) {
    fixture_disable(&f, key);
    struct model_fixture again;
    struct moment now = { .mono_ms = 300, .wall_ms = FIXTURE_WALL_MS + DAY };
    struct model_key *loaded = load(&again, now, false);
    fixture_pass_and_tick(&again, DAY);
    cr_assert_eq(fixture_status(&again, loaded), KB_STATUS_DISABLED);
    model_fixture_deinit(&again);
}

Test(model_boot, what_was_committed_but_never_published_is_valid_since_this_start) {
    cr_assert_eq(fixture_stage_disable(&f, key), 0);
    fixture_publish(&f);
    cr_assert_eq(fixture_stage_enable(&f, key), 0);
    struct model_fixture again;
    struct model_key *loaded = load(&again, f.cause.now, true);
    fixture_publish(&f);
    cr_assert_eq(loaded->state.valid_since, again.generation);
    cr_assert_eq(fixture_report_at(&again, loaded, f.generation, KB_INVALID, 0), FATE_STALE);
    cr_assert_eq(fixture_report(&again, loaded, KB_INVALID, 0), FATE_APPLIED);
    model_fixture_deinit(&again);
}

Test(model_boot, what_expired_before_the_start_is_not_announced_again) {
    struct model_key *later = fixture_key(&f, pool, "later", NULL);
    fixture_expire_in(&f, key, 1000);
    fixture_expire_in(&f, later, 2000);
    fixture_pass(&f, 1000);
    struct model_fixture again;
    struct model_key *loaded = load(&again, f.cause.now, true);
    fixture_tick(&again);
    cr_assert_eq(again.set.count, 0);
    cr_assert_eq(fixture_status(&again, loaded), KB_STATUS_EXPIRED);
    fixture_pass_and_tick(&again, 1000);
    cr_assert_eq(fixture_changes(&again, CHANGE_EVENT), 1);
    model_fixture_deinit(&again);
}
