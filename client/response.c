/*
 * See response.h. Called by report_http.c for whatever a vendor, a gateway or a proxy may have
 * sent. It believes nothing: the header block ends at its NUL, the body at its length, and jansson
 * is given an excerpt (excerpt.c), because it takes its time over what nobody asked for, and
 * recurses, while workers may run on small stacks.
 *
 * Of a body that ends early, or whose first 64 KiB end early, what was whole by then counts.
 */
#include "response.h"

#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "excerpt.h"

enum { EXCERPT_MAX = 4096 };

/* ---- headers ---- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* One header with its continuation lines; *at is behind it. A line without a colon is left out. */
static void take_header(struct kbi_response *response, const char **at, const char *end) {
    const char *line = *at, *stop = line;
    for (;;) {
        const char *newline = memchr(stop, '\n', (size_t)(end - stop));
        stop = newline ? newline + 1 : end;
        if (stop == end || !is_blank(*stop))
            break;
    }
    *at = stop;
    const char *colon = memchr(line, ':', (size_t)(stop - line));
    if (!colon || response->header_count == KBI_HEADERS_MAX)
        return;
    const char *name_end = colon;
    while (name_end > line && is_blank(name_end[-1]))
        name_end--;
    if (name_end == line || memchr(line, '\n', (size_t)(name_end - line)))
        return;
    response->headers[response->header_count++] =
        (struct kbi_header){ .name = line,
                             .value = colon + 1,
                             .name_length = (uint32_t)(name_end - line),
                             .value_length = (uint32_t)(stop - colon - 1) };
}

/* What a client collected may begin with the answers of proxies, or with "100 Continue": each new
 * status line starts over. */
static void take_headers(struct kbi_response *response, const char *block) {
    const char *at = block, *end = block + strnlen(block, KBI_HEADER_BLOCK_MAX);
    while (at < end) {
        size_t left = (size_t)(end - at);
        if (left >= 5 && memcmp(at, "HTTP/", 5) == 0) {
            const char *newline = memchr(at, '\n', left);
            response->header_count = 0;
            at = newline ? newline + 1 : end;
        } else if (*at == '\n' || *at == '\r') {
            at++;
        } else {
            take_header(response, &at, end);
        }
    }
}

static bool name_is(const struct kbi_header *header, const char *name) {
    if (strlen(name) != header->name_length)
        return false;
    for (uint32_t i = 0; i < header->name_length; i++)
        if (kbi_lower(header->name[i]) != name[i])
            return false;
    return true;
}

/* Every run of blanks and line ends counts as one space; none at the ends. */
bool kbi_header_value(const struct kbi_header *header, char ret_value[KBI_HEADER_VALUE_MAX]) {
    char value[KBI_HEADER_VALUE_MAX];
    size_t length = 0;
    bool gap = false;
    for (uint32_t i = 0; i < header->value_length; i++) {
        char c = header->value[i];
        if (is_blank(c) || c == '\r' || c == '\n') {
            gap = length > 0;
            continue;
        }
        if (length + (gap ? 2 : 1) >= sizeof value)
            return false;
        if (gap)
            value[length++] = ' ';
        gap = false;
        value[length++] = c;
    }
    value[length] = '\0';
    memcpy(ret_value, value, length + 1);
    return true;
}

bool kbi_response_header(const struct kbi_response *response, const char *name, uint32_t *at,
                         char ret_value[KBI_HEADER_VALUE_MAX]) {
    while (*at < response->header_count) {
        const struct kbi_header *header = &response->headers[(*at)++];
        if (name_is(header, name) && kbi_header_value(header, ret_value))
            return true;
    }
    return false;
}

/* ---- the body ---- */

/* Numbers are read as reals, so that a huge one does not spoil the rest. */
static json_t *parse(const struct kbi_piece *piece) {
    char room[EXCERPT_MAX], *excerpt = room, *heap = NULL;
    size_t bytes;
    if (piece->length == 0 || !kbi_excerpt(piece->at, piece->length, room, sizeof room, &bytes))
        return NULL;
    if (bytes > sizeof room) {
        excerpt = heap = malloc(bytes);
        if (!heap || !kbi_excerpt(piece->at, piece->length, heap, bytes, &bytes))
            bytes = 0;
    }
    json_t *root = json_loadb(excerpt, bytes, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
    free(heap);
    return root;
}

/* True: this piece of a good answer is an error. */
static bool take_hidden(const struct kbi_piece *piece, void *userdata) {
    struct kbi_response *response = userdata;
    response->root = parse(piece);
    if (kbi_error_take_hidden(&response->error, response->root, piece->is_error)) {
        if (piece->status)
            response->error.told_status = piece->status;
        response->hidden_status = kbi_error_status(&response->error);
        return true;
    }
    json_decref(response->root);
    response->root = NULL;
    return false;
}

static void take_body(struct kbi_response *response, const kb_http_response *raw) {
    if (kbi_is_good(response->status)) {
        kbi_body_search(raw->body, raw->body_len, take_hidden, response);
        return;
    }
    struct kbi_piece piece = kbi_body_first(raw->body, raw->body_len);
    response->root = parse(&piece);
    kbi_error_take(&response->error, response->root);
}

void kbi_response_init(struct kbi_response *response, const kb_http_response *raw,
                       bool good_headers) {
    response->status = raw->status;
    response->hidden_status = 0;
    response->header_count = 0;
    response->error = (struct kbi_error_fields){ 0 };
    response->root = NULL;
    if (raw->status <= 0)
        return;
    if (raw->body)
        take_body(response, raw);
    bool failed = !kbi_is_good(raw->status) || response->hidden_status;
    if (raw->headers && (failed || good_headers))
        take_headers(response, raw->headers);
}

void kbi_response_deinit(struct kbi_response *response) {
    json_decref(response->root);
    response->root = NULL;
    response->error = (struct kbi_error_fields){ 0 };
}
