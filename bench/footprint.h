/*
 * What keys cost in memory and at the start: the broker's own memory beyond its mapped files and
 * the time to READY=1 with 100, 10,000 and 100,000 keys, and a worker's memory for one reader.
 */
#ifndef BENCH_FOOTPRINT_H
#define BENCH_FOOTPRINT_H

#include <stdbool.h>

#include "rig.h"

/* Starts and stops brokers of its own and on the rig, which has none running. */
void footprint_measure(struct rig *rig, bool quick);

#endif
