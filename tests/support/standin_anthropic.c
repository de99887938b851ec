/*
 * The stand-in vendor as Anthropic: see standin_answer.h.
 */
#include "standin_answer.h"

#include <inttypes.h>

#define ERROR_OBJECT(type, message)                                                                \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message                  \
    "\"},\"request_id\":\"req_%016" PRIx64 "\"}"

static void say_message(struct standin_answer *answer, const struct standin_facts *facts) {
    if (!facts->stream) {
        standin_say(answer, 200,
                    "{\"id\":\"msg_%016" PRIx64
                    "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":"
                    "\"claude-haiku-4-5\",\"content\":[{\"type\":\"text\",\"text\":"
                    "\"This is a stand-in.\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":"
                    "null,\"usage\":{\"input_tokens\":%zu,\"output_tokens\":6}}",
                    facts->serial, facts->prompt_tokens);
        return;
    }
    standin_stream(answer,
                   "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":"
                   "\"msg_%016" PRIx64
                   "\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":"
                   "\"claude-haiku-4-5\",\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{"
                   "\"input_tokens\":%zu,\"output_tokens\":1}}}\n\n",
                   facts->serial, facts->prompt_tokens);
    standin_stream(answer, "event: content_block_start\ndata: {\"type\":\"content_block_start\","
                           "\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
                           "event: ping\ndata: {\"type\":\"ping\"}\n\n"
                           "event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
                           "\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":"
                           "\"This is a stand-in.\"}}\n\n"
                           "event: content_block_stop\ndata: {\"type\":\"content_block_stop\","
                           "\"index\":0}\n\n"
                           "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"
                           "\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{"
                           "\"output_tokens\":6}}\n\n"
                           "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

static void say_rate(struct standin_answer *answer, const struct standin_facts *facts) {
    char moment[32];
    standin_header(answer, "retry-after", "%" PRIu64, (facts->retry_ms + 999) / 1000);
    standin_header(answer, "anthropic-ratelimit-requests-limit", "%lld", facts->limit);
    standin_header(answer, "anthropic-ratelimit-requests-remaining", "0");
    standin_header(answer, "anthropic-ratelimit-requests-reset", "%s",
                   standin_moment(facts->retry_ms, moment));
    standin_header(answer, "anthropic-ratelimit-tokens-limit", "50000");
    standin_header(answer, "anthropic-ratelimit-tokens-remaining", "49000");
    standin_header(answer, "anthropic-ratelimit-tokens-reset", "%s",
                   standin_moment(3600000, moment));
    standin_say(answer, 429,
                ERROR_OBJECT("rate_limit_error",
                             "This request would exceed the rate limit for your organization "
                             "(org-standin) of %lld requests per minute. For details, refer to: "
                             "https://docs.claude.com/en/api/rate-limits."),
                facts->limit, facts->serial);
}

/* Behind the event that only announces the message. */
static void say_rate_in_200(struct standin_answer *answer, const struct standin_facts *facts) {
    if (!facts->stream) {
        standin_say(answer, 200, ERROR_OBJECT("rate_limit_error", "Slow down."), facts->serial);
        return;
    }
    standin_stream(answer,
                   "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":"
                   "\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[]}}\n\n"
                   "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    standin_stream(answer,
                   "event: error\ndata: " ERROR_OBJECT("rate_limit_error", "Slow down.") "\n\n",
                   facts->serial);
}

static void say(struct standin_answer *answer, enum standin_class what,
                const struct standin_facts *facts) {
    standin_header(answer, "request-id", "req_%016" PRIx64, facts->serial);
    switch (what) {
    case STANDIN_INVALID:
        standin_say(answer, 401, ERROR_OBJECT("authentication_error", "invalid x-api-key"),
                    facts->serial);
        return;
    case STANDIN_PERMISSION:
        standin_say(answer, 403,
                    ERROR_OBJECT("permission_error", "Your API key does not have permission to "
                                                     "use the specified resource."),
                    facts->serial);
        return;
    case STANDIN_QUOTA:
        standin_say(answer, 400,
                    ERROR_OBJECT("invalid_request_error",
                                 "Your credit balance is too low to access the Anthropic API. "
                                 "Please go to Plans & Billing to upgrade or purchase credits."),
                    facts->serial);
        return;
    case STANDIN_RATE:
        say_rate(answer, facts);
        return;
    case STANDIN_RATE_IN_200:
        say_rate_in_200(answer, facts);
        return;
    case STANDIN_OVERLOAD:
    case STANDIN_OVERLOAD_IN_200:
        standin_say(answer, 529, ERROR_OBJECT("overloaded_error", "Overloaded"), facts->serial);
        return;
    case STANDIN_REQUEST:
        standin_say(answer, 400,
                    ERROR_OBJECT("invalid_request_error",
                                 "messages.0.role: Input should be 'user' or 'assistant'; was "
                                 "'your credit balance is too low'"),
                    facts->serial);
        return;
    case STANDIN_LATE:
        say_message(answer, facts);
        if (facts->stream)
            standin_break_off(answer, "event: error\ndata: "
                                      "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_"
                                      "error\",\"message\":\"Overloaded\"}}\n\n");
        return;
    default:
        say_message(answer, facts);
    }
}

const struct standin_vendor standin_anthropic = {
    .prefix = "/anthropic/",
    .path = "v1/messages",
    .key_header = "x-api-key",
    .say = say,
};
