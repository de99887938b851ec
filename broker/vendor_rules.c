/*
 * The vendors' rules: one table each, in vendor.c's order; the first line that matches decides.
 * Read by the catalog's writer and by `show vendor`. Facts gathered 2026-11 from the vendors' own
 * documentation, or, where a comment says "seen", from answers that people published; the syntax
 * stands in keybroker_shared/rules.h.
 *
 * How a table is written; a test over all tables holds it to this:
 *
 * - Codes and types before wording, and wording by how the message begins: behind its beginning a
 *   message may repeat what somebody put into a prompt, and a prompt must not be able to condemn a
 *   key.
 * - A status alone gets the mildest meaning that lets the request go on and costs no other worker
 *   anything, because most statuses have several: 403 is a model that this key may not use, a
 *   prompt that was refused or an empty balance. QUOTA, INVALID and whatever concerns the account
 *   need a code, a type or a beginning. Two statuses mean the same everywhere: 401 that this key is
 *   refused, 402 that the account has to pay.
 * - Before anything wider than the key is taken: would a small request on this account fail too?
 *   If not, it is this one request's limit (PERMISSION: another account's may be higher), a
 *   project's or workspace's (the key), or everybody's (the endpoint).
 * - What a key of another account may do is PERMISSION, not the caller's mistake: that costs a try
 *   for each key, REQUEST costs the user's request.
 *
 * What is special stands before what all tables end with. A restricted or suspended organisation
 * takes all keys of its account with it. `rate account` stands with codes only: a 429 without one
 * is as likely a proxy's.
 */
#include "vendor_rules.h"

#include <string.h>

#include <keybroker_shared/rules.h>

_Static_assert((int)VENDOR_RULES_MAX <= (int)KB_RULES_MAX, "a catalog holds a vendor's");

/* The words are OpenAI's, also at Groq and behind gateways: this prompt is larger than a whole
 * minute's tokens, so no wait helps it, and nothing is wrong with the account. */
#define COMMON_BEGIN "429 message=\"Request too large*\" permission"

/* What means "no money" anywhere: a vendor's own code, or a gateway's that stands before it
 * (LiteLLM, one-api, new-api), whose budget may be one key's alone. Seen: 502 with one of them.
 * Never "*": behind HTTP 200 such a code stands for its own status anyhow, and a library of before
 * 2026-12 would parse every good answer for it. Then what a status means by itself. */
#define COMMON_END                                                                                 \
    "4xx any=insufficient_user_quota quota account",                                               \
        "4xx any=pre_consume_token_quota_failed quota key",                                        \
        "4xx any=insufficient_balance* quota account", "4xx any=insufficient_funds quota account", \
        "5xx any=insufficient_funds quota account", "4xx any=not_enough_balance quota account",    \
        "4xx any=budget_exceeded quota key", "4xx any=blocked_api_access quota account",           \
        "4xx any=Arrearage quota account", "4xx any=PrepaidBillOverdue quota account",             \
        "4xx any=PostpaidBillOverdue quota account", "4xx any=billing_* quota account",            \
        "401 invalid", "402 quota account", "403 permission", "408 overload", "424 overload",      \
        "425 overload", "429 rate key", "4xx request", "5xx overload", NULL

static const char *const OPENAI[] = {
    COMMON_BEGIN,
    "4xx message=\"Your organization must be verified*\" permission", /* seen: 400, 404 */
    "404 any=model_not_found permission",             /* or "you do not have access to it" */
    "4xx any=previous_response_not_found permission", /* another project's may be the one */
    "4xx any=insufficient_quota quota account",
    "4xx any=credit_balance_exhausted quota account",
    "4xx any=organization_spend_limit_exceeded quota account",
    "4xx any=project_spend_limit_exceeded quota key",
    "4xx any=organization_usage_limit_exceeded quota account",
    "429 any=rate_limit_exceeded rate account",
    "429 any=slow_down rate account",
    "429 type=tokens rate account",
    "429 type=requests rate account",
    "4xx any=account_deactivated invalid account", /* seen */
    "4xx any=access_terminated invalid account",   /* seen: 429 */
    COMMON_END,
};

/* The first is API Management's, which may stand before it: its key's share of calls, with the time
 * until there are more. */
