/*
 * Classifying a vendor's answer: kb_report_http on a 2 KiB error body, which is what a worker pays
 * for each failure, and on an answer that worked.
 */
#ifndef BENCH_CLASSIFY_H
#define BENCH_CLASSIFY_H

#include <stdbool.h>

#include "rig.h"

/* Starts a broker on the rig, which has none running, and stops it. */
void classify_measure(struct rig *rig, bool quick);

#endif
