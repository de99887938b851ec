/*
 * Whom a report reaches and whether it still counts: staleness, accounts, scopes, forged tickets,
 * and how long a key cools without a hint.
 */
#include "tests/support/model_fixture.h"

#include <string.h>

#include <criterion/criterion.h>

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

TestSuite(model_stale, .init = setup, .fini = teardown);
TestSuite(model_account, .init = setup, .fini = teardown);
TestSuite(model_backoff, .init = setup, .fini = teardown);

static kb_status status(const struct model_key *of) {
    return fixture_status(&f, of);
}

/* A report by a worker that was handed the key before the last `back` announcements. */
static enum report_fate late_report(struct model_key *on, kb_outcome outcome, uint64_t back) {
    return fixture_report_at(&f, on, f.generation - back, outcome, KB_NO_HINT);
}

static enum report_fate scoped_report(struct model_key *on, kb_outcome outcome,
                                      enum kb_report_scope scope) {
    struct report report = { .key_id = on->record->id,
                             .generation = f.generation,
                             .outcome = outcome,
                             .scope = scope,
                             .hint_ms = KB_NO_HINT };
    return fixture_report_full(&f, on->pool, report);
}

/* ---- stale ---- */

static void expect_older_is_stale(const char *after) {
    cr_assert_eq(key->state.valid_since, f.generation, "%s", after);
    uint64_t counted = key->state.reports[KB_INVALID];
    cr_assert_eq(late_report(key, KB_INVALID, 1), FATE_STALE, "%s", after);
    cr_assert_eq(late_report(key, KB_QUOTA, 1), FATE_STALE, "%s", after);
    cr_assert_eq(late_report(key, KB_RATE, 1), FATE_STALE, "%s", after);
    cr_assert_eq(status(key), KB_STATUS_NORMAL, "%s", after);
    cr_assert_eq(f.set.count, 0);
    cr_assert_eq(key->state.reports[KB_INVALID], counted);
    cr_assert_eq(late_report(key, KB_INVALID, 0), FATE_APPLIED, "%s", after);
}

Test(model_stale, a_failure_from_before_the_enabling_is_stale) {
    fixture_disable(&f, key);
    fixture_enable(&f, key);
    expect_older_is_stale("enabled");
}

Test(model_stale, a_failure_from_before_the_end_of_the_cooling_is_stale) {
    fixture_report(&f, key, KB_RATE, 1000);
    fixture_pass_and_tick(&f, 1000);
    expect_older_is_stale("cooling over");
}

Test(model_stale, a_failure_of_the_old_secret_is_stale) {
    fixture_set(&f, key, (struct key_spec){ 0 }, "{\"api_key\":\"sk-rotated-rotated\"}");
    expect_older_is_stale("new api_key");
}

Test(model_stale, a_failure_at_the_old_address_is_stale) {
    fixture_set(&f, key, (struct key_spec){ 0 }, "{\"base_url\":\"https://elsewhere.example\"}");
    expect_older_is_stale("new config");
}

Test(model_stale, a_failure_of_the_old_account_is_stale) {
    fixture_set(&f, key, (struct key_spec){ .account = "acme" }, NULL);
    expect_older_is_stale("new account");
    fixture_enable(&f, key);
    fixture_set(&f, key, (struct key_spec){ .account = "" }, NULL);
    expect_older_is_stale("no account");
}

Test(model_stale, a_name_a_note_a_weight_and_an_expiry_make_no_report_stale) {
    struct key_spec spec = { .name = "renamed",
                             .note = "a note",
                             .weight = 7,
                             .has_expires = true,
                             .expires_at_ms = FIXTURE_WALL_MS + 100000 };
    fixture_set(&f, key, spec, NULL);
    cr_assert_eq(late_report(key, KB_INVALID, 1), FATE_APPLIED);
}

Test(model_stale, the_same_config_and_account_again_make_no_report_stale) {
    fixture_set(&f, key, (struct key_spec){ .account = "" },
                "{\"api_key\":\"sk-0123456789abcdef\"}");
    cr_assert_eq(late_report(key, KB_INVALID, 1), FATE_APPLIED);
}

