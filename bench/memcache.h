/*
 * A connection to memcached by libmemcached, as redis.h is one to Redis. Ends the process when the
 * server fails it.
 */
#ifndef BENCH_MEMCACHE_H
#define BENCH_MEMCACHE_H

#include <stdbool.h>
#include <stddef.h>

struct memcache;

bool memcache_is_built_in(void);
const char *memcache_library(void); /* "libmemcached 1.1.4" */

struct memcache *memcache_connect(const char *socket);
struct memcache *memcache_close(struct memcache *memcache); /* NULL is allowed; returns NULL */

void memcache_set(struct memcache *memcache, const char *key, const char *value);
/* The value's length, at most size - 1 of it in `value`, NUL-terminated. */
size_t memcache_get(struct memcache *memcache, const char *key, char *value, size_t size);

#endif
