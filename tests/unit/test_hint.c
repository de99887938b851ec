/*
 * Waiting hints: every format that vendors use, and that nonsense is as good as nothing.
 */
#include "client/hint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

enum { DAY_MS = 24 * 60 * 60 * 1000 };
#define WALL_MS INT64_C(784111777000) /* Sun, 06 Nov 1994 08:49:37 GMT */
#define NONE KB_NO_HINT

static uint64_t hint_of(kb_outcome outcome, const char *headers, const char *body) {
    struct kbi_response response;
    kb_http_response raw = KB_HTTP_RESPONSE_INIT;
    raw.status = 429;
    raw.headers = headers;
    raw.body = body;
    raw.body_len = body ? strlen(body) : 0;
    kbi_response_init(&response, &raw, true, true);
    uint64_t hint = kbi_hint(&response, outcome, WALL_MS);
    kbi_response_deinit(&response);
    return hint;
}

struct row {
    const char *headers;
    uint64_t expected_ms;
};

#define EXPECT(rows)                                                                               \
    for (size_t i = 0; i < sizeof(rows) / sizeof *(rows); i++) {                                   \
        uint64_t ms = hint_of(KB_RATE, (rows)[i].headers, NULL);                                   \
        cr_expect_eq(ms, (rows)[i].expected_ms, "<%s> gave %" PRIu64, (rows)[i].headers, ms);      \
    }

Test(hint, retry_after_is_seconds_or_milliseconds) {
    static const struct row ROWS[] = {
        { "Retry-After: 7\r\n", 7000 },
        { "retry-after: 0.25\r\n", 250 },
        { "retry-after: 1.0001\r\n", 1001 },
        { "retry-after: 007\r\n", 7000 },
        { "retry-after-ms: 1234\r\nretry-after: 9\r\n", 1234 },
        { "retry-after: 9\r\nretry-after-ms: 1234.5\r\n", 1235 },
        { "retry-after-ms: -1\r\nretry-after: 9\r\n", 9000 },
        { "retry-after-ms: 0\r\nretry-after: 9\r\n", 9000 },
        { "retry-after-ms: soon\r\nretry-after:\r\n\t9\r\n", 9000 },
        { "retry-after: 5\r\nretry-after: 9\r\n", 5000 },
        { "HTTP/1.1 200 Connection established\r\nretry-after: 1\r\n\r\n"
          "HTTP/1.1 429 No\r\nretry-after: 7\r\n",
          7000 },
    };
    EXPECT(ROWS);
}

Test(hint, nonsense_is_no_hint) {
    static const struct row ROWS[] = {
        { "retry-after: -1\r\n", NONE },
        { "retry-after: 0\r\n", NONE },
        { "retry-after: 0.0\r\n", NONE },
        { "retry-after:\r\n", NONE },
        { "retry-after: .\r\n", NONE },
        { "retry-after: 1e3\r\n", NONE },
        { "retry-after: 0x10\r\n", NONE },
        { "retry-after: inf\r\n", NONE },
        { "retry-after: nan\r\n", NONE },
        { "retry-after: +5\r\n", NONE },
        { "retry-after: 5 seconds\r\n", NONE },
        { "retry-after: 5, 6\r\n", NONE },
        { "retry-after: 5.\r\n", NONE },
        { "retry-after-ms: 1,5\r\n", NONE },
        { "retry-afterwards: 5\r\n", NONE },
        { "x-ratelimit-reset-requests: m\r\n", NONE },
        { "x-ratelimit-reset-requests: 5s6m\r\n", NONE },
        { "x-ratelimit-reset-requests: 5sm\r\n", NONE },
        { "x-ratelimit-reset-requests: 5s5s\r\n", NONE },
        { "x-ratelimit-reset-requests: -5s\r\n", NONE },
        { "x-ratelimit-reset-requests: 0s\r\n", NONE },
        { "x-ratelimit-reset-requests: 1741305600000\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: yesterday\r\n", NONE },
        { NULL, NONE },
    };
    EXPECT(ROWS);
}

Test(hint, nothing_is_longer_than_a_day) {
    static const struct row ROWS[] = {
        { "retry-after: 86400\r\n", DAY_MS },
        { "retry-after: 86401\r\n", DAY_MS },
        { "retry-after: 99999999999999999999999999999999999999\r\n", DAY_MS },
        { "retry-after-ms: 99999999999999999999\r\n", DAY_MS },
        { "retry-after: Fri, 06 Nov 2099 08:49:37 GMT\r\n", DAY_MS },
        { "x-ratelimit-reset-requests: 25h0m0s\r\n", DAY_MS },
        { "anthropic-ratelimit-tokens-reset: 2099-01-01T00:00:00Z\r\n", DAY_MS },
    };
    EXPECT(ROWS);
    char digits[250];
    memset(digits, '9', sizeof digits - 1);
    digits[sizeof digits - 1] = '\0';
    char headers[300];
    snprintf(headers, sizeof headers, "retry-after: %s", digits);
    cr_assert_eq(hint_of(KB_RATE, headers, NULL), DAY_MS);
}

