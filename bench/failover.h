/*
 * From a report to another process's next key, beside a bare relay in the same run (contestant.h):
 * by itself and with many keys, benched keys, idle connections or a slow disk; while the broker is
 * busy with something else; beside what a user might take instead.
 */
#ifndef BENCH_FAILOVER_H
#define BENCH_FAILOVER_H

#include <stdbool.h>

#include "rig.h"

/* Each starts and stops brokers on the rig, which has none running, and if need be on another. */
void failover_measure(struct rig *rig, bool quick);
void failover_measure_busy(struct rig *rig, bool quick);
void failover_measure_peers(struct rig *rig, bool quick);

#endif
