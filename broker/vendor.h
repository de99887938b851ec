/*
 * Vendors: names, addresses and how each takes its key, as data. The table is vendor.c's only
 * content worth reading; add a row to add a vendor. Facts gathered 2026-11 from the vendors' own
 * documentation.
 */
#ifndef BROKER_VENDOR_H
#define BROKER_VENDOR_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/* A field of a key's configuration that the vendor knows, besides api_key and base_url. */
struct vendor_field {
    const char *name;
    const char *title;
    bool required;
    bool secret; /* shown as "…" */
};

struct vendor {
    const char *name;         /* "openai" */
    const char *title;        /* "OpenAI" */
    const char *base_url;     /* "" = each key or pool must name one */
    const char *url_form;     /* for operators, where it depends on the account; NULL = not */
    const char *auth_format;  /* "Authorization: Bearer %s" */
    const char *key_prefixes; /* space-separated, longest first; what a mask may show */
    const char *env_key;      /* "OPENAI_API_KEY" */
    const char *env_base_url; /* "OPENAI_BASE_URL"; "" = there is no usual one */
    const char *env_cut;      /* end of a base URL that the vendor's own client adds by itself */
    const struct vendor_field *fields; /* NULL = none; ends with a name that is NULL */
    bool base_url_required;            /* in the config of a key, or in the pool's base_url */
    bool rate_is_account;              /* rate limits belong to the account, not to the key */
};

const struct vendor *vendor_find(const char *name); /* NULL = unknown */
const struct vendor *vendor_at(size_t index);       /* NULL = past the last */

/* "sk-proj-…wxyz"; at least eight characters stay hidden, else "…". Caller frees. NULL as
 * the vendor shows no prefix. */
char *vendor_mask(const struct vendor *vendor, const char *api_key);

#endif
