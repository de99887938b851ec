/*
 * The order of a pool's keys: an array that ascends in rank, and every key knows its place in it.
 * Part of the model (model.h).
 */
#include "model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

static void renumber(struct model_pool *pool, uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i++)
        pool->order[i]->position = i;
}

static int by_rank(const void *left, const void *right) {
    const struct model_key *a = *(struct model_key *const *)left;
    const struct model_key *b = *(struct model_key *const *)right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return a->record->id < b->record->id ? -1 : a->record->id > b->record->id;
}

void model_sort(struct model_pool *pool) {
    qsort(pool->order, pool->count, sizeof(struct model_key *), by_rank);
    renumber(pool, 0, pool->count);
}

void model_place(struct model_key *key, uint64_t rank, uint32_t index) {
    struct model_pool *pool = key->pool;
    uint32_t from = key->position;
    assert(index < pool->count && pool->order[from] == key);
    key->rank = rank;
    size_t distance = (from < index ? index - from : from - index) * sizeof(struct model_key *);
    if (from < index)
        memmove(&pool->order[from], &pool->order[from + 1], distance);
    else
        memmove(&pool->order[index + 1], &pool->order[index], distance);
    pool->order[index] = key;
    renumber(pool, from < index ? from : index, (from < index ? index : from) + 1);
}

/* Where a key of this rank belongs; at the end in the usual case. */
static uint32_t rank_index(const struct model_pool *pool, uint64_t rank) {
    uint32_t low = 0, high = pool->count;
    if (!high || pool->order[high - 1]->rank < rank)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (pool->order[middle]->rank < rank)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void model_enter_order(struct model_key *key) {
    struct model_pool *pool = key->pool;
    if (pool->count == pool->capacity) {
        pool->capacity = pool->capacity ? pool->capacity * 2 : 8;
        pool->order = mem_resize(pool->order, pool->capacity, sizeof(struct model_key *));
    }
    uint32_t index = rank_index(pool, key->rank);
    memmove(&pool->order[index + 1], &pool->order[index],
            (pool->count - index) * sizeof(struct model_key *));
    pool->order[index] = key;
    pool->count++;
    renumber(pool, index, pool->count);
}

void model_leave_order(struct model_key *key) {
    struct model_pool *pool = key->pool;
    pool->count--;
    memmove(&pool->order[key->position], &pool->order[key->position + 1],
            (pool->count - key->position) * sizeof(struct model_key *));
    renumber(pool, key->position, pool->count);
}
