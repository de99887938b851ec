/*
 * Records: a pool's and a key's configuration as immutable, reference-counted values.
 *
 * The event loop's model and the store thread's copy share them; a change makes a new record and
 * drops the old one. The last reference wipes what was secret. Everything that changes without an
 * operator (status, deadlines, counters) is in struct key_state, which is copied by value.
 */
#ifndef BROKER_RECORD_H
#define BROKER_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <keybroker.h>

enum {
    NAME_MAX_CHARS = 64,     /* key names and account labels, UTF-8 characters */
    POOL_NAME_MAX = 48,      /* bytes */
    SECRET_MAX_BYTES = 8192, /* vendors' keys can be long: JWTs, bearer blobs */
    WEIGHT_MAX = 1000,
    CODE_MAX = 64,   /* vendor codes, bytes with NUL */
    REASON_MAX = 96, /* why a key has its status, bytes with NUL */
};

enum strategy { STRATEGY_PRIORITY = 1, STRATEGY_SPREAD = 2 }; /* = enum kb_catalog_strategy */

struct pool_record {
    _Atomic unsigned refs;
    uint64_t id; /* never reused; ids of pools and keys come from one counter */
    uint64_t default_key_id;
    uint64_t revision; /* counts changes of order and configuration */
    int64_t created_at_ms;
    uint32_t strategy;
    char *name;
    char *vendor;
    char *group;             /* "" = the broker's own */
    char *exceeded_recovery; /* recovery.h's syntax; "never" */
    char *error_recovery;
    char *base_url; /* "" = the vendor's */
    char *guard;    /* "on" (half of the keys), "off", or a percentage */
    char *rules;    /* classification rules before the vendor's, newest first, joined by \n */
};

struct key_record {
    _Atomic unsigned refs;
    uint64_t id; /* 40 bits, never reused */
    uint64_t pool_id;
    uint32_t slot; /* on the board, fixed for the key's life */
    uint32_t weight;
    int64_t expires_at_ms; /* 0 = never */
    int64_t created_at_ms;
    int64_t updated_at_ms;
    char *name;
    char *account; /* "" = the key is its own account */
    char *note;
    char *config;              /* compact JSON object with api_key; secret */
    struct catalog_leaf *leaf; /* the store thread's (catalog_leaf.h); secret */
};

/* What a key's life has brought it to. Plain data, copied freely, stored after every change. */
struct key_state {
    uint32_t status;  /* a kb_status; never KB_STATUS_EXPIRED */
    uint32_t backoff; /* level: how many coolings without a hint and without a success between */
    int64_t deadline_mono;     /* ms; 0 = does not end by itself. Valid within one boot */
    int64_t deadline_wall;     /* the same moment by the calendar, to survive a reboot */
    int64_t cooling_ms;        /* length of the last cooling */
    int64_t normal_since_mono; /* ms; when it last became normal */
    int64_t status_since_ms;   /* wall */
    uint64_t valid_since;      /* generation; VALID_SINCE_PENDING until published */
    uint64_t reports[9];       /* by kb_outcome, those that were not stale */
    int64_t last_failure_ms;   /* wall; 0 = none */
    uint32_t last_outcome;     /* a kb_outcome; 0 = an operator or the broker put it where it is */
    uint32_t http_status;      /* of the last failure; 0 = none */
    char vendor_code[CODE_MAX];
    char reason[REASON_MAX];
};
#define VALID_SINCE_PENDING UINT64_MAX

/* `_new` functions return a record with one reference and every string "" (copies set by
 * record_set_string). They end the process when memory is out: the broker is crash-only (memory.h).
 */
struct pool_record *pool_record_new(void);
struct pool_record *pool_record_copy(const struct pool_record *record);
struct pool_record *pool_record_ref(struct pool_record *record);
struct pool_record *pool_record_unref(struct pool_record *record); /* NULL allowed; returns NULL */
/* In more than the revision, of one pool. */
bool pool_record_differs(const struct pool_record *one, const struct pool_record *other);

struct key_record *key_record_new(void);
struct key_record *key_record_copy(const struct key_record *record);
struct key_record *key_record_ref(struct key_record *record);
struct key_record *
key_record_unref(struct key_record *record); /* wipes; NULL allowed; returns NULL */

/* Replace *string by a copy of `value`; wipes and frees the old one. */
void record_set_string(char **string, const char *value);

#endif
