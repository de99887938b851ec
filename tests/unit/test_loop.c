/*
 * Every promise of loop.h, kept by both loops. What happens when something runs short is in
 * test_loop_limits.c.
 */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "../support/loop_end.h"

static void pass_descriptor(int far, int fd) {
    char byte = 'x';
    struct iovec data = { &byte, 1 };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    cr_assert_eq(sendmsg(far, &message, 0), 1);
}

LOOP_TEST(an_accepted_stream_is_echoed) {
    struct loop *loop = make_loop(kind);
    struct end listening = { 0 }, server = { .echoes = true };
    struct sockaddr_un address;
    socklen_t length;
    watch(loop, &listening, listener_new(SOCK_STREAM, &address, &length), LOOP_ACCEPT);
    look(loop);
    int client = client_new(SOCK_STREAM, &address, length);
    TURN_UNTIL(loop, listening.accepted == 1);
    cr_assert_neq(fcntl(listening.accepted_fd, F_GETFL) & O_NONBLOCK, 0);
    cr_assert_neq(fcntl(listening.accepted_fd, F_GETFD) & FD_CLOEXEC, 0);

    watch(loop, &server, listening.accepted_fd, LOOP_STREAM);
    cr_assert_eq(send(client, "hello", 5, 0), 5);
    TURN_UNTIL(loop, server.bytes == 5);
    char answer[8];
    cr_assert_eq(recv(client, answer, sizeof(answer), 0), 5);
    cr_assert_eq(memcmp(answer, "hello", 5), 0);
    close(client);
    TURN_UNTIL(loop, server.ends == 1);
    cr_assert_eq(server.error, 0);
    look(loop);
    dismiss(&server);
    dismiss(&listening);
    loop_free(loop);
}

LOOP_TEST(many_waiting_connections_are_all_accepted) {
    struct loop *loop = make_loop(kind);
    struct end listening = { 0 };
    struct sockaddr_un address;
    socklen_t length;
    watch(loop, &listening, listener_new(SOCK_SEQPACKET, &address, &length), LOOP_ACCEPT);
    int clients[60];
    for (int i = 0; i < 60; i++)
        clients[i] = client_new(SOCK_SEQPACKET, &address, length);
    TURN_UNTIL(loop, listening.accepted == 60);
    for (int i = 0; i < 60; i++)
        close(clients[i]);
    dismiss(&listening);
    loop_free(loop);
}

LOOP_TEST(connections_to_a_listener_that_was_just_closed_do_not_stay_open) {
    struct loop *loop = make_loop(kind);
    struct end listening = { .victim = &listening };
    struct sockaddr_un address;
    socklen_t length;
    unsigned before = open_descriptors();
    watch(loop, &listening, listener_new(SOCK_SEQPACKET, &address, &length), LOOP_ACCEPT);
    int clients[10];
    for (int i = 0; i < 10; i++)
        clients[i] = client_new(SOCK_SEQPACKET, &address, length);
    TURN_UNTIL(loop, listening.closed == 1);
    cr_assert_eq(listening.accepted, 1u);
    close(listening.accepted_fd);
    for (int i = 0; i < 10; i++)
        close(clients[i]);
    cr_assert_eq(open_descriptors(), before);
    loop_free(loop);
}

LOOP_TEST(packets_keep_their_boundaries) {
    struct loop *loop = make_loop(kind);
    struct end end = { 0 };
    watch_pair(loop, &end, SOCK_SEQPACKET);
    say(&end, "a");
    say(&end, "bcd");
    TURN_UNTIL(loop, end.messages == 2);
    say(&end, "ef");
    TURN_UNTIL(loop, end.messages == 3);
    cr_assert_eq(end.lengths[0], 1u);
    cr_assert_eq(end.lengths[1], 3u);
    cr_assert_eq(end.lengths[2], 2u);
    cr_assert_eq(memcmp(end.last, "ef", 2), 0);
    dismiss(&end);
    loop_free(loop);
}

