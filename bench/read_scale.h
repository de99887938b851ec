/*
 * Many readers at once: 1 to 64 processes and 1 to 16 threads that do nothing but kb_current,
 * beside as many that do nothing but the reference's load and compare.
 */
#ifndef BENCH_READ_SCALE_H
#define BENCH_READ_SCALE_H

#include <stdbool.h>

#include "rig.h"

/* Starts and stops a broker on the rig, which has none running. */
void read_scale_measure(struct rig *rig, bool quick);

#endif
