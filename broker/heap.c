/* See heap.h. */
#include "heap.h"

#include <assert.h>
#include <stdlib.h>

#include "memory.h"

void heap_deinit(struct heap *heap) {
    free(heap->entries);
    *heap = (struct heap){ 0 };
}

void heap_clear(struct heap *heap) {
    heap->count = 0;
}

void heap_push(struct heap *heap, int64_t when, uint64_t key_id) {
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity ? heap->capacity * 2 : 16;
        heap->entries = mem_resize(heap->entries, heap->capacity, sizeof *heap->entries);
    }
    size_t i = heap->count++;
    while (i > 0 && heap->entries[(i - 1) / 2].when > when) {
        heap->entries[i] = heap->entries[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap->entries[i] = (struct heap_entry){ .when = when, .key_id = key_id };
}

struct heap_entry heap_pop(struct heap *heap) {
    assert(heap->count > 0);
    struct heap_entry first = heap->entries[0];
    struct heap_entry last = heap->entries[--heap->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->entries[child + 1].when < heap->entries[child].when)
            child++;
        if (heap->entries[child].when >= last.when)
            break;
        heap->entries[i] = heap->entries[child];
        i = child;
    }
    if (heap->count)
        heap->entries[i] = last;
    return first;
}

int64_t heap_first(const struct heap *heap) {
    return heap->count ? heap->entries[0].when : INT64_MAX;
}
