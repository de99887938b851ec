/*
 * How a key's status changes: reports, recoveries, expiries, enable and disable. Part of the model
 * (model.h): pure; called by the report socket, the clock and the commands.
 *
 * A report that is not stale may only worsen a status (cooling → longer cooling → exceeded → error)
 * and never touches disabled or expired keys, so reports that were in flight together add up to the
 * same result in any order, and none can undo what an operator did after its request began.
 */
#include "model.h"

#include <assert.h>

#include <keybroker_shared/report.h>

#include "model_text.h"

enum {
    BACKOFF_FIRST_MS = 30 * 1000, /* 30 s, doubling, at most 30 min */
    BACKOFF_MOST_MS = 30 * 60 * 1000,
    BACKOFF_LEVEL_MAX = 16,
    HINT_LEAST_MS = 1000, /* a shorter one would have keys come and go like a flood of reports */
    HINT_MOST_MS = 24 * 60 * 60 * 1000, /* a vendor's hint is believed for at most a day */
    STEADY_LEAST_MS =
        60 * 1000, /* normal for this long (or the last cooling): back-off starts over */
    PERMISSION_EVENT_MS = 60 * 1000, /* repeats of a PERMISSION event are counted, not logged */
};

const char *model_fate_name(enum report_fate fate) {
    static const char *const NAMES[FATE_COUNT] = {
        [FATE_APPLIED] = "applied",     [FATE_EXTENDED] = "extended",
        [FATE_UNCHANGED] = "unchanged", [FATE_STALE] = "stale",
        [FATE_NOTED] = "noted",         [FATE_GUARDED] = "guarded",
        [FATE_UNKNOWN] = "unknown_key", [FATE_FORGED] = "forged",
    };
    return fate < FATE_COUNT ? NAMES[fate] : "?";
}

void model_set_recovery(struct model_key *key, struct moment now) {
    struct key_state *state = &key->state;
    const struct recovery *policy = state->status == KB_STATUS_EXCEEDED
                                        ? &key->pool->exceeded_recovery
                                        : &key->pool->error_recovery;
    state->deadline_wall = recovery_at_ms(policy, state->status_since_ms, now.wall_ms);
    int64_t left = state->deadline_wall - now.wall_ms;
    state->deadline_mono = state->deadline_wall ? now.mono_ms + (left > 1 ? left : 1) : 0;
}

/* ---- transitions ---- */

struct event model_happened_event(const struct cause *cause, const struct change *change) {
    struct model_key *key = change->happened.key;
    struct event event = model_event(cause, EVENT_STATUS, key->pool, key);
    event.from = change->happened.from;
    event.to = change->happened.to;
    event.outcome = change->happened.outcome;
    event.http_status = change->happened.http_status;
    model_copy_text(event.vendor_code, sizeof event.vendor_code, change->happened.vendor_code);
    model_copy_text(event.reason, sizeof event.reason, change->happened.reason);
    return event;
}

/* After the key has its new state. */
static void note_status(const struct cause *cause, struct model_key *key,
                        const struct key_state *before, uint32_t from, const struct why *why,
                        struct changeset *set) {
    struct change change = { .happened = { .key = key,
                                           .from = from,
                                           .to = key->state.status,
                                           .outcome = why->outcome,
                                           .http_status = why->http_status,
                                           .vendor_code = why->vendor_code,
                                           .reason = why->reason } };
    if (set->live) {
        changeset_happened(set, key->pool->record->id, key->record->id, &change);
        return;
    }
    changeset_state(set, key->pool->record->id, key->record->id, before, &key->state);
    struct event event = model_happened_event(cause, &change);
    changeset_event(set, &event);
}

/* Only a deadline or a back-off level changed: nothing to tell, but to be stored. */
static void note_detail(struct model_key *key, struct changeset *set) {
    struct change change = { .happened = {
                                 .key = key, .from = key->state.status, .to = key->state.status } };
    changeset_happened(set, key->pool->record->id, key->record->id, &change);
}

