/* See map.h. Deletion shifts the following entries back, so that probing never meets tombstones. */
#include "map.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "memory.h"

static size_t home(const struct map *map, uint64_t key) {
    return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (map->capacity - 1);
}

void map_deinit(struct map *map) {
    free(map->entries);
    *map = (struct map){ 0 };
}

static struct map_entry *find(const struct map *map, uint64_t key) {
    if (!map->capacity)
        return NULL;
    for (size_t i = home(map, key);; i = (i + 1) & (map->capacity - 1)) {
        struct map_entry *entry = &map->entries[i];
        if (!entry->value)
            return NULL;
        if (entry->key == key)
            return entry;
    }
}

void *map_get(const struct map *map, uint64_t key) {
    struct map_entry *entry = find(map, key);
    return entry ? entry->value : NULL;
}

static void insert(struct map *map, uint64_t key, void *value) {
    size_t i = home(map, key);
    while (map->entries[i].value)
        i = (i + 1) & (map->capacity - 1);
    map->entries[i] = (struct map_entry){ .key = key, .value = value };
    map->count++;
}

static void grow(struct map *map, size_t capacity) {
    struct map old = *map;
    map->capacity = capacity;
    map->count = 0;
    map->entries = mem_alloc(map->capacity * sizeof *map->entries);
    for (size_t i = 0; i < old.capacity; i++)
        if (old.entries[i].value)
            insert(map, old.entries[i].key, old.entries[i].value);
    free(old.entries);
}

void map_reserve(struct map *map, size_t count) {
    size_t capacity = map->capacity ? map->capacity : 16;
    while (count * 4 > capacity * 3)
        capacity *= 2;
    if (capacity > map->capacity)
        grow(map, capacity);
}

void map_set(struct map *map, uint64_t key, void *value) {
    struct map_entry *entry = find(map, key);
    if (entry) {
        entry->value = value;
        return;
    }
    map_reserve(map, map->count + 1);
    insert(map, key, value);
}

void *map_remove(struct map *map, uint64_t key) {
    struct map_entry *entry = find(map, key);
    if (!entry)
        return NULL;
    void *value = entry->value;
    size_t mask = map->capacity - 1, hole = (size_t)(entry - map->entries);
    for (size_t i = (hole + 1) & mask; map->entries[i].value; i = (i + 1) & mask) {
        size_t distance_from_home = (i - home(map, map->entries[i].key)) & mask;
        if (distance_from_home >= ((i - hole) & mask)) {
            map->entries[hole] = map->entries[i];
            hole = i;
        }
    }
    map->entries[hole].value = NULL;
    map->count--;
    return value;
}

void *map_next(const struct map *map, size_t *iterator) {
    while (*iterator < map->capacity) {
        void *value = map->entries[(*iterator)++].value;
        if (value)
            return value;
    }
    return NULL;
}

uint64_t map_hash(const char *string) {
    return XXH3_64bits(string, strlen(string));
}
