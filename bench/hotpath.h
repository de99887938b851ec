/*
 * The hot path: kb_current on a pool in which nothing changes, static and shared library, by time
 * and by instructions.
 */
#ifndef BENCH_HOTPATH_H
#define BENCH_HOTPATH_H

#include <stdbool.h>

#include "rig.h"

/* Starts and kills brokers on the rig, which has none running. */
void hotpath_measure(struct rig *rig, bool quick);

#endif
