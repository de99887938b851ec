/*
 * What a key that runs out costs the workers who use it: calls that are answered with the failure,
 * beside workers who each have to find out by themselves.
 */
#ifndef BENCH_WASTED_H
#define BENCH_WASTED_H

#include "rig.h"

void wasted_measure(struct rig *rig, bool quick);

#endif