static const char *const AZURE[] = {
    COMMON_BEGIN,
    "403 message=\"Out of call volume quota*\" rate key",
    "404 any=DeploymentNotFound permission", /* another resource may have it */
    "429 any=429 rate account",
    "429 any=too_many_requests rate account",
    "429 any=RateLimitReached rate account",
    "429 any=rate_limit_exceeded rate account",
    COMMON_END,
};

/* The code stands in error.details.error_code, if at all (seen: a disabled organisation without).
 * Its messages about a wrong request begin with where it is wrong ("messages.0: …"). Seen: long
 * contexts that an account may not use, one of them as a rate limit. */
static const char *const ANTHROPIC[] = {
    COMMON_BEGIN,
    "400 any=organization_on_hold invalid account",
    "4xx message=\"This organization has been disabled*\" invalid account",
    "400 message=\"Your credit balance is too low*\" quota account",
    "400 message=\"You have reached your specified API usage limits*\" quota account",
    "400 message=\"You have reached your specified workspace API usage limits*\" quota key",
    "400 message=\"The long context beta is not yet available*\" permission",
    "429 message=\"Extra usage is required for long context*\" permission",
    "404 message=\"model:*\" permission",
    "429 any=enforced_spend_limit_reached quota account",
    "429 any=contract_spend_limit_reached quota account",
    "429 any=rate_limit_error rate account",
    "429 any=ramp_limit_exceeded rate account",
    COMMON_END,
};

/* FAILED_PRECONDITION is the project's billing. Seen: CONSUMER_SUSPENDED ("Consumer 'api_key:…' has
 * been suspended"), where a new key of the same project worked, so it is the key's; a leaked key,
 * which comes without a reason; "This model … is no longer available to new users"; and a limit of
 * 0, which is none to wait for (rules.h: no_allowance). */
static const char *const GEMINI[] = {
    COMMON_BEGIN,
    "400 reason=API_KEY_INVALID invalid key",
    "400 status=FAILED_PRECONDITION permission",
    "403 reason=CONSUMER_SUSPENDED invalid key",
    "403 message=\"Your API key was reported as leaked*\" invalid key",
    "404 message=\"This model *\" permission",
    "429 reason=no_allowance permission",
    "429 reason=MODEL_CAPACITY_EXHAUSTED overload",
    "429 status=RESOURCE_EXHAUSTED rate account",
    COMMON_END,
};

/* Seen with the type and the code, and from older answers with neither. */
static const char *const MISTRAL[] = {
    COMMON_BEGIN,
    "400 any=invalid_model permission",
    "429 type=service_tier_capacity_exceeded overload",
    "429 code=3505 overload",
    "429 message=\"Service tier capacity exceeded*\" overload",
    "429 any=rate_limited rate account",
    "429 code=1300 rate account",
    COMMON_END,
};

static const char *const DEEPSEEK[] = {
    COMMON_BEGIN,
    "429 any=rate_limit* rate account",
    COMMON_END,
};

/* Seen: "Organization has been restricted. Please reach out to support …" with the code; a prompt
 * that is too large for the minute as 413, with a rate limit's code. */
static const char *const GROQ[] = {
    COMMON_BEGIN,
    "413 any=rate_limit_exceeded permission",
    "404 any=model_not_found permission",
    "400 any=model_terms_required permission",
    "4xx any=organization_restricted invalid account",
    "4xx message=\"Organization has been restricted*\" invalid account",
    "498 overload", /* the flex tier's capacity */
    "429 any=rate_limit_exceeded rate account",
    COMMON_END,
};

static const char *const COHERE[] = {
    COMMON_BEGIN,
    COMMON_END,
};

/* Its code is a sentence that several failures share. Seen: "Your team … has either used all
 * available credits or reached its monthly spending limit."; the team's id stands before what is
 * telling, and a 429 is sent before a prompt is looked at. */
static const char *const XAI[] = {
    COMMON_BEGIN,
    "400 message=\"Incorrect API key*\" invalid key",
    "403 message=\"Your newly created team doesn't have any credits*\" quota account",
    "403 message=\"Content violates usage guidelines*\" request",
    "404 any=\"Some requested entity was not found*\" permission",
    "429 message=\"either used all available credits or reached its monthly\" quota account",
    "429 any=\"Some resource has been exhausted*\" rate account",
    COMMON_END,
};

