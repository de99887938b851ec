/* See model.h. What there is, kept consistent: indexes, slots, heaps; loading, publishing. */
#include "model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <keybroker_shared/board.h>
#include <sodium.h>

#include "memory.h"
#include "model_text.h"

struct model *model_new(void) {
    struct model *model = mem_alloc(sizeof *model);
    model->next_id = 1;
    randombytes_buf(model->digest_key, sizeof model->digest_key);
    return model;
}

static void free_key(struct model_key *key) {
    key_record_unref(key->record);
    free(key);
}

static void free_pool(struct model_pool *pool) {
    pool_record_unref(pool->record);
    map_deinit(&pool->names);
    heap_deinit(&pool->expiries);
    map_deinit(&pool->secrets);
    model_free_endpoints(pool);
    free(pool->order);
    free(pool->slots);
    free(pool);
}

struct model *model_free(struct model *model) {
    if (!model)
        return NULL;
    size_t i = 0;
    model_free_accounts(model);
    for (struct model_key *key; (key = map_next(&model->keys, &i));)
        free_key(key);
    i = 0;
    for (struct model_pool *pool; (pool = map_next(&model->pools, &i));)
        free_pool(pool);
    map_deinit(&model->pools);
    map_deinit(&model->pool_names);
    map_deinit(&model->keys);
    heap_deinit(&model->recoveries);
    heap_deinit(&model->expiries);
    heap_deinit(&model->flaps);
    free(model);
    return NULL;
}

/* ---- looking up ---- */

struct model_pool *model_find_pool(const struct model *model, const char *name) {
    struct model_pool *pool = map_get(&model->pool_names, map_hash(name));
    return pool && strcmp(pool->record->name, name) == 0 ? pool : NULL;
}

struct model_pool *model_pool_by_id(const struct model *model, uint64_t id) {
    return map_get(&model->pools, id);
}

struct model_key *model_key_by_id(const struct model *model, uint64_t id) {
    return map_get(&model->keys, id);
}

struct model_key *model_find_key(const struct model *model, const struct model_pool *pool,
                                 const char *name) {
    if (name[0] == '#') {
        char *end;
        unsigned long long id = strtoull(name + 1, &end, 10);
        struct model_key *key =
            name[1] >= '0' && name[1] <= '9' && !*end ? map_get(&model->keys, id) : NULL;
        return key && key->pool == pool ? key : NULL;
    }
    struct model_key *key = map_get(&pool->names, map_hash(name));
    return key && strcmp(key->record->name, name) == 0 ? key : NULL;
}

kb_status model_status(const struct model_key *key, int64_t wall_ms) {
    if (key->record->expires_at_ms && wall_ms >= key->record->expires_at_ms)
        return KB_STATUS_EXPIRED;
    return (kb_status)key->state.status;
}

static const char *const STATUS_NAMES[KB_STATUS_COUNT] = {
    [KB_STATUS_NORMAL] = "normal",     [KB_STATUS_COOLING] = "cooling",
    [KB_STATUS_EXCEEDED] = "exceeded", [KB_STATUS_ERROR] = "error",
    [KB_STATUS_DISABLED] = "disabled", [KB_STATUS_EXPIRED] = "expired",
};

const char *model_status_name(unsigned status) {
    return status < KB_STATUS_COUNT && STATUS_NAMES[status] ? STATUS_NAMES[status] : "";
}

unsigned model_status_parse(const char *text) {
    for (unsigned status = 1; status < KB_STATUS_COUNT; status++)
        if (strcmp(text, STATUS_NAMES[status]) == 0)
            return status;
    return 0;
}

const char *model_strategy_name(uint32_t strategy) {
    return strategy == STRATEGY_SPREAD ? "spread" : "priority";
}

uint32_t model_strategy_parse(const char *text) {
    if (strcmp(text, "spread") == 0)
        return STRATEGY_SPREAD;
    return strcmp(text, "priority") == 0 ? STRATEGY_PRIORITY : 0;
}

const char *model_outcome_name(unsigned outcome) {
    static const char *const NAMES[] = { "",     "success",  "invalid", "permission", "quota",
                                         "rate", "overload", "request", "network" };
    return outcome < sizeof NAMES / sizeof *NAMES ? NAMES[outcome] : "";
}

bool model_is_default(const struct model_key *key) {
    return key->pool->record->default_key_id == key->record->id;
}

