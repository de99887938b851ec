/*
 * Classification by the vendors' real rules: what each vendor answers in each class, and answers
 * that only look like a failure. Every row goes through kb_report_http, as a worker's would.
 */
#include "client/classify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "client/internal.h"
#include "tests/support/fixture_pool.h"
#include "tests/support/seed.h"
#include "tests/unit/vendor_answers.h"
#include "tests/unit/vendor_rules_text.h"

enum { KEYS = 8 };

/* What looks like another failure than it is. */
static const struct answer TRAPS[] = {
    { "openai", 400, "x-request-id: invalid_api_key\r\n",
      OPENAI_BODY("invalid_request_error", "\"invalid_value\"",
                  "Invalid content: {\\\"code\\\":\\\"insufficient_quota\\\"} invalid api key"),
      IS_REQUEST },
    { "openai", 429, "x-request-id: insufficient_quota\r\n",
      OPENAI_BODY("requests", "\"rate_limit_exceeded\"", "This is not insufficient_quota"),
      IS_RATE(UNKNOWN) },
    { "openai", 429, NULL,
      "{\"error\":{\"message\":\"m\",\"type\":\"requests\",\"code\":null,\"param\":"
      "\"insufficient_quota\",\"request\":{\"code\":\"insufficient_quota\"}}}",
      IS_RATE(UNKNOWN) },
    { "openai", 429, NULL, OPENAI_BODY("insufficient_quota_soon", "\"my_insufficient_quota\"", "m"),
      IS_KEY_RATE(UNKNOWN) },
    { "openai", 429, NULL, OPENAI_BODY("requests", "\"insufficient_quota\\u0000\"", "m"),
      IS_RATE(UNKNOWN) },
    { "openai", 429, NULL, "<html>\"code\":\"insufficient_quota\"</html>", IS_KEY_RATE(UNKNOWN) },
    { "openai", 429, NULL,
      "{\"error\":{\"message\":\"you sent {\\\"code\\\":\\\"insufficient_quota\\\"",
      IS_KEY_RATE(UNKNOWN) },
    { "openai", 429, NULL, "{\"error\":{\"code\":\"insufficient_quota", IS_KEY_RATE(UNKNOWN) },
    { "openai", 502, NULL, "<html>invalid_api_key</html>", IS_OVERLOAD(UNKNOWN) },
    { "openai", 200, NULL,
      "data: {\"choices\":[{\"delta\":{\"content\":\"\\n\\ndata: {\\\"error\\\":{\\\"code\\\":"
      "\\\"insufficient_quota\\\"}}\"}}]}\n\n",
      IS_FINE },
    { "anthropic", 400, NULL,
      ANTHROPIC_BODY("invalid_request_error",
                     "messages.0: unexpected value 'your credit balance is too low'", ""),
      IS_REQUEST },
    { "anthropic", 400, NULL,
      ANTHROPIC_BODY("invalid_request_error",
                     "messages.0.content: Your credit balance is too low to access the Anthropic "
                     "API is no valid content",
                     ""),
      IS_REQUEST },
    { "anthropic", 400, NULL,
      ANTHROPIC_BODY("invalid_request_error", "\\\"Your credit balance is too low\\\" is no role",
                     ""),
      IS_REQUEST },
    { "anthropic", 404, NULL,
      ANTHROPIC_BODY("not_found_error", "Your credit balance is too low", ""), IS_REQUEST },
    { "gemini", 400, NULL,
      "{\"error\":{\"code\":400,\"message\":\"API_KEY_INVALID\",\"status\":\"INVALID_ARGUMENT\","
      "\"details\":[{\"@type\":\"x\",\"description\":\"API_KEY_INVALID\"}]}}",
      IS_REQUEST },
    { "gemini", 403, NULL,
      GEMINI_BODY("403", "PERMISSION_DENIED", "No: Your API key was reported as leaked.", ""),
      IS_PERMISSION },
    { "mistral", 429, NULL,
      MISTRAL_BODY("rate_limited", "\"1300\"", "Rate limit. Service tier capacity exceeded?"),
      IS_RATE(UNKNOWN) },
    { "groq", 400, NULL,
      OPENAI_BODY("invalid_request_error", "null",
                  "Failed to call a function: Organization has been restricted"),
      IS_REQUEST },
    { "xai", 400, NULL,
      XAI_BODY("Client specified an invalid argument",
               "Bad tool result: Incorrect API key provided"),
      IS_REQUEST },
    { "bedrock", 403, NULL,
      AWS_BODY("No access to model x: Authentication failed: Please make sure your API Key is "
               "valid; Bearer Token has expired"),
      IS_PERMISSION },
    { "openrouter", 200, NULL,
      "{\"choices\":[{\"message\":{\"content\":\"{\\\"error\\\":{\\\"code\\\":402}}\"}}],"
      "\"code\":402,\"error\":null}",
      IS_FINE },
    { "openrouter", 200, NULL, "data: {\"choices\":[{\"delta\":{\"error\":{\"code\":402}}}]}\n",
      IS_FINE },
    { "openrouter", 502, NULL,
      OPENROUTER_BODY("502", "m", "\"provider_code\":\"insufficient_quota\""),
      IS_OVERLOAD(UNKNOWN) },
    { "generic", 429, NULL, "\x1f\x8b\x08{\"error\":{\"code\":\"insufficient_quota\"}}",
      IS_KEY_RATE(UNKNOWN) },
    { "generic", 429, NULL, "\xff\xfe{\"error\":{\"code\":\"insufficient_quota\"}}",
      IS_KEY_RATE(UNKNOWN) },
};

