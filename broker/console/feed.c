/* See feed.h. */
#include "feed.h"

#include <stdlib.h>
#include <string.h>

#include "../memory.h"
#include "../moment.h"
#include "../timetext.h"

enum {
    PIECE_BYTES = 16 * 1024, /* put together at a time */
    BLOCK_BYTES = 4096,
};

struct feed_stream {
    struct feed_stream *next, **link;
    struct feed *feed;
    struct MHD_Connection *connection;
    uint64_t visit;
    struct ring_cursor cursor;
    unsigned ticks; /* when it was sent something */
    bool suspended;
    struct buffer out;
};

void feed_init(struct feed *feed, feed_permission may_go_on, void *owner) {
    *feed = (struct feed){ .may_go_on = may_go_on, .owner = owner };
    pthread_mutex_init(&feed->lock, NULL);
}

void feed_deinit(struct feed *feed) {
    ring_deinit(&feed->ring);
    pthread_mutex_destroy(&feed->lock);
}

/* ---- what comes in ---- */

static void wake_all(struct feed *feed) {
    for (struct feed_stream *stream = feed->streams; stream; stream = stream->next)
        if (stream->suspended) {
            stream->suspended = false;
            MHD_resume_connection(stream->connection);
        }
}

void feed_begin(struct feed *feed, uint64_t after, uint64_t last) {
    pthread_mutex_lock(&feed->lock);
    ring_begin(&feed->ring, after, last);
    wake_all(feed);
    pthread_mutex_unlock(&feed->lock);
}

void feed_event(struct feed *feed, uint64_t seq, const char *json) {
    pthread_mutex_lock(&feed->lock);
    ring_add(&feed->ring, seq, json);
    wake_all(feed);
    pthread_mutex_unlock(&feed->lock);
}

void feed_beat(struct feed *feed, const char *json) {
    pthread_mutex_lock(&feed->lock);
    ring_beat(&feed->ring, json);
    wake_all(feed);
    pthread_mutex_unlock(&feed->lock);
}

void feed_connected(struct feed *feed, bool connected, const char *refused) {
    pthread_mutex_lock(&feed->lock);
    ring_connected(&feed->ring, connected, refused);
    wake_all(feed);
    pthread_mutex_unlock(&feed->lock);
}

void feed_tick(struct feed *feed) {
    pthread_mutex_lock(&feed->lock);
    feed->ticks++;
    wake_all(feed);
    pthread_mutex_unlock(&feed->lock);
}

void feed_wake(struct feed *feed) {
    pthread_mutex_lock(&feed->lock);
    wake_all(feed);
    pthread_mutex_unlock(&feed->lock);
}

void feed_stop(struct feed *feed) {
    pthread_mutex_lock(&feed->lock);
    feed->stopping = true;
    wake_all(feed);
    pthread_mutex_unlock(&feed->lock);
}

/* ---- what goes out ---- */

static bool put_together(struct feed_stream *stream) {
    struct feed *feed = stream->feed;
    char now[TIMETEXT_SIZE];
    bool done = true;
    if (ring_has_news(&feed->ring, &stream->cursor))
        done = ring_write(&feed->ring, &stream->cursor, timetext_format(moment_now().wall_ms, now),
                          PIECE_BYTES, &stream->out);
    else if (feed->ticks - stream->ticks > 1)
        done = buffer_append_text(&stream->out, ":\n\n");
    if (buffer_length(&stream->out))
        stream->ticks = feed->ticks;
    return done;
}

/* The next piece, or 0 and suspended. libmicrohttpd calls it whenever the socket has room. */
static ssize_t give_piece(void *userdata, uint64_t at, char *buffer, size_t room) {
    (void)at;
    struct feed_stream *stream = userdata;
    struct feed *feed = stream->feed;
    ssize_t piece = 0;
    pthread_mutex_lock(&feed->lock);
    if (feed->stopping || !feed->may_go_on(feed->owner, stream->visit)) {
        piece = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (!buffer_length(&stream->out) && !put_together(stream)) {
        piece = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (buffer_length(&stream->out)) {
        size_t length = buffer_length(&stream->out) < room ? buffer_length(&stream->out) : room;
        memcpy(buffer, buffer_bytes(&stream->out), length);
        buffer_consume(&stream->out, length);
        piece = (ssize_t)length;
    } else {
        stream->suspended = true;
        MHD_suspend_connection(stream->connection);
    }
    pthread_mutex_unlock(&feed->lock);
    return piece;
}

static void stream_gone(void *userdata) {
    struct feed_stream *stream = userdata;
    struct feed *feed = stream->feed;
    pthread_mutex_lock(&feed->lock);
    *stream->link = stream->next;
    if (stream->next)
        stream->next->link = stream->link;
    feed->count--;
    pthread_mutex_unlock(&feed->lock);
    buffer_deinit(&stream->out);
    free(stream);
}

struct MHD_Response *feed_open(struct feed *feed, struct MHD_Connection *connection, uint64_t visit,
                               bool resumes, uint64_t since) {
    struct feed_stream *stream = mem_alloc(sizeof *stream);
    *stream = (struct feed_stream){ .feed = feed,
                                    .connection = connection,
                                    .visit = visit,
                                    .cursor = { .resumes = resumes, .since = since } };
    pthread_mutex_lock(&feed->lock);
    bool room = feed->count < FEED_STREAMS_MAX && !feed->stopping;
    if (room) {
        stream->ticks = feed->ticks;
        stream->next = feed->streams;
        stream->link = &feed->streams;
        if (stream->next)
            stream->next->link = &stream->next;
        feed->streams = stream;
        feed->count++;
    }
    pthread_mutex_unlock(&feed->lock);
    if (!room) {
        free(stream);
        return NULL;
    }
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, give_piece, stream, stream_gone);
    if (!response)
        stream_gone(stream);
    return response;
}