Test(model_stale, reports_in_flight_together_all_count) {
    uint64_t handed_out = f.generation;
    cr_assert_eq(fixture_report_at(&f, key, handed_out, KB_RATE, 1000), FATE_APPLIED);
    cr_assert_eq(fixture_report_at(&f, key, handed_out, KB_RATE, 9000), FATE_EXTENDED);
    cr_assert_eq(fixture_report_at(&f, key, handed_out, KB_INVALID, 0), FATE_APPLIED);
    cr_assert_eq(status(key), KB_STATUS_ERROR);
}

Test(model_stale, every_report_is_stale_while_a_command_waits_for_its_commit) {
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    cr_assert_eq(fixture_stage_enable(&f, key), 0);
    struct changeset enabling = f.set;
    f.set = (struct changeset){ 0 };
    cr_assert_eq(late_report(key, KB_INVALID, 0), FATE_STALE);
    cr_assert_eq(key->state.status, KB_STATUS_NORMAL);
    model_published(f.model, &enabling, ++f.generation);
    changeset_deinit(&enabling);
    cr_assert_eq(late_report(key, KB_INVALID, 1), FATE_STALE);
    cr_assert_eq(late_report(key, KB_INVALID, 0), FATE_APPLIED);
}

Test(model_stale, a_report_during_any_pending_command_is_neither_judged_nor_counted) {
    fixture_bring_to(&f, key, KB_STATUS_EXCEEDED);
    struct key_state before = key->state;
    cr_assert_eq(fixture_stage_set_pool(&f, pool, (struct pool_spec){ .exceeded_recovery = "1h" }),
                 0);
    struct changeset setting = f.set;
    f.set = (struct changeset){ 0 };
    cr_assert_eq(fixture_report(&f, key, KB_INVALID, KB_NO_HINT), FATE_STALE);
    model_undo(f.model, &setting);
    changeset_deinit(&setting);
    cr_assert_arr_eq(&key->state, &before, sizeof before, "the undoing takes nothing else back");
    cr_assert_eq(fixture_stage_disable(&f, key), 0);
    struct changeset disabling = f.set;
    f.set = (struct changeset){ 0 };
    cr_assert_eq(fixture_report(&f, key, KB_INVALID, KB_NO_HINT), FATE_STALE);
    model_published(f.model, &disabling, ++f.generation);
    changeset_deinit(&disabling);
    cr_assert_eq(fixture_report(&f, key, KB_INVALID, KB_NO_HINT), FATE_UNCHANGED);
    cr_assert_eq(key->state.reports[KB_INVALID], 1);
}

Test(model_stale, two_commands_must_both_be_published_before_a_report_counts) {
    struct changeset first;
    cr_assert_eq(fixture_stage_disable(&f, key), 0);
    first = f.set;
    f.set = (struct changeset){ 0 };
    cr_assert_eq(fixture_stage_enable(&f, key), 0);
    model_published(f.model, &first, ++f.generation);
    changeset_deinit(&first);
    struct changeset second = f.set;
    f.set = (struct changeset){ 0 };
    cr_assert_eq(late_report(key, KB_INVALID, 0), FATE_STALE);
    cr_assert_eq(key->state.valid_since, VALID_SINCE_PENDING);
    model_published(f.model, &second, ++f.generation);
    changeset_deinit(&second);
    cr_assert_eq(key->state.valid_since, f.generation);
    cr_assert_eq(late_report(key, KB_INVALID, 0), FATE_APPLIED);
}

Test(model_stale, a_success_from_before_leaves_the_backoff_alone) {
    fixture_report(&f, key, KB_RATE, KB_NO_HINT);
    fixture_pass_and_tick(&f, 30000);
    cr_assert_eq(key->state.backoff, 1);
    cr_assert_eq(late_report(key, KB_SUCCESS, 1), FATE_STALE);
    cr_assert_eq(key->state.backoff, 1);
}

Test(model_stale, a_ticket_that_was_never_announced_is_forged) {
    cr_assert_eq(fixture_report_at(&f, key, f.generation + 1, KB_INVALID, 0), FATE_FORGED);
    cr_assert_eq(fixture_report_at(&f, key, UINT64_MAX, KB_INVALID, 0), FATE_FORGED);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
}

