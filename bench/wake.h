/*
 * From a report to the last of 64 processes that sleep in kb_wait, beside a bare futex wake of the
 * same processes.
 */
#ifndef BENCH_WAKE_H
#define BENCH_WAKE_H

#include "rig.h"

void wake_measure(struct rig *rig, bool quick);

#endif
