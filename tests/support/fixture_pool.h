/*
 * A published pool without a broker: a runtime directory of its own whose board and catalogs are
 * made by the broker's writers, so that readers can be tested against the real formats. Used by
 * tests and benches. Key i (from 0) has id i + 1, slot i, name "key<i + 1>" and the secret
 * "sk-test-<id>"; change `keys` (order, weight, expiry …) and publish. Ends the process when the
 * machine fails it.
 */
#ifndef TESTS_FIXTURE_POOL_H
#define TESTS_FIXTURE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include <keybroker.h>

#include "broker/board.h"
#include "broker/catalog.h"
#include "broker/record.h"

struct fixture_pool {
    char *root;    /* removed at the end */
    char *runtime; /* what kb_options takes */
    char *dir;     /* the pool's own */
    int dir_fd;
    struct board board;
    struct pool_record *pool;
    struct key_record **keys;    /* in order of priority */
    struct board_entry *entries; /* by slot, as last set */
    uint32_t count;
    uint64_t generation;
    uint64_t version;
    struct catalog_built built;
};

#define FIXTURE_POOL_NAME "test-pool"

/* `count` normal keys, published. `below`: path under the root for the runtime directory; NULL =
 * the root itself. */
void fixture_pool_init(struct fixture_pool *fixture, uint32_t count, uint32_t strategy,
                       const char *below);
void fixture_pool_deinit(struct fixture_pool *fixture);

kb_reader *fixture_pool_reader(const struct fixture_pool *fixture);

/* A new catalog from pool and keys: built, renamed in, announced; the old one is unlinked. */
void fixture_pool_publish(struct fixture_pool *fixture);
void fixture_pool_build(struct fixture_pool *fixture); /* only built and renamed in */

/* One key's status, by slot. deadline_ms is CLOCK_MONOTONIC; 0 = none. Moves the change counter. */
void fixture_pool_set(struct fixture_pool *fixture, uint32_t slot, unsigned status,
                      uint64_t deadline_ms); /* and announce it */
void fixture_pool_set_silently(struct fixture_pool *fixture, uint32_t slot, unsigned status,
                               uint64_t deadline_ms);

/* The next generation, with the hint that a broker would give, or with this one. */
void fixture_pool_announce(struct fixture_pool *fixture);
void fixture_pool_announce_hint(struct fixture_pool *fixture, const struct board_hint *hint);

/* Listen on the pool's report socket; returns a non-blocking descriptor. */
int fixture_pool_listen(const struct fixture_pool *fixture);

uint64_t fixture_now_ms(void); /* CLOCK_MONOTONIC_COARSE, what readers go by */
void fixture_sleep_ms(unsigned ms);

#endif
