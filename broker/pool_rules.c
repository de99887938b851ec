/*
 * Rules for pools: add, set, delete. Part of the model (model.h): pure, called by the commands.
 * Every function first checks everything, then changes everything; a refusal leaves no trace.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

#include <keybroker_shared/board.h>

#include "keyconfig.h"
#include "memory.h"
#include "model_text.h"
#include "rule_lines.h"

static int check_recovery(const char *text, const char *field, struct refusal *refusal) {
    struct recovery recovery;
    if (!text || recovery_parse(text, &recovery))
        return 0;
    return refuse(refusal, REFUSED_SYNTAX, "bad-recovery", field,
                  "%s is never, a duration (90s, 15m, 6h, 2d), daily@HH:MM[+HH:MM] or monthly@DAY",
                  field);
}

static int check_spec(const struct pool_spec *spec, struct refusal *refusal) {
    int refused = check_recovery(spec->exceeded_recovery, "exceeded-recovery", refusal);
    if (!refused)
        refused = check_recovery(spec->error_recovery, "error-recovery", refusal);
    unsigned share;
    if (!refused && spec->guard && !trouble_parse_share(spec->guard, &share))
        refused = refuse(refusal, REFUSED_SYNTAX, "bad-guard", "guard",
                         "guard: on, off, or a percentage from 1 to 99");
    char *tidy = NULL;
    if (!refused && spec->base_url && spec->base_url[0])
        refused = keyconfig_check_base_url(spec->base_url, &tidy, refusal);
    free(tidy);
    if (!refused && spec->rules)
        refused = rule_lines_check(spec->rules, refusal);
    return refused;
}

/* The pool's rules with the spec's; NULL = none given. The caller frees. */
static int make_rules(const struct pool_spec *spec, const char *now, char **ret_rules,
                      struct refusal *refusal) {
    const char *base = spec->rules ? spec->rules : now;
    if (spec->rule)
        return rule_lines_add(base, spec->rule, ret_rules, refusal);
    *ret_rules = spec->rules ? mem_strdup(spec->rules) : NULL;
    return 0;
}

static void apply_spec(struct pool_record *record, const struct pool_spec *spec,
                       const char *rules) {
    if (rules)
        record_set_string(&record->rules, rules);
    if (spec->group)
        record_set_string(&record->group, spec->group);
    if (spec->strategy)
        record->strategy = spec->strategy;
    if (spec->exceeded_recovery)
        record_set_string(&record->exceeded_recovery, spec->exceeded_recovery);
    if (spec->error_recovery)
        record_set_string(&record->error_recovery, spec->error_recovery);
    if (spec->guard)
        record_set_string(&record->guard, spec->guard);
    if (spec->base_url) {
        char *tidy = NULL;
        if (spec->base_url[0])
            keyconfig_check_base_url(spec->base_url, &tidy, NULL); /* check_spec took it */
        record_set_string(&record->base_url, tidy ? tidy : "");
        free(tidy);
    }
}

int model_add_pool(struct model *model, const struct cause *cause, const struct pool_spec *spec,
                   const struct key_spec *default_key, struct changeset *set,
                   struct refusal *refusal) {
    int refused = model_check_pool_name(spec->name, refusal);
    if (refused)
        return refused;
    if (map_get(&model->pool_names, map_hash(spec->name)))
        return refuse(refusal, REFUSED_RULE, "pool-exists", "POOL", "there is a pool %s already",
                      spec->name);
    const struct vendor *vendor = vendor_find(spec->vendor);
    if (!vendor)
        return refuse(refusal, REFUSED_NOT_FOUND, "no-such-vendor", "vendor",
                      "no vendor %.48s; \"show vendors\" lists them", spec->vendor);
    char *rules = NULL;
    refused = check_spec(spec, refusal);
    if (!refused)
        refused = make_rules(spec, "", &rules, refusal);
    if (refused)
        return refused;

    struct pool_record *record = pool_record_new();
    record->id = model->next_id++;
    record->created_at_ms = cause->now.wall_ms;
    record->revision = 1;
    record_set_string(&record->name, spec->name);
    record_set_string(&record->vendor, vendor->name);
    apply_spec(record, spec, rules);
    free(rules);
    /* The default key gets the next id; the record must name it before the key is judged. */
    record->default_key_id = model->next_id;
    model_load_pool(model, record);
    struct model_pool *pool = model_pool_by_id(model, record->id);
    size_t before = set->count;
    changeset_pool(set, NULL, record);
    refused = model_add_key(model, cause, pool, default_key, set, refusal);
    if (refused) {
        struct changeset only = { .items = set->items + before, .count = set->count - before };
        model_undo(model, &only);
        changeset_truncate(set, before);
        set->bumped = 0;
        return refused;
    }
    struct event event = model_event(cause, EVENT_ADD_POOL, pool, NULL);
    snprintf(event.reason, sizeof event.reason, "vendor %s", vendor->name);
    changeset_event(set, &event);
    return 0;
}

