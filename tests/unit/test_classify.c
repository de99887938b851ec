/*
 * Classification by the vendors' real rules: what each vendor answers in each class, and answers
 * that only look like a failure. Every row goes through kb_report_http, as a worker's would.
 */
#include "client/classify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "broker/vendor_rules.h"
#include "client/internal.h"
#include "tests/support/fixture_pool.h"

enum { KEYS = 8 };
#define NONE KB_NO_HINT
#define REQ KB_CONCERNS_REQUEST
#define KEY KB_CONCERNS_KEY
#define ACCOUNT KB_CONCERNS_ACCOUNT
#define ENDPOINT KB_CONCERNS_ENDPOINT

struct row {
    const char *vendor;
    int status;
    const char *headers, *body;
    kb_outcome outcome;
    kb_scope scope;
    kb_verdict verdict;
    uint64_t wait_ms;
};

/* The bodies in their vendors' shapes. */
#define OPENAI(type, code, message)                                                                \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"" type                                     \
    "\",\"param\":null,\"code\":\"" code "\"}}"
#define ANTHROPIC(type, message)                                                                   \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message                  \
    "\"},\"request_id\":\"req_insufficient_quota\"}"
#define GEMINI(code, status, details)                                                              \
    "{\"error\":{\"code\":" code ",\"message\":\"m\",\"status\":\"" status                         \
    "\",\"details\":[" details "]}}"
#define INFO(reason)                                                                               \
    "{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"" reason "\"}"
#define RETRY(delay)                                                                               \
    "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"" delay "\"}"
#define OPENROUTER(code, message)                                                                  \
    "{\"error\":{\"code\":" code ",\"message\":\"" message                                         \
    "\",\"metadata\":{\"provider_name\":\"p\",\"raw\":\"insufficient_quota\"}},\"user_id\":\"u\"}"
#define PLAIN(code, message) "{\"code\":\"" code "\",\"message\":\"" message "\"}"
#define AWS(type, message) "{\"__type\":\"" type "\",\"message\":\"" message "\"}"
#define SECONDS(number) "HTTP/1.1 429 x\r\nRetry-After: " number "\r\n\r\n"

