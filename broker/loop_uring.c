/*
 * The event loop on io_uring, the only file with io_uring_*. Called through loop.c only, and only
 * by the thread that made the loop (the ring has a single issuer; a forked child has none).
 *
 * One io_uring_enter per turn submits what the last turn's callbacks asked for, sleeps, and brings
 * the next batch; a message reaches its callback without another system call. Receiving is a
 * multishot operation: it stays in the kernel until it ends by itself (no buffers, a full
 * completion queue, an error) and is then started again. Not so for packets of a source that is to
 * be read sparingly, one a turn, nor is accepting: a turn takes one connection from each listener,
 * so that a crowd that connects neither holds up others' messages nor uses up the descriptors
 * before those that make room are closed.
 *
 * user_data is the source's address with the operation in the low three bits, 0 for operations
 * whose end nobody waits for. A cancellation may outlive its source: should a new source lie at the
 * same address, its operations are submitted after the cancellation and cannot be hit by it.
 */
#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loop_internal.h"
#include "memory.h"
#include "moment.h"

enum {
    RING_ENTRIES = 256,
    RING_ENTRIES_LEAST = 16,
    COMPLETIONS_PER_ENTRY = 16,
    PACKET_BUFFERS = 256,
    PACKET_BUFFER_SIZE = LOOP_BUFFER_SIZE + 16, /* what fills more than the former was cut */
    STREAM_BUFFERS = 64,
    BUFFERS_LEAST = 8,
};

enum operation {
    OPERATION_NONE,
    OPERATION_ACCEPT,
    OPERATION_PACKETS,
    OPERATION_STREAM,
    OPERATION_READABLE,
    OPERATION_WRITABLE,
    OPERATION_ALARM, /* of no source */
    OPERATION_MASK = 7
};

/* Buffers the kernel takes from when data comes, and gets back after each callback. Packets and
 * streams have their own, so that a busy admin connection cannot starve reports of theirs. */
struct buffers {
    struct io_uring_buf_ring *ring;
    char *memory;
    size_t mapped_bytes;
    unsigned count; /* a power of two */
    unsigned each_bytes;
    int group;
};

struct completion {
    uint64_t tag;
    int result;
    uint32_t flags;
};

struct loop_uring {
    struct loop base;
    struct io_uring ring;
    struct { /* completions that came before packets which were let in; for the next turn */
        struct completion *items;
        size_t count, capacity;
    } put_off;
    struct buffers packets, streams;
    struct loop_alarm alarm;
    struct __kernel_timespec alarm_time; /* read by the kernel when the operation is submitted */
};

static struct loop_uring *uring_of(struct loop *loop) {
    return (struct loop_uring *)loop;
}

static void buffers_give(struct buffers *buffers, unsigned id) {
    io_uring_buf_ring_add(buffers->ring, buffers->memory + (size_t)id * buffers->each_bytes,
                          buffers->each_bytes, (unsigned short)id,
                          io_uring_buf_ring_mask(buffers->count), 0);
    io_uring_buf_ring_advance(buffers->ring, 1);
}

static int buffers_try(struct buffers *buffers, struct io_uring *ring, unsigned count) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t ring_bytes = (count * sizeof(struct io_uring_buf) + page - 1) & ~(page - 1);
    size_t bytes = ring_bytes + (size_t)count * buffers->each_bytes;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)memory,
        .ring_entries = count,
        .bgid = (uint16_t)buffers->group,
    };
    int r = io_uring_register_buf_ring(ring, &registration, 0);
    if (r < 0) {
        munmap(memory, bytes);
        return r;
    }
    buffers->ring = (struct io_uring_buf_ring *)memory;
    buffers->memory = memory + ring_bytes;
    buffers->mapped_bytes = bytes;
    buffers->count = count;
    io_uring_buf_ring_init(buffers->ring);
    for (unsigned id = 0; id < count; id++)
        buffers_give(buffers, id);
    return 0;
}

