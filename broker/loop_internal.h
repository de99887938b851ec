/*
 * What loop.c shares with its two implementations and with nobody else.
 *
 * A source carries wishes (paused, ended, held, closing, write_wanted). loop.c and the callbacks'
 * calls change wishes; an implementation's `update` brings the kernel in line with them and may be
 * called at any time, also when nothing changed. What cannot be done at once is queued and looked
 * at again when the turn's batch is over. That is also where on_closed is called: during a batch a
 * source may be closed but its memory is still there.
 */
#ifndef BROKER_LOOP_INTERNAL_H
#define BROKER_LOOP_INTERNAL_H

#include "loop.h"

#define LOOP_NO_TIMEOUT INT64_MAX

/*
 * How the implementations keep time. A timeout given with each wait makes the kernel set and take
 * back a timer around each message, which costs microseconds where that leaves a virtual machine.
 * So a single alarm stays set across turns. It is moved only to ring sooner; one that rings too
 * soon, because what it was for is over, is set again by the turn that it woke.
 */
struct loop_alarm {
    int64_t at_ns; /* 0 = not set */
};

static inline bool loop_alarm_is_late(const struct loop_alarm *alarm, int64_t until_ns) {
    return until_ns != LOOP_NO_TIMEOUT && (alarm->at_ns == 0 || alarm->at_ns > until_ns);
}

struct loop_operations {
    void (*free)(struct loop *loop);
    int (*add)(struct loop *loop, struct loop_source *source);
    void (*update)(struct loop *loop, struct loop_source *source);
    /* Wait, at most until then, and run the callbacks of one batch; a past moment only looks. Both
     * are CLOCK_MONOTONIC. 0 or -errno. */
    int (*turn)(struct loop *loop, int64_t until_ns, int64_t now_ns);
    void (*let_packets_in)(struct loop *loop);
};

struct loop_queue {
    struct loop_source *first, *last;
};

struct loop {
    const struct loop_operations *operations;
    struct loop_stats stats;
    struct loop_queue work; /* closed, or to be updated again after the batch */
    struct loop_queue held; /* listening sockets that pause: no descriptor, or enough accepted */
    int64_t accepting_ms;   /* the last millisecond in which connections came, and how many */
    uint32_t accepts;
    int64_t held_until_ns; /* CLOCK_MONOTONIC; when all of `held` try again */
    bool accept_failing;   /* so that a shortage is logged once, not ten times a second */
    bool turning;
};

int loop_uring_new(struct loop **ret_loop);
int loop_epoll_new(struct loop **ret_loop);

/* Have the source looked at after the batch: on_closed if it is closed and nothing in the kernel
 * refers to it any more, else `update`. */
void loop_enqueue(struct loop *loop, struct loop_source *source);

void loop_accepted(struct loop *loop, struct loop_source *source, int fd);
/* An accept failed with -errno: look away for 100 ms where trying again at once would only spin. */
void loop_accept_failed(struct loop *loop, struct loop_source *source, int error);
/* The peer closed (0) or -errno: report it once and read no more. */
void loop_end(struct loop_source *source, int error);
void loop_writable(struct loop_source *source);

static inline bool loop_wants_read(const struct loop_source *source) {
    return !source->internal.paused && !source->internal.ended && !source->internal.held &&
           !source->internal.closing;
}

#endif
