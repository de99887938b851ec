/*
 * See response.h. Called by report_http.c on the failure path, for whatever a vendor, a gateway or
 * a proxy may have sent. It believes nothing: the header block ends at its NUL, the body at its
 * length, and jansson is given an excerpt (excerpt.c), because it takes its time over what nobody
 * asked for, and recurses, while workers may run on small stacks.
 *
 * Of a body that ends early, or whose first 64 KiB end early, what was whole by then counts.
 */
#include "response.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
static bool unfold(const struct kbi_header *header, char ret_value[KBI_HEADER_VALUE_MAX]) {
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
        if (name_is(header, name) && unfold(header, ret_value))
            return true;
    }
    return false;
}

/* ---- the body as JSON ---- */

struct span {
    const char *at;
    size_t length;
};

static struct span line_of(struct span text) {
    const char *newline = memchr(text.at, '\n', text.length);
    size_t length = newline ? (size_t)(newline - text.at) : text.length;
    return (struct span){ text.at, length };
}

static struct span skip(struct span text, size_t bytes) {
    return (struct span){ text.at + bytes, text.length - bytes };
}

static bool begins(struct span text, const char *prefix) {
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.at, prefix, length) == 0;
}

/* Is this line what may stand before the first data of an event stream? */
static bool precedes_data(struct span line) {
    return line.length == 0 || (line.length == 1 && *line.at == '\r') || begins(line, ":") ||
           begins(line, "event:") || begins(line, "id:") || begins(line, "retry:");
}

/* The part of the body that may be JSON: all of it, or an event stream's first data. */
static struct span json_part(struct span body) {
    if (begins(body, "\xef\xbb\xbf"))
        body = skip(body, 3);
    while (body.length > 0 && (is_blank(*body.at) || *body.at == '\r' || *body.at == '\n'))
        body = skip(body, 1);
    if (begins(body, "{") || begins(body, "["))
        return body;
    while (body.length > 0) {
        struct span line = line_of(body);
        if (begins(line, "data:"))
            return skip(line, 5);
        if (!precedes_data(line))
            break;
        body = skip(body, line.length < body.length ? line.length + 1 : line.length);
    }
    return (struct span){ body.at, 0 };
}

/* Numbers are read as reals, so that a huge one does not spoil the rest. */
static json_t *parse(const kb_http_response *raw) {
    char room[EXCERPT_MAX], *excerpt = room, *heap = NULL;
    size_t length = raw->body_len < KBI_BODY_MAX ? raw->body_len : KBI_BODY_MAX, bytes;
    if (!raw->body)
        return NULL;
    struct span text = json_part((struct span){ raw->body, length });
    if (text.length == 0 || !kbi_excerpt(text.at, text.length, room, sizeof room, &bytes))
        return NULL;
    if (bytes > sizeof room) {
        excerpt = heap = malloc(bytes);
        if (!heap || !kbi_excerpt(text.at, text.length, heap, bytes, &bytes))
            bytes = 0;
    }
    json_t *root = json_loadb(excerpt, bytes, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
    free(heap);
    return root;
}

/* ---- the error object ---- */

static const char *text_of(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

/* One that is compared whole; with a NUL in it, it would compare like another. */
static const char *word_of(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);
    return text && strlen(text) == json_string_length(value) ? text : NULL;
}

/* A word, or a whole number written out in `room`. */
static const char *code_of(const json_t *object, const char *name, char *room, size_t size) {
    const json_t *value = json_object_get(object, name);
    if (!json_is_real(value))
        return word_of(object, name);
    double number = json_real_value(value);
    if (!(number > -1e15 && number < 1e15) || number != (double)(long long)number)
        return NULL;
    snprintf(room, size, "%lld", (long long)number);
    return room;
}

static const char *first_of(const char *a, const char *b) {
    return a ? a : b;
}

static void add_reason(struct kbi_error_fields *fields, const char *reason) {
    if (reason && fields->reason_count < KBI_REASONS_MAX)
        fields->reasons[fields->reason_count++] = reason;
}

static void add_reasons(struct kbi_error_fields *fields, const json_t *object,
                        const char *const *names) {
    for (; *names; names++)
        add_reason(fields, word_of(object, *names));
}

/* What an object below the error adds: Google's ErrorInfo and RetryInfo, Anthropic's details,
 * Azure's innererror, OpenRouter's metadata with the headers that its limit would have sent. */
static void take_detail(struct kbi_error_fields *fields, const json_t *detail) {
    static const char *const NAMES[] = { "reason",     "code",         "error_code",
                                         "error_type", "limit_source", NULL };
    add_reasons(fields, detail, NAMES);
    if (!fields->retry_delay)
        fields->retry_delay = text_of(detail, "retryDelay");
    if (!fields->limit_reset)
        fields->limit_reset = code_of(json_object_get(detail, "headers"), "X-RateLimit-Reset",
                                      fields->reset_number, sizeof fields->reset_number);
}

static void take_details(struct kbi_error_fields *fields, const json_t *error) {
    static const char *const NAMES[] = { "details", "errors", "innererror", "metadata" };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        const json_t *details = json_object_get(error, NAMES[i]);
        if (json_is_object(details))
            take_detail(fields, details);
        for (size_t k = 0; k < json_array_size(details); k++)
            take_detail(fields, json_array_get(details, k));
    }
}

/* "com.amazon.coral.service#AccessDeniedException" */
static const char *after_hash(const char *name) {
    const char *hash = name ? strchr(name, '#') : NULL;
    return hash ? hash + 1 : name;
}

static void take_fields(struct kbi_error_fields *fields, const json_t *error) {
    static const char *const NAMES[] = { "reason", "error_code", "error_type", NULL };
    fields->code = code_of(error, "code", fields->code_number, sizeof fields->code_number);
    fields->type = first_of(word_of(error, "type"), after_hash(word_of(error, "__type")));
    fields->status = code_of(error, "status", fields->status_number, sizeof fields->status_number);
    fields->message = first_of(text_of(error, "message"), text_of(error, "Message")); /* AWS */
    if (!fields->message)
        fields->message = first_of(text_of(error, "detail"), text_of(error, "msg"));
    add_reasons(fields, error, NAMES);
    take_details(fields, error);
}

/* Find it: {"error": {…}}, {"error": "text", …}, {"errors": [{…}]}, the object itself, or the first
 * element of an array of these. */
static void take_error(struct kbi_response *response) {
    struct kbi_error_fields *fields = &response->error;
    const json_t *root = response->root;
    bool is_good = response->status >= 200 && response->status <= 299;
    if (json_is_array(root))
        root = json_array_get(root, 0);
    const json_t *error = json_object_get(root, "error");
    if (json_is_object(error)) {
        take_fields(fields, error);
        return;
    }
    if (!is_good) {
        const json_t *several = json_array_get(json_object_get(root, "errors"), 0);
        take_fields(fields, json_is_object(several) ? several : root);
    }
    if (json_is_string(error) && !fields->message)
        fields->message = json_string_value(error);
}

void kbi_response_init(struct kbi_response *response, const kb_http_response *raw,
                       bool with_headers, bool with_body) {
    response->status = raw->status;
    response->header_count = 0;
    response->error = (struct kbi_error_fields){ 0 };
    response->root = NULL;
    if (with_headers && raw->headers)
        take_headers(response, raw->headers);
    if (with_body)
        response->root = parse(raw);
    if (response->root)
        take_error(response);
}

void kbi_response_deinit(struct kbi_response *response) {
    json_decref(response->root);
    response->root = NULL;
    response->error = (struct kbi_error_fields){ 0 };
}
