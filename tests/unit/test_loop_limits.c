/*
 * The loop when something runs short: buffers, descriptors, completions, and a kernel or a
 * container that refuses io_uring.
 */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "../support/loop_end.h"

/* Each message carries its number; the loop has fewer buffers than there are messages. */
LOOP_TEST(more_messages_than_buffers_lose_nothing_and_keep_their_order) {
    enum { SENDERS = 40, EACH = 60 };
    struct loop *loop = make_loop(kind);
    static struct end ends[SENDERS];
    int room = 1 << 20;
    for (size_t i = 0; i < SENDERS; i++) {
        ends[i] = (struct end){ .numbered = true };
        watch_pair(loop, &ends[i], SOCK_SEQPACKET);
        setsockopt(ends[i].far, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    }
    look(loop);
    for (unsigned number = 0; number < EACH; number++)
        for (size_t i = 0; i < SENDERS; i++)
            cr_assert_eq(send(ends[i].far, &number, sizeof(number), 0), (ssize_t)sizeof(number));
    for (size_t i = 0; i < SENDERS; i++)
        TURN_UNTIL(loop, ends[i].messages == EACH);
    if (kind == LOOP_URING)
        cr_assert_gt(loop_stats(loop)->rearmed, 0u, "buffers never ran out: this tested nothing");
    for (size_t i = 0; i < SENDERS; i++)
        dismiss(&ends[i]);
    loop_free(loop);
}

LOOP_TEST(streams_larger_than_all_buffers_arrive_whole) {
    enum { STREAMS = 6, ROUNDS = 20 };
    struct loop *loop = make_loop(kind);
    static struct end ends[STREAMS];
    static char block[100000];
    size_t sent[STREAMS] = { 0 };
    for (size_t i = 0; i < STREAMS; i++) {
        ends[i] = (struct end){ .patterned = true };
        watch_pair(loop, &ends[i], SOCK_STREAM);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < STREAMS; i++) {
            for (size_t k = 0; k < sizeof(block); k++)
                block[k] = pattern(sent[i] + k);
            ssize_t length = send(ends[i].far, block, sizeof(block), 0);
            sent[i] += length > 0 ? (size_t)length : 0;
        }
        look(loop);
    }
    for (size_t i = 0; i < STREAMS; i++) {
        TURN_UNTIL(loop, ends[i].bytes == sent[i]);
        dismiss(&ends[i]);
    }
    loop_free(loop);
}

/* Else a crowd would hold up everybody's messages, and use up the descriptors before those that
 * make room for it are closed. */
LOOP_TEST(a_turn_takes_one_connection_from_a_listener_and_everybodys_messages) {
    enum { CLIENTS = 50 };
    struct loop *loop = make_loop(kind);
    struct end listening = { 0 }, other = { 0 };
    struct sockaddr_un address;
    socklen_t length;
    int clients[CLIENTS];
    watch(loop, &listening, listener_new(SOCK_SEQPACKET, &address, &length), LOOP_ACCEPT);
    watch_pair(loop, &other, SOCK_SEQPACKET);
    look(loop);
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i] = client_new(SOCK_SEQPACKET, &address, length);
    for (unsigned turn = 1; listening.accepted < CLIENTS; turn++) {
        unsigned before = listening.accepted;
        say(&other, "x");
        cr_assert_eq(loop_turn(loop, now_ms() + 20000), 0);
        cr_assert_leq(listening.accepted, before + 1);
        cr_assert_geq(other.messages + 1, turn, "a message waits for connections");
        if (listening.accepted > before)
            close(listening.accepted_fd);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        close(clients[i]);
    dismiss(&listening);
    dismiss(&other);
    loop_free(loop);
}

