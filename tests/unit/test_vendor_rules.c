/*
 * The vendors' rules: every line is one, each table ends as it must, and what the vendors' facts
 * force stands in them. A small judge stands in for the library's: it takes a status and one place
 * with its text.
 */
#include "vendor_rules.h"

#include <stdio.h>
#include <strings.h>

#include <criterion/criterion.h>

#include <keybroker_shared/rules.h>

/* What an answer has where a rule may look. */
struct answer {
    unsigned status;
    const char *where; /* "code", "message", "header:name" …; "" = an answer without a body */
    const char *text;
};

static bool found(const struct kb_rule *rule, const struct answer *answer) {
    static const char *const WHERE[] = { "code", "type", "status", "reason" };
    if (rule->where == KB_WHERE_NOWHERE)
        return true;
    if (rule->where == KB_WHERE_MESSAGE)
        return strcmp(answer->where, "message") == 0 &&
               (rule->prefix ? strncasecmp(answer->text, rule->text, strlen(rule->text)) == 0
                             : strcasestr(answer->text, rule->text) != NULL);
    bool here = false;
    if (rule->where == KB_WHERE_HEADER)
        here = strncmp(answer->where, "header:", 7) == 0 &&
               strcasecmp(answer->where + 7, rule->header) == 0;
    for (unsigned i = 0; i < 4; i++)
        here |= strcmp(answer->where, WHERE[i]) == 0 &&
                (rule->where == KB_WHERE_ANY || rule->where == KB_WHERE_CODE + i);
    return here && (rule->prefix ? strncasecmp(answer->text, rule->text, strlen(rule->text))
                                 : strcasecmp(answer->text, rule->text)) == 0;
}

static struct kb_rule parsed(const char *vendor, const char *line) {
    struct kb_rule rule;
    const char *problem = kb_rule_parse(line, &rule);
    cr_assert_null(problem, "%s: %s: %s", vendor, line, problem);
    return rule;
}

/* Class and scope, "quota account"; "" = no rule says anything. */
static const char *judged(const char *vendor, struct answer answer) {
    static const char *const CLASSES[] = { "success", "invalid",  "permission", "quota",
                                           "rate",    "overload", "request" };
    static const char *const SCOPES[] = { "", "request", "key", "account", "endpoint" };
    static char text[64];
    const char *const *lines = vendor_rules(vendor_find(vendor));
    for (size_t i = 0; lines[i]; i++) {
        struct kb_rule rule = parsed(vendor, lines[i]);
        if (answer.status < rule.status_from || answer.status > rule.status_to ||
            !found(&rule, &answer))
            continue;
        snprintf(text, sizeof text, "%s %s", CLASSES[rule.outcome - KB_SUCCESS],
                 SCOPES[rule.scope]);
        return text;
    }
    return "";
}

Test(vendor_rules, every_line_is_a_rule_and_every_vendor_has_its_own_table) {
    for (size_t i = 0; vendor_at(i); i++) {
        const struct vendor *vendor = vendor_at(i);
        const char *const *lines = vendor_rules(vendor);
        size_t count = 0;
        for (; lines[count]; count++) {
            parsed(vendor->name, lines[count]);
            for (size_t j = 0; j < count; j++)
                cr_expect_str_neq(lines[j], lines[count], "%s has it twice", vendor->name);
        }
        cr_expect_leq(count, VENDOR_RULES_MAX, "%s", vendor->name);
        for (size_t j = 0; j < i; j++)
            cr_expect_neq(vendor_rules(vendor_at(j)), lines, "%s", vendor->name);
    }
}

Test(vendor_rules, an_unknown_vendor_has_those_of_generic) {
    cr_assert_eq(vendor_rules(NULL), vendor_rules(vendor_find("generic")));
    struct vendor newer = { .name = "newer" };
    cr_assert_eq(vendor_rules(&newer), vendor_rules(vendor_find("generic")));
}

static void for_each_rule(void (*see)(const char *vendor, const char *line,
                                      const struct kb_rule *rule)) {
    for (size_t i = 0; vendor_at(i); i++) {
        const char *const *lines = vendor_rules(vendor_at(i));
        for (size_t j = 0; lines[j]; j++) {
            struct kb_rule rule = parsed(vendor_at(i)->name, lines[j]);
            see(vendor_at(i)->name, lines[j], &rule);
        }
    }
}

static void expect_everywhere(struct answer answer, const char *judgement) {
    for (size_t i = 0; vendor_at(i); i++)
        cr_expect_str_eq(judged(vendor_at(i)->name, answer), judgement, "%s %u %s=%s: %s",
                         vendor_at(i)->name, answer.status, answer.where, answer.text,
                         judged(vendor_at(i)->name, answer));
}