Test(model_stale, an_unknown_outcome_is_forged) {
    cr_assert_eq(fixture_report(&f, key, (kb_outcome)0, 0), FATE_FORGED);
    cr_assert_eq(fixture_report(&f, key, (kb_outcome)(KB_NETWORK + 1), 0), FATE_FORGED);
    cr_assert_eq(fixture_report(&f, key, (kb_outcome)100000, 0), FATE_FORGED);
}

Test(model_stale, a_report_reaches_only_keys_of_the_pool_that_it_came_in_by) {
    struct model_pool *second = fixture_pool(&f, "second", "openai");
    struct report report = { .key_id = key->record->id,
                             .generation = f.generation,
                             .outcome = KB_INVALID };
    cr_assert_eq(fixture_report_full(&f, second, report), FATE_UNKNOWN);
    report.key_id = 999999;
    cr_assert_eq(fixture_report_full(&f, pool, report), FATE_UNKNOWN);
    report.key_id = pool->record->id;
    cr_assert_eq(fixture_report_full(&f, pool, report), FATE_UNKNOWN, "a pool's id is no key's");
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
}

/* ---- accounts ---- */

/* The account "acme" in two pools of one vendor and in one of another, and who is not of it. */
struct accounts {
    struct model_pool *same, *foreign;
    struct model_key *first, *second, *far, *stranger, *neighbour, *alone;
};

static struct accounts accounts(const char *vendor) {
    struct accounts a = { 0 };
    struct model_pool *near = fixture_pool(&f, "near", vendor);
    a.same = fixture_pool(&f, "same", vendor);
    a.foreign = fixture_pool(&f, "foreign", strcmp(vendor, "anthropic") ? "anthropic" : "openai");
    a.first = fixture_key(&f, near, "first", "acme");
    a.second = fixture_key(&f, near, "second", "acme");
    a.far = fixture_key(&f, a.same, "far", "acme");
    a.stranger = fixture_key(&f, a.foreign, "stranger", "acme");
    a.neighbour = fixture_key(&f, near, "neighbour", "Acme");
    a.alone = near->order[0];
    return a;
}

static void expect_account(const struct accounts *a, kb_status all) {
    cr_assert_eq(status(a->first), all);
    cr_assert_eq(status(a->second), all);
    cr_assert_eq(status(a->far), all, "the account spans all pools of the vendor");
    cr_assert_eq(status(a->stranger), KB_STATUS_NORMAL, "but not another vendor's");
    cr_assert_eq(status(a->neighbour), KB_STATUS_NORMAL);
    cr_assert_eq(status(a->alone), KB_STATUS_NORMAL);
}

Test(model_account, a_used_up_quota_takes_the_whole_account_in_every_pool_of_the_vendor) {
    struct accounts a = accounts("cohere");
    cr_assert_eq(fixture_report(&f, a.first, KB_QUOTA, KB_NO_HINT), FATE_APPLIED);
    expect_account(&a, KB_STATUS_EXCEEDED);
    cr_assert_eq(fixture_changes(&f, CHANGE_HAPPENED), 3);
    cr_assert_eq(fixture_changes(&f, CHANGE_EVENT), 3);
}

Test(model_account, every_member_can_bring_the_account_down) {
    struct accounts a = accounts("openai");
    fixture_report(&f, a.far, KB_QUOTA, KB_NO_HINT);
    expect_account(&a, KB_STATUS_EXCEEDED);
}

Test(model_account, a_rate_limit_takes_the_account_where_the_vendor_counts_by_account) {
    struct accounts a = accounts("openai");
    cr_assert(a.first->pool->vendor->rate_is_account);
    fixture_report(&f, a.second, KB_RATE, 5000);
    expect_account(&a, KB_STATUS_COOLING);
}

Test(model_account, a_rate_limit_takes_one_key_where_the_vendor_counts_by_key) {
    struct accounts a = accounts("cohere");
    cr_assert_not(a.first->pool->vendor->rate_is_account);
    fixture_report(&f, a.first, KB_RATE, 5000);
    cr_assert_eq(status(a.first), KB_STATUS_COOLING);
    cr_assert_eq(status(a.second), KB_STATUS_NORMAL);
    cr_assert_eq(status(a.far), KB_STATUS_NORMAL);
}

