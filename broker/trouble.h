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
 * accounts (half, and at least two) within 10 s, it may not be the keys: an IP block, an outage, a
 * broken worker. While it holds, INVALID benches nothing and RATE cools for at most 5 s. Accounts
 * are counted, because one that was closed takes its keys with it; in a pool of a single account
 * its keys are. A report is held or let through as a whole; one that stands alone is not enough if
 * it is RATE, because then it is just the account's limit. What was benched before stays benched:
 * it can't be told from keys that did fail, and the guard's event says how many they are.
 *
 * Workers go on with their other keys meanwhile and report what answers well. That is the proof
 * that it *is* the keys, and then what was held takes effect and the guard ends. But only if
 *   - the key that answers has not failed itself: else an outage's end would condemn the pool;
 *   - its request began when the guard held already: else a long answer from before an outage
 *     would do it, too;
 *   - it has the endpoint of the key that was held back;
 *   - both were reported by the same process: else one that is broken, or blocked, would be
 *     believed because of others that are not.
 * A key that answers is let go, whoever reports it: it works. If nobody proves anything, the guard
 * ends 60 s after the last time that a key failed for the first time, or one was refused that works
 * for somebody, or one failed when no other was left, or none of its endpoint: as long as all of
 * them fail it holds. Then what was held is forgotten.
 */
#ifndef BROKER_TROUBLE_H
#define BROKER_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"

struct model_key;

enum {
    TROUBLE_WINDOW_MS = 10 * 1000,
    ENDPOINT_FAILURES = 3,
    ENDPOINT_COOLING_MS = 10 * 1000,
    ENDPOINTS_REMEMBERED = 32, /* a pool rarely has more than a handful */
    GUARD_SHARE = 50,          /* percent */
    GUARD_LEAST = 2,
    GUARD_HOLD_MS = 60 * 1000,
    GUARD_COOLING_MS = 5 * 1000,
    GUARD_PIECE = 64, /* of what was held takes effect with one report */
};

struct endpoint_trouble {
    uint64_t endpoint; /* 0 = free */
    unsigned failures;
    int64_t failed_mono[ENDPOINT_FAILURES]; /* of the last ones, oldest first */
};

/* How many, over the last ten seconds, by the second. */
struct tally {
    unsigned by_second[TROUBLE_WINDOW_MS / 1000];
    int64_t second; /* the one that by_second[second % 10] counts */
};

#define TROUBLE_NEVER (INT64_MIN / 2) /* of moments that are compared */
#define GENERATION_UNKNOWN UINT64_MAX

struct trouble {
    struct endpoint_trouble endpoints[ENDPOINTS_REMEMBERED];
    unsigned doubted; /* how many of these are taken */

    /* What the guarded classes benched: keys; accounts, each once; those among them that had no
     * normal key left. */
    struct tally keys, accounts, emptied;

    int64_t guard_since_mono; /* when it came on last */
    int64_t guard_until_mono; /* 0 = it is off */
    uint64_t generation;      /* that workers could have seen when it came on; GENERATION_UNKNOWN =
                                 another pool's report did that, and none of this one's came yet */
    struct model_key *held;   /* normal keys whose INVALID was held back, by held_next */
    uint32_t held_count;
    struct actor reporter; /* of what was held last, and the endpoint that it was about */
    uint64_t endpoint;
    uint64_t judged; /* the report that was judged last (model->reporting) … */
    bool holds;      /* … and whether it is held: the same for all keys that it reaches */
};

/* One more failure of the endpoint; true if it was the one that is too many (and counting starts
 * anew). */
bool trouble_endpoint_failed(struct trouble *trouble, uint64_t endpoint, int64_t now_mono);
/* It answered well: its failures don't count any more, nor those of others that are too old. */
void trouble_endpoint_answered(struct trouble *trouble, uint64_t endpoint, int64_t now_mono);
/* Has any endpoint failures that would be forgotten if it answered well? */
bool trouble_is_doubtful(const struct trouble *trouble);

unsigned tally_sum(struct tally *tally, int64_t now_mono);
void tally_add(struct tally *tally, int64_t now_mono);
/* Is what was added at `mono` still in the sum? */
bool tally_has(int64_t mono, int64_t now_mono);
/* "on" (GUARD_SHARE), "off" (0) or a percentage from 1 to 99. False: none of these. */
bool trouble_parse_share(const char *text, unsigned *ret_share);
/* Are `failed` of `all` too many? `share` in percent, 0 = never. */
bool trouble_is_mass_failure(uint64_t failed, uint64_t all, unsigned share);

#endif
