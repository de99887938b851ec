/*
 * A binary min-heap of (moment, key id). Entries are never removed from the middle: whoever pops
 * one checks that it still holds, and heap_clear + re-push rebuilds a heap in which too many do
 * not.
 */
#ifndef BROKER_HEAP_H
#define BROKER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_entry {
    int64_t when;
    uint64_t key_id;
};
struct heap {
    struct heap_entry *entries;
    size_t count;
    size_t capacity;
};

void heap_deinit(struct heap *heap);
void heap_clear(struct heap *heap);
void heap_push(struct heap *heap, int64_t when, uint64_t key_id);
struct heap_entry heap_pop(struct heap *heap); /* not on an empty heap */
/* INT64_MAX when empty. */
int64_t heap_first(const struct heap *heap);

#endif
