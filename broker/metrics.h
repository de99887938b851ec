/*
 * What the broker counts about itself, and its Prometheus text. Plain numbers, written by the event
 * loop.
 */
#ifndef BROKER_METRICS_H
#define BROKER_METRICS_H

#include <stdint.h>

#include "model.h"

/* Powers of two from 1 µs on; the last holds everything longer. */
enum { HISTOGRAM_BUCKETS = 22 };
struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum_ns;
};
void histogram_add(struct histogram *histogram, uint64_t ns);

struct metrics {
    uint64_t reports[9][FATE_COUNT]; /* by outcome (0 = unknown) and fate */
    uint64_t bad_messages;           /* wrong size, type or version */
    uint64_t events;
    uint64_t commands, refused;
    uint64_t commits, failed_commits;
    uint64_t connections_refused;
    uint32_t report_connections, admin_connections;
    struct histogram publish; /* report received → board published */
    struct histogram commit;  /* fsync included */
};

struct server;
struct listing;
/* The whole text (exposition format 0.0.4), pool by pool. */
struct listing *metrics_list(const struct server *server);

#endif