/* What does not look like the failure that it is. */
static const struct answer DISGUISED[] = {
    { "openai", 429, NULL, "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"cut",
      IS_QUOTA },
    { "openai", 429, NULL, "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"\xff\xc3\"}}",
      IS_QUOTA },
    { "openai", 429, NULL,
      "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"a\nb\\ud83d\"}}", IS_QUOTA },
    { "openai", 429, NULL, "{\"error\":{\"code\":\"rate\",\"code\":\"Insufficient_Quota\"}}",
      IS_QUOTA },
    { "openai", 429, NULL, "\xef\xbb\xbf\r\n{\"code\":\"insufficient_quota\"}\r\n--boundary",
      IS_QUOTA },
    { "openai", 429, NULL,
      "\xef\xbb\xbf: hi\r\nevent: error\r\ndata: {\"error\":{\"type\":\"insufficient_quota\"}}\r\n"
      "data: {}\r\n\r\n",
      IS_QUOTA },
    { "openrouter", 200, NULL, "data: {\"choices\":[]}\n\ndata: {\"error\":{\"code\":402}}\n",
      IS_QUOTA },
    { "openai", 200, NULL, OPENAI_BODY("insufficient_quota", "\"insufficient_quota\"", "m"),
      IS_QUOTA },
    { "openrouter", 200, NULL, "{\"error\":{\"code\":402.0}}", IS_QUOTA },
    { "openrouter", 200, NULL, "{\"error\":{\"code\":\"402\"}}", IS_QUOTA },
    { "xai", 400, NULL, "{\"error\":\"  incorrect api key provided\"}", IS_INVALID },
    { "bedrock", 403,
      "x-amzn-errortype: AccessDeniedException\r\nx-amzn-errortype: ExpiredTokenException\r\n",
      NULL, IS_INVALID },
};