/* metadata.reason and limit_source say which limit it was: what is in flight passes; what is too
 * dear for this balance may not be for another's; a key's own cap leaves the account's other keys
 * alone. Seen: a 429 of the provider behind it, which every account shares. Errors inside HTTP 200
 * are understood by the code's status; the lines for 200 are for libraries of before, which know
 * only those. */
static const char *const OPENROUTER[] = {
    COMMON_BEGIN,
    "* any=in_flight_budget_exhausted rate account",
    "402 any=weight_exceeds_budget permission",
    "402 message=\"This request requires more credits*\" permission",
    "* any=openrouter_key_limit quota key",
    "403 any=openrouter_guardrail_budget quota key",
    "403 any=openrouter_workspace_budget quota account",
    "403 message=\"requires moderation\" request",
    "404 message=\"No endpoints found matching your*\" permission",
    "404 message=\"No allowed providers*\" permission",
    "200 code=401 invalid key",
    "200 any=authentication invalid key",
    "200 code=402 quota account",
    "200 any=payment_required quota account",
    "200 code=429 rate account",
    "200 any=rate_limit_exceeded rate account",
    "200 code=408 overload",
    "200 code=5* overload",
    "200 any=provider_* overload",
    "200 any=server* overload",
    "200 any=timeout overload",
    "200 code=4* request",
    "429 message=\"Provider returned error*\" overload",
    "429 code=429 rate account",
    COMMON_END,
};

static const char *const TOGETHER[] = {
    COMMON_BEGIN,
    "403 message=\"Input token count*\" request", /* the context is too long */
    "404 any=model_not_available permission",     /* "Unable to access model …" */
    "429 any=model_rate_limit rate account",
    COMMON_END,
};

/* The code stands in a header, and in the body's __type, each with more behind it. AccessDenied is
 * what a key gets for a model that it has no access to, and also when it is expired or wrong: only
 * the message tells which (seen: all of them). Models are a region's, and some wait for a form. */
static const char *const BEDROCK[] = {
    COMMON_BEGIN,
    "403 header:x-amzn-errortype=InvalidClientTokenId* invalid key",
    "403 any=InvalidClientTokenId invalid key",
    "403 header:x-amzn-errortype=ExpiredToken* invalid key",
    "403 any=ExpiredToken* invalid key",
    "403 message=\"Bearer Token has expired*\" invalid key",
    "403 message=\"The security token included in the request is expired*\" invalid key",
    "403 message=\"The security token included in the request is invalid*\" invalid key",
    "403 message=\"Authentication failed: Please make sure your API key is valid*\" invalid key",
    "403 message=\"Invalid API Key format*\" invalid key",
    "404 message=\"Model use case details have not been submitted*\" permission",
    "400 message=\"The provided model identifier is invalid*\" permission",
    "400 header:x-amzn-errortype=ServiceQuotaExceededException* quota account",
    "400 any=ServiceQuotaExceededException quota account",
    "429 header:x-amzn-errortype=ModelNotReadyException* overload",
    "429 any=ModelNotReadyException overload",
    "429 header:x-amzn-errortype=ThrottlingException* rate account",
    "429 any=ThrottlingException rate account",
    COMMON_END,
};

/* insufficient_quota is an allocation limit here: it passes like any other. */
static const char *const DASHSCOPE[] = {
    COMMON_BEGIN,
    "404 any=model_not_found permission",
    "429 any=CommodityNotPurchased permission",
    "429 any=Throttling* rate account",
    "429 any=insufficient_quota rate account",
    "429 any=limit_* rate account",
    COMMON_END,
};

/* Its 403 is no balance with this code, else an interface or a client that is not admitted. */
static const char *const MOONSHOT[] = {
    COMMON_BEGIN,
    "4xx any=exceeded_current_quota_error quota account",
    "404 any=resource_not_found_error permission", /* "… or Permission denied" */
    "429 any=engine_overloaded_error overload",    /* seen */
    "429 any=rate_limit_reached_error rate account",
    COMMON_END,
};

/* Mostly gateways: LiteLLM says 401 where a key is good and the model is not for it. */
static const char *const GENERIC[] = {
    COMMON_BEGIN,
    "4xx any=insufficient_quota quota account",
    "401 any=key_model_access_denied permission",
    "401 any=team_model_access_denied permission",
    "401 any=user_model_access_denied permission",
    "401 any=org_model_access_denied permission",
    "404 any=model_not_found permission",
    COMMON_END,
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