static const struct row ANSWERS[] = {
    { "openai", 200, NULL, "{}", KB_SUCCESS, REQ, KB_OK, NONE },
    { "openai", 401, NULL, OPENAI("invalid_request_error", "invalid_api_key", "Incorrect"),
      KB_INVALID, KEY, KB_NEXT_KEY, NONE },
    { "openai", 401, NULL, OPENAI("invalid_request_error", "ip_not_authorized", "m"), KB_INVALID,
      KEY, KB_NEXT_KEY, NONE },
    { "openai", 403, NULL, OPENAI("request_forbidden", "unsupported_country", "m"), KB_PERMISSION,
      REQ, KB_NEXT_KEY, NONE },
    { "openai", 429, NULL, OPENAI("insufficient_quota", "insufficient_quota", "exceeded"), KB_QUOTA,
      ACCOUNT, KB_NEXT_KEY, NONE },
    { "openai", 429, "x-ratelimit-reset-tokens: 3s\r\n",
      OPENAI("billing", "billing_hard_limit_reached", "m"), KB_QUOTA, ACCOUNT, KB_NEXT_KEY, NONE },
    { "openai", 429, NULL, OPENAI("billing", "project_spend_limit_exceeded", "m"), KB_QUOTA,
      ACCOUNT, KB_NEXT_KEY, NONE },
    { "openai", 429, "X-RateLimit-Remaining-Tokens: 0\nX-RateLimit-Reset-Tokens: 6m0s\n",
      OPENAI("tokens", "rate_limit_exceeded", "m"), KB_RATE, ACCOUNT, KB_NEXT_KEY, 360000 },
    { "openai", 429, SECONDS("7"), OPENAI("requests", "slow_down", "m"), KB_RATE, ACCOUNT,
      KB_NEXT_KEY, 7000 },
    { "openai", 429, NULL, "", KB_RATE, ACCOUNT, KB_NEXT_KEY, NONE },
    { "openai", 503, SECONDS("2"), OPENAI("server_error", "server_is_overloaded", "m"), KB_OVERLOAD,
      ENDPOINT, KB_RETRY_LATER, 2000 },
    { "openai", 500, NULL, NULL, KB_OVERLOAD, ENDPOINT, KB_RETRY_LATER, NONE },
    { "openai", 400, NULL, OPENAI("invalid_request_error", "context_length_exceeded", "m"),
      KB_REQUEST, REQ, KB_GIVE_UP, NONE },
    { "openai", 404, NULL, NULL, KB_REQUEST, REQ, KB_GIVE_UP, NONE },
    { "openai", 0, NULL, NULL, KB_NETWORK, ENDPOINT, KB_RETRY_LATER, NONE },

    { "azure", 401, NULL, "{\"statusCode\":401,\"message\":\"denied\"}", KB_INVALID, KEY,
      KB_NEXT_KEY, NONE },
    { "azure", 403, NULL, NULL, KB_PERMISSION, REQ, KB_NEXT_KEY, NONE },
    { "azure", 429, "retry-after-ms: 1500\r\nretry-after: 2\r\n",
      "{\"error\":{\"code\":\"429\",\"message\":\"m\"}}", KB_RATE, ACCOUNT, KB_NEXT_KEY, 1500 },
    { "azure", 429, "retry-after-ms: -1\r\nx-ratelimit-reset-requests: 0\r\n", NULL, KB_RATE,
      ACCOUNT, KB_NEXT_KEY, NONE },

    { "anthropic", 401, NULL, ANTHROPIC("authentication_error", "invalid x-api-key"), KB_INVALID,
      KEY, KB_NEXT_KEY, NONE },
    { "anthropic", 403, NULL, ANTHROPIC("permission_error", "m"), KB_PERMISSION, REQ, KB_NEXT_KEY,
      NONE },
    { "anthropic", 400, NULL, ANTHROPIC("organization_on_hold", "m"), KB_INVALID, ACCOUNT,
      KB_NEXT_KEY, NONE },
    { "anthropic", 402, NULL, ANTHROPIC("billing_error", "m"), KB_QUOTA, ACCOUNT, KB_NEXT_KEY,
      NONE },
    { "anthropic", 400, NULL,
      ANTHROPIC("invalid_request_error", "Your credit balance is too low to access the API."),
      KB_QUOTA, ACCOUNT, KB_NEXT_KEY, NONE },
    { "anthropic", 400, NULL,
      ANTHROPIC("invalid_request_error", "You have reached your specified API usage limits."),
      KB_QUOTA, ACCOUNT, KB_NEXT_KEY, NONE },
    { "anthropic", 429, NULL, ANTHROPIC("enforced_spend_limit_reached", "m"), KB_QUOTA, ACCOUNT,
      KB_NEXT_KEY, NONE },
    { "anthropic", 429,
      "date: Mon, 23 Nov 2026 18:00:00 GMT\r\nanthropic-ratelimit-requests-remaining: 0\r\n"
      "anthropic-ratelimit-requests-reset: 2026-11-23T18:00:20Z\r\n"
      "anthropic-ratelimit-tokens-remaining: 9\r\n"
      "anthropic-ratelimit-tokens-reset: 2026-11-23T18:01:00Z\r\n",
      ANTHROPIC("rate_limit_error", "m"), KB_RATE, ACCOUNT, KB_NEXT_KEY, 20000 },
    { "anthropic", 529, NULL, ANTHROPIC("overloaded_error", "Overloaded"), KB_OVERLOAD, ENDPOINT,
      KB_RETRY_LATER, NONE },
    { "anthropic", 413, NULL, ANTHROPIC("request_too_large", "m"), KB_REQUEST, REQ, KB_GIVE_UP,
      NONE },

    { "gemini", 400, NULL, GEMINI("400", "INVALID_ARGUMENT", INFO("API_KEY_INVALID")), KB_INVALID,
      KEY, KB_NEXT_KEY, NONE },
    { "gemini", 400, NULL, "[" GEMINI("400", "INVALID_ARGUMENT", INFO("API_KEY_INVALID")) "]",
      KB_INVALID, KEY, KB_NEXT_KEY, NONE },
    { "gemini", 400, NULL, GEMINI("400", "INVALID_ARGUMENT", ""), KB_REQUEST, REQ, KB_GIVE_UP,
      NONE },
    { "gemini", 401, NULL, GEMINI("401", "UNAUTHENTICATED", ""), KB_INVALID, KEY, KB_NEXT_KEY,
      NONE },
    { "gemini", 403, NULL, GEMINI("403", "PERMISSION_DENIED", ""), KB_PERMISSION, REQ, KB_NEXT_KEY,
      NONE },
    { "gemini", 402, NULL, GEMINI("402", "RESOURCE_EXHAUSTED", ""), KB_QUOTA, ACCOUNT, KB_NEXT_KEY,
      NONE },
    { "gemini", 429, NULL, GEMINI("429", "RESOURCE_EXHAUSTED", INFO("x") "," RETRY("13s")), KB_RATE,
      ACCOUNT, KB_NEXT_KEY, 13000 },
    { "gemini", 503, NULL, GEMINI("503", "UNAVAILABLE", ""), KB_OVERLOAD, ENDPOINT, KB_RETRY_LATER,
      NONE },

    { "mistral", 401, NULL, "{\"message\":\"Unauthorized\",\"request_id\":\"r\"}", KB_INVALID, KEY,
      KB_NEXT_KEY, NONE },
    { "mistral", 403, NULL, NULL, KB_PERMISSION, REQ, KB_NEXT_KEY, NONE },
    { "mistral", 402, NULL, NULL, KB_QUOTA, ACCOUNT, KB_NEXT_KEY, NONE },
    { "mistral", 429, NULL, PLAIN("1300", "Rate limit exceeded"), KB_RATE, ACCOUNT, KB_NEXT_KEY,
      NONE },
    { "mistral", 429, NULL, PLAIN("3505", "Service tier capacity exceeded for this model."),
      KB_OVERLOAD, ENDPOINT, KB_RETRY_LATER, NONE },

    { "deepseek", 401, NULL, NULL, KB_INVALID, KEY, KB_NEXT_KEY, NONE },
    { "deepseek", 402, NULL, OPENAI("unknown_error", "invalid_request_error", "Insufficient"),
      KB_QUOTA, ACCOUNT, KB_NEXT_KEY, NONE },
    { "deepseek", 429, NULL, NULL, KB_RATE, KEY, KB_NEXT_KEY, NONE },
    { "deepseek", 422, NULL, NULL, KB_REQUEST, REQ, KB_GIVE_UP, NONE },

    { "groq", 400, NULL,
      OPENAI("invalid_request_error", "organization_restricted",
             "Organization has been restricted"),
      KB_INVALID, ACCOUNT, KB_NEXT_KEY, NONE },
    { "groq", 403, NULL, NULL, KB_PERMISSION, REQ, KB_NEXT_KEY, NONE },
    { "groq", 429, "x-ratelimit-reset-tokens: 7.66s\r\n", NULL, KB_RATE, ACCOUNT, KB_NEXT_KEY,
      7660 },
    { "groq", 498, NULL, NULL, KB_OVERLOAD, ENDPOINT, KB_RETRY_LATER, NONE },

    { "cohere", 401, NULL, "{\"message\":\"invalid api token\"}", KB_INVALID, KEY, KB_NEXT_KEY,
      NONE },
    { "cohere", 402, NULL, NULL, KB_QUOTA, ACCOUNT, KB_NEXT_KEY, NONE },
    { "cohere", 429, NULL, NULL, KB_RATE, KEY, KB_NEXT_KEY, NONE },

    { "xai", 400, NULL,
      "{\"code\":\"Client specified an invalid argument\",\"error\":\"Incorrect API key provided: "
      "xa***yz. You can obtain one at the console.\"}",
      KB_INVALID, KEY, KB_NEXT_KEY, NONE },
    { "xai", 400, NULL, "{\"code\":\"x\",\"error\":\"Model not found\"}", KB_REQUEST, REQ,
      KB_GIVE_UP, NONE },
    { "xai", 403, NULL, NULL, KB_PERMISSION, REQ, KB_NEXT_KEY, NONE },
    { "xai", 429, NULL, NULL, KB_RATE, ACCOUNT, KB_NEXT_KEY, NONE },

    { "openrouter", 401, NULL, OPENROUTER("401", "No auth"), KB_INVALID, KEY, KB_NEXT_KEY, NONE },
    { "openrouter", 402, NULL, OPENROUTER("402", "More credits"), KB_QUOTA, ACCOUNT, KB_NEXT_KEY,
      NONE },
    { "openrouter", 403, NULL, OPENROUTER("403", "flagged"), KB_REQUEST, REQ, KB_GIVE_UP, NONE },
    { "openrouter", 200, NULL, OPENROUTER("402", "More credits"), KB_QUOTA, ACCOUNT, KB_NEXT_KEY,
      NONE },
    { "openrouter", 200, SECONDS("4"), OPENROUTER("429", "slow"), KB_RATE, ACCOUNT, KB_NEXT_KEY,
      4000 },
    { "openrouter", 200, NULL, OPENROUTER("502", "down"), KB_OVERLOAD, ENDPOINT, KB_RETRY_LATER,
      NONE },
    { "openrouter", 200, NULL, OPENROUTER("400", "bad"), KB_REQUEST, REQ, KB_GIVE_UP, NONE },
    { "openrouter", 200, "content-type: text/event-stream\r\n",
      ": OPENROUTER PROCESSING\n\ndata: " OPENROUTER("402", "More credits") "\n\n", KB_QUOTA,
      ACCOUNT, KB_NEXT_KEY, NONE },
    { "openrouter", 200, NULL, "{\"choices\":[{\"message\":{\"content\":\"429\"}}]}", KB_SUCCESS,
      REQ, KB_OK, NONE },
    { "openrouter", 502, NULL, NULL, KB_OVERLOAD, ENDPOINT, KB_RETRY_LATER, NONE },

    { "together", 403, NULL, NULL, KB_REQUEST, REQ, KB_GIVE_UP, NONE },
    { "together", 402, NULL, NULL, KB_QUOTA, ACCOUNT, KB_NEXT_KEY, NONE },
    { "together", 429, NULL, NULL, KB_RATE, KEY, KB_NEXT_KEY, NONE },

    { "bedrock", 403, "x-amzn-ErrorType: InvalidClientTokenId:http://x/\r\n", NULL, KB_INVALID, KEY,
      KB_NEXT_KEY, NONE },
    { "bedrock", 403, NULL, AWS("a.b#InvalidClientTokenId", "m"), KB_INVALID, KEY, KB_NEXT_KEY,
      NONE },
    { "bedrock", 400, NULL, AWS("ServiceQuotaExceededException", "m"), KB_QUOTA, ACCOUNT,
      KB_NEXT_KEY, NONE },
    { "bedrock", 429, NULL, AWS("ThrottlingException", "m"), KB_RATE, KEY, KB_NEXT_KEY, NONE },
    { "bedrock", 503, NULL, NULL, KB_OVERLOAD, ENDPOINT, KB_RETRY_LATER, NONE },

    { "dashscope", 401, NULL, PLAIN("InvalidApiKey", "m"), KB_INVALID, KEY, KB_NEXT_KEY, NONE },
    { "dashscope", 400, NULL, PLAIN("Arrearage", "m"), KB_QUOTA, ACCOUNT, KB_NEXT_KEY, NONE },
    { "dashscope", 429, NULL, PLAIN("Throttling.RateQuota", "m"), KB_RATE, KEY, KB_NEXT_KEY, NONE },
    { "dashscope", 429, NULL, OPENAI("insufficient_quota", "insufficient_quota", "m"), KB_RATE, KEY,
      KB_NEXT_KEY, NONE },

    { "moonshot", 401, NULL, NULL, KB_INVALID, KEY, KB_NEXT_KEY, NONE },
    { "moonshot", 403, NULL, NULL, KB_QUOTA, ACCOUNT, KB_NEXT_KEY, NONE },
    { "moonshot", 429, NULL, NULL, KB_RATE, KEY, KB_NEXT_KEY, NONE },

    { "generic", 401, NULL, NULL, KB_INVALID, KEY, KB_NEXT_KEY, NONE },
    { "generic", 403, NULL, NULL, KB_PERMISSION, REQ, KB_NEXT_KEY, NONE },
    { "generic", 402, NULL, NULL, KB_QUOTA, ACCOUNT, KB_NEXT_KEY, NONE },
    { "generic", 429, NULL, OPENAI("x", "insufficient_quota", "m"), KB_QUOTA, ACCOUNT, KB_NEXT_KEY,
      NONE },
    { "generic", 429, NULL, NULL, KB_RATE, KEY, KB_NEXT_KEY, NONE },
    { "generic", 504, NULL, "<html>", KB_OVERLOAD, ENDPOINT, KB_RETRY_LATER, NONE },
};

