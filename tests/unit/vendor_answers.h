/*
 * What vendors really answer, and what it means: every row of the vendors' facts in every class
 * that it has, the bodies in their vendors' own shapes. test_classify.c judges them, and that every
 * rule of every vendor decides at least one of them. Each is reported for the first of several keys
 * at one endpoint, so OVERLOAD means KB_RETRY_LATER.
 */
#ifndef TESTS_UNIT_VENDOR_ANSWERS_H
#define TESTS_UNIT_VENDOR_ANSWERS_H

#include <keybroker.h>

struct answer {
    const char *vendor;
    int status;
    const char *headers, *body;
    kb_outcome outcome;
    kb_scope scope;
    kb_verdict verdict;
    uint64_t wait_ms;
};

/* Class, scope and verdict, and with WAIT a hint. */
#define IS_FINE KB_SUCCESS, KB_CONCERNS_REQUEST, KB_OK, KB_NO_HINT
#define IS_INVALID KB_INVALID, KB_CONCERNS_KEY, KB_NEXT_KEY, KB_NO_HINT
#define IS_ACCOUNT_INVALID KB_INVALID, KB_CONCERNS_ACCOUNT, KB_NEXT_KEY, KB_NO_HINT
#define IS_PERMISSION KB_PERMISSION, KB_CONCERNS_REQUEST, KB_NEXT_KEY, KB_NO_HINT
#define IS_QUOTA KB_QUOTA, KB_CONCERNS_ACCOUNT, KB_NEXT_KEY, KB_NO_HINT
#define IS_KEY_QUOTA KB_QUOTA, KB_CONCERNS_KEY, KB_NEXT_KEY, KB_NO_HINT
#define IS_RATE(wait_ms) KB_RATE, KB_CONCERNS_ACCOUNT, KB_NEXT_KEY, wait_ms
#define IS_KEY_RATE(wait_ms) KB_RATE, KB_CONCERNS_KEY, KB_NEXT_KEY, wait_ms
#define IS_OVERLOAD(wait_ms) KB_OVERLOAD, KB_CONCERNS_ENDPOINT, KB_RETRY_LATER, wait_ms
#define IS_REQUEST KB_REQUEST, KB_CONCERNS_REQUEST, KB_GIVE_UP, KB_NO_HINT
#define UNKNOWN KB_NO_HINT

/* ---- shapes ---- */

#define OPENAI_BODY(type, code, message)                                                           \
    "{\n  \"error\": {\n    \"message\": \"" message "\",\n    \"type\": \"" type                  \
    "\",\n    \"param\": null,\n    \"code\": " code "\n  }\n}\n"
#define OPENAI_BODY_LINE(type, code, message)                                                      \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\",\"code\":" code "}}"
#define ANTHROPIC_BODY(type, message, details)                                                     \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"" details     \
    "},\"request_id\":\"req_011CSHoEeqs5C35K2UUqR7Fy\"}"
#define ANTHROPIC_CODE(code)                                                                       \
    ",\"details\":{\"error_visibility\":\"user_facing\",\"error_code\":\"" code "\"}"
#define GEMINI_BODY(code, status, message, details)                                                \
    "{\n  \"error\": {\n    \"code\": " code ",\n    \"message\": \"" message                      \
    "\",\n    \"status\": \"" status "\"" details "\n  }\n}\n"
#define GEMINI_INFO(reason)                                                                        \
    "{\"@type\": \"type.googleapis.com/google.rpc.ErrorInfo\", \"reason\": \"" reason              \
    "\", \"domain\": \"googleapis.com\", \"metadata\": {\"service\": "                             \
    "\"generativelanguage.googleapis.com\"}}"
#define GEMINI_DETAILS(details) ",\n    \"details\": [" details "]"
#define GEMINI_LIMIT                                                                               \
    "{\"@type\": \"type.googleapis.com/google.rpc.QuotaFailure\", \"violations\": [{"              \
    "\"quotaMetric\": \"generativelanguage.googleapis.com/generate_content_requests\", "           \
    "\"quotaId\": \"GenerateRequestsPerMinutePerProjectPerModel\", \"quotaValue\": \"150\"}]}, "   \
    "{\"@type\": \"type.googleapis.com/google.rpc.Help\", \"links\": [{\"description\": "          \
    "\"Learn more\", \"url\": \"https://ai.google.dev/gemini-api/docs/rate-limits\"}]}, "
#define GEMINI_RETRY(delay)                                                                        \
    "{\"@type\": \"type.googleapis.com/google.rpc.RetryInfo\", \"retryDelay\": \"" delay "\"}"
#define MISTRAL_BODY(type, code, message)                                                          \
    "{\"object\":\"error\",\"message\":\"" message "\",\"type\":\"" type                           \
    "\",\"param\":null,\"code\":" code "}"
#define XAI_BODY(code, error) "{\"code\":\"" code "\",\"error\":\"" error "\"}"
#define OPENROUTER_BODY(code, message, metadata)                                                   \
    "{\"error\":{\"message\":\"" message "\",\"code\":" code ",\"metadata\":{" metadata            \
    "}},\"user_id\":\"user_2abc\"}"
#define OPENROUTER_CHUNK(code, message, type)                                                      \
    "{\"id\":\"gen-abc123\",\"object\":\"chat.completion.chunk\",\"created\":1234567890,"          \
    "\"model\":\"openai/gpt-4o\",\"provider\":\"OpenAI\",\"error\":{\"code\":" code                \
    ",\"message\":\"" message "\",\"metadata\":{\"error_type\":\"" type                            \
    "\"}},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}"
#define OPENROUTER_SKIN(type, error_type)                                                          \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type                                              \
    "\",\"message\":\"m\",\"error_type\":\"" error_type "\"}}"
#define AWS_BODY(message) "{\"message\":\"" message "\"}"
#define AWS_TYPED(type, message) "{\"__type\":\"" type "\",\"message\":\"" message "\"}"
#define AWS_TYPE(type)                                                                             \
    "HTTP/1.1 400 x\r\nx-amzn-RequestId: 1-2-3\r\nx-amzn-ErrorType: " type                         \
    ":http://internal.amazon.com/coral/com.amazon.bedrock/\r\n\r\n"
#define DASHSCOPE_BODY(code, message)                                                              \
    "{\"code\":\"" code "\",\"message\":\"" message "\",\"request_id\":\"f9fdb027\"}"
#define DASHSCOPE_COMPATIBLE(type, message)                                                        \
    "{\"error\":{\"code\":\"" type "\",\"param\":null,\"message\":\"" message                      \
    "\",\"type\":\"" type "\"},\"id\":\"chatcmpl-f9fdb027\",\"request_id\":\"f9fdb027\"}"
