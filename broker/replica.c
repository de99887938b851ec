/* See replica.h. */
#include "replica.h"

#include <assert.h>
#include <stdlib.h>

#include "memory.h"

static void disorder(struct replica_pool *pool) {
    free(pool->order);
    pool->order = NULL;
}

void replica_load_pool(struct replica *replica, struct pool_record *record) {
    struct replica_pool *pool = mem_alloc(sizeof *pool);
    pool->record = pool_record_ref(record);
    map_set(&replica->pools, record->id, pool);
}

void replica_load_key(struct replica *replica, struct key_record *record, uint64_t rank) {
    struct replica_pool *pool = map_get(&replica->pools, record->pool_id);
    assert(pool);
    struct replica_key *key = mem_alloc(sizeof *key);
    key->record = key_record_ref(record);
    key->rank = rank;
    map_set(&pool->keys, record->id, key);
    disorder(pool);
}

static void set_pool(struct replica *replica, struct pool_record *from, struct pool_record *to) {
    if (!from) {
        replica_load_pool(replica, to);
        return;
    }
    struct replica_pool *pool = map_get(&replica->pools, from->id);
    if (!to) {
        assert(!pool->keys.count);
        map_remove(&replica->pools, from->id);
        pool_record_unref(pool->record);
        map_deinit(&pool->keys);
        disorder(pool);
        free(pool);
    } else {
        pool_record_unref(pool->record);
        pool->record = pool_record_ref(to);
    }
}

static void set_key(struct replica *replica, struct key_record *from, struct key_record *to) {
    if (!from) {
        replica_load_key(replica, to, 0); /* its rank follows */
        return;
    }
    struct replica_pool *pool = map_get(&replica->pools, from->pool_id);
    struct replica_key *key = map_get(&pool->keys, from->id);
    key_record_unref(key->record);
    if (to) {
        key->record = key_record_ref(to);
        return;
    }
    map_remove(&pool->keys, from->id);
    disorder(pool);
    free(key);
}

static void set_rank(struct replica *replica, uint64_t pool_id, uint64_t key_id, uint64_t rank) {
    struct replica_pool *pool = map_get(&replica->pools, pool_id);
    struct replica_key *key = map_get(&pool->keys, key_id);
    if (!key)
        return;
    key->rank = rank;
    disorder(pool);
}

void replica_apply(struct replica *replica, const struct changeset *set, bool undo) {
    for (size_t i = 0; i < set->count; i++) {
        const struct change *change = &set->items[undo ? set->count - 1 - i : i];
        switch (change->kind) {
        case CHANGE_POOL:
            set_pool(replica, undo ? change->pool.after : change->pool.before,
                     undo ? change->pool.before : change->pool.after);
            break;
        case CHANGE_KEY:
            set_key(replica, undo ? change->key.after : change->key.before,
                    undo ? change->key.before : change->key.after);
            break;
        case CHANGE_RANK:
            set_rank(replica, change->pool_id, change->key_id,
                     undo ? change->rank.before : change->rank.after);
            break;
        case CHANGE_STATE:
        case CHANGE_EVENT:
        case CHANGE_HAPPENED:
            break;
        }
    }
}

/* ---- the order ---- */

/* By value: comparing through pointers misses the cache a million times. */
struct ranked_key {
    uint64_t rank, id;
    struct replica_key *key;
};

static int by_rank(const void *left, const void *right) {
    const struct ranked_key *a = left, *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void sort(struct replica_pool *pool) {
    size_t count = pool->keys.count, n = 0, iterator = 0;
    struct ranked_key *ranked = mem_resize(NULL, count, sizeof *ranked);
    for (struct replica_key *key; (key = map_next(&pool->keys, &iterator));)
        ranked[n++] = (struct ranked_key){ key->rank, key->record->id, key };
    qsort(ranked, count, sizeof *ranked, by_rank);
    pool->order = mem_resize(NULL, count, sizeof(struct replica_key *));
    for (size_t i = 0; i < count; i++)
        pool->order[i] = ranked[i].key;
    free(ranked);
}

void replica_source(struct replica *replica, uint64_t pool_id, struct catalog_source *ret_source,
                    struct published_key **ret_order) {
    struct replica_pool *pool = map_get(&replica->pools, pool_id);
    assert(pool);
    uint32_t count = (uint32_t)pool->keys.count, slots = 0;
    if (!pool->order)
        sort(pool);
    struct key_record **records = mem_resize(NULL, count, sizeof(struct key_record *));
    struct published_key *order = mem_resize(NULL, count, sizeof *order);
    for (uint32_t i = 0; i < count; i++) {
        struct key_record *record = pool->order[i]->record;
        records[i] = record;
        order[i] = (struct published_key){ .id = record->id,
                                           .expires_at_ms = record->expires_at_ms,
                                           .slot = record->slot };
        if (record->slot >= slots)
            slots = record->slot + 1;
    }
    *ret_source = (struct catalog_source){
        .pool = pool->record, .keys = records, .key_count = count, .slot_count = slots
    };
    *ret_order = order;
}

void replica_deinit(struct replica *replica) {
    size_t i = 0;
    for (struct replica_pool *pool; (pool = map_next(&replica->pools, &i));) {
        size_t j = 0;
        for (struct replica_key *key; (key = map_next(&pool->keys, &j));) {
            key_record_unref(key->record);
            free(key);
        }
        map_deinit(&pool->keys);
        disorder(pool);
        pool_record_unref(pool->record);
        free(pool);
    }
    map_deinit(&replica->pools);
}