Test(model_account, the_reported_scope_overrules_the_vendors_usual_one) {
    struct accounts a = accounts("openai");
    cr_assert_eq(scoped_report(a.first, KB_RATE, KB_SCOPE_KEY), FATE_APPLIED);
    cr_assert_eq(status(a.second), KB_STATUS_NORMAL);
    fixture_enable(&f, a.first);
    cr_assert_eq(scoped_report(a.first, KB_RATE, KB_SCOPE_ACCOUNT), FATE_APPLIED);
    expect_account(&a, KB_STATUS_COOLING);
}

Test(model_account, a_refused_key_is_its_own_trouble_unless_the_account_is_closed) {
    struct accounts a = accounts("openai");
    fixture_report(&f, a.first, KB_INVALID, KB_NO_HINT);
    cr_assert_eq(status(a.first), KB_STATUS_ERROR);
    cr_assert_eq(status(a.second), KB_STATUS_NORMAL);
    scoped_report(a.first, KB_INVALID, KB_SCOPE_ACCOUNT);
    cr_assert_eq(status(a.second), KB_STATUS_ERROR);
    cr_assert_eq(status(a.neighbour), KB_STATUS_NORMAL);
    cr_assert_eq(status(a.alone), KB_STATUS_NORMAL);
}

Test(model_account, a_refused_key_never_reaches_into_other_pools) {
    struct accounts a = accounts("openai");
    for (uint32_t scope = KB_SCOPE_DEFAULT; scope <= KB_SCOPE_ENDPOINT; scope++)
        scoped_report(a.first, KB_INVALID, (enum kb_report_scope)scope);
    cr_assert_eq(status(a.first), KB_STATUS_ERROR);
    cr_assert_eq(status(a.far), KB_STATUS_NORMAL, "its workers may be others");
}

/* Whether a key of the account was looked at shows in its last failure. */
static bool looks_at(struct model_key *mate, struct model_key *reported, kb_outcome outcome,
                     uint64_t hint_ms) {
    fixture_pass(&f, 1000);
    fixture_report(&f, reported, outcome, hint_ms);
    return mate->state.last_failure_ms == f.cause.now.wall_ms;
}

Test(model_account, reports_that_say_nothing_new_do_not_look_at_all_its_keys) {
    struct accounts a = accounts("openai");
    cr_assert(looks_at(a.second, a.first, KB_QUOTA, KB_NO_HINT));
    cr_assert(looks_at(a.second, a.first, KB_QUOTA, KB_NO_HINT), "that it is nothing new");
    cr_assert_not(looks_at(a.second, a.first, KB_QUOTA, KB_NO_HINT));
    cr_assert_not(looks_at(a.far, a.second, KB_QUOTA, KB_NO_HINT), "whichever key is reported");
    fixture_enable(&f, a.second);
    cr_assert(looks_at(a.second, a.first, KB_QUOTA, KB_NO_HINT));
    cr_assert_eq(status(a.second), KB_STATUS_EXCEEDED);
    struct model_key *late = fixture_key(&f, a.same, "late", "acme");
    fixture_report(&f, a.first, KB_QUOTA, KB_NO_HINT);
    cr_assert_eq(status(late), KB_STATUS_EXCEEDED, "nor are new ones forgotten");
}

Test(model_account, reports_that_are_stale_do_not_look_at_all_its_keys_but_newer_ones_do) {
    struct accounts a = accounts("openai");
    uint64_t old = f.generation;
    fixture_bring_to(&f, a.first, KB_STATUS_EXCEEDED);
    fixture_enable(&f, a.first);
    fixture_enable(&f, a.second);
    fixture_enable(&f, a.far);
    for (int i = 0; i < 3; i++) {
        fixture_report_at(&f, a.first, old, KB_QUOTA, KB_NO_HINT);
        cr_assert_eq(status(a.second), KB_STATUS_NORMAL);
    }
    fixture_report(&f, a.first, KB_QUOTA, KB_NO_HINT);
    expect_account(&a, KB_STATUS_EXCEEDED);
}