/* What looks like another failure than it is. */
static const struct row TRAPS[] = {
    { "openai", 400, "x-request-id: invalid_api_key\r\n",
      OPENAI("invalid_request_error", "invalid_value",
             "Invalid content: {\\\"code\\\":\\\"insufficient_quota\\\"} invalid api key quota"),
      KB_REQUEST, REQ, KB_GIVE_UP, NONE },
    { "openai", 429, "x-request-id: insufficient_quota\r\n",
      OPENAI("requests", "rate_limit_exceeded", "Rate limit; this is not insufficient_quota"),
      KB_RATE, ACCOUNT, KB_NEXT_KEY, NONE },
    { "openai", 429, NULL,
      "{\"error\":{\"message\":\"m\",\"type\":\"requests\",\"code\":null,\"param\":"
      "\"insufficient_quota\",\"request\":{\"code\":\"insufficient_quota\"}}}",
      KB_RATE, ACCOUNT, KB_NEXT_KEY, NONE },
    { "openai", 429, NULL, OPENAI("insufficient_quota_soon", "my_insufficient_quota", "m"), KB_RATE,
      ACCOUNT, KB_NEXT_KEY, NONE },
    { "openai", 429, NULL, "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"cut", KB_RATE,
      ACCOUNT, KB_NEXT_KEY, NONE },
    { "openai", 429, NULL, "<html>\"code\":\"insufficient_quota\"</html>", KB_RATE, ACCOUNT,
      KB_NEXT_KEY, NONE },
    { "openai", 502, NULL, "<html>invalid_api_key</html>", KB_OVERLOAD, ENDPOINT, KB_RETRY_LATER,
      NONE },
    { "openai", 200, NULL, OPENAI("insufficient_quota", "insufficient_quota", "m"), KB_SUCCESS, REQ,
      KB_OK, NONE },
    { "anthropic", 400, NULL,
      ANTHROPIC("invalid_request_error",
                "messages.0: unexpected value 'your credit balance is too low'"),
      KB_REQUEST, REQ, KB_GIVE_UP, NONE },
    { "anthropic", 400, NULL,
      ANTHROPIC(
          "invalid_request_error",
          "messages.0: don't send \\\"credit balance is too low\\\" or `credit balance is too "
          "low`, that's wrong"),
      KB_REQUEST, REQ, KB_GIVE_UP, NONE },
    { "anthropic", 400, NULL,
      ANTHROPIC("invalid_request_error", "We're sorry: your credit balance is too low, isn't it"),
      KB_QUOTA, ACCOUNT, KB_NEXT_KEY, NONE },
    { "anthropic", 404, NULL, ANTHROPIC("not_found_error", "credit balance is too low"), KB_REQUEST,
      REQ, KB_GIVE_UP, NONE },
    { "gemini", 400, NULL,
      "{\"error\":{\"code\":400,\"message\":\"API_KEY_INVALID\",\"status\":\"INVALID_ARGUMENT\","
      "\"details\":[{\"@type\":\"x\",\"description\":\"API_KEY_INVALID\"}]}}",
      KB_REQUEST, REQ, KB_GIVE_UP, NONE },
    { "openrouter", 200, NULL,
      "{\"choices\":[{\"message\":{\"content\":\"{\\\"error\\\":{\\\"code\\\":402}}\"}}],"
      "\"code\":402,\"error\":null}",
      KB_SUCCESS, REQ, KB_OK, NONE },
    { "openrouter", 200, NULL, "data: {\"choices\":[]}\n\ndata: {\"error\":{\"code\":402}}\n",
      KB_SUCCESS, REQ, KB_OK, NONE },
    { "generic", 429, NULL, "\x1f\x8b\x08{\"error\":{\"code\":\"insufficient_quota\"}}", KB_RATE,
      KEY, KB_NEXT_KEY, NONE },
    { "generic", 429, NULL, "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"\xff\"}}",
      KB_RATE, KEY, KB_NEXT_KEY, NONE },
};