Test(vendor_rules, the_plain_statuses_mean_the_same_everywhere) {
    static const struct {
        unsigned status;
        const char *judgement;
    } PLAIN[] = {
        { 200, "" },
        { 400, "request request" },
        { 401, "invalid key" },
        { 402, "quota account" },
        { 403, "permission request" },
        { 404, "request request" },
        { 408, "overload endpoint" },
        { 413, "request request" },
        { 418, "request request" },
        { 424, "overload endpoint" },
        { 425, "overload endpoint" },
        { 429, "rate key" },
        { 500, "overload endpoint" },
        { 503, "overload endpoint" },
        { 529, "overload endpoint" },
    };
    for (size_t i = 0; i < sizeof PLAIN / sizeof *PLAIN; i++)
        expect_everywhere((struct answer){ PLAIN[i].status, "", "" }, PLAIN[i].judgement);
}

/* ---- what every table is held to ---- */

static bool costs_others(const struct kb_rule *rule) {
    return rule->outcome == KB_QUOTA || rule->outcome == KB_INVALID ||
           rule->scope == KB_SCOPE_ACCOUNT;
}

/* 401 is this key's, 402 the account's, wherever they come from; nothing else says it alone. */
static void expect_mild(const char *vendor, const char *line, const struct kb_rule *rule) {
    bool one = rule->status_from == rule->status_to;
    bool is_401 = one && rule->status_from == 401 && rule->outcome == KB_INVALID &&
                  rule->scope == KB_SCOPE_KEY;
    bool is_402 = one && rule->status_from == 402 && rule->outcome == KB_QUOTA &&
                  rule->scope == KB_SCOPE_ACCOUNT;
    if (rule->where == KB_WHERE_NOWHERE)
        cr_expect(!costs_others(rule) || is_401 || is_402, "%s: %s", vendor, line);
}

Test(vendor_rules, a_status_alone_costs_no_other_worker_anything_but_401_and_402) {
    for_each_rule(expect_mild);
}

/* "code=*" would be a status alone in disguise. */
static void expect_a_word(const char *vendor, const char *line, const struct kb_rule *rule) {
    if (costs_others(rule) && rule->where != KB_WHERE_NOWHERE)
        cr_expect_geq(strlen(rule->text), 3, "%s: %s", vendor, line);
}

Test(vendor_rules, what_costs_others_is_a_word_of_the_vendors) {
    for_each_rule(expect_a_word);
}

/* xAI's is known by what stands behind the team's id, and comes before a prompt is looked at. */
static void expect_a_beginning(const char *vendor, const char *line, const struct kb_rule *rule) {
    bool known = strncmp(rule->text, "either used all available credits", 33) == 0;
    bool harmless = rule->outcome == KB_REQUEST || rule->outcome == KB_PERMISSION;
    if (rule->where == KB_WHERE_MESSAGE && !harmless && !(known && rule->status_from == 429))
        cr_expect(rule->prefix, "%s: %s", vendor, line);
}

Test(vendor_rules, a_message_that_costs_a_key_something_is_known_by_how_it_begins) {
    for_each_rule(expect_a_beginning);
}

/* But for what is a key's own cap, or its project's or workspace's. */
static void expect_the_accounts(const char *vendor, const char *line, const struct kb_rule *rule) {
    static const char *const OWN[] = {
        "openrouter_key_limit",
        "openrouter_guardrail_budget",
        "budget_exceeded",
        "pre_consume_token_quota_failed",
        "project_spend_limit_exceeded",
        "You have reached your specified workspace API usage limits",
    };
    bool own = false;
    for (size_t i = 0; i < sizeof OWN / sizeof *OWN; i++)
        own |= strcmp(rule->text, OWN[i]) == 0;
    if (rule->outcome == KB_QUOTA)
        cr_expect_eq(rule->scope, own ? KB_SCOPE_KEY : KB_SCOPE_ACCOUNT, "%s: %s", vendor, line);
}

Test(vendor_rules, quota_is_the_accounts_unless_another_key_of_it_may_go_on) {
    for_each_rule(expect_the_accounts);
}

Test(vendor_rules, a_rate_is_the_accounts_only_where_the_vendor_counts_by_account) {
    for (size_t i = 0; vendor_at(i); i++) {
        const char *const *lines = vendor_rules(vendor_at(i));
        bool found = false;
        for (size_t j = 0; lines[j]; j++) {
            struct kb_rule rule = parsed(vendor_at(i)->name, lines[j]);
            found |= rule.outcome == KB_RATE && rule.scope == KB_SCOPE_ACCOUNT;
        }
        cr_expect_eq(found, vendor_at(i)->rate_is_account, "%s", vendor_at(i)->name);
    }
}

