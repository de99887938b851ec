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
    kbi_response_init(&response, &raw, true);
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
        { "retry-after: 5,6\r\n", NONE },
        { "retry-after: 5, soon\r\n", NONE },
        { "retry-after: soon, 5\r\n", NONE },
        { "retry-after: 5, \r\n", NONE },
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
        { "retry-after: Sunday, 06 Nov 1994 08:49:47 GMT\r\n", NONE },
        { "retry-after: Su, 06 Nov 1994 08:49:47 GMT\r\n", NONE },
        { "retry-after: Sun, 6 Nov 1994 08:49:47 GMT\r\n", NONE },
        { "retry-after: Sun, 06\r\n", NONE },
    };
    EXPECT(ROWS);
}

Test(hint, the_two_obsolete_forms_of_an_http_date_are_read_too) {
    static const struct row ROWS[] = {
        { "retry-after: Sunday, 06-Nov-94 08:49:47 GMT\r\n", 10000 },
        { "retry-after: Sun Nov  6 08:49:47 1994\r\n", 10000 },
        { "retry-after: Sun Nov 16 08:49:47 1994\r\n", DAY_MS },
        { "date: Friday, 31-Dec-99 23:59:50 GMT\r\nretry-after: Saturday, 01-Jan-00 00:00:10 "
          "GMT\r\n",
          20000 },
        { "date: Mon Nov 23 18:00:00 2026\r\nretry-after: Monday, 23-Nov-26 18:00:07 GMT\r\n",
          7000 },
        { "retry-after: Wednesday, 06-Nov-44 08:49:47 GMT\r\n", DAY_MS },
        { "retry-after: Sunday, 06-Nov-45 08:49:47 GMT\r\n", NONE },
        { "retry-after: Sunday, 06-Nov-94 08:49:47\r\n", NONE },
        { "retry-after: Sunday, 06-Nov-1994 08:49:47 GMT\r\n", NONE },
        { "retry-after: Sunday, 31-Feb-95 08:49:47 GMT\r\n", NONE },
        { "retry-after: Sun Nov 6 08:49:47 1994 GMT\r\n", NONE },
        { "retry-after: Sun Nov 6 08:49:47 94\r\n", NONE },
        { "retry-after: Sun Nov\r\n", NONE },
        { "retry-after: Sunday, 06-\r\n", NONE },
    };
    EXPECT(ROWS);
}

Test(hint, of_duplicates_the_longest_that_makes_sense_counts) {
    static const struct row ROWS[] = {
        { "retry-after: 5\r\nretry-after: 9\r\n", 9000 },
        { "retry-after: 9\r\nRetry-After: 5\r\n", 9000 },
        { "retry-after: soon\r\nretry-after: 9\r\n", 9000 },
        { "retry-after: -1\r\nretry-after: 0\r\nretry-after: 9\r\n", 9000 },
        { "retry-after: 9\r\nretry-after: Sun, 06 Nov 1994 08:49:47 GMT\r\n", 10000 },
        { "retry-after-ms: x\r\nretry-after-ms: 70\r\nretry-after: 9\r\n", 70 },
        { "x-ratelimit-reset-tokens: ?\r\nx-ratelimit-reset-tokens: 2s\r\n"
          "x-ratelimit-reset-tokens: 1s\r\n",
          2000 },
        { "x-ratelimit-remaining-tokens: ?\r\nx-ratelimit-remaining-tokens: 0\r\n"
          "x-ratelimit-reset-tokens: 2s\r\nx-ratelimit-reset-requests: 9s\r\n",
          2000 },
        { "date: yesterday\r\ndate: Mon, 23 Nov 2026 18:00:00 GMT\r\n"
          "retry-after: Mon, 23 Nov 2026 18:01:30 GMT\r\n",
          90000 },
    };
    EXPECT(ROWS);
}

/* As clients hand over what came twice. */
Test(hint, of_joined_values_the_longest_counts) {
    static const struct row ROWS[] = {
        { "retry-after: 12, 12\r\n", 12000 },
        { "retry-after: 5, 9, 7\r\n", 9000 },
        { "retry-after: 0, 9\r\n", 9000 },
        { "retry-after-ms: 70, 80\r\n", 80 },
        { "retry-after: Sun, 06 Nov 1994 08:49:47 GMT, Sun, 06 Nov 1994 08:49:57 GMT\r\n", 20000 },
        { "retry-after: Sun, 06 Nov 1994 08:49:47 GMT, 30\r\n", 30000 },
        { "retry-after: 30, Sun, 06 Nov 1994 08:49:47 GMT\r\n", 30000 },
        { "retry-after: Wed, 21 Oct 1992 07:28:00 GMT, Wed, 21 Oct 1992 07:28:00 GMT\r\n", NONE },
        { "x-ratelimit-remaining-tokens: 0, 0\r\nx-ratelimit-reset-tokens: 2s, 3s\r\n"
          "x-ratelimit-reset-requests: 9s\r\n",
          3000 },
    };
    EXPECT(ROWS);
}