static struct kbi_rules *rules_of(const char *vendor) {
    char text[KB_RULES_MAX * KB_RULE_LINE_MAX] = "";
    for (const char *const *line = vendor_rules(vendor_find(vendor)); *line; line++)
        strcat(strcat(text, *line), "\n");
    return kbi_rules_new(text);
}

static void judge(const struct row *row, const struct fixture_pool *fixture) {
    kb_reader *reader = fixture_pool_reader(fixture);
    kb_http_response response = KB_HTTP_RESPONSE_INIT;
    kb_report_info info = KB_REPORT_INFO_INIT;
    char name[200];
    kbi_rules_free(reader->catalog->rules);
    reader->catalog->rules = rules_of(row->vendor);
    response.status = row->status;
    response.headers = row->headers;
    response.body = row->body;
    response.body_len = row->body ? strlen(row->body) : 0;
    kb_verdict verdict =
        kb_report_http(reader, (kb_ticket){ 1, fixture->generation }, &response, &info);
    snprintf(name, sizeof name, "%s %d %.100s", row->vendor, row->status,
             row->body ? row->body : "");
    cr_expect_eq(info.outcome, row->outcome, "%s: class %d", name, (int)info.outcome);
    cr_expect_eq(info.scope, row->scope, "%s: scope %d", name, (int)info.scope);
    cr_expect_eq(verdict, row->verdict, "%s: verdict %d", name, (int)verdict);
    cr_expect_eq(info.wait_ms, row->wait_ms, "%s: wait %" PRIu64, name, info.wait_ms);
    kb_close(reader);
}

