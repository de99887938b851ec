/* See moment.h. */
#include "moment.h"

#include <time.h>

static int64_t clock_ms(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct moment moment_now(void) {
    return (struct moment){ .mono_ms = clock_ms(CLOCK_MONOTONIC),
                            .wall_ms = clock_ms(CLOCK_REALTIME) };
}

struct moment moment_at(uint64_t mono_ns) {
    return (struct moment){ .mono_ms = (int64_t)(mono_ns / 1000000),
                            .wall_ms = clock_ms(CLOCK_REALTIME) };
}

uint64_t moment_mono_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
