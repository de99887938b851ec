/*
 * The catalog: order and key material of one pool, an LMDB file that never changes once published.
 *
 * broker/catalog.c writes it aside and renames it in; client/catalog.c verifies its size and XXH3
 * checksum (they stand on the board), opens it MDB_RDONLY|MDB_NOLOCK|MDB_NOSUBDIR and uses the
 * records in place. One unnamed database with MDB_INTEGERKEY; keys are 8 bytes, values are padded
 * to 8, so that LMDB leaves every record aligned. Offsets count from the beginning of the record
 * that holds them and point to NUL-terminated strings inside it.
 */
#ifndef KEYBROKER_SHARED_CATALOG_H
#define KEYBROKER_SHARED_CATALOG_H

#include <stddef.h>
#include <stdint.h>

#define KB_CATALOG_FORMAT 1

/* Database keys: key ids (40 bits) for key records, and these two. */
#define KB_CATALOG_ORDER                                                                           \
    (UINT64_MAX - 1)               /* key_count × struct kb_catalog_entry, first = used first */
#define KB_CATALOG_POOL UINT64_MAX /* struct kb_catalog_pool */

enum kb_catalog_strategy {
    KB_CATALOG_PRIORITY = 1,
    KB_CATALOG_SPREAD = 2,
};

struct kb_catalog_pool {
    uint32_t size; /* of this record with its strings, before padding */
    uint32_t format;
    uint64_t version; /* the same as in the file's name and on the board */
    uint64_t pool_id;
    uint32_t key_count;
    uint32_t slot_count;
    uint32_t strategy; /* enum kb_catalog_strategy */
    uint32_t name;     /* offset */
    uint32_t vendor;   /* offset */
    uint32_t rules;    /* offset: classification rules (rules.h), one a line; 0 = none */
    uint32_t reserved[2];
};

#define KB_CATALOG_DEFAULT 1u /* flags: the pool's default key */

/* What choosing a key needs to know, without touching the key records. */
struct kb_catalog_entry {
    uint64_t id;
    int64_t expires_at_ms; /* wall clock; 0 = never */
    uint64_t account;      /* XXH3_64bits of the account label; 0 = the key is its own account */
    uint64_t endpoint;     /* XXH3_64bits of the base URL */
    uint32_t slot;
    uint32_t weight; /* 1–1000 */
    uint32_t flags;  /* KB_CATALOG_… */
    uint32_t reserved;
};

struct kb_catalog_key {
    uint32_t size; /* of this record with its strings, before padding */
    uint32_t flags;
    uint64_t id;
    int64_t expires_at_ms;
    uint32_t slot;
    uint32_t weight;
    uint32_t name; /* offsets from here on */
    uint32_t account;
    uint32_t api_key;
    uint32_t base_url;
    uint32_t auth_header;
    uint32_t config_json;
    uint32_t environment; /* NAME=VALUE strings, each NUL-terminated, then an empty one */
    uint32_t reserved;
};

_Static_assert(sizeof(struct kb_catalog_pool) == 56, "layout");
_Static_assert(sizeof(struct kb_catalog_entry) == 48, "layout");
_Static_assert(sizeof(struct kb_catalog_key) == 64, "one cache line");

#endif
