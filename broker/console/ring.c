/* See ring.h. */
#include "ring.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../memory.h"

static char **place_of(struct ring *ring, uint64_t seq) {
    return &ring->events[seq % RING_EVENTS_MAX];
}

static void drop_events(struct ring *ring) {
    for (; ring->first < ring->next; ring->first++) {
        free(*place_of(ring, ring->first));
        *place_of(ring, ring->first) = NULL;
    }
}

void ring_deinit(struct ring *ring) {
    drop_events(ring);
    free(ring->beat);
    free(ring->refused);
    *ring = (struct ring){ 0 };
}

void ring_begin(struct ring *ring, uint64_t after, uint64_t last) {
    drop_events(ring);
    ring->life += ring->begun;
    ring->begun = true;
    ring->first = ring->next = after + 1;
    ring->last = last;
}

void ring_add(struct ring *ring, uint64_t seq, const char *json) {
    if (ring->begun && seq < ring->next)
        return;
    if (!ring->begun || seq > ring->next)
        ring_begin(ring, seq - 1, ring->last);
    if (ring->next - ring->first == RING_EVENTS_MAX) {
        free(*place_of(ring, ring->first));
        ring->first++;
    }
    *place_of(ring, seq) = mem_strdup(json);
    ring->next = seq + 1;
}

void ring_beat(struct ring *ring, const char *json) {
    free(ring->beat);
    ring->beat = mem_strdup(json);
    ring->beats++;
}

void ring_connected(struct ring *ring, bool connected, const char *refused) {
    bool same =
        ring->refused && refused ? strcmp(ring->refused, refused) == 0 : !ring->refused == !refused;
    ring->turns += ring->connected != connected || !same;
    ring->connected = connected;
    if (same)
        return;
    free(ring->refused);
    ring->refused = refused ? mem_strdup(refused) : NULL;
}

/* ---- one stream ---- */

/* A stream in its place goes on with every event; one that needs a place waits for the last of
 * those that happened before. */
static bool is_open(const struct ring *ring, const struct ring_cursor *cursor) {
    return ring->begun &&
           ((cursor->placed && cursor->life == ring->life) || ring->next > ring->last);
}

bool ring_has_news(const struct ring *ring, const struct ring_cursor *cursor) {
    if (!cursor->greeted || cursor->turns != ring->turns || cursor->beats != ring->beats)
        return true;
    return is_open(ring, cursor) &&
           (!cursor->placed || cursor->life != ring->life || cursor->next != ring->next);
}

/* Find the place of a stream that resumes; one that can't has missed something. */
static bool place(const struct ring *ring, struct ring_cursor *cursor) {
    bool missed = cursor->placed && (cursor->life != ring->life || cursor->next < ring->first);
    if (!cursor->placed && cursor->resumes)
        missed = cursor->since + 1 < ring->first || cursor->since >= ring->next;
    if (!cursor->placed || missed)
        cursor->next =
            cursor->resumes && !missed && !cursor->placed ? cursor->since + 1 : ring->next;
    cursor->placed = true;
    cursor->life = ring->life;
    return missed;
}

static bool write_state(const struct ring *ring, struct ring_cursor *cursor, const char *now,
                        struct buffer *out) {
    if (cursor->greeted && cursor->turns == ring->turns)
        return true;
    if (!cursor->greeted && !ring->connected)
        cursor->beats = ring->beats; /* the last beat was another time's */
    cursor->greeted = true;
    cursor->turns = ring->turns;
    return buffer_printf(
        out,
        "retry: 1000\nevent: broker\ndata: {\"connected\":%s,\"refused\":%s,\"now\":\"%s\"}\n\n",
        ring->connected ? "true" : "false", ring->refused ? ring->refused : "null", now);
}

static bool write_events(const struct ring *ring, struct ring_cursor *cursor, size_t most,
                         struct buffer *out) {
    for (; cursor->next < ring->next && buffer_length(out) < most; cursor->next++)
        if (!buffer_printf(out, "id: %" PRIu64 "\nevent: change\ndata: %s\n\n", cursor->next,
                           ring->events[cursor->next % RING_EVENTS_MAX]))
            return false;
    return true;
}

bool ring_write(const struct ring *ring, struct ring_cursor *cursor, const char *now, size_t most,
                struct buffer *out) {
    if (!write_state(ring, cursor, now, out))
        return false;
    if (is_open(ring, cursor)) {
        if (place(ring, cursor) &&
            !buffer_printf(out, "id: %" PRIu64 "\nevent: reset\ndata: {}\n\n", ring->next - 1))
            return false;
        if (!write_events(ring, cursor, most, out))
            return false;
    }
    if (cursor->next < ring->next || cursor->beats == ring->beats)
        return true; /* a beat says that everything before it has been sent */
    cursor->beats = ring->beats;
    return buffer_printf(out, "event: beat\ndata: %s\n\n", ring->beat);
}
