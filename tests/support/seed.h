/*
 * Randomness for tests that can be run again: seed_begin prints the seed, KEYBROKER_TEST_SEED sets
 * it. Used by unit tests only.
 */
#ifndef TESTS_SEED_H
#define TESTS_SEED_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

struct seed {
    uint64_t state;
};

static inline struct seed seed_begin(const char *test) {
    struct seed seed = { 1 };
    const char *given = getenv("KEYBROKER_TEST_SEED");
    if (given)
        seed.state = strtoull(given, NULL, 0);
    else if (getrandom(&seed.state, sizeof seed.state, 0) != (ssize_t)sizeof seed.state)
        seed.state = 1;
    printf("%s: KEYBROKER_TEST_SEED=%" PRIu64 "\n", test, seed.state);
    fflush(stdout);
    return seed;
}

/* splitmix64 */
static inline uint64_t seed_next(struct seed *seed) {
    uint64_t z = seed->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 … bound − 1 */
static inline uint64_t seed_below(struct seed *seed, uint64_t bound) {
    return seed_next(seed) % bound;
}

#endif