#define MOONSHOT_BODY(type, message)                                                               \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\"}}"
#define DATE "date: Mon, 23 Nov 2026 18:00:00 GMT\r\n"

/* ---- answers ---- */

static const struct answer ANSWERS[] = {
    /* openai */
    { "openai", 200, NULL, "{\"id\":\"chatcmpl-1\",\"error\":null,\"choices\":[]}", IS_FINE },
    { "openai", 401, NULL,
      OPENAI_BODY("invalid_request_error", "\"invalid_api_key\"",
                  "Incorrect API key provided: sk-proj-********wxyz. You can find your API key at "
                  "https://platform.openai.com/account/api-keys."),
      IS_INVALID },
    { "openai", 401, NULL,
      OPENAI_BODY("invalid_request_error", "\"ip_not_authorized\"", "Your IP is not authorized."),
      IS_INVALID },
    { "openai", 401, NULL,
      OPENAI_BODY("invalid_request_error", "null",
                  "You must be a member of an organization to use the API."),
      IS_INVALID },
    { "openai", 401, NULL,
      OPENAI_BODY("invalid_request_error", "\"account_deactivated\"",
                  "The OpenAI account associated with this API key has been deactivated."),
      IS_ACCOUNT_INVALID },
    { "openai", 403, NULL,
      OPENAI_BODY("request_forbidden", "\"unsupported_country_region_territory\"",
                  "Country, region, or territory not supported"),
      IS_PERMISSION },
    { "openai", 429, NULL,
      OPENAI_BODY("insufficient_quota", "\"insufficient_quota\"",
                  "You exceeded your current quota, please check your plan and billing details."),
      IS_QUOTA },
    { "openai", 429, NULL,
      OPENAI_BODY("insufficient_quota", "\"credit_balance_exhausted\"", "No credits remain."),
      IS_QUOTA },
    { "openai", 429, NULL, OPENAI_BODY("billing", "\"credit_balance_exhausted\"", "m"), IS_QUOTA },
    { "openai", 429, NULL, OPENAI_BODY("billing", "\"organization_spend_limit_exceeded\"", "m"),
      IS_QUOTA },
    { "openai", 429, NULL, OPENAI_BODY("billing", "\"project_spend_limit_exceeded\"", "m"),
      IS_KEY_QUOTA },
    { "openai", 429, NULL, OPENAI_BODY("billing", "\"organization_usage_limit_exceeded\"", "m"),
      IS_QUOTA },
    { "openai", 429, NULL,
      OPENAI_BODY("billing_not_active", "\"billing_not_active\"",
                  "Your account is not active, please check your billing details on our website."),
      IS_QUOTA },
    { "openai", 429, "x-ratelimit-reset-tokens: 3s\r\n",
      OPENAI_BODY("invalid_request_error", "\"billing_hard_limit_reached\"", "m"), IS_QUOTA },
    { "openai", 429,
      "X-RateLimit-Remaining-Requests: 4999\nX-RateLimit-Reset-Requests: 12ms\n"
      "X-RateLimit-Remaining-Tokens: 0\nX-RateLimit-Reset-Tokens: 6m0s\n",
      OPENAI_BODY("tokens", "\"rate_limit_exceeded\"",
                  "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM)"),
      IS_RATE(360000) },
    { "openai", 429, "HTTP/2 429\r\nRetry-After: 7\r\n\r\n",
      OPENAI_BODY("rate_limit_error", "\"slow_down\"", "Slow down"), IS_RATE(7000) },
    { "openai", 429, NULL, "", IS_KEY_RATE(UNKNOWN) },
    { "openai", 429, NULL, OPENAI_BODY("tokens", "null", "m"), IS_RATE(UNKNOWN) },
    { "openai", 429, NULL, OPENAI_BODY("requests", "null", "m"), IS_RATE(UNKNOWN) },
    { "openai", 429, NULL,
      OPENAI_BODY(
          "tokens", "\"rate_limit_exceeded\"",
          "Request too large for gpt-x in organization org-x on tokens per min (TPM): Limit "
          "30000, Requested 36278."),
      IS_PERMISSION },
    { "openai", 200, NULL,
      "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"error\":null}}"
      "\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"tokens\",\"code\":"
      "\"rate_limit_exceeded\",\"message\":\"Request too large for gpt-x\"}}\n\n",
      IS_PERMISSION },
    { "openai", 200, "retry-after: 2\r\n",
      "data: " OPENAI_BODY_LINE("requests", "\"rate_limit_exceeded\"", "m") "\n\n", IS_RATE(2000) },
    { "openai", 200, NULL,
      "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"status\":"
      "\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"m\"}}}\n\n",
      IS_OVERLOAD(UNKNOWN) },
    { "openai", 200, NULL,
      "data: " OPENAI_BODY_LINE("x", "\"credit_balance_exhausted\"", "m") "\n\n", IS_QUOTA },
    { "openai", 200, NULL,
      "{\"status\":\"failed\",\"error\":{\"code\":\"invalid_prompt\",\"message\":\"m\"}}",
      IS_REQUEST },
    { "openai", 429, NULL,
      OPENAI_BODY("access_terminated", "null",
                  "Your access was terminated due to violation of our policies"),
      IS_ACCOUNT_INVALID },
    { "openai", 400, NULL,
      OPENAI_BODY("invalid_request_error", "\"unsupported_value\"",
                  "Your organization must be verified to stream this model."),
      IS_PERMISSION },
    { "openai", 400, NULL,
      OPENAI_BODY("invalid_request_error", "\"previous_response_not_found\"",
                  "Previous response with id 'resp_1' not found."),
      IS_PERMISSION },
    { "openai", 503, "retry-after: 2\r\n",
      OPENAI_BODY("service_unavailable_error", "\"server_is_overloaded\"",
                  "Our servers are currently overloaded. Please try again later."),
      IS_OVERLOAD(2000) },
    { "openai", 500, NULL, OPENAI_BODY("server_error", "null", "The server had an error"),
      IS_OVERLOAD(UNKNOWN) },
    { "openai", 400, NULL,
      OPENAI_BODY("invalid_request_error", "\"context_length_exceeded\"",
                  "This model's maximum context length is 128000 tokens."),
      IS_REQUEST },
    { "openai", 404, NULL, OPENAI_BODY("invalid_request_error", "\"model_not_found\"", "m"),
      IS_PERMISSION },
    { "openai", 404, NULL, OPENAI_BODY("invalid_request_error", "null", "Invalid URL"),
      IS_REQUEST },
    { "openai", 0, NULL, NULL, KB_NETWORK, KB_CONCERNS_ENDPOINT, KB_RETRY_LATER, KB_NO_HINT },

    /* azure */
    { "azure", 401, NULL,
      "{ \"statusCode\": 401, \"message\": \"Unauthorized. Access token is missing, invalid, "
      "audience is incorrect (https://cognitiveservices.azure.com), or have expired.\" }",
      IS_INVALID },
    { "azure", 401, NULL,
      "{\"error\":{\"code\":\"401\",\"message\":\"Access denied due to invalid subscription key or "
      "wrong API endpoint.\"}}",
      IS_INVALID },
    { "azure", 403, NULL,
      "{\"error\":{\"code\":\"403\",\"message\":\"Public access is disabled.\"}}", IS_PERMISSION },
    { "azure", 429, "retry-after-ms: 1500\r\nretry-after: 2\r\n",
      "{\"error\":{\"code\":\"429\",\"message\":\"Rate limit is exceeded. Try again in 2 "
      "seconds.\"}}",
      IS_RATE(1500) },
    { "azure", 429,
      "retry-after-ms: -1\r\nretry-after: 0\r\nx-ratelimit-reset-requests: 0\r\n"
      "x-ratelimit-reset-tokens: -1\r\n",
      "{\"error\":{\"code\":\"too_many_requests\",\"message\":\"Too Many Requests\"}}",
      IS_RATE(UNKNOWN) },
    { "azure", 429, NULL, OPENAI_BODY("x", "\"RateLimitReached\"", "m"), IS_RATE(UNKNOWN) },
    { "azure", 429, NULL, OPENAI_BODY("requests", "\"rate_limit_exceeded\"", "m"),
      IS_RATE(UNKNOWN) },
    { "azure", 429, NULL,
      "{ \"statusCode\": 429, \"message\": \"Rate limit is exceeded. Try again in 2 seconds.\" }",
      IS_KEY_RATE(UNKNOWN) },
    { "azure", 403, "Retry-After: 43391\r\n",
      "{ \"statusCode\": 403, \"message\": \"Out of call volume quota. Quota will be replenished "
      "in "
      "12:03:11.\" }",
      IS_KEY_RATE(43391000) },
    { "azure", 404, NULL,
      "{\"error\":{\"code\":\"DeploymentNotFound\",\"message\":\"The API deployment for this "
      "resource "
      "does not exist.\"}}",
      IS_PERMISSION },
    { "azure", 503, NULL, NULL, IS_OVERLOAD(UNKNOWN) },
    { "azure", 400, NULL,
      "{\"error\":{\"message\":\"The response was filtered\",\"type\":null,\"param\":\"prompt\","
      "\"code\":\"content_filter\",\"status\":400,\"innererror\":{\"code\":"
      "\"ResponsibleAIPolicyViolation\"}}}",
      IS_REQUEST },

    /* anthropic */
    { "anthropic", 401, NULL, ANTHROPIC_BODY("authentication_error", "invalid x-api-key", ""),
      IS_INVALID },
    { "anthropic", 403, NULL,
      ANTHROPIC_BODY("permission_error",
                     "Your API key does not have permission to use the specified resource.", ""),
      IS_PERMISSION },
    { "anthropic", 400, NULL,
      ANTHROPIC_BODY("invalid_request_error", "This organization has been disabled.",
                     ANTHROPIC_CODE("organization_on_hold")),
      IS_ACCOUNT_INVALID },
    { "anthropic", 402, NULL,
      ANTHROPIC_BODY("billing_error", "There's an issue with your billing.", ""), IS_QUOTA },
    { "anthropic", 400, NULL,
      ANTHROPIC_BODY("invalid_request_error",
                     "Your credit balance is too low to access the Anthropic API. Please go to "
                     "Plans & Billing to upgrade or purchase credits.",
                     ""),
      IS_QUOTA },
    { "anthropic", 400, NULL,
      ANTHROPIC_BODY("invalid_request_error",
                     "You have reached your specified API usage limits. You will regain access on "
                     "2026-12-01 at 00:00 UTC.",
                     ""),
      IS_QUOTA },
    { "anthropic", 400, NULL,
      ANTHROPIC_BODY("invalid_request_error",
                     "You have reached your specified workspace API usage limits.", ""),
      IS_KEY_QUOTA },
    { "anthropic", 400, NULL,
      ANTHROPIC_BODY("invalid_request_error", "This organization has been disabled.", ""),
      IS_ACCOUNT_INVALID },
    { "anthropic", 400, NULL,
      ANTHROPIC_BODY("invalid_request_error",
                     "The long context beta is not yet available for this subscription.", ""),
      IS_PERMISSION },
    { "anthropic", 429, NULL,
      ANTHROPIC_BODY("rate_limit_error", "Extra usage is required for long context requests.", ""),
      IS_PERMISSION },
    { "anthropic", 404, NULL, ANTHROPIC_BODY("not_found_error", "model: claude-x", ""),
      IS_PERMISSION },
    { "anthropic", 404, NULL, ANTHROPIC_BODY("not_found_error", "Not found", ""), IS_REQUEST },
    { "anthropic", 200, NULL,
      "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\n"
      "event: ping\ndata: {\"type\":\"ping\"}\n\nevent: error\ndata: " ANTHROPIC_BODY(
          "overloaded_error", "Overloaded", "") "\n\n",
      IS_OVERLOAD(UNKNOWN) },
    { "anthropic", 200, NULL,
      "event: error\ndata: " ANTHROPIC_BODY("rate_limit_error", "m", "") "\n\n", IS_RATE(UNKNOWN) },
    { "anthropic", 200, NULL,
      "event: error\ndata: " ANTHROPIC_BODY("authentication_error", "m", "") "\n\n", IS_INVALID },
    { "anthropic", 200, NULL,
      "event: error\ndata: " ANTHROPIC_BODY("billing_error", "m", "") "\n\n", IS_QUOTA },
    { "anthropic", 200, NULL,
      "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: message_stop\ndata: "
      "{\"type\":\"message_stop\"}\n\n",
      IS_FINE },
    { "anthropic", 429, NULL,
      ANTHROPIC_BODY("rate_limit_error", "m", ANTHROPIC_CODE("enforced_spend_limit_reached")),
      IS_QUOTA },
    { "anthropic", 429, NULL,
      ANTHROPIC_BODY("rate_limit_error", "m", ANTHROPIC_CODE("contract_spend_limit_reached")),
      IS_QUOTA },
    { "anthropic", 429, "retry-after: 12\r\n",
      ANTHROPIC_BODY("rate_limit_error",
                     "This request would exceed your organization's rate limit of 50 requests per "
                     "minute.",
                     ""),
      IS_RATE(12000) },
    { "anthropic", 429,
      DATE "anthropic-ratelimit-requests-remaining: 0\r\n"
           "anthropic-ratelimit-requests-reset: 2026-11-23T18:00:20Z\r\n"
           "anthropic-ratelimit-tokens-remaining: 9\r\n"
           "anthropic-ratelimit-tokens-reset: 2026-11-23T18:01:00Z\r\n",
      ANTHROPIC_BODY("ramp_limit_exceeded", "m", ""), IS_RATE(20000) },
    { "anthropic", 429, NULL, "<html>slow down</html>", IS_KEY_RATE(UNKNOWN) },
    { "anthropic", 529, NULL, ANTHROPIC_BODY("overloaded_error", "Overloaded", ""),
      IS_OVERLOAD(UNKNOWN) },
    { "anthropic", 500, NULL, ANTHROPIC_BODY("api_error", "Internal server error", ""),
      IS_OVERLOAD(UNKNOWN) },
    { "anthropic", 413, NULL, ANTHROPIC_BODY("request_too_large", "m", ""), IS_REQUEST },

    /* gemini */
    { "gemini", 400, NULL,
      GEMINI_BODY("400", "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.",
                  GEMINI_DETAILS(GEMINI_INFO("API_KEY_INVALID"))),
      IS_INVALID },
    { "gemini", 400, NULL,
      "[" GEMINI_BODY("400", "INVALID_ARGUMENT", "API key expired. Please renew the API key.",
                      GEMINI_DETAILS(GEMINI_INFO("API_KEY_INVALID"))) "]",
      IS_INVALID },
    { "gemini", 401, NULL, GEMINI_BODY("401", "UNAUTHENTICATED", "m", ""), IS_INVALID },
    { "gemini", 403, NULL,
      GEMINI_BODY("403", "PERMISSION_DENIED",
                  "Permission denied: Consumer 'api_key:AIza' has been suspended.",
                  GEMINI_DETAILS(GEMINI_INFO("CONSUMER_SUSPENDED"))),
      IS_INVALID },
    { "gemini", 403, NULL,
      GEMINI_BODY("403", "PERMISSION_DENIED",
                  "Your API key was reported as leaked. Please use another API key.", ""),
      IS_INVALID },
    { "gemini", 403, NULL,
      GEMINI_BODY("403", "PERMISSION_DENIED", "Requests to this API are blocked.",
                  GEMINI_DETAILS(GEMINI_INFO("API_KEY_SERVICE_BLOCKED"))),
      IS_PERMISSION },
    { "gemini", 402, NULL, GEMINI_BODY("402", "RESOURCE_EXHAUSTED", "m", ""), IS_QUOTA },
    { "gemini", 429, NULL,
      GEMINI_BODY("429", "RESOURCE_EXHAUSTED", "You exceeded your current quota.",
                  GEMINI_DETAILS(GEMINI_LIMIT GEMINI_RETRY("13.5s"))),
      IS_RATE(13500) },
    { "gemini", 429, NULL,
      GEMINI_BODY("429", "RESOURCE_EXHAUSTED", "You exceeded your current quota.",
                  GEMINI_DETAILS("{\"@type\": \"type.googleapis.com/google.rpc.QuotaFailure\", "
                                 "\"violations\": [{\"quotaId\": "
                                 "\"GenerateRequestsPerDayPerProjectPerModel-FreeTier\"}]}")),
      IS_PERMISSION },
    { "gemini", 429, NULL,
      GEMINI_BODY("429", "RESOURCE_EXHAUSTED", "No capacity available for model on the server",
                  GEMINI_DETAILS(GEMINI_INFO("MODEL_CAPACITY_EXHAUSTED"))),
      IS_OVERLOAD(UNKNOWN) },
    { "gemini", 429, NULL, "<html>429</html>", IS_KEY_RATE(UNKNOWN) },
    { "gemini", 400, NULL,
      GEMINI_BODY("400", "FAILED_PRECONDITION", "User location is not supported for the API use.",
                  ""),
      IS_PERMISSION },
    { "gemini", 404, NULL,
      GEMINI_BODY("404", "NOT_FOUND",
                  "This model models/gemini-x is no longer available to new users.", ""),
      IS_PERMISSION },
    { "gemini", 404, NULL,
      GEMINI_BODY("404", "NOT_FOUND", "models/gemini-x is not found for API version v1beta", ""),
      IS_REQUEST },
    { "gemini", 200, NULL,
      "data: {\"candidates\": [{\"index\": 0}]}\r\n\r\ndata: {\"error\": {\"code\": 503, "
      "\"message\": \"The model is overloaded.\", \"status\": \"UNAVAILABLE\"}}\r\n\r\n",
      IS_OVERLOAD(UNKNOWN) },
    { "gemini", 200, NULL,
      "[{\n  \"candidates\": []\n}\n,\n" GEMINI_BODY(
          "429", "RESOURCE_EXHAUSTED", "You exceeded your current quota.",
          GEMINI_DETAILS(GEMINI_LIMIT GEMINI_RETRY("13.5s"))) "]",
      IS_RATE(13500) },
    { "gemini", 503, NULL,
      GEMINI_BODY("503", "UNAVAILABLE", "The model is overloaded. Please try again later.", ""),
      IS_OVERLOAD(UNKNOWN) },
    { "gemini", 400, NULL, GEMINI_BODY("400", "INVALID_ARGUMENT", "Invalid JSON payload", ""),
      IS_REQUEST },

    /* mistral */
    { "mistral", 401, NULL, "{\"message\":\"Unauthorized\",\"request_id\":\"1f2e\"}", IS_INVALID },
    { "mistral", 403, NULL, "{\"detail\":\"Forbidden\"}", IS_PERMISSION },
    { "mistral", 402, NULL, "{\"detail\":\"Payment required\"}", IS_QUOTA },
    { "mistral", 429, NULL, MISTRAL_BODY("rate_limited", "\"1300\"", "Rate limit exceeded"),
      IS_RATE(UNKNOWN) },
    { "mistral", 429, NULL,
      MISTRAL_BODY("service_tier_capacity_exceeded", "\"3505\"",
                   "Service tier capacity exceeded for this model."),
      IS_OVERLOAD(UNKNOWN) },
    { "mistral", 429, NULL, MISTRAL_BODY("x", "3505", "m"), IS_OVERLOAD(UNKNOWN) },
    { "mistral", 429, NULL,
      MISTRAL_BODY("invalid_request_error", "null",
                   "Service tier capacity exceeded for this model."),
      IS_OVERLOAD(UNKNOWN) },
    { "mistral", 429, NULL, MISTRAL_BODY("x", "1300", "Rate limit exceeded"), IS_RATE(UNKNOWN) },
    { "mistral", 429, DATE "x-ratelimit-remaining-req-minute: 0\r\n",
      "{\"message\":\"Requests rate limit exceeded\"}", IS_KEY_RATE(60000) },
    { "mistral", 400, NULL, MISTRAL_BODY("invalid_model", "\"1500\"", "Invalid model: x"),
      IS_PERMISSION },
    { "mistral", 503, NULL, NULL, IS_OVERLOAD(UNKNOWN) },
    { "mistral", 422, NULL,
      "{\"detail\":[{\"type\":\"missing\",\"loc\":[\"body\",\"messages\"],\"msg\":\"Field "
      "required\"}]}",
      IS_REQUEST },

    /* deepseek */
    { "deepseek", 401, NULL,
      OPENAI_BODY("authentication_error", "\"invalid_request_error\"",
                  "Authentication Fails, Your api key: ****wxyz is invalid"),
      IS_INVALID },
    { "deepseek", 402, NULL,
      OPENAI_BODY("unknown_error", "\"invalid_request_error\"", "Insufficient Balance"), IS_QUOTA },
    { "deepseek", 429, NULL, NULL, IS_KEY_RATE(UNKNOWN) },
    { "deepseek", 429, NULL, OPENAI_BODY("rate_limit_error", "null", "m"), IS_RATE(UNKNOWN) },
    { "deepseek", 503, NULL, NULL, IS_OVERLOAD(UNKNOWN) },
    { "deepseek", 422, NULL, NULL, IS_REQUEST },

    /* groq */
    { "groq", 401, NULL,
      OPENAI_BODY("invalid_request_error", "\"invalid_api_key\"", "Invalid API Key"), IS_INVALID },
    { "groq", 403, NULL, OPENAI_BODY("permissions_error", "\"model_permission_blocked\"", "m"),
      IS_PERMISSION },
    { "groq", 400, NULL,
      OPENAI_BODY("invalid_request_error", "\"organization_restricted\"",
                  "Organization has been restricted. Please reach out to support if you believe "
                  "this was in error."),
      IS_ACCOUNT_INVALID },
    { "groq", 400, NULL,
      OPENAI_BODY("invalid_request_error", "null",
                  "Organization has been restricted. Please reach out to support"),
      IS_ACCOUNT_INVALID },
    { "groq", 429, "x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 7.66s\r\n",
      OPENAI_BODY("tokens", "\"rate_limit_exceeded\"", "Rate limit reached for model"),
      IS_RATE(7660) },
    { "groq", 413, NULL,
      OPENAI_BODY(
          "tokens", "\"rate_limit_exceeded\"",
          "Request too large for model `x` in organization `org` on tokens per minute (TPM): "
          "Limit 6000, Requested 21435"),
      IS_PERMISSION },
    { "groq", 413, NULL, OPENAI_BODY("invalid_request_error", "\"request_too_large\"", "m"),
      IS_REQUEST },
    { "groq", 404, NULL, OPENAI_BODY("invalid_request_error", "\"model_not_found\"", "m"),
      IS_PERMISSION },
    { "groq", 400, NULL, OPENAI_BODY("invalid_request_error", "\"model_terms_required\"", "m"),
      IS_PERMISSION },
    { "groq", 400, NULL,
      OPENAI_BODY("invalid_request_error", "\"blocked_api_access\"",
                  "API access is blocked because your organization has reached its spend limit."),
      IS_QUOTA },
    { "groq", 498, NULL, OPENAI_BODY("x", "\"capacity_exceeded\"", "m"), IS_OVERLOAD(UNKNOWN) },
    { "groq", 503, NULL, NULL, IS_OVERLOAD(UNKNOWN) },
    { "groq", 400, NULL, OPENAI_BODY("invalid_request_error", "\"json_validate_failed\"", "m"),
      IS_REQUEST },

    /* cohere */
    { "cohere", 401, NULL, "{\"id\":\"7c2f\",\"message\":\"invalid api token\"}", IS_INVALID },
    { "cohere", 402, NULL, "{\"message\":\"Please add or update your payment method.\"}",
      IS_QUOTA },
    { "cohere", 429, NULL, "{\"message\":\"You are past the per minute request limit.\"}",
      IS_KEY_RATE(UNKNOWN) },
    { "cohere", 500, NULL, "{\"message\":\"internal server error\"}", IS_OVERLOAD(UNKNOWN) },
    { "cohere", 498, NULL, "{\"message\":\"blocked\"}", IS_REQUEST },

    /* xai */
    { "xai", 400, NULL,
      XAI_BODY("Client specified an invalid argument",
               "Incorrect API key provided: xa***yz. You can obtain an API key from "
               "https://console.x.ai."),
      IS_INVALID },
    { "xai", 401, NULL, XAI_BODY("Unauthenticated", "m"), IS_INVALID },
    { "xai", 403, NULL,
      XAI_BODY("The caller does not have permission to execute the specified operation", "m"),
      IS_PERMISSION },
    { "xai", 403, NULL,
      XAI_BODY("The caller does not have permission to execute the specified operation",
               "Your newly created team doesn't have any credits or licenses yet."),
      IS_QUOTA },
    { "xai", 403, NULL,
      XAI_BODY("The caller does not have permission to execute the specified operation",
               "Content violates usage guidelines. Team: t-1"),
      IS_REQUEST },
    { "xai", 404, NULL,
      XAI_BODY("Some requested entity was not found",
               "The model grok-x does not exist or your team t-1 does not have access to it."),
      IS_PERMISSION },
    { "xai", 429, NULL,
      XAI_BODY("Some resource has been exhausted",
               "Your team 16f2151a-40f4-4a80-8ad0-cae00c27e8dd has either used all available "
               "credits or reached its monthly spending limit."),
      IS_QUOTA },
    { "xai", 429, NULL, XAI_BODY("Some resource has been exhausted", "Too many requests"),
      IS_RATE(UNKNOWN) },
    { "xai", 503, NULL, NULL, IS_OVERLOAD(UNKNOWN) },
    { "xai", 400, NULL,
      XAI_BODY("Client specified an invalid argument",
               "The model expects a single `text` element per message."),
      IS_REQUEST },

    /* openrouter */
    { "openrouter", 200, NULL, "{\"id\":\"gen-1\",\"choices\":[],\"error\":{}}", IS_FINE },
    { "openrouter", 401, NULL,
      "{\"error\":{\"message\":\"No auth credentials found\",\"code\":401}}", IS_INVALID },
    { "openrouter", 402, NULL,
      OPENROUTER_BODY("402", "Insufficient credits", "\"limit_source\":\"openrouter_credits\""),
      IS_QUOTA },
    { "openrouter", 402, NULL,
      OPENROUTER_BODY("402", "Key limit exceeded", "\"limit_source\":\"openrouter_key_limit\""),
      IS_KEY_QUOTA },
    { "openrouter", 402, "retry-after: 3\r\n",
      OPENROUTER_BODY("402", "This request would exceed your available credits",
                      "\"reason\":\"in_flight_budget_exhausted\",\"limit_source\":"
                      "\"openrouter_in_flight_budget\""),
      IS_RATE(3000) },
    { "openrouter", 402, NULL,
      OPENROUTER_BODY("402", "m",
                      "\"reason\":\"weight_exceeds_budget\",\"limit_source\":"
                      "\"openrouter_credits\""),
      IS_PERMISSION },
    { "openrouter", 403, NULL,
      OPENROUTER_BODY("403", "Your chosen model requires moderation and your input was flagged",
                      "\"reasons\":[\"violence\"],\"flagged_input\":\"insufficient_quota\","
                      "\"provider_name\":\"OpenAI\",\"model_slug\":\"openai/gpt-4o\""),
      IS_REQUEST },
    { "openrouter", 403, NULL,
      OPENROUTER_BODY("403", "m", "\"limit_source\":\"openrouter_key_limit\""), IS_KEY_QUOTA },
    { "openrouter", 403, NULL,
      OPENROUTER_BODY("403", "m", "\"limit_source\":\"openrouter_guardrail_budget\""),
      IS_KEY_QUOTA },
    { "openrouter", 403, NULL,
      OPENROUTER_BODY("403", "m", "\"limit_source\":\"openrouter_workspace_budget\""), IS_QUOTA },
    { "openrouter", 403, NULL, OPENROUTER_BODY("403", "Forbidden", ""), IS_PERMISSION },
    { "openrouter", 402, NULL,
      OPENROUTER_BODY(
          "402",
          "This request requires more credits, or fewer max_tokens. You requested up to "
          "65536 tokens, but can only afford 3113.",
          ""),
      IS_PERMISSION },
    { "openrouter", 404, NULL,
      OPENROUTER_BODY("404", "No endpoints found matching your data policy.", ""), IS_PERMISSION },
    { "openrouter", 404, NULL,
      OPENROUTER_BODY("404", "No allowed providers are available for the selected model.", ""),
      IS_PERMISSION },
    { "openrouter", 429, NULL,
      OPENROUTER_BODY(
          "429", "Provider returned error",
          "\"raw\":\"a/b is temporarily rate-limited upstream.\",\"provider_name\":\"P\""),
      IS_OVERLOAD(UNKNOWN) },
    { "openrouter", 200, NULL,
      "{\"choices\":[{\"finish_reason\":\"error\",\"message\":{\"content\":\"\"},\"error\":{"
      "\"code\":"
      "502,\"message\":\"Provider returned error\"}}]}",
      IS_OVERLOAD(UNKNOWN) },
    { "openrouter", 408, NULL, OPENROUTER_BODY("408", "timed out", ""), IS_OVERLOAD(UNKNOWN) },
    { "openrouter", 429, DATE,
      OPENROUTER_BODY("429", "Rate limit exceeded: free-models-per-min.",
                      "\"headers\":{\"X-RateLimit-Limit\":\"20\",\"X-RateLimit-Remaining\":\"0\","
                      "\"X-RateLimit-Reset\":\"1795456812000\"}"),
      IS_RATE(12000) },
    { "openrouter", 429,
      DATE "X-RateLimit-Limit: 20\r\nX-RateLimit-Remaining: 0\r\n"
           "X-RateLimit-Reset: 1795456807500\r\n",
      OPENROUTER_BODY("429", "Rate limit exceeded", ""), IS_RATE(7500) },
    { "openrouter", 502, NULL,
      OPENROUTER_BODY("502", "Provider returned error", "\"raw\":\"insufficient_quota\""),
      IS_OVERLOAD(UNKNOWN) },
    { "openrouter", 503, "retry-after: 60\r\n", OPENROUTER_BODY("503", "m", ""),
      IS_OVERLOAD(60000) },
    { "openrouter", 400, NULL, OPENROUTER_BODY("400", "m", ""), IS_REQUEST },
    { "openrouter", 200, NULL, OPENROUTER_BODY("401", "User not found.", ""), IS_INVALID },
    { "openrouter", 200, NULL, OPENROUTER_SKIN("authentication_error", "authentication"),
      IS_INVALID },
    { "openrouter", 200, NULL, OPENROUTER_BODY("402", "Insufficient credits", ""), IS_QUOTA },
    { "openrouter", 200, NULL, OPENROUTER_SKIN("billing_error", "payment_required"), IS_QUOTA },
    { "openrouter", 200, NULL,
      OPENROUTER_BODY("402", "m", "\"limit_source\":\"openrouter_key_limit\""), IS_KEY_QUOTA },
    { "openrouter", 200, "retry-after: 3\r\n",
      OPENROUTER_BODY("402", "m", "\"reason\":\"in_flight_budget_exhausted\""), IS_RATE(3000) },
    { "openrouter", 200, "retry-after: 4\r\n", OPENROUTER_BODY("429", "Rate limit exceeded", ""),
      IS_RATE(4000) },
    { "openrouter", 200, "content-type: text/event-stream\r\n",
      ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n"
      "data: " OPENROUTER_CHUNK("429", "Rate limit exceeded", "rate_limit_exceeded") "\n\n",
      IS_RATE(UNKNOWN) },
    { "openrouter", 200, NULL,
      "event: error\ndata: " OPENROUTER_SKIN("rate_limit_error", "rate_limit_exceeded") "\n\n",
      IS_RATE(UNKNOWN) },
    { "openrouter", 200, NULL, OPENROUTER_BODY("408", "timed out", ""), IS_OVERLOAD(UNKNOWN) },
    { "openrouter", 200, NULL, OPENROUTER_CHUNK("502", "m", "provider_unavailable"),
      IS_OVERLOAD(UNKNOWN) },
    { "openrouter", 200, NULL, OPENROUTER_SKIN("overloaded_error", "provider_overloaded"),
      IS_OVERLOAD(UNKNOWN) },
    { "openrouter", 200, NULL, OPENROUTER_SKIN("api_error", "server"), IS_OVERLOAD(UNKNOWN) },
    { "openrouter", 200, NULL, OPENROUTER_SKIN("api_error", "timeout"), IS_OVERLOAD(UNKNOWN) },
    { "openrouter", 200, NULL, OPENROUTER_CHUNK("400", "m", "invalid_prompt"), IS_REQUEST },

    /* together */
    { "together", 401, NULL,
      OPENAI_BODY("invalid_request_error", "\"invalid_api_key\"", "Invalid API key provided"),
      IS_INVALID },
    { "together", 402, NULL,
      OPENAI_BODY("credit_limit", "\"credit_limit\"", "Credit limit exceeded"), IS_QUOTA },
    { "together", 403, NULL,
      OPENAI_BODY("invalid_request_error", "null",
                  "Input token count + max_tokens parameter must be less than the context length"),
      IS_REQUEST },
    { "together", 429, "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 2\r\n",
      OPENAI_BODY("model_rate_limit", "null", "m"), IS_RATE(2000) },
    { "together", 404, NULL,
      OPENAI_BODY("invalid_request_error", "\"model_not_available\"", "Unable to access model x."),
      IS_PERMISSION },
    { "together", 503, NULL, NULL, IS_OVERLOAD(UNKNOWN) },
    { "together", 400, NULL, NULL, IS_REQUEST },

    /* bedrock */
    { "bedrock", 401, NULL, NULL, IS_INVALID },
    { "bedrock", 403, AWS_TYPE("InvalidClientTokenId"), NULL, IS_INVALID },
    { "bedrock", 403, NULL, AWS_TYPED("com.amazon.coral.service#InvalidClientTokenId", "m"),
      IS_INVALID },
    { "bedrock", 403, AWS_TYPE("ExpiredTokenException"), NULL, IS_INVALID },
    { "bedrock", 403, NULL, AWS_TYPED("ExpiredTokenException", "m"), IS_INVALID },
    { "bedrock", 403, NULL, "{\"Message\":\"Bearer Token has expired\"}", IS_INVALID },
    { "bedrock", 403, AWS_TYPE("AccessDeniedException"),
      AWS_BODY("The security token included in the request is expired"), IS_INVALID },
    { "bedrock", 403, NULL, AWS_BODY("The security token included in the request is invalid."),
      IS_INVALID },
    { "bedrock", 403, AWS_TYPE("AccessDeniedException"),
      "{\"Message\":\"Authentication failed: Please make sure your API Key is valid.\"}",
      IS_INVALID },
    { "bedrock", 403, AWS_TYPE("AccessDeniedException"),
      AWS_BODY("You don't have access to the model with the specified model ID."), IS_PERMISSION },
    { "bedrock", 400, AWS_TYPE("ServiceQuotaExceededException"), AWS_BODY("m"), IS_QUOTA },
    { "bedrock", 400, NULL, AWS_TYPED("ServiceQuotaExceededException", "m"), IS_QUOTA },
    { "bedrock", 429, AWS_TYPE("ThrottlingException"),
      AWS_BODY("Too many requests, please wait before trying again."), IS_RATE(UNKNOWN) },
    { "bedrock", 429, NULL, AWS_TYPED("ThrottlingException", "m"), IS_RATE(UNKNOWN) },
    { "bedrock", 403, AWS_TYPE("AccessDeniedException"),
      "{\"Message\":\"Invalid API Key format: Must start with pre-defined prefix\"}", IS_INVALID },
    { "bedrock", 404, AWS_TYPE("ResourceNotFoundException"),
      AWS_BODY("Model use case details have not been submitted for this account."), IS_PERMISSION },
    { "bedrock", 400, AWS_TYPE("ValidationException"),
      AWS_BODY("The provided model identifier is invalid."), IS_PERMISSION },
    { "bedrock", 408, AWS_TYPE("ModelTimeoutException"), AWS_BODY("m"), IS_OVERLOAD(UNKNOWN) },
    { "bedrock", 424, AWS_TYPE("ModelErrorException"), AWS_BODY("m"), IS_OVERLOAD(UNKNOWN) },
    { "bedrock", 429, AWS_TYPE("ModelNotReadyException"), AWS_BODY("m"), IS_OVERLOAD(UNKNOWN) },
    { "bedrock", 429, NULL, AWS_TYPED("ModelNotReadyException", "m"), IS_OVERLOAD(UNKNOWN) },
    { "bedrock", 503, AWS_TYPE("ServiceUnavailableException"), AWS_BODY("m"),
      IS_OVERLOAD(UNKNOWN) },
    { "bedrock", 400, AWS_TYPE("ValidationException"), AWS_BODY("Malformed input request"),
      IS_REQUEST },

    /* dashscope */
    { "dashscope", 401, NULL, DASHSCOPE_BODY("InvalidApiKey", "Invalid API-key provided."),
      IS_INVALID },
    { "dashscope", 401, NULL,
      DASHSCOPE_COMPATIBLE("invalid_api_key", "Incorrect API key provided."), IS_INVALID },
    { "dashscope", 403, NULL, DASHSCOPE_BODY("AccessDenied.Unpurchased", "Access denied."),
      IS_PERMISSION },
    { "dashscope", 400, NULL,
      DASHSCOPE_COMPATIBLE("Arrearage",
                           "Access denied, please make sure your account is in good standing."),
      IS_QUOTA },
    { "dashscope", 429, NULL,
      DASHSCOPE_BODY("Throttling.RateQuota", "Requests rate limit exceeded"), IS_RATE(UNKNOWN) },
    { "dashscope", 429, NULL,
      DASHSCOPE_COMPATIBLE("insufficient_quota", "You exceeded your current quota."),
      IS_RATE(UNKNOWN) },
    { "dashscope", 429, NULL, DASHSCOPE_COMPATIBLE("limit_requests", "m"), IS_RATE(UNKNOWN) },
    { "dashscope", 429, NULL, NULL, IS_KEY_RATE(UNKNOWN) },
    { "dashscope", 429, NULL, DASHSCOPE_BODY("CommodityNotPurchased", "m"), IS_PERMISSION },
    { "dashscope", 404, NULL, DASHSCOPE_COMPATIBLE("model_not_found", "m"), IS_PERMISSION },
    { "dashscope", 408, NULL, DASHSCOPE_BODY("RequestTimeOut", "m"), IS_OVERLOAD(UNKNOWN) },
    { "dashscope", 429, NULL, DASHSCOPE_BODY("PostpaidBillOverdue", "m"), IS_QUOTA },
    { "dashscope", 200, NULL,
      "id:1\nevent:error\n:HTTP_STATUS/429\ndata:" DASHSCOPE_BODY("Throttling.RateQuota",
                                                                  "m") "\n\n",
      IS_RATE(UNKNOWN) },
    { "dashscope", 500, NULL, DASHSCOPE_BODY("InternalError", "m"), IS_OVERLOAD(UNKNOWN) },
    { "dashscope", 400, NULL, DASHSCOPE_BODY("InvalidParameter", "m"), IS_REQUEST },

    /* moonshot */
    { "moonshot", 401, NULL,
      MOONSHOT_BODY("invalid_authentication_error", "Invalid Authentication"), IS_INVALID },
    { "moonshot", 403, NULL,
      MOONSHOT_BODY("exceeded_current_quota_error",
                    "Your account org-1 is not active, organization exceeded current quota"),
      IS_QUOTA },
    { "moonshot", 429, NULL,
      MOONSHOT_BODY("exceeded_current_quota_error",
                    "Your account org-1 is suspended due to insufficient balance"),
      IS_QUOTA },
    { "moonshot", 429, NULL,
      MOONSHOT_BODY("rate_limit_reached_error", "Your account request reached max request: 3"),
      IS_RATE(UNKNOWN) },
    { "moonshot", 429, NULL,
      MOONSHOT_BODY("engine_overloaded_error",
                    "The engine is currently overloaded, please try again later"),
      IS_OVERLOAD(UNKNOWN) },
    { "moonshot", 429, NULL, NULL, IS_KEY_RATE(UNKNOWN) },
    { "moonshot", 403, NULL,
      MOONSHOT_BODY("permission_denied_error", "The API you are accessing is not open"),
      IS_PERMISSION },
    { "moonshot", 404, NULL,
      MOONSHOT_BODY("resource_not_found_error", "Not found the model x or Permission denied"),
      IS_PERMISSION },
    { "moonshot", 500, NULL, NULL, IS_OVERLOAD(UNKNOWN) },
    { "moonshot", 400, NULL, MOONSHOT_BODY("invalid_request_error", "m"), IS_REQUEST },

    /* generic */
    { "generic", 401, NULL, NULL, IS_INVALID },
    { "generic", 403, NULL, NULL, IS_PERMISSION },
    { "generic", 402, NULL, NULL, IS_QUOTA },
    { "generic", 429, NULL, OPENAI_BODY("x", "\"insufficient_quota\"", "m"), IS_QUOTA },
    { "generic", 429, NULL, NULL, IS_KEY_RATE(UNKNOWN) },
    { "generic", 408, NULL, NULL, IS_OVERLOAD(UNKNOWN) },
    { "generic", 424, NULL, NULL, IS_OVERLOAD(UNKNOWN) },
    { "generic", 425, NULL, NULL, IS_OVERLOAD(UNKNOWN) },
    { "generic", 429, NULL, OPENAI_BODY("tokens", "null", "Request too large for gpt-x"),
      IS_PERMISSION },
    { "generic", 401, NULL, OPENAI_BODY("key_model_access_denied", "\"401\"", "m"), IS_PERMISSION },
    { "generic", 401, NULL, OPENAI_BODY("team_model_access_denied", "\"401\"", "m"),
      IS_PERMISSION },
    { "generic", 401, NULL, OPENAI_BODY("user_model_access_denied", "\"401\"", "m"),
      IS_PERMISSION },
    { "generic", 401, NULL, OPENAI_BODY("org_model_access_denied", "\"401\"", "m"), IS_PERMISSION },
    { "generic", 404, NULL, OPENAI_BODY("x", "\"model_not_found\"", "m"), IS_PERMISSION },
    { "generic", 403, NULL, OPENAI_BODY("one_api_error", "\"insufficient_user_quota\"", "m"),
      IS_QUOTA },
    { "generic", 403, NULL, OPENAI_BODY("new_api_error", "\"pre_consume_token_quota_failed\"", "m"),
      IS_KEY_QUOTA },
    { "generic", 402, NULL, OPENAI_BODY("insufficient_balance_error", "null", "m"), IS_QUOTA },
    { "generic", 400, NULL, OPENAI_BODY("insufficient_funds", "null", "m"), IS_QUOTA },
    { "generic", 502, NULL, OPENAI_BODY("insufficient_funds", "null", "m"), IS_QUOTA },
    { "generic", 403, NULL, "{\"code\":403,\"reason\":\"NOT_ENOUGH_BALANCE\",\"message\":\"m\"}",
      IS_QUOTA },
    { "generic", 429, NULL, OPENAI_BODY("budget_exceeded", "\"429\"", "Budget has been exceeded!"),
      IS_KEY_QUOTA },
    { "generic", 400, NULL, OPENAI_BODY("x", "\"blocked_api_access\"", "m"), IS_QUOTA },
    { "generic", 400, NULL, DASHSCOPE_BODY("Arrearage", "m"), IS_QUOTA },
    { "generic", 429, NULL, DASHSCOPE_BODY("PrepaidBillOverdue", "m"), IS_QUOTA },
    { "generic", 429, NULL, DASHSCOPE_BODY("PostpaidBillOverdue", "m"), IS_QUOTA },
    { "generic", 403, NULL, OPENAI_BODY("billing_hard_limit_reached", "null", "m"), IS_QUOTA },
    { "generic", 200, NULL,
      "data: " OPENAI_BODY_LINE("x", "\"insufficient_user_quota\"", "m") "\n\n", IS_QUOTA },
    { "generic", 200, NULL, "data: " OPENAI_BODY_LINE("x", "\"rate_limit_exceeded\"", "m") "\n\n",
      IS_KEY_RATE(UNKNOWN) },
    { "generic", 200, NULL,
      "{\"choices\":null,\"base_resp\":{\"status_code\":1008,\"status_msg\":\"insufficient "
      "balance\"}}",
      IS_QUOTA },
    { "generic", 200, NULL,
      "{\"choices\":[],\"base_resp\":{\"status_code\":0,\"status_msg\":\"\"}}", IS_FINE },
    { "generic", 504, NULL, "<html><h1>504 Gateway Time-out</h1></html>", IS_OVERLOAD(UNKNOWN) },
    { "generic", 400, NULL, NULL, IS_REQUEST },
};

#endif