static int buffers_init(struct buffers *buffers, struct io_uring *ring, int group, unsigned count,
                        unsigned each_bytes) {
    buffers->group = group;
    buffers->each_bytes = each_bytes;
    int r = buffers_try(buffers, ring, count);
    while (r == -ENOMEM && count > BUFFERS_LEAST) {
        count /= 2;
        r = buffers_try(buffers, ring, count);
    }
    return r;
}

static void buffers_deinit(struct buffers *buffers) {
    if (buffers->ring)
        munmap(buffers->ring, buffers->mapped_bytes);
}

static struct io_uring_sqe *operation_new(struct loop_uring *self, struct loop_source *source) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
    if (!sqe) {
        io_uring_submit(&self->ring);
        sqe = io_uring_get_sqe(&self->ring);
    }
    if (!sqe)
        loop_enqueue(&self->base, source);
    return sqe;
}

static uint64_t operation_tag(const struct loop_source *source, enum operation operation) {
    return (uint64_t)(uintptr_t)source | (uint64_t)operation;
}

static enum operation read_operation(const struct loop_source *source) {
    switch (source->mode) {
    case LOOP_ACCEPT:
        return OPERATION_ACCEPT;
    case LOOP_PACKETS:
        return OPERATION_PACKETS;
    case LOOP_STREAM:
        return OPERATION_STREAM;
    case LOOP_READABLE:
        break;
    }
    return OPERATION_READABLE;
}

