/*
 * kb_current just after something changed: the first call, which takes the change in, and those
 * after it. A failover changes the board alone; an administrator's change brings a new catalog,
 * which the first call verifies and opens.
 */
#ifndef BENCH_READ_CHANGES_H
#define BENCH_READ_CHANGES_H

#include <stdbool.h>

#include "rig.h"

/* Starts and stops a broker on the rig, which has none running. */
void read_changes_measure(struct rig *rig, bool quick);

#endif