/* Who was paused said too much: what has queued up in its socket must not come all at once. */
LOOP_TEST(a_source_that_was_paused_has_one_packet_a_turn_and_others_all_of_theirs) {
    enum { PACKETS = 40 };
    struct loop *loop = make_loop(kind);
    struct end talkative = { 0 }, other = { 0 };
    watch_pair(loop, &talkative, SOCK_SEQPACKET);
    watch_pair(loop, &other, SOCK_SEQPACKET);
    look(loop);
    loop_pause(loop, &talkative.source);
    look(loop);
    for (unsigned i = 0; i < PACKETS; i++)
        say(&talkative, "x");
    loop_resume(loop, &talkative.source);
    while (talkative.messages < PACKETS) {
        unsigned before = talkative.messages, others_before = other.messages;
        say(&other, "y");
        say(&other, "y");
        cr_assert_eq(loop_turn(loop, now_ms() + 20000), 0);
        cr_assert_leq(talkative.messages, before + 1);
        cr_assert_geq(other.messages, others_before + (before > 0), "others wait for it");
    }
    dismiss(&talkative);
    dismiss(&other);
    loop_free(loop);
}

/* io_uring notes the limit when it begins to accept, so it is lowered before that. */
LOOP_TEST(a_listener_without_descriptors_waits_without_spinning_and_recovers) {
    struct loop *loop = make_loop(kind);
    struct end listening = { 0 }, other = { 0 };
    struct sockaddr_un address;
    socklen_t length;
    int listener = listener_new(SOCK_SEQPACKET, &address, &length);
    int client = client_new(SOCK_SEQPACKET, &address, length);
    watch_pair(loop, &other, SOCK_SEQPACKET);
    rlim_t before = limit_descriptors(lowest_free_descriptor());
    watch(loop, &listening, listener, LOOP_ACCEPT);
    cr_assert_lt(turns_within(loop, 250), 20u, "it spins");
    cr_assert_eq(listening.accepted, 0u);
    say(&other, "x");
    TURN_UNTIL(loop, other.messages == 1);
    limit_descriptors(before);
    TURN_UNTIL(loop, listening.accepted == 1);
    close(client);
    close(listening.accepted_fd);
    dismiss(&listening);
    dismiss(&other);
    loop_free(loop);
}

LOOP_TEST(a_listener_that_waits_for_descriptors_can_be_closed_at_once) {
    struct loop *loop = make_loop(kind);
    struct end listening = { 0 };
    struct sockaddr_un address;
    socklen_t length;
    int listener = listener_new(SOCK_SEQPACKET, &address, &length);
    int client = client_new(SOCK_SEQPACKET, &address, length);
    rlim_t before = limit_descriptors(lowest_free_descriptor());
    watch(loop, &listening, listener, LOOP_ACCEPT);
    look(loop);
    cr_assert(listening.source.internal.held);
    end_close(&listening);
    cr_assert_eq(loop_turn(loop, now_ms() + 20), 0);
    cr_assert_eq(listening.closed, 1u, "its pause must not delay that");
    limit_descriptors(before);
    close(client);
    loop_free(loop);
}

/* A thousand clients, each freed from its on_closed; a message makes its receiver close itself or
 * another, in an order that is all mixed up. */
enum { CROWD = 1000 };

static struct end *crowd[CROWD];
static unsigned crowd_left;

static void crowd_data(struct loop_source *source, const void *data, size_t length, bool truncated,
                       int error) {
    (void)data, (void)truncated, (void)error;
    cr_assert_not(source->internal.closing, "a closed source was called");
    struct end *end = source->owner;
    end->messages++;
    struct end *other = crowd[(size_t)(end->far * 7919) % CROWD];
    if (other && length)
        end_close(other);
    else
        end_close(end);
}

static void crowd_writable(struct loop_source *source) {
    struct end *end = source->owner;
    loop_resume(end->loop, source);
}

static void crowd_closed(struct loop_source *source) {
    struct end *end = source->owner;
    cr_assert_not(end->in_close, "on_closed came from inside loop_close");
    close(end->far);
    for (size_t i = 0; i < CROWD; i++)
        if (crowd[i] == end)
            crowd[i] = NULL;
    free(end);
    crowd_left--;
}

