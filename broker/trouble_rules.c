/*
 * When it is not the key: endpoints that fail, and the mass-failure guard (trouble.h says what they
 * are for). Part of the model (model.h): pure; called by status_rules.c for reports and by the
 * clock.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <keybroker_shared/report.h>

#include "model_text.h"

/* ---- the guard ---- */

bool model_guard_is_on(const struct model_pool *pool) {
    return pool->trouble.guard_until_mono != 0;
}

int64_t model_guard_until(const struct model_pool *pool) {
    return pool->trouble.guard_until_mono;
}

static void tell(const struct cause *cause, const struct model_pool *pool, const char *reason,
                 struct changeset *set) {
    struct event event = model_event(cause, EVENT_GUARD, pool, NULL);
    model_copy_text(event.reason, sizeof event.reason, reason);
    changeset_event(set, &event);
}

void model_guard_weigh(struct model *model, struct model_key *key) {
    struct trouble *trouble = &key->pool->trouble;
    if (trouble->report != model->weighed) {
        trouble->report = model->weighed;
        trouble->taking = 0;
        trouble->judged = false;
    }
    trouble->taking++;
}

/* Would what this report takes be too many, of the keys that were normal when the window began? */
static bool is_mass_failure(struct model_pool *pool, kb_outcome outcome, struct moment now,
                            uint64_t *ret_failed, uint64_t *ret_keys) {
    uint64_t benched = trouble_benched(&pool->trouble, now.mono_ms);
    uint64_t failed = benched + pool->trouble.taking;
    if (!pool->guard_share || (outcome == KB_RATE && benched == 0))
        return false;
    *ret_failed = failed;
    *ret_keys = benched + pool->counts[KB_STATUS_NORMAL];
    return trouble_is_mass_failure(failed, *ret_keys, pool->guard_share);
}

static void switch_on(struct model *model, const struct cause *cause, struct model_pool *pool,
                      uint64_t failed, uint64_t keys, struct changeset *set) {
    char reason[160];
    snprintf(reason, sizeof reason,
             "guard on: %" PRIu64 " of %" PRIu64 " keys failed at once, it may not be the keys; "
             "%" PRIu64 " stay benched",
             failed, keys, failed - pool->trouble.taking);
    model->guards++;
    tell(cause, pool, reason, set);
}

bool model_guard_holds(struct model *model, const struct cause *cause, struct model_key *key,
                       kb_outcome outcome, struct changeset *set) {
    struct model_pool *pool = key->pool;
    struct trouble *trouble = &pool->trouble;
    int64_t now = cause->now.mono_ms;
    if (!trouble->judged) {
        uint64_t failed = 0, keys = 0;
        trouble->judged = trouble->held = true;
        if (!model_guard_is_on(pool)) {
            trouble->held = is_mass_failure(pool, outcome, cause->now, &failed, &keys);
            if (trouble->held)
                switch_on(model, cause, pool, failed, keys, set);
        }
    }
    if (trouble->held)
        trouble->guard_until_mono = now + GUARD_HOLD_MS;
    else
        trouble_note_benched(trouble, now);
    return trouble->held;
}

void model_guard_release(struct model *model, const struct cause *cause, struct model_pool *pool,
                         const char *reason, struct changeset *set) {
    if (!model_guard_is_on(pool))
        return;
    pool->trouble.guard_until_mono = 0;
    model->guards--;
    tell(cause, pool, reason, set);
}

void model_tick_guards(struct model *model, struct moment now, struct changeset *set) {
    struct cause cause = { .now = now, .actor = { .kind = ACTOR_BROKER } };
    size_t i = 0;
    for (struct model_pool *pool; model->guards && (pool = map_next(&model->pools, &i));)
        if (pool->trouble.guard_until_mono <= now.mono_ms)
            model_guard_release(model, &cause, pool, "guard off: a minute without such failures",
                                set);
}

int64_t model_next_guard(const struct model *model) {
    int64_t next = INT64_MAX;
    size_t i = 0;
    for (struct model_pool *pool; model->guards && (pool = map_next(&model->pools, &i));)
        if (model_guard_is_on(pool) && pool->trouble.guard_until_mono < next)
            next = pool->trouble.guard_until_mono;
    return next;
}

/* ---- endpoints ---- */

static bool is_usable(const struct model_key *key, int64_t wall_ms) {
    return model_status(key, wall_ms) == KB_STATUS_NORMAL;
}

/* Is there anything to cool, and anything left then? */
static bool may_cool(const struct model_pool *pool, const struct model_endpoint *endpoint) {
    return endpoint->normal && endpoint->normal < pool->counts[KB_STATUS_NORMAL];
}

enum report_fate model_report_endpoint(struct model *model, const struct cause *cause,
                                       struct model_key *key, const struct report *report,
                                       struct changeset *set) {
    struct model_pool *pool = key->pool;
    if (model_is_stale(key, report))
        return FATE_STALE;
    if (report->scope != KB_SCOPE_DEFAULT && report->scope != KB_SCOPE_ENDPOINT)
        return FATE_NOTED;
    if (!trouble_endpoint_failed(&pool->trouble, key->endpoint->hash, cause->now.mono_ms) ||
        !may_cool(pool, key->endpoint))
        return FATE_NOTED;
    struct why why = { .outcome = report->outcome,
                       .http_status = report->http_status,
                       .vendor_code = report->vendor_code,
                       .reason = "its endpoint is in trouble",
                       .cooling_ms = ENDPOINT_COOLING_MS };
    enum report_fate fate = FATE_NOTED;
    for (uint32_t i = 0; i < pool->count; i++) {
        struct model_key *other = pool->order[i];
        if (other->pending || !is_usable(other, cause->now.wall_ms) ||
            other->endpoint != key->endpoint)
            continue;
        model_become(model, cause, other, KB_STATUS_COOLING, &why, set);
        fate = FATE_APPLIED;
    }
    return fate;
}

void model_endpoint_answered(struct model_key *key, struct moment now) {
    struct trouble *trouble = &key->pool->trouble;
    if (trouble_is_doubtful(trouble))
        trouble_endpoint_answered(trouble, key->endpoint->hash, now.mono_ms);
}
