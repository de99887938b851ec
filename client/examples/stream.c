/*
 * See stream.h.
 */
#include "stream.h"

#include <string.h>

#include <jansson.h>

static const char *word(const json_t *error, const char *name) {
    const char *value = json_string_value(json_object_get(error, name));
    return value ? value : "";
}

/* Some say it as a number, the others in the words that they use with that status. */
static int status_of(const json_t *error) {
    static const struct {
        const char *name;
        int status;
    } words[] = {
        { "rate_limit_error", 429 },   { "rate_limit_exceeded", 429 },
        { "insufficient_quota", 429 }, { "invalid_request_error", 400 },
        { "overloaded_error", 529 },
    };
    json_int_t code = json_integer_value(json_object_get(error, "code"));
    if (code >= 400 && code <= 599)
        return (int)code;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(word(error, "type"), words[i].name) == 0 ||
            strcmp(word(error, "code"), words[i].name) == 0)
            return words[i].status;
    return 500;
}

static void look_at_line(struct stream *stream) {
    static const char prefix[] = "data:";
    size_t before = sizeof(prefix) - 1;
    stream->line[stream->length] = '\0';
    if (stream->length < before || memcmp(stream->line, prefix, before) != 0)
        return;
    stream->began = true;
    if (!strstr(stream->line, "\"error\"")) /* nearly always: nothing to parse */
        return;
    json_t *event = json_loads(stream->line + before, 0, NULL);
    const json_t *error = json_object_get(event, "error");
    if (json_is_object(error)) {
        stream->failed = true;
        stream->status = status_of(error);
    }
    json_decref(event);
}

void stream_begin(struct stream *stream) {
    stream->began = false;
    stream->failed = false;
    stream->length = 0;
}

void stream_take(struct stream *stream, const char *data, size_t length) {
    for (size_t i = 0; i < length && !stream->failed; i++) {
        if (data[i] != '\n') {
            if (stream->length < STREAM_LINE_MAX - 1)
                stream->line[stream->length++] = data[i];
            continue;
        }
        look_at_line(stream);
        if (!stream->failed)
            stream->length = 0;
    }
}