Test(hint, names_are_known_by_their_pattern_and_units_by_how_they_end) {
    static const struct row ROWS[] = {
        { "x-rate-limit-reset-tokens: 55\r\n", 55000 },
        { "X-Rate-Limit-Remaining-Tokens: 0\r\nX-Rate-Limit-Reset-Tokens: 55\r\n"
          "x-ratelimit-reset-requests: 59\r\n",
          55000 },
        { "x-tokenlimit-reset: 4\r\n", 4000 },
        { "ratelimit-reset: 6\r\n", 6000 },
        { "llm_provider-x-ratelimit-reset-requests: 7s\r\n", 7000 },
        { "x-ratelimit-reset-after-ms: 250\r\n", 250 },
        { "x-ratelimit-reset-tokens-minute: 8.5\r\n", 8500 },
        { "x-ms-retry-after-ms: 1500\r\nretry-after: 2\r\n", 1500 },
        { "llm_provider-retry-after: 9\r\n", 9000 },
        { "ratelimit: \"api\";r=0;t=55\r\n", 55000 },
        { "ratelimit: \"api\";r=3;t=55\r\n", NONE },
        { "x-ratelimit-resets: 5\r\n", NONE },
        { "x-reset-tokens: 5\r\n", NONE },
        { "x-ratelimit-preset: 5\r\n", NONE },
    };
    EXPECT(ROWS);
}

Test(hint, a_long_windows_reset_counts_only_when_that_is_used_up) {
    static const struct row ROWS[] = {
        { "x-ratelimit-remaining-requests-day: 0\r\nx-ratelimit-reset-requests-day: "
          "33011.382867\r\n"
          "x-ratelimit-remaining-tokens-minute: 12\r\nx-ratelimit-reset-tokens-minute: 11.38\r\n",
          33011383 },
        { "x-ratelimit-remaining-requests-day: 7\r\nx-ratelimit-reset-requests-day: 33011\r\n"
          "x-ratelimit-remaining-tokens-minute: 0\r\nx-ratelimit-reset-tokens-minute: 11.5\r\n",
          11500 },
        { "x-ratelimit-reset-requests-day: 33011\r\nx-ratelimit-reset-tokens-minute: 11.5\r\n",
          11500 },
        { "anthropic-ratelimit-unified-7d-reset: 784197177\r\n"
          "anthropic-ratelimit-unified-reset: 784111787\r\n",
          10000 },
    };
    EXPECT(ROWS);
}

Test(hint, a_limit_without_a_reset_ends_with_its_window) {
    static const struct row ROWS[] = {
        { "x-ratelimit-remaining-req-minute: 0\r\n", 23000 },
        { "x-ratelimit-remaining-tokens-hour: 0\r\n", 623000 },
        { "x-ratelimit-remaining-tokens-month: 0\r\n", 3600000 },
        { "x-ratelimit-remaining-req-minute: 1\r\n", NONE },
        { "x-ratelimit-remaining: 0\r\n", NONE },
        { "date: Mon, 23 Nov 2026 18:00:40 GMT\r\nx-ratelimit-remaining-req-minute: 0\r\n", 20000 },
    };
    EXPECT(ROWS);
}

Test(hint, zero_and_less_hide_nothing) {
    static const struct row ROWS[] = {
        { "retry-after-ms: 0\r\nretry-after: 0\r\nx-ratelimit-reset-tokens: 3s\r\n", 3000 },
        { "retry-after-ms: -1\r\nretry-after: -1\r\nx-ratelimit-reset-requests: -1\r\n"
          "x-ratelimit-reset-tokens: 0\r\n",
          NONE },
        { "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 0\r\n"
          "x-ratelimit-remaining-tokens: -1\r\nx-ratelimit-reset-tokens: 3s\r\n",
          3000 },
    };
    EXPECT(ROWS);
}

