/*
 * The feed: the ring of events and every stream that is open on it. The link's thread puts in what
 * the broker says; the HTTP thread sends it, each stream at its own pace: one with nothing to send
 * is suspended until there is something, one whose reader does not read waits in its own socket
 * until the server's time-out ends it. `lock` guards everything here; it may be held while
 * libmicrohttpd is asked to suspend or resume, never the other way round.
 */
#ifndef CONSOLE_FEED_H
#define CONSOLE_FEED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <microhttpd.h>

#include "ring.h"

enum { FEED_STREAMS_MAX = 320 };

struct feed_stream;

/* May a visit's stream go on? Asked in the HTTP thread. */
typedef bool (*feed_permission)(void *owner, uint64_t visit);

struct feed {
    pthread_mutex_t lock;
    struct ring ring;
    struct feed_stream *streams;
    unsigned count;
    unsigned ticks;
    bool stopping;
    feed_permission may_go_on;
    void *owner;
};

void feed_init(struct feed *feed, feed_permission may_go_on, void *owner);
void feed_deinit(struct feed *feed); /* after the last stream has gone */

/* ---- the link's thread ---- */

void feed_begin(struct feed *feed, uint64_t after, uint64_t last);
void feed_event(struct feed *feed, uint64_t seq, const char *json);
void feed_beat(struct feed *feed, const char *json);
void feed_connected(struct feed *feed, bool connected,
                    const char *refused); /* as the ring has it */
/* About once a second: streams with nothing to say say so, which shows whose reader has gone. */
void feed_tick(struct feed *feed);

/* ---- the HTTP thread ---- */

/* A stream for this connection as a response, to be queued and destroyed; NULL = too many. */
struct MHD_Response *feed_open(struct feed *feed, struct MHD_Connection *connection, uint64_t visit,
                               bool resumes, uint64_t since);

/* ---- anybody ---- */

/* Let every stream end, and suspend none any more: before libmicrohttpd is stopped. */
void feed_stop(struct feed *feed);
/* A visit ended: have its streams look. */
void feed_wake(struct feed *feed);

#endif