static void judge_all(const struct row *rows, size_t count) {
    struct fixture_pool fixture;
    fixture_pool_init(&fixture, KEYS, STRATEGY_PRIORITY, NULL);
    for (size_t i = 0; i < count; i++)
        judge(&rows[i], &fixture);
    fixture_pool_deinit(&fixture);
}

Test(classify, every_vendors_answers_are_understood, .timeout = 60) {
    judge_all(ANSWERS, sizeof ANSWERS / sizeof *ANSWERS);
}

Test(classify, an_answer_that_quotes_a_failure_is_not_that_failure, .timeout = 60) {
    judge_all(TRAPS, sizeof TRAPS / sizeof *TRAPS);
}

Test(classify, every_rule_of_every_vendor_can_be_read) {
    for (size_t i = 0; vendor_at(i); i++) {
        size_t lines = 0;
        for (const char *const *line = vendor_rules(vendor_at(i)); line[lines];)
            lines++;
        struct kbi_rules *rules = rules_of(vendor_at(i)->name);
        cr_assert_eq(rules->count, lines, "%s", vendor_at(i)->name);
        kbi_rules_free(rules);
    }
}

/* ---- the rules themselves ---- */

static struct kbi_finding find(const char *text, int status, const char *headers,
                               const char *body) {
    struct kbi_rules *rules = text ? kbi_rules_new(text) : NULL;
    struct kbi_response response;
    kb_http_response raw = KB_HTTP_RESPONSE_INIT;
    raw.status = status;
    raw.headers = headers;
    raw.body = body;
    raw.body_len = strlen(body);
    kbi_response_init(&response, &raw, true, true);
    struct kbi_finding finding = kbi_classify(rules, &response);
    kbi_response_deinit(&response);
    kbi_rules_free(rules);
    return finding;
}

