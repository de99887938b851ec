/*
 * A moment: both clocks, read once per turn of the event loop and passed to everything that needs
 * time. Policy never reads a clock itself; this file is the only place in the broker that does.
 */
#ifndef BROKER_MOMENT_H
#define BROKER_MOMENT_H

#include <stdint.h>

struct moment {
    int64_t
        mono_ms; /* CLOCK_MONOTONIC: cooling, back-off, anything that a clock step must not move */
    int64_t wall_ms; /* CLOCK_REALTIME, since 1970-01-01 UTC: expiry, calendars, what people read */
};

struct moment moment_now(void);
struct moment moment_at(uint64_t mono_ns); /* the same, with the one clock already read */
uint64_t moment_mono_ns(void);

#endif
