/*
 * From a report to another process's next key, beside a bare relay in the same run: a process that
 * waits in recv on a SOCK_SEQPACKET socket and makes one shared store, which the same observer
 * spins on.
 */
#ifndef BENCH_FAILOVER_H
#define BENCH_FAILOVER_H

#include <stdbool.h>

#include "rig.h"

/* Starts and stops brokers on the rig, which has none running. */
void failover_measure(struct rig *rig, bool quick);

#endif
