/*
 * From a change to every worker: a key added until another process is handed it, a catalog of
 * 65,536 keys published, an import.
 */
#ifndef BENCH_PUBLISHING_H
#define BENCH_PUBLISHING_H

#include <stdbool.h>

#include "rig.h"

/* Starts and stops a broker on the rig, which has none running. */
void publishing_measure(struct rig *rig, bool quick);

#endif
