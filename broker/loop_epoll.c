/*
 * The event loop on epoll, level-triggered: for kernels and containers that refuse io_uring.
 * Called through loop.c only. A source gets a bounded share of each turn, so that no sender can
 * keep the others waiting.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "loop_internal.h"
#include "memory.h"
#include "moment.h"

enum { EVENTS_PER_TURN = 256, EVENTS_BETWEEN = 64, READS_PER_SOURCE = 64 };

struct loop_epoll {
    struct loop base;
    int fd;
    int alarm_fd; /* a timer, watched edge-triggered: it need not be read */
    struct loop_alarm alarm;
    struct epoll_event events[EVENTS_PER_TURN];
};

static struct loop_epoll *epoll_of(struct loop *loop) {
    return (struct loop_epoll *)loop;
}

/* Errors and hang-ups are reported whether asked for or not; EPOLLONESHOT keeps a source that is
 * paused or at its end from waking the loop over and over. */
static uint32_t wanted_events(const struct loop_source *source) {
    uint32_t events = 0;
    if (loop_wants_read(source))
        events |= EPOLLIN;
    if (source->internal.write_wanted)
        events |= EPOLLOUT;
    return events ? events : (uint32_t)EPOLLONESHOT;
}

static void epoll_update(struct loop *loop, struct loop_source *source) {
    struct loop_epoll *self = epoll_of(loop);
    if (source->internal.closing) {
        if (source->internal.pending)
            epoll_ctl(self->fd, EPOLL_CTL_DEL, source->fd, NULL);
        source->internal.pending = 0;
        return;
    }
    struct epoll_event event = { .events = wanted_events(source), .data.ptr = source };
    if (event.events == source->internal.pending)
        return;
    if (epoll_ctl(self->fd, EPOLL_CTL_MOD, source->fd, &event) == 0)
        source->internal.pending = event.events;
    else
        loop_enqueue(loop, source);
}

static int epoll_add(struct loop *loop, struct loop_source *source) {
    struct loop_epoll *self = epoll_of(loop);
    /* Who wanted to connect may have gone again, and a blocking socket would wait for the next. */
    if (source->mode == LOOP_ACCEPT) {
        int flags = fcntl(source->fd, F_GETFL);
        if (flags < 0 || fcntl(source->fd, F_SETFL, flags | O_NONBLOCK) < 0)
            return -errno;
    }
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };
    if (epoll_ctl(self->fd, EPOLL_CTL_ADD, source->fd, &event) < 0)
        return -errno;
    source->internal.pending = event.events;
    return 0;
}

/* One a turn: a crowd that connects must neither hold up others' messages nor use up the
 * descriptors before those that make room are closed. */
static void accept_one(struct loop *loop, struct loop_source *source) {
    int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        loop_accepted(loop, source, fd);
    else if (errno != EAGAIN)
        loop_accept_failed(loop, source, -errno);
}

/* Not recvmsg, which could be handed descriptors: those that a peer passes are dropped. The length
 * of a packet is its own, also where less of it fits. */
static bool receive_one(struct loop_epoll *self, struct loop_source *source) {
    _Alignas(16) char buffer[LOOP_BUFFER_SIZE]; /* its own: packets are let in during callbacks */
    bool packets = source->mode == LOOP_PACKETS;
    ssize_t length =
        recv(source->fd, buffer, sizeof(buffer), MSG_DONTWAIT | (packets ? MSG_TRUNC : 0));
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (length <= 0) {
        loop_end(source, length < 0 ? -errno : 0);
        epoll_update(&self->base, source);
        return false;
    }
    bool truncated = (size_t)length > sizeof(buffer);
    size_t have = truncated ? sizeof(buffer) : (size_t)length;
    source->callbacks->on_data(source, buffer, have, truncated, 0);
    if (source->mode == LOOP_STREAM)
        explicit_bzero(buffer, have); /* it may have been a secret */
    /* A stream that gave less than it could is empty; what comes later makes a new event. */
    return packets || have == sizeof(buffer);
}

