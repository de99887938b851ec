/*
 * See standin_answer.h: what the vendors' files have in common.
 */
#include "standin_answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum standin_class standin_class_named(const char *name) {
    static const char *const names[STANDIN_CLASSES] = {
        "success", "invalid",     "permission", "quota", "rate", "overload",
        "request", "overload200", "rate200",    "dead",  "cut",  "late",
    };
    unsigned i = 0;
    while (i < STANDIN_CLASSES && strcmp(names[i], name) != 0)
        i++;
    return (enum standin_class)i;
}

const struct standin_vendor *standin_vendor_of(const char *url, const char **ret_rest) {
    static const struct standin_vendor *const vendors[] = { &standin_openai, &standin_anthropic,
                                                            &standin_gemini, &standin_openrouter };
    if (strncmp(url, "/v1/", 4) == 0) {
        *ret_rest = url + 1;
        return &standin_openai;
    }
    for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
        size_t length = strlen(vendors[i]->prefix);
        if (strncmp(url, vendors[i]->prefix, length) == 0) {
            *ret_rest = url + length;
            return vendors[i];
        }
    }
    return NULL;
}

__attribute__((format(printf, 2, 0))) static void append(struct standin_answer *answer,
                                                         const char *format, va_list arguments) {
    size_t room = sizeof(answer->body) - answer->length;
    int length = vsnprintf(answer->body + answer->length, room, format, arguments);
    if (length > 0)
        answer->length += (size_t)length < room ? (size_t)length : room - 1;
}

void standin_say(struct standin_answer *answer, unsigned status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    answer->status = status;
    answer->content_type = "application/json";
    answer->length = 0;
    append(answer, format, arguments);
    va_end(arguments);
}

void standin_stream(struct standin_answer *answer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    answer->status = 200;
    answer->content_type = "text/event-stream";
    append(answer, format, arguments);
    va_end(arguments);
}

void standin_break_off(struct standin_answer *answer, const char *event) {
    unsigned events = 0;
    size_t at = 0, line = 0; /* where we are, and where its line began */
    for (; at < answer->length && events < 2; at++) {
        if (answer->body[at] != '\n')
            continue;
        events += at - line < 2; /* an empty line ends an event */
        line = at + 1;
    }
    answer->length = answer->rest_at = at;
    standin_stream(answer, "%s", event);
}

void standin_header(struct standin_answer *answer, const char *name, const char *format, ...) {
    if (answer->header_count == STANDIN_HEADERS_MAX)
        return;
    struct standin_header *header = &answer->headers[answer->header_count++];
    va_list arguments;
    va_start(arguments, format);
    snprintf(header->name, sizeof(header->name), "%s", name);
    vsnprintf(header->value, sizeof(header->value), format, arguments);
    va_end(arguments);
}

const char *standin_moment(uint64_t in_ms, char text[32]) {
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t at_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + in_ms;
    time_t at_s = (time_t)((at_ms + 999) / 1000);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at_s, &utc));
    return text;
}
