/*
 * A vendor's answer taken apart: its headers, and the fields of its error object, be it behind a
 * good status. Owned by the
 * caller (a few KiB, embedded); classify.c and hint.c read it. Texts point into the answer or into
 * the parsed body and hold until kbi_response_deinit. Never fails: what cannot be understood is
 * simply not there.
 */
#ifndef CLIENT_RESPONSE_H
#define CLIENT_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include <keybroker.h>

#include "error_object.h"

enum {
    KBI_HEADER_BLOCK_MAX = 64 * 1024, /* bytes of a header block that are looked at */
    KBI_HEADERS_MAX = 64,
    KBI_HEADER_VALUE_MAX = 256, /* room for a value, NUL included */
};

/* As it stands in the block; the value may still be folded. */
struct kbi_header {
    const char *name, *value;
    uint32_t name_length, value_length;
};

struct kbi_response {
    int status;
    int hidden_status; /* not 0: an error stands behind a good status; this one would say the same
                        */
    uint32_t header_count;
    struct kbi_header headers[KBI_HEADERS_MAX];
    struct kbi_error_fields error;
    json_t *root; /* NULL = no body, or none that can be read */
};

/* Headers are taken apart when the answer failed, behind whatever status, or with `good_headers`
 * always. */
void kbi_response_init(struct kbi_response *response, const kb_http_response *raw,
                       bool good_headers);
void kbi_response_deinit(struct kbi_response *response);

/* The next header of that name (lower case) at *at, which begins as 0 and is moved behind it:
 * unfolded and trimmed. One that is longer than the room is passed over. False at the end. Who asks
 * decides what duplicates mean: any may match a rule, and of several waits the longest counts. */
bool kbi_response_header(const struct kbi_response *response, const char *name, uint32_t *at,
                         char ret_value[KBI_HEADER_VALUE_MAX]);

/* One header's value, unfolded and trimmed. False: it is longer than the room. */
bool kbi_header_value(const struct kbi_header *header, char ret_value[KBI_HEADER_VALUE_MAX]);

static inline bool kbi_is_good(int status) {
    return status >= 200 && status <= 299;
}

static inline char kbi_lower(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

#endif