void model_become(struct model *model, const struct cause *cause, struct model_key *key,
                  kb_status status, const struct why *why, struct changeset *set) {
    struct key_state before;
    struct key_state *state = &key->state;
    uint32_t from = state->status;
    if (!set->live) /* not on the way of a report: it is large */
        before = *state;
    model_begin_change(key);
    state->status = status;
    model_end_change(key);
    state->status_since_ms = cause->now.wall_ms;
    state->deadline_mono = state->deadline_wall = 0;
    if (why->forget_backoff)
        state->backoff = 0;
    model_copy_text(state->reason, sizeof state->reason, why->reason);
    if (status == KB_STATUS_NORMAL) {
        state->normal_since_mono = cause->now.mono_ms;
        state->valid_since = VALID_SINCE_PENDING;
    }
    if (status == KB_STATUS_COOLING) {
        state->cooling_ms = why->cooling_ms;
        state->deadline_mono = cause->now.mono_ms + why->cooling_ms;
        state->deadline_wall = cause->now.wall_ms + why->cooling_ms;
    }
    if (status == KB_STATUS_EXCEEDED || status == KB_STATUS_ERROR)
        model_set_recovery(key, cause->now);
    note_status(cause, key, set->live ? NULL : &before, from, why, set);
    model_schedule(model, key);
}

/* ---- enable and disable ---- */

static int refuse_expired(const struct model_key *key, const char *verb, struct refusal *refusal) {
    return refuse(refusal, REFUSED_RULE, "key-expired", "KEY", "%s has expired and can't be %s: %s",
                  key->record->name, verb,
                  model_is_default(key) ? "set a future expiry first"
                                        : "it can be shown, moved and deleted");
}

int model_enable_key(struct model *model, const struct cause *cause, struct model_key *key,
                     struct changeset *set, struct refusal *refusal) {
    if (model_status(key, cause->now.wall_ms) == KB_STATUS_EXPIRED)
        return refuse_expired(key, "enabled", refusal);
    model_guard_forget(key); /* of a normal key, too: somebody knows better */
    if (key->state.status == KB_STATUS_NORMAL && !key->state.backoff)
        return 0;
    struct why why = { .vendor_code = "", .reason = "enabled", .forget_backoff = true };
    model_become(model, cause, key, KB_STATUS_NORMAL, &why, set);
    key->pending++;
    return 0;
}

int model_disable_key(struct model *model, const struct cause *cause, struct model_key *key,
                      struct changeset *set, struct refusal *refusal) {
    if (model_status(key, cause->now.wall_ms) == KB_STATUS_EXPIRED)
        return refuse_expired(key, "disabled", refusal);
    if (key->state.status == KB_STATUS_DISABLED)
        return 0;
    struct why why = { .vendor_code = "", .reason = "disabled" };
    model_become(model, cause, key, KB_STATUS_DISABLED, &why, set);
    key->pending++;
    return 0;
}

/* ---- reports ---- */

bool model_is_stale(const struct model_key *key, const struct report *report) {
    return key->pending || report->generation < key->state.valid_since;
}

static void remember_failure(struct model_key *key, const struct cause *cause,
                             const struct report *report) {
    struct key_state *state = &key->state;
    state->last_failure_ms = cause->now.wall_ms;
    state->last_outcome = report->outcome;
    state->http_status = report->http_status;
    model_copy_text(state->vendor_code, sizeof state->vendor_code, report->vendor_code);
}

struct why model_why_of(const struct report *report) {
    static const char *const REASONS[] = { [KB_INVALID] = "the vendor refuses the key",
                                           [KB_QUOTA] = "quota or balance used up",
                                           [KB_RATE] = "rate limit" };
    return (struct why){ .outcome = report->outcome,
                         .http_status = report->http_status,
                         .vendor_code = report->vendor_code,
                         .reason = REASONS[report->outcome] };
}

/* How long to cool without a hint: doubles with every cooling that began without one, until a
 * success or a steady time between. */
static int64_t backoff_ms(struct model_key *key, struct moment now) {
    struct key_state *state = &key->state;
    int64_t steady = state->cooling_ms > STEADY_LEAST_MS ? state->cooling_ms : STEADY_LEAST_MS;
    if (now.mono_ms - state->normal_since_mono >= steady)
        state->backoff = 0;
    int64_t wait = BACKOFF_FIRST_MS;
    for (uint32_t level = 0; level < state->backoff && wait < BACKOFF_MOST_MS; level++)
        wait *= 2;
    if (state->backoff < BACKOFF_LEVEL_MAX)
        state->backoff++;
    return wait < BACKOFF_MOST_MS ? wait : BACKOFF_MOST_MS;
}

