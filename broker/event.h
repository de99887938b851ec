/*
 * Events: what happened to pools and keys, and who did it. Made by the model, given their sequence
 * numbers by the store when they are committed, shown by `show events` and `watch`.
 */
#ifndef BROKER_EVENT_H
#define BROKER_EVENT_H

#include <stdint.h>

#include "record.h"

enum { ACTOR_NAME_MAX = 64 }; /* bytes with NUL */

/* What people call an actor; "" = not known. It may be whatever the process likes and is of no
 * authority. */
struct actor_names {
    char user[ACTOR_NAME_MAX];
    char program[ACTOR_NAME_MAX]; /* its unit, else the name of its program */
};

/* Who caused a change, as far as the kernel vouches for it. */
enum actor_kind { ACTOR_BROKER = 0, ACTOR_ADMIN = 1, ACTOR_REPORT = 2 };
struct actor {
    uint32_t kind; /* enum actor_kind */
    uint32_t uid;
    uint32_t pid;
    const struct actor_names *names; /* borrowed from its connection; NULL = not known */
};

enum event_kind {
    EVENT_STATUS = 1, /* from → to */
    EVENT_ADD_POOL,
    EVENT_SET_POOL,
    EVENT_DELETE_POOL,
    EVENT_ADD_KEY,
    EVENT_SET_KEY,
    EVENT_DELETE_KEY,
    EVENT_MOVE_KEY,
    EVENT_ORDER_KEYS,
    EVENT_IMPORT,
    EVENT_EXPIRED,
    EVENT_REPORT,   /* a report worth knowing of that changed nothing (PERMISSION) */
    EVENT_GUARD,    /* the mass-failure guard went on or off */
    EVENT_FAILOVER, /* the pool uses to_key now, because of what happened to key */
    /* What changes nothing, and that somebody may have to answer for: */
    EVENT_EXPORT, /* with secrets */
    EVENT_BACKUP,
    EVENT_ROTATE,
    EVENT_KIND_COUNT
};

/* Plain data: stored, queued and copied by value. */
struct event {
    uint64_t seq;    /* 0 until durable */
    int64_t time_ms; /* wall */
    uint64_t pool_id;
    uint64_t key_id; /* 0 = concerns the pool */
    uint32_t kind;   /* enum event_kind */
    uint32_t from;   /* kb_status; 0 = does not apply */
    uint32_t to;
    uint32_t outcome;     /* kb_outcome; 0 = none */
    uint32_t http_status; /* 0 = none */
    uint32_t count;       /* how often it happened; 0 = once */
    struct actor actor;   /* its names are those below */
    struct actor_names names;
    char pool[POOL_NAME_MAX + 1];
    char key[NAME_MAX_CHARS * 4 + 1];
    char to_key[NAME_MAX_CHARS * 4 + 1]; /* "" = none */
    char vendor_code[CODE_MAX];
    char reason[REASON_MAX];
};

const char *event_kind_name(uint32_t kind); /* "status", "add pool", … */

#endif
