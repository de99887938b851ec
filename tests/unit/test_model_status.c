/*
 * How a key's status changes: every status and transition of the model, by reports, operators and
 * the clock; what may only worsen; who is told of it.
 */
#include "tests/support/model_fixture.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

static struct model_fixture f;
static struct model_pool *pool;
static struct model_key *key, *other;

static void setup(void) {
    model_fixture_init(&f);
    pool = fixture_pool(&f, "main", "openai");
    key = pool->order[0];
    other = fixture_key(&f, pool, "other", NULL);
}

static void teardown(void) {
    model_fixture_deinit(&f);
}

TestSuite(model_status, .init = setup, .fini = teardown);

static void expect_status(const struct model_key *of, kb_status status) {
    cr_assert_eq(fixture_status(&f, of), status, "%s is %s, not %s", of->record->name,
                 model_status_name(fixture_status(&f, of)), model_status_name(status));
}

Test(model_status, a_new_key_is_normal) {
    expect_status(key, KB_STATUS_NORMAL);
    expect_status(other, KB_STATUS_NORMAL);
    cr_assert_eq(other->state.deadline_mono, 0);
    cr_assert_eq(other->state.status_since_ms, FIXTURE_WALL_MS);
}

Test(model_status, a_rate_limit_cools_a_key_until_its_hint_has_passed) {
    cr_assert_eq(fixture_report(&f, key, KB_RATE, 20000), FATE_APPLIED);
    expect_status(key, KB_STATUS_COOLING);
    cr_assert_eq(key->state.deadline_mono, FIXTURE_MONO_MS + 20000);
    cr_assert_eq(key->state.deadline_wall, FIXTURE_WALL_MS + 20000);
    fixture_pass_and_tick(&f, 19999);
    expect_status(key, KB_STATUS_COOLING);
    fixture_pass_and_tick(&f, 1);
    expect_status(key, KB_STATUS_NORMAL);
    cr_assert_eq(key->state.deadline_mono, 0);
    cr_assert_eq(key->state.status_since_ms, FIXTURE_WALL_MS + 20000);
    expect_status(other, KB_STATUS_NORMAL);
}

Test(model_status, the_longest_reported_deadline_wins) {
    fixture_report(&f, key, KB_RATE, 20000);
    cr_assert_eq(fixture_report(&f, key, KB_RATE, 90000), FATE_EXTENDED);
    cr_assert_eq(key->state.deadline_mono, FIXTURE_MONO_MS + 90000);
    cr_assert_eq(key->state.deadline_wall, FIXTURE_WALL_MS + 90000);
    cr_assert_null(fixture_event(&f, EVENT_STATUS), "a longer cooling is the same status");
    cr_assert_eq(fixture_report(&f, key, KB_RATE, 10000), FATE_UNCHANGED);
    cr_assert_eq(fixture_report(&f, key, KB_RATE, 90000), FATE_UNCHANGED);
    cr_assert_eq(fixture_report(&f, key, KB_RATE, KB_NO_HINT), FATE_UNCHANGED);
    cr_assert_eq(f.set.count, 0);
    fixture_pass_and_tick(&f, 20000);
    expect_status(key, KB_STATUS_COOLING);
    fixture_pass_and_tick(&f, 70000);
    expect_status(key, KB_STATUS_NORMAL);
}

Test(model_status, quota_and_errors_stay_until_an_operator_enables_the_key) {
    cr_assert_eq(fixture_report(&f, key, KB_QUOTA, 1000), FATE_APPLIED);
    cr_assert_eq(fixture_report(&f, other, KB_INVALID, 1000), FATE_APPLIED);
    fixture_pass_and_tick(&f, INT64_C(400) * 86400 * 1000);
    expect_status(key, KB_STATUS_EXCEEDED);
    expect_status(other, KB_STATUS_ERROR);
    fixture_enable(&f, key);
    fixture_enable(&f, other);
    expect_status(key, KB_STATUS_NORMAL);
    expect_status(other, KB_STATUS_NORMAL);
}

Test(model_status, enabling_ends_every_status_but_expired) {
    for (kb_status from = KB_STATUS_COOLING; from <= KB_STATUS_DISABLED; from++) {
        fixture_bring_to(&f, key, from);
        fixture_enable(&f, key);
        expect_status(key, KB_STATUS_NORMAL);
        cr_assert_eq(key->state.deadline_mono, 0);
        cr_assert_eq(key->state.normal_since_mono, f.cause.now.mono_ms);
        cr_assert_str_eq(key->state.reason, "enabled");
        cr_assert_eq(key->state.valid_since, f.generation);
    }
}

