/*
 * The vendors' rules: one table each, in vendor.c's order; the first line that matches decides.
 * Read by the catalog's writer and by `show vendor`. Facts gathered 2026-11 from the vendors' own
 * documentation, or, where a comment says "seen", from answers that people published; the syntax
 * stands in keybroker_shared/rules.h.
 *
 * How a table is written: codes and types before wording, and wording only where a vendor has no
 * code, and by how the message begins: behind its beginning a message may repeat
 * what somebody put into a prompt, and a prompt must not be able to condemn a key. What is special
 * stands before the plain status; last one of the two ends below, by whether the vendor counts
 * requests per account (vendor.c says the same with rate_is_account; a test compares them). A
 * status is never taken to mean at one vendor what it means at another: 403 is a request too long
 * at Together, moderation at OpenRouter and an empty balance at Moonshot, 402 appears only where
 * the vendor sends it. A restricted or suspended organisation takes all keys of its account with
 * it.
 */
#include "vendor_rules.h"

#include <string.h>

#include <keybroker_shared/rules.h>

_Static_assert((int)VENDOR_RULES_MAX * 2 <= (int)KB_RULES_MAX, "a catalog holds both");

/* What is the same everywhere: 4xx that nobody named is the caller's, 5xx the vendor's. */
#define ACCOUNT_LIMITS_END "401 invalid", "429 rate account", "4xx request", "5xx overload", NULL
#define KEY_LIMITS_END "401 invalid", "429 rate key", "4xx request", "5xx overload", NULL

static const char *const OPENAI[] = {
    "429 any=insufficient_quota quota account",
    "429 any=credit_balance_exhausted quota account",
    "429 any=organization_spend_limit_exceeded quota account",
    "429 any=project_spend_limit_exceeded quota account",
    "429 any=organization_usage_limit_exceeded quota account",
    "429 any=billing_not_active quota account",
    "429 any=billing_hard_limit_reached quota account",
    "429 any=rate_limit_exceeded rate account",
    "429 any=slow_down rate account",
    "401 any=invalid_api_key invalid key",
    "401 any=account_deactivated invalid account", /* seen */
    "403 permission",
    ACCOUNT_LIMITS_END,
};

static const char *const AZURE[] = {
    "403 permission",
    ACCOUNT_LIMITS_END,
};

/* The code stands in error.details.error_code. Its messages about a wrong request begin with where
 * it is wrong ("messages.0: …"). The limit of a workspace is taken for the account's. */
static const char *const ANTHROPIC[] = {
    "400 any=organization_on_hold invalid account",
    "400 message=\"Your credit balance is too low*\" quota account",
    "400 message=\"You have reached your specified API usage limits*\" quota account",
    "400 message=\"You have reached your specified workspace API usage limits*\" quota account",
    "402 quota account",
    "429 any=enforced_spend_limit_reached quota account",
    "429 any=contract_spend_limit_reached quota account",
    "429 any=rate_limit_error rate account",
    "429 any=ramp_limit_exceeded rate account",
    "403 permission",
    "529 overload",
    ACCOUNT_LIMITS_END,
};

/* Seen: CONSUMER_SUSPENDED ("Consumer 'api_key:…' has been suspended"), where a new key of the same
 * project worked, so it is the key's; and a leaked key, which comes without a reason. */
static const char *const GEMINI[] = {
    "400 reason=API_KEY_INVALID invalid key",
    "403 reason=CONSUMER_SUSPENDED invalid key",
    "403 message=\"Your API key was reported as leaked*\" invalid key",
    "403 permission",
    "402 quota account",
    ACCOUNT_LIMITS_END,
};

/* Seen with the type and the code, and from older answers with neither. */
static const char *const MISTRAL[] = {
    "403 permission",
    "402 quota account",
    "429 type=service_tier_capacity_exceeded overload",
    "429 code=3505 overload",
    "429 message=\"Service tier capacity exceeded*\" overload",
    ACCOUNT_LIMITS_END,
};

static const char *const DEEPSEEK[] = {
    "402 quota account",
    KEY_LIMITS_END,
};

/* Seen: "Organization has been restricted. Please reach out to support …" with the code. */
static const char *const GROQ[] = {
    "4xx any=organization_restricted invalid account",
    "4xx message=\"Organization has been restricted*\" invalid account",
    "403 permission",
    "498 overload", /* the flex tier's capacity */
    ACCOUNT_LIMITS_END,
};

static const char *const COHERE[] = {
    "402 quota account",
    KEY_LIMITS_END,
};

/* Its code is a sentence that several failures share. Seen: "Your team … has either used all
 * available credits or reached its monthly spending limit."; the team's id stands before what is
 * telling, and a 429 is sent before a prompt is looked at. */