Test(model_account, a_longer_hint_is_news_and_a_shorter_one_is_not) {
    struct accounts a = accounts("openai");
    fixture_report(&f, a.first, KB_RATE, 100000);
    cr_assert(looks_at(a.second, a.first, KB_RATE, 50000));
    cr_assert_not(looks_at(a.second, a.first, KB_RATE, 49000));
    cr_assert_not(looks_at(a.second, a.first, KB_RATE, KB_NO_HINT));
    cr_assert(looks_at(a.second, a.first, KB_RATE, 300000));
    cr_assert_eq(a.second->state.deadline_mono, f.cause.now.mono_ms + 300000);
}

Test(model_account, a_quota_of_the_key_alone_leaves_the_others) {
    struct accounts a = accounts("openai");
    cr_assert_eq(scoped_report(a.first, KB_QUOTA, KB_SCOPE_KEY), FATE_APPLIED);
    cr_assert_eq(status(a.first), KB_STATUS_EXCEEDED);
    cr_assert_eq(status(a.second), KB_STATUS_NORMAL);
    cr_assert_eq(status(a.far), KB_STATUS_NORMAL);
    scoped_report(a.first, KB_QUOTA, KB_SCOPE_DEFAULT);
    expect_account(&a, KB_STATUS_EXCEEDED);
}

Test(model_account, a_rate_of_the_account_benches_it_where_limits_are_the_keys) {
    struct accounts a = accounts("cohere");
    cr_assert_not(a.first->pool->vendor->rate_is_account);
    cr_assert_eq(scoped_report(a.first, KB_RATE, KB_SCOPE_ACCOUNT), FATE_APPLIED);
    expect_account(&a, KB_STATUS_COOLING);
}

Test(model_account, a_key_without_a_label_is_its_own_account) {
    struct model_key *second = fixture_key(&f, pool, "second", NULL);
    struct model_key *third = fixture_key(&f, pool, "third", "");
    fixture_report(&f, second, KB_QUOTA, KB_NO_HINT);
    cr_assert_eq(status(second), KB_STATUS_EXCEEDED);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
    cr_assert_eq(status(third), KB_STATUS_NORMAL);
    cr_assert_eq(model_account_first(f.model, second), &second->own_account);
}

Test(model_account, a_member_that_became_valid_since_is_judged_by_itself) {
    struct accounts a = accounts("openai");
    fixture_bring_to(&f, a.second, KB_STATUS_DISABLED);
    uint64_t handed_out = f.generation;
    fixture_enable(&f, a.second);
    cr_assert_eq(fixture_report_at(&f, a.first, handed_out, KB_QUOTA, 0), FATE_APPLIED);
    cr_assert_eq(status(a.first), KB_STATUS_EXCEEDED);
    cr_assert_eq(status(a.far), KB_STATUS_EXCEEDED);
    cr_assert_eq(status(a.second), KB_STATUS_NORMAL, "enabled after the request had begun");
}

Test(model_account, a_stale_report_on_one_key_still_counts_for_its_older_mates) {
    struct accounts a = accounts("openai");
    uint64_t handed_out = f.generation;
    fixture_bring_to(&f, a.first, KB_STATUS_DISABLED);
    fixture_enable(&f, a.first);
    cr_assert_eq(fixture_report_at(&f, a.first, handed_out, KB_QUOTA, 0), FATE_APPLIED);
    cr_assert_eq(status(a.first), KB_STATUS_NORMAL);
    cr_assert_eq(status(a.second), KB_STATUS_EXCEEDED);
}

Test(model_account, a_pending_command_shields_one_key_and_not_its_mates) {
    struct accounts a = accounts("openai");
    fixture_bring_to(&f, a.second, KB_STATUS_EXCEEDED);
    fixture_enable(&f, a.first);
    fixture_enable(&f, a.far);
    cr_assert_eq(fixture_stage_enable(&f, a.second), 0);
    struct changeset enabling = f.set;
    f.set = (struct changeset){ 0 };
    cr_assert_eq(fixture_report(&f, a.first, KB_QUOTA, 0), FATE_APPLIED);
    cr_assert_eq(status(a.first), KB_STATUS_EXCEEDED);
    cr_assert_eq(status(a.far), KB_STATUS_EXCEEDED);
    cr_assert_eq(status(a.second), KB_STATUS_NORMAL, "its enabling is not published yet");
    model_published(f.model, &enabling, ++f.generation);
    changeset_deinit(&enabling);
    cr_assert_eq(status(a.second), KB_STATUS_NORMAL);
}

