/*
 * A clock that tests set while a broker and its workers run, without touching the machine's: the
 * control block that a test and tests/support/step_clock.c (preloaded into the broker) share. The
 * test creates the file, maps it and names it in the environment.
 */
#ifndef TESTS_STEP_CLOCK_H
#define TESTS_STEP_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STEP_CLOCK_CONTROL "KEYBROKER_TEST_CLOCK_CONTROL" /* the control block's file */

struct step_clock {
    /* Added to the calendar's time. CLOCK_MONOTONIC does not move: so a step forward is also what a
     * machine sees that was suspended. */
    _Atomic int64_t wall_offset_ms;
};

/* What clock_gettime is, for those who stand in its place. `clock` NULL = the machine's time. */
static inline int step_clock_gettime(const struct step_clock *clock, clockid_t id,
                                     struct timespec *ret_time) {
    int result = (int)syscall(SYS_clock_gettime, id, ret_time);
    if (result < 0 || !clock || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return result;
    int64_t ms = (int64_t)ret_time->tv_sec * 1000 + ret_time->tv_nsec / 1000000 +
                 atomic_load(&clock->wall_offset_ms);
    ret_time->tv_nsec = (long)(ms % 1000) * 1000000 + ret_time->tv_nsec % 1000000;
    ret_time->tv_sec = ms / 1000;
    return 0;
}

#endif