static const char *const XAI[] = {
    "400 message=\"Incorrect API key*\" invalid key",
    "429 message=\"either used all available credits or reached its monthly\" quota account",
    "403 permission",
    ACCOUNT_LIMITS_END,
};

/* metadata.reason and limit_source say which limit it was: what is in flight passes; what is too
 * dear for this balance may not be for another's; a key's own cap leaves the account's other keys
 * alone. A 403 is moderation unless it names a budget. An upstream's failure comes inside HTTP 200,
 * with the status as the error's code, or, in the shape of Anthropic's or OpenAI's other interface,
 * with an error_type. */
static const char *const OPENROUTER[] = {
    "402 any=in_flight_budget_exhausted rate account",
    "402 any=weight_exceeds_budget permission",
    "4xx any=openrouter_key_limit quota key",
    "402 quota account",
    "403 any=openrouter_guardrail_budget quota key",
    "403 any=openrouter_workspace_budget quota account",
    "403 request",
    "408 overload",
    "200 code=401 invalid key",
    "200 any=authentication invalid key",
    "200 any=in_flight_budget_exhausted rate account",
    "200 any=openrouter_key_limit quota key",
    "200 code=402 quota account",
    "200 any=payment_required quota account",
    "200 code=429 rate account",
    "200 any=rate_limit_exceeded rate account",
    "200 code=408 overload",
    "200 code=5* overload",
    "200 any=provider_* overload",
    "200 any=server* overload",
    "200 any=timeout overload",
    "200 any=* request",
    ACCOUNT_LIMITS_END,
};

static const char *const TOGETHER[] = {
    "402 quota account",
    "403 request", /* the context is too long */
    KEY_LIMITS_END,
};

/* The code stands in a header, and in the body's __type, each with more behind it. AccessDenied is
 * what a key gets for a model that it has no access to, and also when it is expired or wrong: only
 * the message tells which (seen: all four). */
static const char *const BEDROCK[] = {
    "403 header:x-amzn-errortype=InvalidClientTokenId* invalid key",
    "403 any=InvalidClientTokenId invalid key",
    "403 header:x-amzn-errortype=ExpiredToken* invalid key",
    "403 any=ExpiredToken* invalid key",
    "403 message=\"Bearer Token has expired*\" invalid key",
    "403 message=\"The security token included in the request is expired*\" invalid key",
    "403 message=\"The security token included in the request is invalid*\" invalid key",
    "403 message=\"Authentication failed: Please make sure your API key is valid*\" invalid key",
    "403 permission",
    "400 header:x-amzn-errortype=ServiceQuotaExceededException* quota account",
    "400 any=ServiceQuotaExceededException quota account",
    "429 header:x-amzn-errortype=ModelNotReadyException* overload",
    "429 any=ModelNotReadyException overload",
    KEY_LIMITS_END,
};

/* insufficient_quota is an allocation limit here: it passes like any other. */
static const char *const DASHSCOPE[] = {
    "400 any=Arrearage quota account",
    "403 permission", /* AccessDenied: a model, a service or a workspace */
    "429 any=Throttling* rate key",
    "429 any=insufficient_quota rate key",
    KEY_LIMITS_END,
};

static const char *const MOONSHOT[] = {
    "403 quota account",                                  /* no balance */
    "429 any=exceeded_current_quota_error quota account", /* seen: no balance again */
    "429 any=engine_overloaded_error overload",           /* seen */
    KEY_LIMITS_END,
};

static const char *const GENERIC[] = {
    "403 permission",
    "402 quota account",
    "429 any=insufficient_quota quota account",
    KEY_LIMITS_END,
};

static const struct {
    const char *vendor;
    const char *const *rules;
} TABLES[] = {
    { "openai", OPENAI },
    { "azure", AZURE },
    { "anthropic", ANTHROPIC },
    { "gemini", GEMINI },
    { "mistral", MISTRAL },
    { "deepseek", DEEPSEEK },
    { "groq", GROQ },
    { "cohere", COHERE },
    { "xai", XAI },
    { "openrouter", OPENROUTER },
    { "together", TOGETHER },
    { "bedrock", BEDROCK },
    { "dashscope", DASHSCOPE },
    { "moonshot", MOONSHOT },
    { "generic", GENERIC },
};

const char *const *vendor_rules(const struct vendor *vendor) {
    for (size_t i = 0; vendor && i < sizeof TABLES / sizeof *TABLES; i++)
        if (strcmp(TABLES[i].vendor, vendor->name) == 0)
            return TABLES[i].rules;
    return GENERIC;
}
