/*
 * How much the broker takes: reports, durable changes, catalogs of several sizes. No targets: these
 * figures show where its limits are.
 */
#ifndef BENCH_THROUGHPUT_H
#define BENCH_THROUGHPUT_H

#include "rig.h"

/* Starts and stops brokers on the rig, which has none running. */
void throughput_measure(struct rig *rig, bool quick);

#endif
