/*
 * A pool's outlook, for those who look: which key would be next, and when a pool without a usable
 * key has one again by itself. Reads the model, changes nothing. Pure.
 */
#ifndef BROKER_OUTLOOK_H
#define BROKER_OUTLOOK_H

#include <stdint.h>

#include "model.h"

/* The key that would be used if the current one (0 = none is) failed now. NULL = none, or the pool
 * uses all of them (spread). */
const struct model_key *outlook_next(const struct model_pool *pool, uint64_t current_id,
                                     int64_t wall_ms);

/* When the first key of an exhausted pool comes back, by the calendar as it is now. 0 = the pool
 * has a usable key, or only an operator can help. */
int64_t outlook_recovers_at(const struct model_pool *pool, struct moment now);

/* When this key comes back by itself; 0 = it does not, or need not. */
int64_t outlook_key_recovers_at(const struct model_key *key, struct moment now);

#endif
