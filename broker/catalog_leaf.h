/*
 * A leaf: one key as it stands in every catalog of its pool, made once and kept with the key's
 * record, so that publishing a pool of 65,536 keys again copies what is ready instead of deriving
 * and measuring it anew. Made and used by the catalog's writer (catalog.c, store thread); freed
 * with the record. Holds secrets.
 */
#ifndef BROKER_CATALOG_LEAF_H
#define BROKER_CATALOG_LEAF_H

#include <stdint.h>

#include <keybroker_shared/catalog.h>

#include "record.h"

struct catalog_leaf {
    uint64_t pool_url; /* label hash of the pool's base_url that it was derived with */
    uint64_t account;  /* label hashes, as the order's entries hold them */
    uint64_t endpoint;
    uint32_t padded_size;       /* of key with its strings, a multiple of 8; the padding is zero */
    struct kb_catalog_key *key; /* its size is the one without padding; no flags */
};

/* Hash of a label; 0 means "no label" and is never a label's own hash. */
uint64_t catalog_label_hash(const char *label);

/* `pool_url`: catalog_label_hash(pool->base_url), worked out once for all keys. The leaf holds as
 * long as the record. */
const struct catalog_leaf *catalog_leaf_of(struct key_record *key, const struct pool_record *pool,
                                           uint64_t pool_url);
struct catalog_leaf *catalog_leaf_free(struct catalog_leaf *leaf); /* wipes; NULL allowed; NULL */

#endif
