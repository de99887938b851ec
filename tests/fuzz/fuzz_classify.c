/*
 * Fuzz target: taking an answer apart and classifying it. Input: two bytes of status, one that
 * picks the rules, the header block up to a NUL, then the body. Both are copied to memory of
 * exactly their size, so that the sanitizer sees a byte read too many.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/classify.h"
#include "client/excerpt.h"
#include "client/hint.h"

static const char *const RULES[] = {
    "",
    "429 any=insufficient_quota quota\n401 code=invalid_api_key invalid\n"
    "400 message=\"Your credit balance is too low*\" quota\n5xx overload\n",
    "400 reason=API_KEY_INVALID invalid\n4xx status=PERMISSION_DENIED permission\n"
    "* header:x-amzn-errortype=Throttling* rate\n* type=overloaded_error overload\n",
    "200 code=402 quota account\n200 code=5* overload\n2xx any=rate_limit* rate\n"
    "402 any=openrouter_key_limit quota key\n200 any=* request\n* message=quota quota\n",
};
enum { RULE_SETS = sizeof RULES / sizeof *RULES };

static void must(int held) {
    if (!held)
        abort();
}

static struct kbi_finding classify(const struct kbi_rules *rules, const kb_http_response *raw) {
    struct kbi_response response;
    kbi_response_init(&response, raw, true);
    struct kbi_finding finding = kbi_classify(rules, &response);
    uint64_t hint = kbi_hint(&response, finding.outcome, INT64_C(1790000000000));
    must(hint == KB_NO_HINT || (hint >= 1 && hint <= 24 * 3600 * 1000));
    kbi_response_deinit(&response);
    return finding;
}

/* An excerpt is never longer than its text but by what closes it, says what room it needs, and is
 * whole. */
static void excerpt(const char *body, size_t length) {
    size_t needed = 0, written = 0, again = 0;
    if (length == 0 || (*body != '{' && *body != '[') ||
        !kbi_excerpt(body, length, NULL, 0, &needed))
        return;
    must(needed >= 2 && needed <= length + KBI_EXCERPT_DEPTH_MAX);
    char *first = malloc(needed), *second = malloc(needed);
    must(first && second);
    must(kbi_excerpt(body, length, first, needed, &written) && written == needed);
    must(kbi_excerpt(first, needed, second, needed, &again) && again <= needed);
    must(second[again - 1] == (*body == '{' ? '}' : ']'));
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3)
        return 0;
    kb_http_response raw = KB_HTTP_RESPONSE_INIT;
    raw.status = data[0] * 4 + data[1] % 4;
    struct kbi_rules *rules = kbi_rules_new(RULES[data[2] % RULE_SETS]);
    data += 3;
    size -= 3;
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t head = nul ? (size_t)(nul - data) : 0;
    size_t rest = nul ? size - head - 1 : size;
    char *headers = malloc(head + 1), *body = malloc(rest ? rest : 1);
    must(rules && headers && body);
    if (head)
        memcpy(headers, data, head);
    headers[head] = '\0';
    if (rest)
        memcpy(body, nul ? nul + 1 : data, rest);
    raw.headers = headers;
    raw.body = body;
    raw.body_len = rest;
    excerpt(body, rest);
    struct kbi_finding first = classify(rules, &raw), again = classify(rules, &raw);
    must(first.outcome >= KB_SUCCESS && first.outcome <= KB_NETWORK);
    must(first.scope >= KB_SCOPE_REQUEST && first.scope <= KB_SCOPE_ENDPOINT);
    must(memchr(first.code, 0, sizeof first.code) != NULL);
    must(first.outcome == again.outcome && first.scope == again.scope &&
         strcmp(first.code, again.code) == 0);
    free(headers);
    free(body);
    kbi_rules_free(rules);
    return 0;
}
