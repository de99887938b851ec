/*
 * The stand-in vendor as Gemini: see standin_answer.h.
 */
#include "standin_answer.h"

#include <inttypes.h>

#define TYPE(name) "{\"@type\":\"type.googleapis.com/google.rpc." name "\","
#define ERROR_OBJECT(code, message, status, details)                                               \
    "{\n  \"error\": {\n    \"code\": " code ",\n    \"message\": \"" message                      \
    "\",\n    \"status\": \"" status "\"" details "\n  }\n}\n"

static void say_content(struct standin_answer *answer, const struct standin_facts *facts) {
    if (!facts->stream) {
        standin_say(answer, 200,
                    "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"This is a stand-in.\"}],"
                    "\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],"
                    "\"usageMetadata\":{\"promptTokenCount\":%zu,\"candidatesTokenCount\":6,"
                    "\"totalTokenCount\":%zu},\"modelVersion\":\"gemini-2.5-flash\","
                    "\"responseId\":\"%016" PRIx64 "\"}",
                    facts->prompt_tokens, facts->prompt_tokens + 6, facts->serial);
        return;
    }
    static const char *const texts[] = { "This is", " a", " stand-in." };
    for (size_t i = 0; i < 3; i++)
        standin_stream(answer,
                       "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"%s\"}],"
                       "\"role\": \"model\"},%s\"index\": 0}],\"usageMetadata\": {"
                       "\"promptTokenCount\": %zu,\"totalTokenCount\": %zu},\"modelVersion\": "
                       "\"gemini-2.5-flash\",\"responseId\": \"%016" PRIx64 "\"}\r\n\r\n",
                       texts[i], i == 2 ? "\"finishReason\": \"STOP\"," : "", facts->prompt_tokens,
                       facts->prompt_tokens + i * 2, facts->serial);
}

static void say_rate(struct standin_answer *answer, const struct standin_facts *facts) {
    standin_say(
        answer, 429,
        ERROR_OBJECT(
            "429",
            "You exceeded your current quota, please check your plan and billing details. For more "
            "information on this error, head to: "
            "https://ai.google.dev/gemini-api/docs/rate-limits.",
            "RESOURCE_EXHAUSTED",
            ",\n    \"details\": [" TYPE(
                "QuotaFailure") "\"violations\":[{\"quotaMetric\":\"generativelanguage.googleapis."
                                "com/generate_content_requests\",\"quotaId\":"
                                "\"GenerateRequestsPerMinutePerProjectPerModel\",\"quotaValue\":"
                                "\"%lld\"}]}," TYPE(
                                    "Help") "\"links\":[{\"description\":\"Learn more about Gemini "
                                            "API quotas\","
                                            "\"url\":\"https://ai.google.dev/gemini-api/docs/"
                                            "rate-limits\"}]}," TYPE(
                                                "RetryInfo") "\"retryDelay\":\"%" PRIu64
                                                             ".%03" PRIu64 "s\"}]"),
        facts->limit, facts->retry_ms / 1000, facts->retry_ms % 1000);
}

static void say_rate_in_200(struct standin_answer *answer, const struct standin_facts *facts) {
    static const char ERROR[] =
        "{\"error\": {\"code\": 429,\"message\": \"You exceeded your current "
        "quota.\",\"status\": \"RESOURCE_EXHAUSTED\"}}";
    if (facts->stream)
        standin_stream(answer, "data: %s\r\n\r\n", ERROR);
    else
        standin_say(answer, 200, "[%s]", ERROR);
}

static void say(struct standin_answer *answer, enum standin_class what,
                const struct standin_facts *facts) {
    switch (what) {
    case STANDIN_INVALID:
        standin_say(
            answer, 400, "%s",
            ERROR_OBJECT(
                "400", "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT",
                ",\n    \"details\": [" TYPE(
                    "ErrorInfo") "\"reason\":\"API_KEY_INVALID\",\"domain\":\"googleapis.com\","
                                 "\"metadata\":{\"service\":"
                                 "\"generativelanguage.googleapis.com\"}}," TYPE(
                                     "LocalizedMessage") "\"locale\":\"en-US\",\"message\":\"API "
                                                         "key not valid. "
                                                         "Please pass a valid API key.\"}]"));
        return;
    case STANDIN_PERMISSION:
        standin_say(
            answer, 403, "%s",
            ERROR_OBJECT("403", "Requests to this API method are blocked.", "PERMISSION_DENIED",
                         ",\n    \"details\": [" TYPE(
                             "ErrorInfo") "\"reason\":\"API_KEY_SERVICE_BLOCKED\",\"domain\":"
                                          "\"googleapis.com\"}]"));
        return;
    case STANDIN_QUOTA:
        standin_say(
            answer, 402, "%s",
            ERROR_OBJECT("402", "Your prepayment credits are depleted.", "RESOURCE_EXHAUSTED", ""));
        return;
    case STANDIN_RATE:
        say_rate(answer, facts);
        return;
    case STANDIN_RATE_IN_200:
        say_rate_in_200(answer, facts);
        return;
    case STANDIN_OVERLOAD:
    case STANDIN_OVERLOAD_IN_200:
        standin_say(answer, 503, "%s",
                    ERROR_OBJECT("503", "The model is overloaded. Please try again later.",
                                 "UNAVAILABLE", ""));
        return;
    case STANDIN_REQUEST:
        standin_say(
            answer, 400, "%s",
            ERROR_OBJECT("400", "Please use a valid role: user, model. It was API_KEY_INVALID.",
                         "INVALID_ARGUMENT",
                         ",\n    \"details\": [" TYPE(
                             "BadRequest") "\"fieldViolations\":[{\"field\":\"contents[0].role\","
                                           "\"description\":\"Please use a valid role: user, "
                                           "model.\"}]}]"));
        return;
    case STANDIN_LATE:
        say_content(answer, facts);
        if (facts->stream)
            standin_break_off(
                answer, "data: {\"error\": {\"code\": 503,\"message\": \"The model is overloaded. "
                        "Please try again later.\",\"status\": \"UNAVAILABLE\"}}\r\n\r\n");
        return;
    default:
        say_content(answer, facts);
    }
}

const struct standin_vendor standin_gemini = {
    .prefix = "/gemini/",
    .path = "v1beta/models/",
    .key_header = "x-goog-api-key",
    .say = say,
};
