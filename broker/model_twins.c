/*
 * Twins: keys of one pool with the same secret, of which the second is worth nothing, because where
 * the first fails so does it. Part of the model (model.h), called when a key comes, goes or gets
 * another configuration. What is kept is a digest under a key of this process's own, so that no
 * copy of a secret is made for it; that two secrets share one by chance is not to be expected (64
 * bits, 65,536 keys). Two pools may share a secret: only the same pool counts.
 */
#include "model.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

_Static_assert(sizeof((struct model *)0)->digest_key == crypto_shorthash_KEYBYTES, "one size");
_Static_assert(sizeof(uint64_t) == crypto_shorthash_BYTES, "one size");

static uint64_t digest(const struct model *model, const char *api_key) {
    uint64_t sum;
    crypto_shorthash((unsigned char *)&sum, (const unsigned char *)api_key, strlen(api_key),
                     model->digest_key);
    return sum ? sum : 1;
}

/* 0 = it has none: a record that an older version wrote may be anything. */
static uint64_t digest_of(const struct model *model, const struct key_record *record) {
    json_t *config = json_loads(record->config, 0, NULL);
    const char *api_key = json_string_value(json_object_get(config, "api_key"));
    uint64_t sum = api_key ? digest(model, api_key) : 0;
    json_decref(config);
    return sum;
}

void model_link_twins(struct model *model, struct model_key *key) {
    key->digest = digest_of(model, key->record);
    key->twin_next = key->twin_previous = NULL;
    if (!key->digest)
        return;
    struct model_key *first = map_get(&key->pool->secrets, key->digest);
    if (!first) {
        map_set(&key->pool->secrets, key->digest, key);
        return;
    }
    /* Second, so that the map's pointer stays. */
    key->twin_previous = first;
    key->twin_next = first->twin_next;
    if (key->twin_next)
        key->twin_next->twin_previous = key;
    first->twin_next = key;
}

void model_unlink_twins(struct model_key *key) {
    if (!key->digest)
        return;
    struct map *secrets = &key->pool->secrets;
    assert(key->twin_previous || map_get(secrets, key->digest) == key);
    if (key->twin_next)
        key->twin_next->twin_previous = key->twin_previous;
    if (key->twin_previous)
        key->twin_previous->twin_next = key->twin_next;
    else if (key->twin_next)
        map_set(secrets, key->digest, key->twin_next);
    else
        map_remove(secrets, key->digest);
    key->twin_next = key->twin_previous = NULL;
    key->digest = 0;
}

struct model_key *model_twin(const struct model_key *key) {
    return key->twin_previous ? key->twin_previous : key->twin_next;
}

struct model_key *model_find_secret(const struct model *model, const struct model_pool *pool,
                                    const char *api_key) {
    return map_get(&pool->secrets, digest(model, api_key));
}
