/*
 * The same key, read in the ways a user would pick instead: Redis, memcached, LMDB with its reader
 * table, a process-shared lock around a copy, a file, the environment.
 */
#ifndef BENCH_READ_PEERS_H
#define BENCH_READ_PEERS_H

#include <stdbool.h>

#include "rig.h"

/* Starts and stops a broker on the rig, which has none running. */
void read_peers_measure(struct rig *rig, bool quick);

#endif
