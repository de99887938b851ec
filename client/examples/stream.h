/*
 * An answer that comes as an event stream, looked at piece by piece: has it begun, and did an event
 * say that it failed? HTTP said 200 long before, so vendors put a late error into an event. Pure.
 */
#ifndef EXAMPLES_STREAM_H
#define EXAMPLES_STREAM_H

#include <stdbool.h>
#include <stddef.h>

enum { STREAM_LINE_MAX = 4096 }; /* longer lines are no errors */

struct stream {
    bool began;    /* the first event with data is there; comments before it are none */
    bool failed;   /* an event was an error: then line is its data line */
    int status;    /* … and this the HTTP status that would have said the same */
    size_t length; /* of line, as far as it has come */
    char line[STREAM_LINE_MAX];
};

void stream_begin(struct stream *stream);
/* What comes after the first error is not looked at. */
void stream_take(struct stream *stream, const char *data, size_t length);

#endif
