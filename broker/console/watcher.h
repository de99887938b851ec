/*
 * The watcher: the console's one `watch` connection to the broker, which it opens anew whenever it
 * breaks or falls silent, at the event where it was. What it hears goes into the feed. A broker
 * that refuses does so until somebody changes something, so it is asked less and less often, and
 * the log says it once. Never blocks; the link steps it. Link's thread only.
 */
#ifndef CONSOLE_WATCHER_H
#define CONSOLE_WATCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "../buffer.h"
#include "feed.h"

enum watcher_state {
    WATCHER_AWAY,     /* not connected */
    WATCHER_ASKING,   /* for `show info`: which event is the newest, is it the same store */
    WATCHER_WATCHING, /* `watch` was asked for; `heard` once it was granted */
};

struct watcher {
    const char *runtime_dir;
    struct feed *feed;
    enum watcher_state state;
    int fd;
    struct buffer in, out;
    bool heard;
    bool complained;  /* that the broker is away, or refuses */
    bool refused;     /* the last try */
    int64_t due_ms;   /* away: the next try; else: the end of patience with its silence */
    int64_t pause_ms; /* before the next try */
    /* Of the broker whose events are in the feed: */
    bool begun;
    uint64_t next_seq;
    int64_t start, pid;
};

void watcher_init(struct watcher *watcher, const char *runtime_dir, struct feed *feed);
void watcher_deinit(struct watcher *watcher);
/* What to poll watcher->fd for, when it is not -1. */
short watcher_events(const struct watcher *watcher);
void watcher_step(struct watcher *watcher, bool ready, int64_t mono_ms);

#endif