Test(model_status, enabling_a_normal_key_changes_nothing) {
    cr_assert_eq(fixture_stage_enable(&f, key), 0);
    cr_assert_eq(f.set.count, 0);
    cr_assert_eq(key->pending, 0);
}

Test(model_status, enabling_forgets_the_backoff_even_of_a_normal_key) {
    fixture_report(&f, key, KB_RATE, KB_NO_HINT);
    fixture_pass_and_tick(&f, 30000);
    expect_status(key, KB_STATUS_NORMAL);
    cr_assert_eq(key->state.backoff, 1);
    fixture_enable(&f, key);
    cr_assert_eq(key->state.backoff, 0);
}

Test(model_status, disabling_overrides_every_status_but_expired) {
    for (kb_status from = KB_STATUS_NORMAL; from <= KB_STATUS_ERROR; from++) {
        fixture_bring_to(&f, key, from);
        fixture_disable(&f, key);
        expect_status(key, KB_STATUS_DISABLED);
        cr_assert_eq(key->state.deadline_mono, 0, "a disabled key does not come back by itself");
        fixture_pass_and_tick(&f, 86400 * 1000);
        expect_status(key, KB_STATUS_DISABLED);
        fixture_enable(&f, key);
    }
    fixture_disable(&f, key);
    cr_assert_eq(fixture_stage_disable(&f, key), 0);
    cr_assert_eq(f.set.count, 0, "disabling it again changes nothing");
}

Test(model_status, the_default_key_can_be_disabled_like_any_other) {
    cr_assert(model_is_default(key));
    fixture_disable(&f, key);
    expect_status(key, KB_STATUS_DISABLED);
}

/* ---- expired ---- */

Test(model_status, expired_is_computed_and_overrides_every_other_status) {
    for (kb_status from = KB_STATUS_NORMAL; from <= KB_STATUS_DISABLED; from++) {
        fixture_bring_to(&f, key, from);
        fixture_expire_in(&f, key, 1000);
        expect_status(key, from);
        f.cause.now.wall_ms += 999;
        expect_status(key, from);
        f.cause.now.wall_ms += 1;
        expect_status(key, KB_STATUS_EXPIRED);
        cr_assert_eq(key->state.status, from, "expired is never stored");
        f.cause.now.wall_ms -= 1000;
        expect_status(key, from);
        if (from != KB_STATUS_NORMAL)
            fixture_enable(&f, key);
    }
}

Test(model_status, an_expired_key_can_neither_be_enabled_nor_disabled) {
    fixture_bring_to(&f, other, KB_STATUS_EXCEEDED);
    fixture_expire_in(&f, other, 1000);
    fixture_pass_and_tick(&f, 1000);
    cr_assert_eq(fixture_stage_enable(&f, other), REFUSED_RULE);
    cr_assert_str_eq(f.refusal.reason, "key-expired");
    cr_assert_not_null(strstr(f.refusal.message, "expired"));
    cr_assert_eq(fixture_stage_disable(&f, other), REFUSED_RULE);
    cr_assert_str_eq(f.refusal.reason, "key-expired");
    cr_assert_eq(other->state.status, KB_STATUS_EXCEEDED);
}

Test(model_status, a_key_that_expires_while_it_cools_becomes_normal_underneath) {
    fixture_report(&f, other, KB_RATE, 20000);
    fixture_expire_in(&f, other, 10000);
    fixture_pass_and_tick(&f, 20000);
    expect_status(other, KB_STATUS_EXPIRED);
    cr_assert_eq(other->state.status, KB_STATUS_NORMAL);
}

Test(model_status, an_expiry_is_announced_once) {
    fixture_expire_in(&f, other, 1000);
    fixture_pass_and_tick(&f, 999);
    cr_assert_null(fixture_event(&f, EVENT_EXPIRED));
    fixture_pass_and_tick(&f, 1);
    const struct event *event = fixture_event(&f, EVENT_EXPIRED);
    cr_assert_not_null(event);
    cr_assert_eq(event->from, KB_STATUS_NORMAL);
    cr_assert_eq(event->to, KB_STATUS_EXPIRED);
    cr_assert_eq(event->key_id, other->record->id);
    cr_assert_eq(event->actor.kind, ACTOR_BROKER);
    fixture_pass_and_tick(&f, 60000);
    cr_assert_null(fixture_event(&f, EVENT_EXPIRED));
}

