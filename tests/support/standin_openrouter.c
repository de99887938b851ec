/*
 * The stand-in vendor as OpenRouter: see standin_answer.h. Its codes are numbers, and a failure of
 * the provider behind it can come inside HTTP 200.
 */
#include "standin_answer.h"

#include <inttypes.h>
#include <time.h>

#define USER "\"user_id\":\"user_standin\""

static void say_completion(struct standin_answer *answer, const struct standin_facts *facts) {
    if (!facts->stream) {
        standin_say(answer, 200,
                    "{\"id\":\"gen-%016" PRIx64
                    "\",\"provider\":\"Standin\",\"model\":\"openai/gpt-4o-mini\",\"object\":"
                    "\"chat.completion\",\"created\":%lld,\"choices\":[{\"logprobs\":null,"
                    "\"finish_reason\":\"stop\",\"native_finish_reason\":\"stop\",\"index\":0,"
                    "\"message\":{\"role\":\"assistant\",\"content\":\"This is a stand-in.\","
                    "\"refusal\":null}}],\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":6,"
                    "\"total_tokens\":%zu}}",
                    facts->serial, (long long)time(NULL), facts->prompt_tokens,
                    facts->prompt_tokens + 6);
        return;
    }
    static const char *const texts[] = { "", "This is a ", "stand-in." };
    standin_stream(answer, ": OPENROUTER PROCESSING\n\n");
    for (size_t i = 0; i < 3; i++)
        standin_stream(answer,
                       "data: {\"id\":\"gen-%016" PRIx64
                       "\",\"provider\":\"Standin\",\"model\":\"openai/gpt-4o-mini\",\"object\":"
                       "\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":"
                       "\"assistant\",\"content\":\"%s\"},\"finish_reason\":%s}]}\n\n",
                       facts->serial, texts[i], i == 2 ? "\"stop\"" : "null");
    standin_stream(answer, "data: [DONE]\n\n");
}

static void say_failure_in_200(struct standin_answer *answer, const struct standin_facts *facts) {
    if (facts->stream)
        standin_stream(answer,
                       ": OPENROUTER PROCESSING\n\n"
                       "data: {\"id\":\"gen-%016" PRIx64
                       "\",\"object\":\"chat.completion.chunk\",\"provider\":\"Standin\","
                       "\"error\":{\"code\":502,\"message\":\"Provider disconnected "
                       "unexpectedly\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},"
                       "\"finish_reason\":\"error\"}]}\n\n",
                       facts->serial);
    else
        standin_say(answer, 200,
                    "{\"error\":{\"message\":\"Provider returned error\",\"code\":502,"
                    "\"metadata\":{\"provider_name\":\"Standin\",\"raw\":\"\"}}," USER "}");
}

/* In the choice. */
static void say_rate_in_200(struct standin_answer *answer, const struct standin_facts *facts) {
    static const char CHOICE[] =
        "\"choices\":[{\"index\":0,\"finish_reason\":\"error\",\"error\":{\"code\":"
        "429,\"message\":\"Rate limit exceeded\"}}]";
    if (facts->stream)
        standin_stream(answer,
                       ": OPENROUTER PROCESSING\n\ndata: {\"id\":\"gen-%016" PRIx64 "\",%s}\n\n"
                       "data: [DONE]\n\n",
                       facts->serial, CHOICE);
    else
        standin_say(answer, 200, "{\"id\":\"gen-%016" PRIx64 "\",%s}", facts->serial, CHOICE);
}

static void say_rate(struct standin_answer *answer, const struct standin_facts *facts) {
    long long reset_ms = (long long)time(NULL) * 1000 + (long long)facts->retry_ms + 999;
    standin_header(answer, "retry-after", "%" PRIu64, (facts->retry_ms + 999) / 1000);
    standin_header(answer, "x-ratelimit-limit", "%lld", facts->limit);
    standin_header(answer, "x-ratelimit-remaining", "0");
    standin_header(answer, "x-ratelimit-reset", "%lld", reset_ms);
    standin_say(answer, 429,
                "{\"error\":{\"message\":\"Rate limit exceeded: free-models-per-min. \",\"code\":"
                "429,\"metadata\":{\"headers\":{\"X-RateLimit-Limit\":\"%lld\","
                "\"X-RateLimit-Remaining\":\"0\",\"X-RateLimit-Reset\":\"%lld\"}}}," USER "}",
                facts->limit, reset_ms);
}

static void say(struct standin_answer *answer, enum standin_class what,
                const struct standin_facts *facts) {
    switch (what) {
    case STANDIN_INVALID:
        standin_say(answer, 401, "{\"error\":{\"message\":\"User not found.\",\"code\":401}}");
        return;
    case STANDIN_PERMISSION: /* which is moderation here: the caller's mistake */
        standin_say(answer, 403,
                    "{\"error\":{\"message\":\"openai/gpt-4o-mini requires moderation. Your input "
                    "was flagged.\",\"code\":403,\"metadata\":{\"reasons\":[\"violence\"],"
                    "\"flagged_input\":\"Hello\",\"provider_name\":\"Standin\"}}," USER "}");
        return;
    case STANDIN_QUOTA:
        standin_say(answer, 402,
                    "{\"error\":{\"message\":\"Insufficient credits. Add more using "
                    "https://openrouter.ai/settings/credits\",\"code\":402}," USER "}");
        return;
    case STANDIN_RATE:
        say_rate(answer, facts);
        return;
    case STANDIN_OVERLOAD:
        standin_say(answer, 502,
                    "{\"error\":{\"message\":\"Provider returned error\",\"code\":502,"
                    "\"metadata\":{\"provider_name\":\"Standin\",\"raw\":\"\"}}," USER "}");
        return;
    case STANDIN_RATE_IN_200:
        say_rate_in_200(answer, facts);
        return;
    case STANDIN_OVERLOAD_IN_200:
        say_failure_in_200(answer, facts);
        return;
    case STANDIN_REQUEST:
        standin_say(answer, 400,
                    "{\"error\":{\"message\":\"'insufficient credits' is not a valid model ID\","
                    "\"code\":400}," USER "}");
        return;
    case STANDIN_LATE:
        say_completion(answer, facts);
        if (facts->stream)
            standin_break_off(
                answer, "data: "
                        "{\"id\":\"gen-standin\",\"object\":\"chat.completion.chunk\",\"provider\":"
                        "\"Standin\",\"error\":{\"code\":502,\"message\":\"Provider disconnected "
                        "unexpectedly\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},"
                        "\"finish_reason\":\"error\"}]}\n\n");
        return;
    default:
        say_completion(answer, facts);
    }
}

const struct standin_vendor standin_openrouter = {
    .prefix = "/openrouter/",
    .path = "v1/chat/completions",
    .key_header = "authorization",
    .bearer = true,
    .say = say,
};
