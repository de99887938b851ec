/*
 * The replica: the store thread's own copy of every pool's order and records, fed by the
 * changesets, so that it needs no access to the model. It shares the records, which never change.
 * Owned by the committer.
 */
#ifndef BROKER_REPLICA_H
#define BROKER_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "catalog.h"
#include "change.h"
#include "map.h"
#include "publication.h"

struct replica_key {
    struct key_record *record;
    uint64_t rank;
};

struct replica_pool {
    struct pool_record *record;
    struct map keys;            /* id → replica_key */
    struct replica_key **order; /* by rank; NULL = to be sorted anew */
};

struct replica {
    struct map pools; /* id → replica_pool */
};

void replica_deinit(struct replica *replica);
/* Of the record, a reference is taken. Pools before their keys. */
void replica_load_pool(struct replica *replica, struct pool_record *record);
void replica_load_key(struct replica *replica, struct key_record *record, uint64_t rank);
/* A command's changes; or take them back: per pool in reverse order. */
void replica_apply(struct replica *replica, const struct changeset *set, bool undo);

/* What a catalog of the pool is made of now, but for its version, and the order that it publishes.
 * The caller frees ret_source->keys and *ret_order. */
void replica_source(struct replica *replica, uint64_t pool_id, struct catalog_source *ret_source,
                    struct published_key **ret_order);

#endif
