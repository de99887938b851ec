/*
 * The stand-in vendor as OpenAI: see standin_answer.h.
 */
#include "standin_answer.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define ERROR_OBJECT(message, type, param, code)                                                   \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\",\"param\":" param               \
    ",\"code\":\"" code "\"}}"

static void say_completion(struct standin_answer *answer, const struct standin_facts *facts) {
    long long now = (long long)time(NULL);
    if (!facts->stream) {
        standin_say(answer, 200,
                    "{\"id\":\"chatcmpl-%016" PRIx64
                    "\",\"object\":\"chat.completion\",\"created\":%lld,\"model\":\"gpt-4o-mini\","
                    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
                    "\"This is a stand-in.\",\"refusal\":null},\"logprobs\":null,"
                    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":%zu,"
                    "\"completion_tokens\":6,\"total_tokens\":%zu}}",
                    facts->serial, now, facts->prompt_tokens, facts->prompt_tokens + 6);
        return;
    }
    static const char *const deltas[] = { "{\"role\":\"assistant\",\"content\":\"\"}",
                                          "{\"content\":\"This is \"}",
                                          "{\"content\":\"a stand-in.\"}", "{}" };
    for (size_t i = 0; i < 4; i++)
        standin_stream(answer,
                       "data: {\"id\":\"chatcmpl-%016" PRIx64
                       "\",\"object\":\"chat.completion.chunk\",\"created\":%lld,\"model\":"
                       "\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":"
                       "%s}]}\n\n",
                       facts->serial, now, deltas[i], i == 3 ? "\"stop\"" : "null");
    standin_stream(answer, "data: [DONE]\n\n");
}

static void say_rate(struct standin_answer *answer, const struct standin_facts *facts) {
    standin_header(answer, "retry-after", "%" PRIu64, (facts->retry_ms + 999) / 1000);
    standin_header(answer, "retry-after-ms", "%" PRIu64, facts->retry_ms);
    standin_header(answer, "x-ratelimit-limit-requests", "%lld", facts->limit);
    standin_header(answer, "x-ratelimit-remaining-requests", "0");
    standin_header(answer, "x-ratelimit-reset-requests", "%" PRIu64 "ms", facts->retry_ms);
    standin_header(answer, "x-ratelimit-limit-tokens", "200000");
    standin_header(answer, "x-ratelimit-remaining-tokens", "199000");
    standin_header(answer, "x-ratelimit-reset-tokens", "6m0s");
    standin_say(answer, 429,
                ERROR_OBJECT("Rate limit reached for gpt-4o-mini in organization org-standin on "
                             "requests per min (RPM): Limit %lld, Used %lld, Requested 1. Please "
                             "try again in %" PRIu64 "ms.",
                             "requests", "null", "rate_limit_exceeded"),
                facts->limit, facts->used, facts->retry_ms);
}

/* As the Responses interface does: it begins, then it failed. */
static void say_rate_in_200(struct standin_answer *answer, const struct standin_facts *facts) {
    static const char ERROR[] =
        "{\"code\":\"rate_limit_exceeded\",\"message\":\"Rate limit reached "
        "for gpt-4o-mini in organization org-standin on tokens per min.\"}";
    if (!facts->stream) {
        standin_say(answer, 200,
                    "{\"id\":\"resp_%016" PRIx64
                    "\",\"object\":\"response\",\"status\":\"failed\",\"error\":%s,\"output\":[]}",
                    facts->serial, ERROR);
        return;
    }
    standin_stream(
        answer,
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":"
        "\"resp_%016" PRIx64 "\",\"status\":\"in_progress\",\"error\":null}}\n\n",
        facts->serial);
    standin_stream(
        answer,
        "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":"
        "\"resp_%016" PRIx64 "\",\"status\":\"failed\",\"error\":%s}}\n\n",
        facts->serial, ERROR);
}

static void say(struct standin_answer *answer, enum standin_class what,
                const struct standin_facts *facts) {
    size_t length = strlen(facts->key);
    standin_header(answer, "x-request-id", "req_%016" PRIx64, facts->serial);
    switch (what) {
    case STANDIN_INVALID:
        standin_say(answer, 401,
                    ERROR_OBJECT("Incorrect API key provided: %.4s****%s. You can find your API "
                                 "key at https://platform.openai.com/account/api-keys.",
                                 "invalid_request_error", "null", "invalid_api_key"),
                    length > 8 ? facts->key : "", length > 8 ? facts->key + length - 4 : "");
        return;
    case STANDIN_PERMISSION:
        standin_say(answer, 403,
                    ERROR_OBJECT("Project `proj_standin` does not have access to model "
                                 "`gpt-4o-mini`",
                                 "invalid_request_error", "null", "model_not_found"));
        return;
    case STANDIN_QUOTA:
        standin_say(answer, 429,
                    ERROR_OBJECT("You exceeded your current quota, please check your plan and "
                                 "billing details. For more information on this error, read the "
                                 "docs: https://platform.openai.com/docs/guides/error-codes/"
                                 "api-errors.",
                                 "insufficient_quota", "null", "insufficient_quota"));
        return;
    case STANDIN_RATE:
        say_rate(answer, facts);
        return;
    case STANDIN_OVERLOAD:
    case STANDIN_OVERLOAD_IN_200:
        standin_say(answer, 503,
                    ERROR_OBJECT("The server is currently overloaded with other requests. Sorry "
                                 "about that! You can retry your request.",
                                 "server_error", "null", "server_is_overloaded"));
        return;
    case STANDIN_RATE_IN_200:
        say_rate_in_200(answer, facts);
        return;
    case STANDIN_REQUEST: /* it quotes what others use as a code */
        standin_say(answer, 400,
                    ERROR_OBJECT("Invalid value: 'insufficient_quota'. Supported values are: "
                                 "'system', 'assistant', 'user', 'function', 'tool', and "
                                 "'developer'.",
                                 "invalid_request_error", "\"messages[0].role\"", "invalid_value"));
        return;
    case STANDIN_LATE:
        say_completion(answer, facts);
        if (facts->stream)
            standin_break_off(
                answer,
                "data: " ERROR_OBJECT(
                    "The server had an error while processing your request. Sorry about that!",
                    "server_error", "null", "server_error") "\n\n");
        return;
    default:
        say_completion(answer, facts);
    }
}

const struct standin_vendor standin_openai = {
    .prefix = "/openai/",
    .path = "v1/chat/completions",
    .key_header = "authorization",
    .bearer = true,
    .say = say,
};