/* The keys that wait for a recovery wait by the new policy from now on. */
static void reschedule(struct model *model, const struct cause *cause, struct model_pool *pool,
                       const struct pool_spec *spec, struct changeset *set) {
    for (uint32_t i = 0; i < pool->count; i++) {
        struct model_key *key = pool->order[i];
        pause_at(&model->pause, i);
        const char *policy = key->state.status == KB_STATUS_EXCEEDED ? spec->exceeded_recovery
                             : key->state.status == KB_STATUS_ERROR  ? spec->error_recovery
                                                                     : NULL;
        if (!policy)
            continue;
        struct key_state before = key->state;
        model_set_recovery(key, cause->now);
        if (before.deadline_mono == key->state.deadline_mono)
            continue;
        changeset_state(set, pool->record->id, key->record->id, &before, &key->state);
        key->pending++;
        model_schedule(model, key);
    }
}

int model_set_pool(struct model *model, const struct cause *cause, struct model_pool *pool,
                   const struct pool_spec *spec, struct changeset *set, struct refusal *refusal) {
    int refused = check_spec(spec, refusal);
    if (refused)
        return refused;
    if (spec->base_url && !spec->base_url[0] && pool->vendor && pool->vendor->base_url_required)
        return refuse(refusal, REFUSED_RULE, "base-url-required", "base_url",
                      "vendor %s has no address of its own; its pools keep a base_url",
                      pool->record->vendor);
    char *rules = NULL;
    refused = make_rules(spec, pool->record->rules, &rules, refusal);
    if (refused)
        return refused;
    struct pool_record *record = pool_record_copy(pool->record);
    apply_spec(record, spec, rules);
    free(rules);
    record->revision++;
    changeset_pool(set, pool->record, record);
    model_set_pool_record(pool, record);
    pool_record_unref(record);
    if (spec->exceeded_recovery || spec->error_recovery)
        reschedule(model, cause, pool, spec, set);
    if (spec->guard)
        model_guard_release(model, cause, pool, "guard off: it was set anew", set);
    struct event event = model_event(cause, EVENT_SET_POOL, pool, NULL);
    snprintf(event.reason, sizeof event.reason, "%s%s%s%s%s%s", spec->group ? "group " : "",
             spec->strategy ? "strategy " : "", spec->exceeded_recovery ? "exceeded-recovery " : "",
             spec->error_recovery ? "error-recovery " : "",
             spec->rules || spec->rule ? "rules " : "", spec->base_url ? "base_url" : "");
    changeset_event(set, &event);
    return 0;
}

int model_delete_pool(struct model *model, const struct cause *cause, struct model_pool *pool,
                      struct changeset *set, struct refusal *refusal) {
    (void)refusal; /* confirmation is the command's business */
    struct event event = model_event(cause, EVENT_DELETE_POOL, pool, NULL);
    snprintf(event.reason, sizeof event.reason, "with %u keys", pool->count);
    while (pool->count) {
        model_drop_key(model, pool->order[pool->count - 1], set);
        pause_at(&model->pause, pool->count);
    }
    changeset_pool(set, pool->record, NULL);
    set->items[set->count - 1].pool.keys_named = pool->keys_named;
    changeset_event(set, &event);
    model_remove_pool(model, pool);
    return 0;
}
