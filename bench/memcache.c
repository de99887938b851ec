/* See memcache.h. */
#include "memcache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sample.h"

#if __has_include(<libmemcached/memcached.h>)

#include <libmemcached/memcached.h>

static memcached_st *library_of(struct memcache *memcache) {
    return (memcached_st *)(void *)memcache;
}

static void check(struct memcache *memcache, memcached_return_t code) {
    if (code != MEMCACHED_SUCCESS)
        sample_die("memcached: %s", memcached_strerror(library_of(memcache), code));
}

bool memcache_is_built_in(void) {
    return true;
}

const char *memcache_library(void) {
    return "libmemcached " LIBMEMCACHED_VERSION_STRING;
}

struct memcache *memcache_connect(const char *socket) {
    struct memcache *memcache = (struct memcache *)(void *)memcached_create(NULL);
    if (!memcache)
        sample_die("no memory");
    check(memcache, memcached_server_add_unix_socket(library_of(memcache), socket));
    return memcache;
}

struct memcache *memcache_close(struct memcache *memcache) {
    if (memcache)
        memcached_free(library_of(memcache));
    return NULL;
}

void memcache_set(struct memcache *memcache, const char *key, const char *value) {
    check(memcache,
          memcached_set(library_of(memcache), key, strlen(key), value, strlen(value), 0, 0));
}

size_t memcache_get(struct memcache *memcache, const char *key, char *value, size_t size) {
    size_t length = 0;
    uint32_t flags;
    memcached_return_t code;
    char *got = memcached_get(library_of(memcache), key, strlen(key), &length, &flags, &code);
    check(memcache, code);
    size_t taken = length < size ? length : size - 1;
    memcpy(value, got, taken);
    value[taken] = '\0';
    free(got);
    return length;
}

#else

static __attribute__((noreturn)) void refuse(void) {
    sample_die("built without libmemcached");
}

bool memcache_is_built_in(void) {
    return false;
}

const char *memcache_library(void) {
    return "none";
}

struct memcache *memcache_connect(const char *socket) {
    (void)socket;
    refuse();
}

struct memcache *memcache_close(struct memcache *memcache) {
    (void)memcache;
    return NULL;
}

void memcache_set(struct memcache *memcache, const char *key, const char *value) {
    (void)memcache, (void)key, (void)value;
    refuse();
}

size_t memcache_get(struct memcache *memcache, const char *key, char *value, size_t size) {
    (void)memcache, (void)key, (void)value, (void)size;
    refuse();
}

#endif