/* ---- only ever worse ---- */

/* What a report makes of a status, and what is said of the report. */
static void expect_worsening(kb_status from, kb_outcome outcome, kb_status to,
                             enum report_fate fate) {
    fixture_bring_to(&f, key, from);
    enum report_fate got = fixture_report(&f, key, outcome, 30000);
    cr_assert_eq(key->state.status, to, "%s + %s became %s", model_status_name(from),
                 model_outcome_name(outcome), model_status_name(key->state.status));
    cr_assert_eq(got, fate, "%s + %s was %s", model_status_name(from), model_outcome_name(outcome),
                 model_fate_name(got));
    if (key->state.status != KB_STATUS_NORMAL)
        fixture_enable(&f, key);
}

Test(model_status, a_report_may_only_worsen_a_status) {
    const struct {
        kb_status from, by_rate, by_quota, by_invalid;
    } TABLE[] = {
        { KB_STATUS_NORMAL, KB_STATUS_COOLING, KB_STATUS_EXCEEDED, KB_STATUS_ERROR },
        { KB_STATUS_COOLING, KB_STATUS_COOLING, KB_STATUS_EXCEEDED, KB_STATUS_ERROR },
        { KB_STATUS_EXCEEDED, KB_STATUS_EXCEEDED, KB_STATUS_EXCEEDED, KB_STATUS_ERROR },
        { KB_STATUS_ERROR, KB_STATUS_ERROR, KB_STATUS_ERROR, KB_STATUS_ERROR },
        { KB_STATUS_DISABLED, KB_STATUS_DISABLED, KB_STATUS_DISABLED, KB_STATUS_DISABLED },
    };
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        kb_status from = TABLE[i].from;
        const kb_outcome OUTCOMES[] = { KB_RATE, KB_QUOTA, KB_INVALID };
        const kb_status TO[] = { TABLE[i].by_rate, TABLE[i].by_quota, TABLE[i].by_invalid };
        for (size_t j = 0; j < 3; j++)
            expect_worsening(from, OUTCOMES[j], TO[j],
                             TO[j] == from ? FATE_UNCHANGED : FATE_APPLIED);
    }
}

Test(model_status, what_is_not_the_keys_fault_never_costs_it_anything) {
    const kb_outcome BLAMELESS[] = { KB_PERMISSION, KB_OVERLOAD, KB_REQUEST, KB_NETWORK };
    for (size_t i = 0; i < sizeof BLAMELESS / sizeof *BLAMELESS; i++)
        for (kb_status from = KB_STATUS_NORMAL; from <= KB_STATUS_DISABLED; from++)
            expect_worsening(from, BLAMELESS[i], from, FATE_NOTED);
}

Test(model_status, reports_add_up_to_the_same_in_any_order) {
    const struct {
        kb_outcome outcome;
        uint64_t hint;
    } REPORTS[] = { { KB_RATE, 60000 }, { KB_RATE, 90000 }, { KB_QUOTA, 0 }, { KB_INVALID, 0 } };
    /* Every subset in two opposite orders, and rotated. */
    for (unsigned subset = 1; subset < 16; subset++) {
        kb_status worst = subset & 8   ? KB_STATUS_ERROR
                          : subset & 4 ? KB_STATUS_EXCEEDED
                                       : KB_STATUS_COOLING;
        for (unsigned turn = 0; turn < 8; turn++) {
            for (unsigned i = 0; i < 4; i++) {
                unsigned at = turn & 1 ? 3 - (i + turn / 2) % 4 : (i + turn / 2) % 4;
                if (subset >> at & 1)
                    fixture_report(&f, key, REPORTS[at].outcome, REPORTS[at].hint);
            }
            expect_status(key, worst);
            if (worst == KB_STATUS_COOLING)
                cr_assert_eq(key->state.deadline_mono - f.cause.now.mono_ms,
                             subset & 2 ? 90000 : 60000);
            fixture_enable(&f, key);
        }
    }
}

Test(model_status, a_worse_status_forgets_the_end_of_the_cooling_before_it) {
    fixture_report(&f, key, KB_RATE, 20000);
    fixture_report(&f, key, KB_QUOTA, KB_NO_HINT);
    cr_assert_eq(key->state.deadline_mono, 0);
    fixture_pass_and_tick(&f, 20000);
    expect_status(key, KB_STATUS_EXCEEDED);
}