static void start(struct loop_uring *self, struct loop_source *source, enum operation operation) {
    struct io_uring_sqe *sqe = operation_new(self, source);
    if (!sqe)
        return;
    switch (operation) {
    case OPERATION_ACCEPT:
        io_uring_prep_accept(sqe, source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        break;
    case OPERATION_PACKETS:
        if (source->internal.sparing)
            io_uring_prep_recv(sqe, source->fd, NULL, 0, 0);
        else
            io_uring_prep_recv_multishot(sqe, source->fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = (uint16_t)self->packets.group;
        break;
    case OPERATION_STREAM:
        io_uring_prep_recv_multishot(sqe, source->fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = (uint16_t)self->streams.group;
        break;
    case OPERATION_READABLE:
        /* Not multishot: that reports changes, and an owner that reads only a part would never
         * hear of the rest. Starting it again costs no system call of its own. */
        io_uring_prep_poll_add(sqe, source->fd, POLLIN);
        break;
    case OPERATION_WRITABLE:
        io_uring_prep_poll_add(sqe, source->fd, POLLOUT);
        break;
    case OPERATION_NONE:
    case OPERATION_ALARM:
    case OPERATION_MASK:
        abort();
    }
    io_uring_sqe_set_data64(sqe, operation_tag(source, operation));
    source->internal.pending++;
    if (operation == OPERATION_WRITABLE)
        source->internal.write_armed = true;
    else
        source->internal.read_armed = true;
}

static void cancel(struct loop_uring *self, struct loop_source *source, enum operation operation) {
    struct io_uring_sqe *sqe = operation_new(self, source);
    if (!sqe)
        return;
    io_uring_prep_cancel64(sqe, operation_tag(source, operation), 0);
    io_uring_sqe_set_data64(sqe, OPERATION_NONE);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void uring_update(struct loop *loop, struct loop_source *source) {
    struct loop_uring *self = uring_of(loop);
    if (loop_wants_read(source) != source->internal.read_armed) {
        if (source->internal.read_armed)
            cancel(self, source, read_operation(source));
        else
            start(self, source, read_operation(source));
    }
    if (source->internal.write_wanted && !source->internal.write_armed)
        start(self, source, OPERATION_WRITABLE);
    else if (source->internal.closing && source->internal.write_armed)
        cancel(self, source, OPERATION_WRITABLE);
}

static int uring_add(struct loop *loop, struct loop_source *source) {
    assert(((uintptr_t)source & OPERATION_MASK) == 0);
    uring_update(loop, source);
    return 0;
}

static void received(struct loop_uring *self, struct loop_source *source, enum operation operation,
                     int result, uint32_t flags) {
    struct buffers *buffers = operation == OPERATION_PACKETS ? &self->packets : &self->streams;
    bool taken = flags & IORING_CQE_F_BUFFER;
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
    void *buffer = taken ? buffers->memory + (size_t)id * buffers->each_bytes : NULL;
    bool heard = !source->internal.closing && !source->internal.ended;

    if (!heard || result == -ENOBUFS || result == -ECANCELED || result == -EINTR ||
        result == -EAGAIN)
        ; /* nothing to tell; if it is still wanted the caller starts it again */
    else if (result <= 0 || !buffer)
        loop_end(source, result < 0 ? result : 0);
    else if (result > LOOP_BUFFER_SIZE)
        source->callbacks->on_data(source, buffer, LOOP_BUFFER_SIZE, true, 0);
    else
        source->callbacks->on_data(source, buffer, (size_t)result, false, 0);
    if (buffer && operation == OPERATION_STREAM && result > 0)
        explicit_bzero(buffer, (size_t)result); /* it may have been a secret */
    if (taken)
        buffers_give(buffers, id);
}

static void accepted(struct loop_uring *self, struct loop_source *source, int result) {
    if (result >= 0 && source->internal.closing)
        close(result);
    else if (result >= 0)
        loop_accepted(&self->base, source, result);
    else if (!source->internal.closing)
        loop_accept_failed(&self->base, source, result);
}

static void dispatch(struct loop_uring *self, uint64_t tag, int result, uint32_t flags) {
    enum operation operation = (enum operation)(tag & OPERATION_MASK);
    if (operation == OPERATION_ALARM)
        self->alarm.at_ns = 0;
    if (operation == OPERATION_NONE || operation == OPERATION_ALARM)
        return;
    struct loop_source *source = (struct loop_source *)(uintptr_t)(tag & ~(uint64_t)OPERATION_MASK);
    bool over = !(flags & IORING_CQE_F_MORE);
    if (over) {
        assert(source->internal.pending > 0);
        source->internal.pending--;
        if (operation == OPERATION_WRITABLE)
            source->internal.write_armed = false;
        else
            source->internal.read_armed = false;
    }
    if (operation == OPERATION_ACCEPT)
        accepted(self, source, result);
    else if (operation == OPERATION_PACKETS || operation == OPERATION_STREAM)
        received(self, source, operation, result, flags);
    else if (operation == OPERATION_READABLE && result != -ECANCELED && loop_wants_read(source))
        source->callbacks->on_ready(source);
    else if (operation == OPERATION_WRITABLE && source->internal.write_wanted)
        loop_writable(source);

    if (!over && !source->internal.ended)
        return;
    if ((operation == OPERATION_PACKETS || operation == OPERATION_STREAM) &&
        loop_wants_read(source) && !source->internal.read_armed)
        self->base.stats.rearmed++;
    if (source->internal.closing && source->internal.pending == 0)
        loop_enqueue(&self->base, source);
    else
        uring_update(&self->base, source);
}

/* Relative, because a container's monotonic clock may be another one than the ring's. An update
 * that comes too late, because the alarm is ringing, is harmless: the ring is heard first. */
static void set_alarm(struct loop_uring *self, int64_t until_ns, int64_t now_ns) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
    if (!sqe) {
        io_uring_submit(&self->ring);
        sqe = io_uring_get_sqe(&self->ring);
    }
    if (!sqe)
        return;
    int64_t left_ns = until_ns - now_ns;
    self->alarm_time = (struct __kernel_timespec){ left_ns / 1000000000, left_ns % 1000000000 };
    if (self->alarm.at_ns == 0) {
        io_uring_prep_timeout(sqe, &self->alarm_time, 0, 0);
        io_uring_sqe_set_data64(sqe, OPERATION_ALARM);
    } else {
        io_uring_prep_timeout_update(sqe, &self->alarm_time, OPERATION_ALARM, 0);
        io_uring_sqe_set_data64(sqe, OPERATION_NONE);
    }
    self->alarm.at_ns = until_ns;
}

/* The next completion, released before its callback, which may need the ring itself. */
static bool take_completion(struct loop_uring *self, struct completion *ret_completion) {
    struct io_uring_cqe *cqe;
    if (io_uring_peek_cqe(&self->ring, &cqe) < 0)
        return false;
    *ret_completion = (struct completion){ io_uring_cqe_get_data64(cqe), cqe->res, cqe->flags };
    io_uring_cqe_seen(&self->ring, cqe);
    return true;
}

static void dispatch_put_off(struct loop_uring *self) {
    struct completion *items = self->put_off.items;
    size_t count = self->put_off.count;
    self->put_off.items = NULL; /* a callback may put off more */
    self->put_off.count = self->put_off.capacity = 0;
    for (size_t i = 0; i < count; i++)
        dispatch(self, items[i].tag, items[i].result, items[i].flags);
    free(items);
}

/* Only what is there now: what callbacks cause waits for the next turn. Returns whether anything
 * but the alarm, or its setting, was among them. */
static bool run_batch(struct loop_uring *self) {
    bool any = self->put_off.count > 0;
    struct completion completion;
    unsigned ready = io_uring_cq_ready(&self->ring);
    if (any)
        dispatch_put_off(self);
    for (; ready > 0 && take_completion(self, &completion); ready--) {
        any = any || (completion.tag != OPERATION_ALARM && completion.tag != OPERATION_NONE);
        dispatch(self, completion.tag, completion.result, completion.flags);
    }
    return any;
}

static void put_off(struct loop_uring *self, const struct completion *completion) {
    if (self->put_off.count == self->put_off.capacity) {
        self->put_off.capacity = self->put_off.capacity ? self->put_off.capacity * 2 : 64;
        self->put_off.items =
            mem_resize(self->put_off.items, self->put_off.capacity, sizeof(struct completion));
    }
    self->put_off.items[self->put_off.count++] = *completion;
}

static void uring_let_packets_in(struct loop *loop) {
    struct loop_uring *self = uring_of(loop);
    struct completion completion;
    if (io_uring_submit_and_get_events(&self->ring) < 0)
        return;
    for (unsigned ready = io_uring_cq_ready(&self->ring);
         ready > 0 && take_completion(self, &completion); ready--) {
        if ((completion.tag & OPERATION_MASK) == OPERATION_PACKETS)
            dispatch(self, completion.tag, completion.result, completion.flags);
        else
            put_off(self, &completion);
    }
}

static int uring_turn(struct loop *loop, int64_t until_ns, int64_t now_ns) {
    struct loop_uring *self = uring_of(loop);
    struct __kernel_timespec none = { 0 };
    struct io_uring_cqe *cqe = NULL;
    for (;;) {
        int r;
        if (until_ns <= now_ns || self->put_off.count) {
            r = io_uring_submit_and_wait_timeout(&self->ring, &cqe, 1, &none, NULL);
        } else {
            if (loop_alarm_is_late(&self->alarm, until_ns))
                set_alarm(self, until_ns, now_ns);
            r = io_uring_submit_and_wait(&self->ring, 1);
        }
        if (r < 0 && r != -ETIME && r != -EINTR && r != -EAGAIN && r != -EBUSY)
            return r;
        if (run_batch(self) || r == -EINTR || loop->work.first)
            return 0;
        now_ns = (int64_t)moment_mono_ns();
        if (until_ns <= now_ns)
            return 0;
    }
}

/* The kernel tears a ring down in its own time. Cancelling first, and waiting for it, makes sure
 * that nothing still writes to the buffers and that no file stays open behind the owner's back.
 * Sources may be gone already: only their tags are looked at. */
static void uring_free(struct loop *loop) {
    struct loop_uring *self = uring_of(loop);
    struct io_uring_sync_cancel_reg everything = {
        .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
        .timeout = { -1, -1 },
    };
    io_uring_register_sync_cancel(&self->ring, &everything);
    io_uring_get_events(&self->ring);
    struct completion completion;
    while (take_completion(self, &completion))
        put_off(self, &completion);
    for (size_t i = 0; i < self->put_off.count; i++) {
        struct completion *last = &self->put_off.items[i];
        if ((last->tag & OPERATION_MASK) == OPERATION_ACCEPT && last->result >= 0)
            close(last->result);
    }
    io_uring_queue_exit(&self->ring);
    buffers_deinit(&self->packets);
    buffers_deinit(&self->streams);
    free(self->put_off.items);
    free(self);
}

/* A kernel that knows IORING_SETUP_SINGLE_ISSUER (6.0) also has multishot receiving and buffer
 * rings; an older one is better served by epoll. DEFER_TASKRUN came with 6.1. */
static int ring_init(struct io_uring *ring) {
    static const unsigned styles[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
    };
    int r = -EINVAL;
    for (size_t i = 0; r == -EINVAL && i < sizeof(styles) / sizeof(styles[0]); i++) {
        unsigned entries = RING_ENTRIES;
        do {
            struct io_uring_params parameters = {
                .flags = styles[i] | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                         IORING_SETUP_R_DISABLED,
                .cq_entries = entries * COMPLETIONS_PER_ENTRY,
            };
            r = io_uring_queue_init_params(entries, ring, &parameters);
            entries /= 2;
        } while (r == -ENOMEM && entries >= RING_ENTRIES_LEAST);
    }
    return r == -EINVAL ? -EOPNOTSUPP : r;
}

/* liburing 2.3 declares functions for this and lacks them. */
static long ring_register(struct io_uring *ring, unsigned what, const void *items, unsigned count) {
    return syscall(SYS_io_uring_register, ring->ring_fd, what, items, count);
}

/* A ring obeys no seccomp filter: what is submitted to it, by whomever, runs with the broker's
 * rights. So it is bound to what this file uses before it is enabled, and one that cannot be bound
 * is not used. Registering is over by then but for its end. */
static int ring_enable(struct io_uring *ring) {
    static const uint8_t operations[] = { IORING_OP_ACCEPT,   IORING_OP_RECV,
                                          IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
                                          IORING_OP_TIMEOUT,  IORING_OP_TIMEOUT_REMOVE };
    enum { OPERATIONS = sizeof(operations) };
    struct io_uring_restriction allowed[OPERATIONS + 3] = {
        { .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
          .sqe_flags = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS },
        { .opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_SYNC_CANCEL },
        { .opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_UNREGISTER_RING_FDS },
    };
    for (size_t i = 0; i < OPERATIONS; i++)
        allowed[3 + i] = (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_SQE_OP,
                                                        .sqe_op = operations[i] };
    if (ring_register(ring, IORING_REGISTER_RESTRICTIONS, allowed, OPERATIONS + 3) < 0 ||
        ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
        return -errno;
    return 0;
}

int loop_uring_new(struct loop **ret_loop) {
    static const struct loop_operations operations = {
        .free = uring_free,
        .add = uring_add,
        .update = uring_update,
        .turn = uring_turn,
        .let_packets_in = uring_let_packets_in,
    };
    struct loop_uring *self = mem_alloc(sizeof(*self));
    self->base.operations = &operations;
    self->base.stats.name = "io_uring";
    int r = ring_init(&self->ring);
    if (r < 0) {
        free(self);
        return r;
    }
    io_uring_register_ring_fd(&self->ring); /* saves a look-up per turn; goes without, too */
    r = buffers_init(&self->packets, &self->ring, 0, PACKET_BUFFERS, PACKET_BUFFER_SIZE);
    if (r >= 0)
        r = buffers_init(&self->streams, &self->ring, 1, STREAM_BUFFERS, LOOP_BUFFER_SIZE);
    if (r >= 0)
        r = ring_enable(&self->ring);
    /* Filters may let a ring be made and refuse its use: look before anyone relies on it. */
    if (r >= 0)
        r = io_uring_get_events(&self->ring);
    if (r < 0) {
        uring_free(&self->base);
        return r;
    }
    *ret_loop = &self->base;
    return 0;
}