LOOP_TEST(a_packet_too_long_arrives_cut_and_says_so) {
    struct loop *loop = make_loop(kind);
    struct end end = { 0 };
    watch_pair(loop, &end, SOCK_SEQPACKET);
    static const size_t lengths[] = { LOOP_BUFFER_SIZE + 1, LOOP_BUFFER_SIZE, 3 * LOOP_BUFFER_SIZE,
                                      1 };
    static char text[3 * LOOP_BUFFER_SIZE];
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(send(end.far, text, lengths[i], 0), (ssize_t)lengths[i]);
    TURN_UNTIL(loop, end.messages == 4);
    for (size_t i = 0; i < 4; i++) {
        bool cut = lengths[i] > LOOP_BUFFER_SIZE;
        cr_expect_eq(end.truncated[i], cut, "packet %zu", i);
        cr_expect_eq(end.lengths[i], cut ? LOOP_BUFFER_SIZE : lengths[i], "packet %zu", i);
    }
    dismiss(&end);
    loop_free(loop);
}

LOOP_TEST(a_packet_of_no_length_ends_the_source) {
    struct loop *loop = make_loop(kind);
    struct end end = { 0 };
    watch_pair(loop, &end, SOCK_SEQPACKET);
    say(&end, "");
    say(&end, "too late");
    TURN_UNTIL(loop, end.ends == 1);
    cr_assert_eq(end.error, 0);
    loop_pause(loop, &end.source);
    loop_resume(loop, &end.source);
    look(loop);
    cr_assert_eq(end.messages, 0u);
    dismiss(&end);
    loop_free(loop);
}

LOOP_TEST(a_reset_connection_tells_its_error_once) {
    struct loop *loop = make_loop(kind);
    struct end end = { 0 };
    watch_pair(loop, &end, SOCK_STREAM);
    look(loop);
    cr_assert_eq(send(end.source.fd, "unread", 6, 0), 6);
    close(end.far);
    end.far = 0;
    TURN_UNTIL(loop, end.ends == 1);
    cr_assert_eq(end.error, -ECONNRESET);
    look(loop);
    dismiss(&end);
    loop_free(loop);
}

LOOP_TEST(a_readable_that_is_read_in_part_is_reported_again) {
    struct loop *loop = make_loop(kind);
    struct end end = { 0 };
    int fd = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC);
    watch(loop, &end, fd, LOOP_READABLE);
    TURN_UNTIL(loop, end.ready == 3);
    look(loop);
    uint64_t two = 2;
    cr_assert_eq(write(fd, &two, sizeof(two)), (ssize_t)sizeof(two));
    TURN_UNTIL(loop, end.ready == 5);
    look(loop);
    cr_assert_eq(end.ready, 5u);
    dismiss(&end);
    loop_free(loop);
}

LOOP_TEST(a_paused_source_is_silent_and_loses_nothing) {
    struct loop *loop = make_loop(kind);
    struct end end = { 0 };
    watch_pair(loop, &end, SOCK_SEQPACKET);
    look(loop);
    loop_pause(loop, &end.source);
    look(loop);
    unsigned sent = 0;
    while (send(end.far, "x", 1, MSG_NOSIGNAL) == 1)
        sent++;
    cr_assert_eq(errno, EAGAIN, "the sender feels the pressure");
    look(loop);
    cr_assert_eq(end.messages, 0u);
    loop_resume(loop, &end.source);
    TURN_UNTIL(loop, end.messages == sent);

    /* Both before the kernel hears of either. */
    loop_pause(loop, &end.source);
    loop_resume(loop, &end.source);
    say(&end, "y");
    TURN_UNTIL(loop, end.messages == sent + 1);
    dismiss(&end);
    loop_free(loop);
}

LOOP_TEST(a_paused_source_whose_peer_left_does_not_keep_the_loop_busy) {
    struct loop *loop = make_loop(kind);
    struct end end = { 0 };
    watch_pair(loop, &end, SOCK_STREAM);
    look(loop);
    loop_pause(loop, &end.source);
    look(loop);
    close(end.far);
    end.far = 0;
    cr_assert_lt(turns_within(loop, 60), 8u);
    cr_assert_eq(end.ends, 0u);
    loop_resume(loop, &end.source);
    TURN_UNTIL(loop, end.ends == 1);
    cr_assert_lt(turns_within(loop, 60), 8u, "nor does one at its end");
    dismiss(&end);
    loop_free(loop);
}

