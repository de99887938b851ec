/*
 * The mass-failure guard (trouble.h says what it is for and what proves what). Part of the model
 * (model.h): pure; called by status_rules.c for reports and by the clock. Nothing of it is stored:
 * a start watches anew.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model_text.h"

bool model_guard_is_on(const struct model_pool *pool) {
    return pool->trouble.guard_until_mono != 0;
}

int64_t model_guard_until(const struct model_pool *pool) {
    return pool->trouble.guard_until_mono;
}

uint32_t model_guard_held(const struct model_pool *pool) {
    return pool->trouble.held_count;
}

static void tell(const struct cause *cause, const struct model_pool *pool, const char *reason,
                 struct changeset *set) {
    struct event event = model_event(cause, EVENT_GUARD, pool, NULL);
    model_copy_text(event.reason, sizeof event.reason, reason);
    changeset_event(set, &event);
}

/* ---- what is held back ---- */

void model_guard_forget(struct model_key *key) {
    if (!key->held_link)
        return;
    *key->held_link = key->held_next;
    if (key->held_next)
        key->held_next->held_link = key->held_link;
    key->held_next = NULL;
    key->held_link = NULL;
    key->endpoint->held--;
    key->pool->trouble.held_count--;
}

static void remember(const struct model *model, const struct cause *cause, struct model_key *key) {
    struct trouble *trouble = &key->pool->trouble;
    key->held_by = cause->actor;
    key->held_by.names = NULL; /* they end with the connection */
    key->held_generation = model->reporting.ticket;
    if (key->held_link)
        return;
    key->held_next = trouble->held;
    key->held_link = &trouble->held;
    if (key->held_next)
        key->held_next->held_link = &key->held_next;
    trouble->held = key;
    key->endpoint->held++;
    trouble->held_count++;
}

/* While it holds, or in the window before it came on. */
static bool has_failed(const struct model_key *key) {
    return key->failed_mono >= key->pool->trouble.guard_since_mono - TROUBLE_WINDOW_MS;
}

static bool has_worked(const struct model_key *key) {
    return key->worked_mono >= key->pool->trouble.guard_since_mono;
}

/* Have all keys failed that are left, of the pool or of an endpoint that has several? Not if one of
 * the endpoint's works, and cools at the moment. */
static bool is_all_held(const struct model_key *key) {
    const struct model_endpoint *endpoint = key->endpoint;
    if (endpoint->worked_mono >= key->pool->trouble.guard_since_mono)
        return false;
    return (endpoint->keys > 1 && endpoint->held == endpoint->normal) ||
           key->pool->trouble.held_count == key->pool->counts[KB_STATUS_NORMAL];
}

/* With the report that is being judged, before the key says that it failed. */
static void hold(const struct model *model, const struct cause *cause, struct model_key *key,
                 kb_outcome outcome) {
    struct model_pool *pool = key->pool;
    struct trouble *trouble = &pool->trouble;
    bool news = !has_failed(key) || (outcome == KB_INVALID && has_worked(key));
    if (outcome == KB_INVALID)
        remember(model, cause, key);
    trouble->reporter = cause->actor;
    trouble->reporter.names = NULL;
    trouble->endpoint = key->endpoint->hash;
    if (trouble->generation == GENERATION_UNKNOWN && model->reporting.pool == pool)
        trouble->generation = model->reporting.generation;
    if (news || is_all_held(key))
        trouble->guard_until_mono = cause->now.mono_ms + GUARD_HOLD_MS;
}

/* ---- on ---- */

/* What failed, and of how many that were normal when the window began. */
struct loss {
    uint64_t failed, all;
    const char *unit;
};

/* Would what this report takes be too much? */
static bool is_mass_failure(const struct model *model, const struct model_key *key,
                            kb_outcome outcome, int64_t now, struct loss *ret_loss) {
    struct model_pool *pool = key->pool;
    struct trouble *trouble = &pool->trouble;
    uint64_t benched = tally_sum(&trouble->keys, now), normal = pool->counts[KB_STATUS_NORMAL];
    struct loss loss = { .all = pool->accounts_normal + tally_sum(&trouble->emptied, now) };
    loss.unit = loss.all == benched + normal ? "keys" : "accounts";
    if (loss.all >= GUARD_LEAST) {
        bool counted = tally_has(key->account->failed_mono, now);
        loss.failed = tally_sum(&trouble->accounts, now) + !counted;
    } else {
        if (outcome == KB_RATE && benched == 0)
            return false;
        loss.failed = benched + (model->reporting.account ? key->account->normal : 1);
        loss.all = benched + normal;
        loss.unit = "keys";
    }
    *ret_loss = loss;
    return trouble_is_mass_failure(loss.failed, loss.all, pool->guard_share);
}

