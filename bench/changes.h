/*
 * Administrators' changes, acknowledged: each is then on the disk and in the catalog. How many a
 * second by one client and by 16, in pools of several sizes, and how many share a commit.
 */
#ifndef BENCH_CHANGES_H
#define BENCH_CHANGES_H

#include <stdbool.h>

#include "rig.h"

/* Starts and stops brokers of its own beside the rig, which has none running. */
void changes_measure(struct rig *rig, bool quick);

#endif