/* ---- slots ---- */

uint32_t model_free_slot(const struct model_pool *pool) {
    for (uint32_t word = 0; word < pool->slot_words; word++)
        if (~pool->slots[word])
            return word * 64 + (uint32_t)__builtin_ctzll(~pool->slots[word]);
    uint32_t slot = pool->slot_words * 64;
    return slot < KB_BOARD_SLOTS_MAX ? slot : KB_BOARD_SLOTS_MAX;
}

static void take_slot(struct model_pool *pool, uint32_t slot) {
    assert(slot < KB_BOARD_SLOTS_MAX);
    if (slot / 64 >= pool->slot_words) {
        uint32_t words = slot / 64 + 1;
        pool->slots = mem_resize(pool->slots, words, sizeof *pool->slots);
        memset(pool->slots + pool->slot_words, 0, (words - pool->slot_words) * sizeof *pool->slots);
        pool->slot_words = words;
    }
    assert(!(pool->slots[slot / 64] >> slot % 64 & 1));
    pool->slots[slot / 64] |= UINT64_C(1) << slot % 64;
}

static void give_slot(struct model_pool *pool, uint32_t slot) {
    assert(pool->slots[slot / 64] >> slot % 64 & 1);
    pool->slots[slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

uint32_t model_slot_count(const struct model_pool *pool) {
    for (uint32_t word = pool->slot_words; word-- > 0;)
        if (pool->slots[word])
            return word * 64 + 64 - (uint32_t)__builtin_clzll(pool->slots[word]);
    return 0;
}

/* ---- keeping the indexes ---- */

static void insert_pool(struct model *model, struct model_pool *pool) {
    map_set(&model->pools, pool->record->id, pool);
    map_set(&model->pool_names, map_hash(pool->record->name), pool);
}

void model_remove_pool(struct model *model, struct model_pool *pool) {
    assert(pool->count == 0);
    model->guards -= model_guard_is_on(pool);
    map_remove(&model->pools, pool->record->id);
    map_remove(&model->pool_names, map_hash(pool->record->name));
    free_pool(pool);
}

void model_set_pool_record(struct model_pool *pool, struct pool_record *record) {
    struct pool_record *old = pool->record;
    bool moved = old && strcmp(old->base_url, record->base_url) != 0;
    pool->record = pool_record_ref(record);
    pool_record_unref(old);
    pool->vendor = vendor_find(record->vendor);
    if (!trouble_parse_share(record->guard, &pool->guard_share))
        pool->guard_share = GUARD_SHARE;
    for (uint32_t i = 0; moved && i < pool->count; i++)
        model_move_endpoint(pool->order[i]);
    if (!recovery_parse(record->exceeded_recovery, &pool->exceeded_recovery))
        pool->exceeded_recovery = (struct recovery){ .kind = RECOVERY_NEVER };
    if (!recovery_parse(record->error_recovery, &pool->error_recovery))
        pool->error_recovery = (struct recovery){ .kind = RECOVERY_NEVER };
}

void model_expect(struct model *model, struct model_pool *pool, size_t keys) {
    map_reserve(&model->keys, model->keys.count + keys);
    map_reserve(&pool->names, pool->names.count + keys);
    map_reserve(&pool->secrets, pool->secrets.count + keys);
}

struct model_key *model_insert_key(struct model *model, struct model_pool *pool,
                                   struct key_record *record, uint64_t rank,
                                   const struct key_state *state) {
    struct model_key *key = mem_alloc(sizeof *key);
    key->record = key_record_ref(record);
    key->pool = pool;
    key->rank = rank;
    key->state = *state;
    key->touched_mono = key->permission_mono = TROUBLE_NEVER;
    key->failed_mono = key->worked_mono = TROUBLE_NEVER;
    model_enter_order(key);
    take_slot(pool, record->slot);
    map_set(&model->keys, record->id, key);
    map_set(&pool->names, map_hash(record->name), key);
    model_link_groups(model, key);
    model_note_expiry(key);
    model_link_twins(model, key);
    model_end_change(key);
    return key;
}

static void clean(struct model_key *key) {
    if (!key->dirty)
        return;
    *key->dirty_link = key->dirty_next;
    if (key->dirty_next)
        key->dirty_next->dirty_link = key->dirty_link;
    key->dirty = false;
}

void model_remove_key(struct model *model, struct model_key *key) {
    struct model_pool *pool = key->pool;
    model_begin_change(key);
    clean(key);
    model_unlink_twins(key);
    model_unlink_groups(model, key);
    map_remove(&pool->names, map_hash(key->record->name));
    map_remove(&model->keys, key->record->id);
    give_slot(pool, key->record->slot);
    model_leave_order(key);
    free_key(key);
}

static void set_expiry_seen(struct model_key *key, bool seen) {
    model_begin_change(key);
    key->expiry_seen = seen;
    model_end_change(key);
}

void model_set_key_record(struct model *model, struct model_key *key, struct key_record *record) {
    struct key_record *old = key->record;
    assert(old->slot == record->slot && old->id == record->id);
    model_begin_change(key);
    model_unlink_groups(model, key);
    map_remove(&key->pool->names, map_hash(old->name));
    key->record = key_record_ref(record);
    map_set(&key->pool->names, map_hash(record->name), key);
    model_link_groups(model, key);
    model_end_change(key);
    if (strcmp(old->config, record->config) != 0) {
        model_unlink_twins(key);
        model_link_twins(model, key);
    }
    if (old->expires_at_ms != record->expires_at_ms) {
        set_expiry_seen(key, false);
        model_note_expiry(key);
    }
    key_record_unref(old);
    model_schedule(model, key);
}

static void rebuild_heaps(struct model *model) {
    heap_clear(&model->recoveries);
    heap_clear(&model->expiries);
    size_t i = 0;
    for (struct model_key *key; (key = map_next(&model->keys, &i));) {
        if (key->state.deadline_mono)
            heap_push(&model->recoveries, key->state.deadline_mono, key->record->id);
        if (key->record->expires_at_ms && !key->expiry_seen)
            heap_push(&model->expiries, key->record->expires_at_ms, key->record->id);
    }
}

void model_schedule(struct model *model, struct model_key *key) {
    size_t bound = model->keys.count * 2 + 64;
    if (model->recoveries.count > bound || model->expiries.count > bound) {
        rebuild_heaps(model);
        return;
    }
    if (key->state.deadline_mono)
        heap_push(&model->recoveries, key->state.deadline_mono, key->record->id);
    if (key->record->expires_at_ms && !key->expiry_seen)
        heap_push(&model->expiries, key->record->expires_at_ms, key->record->id);
}

void model_note_expiry(const struct model_key *key) {
    struct model_pool *pool = key->pool;
    if (!key->record->expires_at_ms)
        return;
    if (pool->expiries.count <= pool->count * (size_t)2 + 64) {
        heap_push(&pool->expiries, key->record->expires_at_ms, key->record->id);
        return;
    }
    heap_clear(&pool->expiries); /* most entries don't hold any more */
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->order[i]->record->expires_at_ms)
            heap_push(&pool->expiries, pool->order[i]->record->expires_at_ms,
                      pool->order[i]->record->id);
}

int64_t model_next_expiry(const struct model *model, struct model_pool *pool, int64_t wall_ms) {
    for (; pool->expiries.count; heap_pop(&pool->expiries)) {
        struct heap_entry first = pool->expiries.entries[0];
        const struct model_key *key = model_key_by_id(model, first.key_id);
        if (first.when > wall_ms && key && key->record->expires_at_ms == first.when)
            return first.when;
    }
    return 0;
}

struct event model_event(const struct cause *cause, uint32_t kind, const struct model_pool *pool,
                         const struct model_key *key) {
    struct event event = { .time_ms = cause->now.wall_ms,
                           .pool_id = pool ? pool->record->id : 0,
                           .key_id = key ? key->record->id : 0,
                           .kind = kind,
                           .count = 1,
                           .actor = cause->actor };
    if (cause->actor.names)
        event.names = *cause->actor.names;
    event.actor.names = NULL; /* the connection may be gone before the event is shown */
    if (pool)
        model_copy_text(event.pool, sizeof event.pool, pool->record->name);
    if (key)
        model_copy_text(event.key, sizeof event.key, key->record->name);
    return event;
}

void model_bump_revision(struct model_pool *pool, struct changeset *set) {
    if (set->bumped == pool->record->id)
        return;
    set->bumped = pool->record->id;
    struct pool_record *record = pool_record_copy(pool->record);
    record->revision++;
    changeset_pool(set, pool->record, record);
    model_set_pool_record(pool, record);
    pool_record_unref(record);
}

/* ---- loading ---- */

void model_load_pool(struct model *model, struct pool_record *record) {
    struct model_pool *pool = mem_alloc(sizeof *pool);
    model_set_pool_record(pool, record);
    pool_record_unref(record);
    insert_pool(model, pool);
}

void model_load_key(struct model *model, struct key_record *record, uint64_t rank,
                    const struct key_state *state) {
    struct model_pool *pool = model_pool_by_id(model, record->pool_id);
    assert(pool);
    model_insert_key(model, pool, record, rank, state);
    key_record_unref(record);
}

/* After a reboot the monotonic clock began anew: what remained by the calendar remains, but never
 * more than the whole wait, whatever the calendar says by now. */
static void rebase_after_boot(struct model_key *key, struct moment now) {
    struct key_state *state = &key->state;
    state->normal_since_mono = now.mono_ms;
    if (!state->deadline_mono)
        return;
    int64_t left = state->deadline_wall - now.wall_ms;
    int64_t whole = state->deadline_wall - state->status_since_ms;
    if (left > whole)
        left = whole;
    state->deadline_mono = now.mono_ms + (left > 1 ? left : 1);
}

void model_loaded(struct model *model, uint64_t next_id, bool same_boot, uint64_t generation,
                  struct moment now) {
    model->next_id = next_id;
    size_t i = 0;
    for (struct model_key *key; (key = map_next(&model->keys, &i));) {
        if (!same_boot)
            rebase_after_boot(key, now);
        bool expired = key->record->expires_at_ms && key->record->expires_at_ms <= now.wall_ms;
        set_expiry_seen(key, expired);
    }
    rebuild_heaps(model);
    model_settle(model, generation);
}

/* ---- publishing ---- */

void model_settle_pool(struct model *model, struct model_pool *pool, uint64_t generation) {
    for (uint32_t i = 0; i < pool->count; i++) {
        struct model_key *key = pool->order[i];
        /* Nothing is staged; a key whose deletion was undone may still count what was published
         * while it was away. */
        if (key->pending)
            model_schedule(model, key);
        key->pending = 0;
        key->account->changes++; /* reports on it may count again */
        if (key->state.valid_since == VALID_SINCE_PENDING) {
            key->state.valid_since = generation;
            model_mark_dirty(model, key);
        }
    }
}

void model_settle(struct model *model, uint64_t generation) {
    size_t i = 0;
    for (struct model_pool *pool; (pool = map_next(&model->pools, &i));)
        model_settle_pool(model, pool, generation);
}

void model_published(struct model *model, const struct changeset *set, uint64_t generation) {
    for (size_t i = 0; i < set->count; i++) {
        const struct change *change = &set->items[i];
        if (change->kind != CHANGE_STATE || !change->state.after)
            continue;
        pause_at(&model->pause, i);
        struct model_key *key = model_key_by_id(model, change->key_id);
        if (!key) /* deleted by a later command */
            continue;
        if (key->pending)
            key->pending--;
        key->account->changes++;
        if (!key->pending)
            model_schedule(model, key);
        if (!key->pending && key->state.valid_since == VALID_SINCE_PENDING) {
            key->state.valid_since = generation;
            model_mark_dirty(model, key);
        }
    }
}

void model_announced(struct model *model, const struct changeset *set, uint64_t generation) {
    for (size_t i = 0; i < set->count; i++) {
        if (set->items[i].kind != CHANGE_HAPPENED)
            continue;
        struct model_key *key = set->items[i].happened.key;
        if (key->state.valid_since == VALID_SINCE_PENDING && !key->pending)
            key->state.valid_since = generation;
        model_mark_dirty(model, key);
    }
}

void model_mark_dirty(struct model *model, struct model_key *key) {
    if (key->dirty)
        return;
    key->dirty = true;
    key->dirty_next = model->dirty;
    key->dirty_link = &model->dirty;
    if (key->dirty_next)
        key->dirty_next->dirty_link = &key->dirty_next;
    model->dirty = key;
}

void model_collect_dirty(struct model *model, struct changeset *set) {
    for (size_t i = 0; model->dirty; i++) {
        pause_at(&model->pause, i);
        struct model_key *key = model->dirty;
        changeset_state(set, key->pool->record->id, key->record->id, NULL, &key->state);
        clean(key);
    }
}