Test(vendor_rules, a_prompt_larger_than_a_minutes_tokens_costs_no_key_anything) {
    expect_everywhere(
        (struct answer){ 429, "message", "Request too large for gpt-x in organization" },
        "permission request");
}

/* Whichever gateway or vendor says it, under whatever status. */
Test(vendor_rules, codes_that_mean_no_money_are_known_everywhere) {
    static const struct {
        const char *code;
        const char *judgement;
    } CODES[] = {
        { "insufficient_user_quota", "quota account" },
        { "insufficient_balance", "quota account" },
        { "INSUFFICIENT_BALANCE", "quota account" },
        { "insufficient_balance_error", "quota account" },
        { "insufficient_funds", "quota account" },
        { "NOT_ENOUGH_BALANCE", "quota account" },
        { "blocked_api_access", "quota account" },
        { "billing_hard_limit_reached", "quota account" },
        { "billing_not_active", "quota account" },
        { "BILLING_DISABLED", "quota account" },
        { "Arrearage", "quota account" },
        { "PrepaidBillOverdue", "quota account" },
        { "PostpaidBillOverdue", "quota account" },
        { "budget_exceeded", "quota key" },
        { "pre_consume_token_quota_failed", "quota key" },
    };
    static const char *const PLACES[] = { "code", "type", "reason" };
    static const unsigned STATUSES[] = { 400, 401, 402, 403, 404, 429 };
    for (size_t i = 0; i < sizeof CODES / sizeof *CODES; i++)
        for (size_t j = 0; j < sizeof STATUSES / sizeof *STATUSES; j++)
            expect_everywhere((struct answer){ STATUSES[j], PLACES[(i + j) % 3], CODES[i].code },
                              CODES[i].judgement);
    expect_everywhere((struct answer){ 502, "code", "insufficient_funds" }, "quota account");
}

/* For "*" or 200 with a place in the body. A vendor of which that was true before may keep it. */
static void expect_no_parsing(const char *vendor, const char *line, const struct kb_rule *rule) {
    bool of_body = rule->where != KB_WHERE_NOWHERE && rule->where != KB_WHERE_HEADER;
    bool of_good = rule->status_from <= 299 && rule->status_to >= 200;
    cr_expect(!of_body || !of_good || strcmp(vendor, "openrouter") == 0, "%s: %s", vendor, line);
}

Test(vendor_rules, no_line_makes_an_older_library_parse_every_good_answer) {
    for_each_rule(expect_no_parsing);
}

/* What it cuts off, it is told by the status. */
Test(vendor_rules, an_older_library_that_stops_at_64_rules_loses_only_what_statuses_mean_anyhow) {
    enum { OLDER_MAX = 64, POOLS = 32 };
    for (size_t i = 0; vendor_at(i); i++) {
        const char *const *lines = vendor_rules(vendor_at(i));
        size_t count = 0;
        while (lines[count])
            count++;
        for (size_t j = OLDER_MAX - 20; j < count; j++) {
            struct kb_rule rule = parsed(vendor_at(i)->name, lines[j]);
            cr_expect_eq(rule.where, KB_WHERE_NOWHERE, "%s: %s", vendor_at(i)->name, lines[j]);
        }
    }
}

