/*
 * When a request reached this host, as the kernel saw it: before the stand-in's threads had their
 * turn, which on a busy machine takes them milliseconds.
 */
#ifndef TESTS_STANDIN_ARRIVAL_H
#define TESTS_STANDIN_ARRIVAL_H

#include <stdint.h>

/* Have what comes in on this connection stamped; before anything is read from it. */
void standin_arrival_watch(int fd);
/* When what was read last had arrived, by CLOCK_MONOTONIC; 0 = the kernel did not say. */
uint64_t standin_arrival_ns(int fd);

#endif
