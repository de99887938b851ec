/*
 * See stream.h.
 */
#include "stream.h"

#include <string.h>

static bool begins(const struct stream *stream, const char *prefix) {
    size_t length = strlen(prefix);
    return stream->length >= length && memcmp(stream->line, prefix, length) == 0;
}

/* OpenAI's and Anthropic's first events: an error may follow at once, and then nothing was lost. */
static bool is_announcement(const struct stream *stream) {
    return begins(stream, "event: response.created") || begins(stream, "event: response.queued") ||
           begins(stream, "event: response.in_progress") ||
           begins(stream, "event: message_start") || begins(stream, "event: ping");
}

static void end_line(struct stream *stream) {
    if (begins(stream, "event:"))
        stream->announcing = is_announcement(stream);
    else if (begins(stream, "data:"))
        stream->began |= !stream->announcing;
    else if (stream->length == 0 || begins(stream, "\r"))
        stream->announcing = false;
    stream->length = 0;
}

/* The older half goes when it is full. */
static void keep_end(struct stream *stream, const char *data, size_t length) {
    while (length > 0) {
        if (stream->kept == STREAM_KEPT) {
            stream->kept = STREAM_KEPT / 2;
            memmove(stream->end, stream->end + STREAM_KEPT / 2, STREAM_KEPT / 2);
            stream->cut = true;
        }
        size_t room = STREAM_KEPT - stream->kept, piece = length < room ? length : room;
        memcpy(stream->end + stream->kept, data, piece);
        stream->kept += piece;
        data += piece;
        length -= piece;
    }
}

void stream_begin(struct stream *stream) {
    stream->began = false;
    stream->announcing = false;
    stream->cut = false;
    stream->length = 0;
    stream->kept = 0;
}

void stream_take(struct stream *stream, const char *data, size_t length) {
    for (size_t i = 0; i < length && !stream->began; i++) {
        if (data[i] == '\n')
            end_line(stream);
        else if (stream->length < STREAM_LINE_MAX)
            stream->line[stream->length++] = data[i];
    }
    keep_end(stream, data, length);
}

const char *stream_end(const struct stream *stream, size_t *ret_length) {
    const char *end = stream->end, *begin = end;
    if (stream->cut) {
        const char *newline = memchr(end, '\n', stream->kept);
        begin = newline ? newline + 1 : end + stream->kept;
    }
    *ret_length = stream->kept - (size_t)(begin - end);
    return begin;
}