Test(hint, an_http_date_counts_from_the_answers_own_date) {
    static const struct row ROWS[] = {
        { "retry-after: Sun, 06 Nov 1994 08:49:47 GMT\r\n", 10000 },
        { "retry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n", NONE },
        { "retry-after: Sun, 06 Nov 1994 08:49:36 GMT\r\n", NONE },
        { "Date: Mon, 23 Nov 2026 18:00:00 GMT\r\nretry-after: Mon, 23 Nov 2026 18:01:30 GMT\r\n",
          90000 },
        { "retry-after: Mon, 23 Nov 2026 18:01:30 GMT\r\nDate: Mon, 23 Nov\r\n"
          "\t2026 18:00:00 GMT\r\n",
          90000 },
        { "date: nonsense\r\nretry-after: Sun, 06 Nov 1994 08:49:47 GMT\r\n", 10000 },
        { "retry-after: Sun, 06 Nov 1994 08:49:47 CET\r\n", NONE },
        { "retry-after: Sun, 06 Nov 1994 08:49:47\r\n", NONE },
        { "retry-after: Sun, 31 Feb 1995 08:49:47 GMT\r\n", NONE },
        { "retry-after: Sun, 06 Nov 1995 24:00:00 GMT\r\n", NONE },
        { "retry-after: Sun, 06 Abc 1995 08:49:47 GMT\r\n", NONE },
        { "retry-after: Sunday, 06-Nov-95 08:49:47 GMT\r\n", NONE },
        { "retry-after: Sun, 06\r\n", NONE },
    };
    EXPECT(ROWS);
}

Test(hint, durations_have_units) {
    static const struct row ROWS[] = {
        { "x-ratelimit-reset-requests: 12ms\r\n", 12 },
        { "x-ratelimit-reset-requests: 6m0s\r\n", 360000 },
        { "x-ratelimit-reset-requests: 1h2m3.5s\r\n", 3723500 },
        { "x-ratelimit-reset-tokens: 7.66s\r\n", 7660 },
        { "x-ratelimit-reset-tokens: 2m59.56s\r\n", 179560 },
        { "x-ratelimit-reset-tokens: 1s500ms\r\n", 1500 },
        { "x-ratelimit-reset-tokens: 12\r\n", 12000 },
        { "X-RateLimit-Reset-Tokens: 1m\r\n", 60000 },
    };
    EXPECT(ROWS);
}

Test(hint, the_reset_is_the_used_up_limits) {
    static const struct row ROWS[] = {
        { "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 2s\r\n"
          "x-ratelimit-remaining-tokens: 900\r\nx-ratelimit-reset-tokens: 6m0s\r\n",
          2000 },
        { "x-ratelimit-remaining-requests: 59\r\nx-ratelimit-reset-requests: 1h0m0s\r\n"
          "x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 40ms\r\n",
          40 },
        { "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 2s\r\n"
          "x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 3s\r\n",
          3000 },
        { "x-ratelimit-reset-requests: 2s\r\nx-ratelimit-reset-tokens: 3s\r\n", 3000 },
        { "x-ratelimit-remaining-tokens: 10\r\nx-ratelimit-reset-tokens: 3s\r\n", 3000 },
        { "x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: nonsense\r\n"
          "x-ratelimit-reset-requests: 2s\r\n",
          2000 },
        { "retry-after: 5\r\nx-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 3s\r\n",
          5000 },
    };
    EXPECT(ROWS);
}

Test(hint, anthropics_resets_are_moments) {
    static const struct row ROWS[] = {
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:47Z\r\n", 10000 },
        { "anthropic-ratelimit-tokens-reset: 1994-11-06T08:49:47.250Z\r\n", 10250 },
        { "anthropic-ratelimit-input-tokens-reset: 1994-11-06T09:49:47+01:00\r\n", 10000 },
        { "anthropic-ratelimit-output-tokens-reset: 1994-11-06T03:19:47-05:30\r\n", 10000 },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:37Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:47\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-31T08:49:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-00-06T08:49:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:47.Z\r\n", NONE },
        { "date: Mon, 23 Nov 2026 18:00:00 GMT\r\n"
          "anthropic-ratelimit-requests-remaining: 49\r\n"
          "anthropic-ratelimit-requests-reset: 2026-11-23T18:30:00Z\r\n"
          "anthropic-ratelimit-input-tokens-remaining: 0\r\n"
          "anthropic-ratelimit-input-tokens-reset: 2026-11-23T18:00:12Z\r\n"
          "anthropic-ratelimit-output-tokens-remaining: 8000\r\n"
          "anthropic-ratelimit-output-tokens-reset: 2026-11-23T18:00:45Z\r\n",
          12000 },
    };
    EXPECT(ROWS);
}

#define RETRY_INFO(delay)                                                                          \
    "{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":"          \
    "\"type.googleapis.com/google.rpc.QuotaFailure\"},{\"@type\":\"type.googleapis.com/"           \
    "google.rpc.RetryInfo\",\"retryDelay\":" delay "}]}}"

Test(hint, geminis_is_in_the_body) {
    cr_assert_eq(hint_of(KB_RATE, NULL, RETRY_INFO("\"13s\"")), 13000);
    cr_assert_eq(hint_of(KB_OVERLOAD, NULL, RETRY_INFO("\"0.123456789s\"")), 124);
    cr_assert_eq(hint_of(KB_RATE, "retry-after: 5", RETRY_INFO("\"13s\"")), 5000);
    cr_assert_eq(hint_of(KB_RATE, NULL, RETRY_INFO("\"-13s\"")), NONE);
    cr_assert_eq(hint_of(KB_RATE, NULL, RETRY_INFO("\"0s\"")), NONE);
    cr_assert_eq(hint_of(KB_RATE, NULL, RETRY_INFO("13")), NONE);
    cr_assert_eq(hint_of(KB_RATE, NULL, RETRY_INFO("\"999999999999s\"")), DAY_MS);
}

Test(hint, limits_say_nothing_about_other_failures) {
    const char *reset = "x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 3s\r\n";
    cr_assert_eq(hint_of(KB_QUOTA, reset, NULL), NONE);
    cr_assert_eq(hint_of(KB_OVERLOAD, reset, NULL), NONE);
    cr_assert_eq(hint_of(KB_OVERLOAD, "retry-after: 2", NULL), 2000);
}
