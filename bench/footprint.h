/*
 * What 10,000 keys cost in memory and at the start: the broker's own memory beyond its mapped
 * files, the time to READY=1, and a worker's memory for one reader.
 */
#ifndef BENCH_FOOTPRINT_H
#define BENCH_FOOTPRINT_H

#include <stdbool.h>

#include "rig.h"

/* Starts and stops brokers on the rig, which has none running. */
void footprint_measure(struct rig *rig, bool quick);

#endif