static enum report_fate cool(struct model *model, const struct cause *cause, struct model_key *key,
                             const struct report *report, struct changeset *set) {
    struct key_state *state = &key->state;
    bool hinted = report->hint_ms != KB_NO_HINT && report->hint_ms != 0;
    int64_t hint = report->hint_ms < HINT_MOST_MS ? (int64_t)report->hint_ms : HINT_MOST_MS;
    if (hint < HINT_LEAST_MS)
        hint = HINT_LEAST_MS;
    if (state->status == KB_STATUS_COOLING) {
        int64_t longer = hinted ? cause->now.mono_ms + hint - state->deadline_mono : 0;
        if (longer <= 0)
            return FATE_UNCHANGED;
        state->deadline_mono += longer;
        state->deadline_wall += longer;
        state->cooling_ms += longer;
        note_detail(key, set);
        model_schedule(model, key);
        return FATE_EXTENDED;
    }
    if (state->status != KB_STATUS_NORMAL)
        return FATE_UNCHANGED;
    struct why why = model_why_of(report);
    if (hinted)
        why.cooling_ms = hint;
    else if (model_guard_holds(model, cause, key, KB_RATE, set))
        why.cooling_ms = GUARD_COOLING_MS; /* and no back-off: it may not be the key */
    else
        why.cooling_ms = backoff_ms(key, cause->now);
    model_become(model, cause, key, KB_STATUS_COOLING, &why, set);
    return FATE_APPLIED;
}

static enum report_fate worsen(struct model *model, const struct cause *cause,
                               struct model_key *key, kb_status status, const struct report *report,
                               struct changeset *set) {
    if (key->state.status >= status) /* the statuses up to disabled ascend from good to bad */
        return FATE_UNCHANGED;
    struct why why = model_why_of(report);
    model_become(model, cause, key, status, &why, set);
    return FATE_APPLIED;
}

/* A key that is benched already is none for the guard to count, but it holds for it as well. */
static bool is_held(struct model *model, const struct cause *cause, struct model_key *key,
                    struct changeset *set) {
    if (key->state.status == KB_STATUS_NORMAL)
        return model_guard_holds(model, cause, key, KB_INVALID, set);
    return model_guard_is_on(key->pool) && key->state.status != KB_STATUS_ERROR;
}

static enum report_fate judge_failure(struct model *model, const struct cause *cause,
                                      struct model_key *key, const struct report *report,
                                      struct changeset *set) {
    if (model_is_stale(key, report))
        return FATE_STALE;
    if (key->state.status == KB_STATUS_DISABLED ||
        model_status(key, cause->now.wall_ms) == KB_STATUS_EXPIRED)
        return FATE_UNCHANGED;
    remember_failure(key, cause, report);
    if (report->outcome == KB_RATE)
        return cool(model, cause, key, report, set);
    if (report->outcome == KB_INVALID && is_held(model, cause, key, set))
        return FATE_GUARDED;
    return worsen(model, cause, key,
                  report->outcome == KB_QUOTA ? KB_STATUS_EXCEEDED : KB_STATUS_ERROR, report, set);
}

static bool concerns_account(const struct model_pool *pool, const struct report *report) {
    if (report->scope == KB_SCOPE_KEY || report->scope == KB_SCOPE_REQUEST)
        return false;
    if (report->scope == KB_SCOPE_ACCOUNT || report->outcome == KB_QUOTA)
        return true;
    return report->outcome == KB_RATE && pool->vendor && pool->vendor->rate_is_account;
}

static bool is_news(enum report_fate fate) {
    return fate != FATE_UNCHANGED && fate != FATE_STALE;
}

/* Until when the report lets a key cool; 0 = it does not say. */
static int64_t asks_until(const struct report *report, int64_t now_mono) {
    bool hinted = report->outcome == KB_RATE && report->hint_ms != KB_NO_HINT;
    if (!hinted)
        return 0;
    return now_mono + (report->hint_ms < HINT_MOST_MS ? (int64_t)report->hint_ms : HINT_MOST_MS);
}

/* Does it say no more than another that changed no key of the account, and has none changed since?
 * So that a flood of reports need not look at ten thousand keys again and again. */
static bool is_idle(const struct model_account *account, const struct report *report,
                    int64_t until_mono) {
    const struct idle_report *idle = &account->idle;
    return idle->outcome == report->outcome && idle->changes == account->changes &&
           report->generation <= idle->generation && until_mono <= idle->until_mono;
}

