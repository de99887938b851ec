/*
 * The event loop's common part: picks io_uring or epoll, keeps the wishes of each source, the queue
 * of sources to look at after a batch, and the pause of listening sockets that ran out of
 * descriptors. Called by main and by everything that owns a descriptor. Enters the kernel only
 * through the chosen implementation, but for closing descriptors.
 */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "loop_internal.h"
#include "moment.h"

enum {
    ACCEPT_PAUSE_US = 100 * 1000,
    ACCEPTS_PER_MS = 16, /* of all listeners; who connects on and on shall not have a processor */
};

static void queue_push(struct loop_queue *queue, struct loop_source *source) {
    assert(!source->internal.queued);
    source->internal.queued = true;
    source->internal.next = NULL;
    if (queue->last)
        queue->last->internal.next = source;
    else
        queue->first = source;
    queue->last = source;
}

static struct loop_source *queue_pop(struct loop_queue *queue) {
    struct loop_source *source = queue->first;
    if (!source)
        return NULL;
    queue->first = source->internal.next;
    if (!queue->first)
        queue->last = NULL;
    source->internal.next = NULL;
    source->internal.queued = false;
    return source;
}

int loop_new(struct loop **ret_loop, enum loop_kind kind) {
    if (kind != LOOP_EPOLL) {
        int r = loop_uring_new(ret_loop);
        if (r < 0 && kind == LOOP_URING)
            log_error("io_uring cannot be used: %s", strerror(-r));
        if (r == 0 || kind == LOOP_URING)
            return r;
        log_info("io_uring is not available here (%s): using epoll", strerror(-r));
    }
    return loop_epoll_new(ret_loop);
}

struct loop *loop_free(struct loop *loop) {
    if (loop) {
        assert(!loop->turning);
        loop->operations->free(loop);
    }
    return NULL;
}

int loop_add(struct loop *loop, struct loop_source *source) {
    memset(&source->internal, 0, sizeof(source->internal));
    int result = loop->operations->add(loop, source);
    source->internal.counted = result == 0;
    loop->stats.sources += result == 0;
    return result;
}

void loop_pause(struct loop *loop, struct loop_source *source) {
    if (source->internal.closing || source->internal.paused)
        return;
    source->internal.paused = true;
    source->internal.sparing = true;
    loop->operations->update(loop, source);
}

void loop_resume(struct loop *loop, struct loop_source *source) {
    if (source->internal.closing || !source->internal.paused)
        return;
    source->internal.paused = false;
    loop->operations->update(loop, source);
}

void loop_want_write(struct loop *loop, struct loop_source *source) {
    if (source->internal.closing || source->internal.write_wanted)
        return;
    source->internal.write_wanted = true;
    loop->operations->update(loop, source);
}

/* The descriptor itself is closed only when the kernel has let go of every operation: an operation
 * that is prepared but not yet submitted names its file by number, and must not find a newer file
 * under it. */
void loop_close(struct loop *loop, struct loop_source *source) {
    if (source->internal.closing)
        return;
    source->internal.closing = true;
    source->internal.write_wanted = false;
    loop->operations->update(loop, source);
    if (source->internal.held)
        loop->held_until_ns = 0;
    if (source->internal.pending == 0)
        loop_enqueue(loop, source);
}

void loop_enqueue(struct loop *loop, struct loop_source *source) {
    if (!source->internal.queued)
        queue_push(&loop->work, source);
}

/* Look away from a listening socket for a while. */
static void hold(struct loop *loop, struct loop_source *source, uint32_t pause_us) {
    source->internal.held = true;
    source->internal.held_us = pause_us;
    loop_enqueue(loop, source);
}

void loop_accepted(struct loop *loop, struct loop_source *source, int fd) {
    int64_t mono_ms = (int64_t)(moment_mono_ns() / 1000000);
    loop->accept_failing = false;
    if (loop->accepting_ms != mono_ms)
        loop->accepts = 0;
    loop->accepting_ms = mono_ms;
    if (++loop->accepts >= ACCEPTS_PER_MS)
        hold(loop, source, 1000);
    source->callbacks->on_accept(source, fd);
}

void loop_accept_failed(struct loop *loop, struct loop_source *source, int error) {
    if (error == -ECONNABORTED || error == -EINTR || error == -ECANCELED)
        return;
    if (!loop->accept_failing)
        log_warning("cannot accept a connection: %s; trying again every 100 ms", strerror(-error));
    loop->accept_failing = true;
    hold(loop, source, ACCEPT_PAUSE_US);
}

void loop_end(struct loop_source *source, int error) {
    source->internal.ended = true;
    source->callbacks->on_data(source, "", 0, false, error);
}

void loop_writable(struct loop_source *source) {
    source->internal.write_wanted = false;
    source->callbacks->on_writable(source);
}

static void release_held(struct loop *loop) {
    if (!loop->held.first || (int64_t)moment_mono_ns() < loop->held_until_ns)
        return;
    for (struct loop_source *source; (source = queue_pop(&loop->held));) {
        source->internal.held = false;
        queue_push(&loop->work, source);
    }
}

static void settle(struct loop *loop, struct loop_source *source) {
    if (source->internal.closing && source->internal.pending == 0) {
        close(source->fd);
        source->fd = -1;
        loop->stats.sources -= source->internal.counted;
        source->callbacks->on_closed(source);
    } else if (source->internal.held && !source->internal.closing) {
        int64_t until_ns = (int64_t)moment_mono_ns() + (int64_t)source->internal.held_us * 1000;
        if (!loop->held.first || until_ns < loop->held_until_ns)
            loop->held_until_ns = until_ns;
        queue_push(&loop->held, source);
        loop->operations->update(loop, source);
    } else {
        loop->operations->update(loop, source);
    }
}

/* What these callbacks enqueue waits for the next turn, so that a turn ends. */
static void settle_all(struct loop *loop) {
    struct loop_queue batch = loop->work;
    loop->work = (struct loop_queue){ 0 };
    for (struct loop_source *source; (source = queue_pop(&batch));)
        settle(loop, source);
}

static int64_t turn_until_ns(const struct loop *loop, int64_t until_ns) {
    if (loop->work.first)
        return 0;
    if (loop->held.first && loop->held_until_ns < until_ns)
        until_ns = loop->held_until_ns;
    return until_ns;
}

int loop_turn(struct loop *loop, int64_t until_ms) {
    int64_t until_ns;
    if (__builtin_mul_overflow(until_ms, 1000000, &until_ns))
        until_ns = until_ms < 0 ? 0 : LOOP_NO_TIMEOUT;
    return loop_turn_until(loop, until_ns);
}

int loop_turn_until(struct loop *loop, int64_t until_ns) {
    assert(!loop->turning);
    loop->turning = true;
    loop->stats.turns++;
    int r = loop->operations->turn(loop, turn_until_ns(loop, until_ns), (int64_t)moment_mono_ns());
    if (r == 0) {
        release_held(loop);
        settle_all(loop);
    }
    loop->turning = false;
    return r;
}

void loop_let_packets_in(struct loop *loop) {
    loop->operations->let_packets_in(loop);
}

const struct loop_stats *loop_stats(const struct loop *loop) {
    return &loop->stats;
}