Test(model_status, disabled_keys_are_never_touched_by_reports) {
    fixture_disable(&f, key);
    struct key_state before = key->state;
    for (kb_outcome outcome = KB_SUCCESS; outcome <= KB_NETWORK; outcome++)
        fixture_report(&f, key, outcome, 5000);
    memcpy(before.reports, key->state.reports, sizeof before.reports);
    cr_assert_arr_eq(&before, &key->state, sizeof before);
}

Test(model_status, expired_keys_are_never_touched_by_reports) {
    fixture_expire_in(&f, key, 1000);
    fixture_pass_and_tick(&f, 1000);
    struct key_state before = key->state;
    for (kb_outcome outcome = KB_SUCCESS; outcome <= KB_NETWORK; outcome++)
        cr_assert_neq(fixture_report(&f, key, outcome, 5000), FATE_APPLIED);
    memcpy(before.reports, key->state.reports, sizeof before.reports);
    cr_assert_arr_eq(&before, &key->state, sizeof before);
}

/* ---- what is said ---- */

static struct report detailed(kb_outcome outcome) {
    return (struct report){ .key_id = key->record->id,
                            .generation = f.generation,
                            .hint_ms = 5000,
                            .outcome = outcome,
                            .http_status = 429,
                            .count = 3,
                            .vendor_code = "rate_limit_exceeded" };
}

Test(model_status, a_reports_event_says_what_happened_and_who_reported_it) {
    fixture_pass(&f, 1234);
    fixture_report_full(&f, pool, detailed(KB_RATE));
    const struct event *event = fixture_event(&f, EVENT_STATUS);
    cr_assert_not_null(event);
    cr_assert_eq(event->from, KB_STATUS_NORMAL);
    cr_assert_eq(event->to, KB_STATUS_COOLING);
    cr_assert_eq(event->outcome, KB_RATE);
    cr_assert_eq(event->http_status, 429);
    cr_assert_str_eq(event->vendor_code, "rate_limit_exceeded");
    cr_assert_str_eq(event->reason, "rate limit");
    cr_assert_eq(event->actor.kind, ACTOR_REPORT);
    cr_assert_eq(event->actor.uid, 2000);
    cr_assert_eq(event->actor.pid, 77);
    cr_assert_eq(event->time_ms, FIXTURE_WALL_MS + 1234);
    cr_assert_eq(event->seq, 0, "the store numbers events");
    cr_assert_eq(event->pool_id, pool->record->id);
    cr_assert_eq(event->key_id, key->record->id);
    cr_assert_str_eq(event->pool, "main");
    cr_assert_str_eq(event->key, key->record->name);
}

Test(model_status, the_end_of_a_cooling_is_the_brokers_event) {
    fixture_report_full(&f, pool, detailed(KB_RATE));
    fixture_pass_and_tick(&f, 5000);
    const struct event *event = fixture_event(&f, EVENT_STATUS);
    cr_assert_not_null(event);
    cr_assert_eq(event->from, KB_STATUS_COOLING);
    cr_assert_eq(event->to, KB_STATUS_NORMAL);
    cr_assert_eq(event->outcome, 0);
    cr_assert_eq(event->http_status, 0);
    cr_assert_str_eq(event->vendor_code, "");
    cr_assert_eq(event->actor.kind, ACTOR_BROKER);
}

Test(model_status, enabling_and_disabling_are_the_administrators_events) {
    cr_assert_eq(fixture_stage_disable(&f, key), 0);
    const struct event *event = fixture_event(&f, EVENT_STATUS);
    cr_assert_not_null(event);
    cr_assert_eq(event->from, KB_STATUS_NORMAL);
    cr_assert_eq(event->to, KB_STATUS_DISABLED);
    cr_assert_eq(event->actor.kind, ACTOR_ADMIN);
    cr_assert_eq(event->actor.uid, 1000);
    fixture_publish(&f);
    cr_assert_eq(fixture_stage_enable(&f, key), 0);
    event = fixture_event(&f, EVENT_STATUS);
    cr_assert_eq(event->from, KB_STATUS_DISABLED);
    cr_assert_eq(event->to, KB_STATUS_NORMAL);
    cr_assert_eq(event->outcome, 0);
}

