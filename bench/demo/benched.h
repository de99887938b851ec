/*
 * When the broker had benched which key, by its own events, and which of the requests that the
 * vendor refused came too late after that. Pure. Times are CLOCK_REALTIME.
 *
 * The broker's stamps are whole milliseconds, so a key counts as benched from the end of the
 * millisecond that its event names: the board had changed by then.
 */
#ifndef DEMO_BENCHED_H
#define DEMO_BENCHED_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

enum { SPELLS_MAX = 256, SPELL_KEY_SIZE = 65, GRACE_US = 1000 };

/* A time during which no request may begin on a key. */
struct spell {
    char key[SPELL_KEY_SIZE];
    int64_t from_ns;
    int64_t until_ns; /* 0 = to the end */
};

struct benched {
    unsigned count;
    struct spell spells[SPELLS_MAX];
    /* What was found late, each for more than GRACE_US: */
    unsigned chosen;   /* … the worker had chosen the key that late */
    unsigned reached;  /* … the request reached the vendor's host that late */
    unsigned taken;    /* … the vendor had time for it that late */
    int64_t latest_us; /* of those that reached it */
};

/* `events` as `keybroker -j show events` prints them. */
void benched_read(struct benched *benched, const json_t *events);

/* One refused request with this key. */
void benched_judge(struct benched *benched, const char *key, int64_t chosen_ns, int64_t reached_ns,
                   int64_t taken_ns);

#endif
