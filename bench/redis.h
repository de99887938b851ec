/*
 * A connection to Redis by hiredis, the client library that a C program would use: the rest of the
 * bench sees this header only, so that it builds where hiredis is missing. Ends the process when
 * the server fails it.
 */
#ifndef BENCH_REDIS_H
#define BENCH_REDIS_H

#include <stdbool.h>
#include <stddef.h>

struct redis;

bool redis_is_built_in(void);
const char *redis_library(void); /* "hiredis 0.14.1" */

struct redis *redis_connect(const char *socket);
struct redis *redis_close(struct redis *redis); /* NULL is allowed; returns NULL */

void redis_set(struct redis *redis, const char *key, const char *value);
/* The value's length, at most size - 1 of it in `value`, NUL-terminated. */
size_t redis_get(struct redis *redis, const char *key, char *value, size_t size);
void redis_publish(struct redis *redis, const char *channel, const char *message);

/* From now on only redis_await may be called on this connection. */
void redis_subscribe(struct redis *redis, const char *channel);
/* The next message on the channel, sleeping until it comes. */
size_t redis_await(struct redis *redis, char *message, size_t size);

#endif
