/*
 * How many reports the broker takes, from 1 to 1,000 connections, and what one costs it.
 */
#ifndef BENCH_REPORTS_H
#define BENCH_REPORTS_H

#include <stdbool.h>

#include "rig.h"

/* Starts and stops brokers on the rig, which has none running. */
void reports_measure(struct rig *rig, bool quick);

#endif