static void read_source(struct loop_epoll *self, struct loop_source *source) {
    if (source->mode == LOOP_READABLE) {
        source->callbacks->on_ready(source);
        return;
    }
    if (source->mode == LOOP_ACCEPT) {
        accept_one(&self->base, source);
        return;
    }
    bool sparing = source->mode == LOOP_PACKETS && source->internal.sparing;
    int most = sparing ? 1 : READS_PER_SOURCE;
    for (int i = 0; i < most && loop_wants_read(source); i++)
        if (!receive_one(self, source))
            return;
}

static void dispatch(struct loop_epoll *self, struct loop_source *source, uint32_t events) {
    uint32_t broken = events & (EPOLLHUP | EPOLLERR);
    if ((events & EPOLLIN || broken) && loop_wants_read(source))
        read_source(self, source);
    if ((events & EPOLLOUT || broken) && source->internal.write_wanted) {
        loop_writable(source);
        epoll_update(&self->base, source);
    }
}

static int set_alarm(struct loop_epoll *self, int64_t until_ns, int64_t now_ns) {
    int64_t left_ns = until_ns - now_ns;
    struct itimerspec time = { .it_value = { left_ns / 1000000000, left_ns % 1000000000 } };
    if (timerfd_settime(self->alarm_fd, 0, &time, NULL) < 0)
        return -errno;
    self->alarm.at_ns = until_ns;
    return 0;
}

/* Returns whether anything but the alarm was among them. */
static bool run_batch(struct loop_epoll *self, int count) {
    bool any = false;
    for (int i = 0; i < count; i++) {
        struct loop_source *source = self->events[i].data.ptr;
        any = any || source;
        if (source)
            dispatch(self, source, self->events[i].events);
        else
            self->alarm.at_ns = 0;
    }
    return any;
}

static int epoll_turn(struct loop *loop, int64_t until_ns, int64_t now_ns) {
    struct loop_epoll *self = epoll_of(loop);
    for (;;) {
        bool look = until_ns <= now_ns;
        int r = 0;
        if (!look && loop_alarm_is_late(&self->alarm, until_ns))
            r = set_alarm(self, until_ns, now_ns);
        if (r < 0)
            return r;
        int count = epoll_wait(self->fd, self->events, EVENTS_PER_TURN, look ? 0 : -1);
        if (count < 0)
            return errno == EINTR ? 0 : -errno;
        if (run_batch(self, count))
            return 0;
        now_ns = (int64_t)moment_mono_ns();
        if (until_ns <= now_ns)
            return 0;
    }
}

/* Level-triggered: what is left alone now is told again. */
static void epoll_let_packets_in(struct loop *loop) {
    struct loop_epoll *self = epoll_of(loop);
    struct epoll_event events[EVENTS_BETWEEN];
    int count = epoll_wait(self->fd, events, EVENTS_BETWEEN, 0);
    for (int i = 0; i < count; i++) {
        struct loop_source *source = events[i].data.ptr;
        if (source && source->mode == LOOP_PACKETS)
            dispatch(self, source, events[i].events);
        else if (!source) /* edge-triggered: this was its only word */
            self->alarm.at_ns = 0;
    }
}

static void epoll_free(struct loop *loop) {
    struct loop_epoll *self = epoll_of(loop);
    close(self->alarm_fd);
    close(self->fd);
    free(self);
}

static int watch_alarm(int fd) {
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    int alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (alarm_fd < 0)
        return -errno;
    if (epoll_ctl(fd, EPOLL_CTL_ADD, alarm_fd, &event) < 0) {
        int error = -errno;
        close(alarm_fd);
        return error;
    }
    return alarm_fd;
}

int loop_epoll_new(struct loop **ret_loop) {
    static const struct loop_operations operations = {
        .free = epoll_free,
        .add = epoll_add,
        .update = epoll_update,
        .turn = epoll_turn,
        .let_packets_in = epoll_let_packets_in,
    };
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return -errno;
    int alarm_fd = watch_alarm(fd);
    if (alarm_fd < 0) {
        close(fd);
        return alarm_fd;
    }
    struct loop_epoll *self = mem_alloc(sizeof(*self));
    self->alarm_fd = alarm_fd;
    self->base.operations = &operations;
    self->base.stats.name = "epoll";
    self->fd = fd;
    *ret_loop = &self->base;
    return 0;
}
