/*
 * An answer that comes as an event stream, piece by piece: has it begun, and what came last? HTTP
 * said 200 long before, so vendors put a failure into an event; which one and what it means the
 * library knows (kb_report_http), who needs the beginning before anything is passed on, and the end
 * when it is over. Pure.
 */
#ifndef EXAMPLES_STREAM_H
#define EXAMPLES_STREAM_H

#include <stdbool.h>
#include <stddef.h>

/* An event may repeat the whole request (OpenAI's response.failed does): half of what is kept
 * should hold one. */
enum { STREAM_LINE_MAX = 48, STREAM_KEPT = 128 * 1024 };

struct stream {
    bool began;      /* an event with content is there, or an error; comments are none, nor is what
                        only announces an answer */
    bool announcing; /* the event that is coming only does that */
    bool cut;        /* what is kept begins in the middle of a line */
    size_t length;   /* of line */
    char line[STREAM_LINE_MAX]; /* how the line that is coming begins */
    size_t kept;                /* of end */
    char end[STREAM_KEPT];      /* what came last */
};

void stream_begin(struct stream *stream);
void stream_take(struct stream *stream, const char *data, size_t length);
/* What came last, half of STREAM_KEPT at least or all of it, from the beginning of a line. */
const char *stream_end(const struct stream *stream, size_t *ret_length);

#endif
