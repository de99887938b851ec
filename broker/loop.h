/*
 * The event loop: descriptors in, callbacks out. One thread: the one that made it, and no forked
 * child. Two implementations, io_uring (loop_uring.c, the only file with io_uring_*) and epoll
 * (loop_epoll.c); loop.c picks and forwards.
 *
 * The owner embeds a struct loop_source per descriptor and hands it over; while it is watched the
 * loop owns its `internal` part. Callbacks may watch, close or stop anything, also the source they
 * run for; memory of a source may be freed only from its on_closed or after it.
 */
#ifndef BROKER_LOOP_H
#define BROKER_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct loop_source;

enum loop_kind { LOOP_AUTO, LOOP_URING, LOOP_EPOLL };

enum loop_mode {
    LOOP_ACCEPT,  /* a listening socket: on_accept for every connection, one a turn and at
                     most 16 a millisecond */
    LOOP_PACKETS, /* SOCK_SEQPACKET or SOCK_DGRAM: on_data for every message, whole */
    LOOP_STREAM,  /* SOCK_STREAM: on_data for bytes as they come */
    LOOP_READABLE /* anything pollable (eventfd, signalfd): on_ready, the owner reads */
};

struct loop_callbacks {
    /* `fd` is the owner's (SOCK_CLOEXEC|SOCK_NONBLOCK). On EMFILE and the like the loop itself
     * waits 100 ms before it accepts again. */
    void (*on_accept)(struct loop_source *source, int fd);
    /* `data` holds during the call. length 0: the peer closed, or `error` (-errno) happened; the
     * source is then no longer read. `truncated`: a packet longer than LOOP_BUFFER_SIZE, of which
     * data is the beginning. */
    void (*on_data)(struct loop_source *source, const void *data, size_t length, bool truncated,
                    int error);
    void (*on_ready)(struct loop_source *source);
    void (*on_writable)(struct loop_source *source); /* once per loop_want_write */
    void (*on_closed)(
        struct loop_source *source); /* after loop_close: nothing refers to it any more */
};

enum { LOOP_BUFFER_SIZE = 4096 };

struct loop_source {
    int fd;
    enum loop_mode mode;
    const struct loop_callbacks *callbacks;
    void *owner;
    struct {
        struct loop_source *next;
        uint32_t held_us;
        uint32_t pending; /* io_uring: operations in the kernel; epoll: the events registered */
        bool paused, ended, held, closing, write_wanted; /* what is wished */
        bool sparing;                                    /* one packet a turn */
        bool read_armed, write_armed;                    /* what io_uring was told */
        bool queued;
        bool counted; /* among the sources: it was added */
    } internal;
};

struct loop_stats {
    const char *name; /* "io_uring" or "epoll" */
    uint64_t turns;
    uint64_t sources; /* added and not closed yet, or still on the way to on_closed */
    uint64_t rearmed; /* multishot operations that had ended and were started again */
};

/* LOOP_AUTO takes io_uring, or epoll with one log line where the kernel or a seccomp profile
 * refuses io_uring. Ring memory counts against RLIMIT_MEMLOCK on some kernels: the ring is halved
 * on ENOMEM. 0 or -errno. */
int loop_new(struct loop **ret_loop, enum loop_kind kind);
struct loop *loop_free(struct loop *loop); /* closes nothing; returns NULL */

/* Begin to watch; fills source->internal. Caller has set fd, mode, callbacks, owner. 0 or -errno.
 */
int loop_add(struct loop *loop, struct loop_source *source);

/* Stop and start reading (back-pressure). Data already received may still arrive after a pause. A
 * source of packets that was paused once gives one a turn from then on, so that what has queued up
 * in its socket does not hold up others'. */
void loop_pause(struct loop *loop, struct loop_source *source);
void loop_resume(struct loop *loop, struct loop_source *source);

/* Call on_writable once when the descriptor takes data again. */
void loop_want_write(struct loop *loop, struct loop_source *source);

/* No callback from here on but on_closed, never from inside this call: at the end of the turn, or
 * of a later one, when the kernel has let go of every operation. The descriptor is closed just
 * before on_closed, so that its number cannot be reused too early; source->fd is then -1. Also for
 * a source that could not be added, or was not yet (`internal` is zero then): one way to let go. */
void loop_close(struct loop *loop, struct loop_source *source);

/* Sleep until something happens or CLOCK_MONOTONIC reaches `until_ms` (INT64_MAX = no limit; a past
 * moment only looks), then run the callbacks of all that is ready. 0, or -errno when the loop
 * itself is broken. A signal may end the sleep early, without an error. */
int loop_turn(struct loop *loop, int64_t until_ms);
int loop_turn_until(struct loop *loop, int64_t until_ns); /* the same, in nanoseconds */

/* For what takes long, in a callback or between two turns: run on_data of the packets
 * (LOOP_PACKETS) that have come meanwhile, and nothing else; everything else stays for the next
 * turn, in its order. Not from a packet's own callback. */
void loop_let_packets_in(struct loop *loop);

const struct loop_stats *loop_stats(const struct loop *loop);

#endif
