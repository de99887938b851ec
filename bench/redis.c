/* See redis.h. */
#include "redis.h"

#include <stdio.h>
#include <string.h>

#include "sample.h"

#if __has_include(<hiredis/hiredis.h>)

#include <hiredis/hiredis.h>

/* hiredis's own context, under a name of ours. */
static redisContext *context_of(struct redis *redis) {
    return (redisContext *)(void *)redis;
}

bool redis_is_built_in(void) {
    return true;
}

const char *redis_library(void) {
    static char text[32];
    snprintf(text, sizeof text, "hiredis %d.%d.%d", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    return text;
}

struct redis *redis_connect(const char *socket) {
    redisContext *context = redisConnectUnix(socket);
    if (!context || context->err)
        sample_die("redis at %s: %s", socket, context ? context->errstr : "no memory");
    return (struct redis *)(void *)context;
}

struct redis *redis_close(struct redis *redis) {
    if (redis)
        redisFree(context_of(redis));
    return NULL;
}

/* Checks and frees a reply; the text of it, or of its last element, goes to `text`. */
static size_t take(struct redis *redis, redisReply *reply, char *text, size_t size) {
    const redisReply *last = reply;
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0)
        last = reply->element[reply->elements - 1];
    if (!reply || last->type == REDIS_REPLY_ERROR || last->type == REDIS_REPLY_NIL)
        sample_die("redis: %s", reply && last->str ? last->str : context_of(redis)->errstr);
    size_t length = last->str ? last->len : 0;
    if (text && size > 0) {
        size_t taken = length < size ? length : size - 1;
        if (taken > 0)
            memcpy(text, last->str, taken);
        text[taken] = '\0';
    }
    freeReplyObject(reply);
    return length;
}

void redis_set(struct redis *redis, const char *key, const char *value) {
    take(redis, redisCommand(context_of(redis), "SET %s %s", key, value), NULL, 0);
}

size_t redis_get(struct redis *redis, const char *key, char *value, size_t size) {
    return take(redis, redisCommand(context_of(redis), "GET %s", key), value, size);
}

void redis_publish(struct redis *redis, const char *channel, const char *message) {
    take(redis, redisCommand(context_of(redis), "PUBLISH %s %s", channel, message), NULL, 0);
}

void redis_subscribe(struct redis *redis, const char *channel) {
    take(redis, redisCommand(context_of(redis), "SUBSCRIBE %s", channel), NULL, 0);
}

size_t redis_await(struct redis *redis, char *message, size_t size) {
    void *reply = NULL;
    redisGetReply(context_of(redis), &reply);
    return take(redis, reply, message, size);
}

#else

static __attribute__((noreturn)) void refuse(void) {
    sample_die("built without hiredis");
}

bool redis_is_built_in(void) {
    return false;
}

const char *redis_library(void) {
    return "none";
}

struct redis *redis_connect(const char *socket) {
    (void)socket;
    refuse();
}

struct redis *redis_close(struct redis *redis) {
    (void)redis;
    return NULL;
}

void redis_set(struct redis *redis, const char *key, const char *value) {
    (void)redis, (void)key, (void)value;
    refuse();
}

size_t redis_get(struct redis *redis, const char *key, char *value, size_t size) {
    (void)redis, (void)key, (void)value, (void)size;
    refuse();
}

void redis_publish(struct redis *redis, const char *channel, const char *message) {
    (void)redis, (void)channel, (void)message;
    refuse();
}

void redis_subscribe(struct redis *redis, const char *channel) {
    (void)redis, (void)channel;
    refuse();
}

size_t redis_await(struct redis *redis, char *message, size_t size) {
    (void)redis, (void)message, (void)size;
    refuse();
}

#endif
