/*
 * A hash map from 64-bit numbers to pointers: open addressing, linear probing, grows by doubling.
 * Names are looked up by map_hash of their bytes; callers compare the name they find.
 */
#ifndef BROKER_MAP_H
#define BROKER_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_entry {
    uint64_t key;
    void *value; /* NULL = free */
};
struct map {
    struct map_entry *entries;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

void map_deinit(struct map *map);                         /* does not free values */
void *map_get(const struct map *map, uint64_t key);       /* NULL = absent */
void map_set(struct map *map, uint64_t key, void *value); /* value not NULL; replaces */
/* Room for so many entries in all, so that none of them makes it grow, which takes milliseconds
 * where it is large. */
void map_reserve(struct map *map, size_t count);
void *map_remove(struct map *map, uint64_t key); /* the value, or NULL */

/* Iterate: for (size_t i = 0; (value = map_next(map, &i));) — any order; do not change the map. */
void *map_next(const struct map *map, size_t *iterator);

uint64_t map_hash(const char *string);

#endif