LOOP_TEST(on_writable_comes_once_when_there_is_room) {
    struct loop *loop = make_loop(kind);
    struct end end = { 0 };
    watch_pair(loop, &end, SOCK_STREAM);
    static char block[65536];
    while (send(end.source.fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
        ;
    loop_want_write(loop, &end.source);
    loop_want_write(loop, &end.source);
    look(loop);
    cr_assert_eq(end.writable, 0u);
    while (recv(end.far, block, sizeof(block), 0) > 0)
        ;
    TURN_UNTIL(loop, end.writable == 1);
    look(loop);
    cr_assert_eq(end.writable, 1u);
    loop_want_write(loop, &end.source);
    TURN_UNTIL(loop, end.writable == 2);
    say(&end, "still read");
    TURN_UNTIL(loop, end.messages == 1);
    dismiss(&end);
    loop_free(loop);
}

LOOP_TEST(a_past_moment_only_looks_and_a_future_one_wakes) {
    struct loop *loop = make_loop(kind);
    struct end end = { 0 };
    watch_pair(loop, &end, SOCK_SEQPACKET);
    cr_assert_eq(loop_turn(loop, 0), 0);
    cr_assert_eq(loop_turn(loop, -1), 0);
    cr_assert_eq(loop_turn(loop, INT64_MIN), 0);
    for (int i = 0; i < 5; i++) {
        int64_t until_ms = now_ms() + 7;
        cr_assert_eq(loop_turn(loop, until_ms), 0);
        cr_assert_geq(now_ms(), until_ms, "nothing happened, so it slept until then");
    }
    say(&end, "x");
    cr_assert_eq(loop_turn(loop, INT64_MAX), 0);
    cr_assert_eq(loop_turn(loop, 0), 0);
    cr_assert_eq(end.messages, 1u);
    dismiss(&end);
    loop_free(loop);
}

/* The kernel's alarm stays set across turns: one that was set for a moment that is over must not
 * end a later sleep, and a nearer moment must not wait for a farther one. */
LOOP_TEST(every_sleep_ends_at_its_own_moment) {
    struct loop *loop = make_loop(kind);
    struct end end = { 0 };
    watch_pair(loop, &end, SOCK_SEQPACKET);
    look(loop);
    say(&end, "wakes the loop before the first moment");
    int64_t first_ms = now_ms() + 40;
    cr_assert_eq(loop_turn(loop, first_ms), 0);
    cr_assert_eq(end.messages, 1);
    int64_t later_ms = now_ms() + 150;
    cr_assert_eq(loop_turn(loop, later_ms), 0);
    cr_assert_geq(now_ms(), later_ms);
    say(&end, "wakes the loop before a far moment");
    cr_assert_eq(loop_turn(loop, now_ms() + 3600000), 0);
    int64_t near_ms = now_ms() + 20;
    cr_assert_eq(loop_turn(loop, near_ms), 0);
    cr_assert_geq(now_ms(), near_ms);
    cr_assert_lt(now_ms(), near_ms + 20000, "the near moment waited for the far one");
    say(&end, "wakes the loop that has no moment");
    cr_assert_eq(loop_turn(loop, INT64_MAX), 0);
    cr_assert_eq(end.messages, 3);
    dismiss(&end);
    loop_free(loop);
}

LOOP_TEST(a_source_closed_earlier_in_the_batch_is_not_called) {
    struct loop *loop = make_loop(kind);
    struct end ends[2] = { { .victim = &ends[1] }, { .victim = &ends[0] } };
    watch_pair(loop, &ends[0], SOCK_SEQPACKET);
    watch_pair(loop, &ends[1], SOCK_SEQPACKET);
    look(loop);
    say(&ends[0], "x");
    say(&ends[1], "x");
    TURN_UNTIL(loop, ends[0].closed + ends[1].closed == 1);
    look(loop);
    cr_assert_eq(ends[0].messages + ends[1].messages, 1u);
    ends[0].victim = ends[1].victim = NULL;
    dismiss(&ends[0]);
    dismiss(&ends[1]);
    loop_free(loop);
}

LOOP_TEST(a_source_may_close_itself_while_more_waits_for_it) {
    struct loop *loop = make_loop(kind);
    struct end end = { .victim = &end };
    watch_pair(loop, &end, SOCK_SEQPACKET);
    for (int i = 0; i < 10; i++)
        say(&end, "x");
    loop_want_write(loop, &end.source);
    TURN_UNTIL(loop, end.closed == 1);
    cr_assert_eq(end.messages, 1u);
    char byte;
    errno = 0;
    cr_assert_leq(recv(end.far, &byte, 1, 0), 0);
    cr_assert_neq(errno, EAGAIN, "the peer must see that the descriptor is closed");
    dismiss(&end);
    loop_free(loop);
}

/* An operation asked for but not yet told to the kernel must not reach another file that got the
 * same number. */
LOOP_TEST(a_new_descriptor_never_meets_the_operations_of_an_old_one) {
    struct loop *loop = make_loop(kind);
    for (int i = 0; i < 50; i++) {
        struct end old = { 0 }, new = { 0 };
        watch_pair(loop, &old, SOCK_SEQPACKET);
        loop_want_write(loop, &old.source);
        end_close(&old);
        watch_pair(loop, &new, SOCK_SEQPACKET);
        say(&new, "mine");
        TURN_UNTIL(loop, new.messages == 1 && old.closed == 1);
        cr_assert_eq(old.messages + old.writable, 0u);
        dismiss(&old);
        dismiss(&new);
    }
    loop_free(loop);
}

LOOP_TEST(descriptors_that_a_peer_passes_do_not_stay) {
    struct loop *loop = make_loop(kind);
    for (int i = 0; i < 2; i++) {
        struct end end = { 0 };
        watch_pair(loop, &end, i ? SOCK_STREAM : SOCK_SEQPACKET);
        look(loop);
        unsigned before = open_descriptors();
        int tube[2];
        cr_assert_eq(pipe2(tube, O_NONBLOCK | O_CLOEXEC), 0);
        pass_descriptor(end.far, tube[1]);
        close(tube[1]);
        TURN_UNTIL(loop, end.messages == 1);
        char byte;
        cr_assert_eq(read(tube[0], &byte, 1), 0, "somebody still holds the other end");
        close(tube[0]);
        cr_assert_eq(open_descriptors(), before);
        dismiss(&end);
    }
    loop_free(loop);
}

LOOP_TEST(freeing_the_loop_closes_nothing_and_holds_nothing_open) {
    struct loop *loop = make_loop(kind);
    struct end end = { 0 };
    watch_pair(loop, &end, SOCK_SEQPACKET);
    loop_want_write(loop, &end.source);
    look(loop);
    loop_free(loop);
    say(&end, "x");
    char byte;
    cr_assert_eq(recv(end.source.fd, &byte, 1, 0), 1);
    close(end.source.fd);
    cr_assert_eq(recv(end.far, &byte, 1, 0), 0, "the peer must see it at once");
    close(end.far);
}

LOOP_TEST(packets_are_let_in_while_a_callback_takes_long_and_nothing_else) {
    struct loop *loop = make_loop(kind);
    struct end packets = { .numbered = true }, slow = { .let_in = &packets }, listening = { 0 };
    struct end other = { 0 };
    struct sockaddr_un address;
    socklen_t length;
    watch_pair(loop, &packets, SOCK_SEQPACKET);
    watch_pair(loop, &slow, SOCK_STREAM);
    watch_pair(loop, &other, SOCK_STREAM);
    watch(loop, &listening, listener_new(SOCK_STREAM, &address, &length), LOOP_ACCEPT);
    look(loop);
    for (unsigned round = 0; round < 20; round++) {
        unsigned others = other.messages, accepted = listening.accepted;
        say(&slow, "x");
        int client = client_new(SOCK_STREAM, &address, length);
        say(&other, "y");
        TURN_UNTIL(loop, slow.messages == round + 1 && other.messages > others &&
                             listening.accepted > accepted);
        cr_assert_eq(packets.messages, round + 1, "once, and in order");
        close(listening.accepted_fd);
        close(client);
    }
    dismiss(&packets);
    dismiss(&slow);
    dismiss(&other);
    dismiss(&listening);
    loop_free(loop);
}
