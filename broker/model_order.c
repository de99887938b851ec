/*
 * The order of a pool's keys: an array that ascends in rank, and every key knows its place in it.
 * Part of the model (model.h).
 *
 * Where many keys come or go at once, moving up those behind for each of them would take their
 * number squared. The order is *loose* meanwhile: every key is in it once, anywhere, and it is put
 * right in the end. What reports ask of it (is there a key that …) does not depend on places.
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

/* ---- sorting ---- */

struct ranked {
    uint64_t rank, id;
    struct model_key *key;
};

static bool goes_before(const struct ranked *a, const struct ranked *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->id < b->id;
}

/* Two runs that stand behind each other become one, in `to`. */
static void merge(const struct model *model, const struct ranked *from, size_t middle, size_t end,
                  struct ranked *to) {
    size_t left = 0, right = middle;
    for (size_t i = 0; i < end; i++) {
        bool take_left = right == end || (left < middle && !goes_before(&from[right], &from[left]));
        to[i] = from[take_left ? left++ : right++];
        if (i % 1024 == 1023)
            pause_take(&model->pause);
    }
}

/* By merging ever longer runs: the C library's sort can't be interrupted. */
static struct ranked *sort(const struct model *model, struct ranked *keys, struct ranked *spare,
                           size_t count) {
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t at = 0; at < count; at += 2 * run) {
            size_t end = count - at < 2 * run ? count - at : 2 * run;
            merge(model, keys + at, run < end ? run : end, end, spare + at);
            pause_at(&model->pause, at / run);
        }
        struct ranked *sorted = spare;
        spare = keys;
        keys = sorted;
    }
    return keys;
}

void model_sort(const struct model *model, struct model_pool *pool) {
    struct ranked *keys = mem_resize(NULL, pool->count, sizeof *keys);
    struct ranked *spare = mem_resize(NULL, pool->count, sizeof *spare);
    for (uint32_t i = 0; i < pool->count; i++) {
        struct model_key *key = pool->order[i];
        keys[i] = (struct ranked){ .rank = key->rank, .id = key->record->id, .key = key };
        pause_at(&model->pause, i);
    }
    const struct ranked *sorted = sort(model, keys, spare, pool->count);
    for (uint32_t i = 0; i < pool->count; i++)
        pool->order[i] = sorted[i].key;
    free(keys);
    free(spare);
    for (uint32_t i = 0; i < pool->count; i++) {
        pool->order[i]->position = i;
        pause_at(&model->pause, i);
    }
}

/* ---- places ---- */

void model_place(struct model_key *key, uint64_t rank, uint32_t index) {
    struct model_pool *pool = key->pool;
    uint32_t from = key->position;
    assert(index < pool->count && pool->order[from] == key && !pool->loose);
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
    if (!high || pool->loose || pool->order[high - 1]->rank < rank)
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
    uint32_t index = key->position;
    pool->count--;
    if (pool->loose) {
        pool->order[index] = pool->order[pool->count];
        pool->order[index]->position = index;
        return;
    }
    memmove(&pool->order[index], &pool->order[index + 1],
            (pool->count - index) * sizeof(struct model_key *));
    renumber(pool, index, pool->count);
}

void model_loosen(struct model_pool *pool) {
    pool->loose = true;
}

void model_tidy(const struct model *model, struct model_pool *pool) {
    if (!pool->loose)
        return;
    model_sort(model, pool);
    pool->loose = false;
}
