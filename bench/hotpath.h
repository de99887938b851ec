/*
 * The hot path: kb_current on a pool in which nothing changes, static and shared library, by time,
 * by instructions and by system calls.
 */
#ifndef BENCH_HOTPATH_H
#define BENCH_HOTPATH_H

#include <stdbool.h>

#include "rig.h"

/* Starts and kills brokers on the rig, which has none running. */
void hotpath_measure(struct rig *rig, bool quick);

/* Start bench_hotpath of this library ("static" or "shared") in this mode on this pool. */
struct child hotpath_start(const struct rig *rig, const char *library, const char *mode,
                           const char *pool, unsigned long first, unsigned long second);
/* The same under callgrind, which counts instructions inside kb_current; needs valgrind. */
struct child hotpath_start_counted(const struct rig *rig, const char *library, const char *mode,
                                   const char *pool, unsigned long first, unsigned long second);
bool hotpath_can_count(void);
/* Reads the rest of a counted program's output and ends it; 0 = nothing was counted. */
double hotpath_counted(struct child *child);

#endif
