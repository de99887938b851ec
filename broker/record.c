/* See record.h. */
#include "record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_leaf.h"
#include "memory.h"

void record_set_string(char **string, const char *value) {
    char *copy = mem_strdup(value);
    mem_wipe_string(*string);
    *string = copy;
}

struct pool_record *pool_record_new(void) {
    struct pool_record *record = mem_alloc(sizeof *record);
    atomic_init(&record->refs, 1);
    record->strategy = STRATEGY_PRIORITY;
    record->name = mem_strdup("");
    record->vendor = mem_strdup("");
    record->group = mem_strdup("");
    record->exceeded_recovery = mem_strdup("never");
    record->error_recovery = mem_strdup("never");
    record->base_url = mem_strdup("");
    record->rules = mem_strdup("");
    record->guard = mem_strdup("on");
    return record;
}

struct pool_record *pool_record_copy(const struct pool_record *record) {
    struct pool_record *copy = mem_alloc(sizeof *copy);
    atomic_init(&copy->refs, 1);
    copy->id = record->id;
    copy->default_key_id = record->default_key_id;
    copy->revision = record->revision;
    copy->created_at_ms = record->created_at_ms;
    copy->strategy = record->strategy;
    copy->name = mem_strdup(record->name);
    copy->vendor = mem_strdup(record->vendor);
    copy->group = mem_strdup(record->group);
    copy->exceeded_recovery = mem_strdup(record->exceeded_recovery);
    copy->error_recovery = mem_strdup(record->error_recovery);
    copy->base_url = mem_strdup(record->base_url);
    copy->guard = mem_strdup(record->guard);
    copy->rules = mem_strdup(record->rules);
    return copy;
}

struct pool_record *pool_record_ref(struct pool_record *record) {
    atomic_fetch_add_explicit(&record->refs, 1, memory_order_relaxed);
    return record;
}

struct pool_record *pool_record_unref(struct pool_record *record) {
    if (!record)
        return NULL;
    unsigned before = atomic_fetch_sub_explicit(&record->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        free(record->name);
        free(record->vendor);
        free(record->group);
        free(record->exceeded_recovery);
        free(record->error_recovery);
        free(record->base_url);
        free(record->guard);
        free(record->rules);
        free(record);
    }
    return NULL;
}

bool pool_record_differs(const struct pool_record *one, const struct pool_record *other) {
    return one->default_key_id != other->default_key_id || one->strategy != other->strategy ||
           strcmp(one->name, other->name) != 0 || strcmp(one->vendor, other->vendor) != 0 ||
           strcmp(one->group, other->group) != 0 ||
           strcmp(one->exceeded_recovery, other->exceeded_recovery) != 0 ||
           strcmp(one->error_recovery, other->error_recovery) != 0 ||
           strcmp(one->base_url, other->base_url) != 0 || strcmp(one->guard, other->guard) != 0 ||
           strcmp(one->rules, other->rules) != 0;
}

struct key_record *key_record_new(void) {
    struct key_record *record = mem_alloc(sizeof *record);
    atomic_init(&record->refs, 1);
    record->weight = 1;
    record->name = mem_strdup("");
    record->account = mem_strdup("");
    record->note = mem_strdup("");
    record->config = mem_strdup("");
    return record;
}

struct key_record *key_record_copy(const struct key_record *record) {
    struct key_record *copy = mem_alloc(sizeof *copy);
    atomic_init(&copy->refs, 1);
    copy->id = record->id;
    copy->pool_id = record->pool_id;
    copy->slot = record->slot;
    copy->weight = record->weight;
    copy->expires_at_ms = record->expires_at_ms;
    copy->created_at_ms = record->created_at_ms;
    copy->updated_at_ms = record->updated_at_ms;
    copy->name = mem_strdup(record->name);
    copy->account = mem_strdup(record->account);
    copy->note = mem_strdup(record->note);
    copy->config = mem_strdup(record->config);
    return copy;
}

struct key_record *key_record_ref(struct key_record *record) {
    atomic_fetch_add_explicit(&record->refs, 1, memory_order_relaxed);
    return record;
}

struct key_record *key_record_unref(struct key_record *record) {
    if (!record)
        return NULL;
    unsigned before = atomic_fetch_sub_explicit(&record->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        free(record->name);
        free(record->account);
        free(record->note);
        mem_wipe_string(record->config);
        catalog_leaf_free(record->leaf);
        free(record);
    }
    return NULL;
}