#define FIELDS                                                                                     \
    "{\"error\":{\"code\":\"The_Code\",\"type\":\"the_type\",\"status\":\"the_status\","           \
    "\"message\":\"The Message\",\"reason\":\"the_reason\"}}"

Test(classify, the_first_rule_that_matches_decides) {
    cr_assert_eq(find("4xx rate\n400 quota\n", 400, NULL, "").outcome, KB_RATE);
    cr_assert_eq(find("401 quota\n4xx rate\n", 400, NULL, "").outcome, KB_RATE);
    cr_assert_eq(find("401 quota\n", 400, NULL, "").outcome, KB_REQUEST);
    cr_assert_not(find("401 quota\n", 400, NULL, "").by_rule);
    cr_assert_eq(find("* success\n", 500, NULL, "").outcome, KB_SUCCESS);
    cr_assert_eq(find("* quota\n", 0, NULL, "").outcome, KB_NETWORK, "there was no answer");
}

Test(classify, each_field_is_compared_whole_and_in_any_case) {
    static const struct {
        const char *condition, *code;
    } CASES[] = {
        { "code=the_code", "The_Code" },
        { "type=THE_TYPE", "the_type" },
        { "status=the_status", "the_status" },
        { "reason=the_reason", "the_reason" },
        { "any=the_code", "The_Code" },
        { "any=the_type", "the_type" },
        { "any=the_status", "the_status" },
        { "any=the_reason", "the_reason" },
        { "code=the_*", "The_Code" },
        { "message=\"he mess\"", "The_Code" },
        { "header:X-Kind=Slow", "slow" },
        { "header:x-kind=sl*", "slow" },
        { "code=the_cod", NULL },
        { "code=the_code_", NULL },
        { "code=the_type", NULL },
        { "type=the_code", NULL },
        { "any=\"the message\"", NULL },
        { "header:x-kind=slo", NULL },
        { "header:x-kin=slow", NULL },
        { "message=the_code", NULL },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char rule[100];
        snprintf(rule, sizeof rule, "400 %s quota key", CASES[i].condition);
        struct kbi_finding finding = find(rule, 400, "x-kind: slow\r\n", FIELDS);
        cr_expect_eq(finding.by_rule, CASES[i].code != NULL, "%s", rule);
        if (CASES[i].code) {
            cr_expect_eq(finding.outcome, KB_QUOTA, "%s", rule);
            cr_expect_eq(finding.scope, KB_SCOPE_KEY, "%s", rule);
            cr_expect_str_eq(finding.code, CASES[i].code, "%s", rule);
        }
    }
}

