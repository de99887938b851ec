/*
 * Fuzz target: header blocks and the waiting hints in them. Input: a header block. Copied to memory
 * of exactly its size, so that the sanitizer sees a read beyond its NUL.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/hint.h"

static void must(int held) {
    if (!held)
        abort();
}

/* What is found must be trimmed and of one line, each once, and found again. */
static void look(const struct kbi_response *response, const char *name) {
    char value[KBI_HEADER_VALUE_MAX], again[KBI_HEADER_VALUE_MAX];
    uint32_t at = 0;
    for (;;) {
        uint32_t before = at, same = at;
        if (!kbi_response_header(response, name, &at, value))
            break;
        must(at > before && at <= response->header_count);
        size_t length = strnlen(value, sizeof value);
        must(length < sizeof value && !strpbrk(value, "\r\n\t"));
        must(length == 0 || (value[0] != ' ' && value[length - 1] != ' '));
        must(kbi_response_header(response, name, &same, again) && strcmp(value, again) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct kbi_response response;
    kb_http_response raw = KB_HTTP_RESPONSE_INIT;
    char *headers = malloc(size + 1);
    must(headers != NULL);
    if (size)
        memcpy(headers, data, size);
    headers[size] = '\0';
    raw.status = 429;
    raw.headers = headers;
    kbi_response_init(&response, &raw, true);
    must(response.header_count <= KBI_HEADERS_MAX);
    look(&response, "retry-after");
    look(&response, "date");
    for (int outcome = KB_SUCCESS; outcome <= KB_NETWORK; outcome++) {
        uint64_t hint = kbi_hint(&response, (kb_outcome)outcome, INT64_C(1790000000000));
        must(hint == KB_NO_HINT || (hint >= 1 && hint <= 24 * 3600 * 1000));
    }
    kbi_response_deinit(&response);
    free(headers);
    return 0;
}
