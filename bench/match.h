/*
 * A match: contestants take short turns of failovers before one observer, so that what else happens
 * on the machine happens to all of them; between two failovers the reporter sleeps, so that whoever
 * carries the news finds the processor free. Called by the failover sections.
 */
#ifndef BENCH_MATCH_H
#define BENCH_MATCH_H

#include "contestant.h"
#include "load.h"
#include "observer.h"
#include "result.h"

struct match_entrant {
    struct contestant *contestant;
    struct load *load;           /* at it during this one's turns only; NULL = none */
    const char *figure, *curve;  /* draw its times there; NULL = do not */
    struct result_rounds rounds; /* what was measured, microseconds */
};

struct match {
    struct match_entrant entrants[OBSERVER_CONTESTANTS_MAX];
    unsigned count;
    unsigned rounds, failovers; /* of each entrant in each round */
    unsigned turn;              /* failovers at a time */
    unsigned warm_up;           /* failovers before the first round, which do not count */
    unsigned pause_us;          /* between two failovers, and up to as much again */
};

/* One more entrant; its place. */
unsigned match_add(struct match *match, struct contestant *contestant);

/* Plays it and frees the contestants; what was measured stays. */
void match_play(struct match *match);

#endif