/* What a report on `own` does to the keys of an account in one pool; `fate`: what became of it. */
static enum report_fate reach_account(struct model *model, const struct cause *cause,
                                      struct model_account *account, const struct model_key *own,
                                      enum report_fate fate, const struct report *report,
                                      struct changeset *set) {
    int64_t until_mono = asks_until(report, cause->now.mono_ms);
    if (is_idle(account, report, until_mono))
        return fate;
    bool news = is_news(fate);
    for (struct model_key *key = account->first; key; key = key->account_next) {
        enum report_fate its =
            key == own ? FATE_UNCHANGED : judge_failure(model, cause, key, report, set);
        news |= is_news(its);
        if (its == FATE_APPLIED)
            fate = FATE_APPLIED;
    }
    if (!news)
        account->idle = (struct idle_report){ .changes = account->changes,
                                              .outcome = report->outcome,
                                              .generation = report->generation,
                                              .until_mono = until_mono };
    return fate;
}

/* A failure reaches the key, or every key of its account; each is judged by itself. What became of
 * the reported key is the answer, unless another's status changed. That a key is invalid is no
 * matter of limits: it never reaches into other pools, whose workers may not be the reporter's. */
static enum report_fate report_failure(struct model *model, const struct cause *cause,
                                       struct model_key *key, const struct report *report,
                                       struct changeset *set) {
    bool whole = concerns_account(key->pool, report);
    model->reporting.account = whole;
    enum report_fate fate = judge_failure(model, cause, key, report, set);
    bool pools = report->outcome != KB_INVALID;
    struct model_account *account = pools ? model_account_first(model, key) : key->account;
    for (; whole && account; account = pools ? account->next : NULL)
        fate = reach_account(model, cause, account, key, fate, report, set);
    return fate;
}

static enum report_fate report_success(struct model *model, const struct cause *cause,
                                       struct model_key *key, const struct report *report,
                                       struct changeset *set) {
    if (model_is_stale(key, report))
        return FATE_STALE;
    enum report_fate fate =
        model_guard_answered(model, cause, key, report, set) ? FATE_APPLIED : FATE_UNCHANGED;
    model_endpoint_answered(key, cause->now);
    if (!key->state.backoff || key->state.status != KB_STATUS_NORMAL)
        return fate;
    key->state.backoff = 0;
    note_detail(key, set);
    return fate == FATE_APPLIED ? fate : FATE_EXTENDED;
}

static enum report_fate report_permission(const struct cause *cause, struct model_key *key,
                                          const struct report *report, struct changeset *set) {
    if (cause->now.mono_ms - key->permission_mono < PERMISSION_EVENT_MS) {
        key->permissions_held += report->count;
        return FATE_NOTED;
    }
    key->permission_mono = cause->now.mono_ms;
    struct event event = model_event(cause, EVENT_REPORT, key->pool, key);
    event.count = key->permissions_held + 1;
    key->permissions_held = 0;
    event.outcome = report->outcome;
    event.http_status = report->http_status;
    model_copy_text(event.vendor_code, sizeof event.vendor_code, report->vendor_code);
    model_copy_text(event.reason, sizeof event.reason, "the key may not do this request");
    changeset_event(set, &event);
    return FATE_NOTED;
}

enum report_fate model_report(struct model *model, const struct cause *cause,
                              struct model_pool *pool, const struct report *report,
                              uint64_t current_generation, struct changeset *set) {
    struct model_key *key = model_key_by_id(model, report->key_id);
    if (!key || key->pool != pool)
        return FATE_UNKNOWN;
    if (report->generation > current_generation || report->outcome < KB_SUCCESS ||
        report->outcome > KB_NETWORK)
        return FATE_FORGED;
    model->reporting = (struct reporting){ .number = model->reporting.number + 1,
                                           .pool = pool,
                                           .ticket = report->generation,
                                           .generation = current_generation };
    if (!model_is_stale(key, report))
        key->state.reports[report->outcome] += report->count;
    /* A rule may say that an answer which looks like a failure concerns the request alone. */
    bool harmless = report->scope == KB_SCOPE_REQUEST && report->outcome != KB_PERMISSION &&
                    report->outcome != KB_SUCCESS;
    if (harmless)
        return FATE_NOTED;
    switch (report->outcome) {
    case KB_SUCCESS:
        return report_success(model, cause, key, report, set);
    case KB_PERMISSION:
        return report_permission(cause, key, report, set);
    case KB_INVALID:
    case KB_QUOTA:
    case KB_RATE:
        return report_failure(model, cause, key, report, set);
    case KB_OVERLOAD:
    case KB_NETWORK:
        return model_report_endpoint(model, cause, key, report, set);
    default: /* REQUEST: the caller's mistake */
        return FATE_NOTED;
    }
}