static void switch_on(struct model *model, const struct cause *cause, struct model_pool *pool,
                      const struct loss *loss, struct changeset *set) {
    struct trouble *trouble = &pool->trouble;
    int64_t now = cause->now.mono_ms;
    char reason[160];
    snprintf(reason, sizeof reason,
             "guard on: %" PRIu64 " of %" PRIu64 " %s failed at once, it may not be the keys; "
             "%u stay benched",
             loss->failed, loss->all, loss->unit, tally_sum(&trouble->keys, now));
    model->guards++;
    trouble->guard_since_mono = now;
    trouble->guard_until_mono = now + GUARD_HOLD_MS;
    trouble->generation = GENERATION_UNKNOWN;
    tell(cause, pool, reason, set);
}

/* Before the key is benched. */
static void note_benched(struct model_key *key, int64_t now) {
    struct trouble *trouble = &key->pool->trouble;
    tally_add(&trouble->keys, now);
    if (!tally_has(key->account->failed_mono, now)) {
        tally_add(&trouble->accounts, now);
        key->account->failed_mono = now;
    }
    if (key->account->normal == 1)
        tally_add(&trouble->emptied, now);
}

bool model_guard_holds(struct model *model, const struct cause *cause, struct model_key *key,
                       kb_outcome outcome, struct changeset *set) {
    struct model_pool *pool = key->pool;
    struct trouble *trouble = &pool->trouble;
    int64_t now = cause->now.mono_ms;
    if (trouble->judged != model->reporting.number) {
        struct loss loss;
        trouble->judged = model->reporting.number;
        trouble->holds = model_guard_is_on(pool);
        if (!trouble->holds && is_mass_failure(model, key, outcome, now, &loss)) {
            trouble->holds = true;
            switch_on(model, cause, pool, &loss, set);
        }
    }
    if (trouble->holds)
        hold(model, cause, key, outcome);
    else
        note_benched(key, now);
    key->failed_mono = now;
    return trouble->holds;
}

/* ---- off ---- */

static void release(struct model *model, const struct cause *cause, struct model_pool *pool,
                    const char *reason, struct changeset *set) {
    pool->trouble.guard_until_mono = 0;
    while (pool->trouble.held)
        model_guard_forget(pool->trouble.held);
    model->guards--;
    tell(cause, pool, reason, set);
}

void model_guard_release(struct model *model, const struct cause *cause, struct model_pool *pool,
                         const char *reason, struct changeset *set) {
    if (model_guard_is_on(pool))
        release(model, cause, pool, reason, set);
}

static bool is_same(const struct actor *a, const struct actor *b) {
    return a->uid == b->uid && a->pid == b->pid;
}

/* What was held of this key takes effect, unless the key was renewed since. */
static bool condemn(struct model *model, const struct cause *cause, struct model_key *key,
                    struct changeset *set) {
    struct report report = { .generation = key->held_generation,
                             .outcome = KB_INVALID,
                             .http_status = key->state.http_status,
                             .vendor_code = key->state.vendor_code };
    bool stale =
        model_is_stale(key, &report) || model_status(key, cause->now.wall_ms) != KB_STATUS_NORMAL;
    model_guard_forget(key);
    if (stale)
        return false;
    note_benched(key, cause->now.mono_ms);
    struct why why = model_why_of(&report);
    model_become(model, cause, key, KB_STATUS_ERROR, &why, set);
    return true;
}

/* `proof`: the key that answered. */
static unsigned take_effect(struct model *model, const struct cause *cause,
                            const struct model_key *proof, struct changeset *set) {
    unsigned condemned = 0;
    struct model_key *key = proof->pool->trouble.held;
    for (struct model_key *next; key && condemned < GUARD_PIECE; key = next) {
        next = key->held_next;
        if (key->endpoint == proof->endpoint && is_same(&key->held_by, &cause->actor))
            condemned += condemn(model, cause, key, set);
    }
    return condemned;
}

bool model_guard_answered(struct model *model, const struct cause *cause, struct model_key *key,
                          const struct report *report, struct changeset *set) {
    struct model_pool *pool = key->pool;
    struct trouble *trouble = &pool->trouble;
    if (!model_guard_is_on(pool) || report->generation <= trouble->generation)
        return false;
    key->worked_mono = key->endpoint->worked_mono = cause->now.mono_ms;
    model_guard_forget(key);
    if (has_failed(key))
        return false;
    unsigned condemned = take_effect(model, cause, key, set);
    bool own =
        is_same(&trouble->reporter, &cause->actor) && trouble->endpoint == key->endpoint->hash;
    if (trouble->held_count == 0 && (condemned || own)) {
        char reason[160];
        snprintf(reason, sizeof reason, "guard off: another key works, so it was the keys: %u more",
                 condemned);
        release(model, cause, pool, reason, set);
    }
    return condemned > 0;
}

/* ---- the clock ---- */

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