Test(model_status, a_commands_changeset_carries_the_state_before_and_after) {
    struct key_state before = key->state;
    cr_assert_eq(fixture_stage_disable(&f, key), 0);
    cr_assert_eq(fixture_changes(&f, CHANGE_STATE), 1);
    const struct change *change = &f.set.items[0];
    cr_assert_eq(change->kind, CHANGE_STATE);
    cr_assert_eq(change->key_id, key->record->id);
    cr_assert_eq(change->pool_id, pool->record->id);
    cr_assert_eq(change->state.before->status, before.status);
    cr_assert_arr_eq(change->state.after, &key->state, sizeof key->state);
}

Test(model_status, a_reports_changeset_says_which_key_changed_and_copies_nothing) {
    fixture_report_full(&f, pool, detailed(KB_INVALID));
    cr_assert_eq(fixture_changes(&f, CHANGE_STATE), 0);
    cr_assert_eq(fixture_changes(&f, CHANGE_HAPPENED), 1);
    const struct change *change = &f.set.items[0];
    cr_assert_eq(change->kind, CHANGE_HAPPENED);
    cr_assert_eq(change->key_id, key->record->id);
    cr_assert_eq(change->pool_id, pool->record->id);
    cr_assert_eq(change->happened.key, key);
    cr_assert_eq(change->happened.from, KB_STATUS_NORMAL);
    cr_assert_eq(change->happened.to, KB_STATUS_ERROR);
}

Test(model_status, the_last_failure_is_remembered_after_the_key_is_well_again) {
    fixture_report_full(&f, pool, detailed(KB_RATE));
    fixture_pass_and_tick(&f, 5000);
    expect_status(key, KB_STATUS_NORMAL);
    cr_assert_eq(key->state.last_failure_ms, FIXTURE_WALL_MS);
    cr_assert_eq(key->state.http_status, 429);
    cr_assert_str_eq(key->state.vendor_code, "rate_limit_exceeded");
    cr_assert_str_eq(key->state.reason, "cooling over");
}

Test(model_status, coalesced_reports_are_counted_each) {
    fixture_report_full(&f, pool, detailed(KB_RATE));
    fixture_report_full(&f, pool, detailed(KB_RATE));
    fixture_report_full(&f, pool, detailed(KB_NETWORK));
    cr_assert_eq(key->state.reports[KB_RATE], 6);
    cr_assert_eq(key->state.reports[KB_NETWORK], 3);
    cr_assert_eq(key->state.reports[KB_QUOTA], 0);
}

Test(model_status, a_permission_report_makes_one_event_a_minute_and_key) {
    struct report report = detailed(KB_PERMISSION);
    cr_assert_eq(fixture_report_full(&f, pool, report), FATE_NOTED);
    const struct event *event = fixture_event(&f, EVENT_REPORT);
    cr_assert_not_null(event);
    cr_assert_eq(event->outcome, KB_PERMISSION);
    cr_assert_eq(event->http_status, 429);
    cr_assert_eq(event->from, 0);
    cr_assert_eq(event->to, 0);
    fixture_pass(&f, 59999);
    fixture_report_full(&f, pool, report);
    cr_assert_eq(f.set.count, 0);
    report.key_id = other->record->id;
    fixture_report_full(&f, pool, report);
    cr_assert_not_null(fixture_event(&f, EVENT_REPORT), "another key has its own minute");
    report.key_id = key->record->id;
    fixture_pass(&f, 1);
    fixture_report_full(&f, pool, report);
    cr_assert_not_null(fixture_event(&f, EVENT_REPORT));
}

Test(model_status, status_words_are_read_as_they_are_written) {
    for (unsigned status = KB_STATUS_NORMAL; status < KB_STATUS_COUNT; status++)
        cr_assert_eq(model_status_parse(model_status_name(status)), status);
    cr_assert_str_eq(model_status_name(0), "");
    cr_assert_str_eq(model_status_name(KB_STATUS_COUNT), "");
    cr_assert_eq(model_status_parse(""), 0);
    cr_assert_eq(model_status_parse("Normal"), 0);
}

Test(model_status, every_outcome_and_fate_has_a_name_of_its_own) {
    for (unsigned a = 0; a <= KB_NETWORK; a++)
        for (unsigned b = 0; b < a; b++)
            cr_assert_str_neq(model_outcome_name(a), model_outcome_name(b));
    cr_assert_str_eq(model_outcome_name(KB_NETWORK + 1), "");
    for (unsigned a = 0; a < FATE_COUNT; a++)
        for (unsigned b = 0; b < a; b++)
            cr_assert_str_neq(model_fate_name((enum report_fate)a),
                              model_fate_name((enum report_fate)b));
}
