/*
 * A key's configuration: a JSON object with `api_key`, optional `base_url`, and whatever else its
 * vendor needs. Validated and turned into what workers are handed. Pure.
 */
#ifndef BROKER_KEYCONFIG_H
#define BROKER_KEYCONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "record.h"
#include "refusal.h"
#include "vendor.h"

enum { KEYCONFIG_MAX_BYTES = 65536 };

/* Read a payload: a JSON object, or a bare API key. NULL with *ret_refusal set. */
json_t *keyconfig_parse_payload(const char *payload, size_t length, struct refusal *ret_refusal);

/* `pool_base_url` may be NULL or "". Check `config` against the vendor's needs: api_key present, at
 * most 8 KiB printable ASCII without spaces (nothing that could end a header line), base_url an
 * http(s) URL (tidied as below; null or "" is removed) and present if the vendor and the pool have
 * none, the vendor's required fields there;
 * everything else bounded in depth and size and free of control characters. Members that are null
 * are removed, as a merge would. 0, or a refusal code. May rewrite config. */
int keyconfig_check(json_t *config, const struct vendor *vendor, const char *pool_base_url,
                    struct refusal *ret_refusal);

/* Check a base URL by itself (a pool's, say) and give its tidy form: scheme and host in lower case,
 * no trailing slash; the caller frees. 0, or a refusal code. */
int keyconfig_check_base_url(const char *url, char **ret_url, struct refusal *ret_refusal);

/* RFC 7396 merge of `patch` into `config`. */
void keyconfig_merge(json_t *config, const json_t *patch);

/* Compact text with sorted keys; caller wipes and frees (mem_wipe_string). */
char *keyconfig_text(const json_t *config);

/* A copy with every secret masked: api_key by the vendor's mask; every string under a name that
 * the vendor calls secret, or that contains secret, token, passw, passphrase, key, credential,
 * authorization or cookie becomes "…", and so does one that looks like an API key.
 */
json_t *keyconfig_masked(const char *config_text, const struct vendor *vendor);

/* Does `config` hold what a masked copy shows in place of a secret? */
bool keyconfig_has_masks(const json_t *config);
/* Leave out what is masked, so that a merge keeps what it stood for. */
void keyconfig_drop_masks(json_t *config);

/* What a worker is handed, derived from config, pool and vendor. Strings are the caller's:
 * keyconfig_handout_deinit wipes and frees them. */
struct keyconfig_handout {
    char *api_key;
    char *base_url;
    char *auth_header;
    char *environment;       /* NAME=VALUE\0 … \0\0 */
    size_t environment_size; /* with the last NUL */
};
void keyconfig_handout_init(struct keyconfig_handout *handout, const struct key_record *key,
                            const struct pool_record *pool);
void keyconfig_handout_deinit(struct keyconfig_handout *handout);

#endif
