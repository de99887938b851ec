/*
 * Copies of keys that the caller owns, for use beyond the next call. One block of memory holds the
 * struct and its strings, so that kb_key_free can wipe all of it.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

struct owned_key {
    kb_key key;  /* the caller's, so it comes first */
    size_t size; /* of the whole block */
    char strings[];
};

static size_t environment_bytes(const char *environment) {
    const char *next = environment;
    while (*next)
        next += strlen(next) + 1;
    return (size_t)(next - environment) + 1;
}

static const char *keep(char **at, const char *text, size_t bytes) {
    char *kept = *at;
    memcpy(kept, text, bytes);
    *at = kept + bytes;
    return kept;
}

kb_key *kb_key_dup(const kb_key *key) {
    if (!key)
        return NULL;
    const char *texts[] = { key->name,        key->account,     key->api_key, key->base_url,
                            key->auth_header, key->config_json, key->vendor,  key->environment };
    enum { TEXTS = sizeof texts / sizeof *texts };
    size_t bytes[TEXTS], size = sizeof(struct owned_key);
    for (int i = 0; i < TEXTS; i++) {
        bytes[i] = i == TEXTS - 1 ? environment_bytes(texts[i]) : strlen(texts[i]) + 1;
        size += bytes[i];
    }
    struct owned_key *owned = malloc(size);
    if (!owned)
        return NULL;
    char *at = owned->strings;
    for (int i = 0; i < TEXTS; i++)
        texts[i] = keep(&at, texts[i], bytes[i]);
    owned->size = size;
    owned->key = (kb_key){
        .id = key->id,
        .ticket = key->ticket,
        .name = texts[0],
        .account = texts[1],
        .api_key = texts[2],
        .base_url = texts[3],
        .auth_header = texts[4],
        .config_json = texts[5],
        .expires_at_ms = key->expires_at_ms,
        .vendor = texts[6],
        .environment = texts[7],
    };
    return (kb_key *)owned;
}

kb_key *kb_key_free(kb_key *key) {
    if (!key)
        return NULL;
    struct owned_key *owned = (struct owned_key *)key;
    explicit_bzero(owned, owned->size);
    free(owned);
    return NULL;
}
