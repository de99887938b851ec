/*
 * A vendor's answer taken apart: its headers, and the fields of its error object. Owned by the
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

enum {
    KBI_BODY_MAX = 64 * 1024,         /* bytes of a body that are looked at */
    KBI_HEADER_BLOCK_MAX = 64 * 1024, /* likewise of a header block */
    KBI_HEADERS_MAX = 64,
    KBI_HEADER_VALUE_MAX = 256, /* room for a value, NUL included */
    KBI_REASONS_MAX = 8,
};

/* As it stands in the block; the value may still be folded. */
struct kbi_header {
    const char *name, *value;
    uint32_t name_length, value_length;
};

/* What an error object says. NULL = it does not; numbers are given as decimal text. */
struct kbi_error_fields {
    const char *code, *type, *status;
    const char *message;
    const char *retry_delay; /* Gemini's RetryInfo */
    const char *limit_reset; /* OpenRouter's X-RateLimit-Reset, when it comes in the body */
    const char *reasons[KBI_REASONS_MAX];
    uint32_t reason_count;
    char code_number[24], status_number[24], reset_number[24];
};

struct kbi_response {
    int status;
    uint32_t header_count;
    struct kbi_header headers[KBI_HEADERS_MAX];
    struct kbi_error_fields error;
    json_t *root; /* NULL = no body, or none that can be read */
};

/* `with_headers` and `with_body` say what to look at. Of a good answer (2xx) only an `error` member
 * is read: everything else there is the answer itself. */
void kbi_response_init(struct kbi_response *response, const kb_http_response *raw,
                       bool with_headers, bool with_body);
void kbi_response_deinit(struct kbi_response *response);

/* The next header of that name (lower case) at *at, which begins as 0 and is moved behind it:
 * unfolded and trimmed. One that is longer than the room is passed over. False at the end. Who asks
 * decides what duplicates mean: any may match a rule, and of several waits the longest counts. */
bool kbi_response_header(const struct kbi_response *response, const char *name, uint32_t *at,
                         char ret_value[KBI_HEADER_VALUE_MAX]);

static inline char kbi_lower(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

#endif
