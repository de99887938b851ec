/*
 * The fields of an error object, wherever a vendor, a gateway or a proxy put it. Texts point into
 * the parsed body and hold as long as it. Never fails: what cannot be understood is simply not
 * there. Pure; response.c fills it, classify.c and hint.c read it.
 */
#ifndef CLIENT_ERROR_OBJECT_H
#define CLIENT_ERROR_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

enum { KBI_REASONS_MAX = 8 };

/* NULL = it does not say; numbers are given as decimal text. */
struct kbi_error_fields {
    const char *code, *type, *status;
    const char *message;
    const char *retry_delay; /* Gemini's RetryInfo */
    const char *limit_reset; /* OpenRouter's X-RateLimit-Reset, when it comes in the body */
    bool is_daily;           /* Gemini's QuotaFailure: a day's share is used up */
    const char *reasons[KBI_REASONS_MAX];
    uint32_t reason_count;
    int told_status; /* of an error behind a good status: what its place says that it is; 0 =
                        nothing */
    char code_number[24], status_number[24], reset_number[24];
};

/* From a failed answer: {"error": {…}}, {"error": "text", …}, {"errors": [{…}]}, the object itself,
 * or the first element of an array of these. */
void kbi_error_take(struct kbi_error_fields *fields, const json_t *root);

/* From (a piece of) an answer that worked: only where an error has its place, `error`,
 * `response.error`, `choices[].error`, `base_resp`, of an array in each element; everything else is
 * the answer itself. With `is_error` the whole object is one. False: there is none. */
bool kbi_error_take_hidden(struct kbi_error_fields *fields, const json_t *root, bool is_error);

/* The HTTP status that says what a hidden error says: its own number, or the one that vendors send
 * with such a name; 500 when neither is known. */
int kbi_error_status(const struct kbi_error_fields *fields);

#endif
