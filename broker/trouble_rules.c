/*
 * Endpoints that fail (trouble.h says what that is for; the guard is in guard_rules.c). Part of the
 * model (model.h): pure; called by status_rules.c for reports.
 */
#include <keybroker_shared/report.h>

#include "model_text.h"

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
