/*
 * Admin clients that send commands ahead, one per pool, each with its oracle. Driven by the test's
 * only thread; the broker may die at any moment, and what it acknowledged before that is counted.
 */
#ifndef TESTS_CROWD_H
#define TESTS_CROWD_H

#include <stdbool.h>
#include <stdint.h>

#include "oracle.h"
#include "seed.h"

enum { CROWD_SIZE = 4, CROWD_BYTES = 65536 };

struct crowd_client {
    struct oracle oracle;
    int fd; /* -1 = not connected */
    char output[CROWD_BYTES];
    size_t output_length, output_done;
    char input[CROWD_BYTES];
    size_t input_length;
};

struct crowd {
    struct seed seed;
    unsigned count;
    struct crowd_client clients[CROWD_SIZE];
    uint64_t acknowledged;
    char problem[512]; /* "" = none: a command was refused, or an answer cannot be understood */
};

/* Connect every client to $RUNTIME/admin.sock; false with errno. */
bool crowd_connect(struct crowd *crowd, const char *runtime_dir);
/* Send and receive for `us` microseconds, or until the broker hangs up. False on a problem. */
bool crowd_work(struct crowd *crowd, uint64_t us);
/* The broker is dead: take what it had answered and hang up. False on a problem. */
bool crowd_disconnect(struct crowd *crowd);

#endif
