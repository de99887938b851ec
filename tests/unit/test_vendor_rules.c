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

Test(vendor_rules, the_plain_statuses_mean_the_same_everywhere) {
    for (size_t i = 0; vendor_at(i); i++) {
        const char *name = vendor_at(i)->name;
        const char *rate = vendor_at(i)->rate_is_account ? "rate account" : "rate key";
        cr_expect_str_eq(judged(name, (struct answer){ 401, "", "" }), "invalid key", "%s", name);
        cr_expect_str_eq(judged(name, (struct answer){ 429, "", "" }), rate, "%s", name);
        cr_expect_str_eq(judged(name, (struct answer){ 400, "", "" }), "request request", "%s",
                         name);
        cr_expect_str_eq(judged(name, (struct answer){ 418, "", "" }), "request request", "%s",
                         name);
        cr_expect_str_eq(judged(name, (struct answer){ 500, "", "" }), "overload endpoint", "%s",
                         name);
        cr_expect_str_eq(judged(name, (struct answer){ 503, "", "" }), "overload endpoint", "%s",
                         name);
        cr_expect_str_eq(judged(name, (struct answer){ 200, "", "" }), "", "%s", name);
    }
}

/* But for the one vendor that says in so many words that it is a key's own cap. */
Test(vendor_rules, quota_is_the_accounts) {
    for (size_t i = 0; vendor_at(i); i++) {
        const char *const *lines = vendor_rules(vendor_at(i));
        for (size_t j = 0; lines[j]; j++) {
            struct kb_rule rule = parsed(vendor_at(i)->name, lines[j]);
            bool own = strcmp(rule.text, "openrouter_key_limit") == 0 ||
                       strcmp(rule.text, "openrouter_guardrail_budget") == 0;
            if (rule.outcome == KB_QUOTA && !own)
                cr_expect_eq(rule.scope, KB_SCOPE_ACCOUNT, "%s: %s", vendor_at(i)->name, lines[j]);
        }
    }
}

/* The one that is not comes with a status at which no prompt was looked at yet. */
Test(vendor_rules, a_message_is_known_by_how_it_begins) {
    for (size_t i = 0; vendor_at(i); i++) {
        const char *const *lines = vendor_rules(vendor_at(i));
        for (size_t j = 0; lines[j]; j++) {
            struct kb_rule rule = parsed(vendor_at(i)->name, lines[j]);
            if (rule.where == KB_WHERE_MESSAGE && rule.status_from != 429)
                cr_expect(rule.prefix, "%s: %s", vendor_at(i)->name, lines[j]);
        }
    }
}

Test(vendor_rules, payment_required_is_quota_only_where_the_vendor_sends_it) {
    static const char *const WITH = " anthropic gemini mistral deepseek cohere openrouter together "
                                    "generic ";
    for (size_t i = 0; vendor_at(i); i++) {
        const char *name = vendor_at(i)->name;
        char word[32];
        snprintf(word, sizeof word, " %s ", name);
        cr_expect_str_eq(judged(name, (struct answer){ 402, "", "" }),
                         strstr(WITH, word) ? "quota account" : "request request", "%s", name);
    }
}

static const struct {
    const char *vendor;
    struct answer answer;
    const char *judgement;
} CASES[] = {
    { "openai", { 429, "code", "insufficient_quota" }, "quota account" },
    { "openai", { 429, "type", "insufficient_quota" }, "quota account" },
    { "openai", { 429, "message", "insufficient_quota" }, "rate account" },
    { "openai", { 429, "code", "credit_balance_exhausted" }, "quota account" },
    { "openai", { 429, "code", "organization_spend_limit_exceeded" }, "quota account" },
    { "openai", { 429, "code", "project_spend_limit_exceeded" }, "quota account" },
    { "openai", { 429, "code", "organization_usage_limit_exceeded" }, "quota account" },
    { "openai", { 429, "code", "billing_not_active" }, "quota account" },
    { "openai", { 429, "code", "billing_hard_limit_reached" }, "quota account" },
    { "openai", { 429, "code", "slow_down" }, "rate account" },
    { "openai", { 400, "code", "insufficient_quota" }, "request request" },
    { "openai", { 401, "code", "invalid_api_key" }, "invalid key" },
    { "openai", { 401, "code", "account_deactivated" }, "invalid account" },
    { "openai", { 403, "code", "unsupported_country_region_territory" }, "permission request" },
    { "azure", { 403, "", "" }, "permission request" },
    { "azure", { 429, "code", "insufficient_quota" }, "rate account" },
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
    { "openrouter", { 403, "", "" }, "request request" },
    { "openrouter", { 200, "code", "402" }, "quota account" },
    { "openrouter", { 200, "code", "401" }, "invalid key" },
    { "openrouter", { 200, "code", "403" }, "request request" },
    { "openrouter", { 200, "code", "429" }, "rate account" },
    { "openrouter", { 200, "code", "502" }, "overload endpoint" },
    { "together", { 403, "", "" }, "request request" },
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
    { "bedrock", { 429, "code", "ThrottlingException" }, "rate key" },
    { "dashscope", { 400, "code", "Arrearage" }, "quota account" },
    { "dashscope", { 429, "code", "insufficient_quota" }, "rate key" },
    { "dashscope", { 429, "code", "Throttling.RateQuota" }, "rate key" },
    { "dashscope", { 401, "code", "InvalidApiKey" }, "invalid key" },
    { "moonshot", { 403, "", "" }, "quota account" },
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
