/*
 * The document that import takes in: what export printed, or what was written like it. It stays the
 * text that it is; its keys are found in it once and built one at a time, so that what it holds
 * costs no more memory than the text. Pure.
 */
#ifndef BROKER_IMPORT_DOCUMENT_H
#define BROKER_IMPORT_DOCUMENT_H

#include <stddef.h>

#include <jansson.h>

#include "json_parts.h"
#include "refusal.h"

enum { EXPORT_FORMAT = 1 }; /* of what export prints */

struct import_document {
    struct json_part text; /* the caller's */
    const struct pause *pause;
    json_t *settings; /* its "pool"; NULL = none */
    struct json_part *keys;
    size_t count;
};

/* Find the parts; at the first that can't belong to a document it ends. 0, or a refusal's code; to
 * be deinitialized in either case. Members that no document has are skipped. */
int import_document_read(struct import_document *document, struct json_part text,
                         const struct pause *pause, struct refusal *refusal);
void import_document_deinit(struct import_document *document);

/* Build a key: an object with "config", an object too, and values of the right types where they are
 * there. NULL with a refusal. The caller json_decref()s. */
json_t *import_document_key(const struct import_document *document, size_t index,
                            struct refusal *refusal);

#endif