Test(model_account, a_late_failure_does_not_condemn_a_key_that_was_added_since) {
    struct accounts a = accounts("openai");
    uint64_t handed_out = f.generation;
    struct model_key *added = fixture_key(&f, a.same, "added", "acme");
    fixture_report_at(&f, a.first, handed_out, KB_QUOTA, 0);
    cr_assert_eq(status(a.second), KB_STATUS_EXCEEDED);
    cr_assert_eq(status(added), KB_STATUS_NORMAL);
    fixture_enable(&f, a.first);
    fixture_report(&f, a.first, KB_QUOTA, 0);
    cr_assert_eq(status(added), KB_STATUS_EXCEEDED, "a report from after its addition does");
}

Test(model_account, disabled_and_expired_members_are_left_alone) {
    struct accounts a = accounts("openai");
    fixture_disable(&f, a.second);
    fixture_expire_in(&f, a.far, 1000);
    fixture_pass_and_tick(&f, 1000);
    fixture_report(&f, a.first, KB_QUOTA, KB_NO_HINT);
    cr_assert_eq(a.first->state.status, KB_STATUS_EXCEEDED);
    cr_assert_eq(a.second->state.status, KB_STATUS_DISABLED);
    cr_assert_eq(a.far->state.status, KB_STATUS_NORMAL);
    cr_assert_eq(status(a.far), KB_STATUS_EXPIRED);
}

Test(model_account, a_key_that_changed_its_account_leaves_the_old_one) {
    struct accounts a = accounts("openai");
    fixture_set(&f, a.second, (struct key_spec){ .account = "Acme" }, NULL);
    fixture_report(&f, a.first, KB_QUOTA, KB_NO_HINT);
    cr_assert_eq(status(a.far), KB_STATUS_EXCEEDED);
    cr_assert_eq(status(a.second), KB_STATUS_NORMAL);
    fixture_report(&f, a.neighbour, KB_QUOTA, KB_NO_HINT);
    cr_assert_eq(status(a.second), KB_STATUS_EXCEEDED);
}

Test(model_account, an_account_lives_on_when_its_first_key_is_deleted) {
    struct accounts a = accounts("openai");
    cr_assert_eq(fixture_stage_delete(&f, a.first), 0);
    fixture_publish(&f);
    model_fixture_check(f.model);
    fixture_report(&f, a.second, KB_QUOTA, KB_NO_HINT);
    cr_assert_eq(status(a.far), KB_STATUS_EXCEEDED);
}

Test(model_account, each_member_is_recovered_by_the_policy_of_its_own_pool) {
    struct accounts a = accounts("openai");
    fixture_set_pool(&f, a.same, (struct pool_spec){ .exceeded_recovery = "1h" });
    fixture_report(&f, a.first, KB_QUOTA, KB_NO_HINT);
    fixture_pass_and_tick(&f, 3600 * 1000);
    cr_assert_eq(status(a.far), KB_STATUS_NORMAL);
    cr_assert_eq(status(a.first), KB_STATUS_EXCEEDED);
}

/* ---- back-off ---- */

/* A rate limit without a hint; returns how long the key cools. */
static int64_t cool(void) {
    cr_assert_eq(fixture_report(&f, key, KB_RATE, KB_NO_HINT), FATE_APPLIED);
    return key->state.deadline_mono - f.cause.now.mono_ms;
}

static int64_t cool_and_recover(void) {
    int64_t wait = cool();
    fixture_pass_and_tick(&f, wait);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
    return wait;
}

Test(model_backoff, without_a_hint_it_doubles_from_30_seconds_to_30_minutes) {
    const int64_t SECONDS[] = { 30, 60, 120, 240, 480, 960, 1800, 1800, 1800 };
    for (size_t i = 0; i < sizeof SECONDS / sizeof *SECONDS; i++)
        cr_assert_eq(cool_and_recover(), SECONDS[i] * 1000, "cooling %zu", i + 1);
}

Test(model_backoff, it_never_ends_nor_overflows) {
    for (int i = 0; i < 200; i++)
        cool_and_recover();
    cr_assert_eq(cool(), 1800 * 1000);
}

