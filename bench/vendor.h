/*
 * The stand-in vendor (tests/support/vendor_standin_main.c) as the bench starts and steers it. Ends
 * the process when it does not work.
 */
#ifndef BENCH_VENDOR_H
#define BENCH_VENDOR_H

#include <stdint.h>

#include "child.h"

struct vendor {
    struct child child;
    unsigned port;
};

void vendor_start(struct vendor *vendor, const char *build);
void vendor_stop(struct vendor *vendor);

/* One of its control requests, as its own comment lists them: "latency?min=8&max=25". */
__attribute__((format(printf, 2, 3))) void vendor_control(const struct vendor *vendor,
                                                          const char *format, ...);

/* Calls with this key that were answered with a used-up quota. Those that began after `since_ns`
 * (by CLOCK_MONOTONIC, by their own account) are in *ret_later. */
unsigned vendor_refused(const struct vendor *vendor, const char *api_key, uint64_t since_ns,
                        unsigned *ret_later);

#endif
