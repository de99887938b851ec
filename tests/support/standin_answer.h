/*
 * What the stand-in vendor (vendor_standin_main.c) says, in the words and shapes of four vendors:
 * standin_openai.c, standin_anthropic.c, standin_gemini.c, standin_openrouter.c. Nothing here knows
 * HTTP's other end or the broker; the facts come from the meter (standin_meter.h).
 */
#ifndef TESTS_STANDIN_ANSWER_H
#define TESTS_STANDIN_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum standin_class {
    STANDIN_SUCCESS,
    STANDIN_INVALID,
    STANDIN_PERMISSION,
    STANDIN_QUOTA,
    STANDIN_RATE,
    STANDIN_OVERLOAD,
    STANDIN_REQUEST,
    STANDIN_OVERLOAD_IN_200, /* OpenRouter: the error stands in an answer that says it is good */
    STANDIN_RATE_IN_200,     /* a rate limit likewise, of a stream behind what only announces it */
    STANDIN_DEAD,            /* the connection is closed without an answer */
    STANDIN_CUT,             /* it is closed in the middle of a good one */
    STANDIN_LATE,            /* a good stream that ends with an error event: overload */
    STANDIN_CLASSES
};

enum { STANDIN_BODY_MAX = 4096, STANDIN_HEADERS_MAX = 10 };

struct standin_header {
    char name[48];
    char value[80];
};

struct standin_answer {
    unsigned status;
    const char *content_type;
    struct standin_header headers[STANDIN_HEADERS_MAX];
    size_t header_count;
    char body[STANDIN_BODY_MAX];
    size_t length;
    size_t rest_at; /* not 0: so much is sent first, and a moment later what is left */
};

/* What an answer is about. */
struct standin_facts {
    const char *key;
    uint64_t serial; /* of the request */
    bool stream;     /* answer with an event stream if all is well */
    size_t prompt_tokens;
    long long limit, used; /* of the rate limit */
    uint64_t retry_ms;     /* until it ends */
};

struct standin_vendor {
    const char *prefix;     /* of its paths: "/openai/" */
    const char *path;       /* how the rest begins: "v1/chat/completions" */
    const char *key_header; /* where it wants the key */
    bool bearer;            /* … behind "Bearer " */
    void (*say)(struct standin_answer *answer, enum standin_class what,
                const struct standin_facts *facts);
};

extern const struct standin_vendor standin_openai, standin_anthropic, standin_gemini,
    standin_openrouter;

/* "invalid", "rate" …; STANDIN_CLASSES if it is none. */
enum standin_class standin_class_named(const char *name);
/* Whose path this is, with the rest behind the prefix; /v1/ is OpenAI's, too. NULL = nobody's. */
const struct standin_vendor *standin_vendor_of(const char *url, const char **ret_rest);

/* ---- for the vendors' files ---- */

void standin_say(struct standin_answer *answer, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Append to an event stream with status 200. */
void standin_stream(struct standin_answer *answer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* End the stream after its second event with this one instead, which comes a moment later. */
void standin_break_off(struct standin_answer *answer, const char *event);
void standin_header(struct standin_answer *answer, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Now and a while, in RFC 3339, whole seconds, rounded up. */
const char *standin_moment(uint64_t in_ms, char text[32]);

#endif
