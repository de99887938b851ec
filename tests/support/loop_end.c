/* See loop_end.h. */
#include "loop_end.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "moment.h"

int64_t now_ms(void) {
    return moment_now().mono_ms;
}

char pattern(size_t position) {
    return (char)(position * 31 + (position >> 8) + (position >> 16));
}

void end_close(struct end *end) {
    end->in_close = true;
    loop_close(end->loop, &end->source);
    end->in_close = false;
}

static void note_accept(struct loop_source *source, int fd) {
    struct end *end = source->owner;
    if (end->accepted++)
        close(end->accepted_fd);
    end->accepted_fd = fd;
    if (end->victim)
        end_close(end->victim);
}

static void note_data(struct loop_source *source, const void *data, size_t length, bool truncated,
                      int error) {
    struct end *end = source->owner;
    cr_assert_not(source->internal.closing, "a closed source was called");
    cr_assert_eq(end->ends, 0u, "a source was called after its end");
    if (length == 0) {
        end->ends++;
        end->error = error;
        return;
    }
    cr_assert_leq(length, LOOP_BUFFER_SIZE);
    memcpy(end->last, data, length);
    if (end->messages < KEPT_MESSAGES) {
        end->lengths[end->messages] = length;
        end->truncated[end->messages] = truncated;
    }
    if (end->numbered)
        cr_assert_eq(memcmp(data, &end->messages, sizeof(end->messages)), 0, "out of order");
    for (size_t i = 0; end->patterned && i < length; i++)
        cr_assert_eq(((const char *)data)[i], pattern(end->bytes + i));
    end->messages++;
    end->bytes += length;
    if (end->echoes)
        cr_assert_eq(send(source->fd, data, length, MSG_NOSIGNAL), (ssize_t)length);
    if (end->let_in) {
        unsigned number = end->let_in->messages;
        cr_assert_eq(send(end->let_in->far, &number, sizeof number, 0), (ssize_t)sizeof number);
        loop_let_packets_in(end->loop);
        cr_assert_eq(end->let_in->messages, number + 1, "the packet was not let in");
    }
    if (end->victim)
        end_close(end->victim);
}

static void note_ready(struct loop_source *source) {
    struct end *end = source->owner;
    uint64_t one;
    cr_assert_eq(read(source->fd, &one, sizeof(one)), (ssize_t)sizeof(one));
    end->ready++;
}

static void note_writable(struct loop_source *source) {
    struct end *end = source->owner;
    end->writable++;
}

static void note_closed(struct loop_source *source) {
    struct end *end = source->owner;
    cr_assert_not(end->in_close, "on_closed came from inside loop_close");
    end->closed++;
}

static const struct loop_callbacks noting = {
    .on_accept = note_accept,
    .on_data = note_data,
    .on_ready = note_ready,
    .on_writable = note_writable,
    .on_closed = note_closed,
};

struct loop *make_loop(enum loop_kind kind) {
    struct loop *loop = NULL;
    int r = loop_new(&loop, kind);
    if (kind == LOOP_URING && (r == -EPERM || r == -ENOSYS || r == -EACCES || r == -EOPNOTSUPP))
        cr_skip_test("io_uring is refused here: %s", strerror(-r));
    cr_assert_eq(r, 0, "no loop: %s", strerror(-r));
    cr_assert_str_eq(loop_stats(loop)->name, kind == LOOP_URING ? "io_uring" : "epoll");
    return loop;
}

void watch(struct loop *loop, struct end *end, int fd, enum loop_mode mode) {
    end->loop = loop;
    end->source.fd = fd;
    end->source.mode = mode;
    end->source.callbacks = &noting;
    end->source.owner = end;
    cr_assert_eq(loop_add(loop, &end->source), 0);
}

void watch_pair(struct loop *loop, struct end *end, int type) {
    int fds[2];
    cr_assert_eq(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    end->far = fds[1];
    watch(loop, end, fds[0], type == SOCK_STREAM ? LOOP_STREAM : LOOP_PACKETS);
}

void say(const struct end *end, const char *text) {
    cr_assert_eq(send(end->far, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

void look(struct loop *loop) {
    for (int i = 0; i < 4; i++)
        cr_assert_eq(loop_turn(loop, 0), 0);
}

void dismiss(struct end *end) {
    if (!end->closed)
        end_close(end);
    TURN_UNTIL(end->loop, end->closed);
    look(end->loop);
    cr_assert_eq(end->closed, 1u);
    if (end->far > 0)
        close(end->far);
}

int listener_new(int type, struct sockaddr_un *ret_address, socklen_t *ret_length) {
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    *ret_length = sizeof(*ret_address);
    cr_assert_eq(bind(fd, (struct sockaddr *)ret_address, sizeof(sa_family_t)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)ret_address, ret_length), 0);
    cr_assert_eq(listen(fd, 64), 0);
    return fd;
}

int client_new(int type, const struct sockaddr_un *address, socklen_t length) {
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)address, length), 0, "%s", strerror(errno));
    return fd;
}

unsigned turns_within(struct loop *loop, int64_t duration_ms) {
    uint64_t before = loop_stats(loop)->turns;
    int64_t until_ms = now_ms() + duration_ms;
    while (now_ms() < until_ms)
        cr_assert_eq(loop_turn(loop, until_ms), 0);
    return (unsigned)(loop_stats(loop)->turns - before);
}

rlim_t lowest_free_descriptor(void) {
    int fd = dup(STDERR_FILENO);
    close(fd);
    return (rlim_t)fd;
}

rlim_t limit_descriptors(rlim_t count) {
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = count;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

unsigned open_descriptors(void) {
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    cr_assert_not_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}
