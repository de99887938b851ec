/*
 * The keys of a pool as a listing, in their order of the moment at which it was asked for: for
 * `show keys` and `export`.
 */
#ifndef BROKER_KEY_LIST_H
#define BROKER_KEY_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "listing.h"
#include "model.h"

/* What is looked for, and which part of it is shown. */
struct key_filter {
    const char *match;      /* NULL = everything; else in name, account or note */
    unsigned status;        /* 0 = any */
    uint64_t offset, limit; /* limit 0 = all */
};

/* `match` is copied. With `counts` the head's "total" is how many match. */
struct listing *key_list_new(struct server *server, struct model_pool *pool,
                             const struct key_filter *filter,
                             json_t *(*row)(const struct server *server, uint64_t key_id),
                             bool counts);

#endif
