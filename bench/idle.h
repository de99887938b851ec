/*
 * A broker with nothing to do: processor time and how often it wakes.
 */
#ifndef BENCH_IDLE_H
#define BENCH_IDLE_H

#include <stdbool.h>

#include "rig.h"

/* Starts and stops brokers on the rig, which has none running. */
void idle_measure(struct rig *rig, bool quick);

#endif