Test(model_backoff, it_counts_coolings_and_not_reports) {
    for (int i = 0; i < 20; i++)
        fixture_report(&f, key, KB_RATE, KB_NO_HINT);
    cr_assert_eq(key->state.backoff, 1);
    cr_assert_eq(key->state.deadline_mono - f.cause.now.mono_ms, 30000);
    fixture_pass_and_tick(&f, 30000);
    cr_assert_eq(cool(), 60000);
}

Test(model_backoff, a_success_starts_it_over) {
    cool_and_recover();
    cool_and_recover();
    cr_assert_eq(key->state.backoff, 2);
    cr_assert_eq(fixture_report(&f, key, KB_SUCCESS, KB_NO_HINT), FATE_EXTENDED);
    cr_assert_eq(key->state.backoff, 0);
    cr_assert_null(fixture_event(&f, EVENT_STATUS));
    cr_assert_eq(fixture_report(&f, key, KB_SUCCESS, KB_NO_HINT), FATE_UNCHANGED);
    cr_assert_eq(cool(), 30000);
}

Test(model_backoff, a_success_does_not_end_a_cooling) {
    cool();
    cr_assert_eq(fixture_report(&f, key, KB_SUCCESS, KB_NO_HINT), FATE_UNCHANGED);
    cr_assert_eq(status(key), KB_STATUS_COOLING);
    cr_assert_eq(key->state.backoff, 1);
}

Test(model_backoff, staying_normal_for_a_minute_starts_it_over) {
    cool_and_recover();
    fixture_pass(&f, 59999);
    cr_assert_eq(cool_and_recover(), 60000);
    fixture_pass(&f, 60000);
    cr_assert_eq(cool(), 30000);
}

Test(model_backoff, after_a_long_cooling_a_minute_is_not_enough) {
    for (int i = 0; i < 4; i++)
        cool_and_recover();
    fixture_pass(&f, 239999);
    cr_assert_eq(cool_and_recover(), 480000, "normal for less than the last cooling's length");
    fixture_pass(&f, 480000);
    cr_assert_eq(cool(), 30000);
}

Test(model_backoff, a_hinted_cooling_leaves_it_as_it_is) {
    cool_and_recover();
    fixture_report(&f, key, KB_RATE, 5000);
    cr_assert_eq(key->state.backoff, 1);
    fixture_pass_and_tick(&f, 5000);
    cr_assert_eq(cool(), 60000);
}

Test(model_backoff, a_hint_of_nothing_is_no_hint) {
    fixture_report(&f, key, KB_RATE, 0);
    cr_assert_eq(key->state.deadline_mono - f.cause.now.mono_ms, 30000);
    cr_assert_eq(fixture_report(&f, key, KB_RATE, 0), FATE_UNCHANGED);
}

Test(model_backoff, a_hint_is_believed_for_at_most_a_day) {
    const uint64_t TOO_LONG[] = { 86400001, UINT64_C(1) << 62, UINT64_C(1) << 63, KB_NO_HINT - 1 };
    for (size_t i = 0; i < sizeof TOO_LONG / sizeof *TOO_LONG; i++) {
        fixture_report(&f, key, KB_RATE, TOO_LONG[i]);
        cr_assert_eq(key->state.deadline_mono - f.cause.now.mono_ms, 86400000);
        fixture_enable(&f, key);
    }
    fixture_report(&f, key, KB_RATE, 1000);
    cr_assert_eq(fixture_report(&f, key, KB_RATE, KB_NO_HINT - 1), FATE_EXTENDED);
    cr_assert_eq(key->state.deadline_mono - f.cause.now.mono_ms, 86400000);
}

Test(model_backoff, a_hint_below_a_second_cools_for_a_second) {
    fixture_report(&f, key, KB_RATE, 1);
    cr_assert_eq(key->state.deadline_mono, f.cause.now.mono_ms + 1000);
    cr_assert_eq(fixture_report(&f, key, KB_RATE, 999), FATE_UNCHANGED);
    fixture_pass_and_tick(&f, 999);
    cr_assert_eq(status(key), KB_STATUS_COOLING);
    fixture_pass_and_tick(&f, 1);
    cr_assert_eq(status(key), KB_STATUS_NORMAL);
}