Test(hint, a_large_number_is_a_moment) {
    static const struct row ROWS[] = {
        { "x-ratelimit-reset: 784111787000\r\n", 10000 },
        { "X-RateLimit-Reset: 784111787\r\n", 10000 },
        { "x-ratelimit-reset: 784111777500.0\r\n", 500 },
        { "x-ratelimit-reset: 2\r\n", 2000 },
        { "x-ratelimit-reset: 784111777000\r\n", NONE },
        { "x-ratelimit-reset: 784111700000\r\n", NONE },
        { "x-ratelimit-reset: 784197177000\r\n", 85400000 },
        { "x-ratelimit-reset: 784900000000\r\n", DAY_MS },
        { "x-ratelimit-reset: 1741305600000\r\n", NONE },
        { "x-ratelimit-reset: 99999999999999999999\r\n", NONE },
        { "date: Mon, 23 Nov 2026 18:00:00 GMT\r\nx-ratelimit-reset: 1795456803000\r\n", 3000 },
        { "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 784111778\r\n"
          "x-ratelimit-reset-tokens: 9s\r\n",
          1000 },
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
        { "anthropic-ratelimit-requests-reset: 1994-11-06 08:49:47z\r\n", 10000 },
        { "anthropic-ratelimit-requests-reset: 1994-11-06t08:49:47-00:00\r\n", 10000 },
        { "anthropic-ratelimit-requests-reset: 199-11-06T08:49:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994/11/06T08:49:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-1-06T08:49:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-1106T08:49:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-6T08:49:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06X08:49:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T8:49:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08.49:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:9:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:7Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T24:49:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:60:47Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:61Z\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:47+1:00\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:47+0100\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:47+01:0\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:47-24:00\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:47-00:60\r\n", NONE },
        { "anthropic-ratelimit-requests-reset: 1994-11-06T08:49:47ZZ\r\n", NONE },
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

#define VIOLATION(id)                                                                              \
    "{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"violations\":[{"   \
    "\"quotaId\":\"" id "\",\"quotaValue\":\"20\"}]},{\"retryDelay\":\"36s\"}]}}"

Test(hint, of_geminis_windows_the_days_lasts_an_hour_at_least) {
    cr_assert_eq(hint_of(KB_RATE, NULL, VIOLATION("GenerateRequestsPerMinutePerProjectPerModel")),
                 36000);
    cr_assert_eq(hint_of(KB_RATE, NULL, VIOLATION("GenerateRequestsPerDayPerProjectPerModel")),
                 3600000);
    cr_assert_eq(hint_of(KB_RATE, "retry-after: 7200",
                         VIOLATION("GenerateRequestsPerDayPerProjectPerModel")),
                 7200000);
    cr_assert_eq(hint_of(KB_OVERLOAD, NULL, VIOLATION("GenerateRequestsPerDayPerProjectPerModel")),
                 36000);
}

#define METADATA(reset)                                                                            \
    "{\"error\":{\"code\":429,\"metadata\":{\"provider_name\":null,\"headers\":{"                  \
    "\"X-RateLimit-Limit\":\"20\",\"X-RateLimit-Remaining\":\"0\",\"X-RateLimit-Reset\":" reset    \
    "}}}}"

Test(hint, openrouters_may_be_in_the_body) {
    cr_assert_eq(hint_of(KB_RATE, NULL, METADATA("\"784111787000\"")), 10000);
    cr_assert_eq(hint_of(KB_RATE, NULL, METADATA("784111787000")), 10000);
    cr_assert_eq(hint_of(KB_RATE, "retry-after: 5", METADATA("784111787000")), 5000);
    cr_assert_eq(hint_of(KB_RATE, "x-ratelimit-reset: 784111780", METADATA("784111787000")), 3000);
    cr_assert_eq(hint_of(KB_RATE, "x-ratelimit-reset: 1", METADATA("-1")), 1000);
    cr_assert_eq(hint_of(KB_RATE, NULL, METADATA("-1")), NONE);
    cr_assert_eq(hint_of(KB_RATE, NULL, METADATA("\"soon\"")), NONE);
    cr_assert_eq(hint_of(KB_RATE, NULL, METADATA("null")), NONE);
    cr_assert_eq(hint_of(KB_OVERLOAD, NULL, METADATA("784111787000")), NONE);
}

Test(hint, limits_say_nothing_about_other_failures) {
    const char *reset = "x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 3s\r\n";
    cr_assert_eq(hint_of(KB_QUOTA, reset, NULL), NONE);
    cr_assert_eq(hint_of(KB_OVERLOAD, reset, NULL), NONE);
    cr_assert_eq(hint_of(KB_OVERLOAD, "retry-after: 2", NULL), 2000);
}