/* ---- the clock ---- */

static void recover(struct model *model, struct moment now, struct model_key *key,
                    struct changeset *set) {
    struct cause cause = { .now = now, .actor = { .kind = ACTOR_BROKER } };
    struct why why = { .vendor_code = "",
                       .reason =
                           key->state.status == KB_STATUS_COOLING ? "cooling over" : "recovered" };
    model_become(model, &cause, key, KB_STATUS_NORMAL, &why, set);
}

static void note_expiry(struct moment now, struct model_key *key, struct changeset *set) {
    struct cause cause = { .now = now, .actor = { .kind = ACTOR_BROKER } };
    struct event event = model_event(&cause, EVENT_EXPIRED, key->pool, key);
    event.from = key->state.status;
    event.to = KB_STATUS_EXPIRED;
    model_copy_text(event.reason, sizeof event.reason, "its time passed");
    model_begin_change(key);
    key->expiry_seen = true;
    model_end_change(key);
    changeset_event(set, &event);
}

bool model_tick(struct model *model, struct moment now, unsigned limit, struct changeset *set) {
    model_tick_guards(model, now, set);
    while (limit && heap_first(&model->recoveries) <= now.mono_ms) {
        struct heap_entry due = heap_pop(&model->recoveries);
        struct model_key *key = model_key_by_id(model, due.key_id);
        /* Not if the deadline moved since; nor while a command is staged: its publication or
         * undoing schedules the key anew. */
        if (!key || key->state.deadline_mono != due.when || key->pending)
            continue;
        recover(model, now, key, set);
        limit--;
    }
    while (limit && heap_first(&model->expiries) <= now.wall_ms) {
        struct heap_entry due = heap_pop(&model->expiries);
        struct model_key *key = model_key_by_id(model, due.key_id);
        if (!key || key->expiry_seen || key->record->expires_at_ms != due.when)
            continue;
        note_expiry(now, key, set);
        limit--;
    }
    return heap_first(&model->recoveries) <= now.mono_ms ||
           heap_first(&model->expiries) <= now.wall_ms;
}

int64_t model_next_tick(const struct model *model, struct moment now) {
    int64_t recovery = heap_first(&model->recoveries), expiry = heap_first(&model->expiries);
    if (expiry != INT64_MAX)
        expiry = expiry - now.wall_ms + now.mono_ms;
    int64_t guard = model_next_guard(model);
    int64_t flap = heap_first(&model->flaps);
    int64_t next = recovery < expiry ? recovery : expiry;
    next = next < guard ? next : guard;
    return next < flap ? next : flap;
}

void model_clock_stepped(struct model *model, struct moment now) {
    size_t i = 0;
    heap_clear(&model->recoveries);
    heap_clear(&model->expiries);
    for (struct model_pool *pool; (pool = map_next(&model->pools, &i));)
        heap_clear(&pool->expiries); /* what had passed may be to come again */
    i = 0;
    for (struct model_key *key; (key = map_next(&model->keys, &i));) {
        struct key_state *state = &key->state;
        const struct recovery *policy = state->status == KB_STATUS_EXCEEDED
                                            ? &key->pool->exceeded_recovery
                                            : &key->pool->error_recovery;
        bool calendar = (state->status == KB_STATUS_EXCEEDED || state->status == KB_STATUS_ERROR) &&
                        (policy->kind == RECOVERY_DAILY || policy->kind == RECOVERY_MONTHLY);
        if (state->deadline_mono && calendar && state->deadline_wall <= now.wall_ms)
            state->deadline_mono = now.mono_ms; /* passed over, as by a machine that slept: due */
        else if (state->deadline_mono && calendar)
            model_set_recovery(key, now);
        else if (state->deadline_mono)
            state->deadline_wall = now.wall_ms + state->deadline_mono - now.mono_ms;
        if (state->deadline_mono)
            model_mark_dirty(model, key);
        model_begin_change(key);
        if (key->expiry_seen && model_status(key, now.wall_ms) != KB_STATUS_EXPIRED)
            key->expiry_seen = false;
        model_end_change(key);
        model_schedule(model, key);
        model_note_expiry(key);
    }
}
