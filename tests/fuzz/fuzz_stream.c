/*
 * Fuzz target: an error behind HTTP 200, in a body or a stream. Input: one byte that says how the
 * example worker's reader gets it in pieces, then the body. It is copied to memory of exactly its
 * size, so that the sanitizer sees a byte read too many.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/body.h"
#include "client/classify.h"
#include "client/hint.h"

#include "client/examples/stream.c" // NOLINT(bugprone-suspicious-include): it is in no library

static const char RULES[] =
    "429 message=\"Request too large*\" permission\n"
    "* any=insufficient_quota quota account\n200 code=5* overload\n"
    "401 invalid\n402 quota account\n429 rate key\n4xx request\n5xx overload\n";
static const char ERROR[] = "\n\nevent: error\ndata: {\"error\":{\"message\":\"m\",\"type\":"
                            "\"requests\",\"code\":\"insufficient_quota\"}}\n\n";

static void must(int held) {
    if (!held)
        abort();
}

struct bounds {
    const char *begin, *end;
    unsigned pieces;
};

static bool see_piece(const struct kbi_piece *piece, void *userdata) {
    struct bounds *bounds = userdata;
    must(piece->at >= bounds->begin && piece->length <= (size_t)(bounds->end - piece->at));
    must(piece->length > 0 && (*piece->at == '{' || *piece->at == '['));
    must(piece->status == 0 || (piece->status >= 400 && piece->status <= 599));
    bounds->pieces++;
    return false;
}

static struct kbi_finding classify(const struct kbi_rules *rules, const char *body, size_t length) {
    struct kbi_response response;
    kb_http_response raw = KB_HTTP_RESPONSE_INIT;
    raw.status = 200;
    raw.body = body;
    raw.body_len = length;
    kbi_response_init(&response, &raw, false);
    must(response.hidden_status == 0 ||
         (response.hidden_status >= 400 && response.hidden_status <= 599));
    struct kbi_finding finding = kbi_classify(rules, &response);
    must((response.hidden_status == 0) == (finding.outcome == KB_SUCCESS));
    uint64_t hint = kbi_hint(&response, finding.outcome, INT64_C(1790000000000));
    must(hint == KB_NO_HINT || (hint >= 1 && hint <= 24 * 3600 * 1000));
    kbi_response_deinit(&response);
    return finding;
}

static bool is_json(const char *body, size_t length) {
    size_t at = length >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < length && memchr(" \t\r\n", body[at], 4))
        at++;
    return at < length && (body[at] == '{' || body[at] == '[');
}

/* An error that is a stream's last event is found, and nothing else, whatever came before it,
 * unless that is JSON as a whole. */
static void last_event(const struct kbi_rules *rules, const char *body, size_t length) {
    if (is_json(body, length))
        return;
    char *longer = malloc(length + sizeof ERROR);
    must(longer != NULL);
    memcpy(longer, body, length);
    memcpy(longer + length, ERROR, sizeof ERROR - 1);
    struct kbi_finding finding = classify(rules, longer, length + sizeof ERROR - 1);
    must(finding.outcome == KB_QUOTA && finding.scope == KB_SCOPE_ACCOUNT);
    must(strcmp(finding.code, "insufficient_quota") == 0);
    free(longer);
}

/* In pieces or at once, the example's reader sees the same. */
static void in_pieces(const char *body, size_t length, size_t piece) {
    static struct stream whole, parts;
    size_t whole_length, parts_length;
    stream_begin(&whole);
    stream_begin(&parts);
    stream_take(&whole, body, length);
    for (size_t at = 0; at < length; at += piece)
        stream_take(&parts, body + at, length - at < piece ? length - at : piece);
    const char *one = stream_end(&whole, &whole_length), *two = stream_end(&parts, &parts_length);
    must(whole.began == parts.began && whole_length == parts_length);
    must(memcmp(one, two, whole_length) == 0 && whole_length <= length);
    must(memcmp(one, body + length - whole_length, whole_length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    size_t length = size - 1;
    char *body = malloc(length ? length : 1);
    struct kbi_rules *rules = kbi_rules_new(RULES);
    must(body && rules);
    if (length)
        memcpy(body, data + 1, length);
    struct bounds bounds = { .begin = body, .end = body + length };
    must(!kbi_body_search(body, length, see_piece, &bounds));
    must(bounds.pieces <= 2 * 64 + 2);
    struct kbi_finding one = classify(rules, body, length), two = classify(rules, body, length);
    must(one.outcome == two.outcome && one.scope == two.scope && strcmp(one.code, two.code) == 0);
    last_event(rules, body, length);
    in_pieces(body, length, 1 + data[0] % 64);
    kbi_rules_free(rules);
    free(body);
    return 0;
}