LOOP_TEST(a_thousand_sources_close_in_any_order) {
    static const struct loop_callbacks callbacks = { .on_data = crowd_data,
                                                     .on_writable = crowd_writable,
                                                     .on_closed = crowd_closed };
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 2 * CROWD + 100)
        cr_skip_test("too few descriptors allowed");
    struct loop *loop = make_loop(kind);
    unsigned before = open_descriptors();
    crowd_left = CROWD;
    for (size_t i = 0; i < CROWD; i++) {
        int fds[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
        crowd[i] = calloc(1, sizeof(*crowd[i]));
        crowd[i]->loop = loop;
        crowd[i]->far = fds[1];
        crowd[i]->source = (struct loop_source){
            .fd = fds[0], .mode = LOOP_PACKETS, .callbacks = &callbacks, .owner = crowd[i]
        };
        cr_assert_eq(loop_add(loop, &crowd[i]->source), 0);
        if (i % 3 == 0)
            loop_pause(loop, &crowd[i]->source);
        loop_want_write(loop, &crowd[i]->source);
    }
    for (unsigned round = 0; crowd_left > 0; round++) {
        cr_assert_lt(round, 5000u);
        for (size_t i = round % 7; i < CROWD; i += 7)
            if (crowd[i] && !crowd[i]->in_close)
                send(crowd[i]->far, "x", 1, MSG_NOSIGNAL);
        struct end *end = crowd[(round * 613) % CROWD];
        if (end)
            end_close(end);
        cr_assert_eq(loop_turn(loop, 0), 0);
    }
    cr_assert_eq(open_descriptors(), before);
    loop_free(loop);
}

/* Its count went below nothing, and whoever ends by waiting for the last source waited in vain. */
LOOP_TEST(a_source_that_was_never_added_is_closed_and_not_counted) {
    struct loop *loop = make_loop(kind);
    unsigned before = open_descriptors();
    struct end added = { 0 }, stranger = { .loop = loop, .far = -1 };
    watch_pair(loop, &added, SOCK_SEQPACKET);
    stranger.source = (struct loop_source){ .fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
                                            .mode = LOOP_READABLE,
                                            .callbacks = added.source.callbacks,
                                            .owner = &stranger };
    cr_assert_geq(stranger.source.fd, 0);
    cr_assert_eq(loop_stats(loop)->sources, 1);
    dismiss(&stranger);
    cr_assert_eq(loop_stats(loop)->sources, 1);
    dismiss(&added);
    cr_assert_eq(loop_stats(loop)->sources, 0);
    cr_assert_eq(open_descriptors(), before);
    loop_free(loop);
}

static void refuse_system_call(unsigned number) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = 4, .filter = filter };
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

static void expect_epoll_without(unsigned system_call) {
    refuse_system_call(system_call);
    struct loop *loop = NULL;
    unsigned before = open_descriptors();
    cr_assert_lt(loop_new(&loop, LOOP_URING), 0);
    cr_assert_null(loop, "outputs stay untouched on failure");
    cr_assert_eq(open_descriptors(), before);
    cr_assert_eq(loop_new(&loop, LOOP_AUTO), 0);
    cr_assert_str_eq(loop_stats(loop)->name, "epoll");
    struct end end = { 0 };
    watch_pair(loop, &end, SOCK_SEQPACKET);
    say(&end, "x");
    TURN_UNTIL(loop, end.messages == 1);
    dismiss(&end);
    loop_free(loop);
}

Test(loop, epoll_is_taken_where_io_uring_may_not_be_set_up) {
    expect_epoll_without(SYS_io_uring_setup);
}

Test(loop, epoll_is_taken_where_a_ring_may_be_set_up_but_not_entered) {
    expect_epoll_without(SYS_io_uring_enter);
}

Test(loop, epoll_is_taken_where_buffers_may_not_be_registered) {
    expect_epoll_without(SYS_io_uring_register);
}

/* Ring memory counts against this limit on some kernels: then the ring is smaller, or it is epoll.
 */
Test(loop, a_loop_is_made_with_little_or_no_memory_that_may_be_locked) {
    static const rlim_t LIMITS[] = { 0, 64 << 10 };
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
        pid_t pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
            struct rlimit limit = { LIMITS[i], LIMITS[i] };
            struct loop *loop;
            if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 || (geteuid() == 0 && setuid(65534) < 0))
                _exit(2);
            if (loop_new(&loop, LOOP_AUTO) < 0 || loop_turn(loop, now_ms() + 1) < 0)
                _exit(1);
            loop_free(loop);
            _exit(0);
        }
        int status;
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert_eq(status, 0, "limit %llu: %x", (unsigned long long)LIMITS[i], status);
    }
}