Test(classify, lines_that_cannot_be_read_are_left_out) {
    struct kbi_rules *rules = kbi_rules_new("\nnonsense\n400 code=a quota\n\n500 new=b other\n4xx "
                                            "rate");
    cr_assert_eq(rules->count, 2);
    kbi_rules_free(rules);
    char many[200 * 10] = "";
    for (int i = 0; i < 200; i++)
        strcat(many, "4xx rate\n");
    rules = kbi_rules_new(many);
    cr_assert_eq(rules->count, KB_RULES_MAX);
    kbi_rules_free(rules);
    rules = kbi_rules_new("");
    cr_assert_eq(rules->count, 0);
    kbi_rules_free(rules);
}

Test(classify, a_good_answers_body_is_wanted_only_by_rules_about_it) {
    static const struct {
        const char *rules;
        bool headers, body;
    } CASES[] = {
        { "4xx code=a quota\n5xx overload\n", false, false },
        { "2xx success\n", false, false },
        { "200 code=402 quota\n", false, true },
        { "* any=a quota\n", false, true },
        { "2xx header:x=y quota\n", true, false },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct kbi_rules *rules = kbi_rules_new(CASES[i].rules);
        cr_expect_eq(rules->good_needs_headers, CASES[i].headers, "%s", CASES[i].rules);
        cr_expect_eq(rules->good_needs_body, CASES[i].body, "%s", CASES[i].rules);
        kbi_rules_free(rules);
    }
}

Test(classify, the_status_decides_when_no_rule_does) {
    static const struct {
        int status;
        kb_outcome outcome;
    } CASES[] = {
        { -1, KB_NETWORK },   { 0, KB_NETWORK },      { 101, KB_SUCCESS },  { 200, KB_SUCCESS },
        { 204, KB_SUCCESS },  { 302, KB_REQUEST },    { 400, KB_REQUEST },  { 401, KB_INVALID },
        { 402, KB_QUOTA },    { 403, KB_PERMISSION }, { 404, KB_REQUEST },  { 408, KB_OVERLOAD },
        { 429, KB_RATE },     { 499, KB_REQUEST },    { 500, KB_OVERLOAD }, { 529, KB_OVERLOAD },
        { 700, KB_OVERLOAD },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        cr_expect_eq(find(NULL, CASES[i].status, NULL, FIELDS).outcome, CASES[i].outcome, "%d",
                     CASES[i].status);
}

Test(classify, the_vendors_code_is_printable_and_bounded) {
    cr_assert_str_eq(find(NULL, 400, NULL, "{\"error\":{\"code\":\"a\\nb\\u00e9\"}}").code,
                     "a?b??");
    cr_assert_str_eq(find(NULL, 400, NULL, "{\"error\":{\"code\":400,\"status\":\"S\"}}").code,
                     "S");
    cr_assert_str_eq(find(NULL, 400, NULL, "{\"error\":{\"code\":400}}").code, "400");
    char body[300];
    snprintf(body, sizeof body, "{\"error\":{\"code\":\"x%0*d\"}}", 200, 0);
    cr_assert_eq(strlen(find(NULL, 400, NULL, body).code), 63);
}