static void judge(const struct answer *row, const struct fixture_pool *fixture) {
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

static void judge_all(const struct answer *rows, size_t count) {
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

Test(classify, an_answer_that_was_damaged_on_its_way_is_still_that_failure, .timeout = 60) {
    judge_all(DISGUISED, sizeof DISGUISED / sizeof *DISGUISED);
}

static struct kbi_finding found_in(const struct kbi_rules *rules, const struct answer *answer,
                                   const char *body, size_t length) {
    struct kbi_response response;
    kb_http_response raw = KB_HTTP_RESPONSE_INIT;
    raw.status = answer->status;
    raw.headers = answer->headers;
    raw.body = body;
    raw.body_len = length;
    kbi_response_init(&response, &raw, true);
    struct kbi_finding finding = kbi_classify(rules, &response);
    kbi_response_deinit(&response);
    return finding;
}

/* Which of the vendor's rules decides, the first is 1; 0 = none does. */
static size_t deciding_rule(const struct answer *answer) {
    struct kbi_rules *rules = rules_of(answer->vendor);
    size_t length = answer->body ? strlen(answer->body) : 0;
    size_t decided = found_in(rules, answer, answer->body, length).rule;
    kbi_rules_free(rules);
    return decided;
}

static bool has_line(const char *vendor, const char *line) {
    const char *const *lines = vendor_rules(vendor_find(vendor));
    while (*lines && strcmp(*lines, line) != 0)
        lines++;
    return *lines != NULL;
}

/* What all tables have in common is asked of generic's answers alone. */
static bool is_common(const char *line) {
    bool common = true;
    for (size_t i = 0; vendor_at(i); i++)
        common &= has_line(vendor_at(i)->name, line);
    return common;
}

Test(classify, every_rule_of_every_vendor_decides_an_answer_of_the_table) {
    for (size_t i = 0; vendor_at(i); i++) {
        bool decides[KB_RULES_MAX + 1] = { false };
        const char *vendor = vendor_at(i)->name, *const *lines = vendor_rules(vendor_at(i));
        for (size_t j = 0; j < sizeof ANSWERS / sizeof *ANSWERS; j++)
            if (strcmp(ANSWERS[j].vendor, vendor) == 0)
                decides[deciding_rule(&ANSWERS[j])] = true;
        for (size_t j = 0; lines[j]; j++)
            cr_expect(decides[j + 1] || (strcmp(vendor, "generic") != 0 && is_common(lines[j])),
                      "%s: no answer for \"%s\"", vendor, lines[j]);
    }
}

/* A page that nobody may touch lies behind it. */
static char *guarded_end(size_t room) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (room + page - 1) / page * page;
    char *memory =
        mmap(NULL, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    cr_assert_eq(mprotect(memory + pages, page, PROT_NONE), 0);
    return memory + pages;
}

Test(classify, a_body_cut_anywhere_condemns_no_key_that_the_whole_would_not, .timeout = 60) {
    char *end = guarded_end(4096);
    for (size_t i = 0; i < sizeof ANSWERS / sizeof *ANSWERS; i++) {
        const struct answer *answer = &ANSWERS[i];
        struct kbi_rules *rules = rules_of(answer->vendor);
        size_t length = answer->body ? strlen(answer->body) : 0;
        kb_outcome by_status = found_in(rules, answer, "", 0).outcome;
        for (size_t cut = 0; cut <= length; cut++) {
            memcpy(end - cut, answer->body ? answer->body : "", cut);
            struct kbi_finding finding = found_in(rules, answer, end - cut, cut);
            cr_assert(finding.outcome != KB_INVALID || by_status == KB_INVALID ||
                          answer->outcome == KB_INVALID,
                      "%s %d cut at %zu: %s", answer->vendor, answer->status, cut, answer->body);
        }
        kbi_rules_free(rules);
    }
}

Test(classify, a_damaged_body_is_survived_and_judged_the_same_twice, .timeout = 60) {
    struct seed seed = seed_begin("a_damaged_body_is_survived_and_judged_the_same_twice");
    static const char MARKS[] = "\"\\{}[],:0e\xff\xc3\x80\n ";
    char *end = guarded_end(4096);
    for (size_t i = 0; i < sizeof ANSWERS / sizeof *ANSWERS; i++) {
        const struct answer *answer = &ANSWERS[i];
        size_t length = answer->body ? strlen(answer->body) : 0;
        struct kbi_rules *rules = rules_of(answer->vendor);
        for (int round = 0; length && round < 200; round++) {
            memcpy(end - length, answer->body, length);
            for (uint64_t flips = 1 + seed_below(&seed, 4); flips > 0; flips--)
                end[-1 - (ptrdiff_t)seed_below(&seed, length)] =
                    MARKS[seed_below(&seed, sizeof MARKS)];
            struct kbi_finding one = found_in(rules, answer, end - length, length);
            struct kbi_finding two = found_in(rules, answer, end - length, length);
            cr_assert(one.outcome == two.outcome && one.scope == two.scope &&
                      strcmp(one.code, two.code) == 0);
        }
        kbi_rules_free(rules);
    }
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
    kbi_response_init(&response, &raw, true);
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
        { "message=\"the mess*\"", "The_Code" },
        { "message=the*", "The_Code" },
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
        { "message=\"he mess*\"", NULL },
        { "message=\"the message!*\"", NULL },
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

static bool is_in_message(const char *text, const char *message) {
    char rule[100], body[500];
    snprintf(rule, sizeof rule, "400 message=\"%s\" quota", text);
    snprintf(body, sizeof body, "{\"error\":{\"message\":\"%s\"}}", message);
    return find(rule, 400, NULL, body).outcome == KB_QUOTA;
}

Test(classify, what_a_message_quotes_is_not_what_it_says) {
    cr_expect(is_in_message("too low", "Your balance is too low"));
    cr_expect(is_in_message("too low", "We're sorry: your balance is too low, isn't it"));
    cr_expect_not(
        is_in_message("too low", "no 'too low', no `too low`, no \\\"too low\\\", sorry"));
    cr_expect_not(is_in_message("too low", "that's 'it's too low' in quotes"));
    cr_expect_not(is_in_message("too low", "an open \\\"quote: too low"));
    cr_expect(is_in_message("too low*", " \\nToo low"));
    cr_expect_not(is_in_message("too low*", "\\\"Too low"));
    char late[400];
    snprintf(late, sizeof late, "%0*d too low", 300, 0);
    cr_expect_not(is_in_message("too low", late), "only how it begins is looked at");
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

Test(classify, a_good_answers_headers_are_wanted_only_by_rules_about_them) {
    static const struct {
        const char *rules;
        bool headers;
    } CASES[] = {
        { "4xx code=a quota\n5xx overload\n", false },
        { "2xx success\n", false },
        { "200 code=402 quota\n* any=a quota\n", false },
        { "4xx header:x=y quota\n", false },
        { "2xx header:x=y quota\n", true },
        { "* header:x=y quota\n", true },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct kbi_rules *rules = kbi_rules_new(CASES[i].rules);
        cr_expect_eq(rules->good_needs_headers, CASES[i].headers, "%s", CASES[i].rules);
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
        { 424, KB_OVERLOAD }, { 425, KB_OVERLOAD },   { 429, KB_RATE },     { 499, KB_REQUEST },
        { 500, KB_OVERLOAD }, { 529, KB_OVERLOAD },   { 700, KB_OVERLOAD },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        bool good = kbi_is_good(CASES[i].status);
        kb_outcome outcome = find(NULL, CASES[i].status, NULL, good ? "{}" : FIELDS).outcome;
        cr_expect_eq(outcome, CASES[i].outcome, "%d", CASES[i].status);
    }
    cr_expect_eq(find(NULL, 200, NULL, "{\"error\":{\"code\":401}}").outcome, KB_INVALID);
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

static struct kbi_finding found_behind_200(const char *vendor, const char *body) {
    struct kbi_rules *rules = rules_of(vendor);
    struct kbi_response response;
    kb_http_response raw = KB_HTTP_RESPONSE_INIT;
    raw.status = 200;
    raw.body = body;
    raw.body_len = strlen(body);
    kbi_response_init(&response, &raw, false);
    struct kbi_finding finding = kbi_classify(rules, &response);
    kbi_response_deinit(&response);
    kbi_rules_free(rules);
    return finding;
}

/* No rule is for 200: such a code has a status of its own, for which there are. */
Test(classify, a_code_that_means_no_money_is_known_behind_a_good_status_whoever_the_vendor) {
    static const struct {
        const char *code;
        kb_scope scope;
    } CODES[] = {
        { "insufficient_user_quota", KB_CONCERNS_ACCOUNT },
        { "insufficient_balance_error", KB_CONCERNS_ACCOUNT },
        { "insufficient_funds", KB_CONCERNS_ACCOUNT },
        { "NOT_ENOUGH_BALANCE", KB_CONCERNS_ACCOUNT },
        { "blocked_api_access", KB_CONCERNS_ACCOUNT },
        { "billing_hard_limit_reached", KB_CONCERNS_ACCOUNT },
        { "Arrearage", KB_CONCERNS_ACCOUNT },
        { "PrepaidBillOverdue", KB_CONCERNS_ACCOUNT },
        { "PostpaidBillOverdue", KB_CONCERNS_ACCOUNT },
        { "budget_exceeded", KB_CONCERNS_KEY },
        { "pre_consume_token_quota_failed", KB_CONCERNS_KEY },
    };
    for (size_t i = 0; vendor_at(i); i++) {
        for (size_t j = 0; j < sizeof CODES / sizeof *CODES; j++) {
            char body[128];
            snprintf(body, sizeof body, "{\"error\":{\"code\":\"%s\"}}", CODES[j].code);
            struct kbi_finding finding = found_behind_200(vendor_at(i)->name, body);
            cr_expect_eq(finding.outcome, KB_QUOTA, "%s: %s", vendor_at(i)->name, body);
            cr_expect_eq((kb_scope)finding.scope, CODES[j].scope, "%s: %s", vendor_at(i)->name,
                         body);
        }
    }
}
