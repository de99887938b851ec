/*
 * Trouble: two things that a pool remembers of the last seconds' reports, so that one bad minute of
 * a vendor does not cost a pool its keys. Part of the model (model.h): pure, in memory only,
 * forgotten with a restart.
 *
 * Endpoints: three failures of one base URL within 10 s without a success between cool its keys for
 * 10 s, never those of the pool's last usable endpoint. Workers report successes only while they
 * are asked to (KB_BOARD_DOUBTED): from an endpoint's first failure until it answers well.
 *
 * The guard: when INVALID, or RATE without a hint, would take more than a share of the pool's
 * normal keys (half, and at least two) within 10 s, it is not the keys: an IP block, an outage, a
 * broken worker. Until 60 s after the last such report INVALID benches nothing and RATE cools for
 * at most 5 s. A report counts with all keys of the pool that it would take and is held or let
 * through as a whole. One that stands alone is not enough if it is RATE: where an account has all
 * of a pool's keys, its rate limit is just that. What was benched before the guard came on stays
 * benched: it can't be told from keys that did fail, and the guard's event says how many they are.
 */
#ifndef BROKER_TROUBLE_H
#define BROKER_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TROUBLE_WINDOW_MS = 10 * 1000,
    ENDPOINT_FAILURES = 3,
    ENDPOINT_COOLING_MS = 10 * 1000,
    ENDPOINTS_REMEMBERED = 32, /* a pool rarely has more than a handful */
    GUARD_SHARE = 50,          /* percent */
    GUARD_LEAST = 2,
    GUARD_HOLD_MS = 60 * 1000,
    GUARD_COOLING_MS = 5 * 1000,
};

struct endpoint_trouble {
    uint64_t endpoint; /* 0 = free */
    unsigned failures;
    int64_t failed_mono[ENDPOINT_FAILURES]; /* of the last ones, oldest first */
};

struct trouble {
    struct endpoint_trouble endpoints[ENDPOINTS_REMEMBERED];
    unsigned doubted; /* how many of these are taken */
    /* Keys that the guarded classes benched, by the second, over the last ten. */
    unsigned benched[TROUBLE_WINDOW_MS / 1000];
    int64_t benched_second;   /* the second that benched[benched_second % 10] counts */
    int64_t guard_until_mono; /* 0 = the guard is off */
    uint64_t report;          /* the one that was weighed last */
    unsigned taking;          /* normal keys that it would bench */
    bool judged, held;        /* … and whether it may; the same for all of them */
};

/* One more failure of the endpoint; true if it was the one that is too many (and counting starts
 * anew). */
bool trouble_endpoint_failed(struct trouble *trouble, uint64_t endpoint, int64_t now_mono);
/* It answered well: its failures don't count any more, nor those of others that are too old. */
void trouble_endpoint_answered(struct trouble *trouble, uint64_t endpoint, int64_t now_mono);
/* Has any endpoint failures that would be forgotten if it answered well? */
bool trouble_is_doubtful(const struct trouble *trouble);

/* How many keys the guarded classes have benched in the window; and one more. */
unsigned trouble_benched(struct trouble *trouble, int64_t now_mono);
void trouble_note_benched(struct trouble *trouble, int64_t now_mono);
/* "on" (GUARD_SHARE), "off" (0) or a percentage from 1 to 99. False: none of these. */
bool trouble_parse_share(const char *text, unsigned *ret_share);
/* Are `failed` of `keys` too many? `share` in percent, 0 = never. */
bool trouble_is_mass_failure(uint64_t failed, uint64_t keys, unsigned share);

#endif
