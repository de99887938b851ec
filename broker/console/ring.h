/*
 * The ring: the newest events as the broker told them, so that a stream that was interrupted goes
 * on where it was. And what a stream still has to be sent, as text/event-stream wants it. Pure; the
 * feed (feed.h) locks it.
 *
 * Events are numbered without a hole within one life of the store. Where there is one (the broker
 * keeps only so many), or where another store answers, the ring begins anew, and streams are told
 * to load everything again.
 */
#ifndef CONSOLE_RING_H
#define CONSOLE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../buffer.h"

enum { RING_EVENTS_MAX = 1024 };

struct ring {
    char *events[RING_EVENTS_MAX]; /* JSON, one line each; owned; by sequence modulo the size */
    uint64_t first, next;          /* those that are there: first … next - 1 */
    uint64_t last;                 /* the newest there was when it began */
    bool begun;
    unsigned life;  /* how often it began anew */
    bool connected; /* to the broker */
    char *refused;  /* why not, if it is the broker that refuses, as JSON; owned */
    unsigned turns; /* how often that changed */
    unsigned beats;
    char *beat; /* the newest; owned; NULL = none yet */
};

void ring_deinit(struct ring *ring);
/* What comes next are the events behind `after`, of which those up to `last` happened already: new
 * streams wait until they are here. Streams that were open before are told to load anew. */
void ring_begin(struct ring *ring, uint64_t after, uint64_t last);
/* The next event (copied); one that leaves a hole begins the ring anew. Older ones are ignored. */
void ring_add(struct ring *ring, uint64_t seq, const char *json);
/* A heartbeat, as what follows "data: " (copied). */
void ring_beat(struct ring *ring, const char *json);
/* `refused`: where not connected because the broker refuses, why, as a JSON string (copied). */
void ring_connected(struct ring *ring, bool connected, const char *refused);

/* Where one stream is. */
struct ring_cursor {
    bool placed;  /* next and life are set */
    bool resumes; /* after `since` */
    uint64_t since;
    uint64_t next; /* event to send */
    unsigned life, turns, beats;
    bool greeted;
};

/* Is there something to send? */
bool ring_has_news(const struct ring *ring, const struct ring_cursor *cursor);
/* Append what the stream has not been sent yet, but not much more than `most` bytes at a time;
 * `now` is a time as text. False: no memory. */
bool ring_write(const struct ring *ring, struct ring_cursor *cursor, const char *now, size_t most,
                struct buffer *out);

#endif