static const struct {
    const char *vendor;
    struct answer answer;
    const char *judgement;
} CASES[] = {
    { "openai", { 429, "code", "insufficient_quota" }, "quota account" },
    { "openai", { 429, "type", "insufficient_quota" }, "quota account" },
    { "openai", { 429, "message", "insufficient_quota" }, "rate key" },
    { "openai", { 429, "code", "credit_balance_exhausted" }, "quota account" },
    { "openai", { 429, "code", "organization_spend_limit_exceeded" }, "quota account" },
    { "openai", { 429, "code", "project_spend_limit_exceeded" }, "quota key" },
    { "openai", { 429, "code", "organization_usage_limit_exceeded" }, "quota account" },
    { "openai", { 429, "code", "billing_not_active" }, "quota account" },
    { "openai", { 429, "code", "billing_hard_limit_reached" }, "quota account" },
    { "openai", { 429, "code", "slow_down" }, "rate account" },
    { "openai", { 400, "code", "insufficient_quota" }, "quota account" },
    { "openai", { 401, "code", "invalid_api_key" }, "invalid key" },
    { "openai", { 401, "code", "account_deactivated" }, "invalid account" },
    { "openai", { 403, "code", "unsupported_country_region_territory" }, "permission request" },
    { "azure", { 403, "", "" }, "permission request" },
    { "azure", { 429, "code", "insufficient_quota" }, "rate key" },
    { "anthropic", { 400, "message", "Your credit balance is too low to" }, "quota account" },
    { "anthropic",
      { 400, "message", "You have reached your specified API usage limits." },
      "quota account" },
    { "anthropic", { 400, "type", "organization_on_hold" }, "invalid account" },
    { "anthropic", { 400, "type", "invalid_request_error" }, "request request" },
    { "anthropic", { 429, "type", "enforced_spend_limit_reached" }, "quota account" },
    { "anthropic", { 429, "type", "contract_spend_limit_reached" }, "quota account" },
    { "anthropic", { 429, "type", "ramp_limit_exceeded" }, "rate account" },
    { "anthropic", { 403, "type", "permission_error" }, "permission request" },
    { "anthropic", { 529, "type", "overloaded_error" }, "overload endpoint" },
    { "gemini", { 400, "reason", "API_KEY_INVALID" }, "invalid key" },
    { "gemini", { 400, "message", "API_KEY_INVALID" }, "request request" },
    { "gemini", { 403, "status", "PERMISSION_DENIED" }, "permission request" },
    { "gemini", { 403, "reason", "CONSUMER_SUSPENDED" }, "invalid key" },
    { "gemini", { 402, "status", "RESOURCE_EXHAUSTED" }, "quota account" },
    { "gemini", { 429, "status", "RESOURCE_EXHAUSTED" }, "rate account" },
    { "mistral",
      { 429, "message", "Service tier capacity exceeded for this model." },
      "overload endpoint" },
    { "mistral", { 403, "", "" }, "permission request" },
    { "groq", { 400, "message", "Organization has been restricted. Please" }, "invalid account" },
    { "groq", { 403, "code", "organization_restricted" }, "invalid account" },
    { "groq", { 403, "", "" }, "permission request" },
    { "groq", { 498, "", "" }, "overload endpoint" },
    { "xai", { 400, "message", "Incorrect API key provided: xa***yz" }, "invalid key" },
    { "xai", { 403, "", "" }, "permission request" },
    { "openrouter", { 403, "message", "a/b requires moderation. Your input" }, "request request" },
    { "openrouter", { 200, "code", "402" }, "quota account" },
    { "openrouter", { 200, "code", "401" }, "invalid key" },
    { "openrouter", { 200, "code", "403" }, "request request" },
    { "openrouter", { 200, "code", "429" }, "rate account" },
    { "openrouter", { 200, "code", "502" }, "overload endpoint" },
    { "together", { 403, "message", "Input token count + max_tokens" }, "request request" },
    { "bedrock", { 403, "code", "AccessDeniedException" }, "permission request" },
    { "bedrock", { 403, "code", "InvalidClientTokenId" }, "invalid key" },
    { "bedrock", { 403, "code", "ExpiredTokenException" }, "invalid key" },
    { "bedrock", { 403, "message", "Bearer Token has expired" }, "invalid key" },
    { "bedrock",
      { 403, "message", "Authentication failed: Please make sure your API Key is valid." },
      "invalid key" },
    { "bedrock",
      { 400, "header:x-amzn-errortype", "ServiceQuotaExceededException:http://x/" },
      "quota account" },
    { "bedrock", { 400, "code", "ValidationException" }, "request request" },
    { "bedrock", { 429, "code", "ThrottlingException" }, "rate account" },
    { "dashscope", { 400, "code", "Arrearage" }, "quota account" },
    { "dashscope", { 429, "code", "insufficient_quota" }, "rate account" },
    { "dashscope", { 429, "code", "Throttling.RateQuota" }, "rate account" },
    { "dashscope", { 401, "code", "InvalidApiKey" }, "invalid key" },
    { "moonshot", { 403, "type", "exceeded_current_quota_error" }, "quota account" },
    { "moonshot", { 429, "type", "engine_overloaded_error" }, "overload endpoint" },
    { "generic", { 403, "", "" }, "permission request" },
    { "generic", { 429, "code", "insufficient_quota" }, "quota account" },
};

Test(vendor_rules, what_the_vendors_say_is_what_the_rules_say) {
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        cr_expect_str_eq(judged(CASES[i].vendor, CASES[i].answer), CASES[i].judgement,
                         "%s %u %s=%s: %s", CASES[i].vendor, CASES[i].answer.status,
                         CASES[i].answer.where, CASES[i].answer.text,
                         judged(CASES[i].vendor, CASES[i].answer));
}
