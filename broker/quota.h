/*
 * A quota: so many in a row, then one an interval, the rest counted. For what others can cause and
 * that must not be said each time: events, log lines. Pure; no memory but one moment, which heals
 * by itself.
 */
#ifndef BROKER_QUOTA_H
#define BROKER_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

struct quota {
    int64_t full_mono; /* when all of it may be used again */
    uint64_t held;     /* refused since the last one */
};

/* May there be one now? Takes nothing. */
bool quota_has_room(const struct quota *quota, unsigned in_a_row, int64_t interval_ms,
                    int64_t now_mono);
/* The same and take it: *ret_held were refused since the last one. False: it is one of them. */
bool quota_take(struct quota *quota, unsigned in_a_row, int64_t interval_ms, int64_t now_mono,
                uint64_t *ret_held);

#endif
