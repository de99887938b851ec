/* See catalog_leaf.h. */
#include "catalog_leaf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "keyconfig.h"
#include "memory.h"

uint64_t catalog_label_hash(const char *label) {
    if (!*label)
        return 0;
    uint64_t hash = XXH3_64bits(label, strlen(label));
    return hash ? hash : 1;
}

/* Append `bytes` to the record at *offset; returns where they begin. */
static uint32_t place(struct kb_catalog_key *record, size_t *offset, const char *text,
                      size_t bytes) {
    size_t at = *offset;
    memcpy((char *)record + at, text, bytes);
    *offset = at + bytes;
    return (uint32_t)at;
}

/* The environment comes last: readers rely on it (client/catalog.c). */
static struct kb_catalog_key *make_key(const struct key_record *key,
                                       const struct keyconfig_handout *handout,
                                       uint32_t *ret_padded_size) {
    const char *strings[] = { key->name,         key->account,         handout->api_key,
                              handout->base_url, handout->auth_header, key->config };
    enum { STRINGS = sizeof strings / sizeof *strings };
    size_t lengths[STRINGS];
    uint32_t offsets[STRINGS] = { 0 }; /* analyzers do not follow the loop to its end */
    size_t size = sizeof(struct kb_catalog_key) + handout->environment_size;
    for (int i = 0; i < STRINGS; i++) {
        lengths[i] = strlen(strings[i]) + 1;
        size += lengths[i];
    }
    size_t padded = (size + 7) & ~(size_t)7, offset = sizeof(struct kb_catalog_key);
    assert(padded < UINT32_MAX);
    struct kb_catalog_key *record = mem_alloc(padded);
    for (int i = 0; i < STRINGS; i++)
        offsets[i] = place(record, &offset, strings[i], lengths[i]);
    *record = (struct kb_catalog_key){
        .size = (uint32_t)size,
        .id = key->id,
        .expires_at_ms = key->expires_at_ms,
        .slot = key->slot,
        .weight = key->weight,
        .name = offsets[0],
        .account = offsets[1],
        .api_key = offsets[2],
        .base_url = offsets[3],
        .auth_header = offsets[4],
        .config_json = offsets[5],
        .environment = place(record, &offset, handout->environment, handout->environment_size),
    };
    assert(offset == size);
    *ret_padded_size = (uint32_t)padded;
    return record;
}

const struct catalog_leaf *catalog_leaf_of(struct key_record *key, const struct pool_record *pool,
                                           uint64_t pool_url) {
    if (key->leaf && key->leaf->pool_url == pool_url)
        return key->leaf;
    catalog_leaf_free(key->leaf);
    struct catalog_leaf *leaf = key->leaf = mem_alloc(sizeof *leaf);
    struct keyconfig_handout handout;
    keyconfig_handout_init(&handout, key, pool);
    leaf->pool_url = pool_url;
    leaf->account = catalog_label_hash(key->account);
    leaf->endpoint = catalog_label_hash(handout.base_url);
    leaf->key = make_key(key, &handout, &leaf->padded_size);
    keyconfig_handout_deinit(&handout);
    return leaf;
}

struct catalog_leaf *catalog_leaf_free(struct catalog_leaf *leaf) {
    if (leaf)
        mem_wipe_free(leaf->key, leaf->padded_size);
    free(leaf);
    return NULL;
}
