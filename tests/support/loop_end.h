/*
 * Sources that note what the loop does to them, for the tests of the loop. Every check that a
 * callback can make on its own (never after closing, never after the end, never from inside
 * loop_close) is made here.
 */
#ifndef TESTS_SUPPORT_LOOP_END_H
#define TESTS_SUPPORT_LOOP_END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <criterion/criterion.h>

#include "loop.h"

/* A test that is written once and runs on both loops. */
#define LOOP_TEST(name)                                                                            \
    static void name(enum loop_kind kind);                                                         \
    Test(loop_on_io_uring, name, .timeout = 60) {                                                  \
        name(LOOP_URING);                                                                          \
    }                                                                                              \
    Test(loop_on_epoll, name, .timeout = 60) {                                                     \
        name(LOOP_EPOLL);                                                                          \
    }                                                                                              \
    static void name(enum loop_kind kind)

/* Turn until it is so; fail when it never comes to that. */
#define TURN_UNTIL(loop, condition)                                                                \
    for (int64_t give_up_ms = now_ms() + 20000; !(condition);) {                                   \
        cr_assert_lt(now_ms(), give_up_ms, "it never came to: %s", #condition);                    \
        cr_assert_eq(loop_turn(loop, give_up_ms), 0);                                              \
    }

enum { KEPT_MESSAGES = 8 };

/* One end is watched by the loop, `far` is the test's (0: none). What happens to it is counted. */
struct end {
    struct loop_source source;
    struct loop *loop;
    int far;
    unsigned messages, ends, ready, writable, closed;
    size_t bytes, lengths[KEPT_MESSAGES];
    bool truncated[KEPT_MESSAGES];
    int error;
    char last[LOOP_BUFFER_SIZE];
    bool echoes, numbered, patterned; /* what on_data does or checks */
    bool in_close;
    int accepted_fd;
    unsigned accepted;
    struct end *victim; /* closed by a message or a connection to this one */
    struct end *let_in; /* during a message this one is sent a numbered packet, and let in */
};

int64_t now_ms(void);
char pattern(size_t position); /* what a patterned stream carries there */

/* Skips the test where the kernel refuses io_uring to this process. */
struct loop *make_loop(enum loop_kind kind);
void watch(struct loop *loop, struct end *end, int fd, enum loop_mode mode);
void watch_pair(struct loop *loop, struct end *end, int type); /* one half of a new socketpair */
void say(const struct end *end, const char *text);             /* from the far end */
void end_close(struct end *end);
void dismiss(struct end *end); /* close, see on_closed once, close the far end */
void look(struct loop *loop);  /* a few turns that do not sleep */
unsigned turns_within(struct loop *loop, int64_t duration_ms);

/* An abstract address that the kernel chose. */
int listener_new(int type, struct sockaddr_un *ret_address, socklen_t *ret_length);
int client_new(int type, const struct sockaddr_un *address, socklen_t length);

unsigned open_descriptors(void);
rlim_t lowest_free_descriptor(void);
rlim_t limit_descriptors(rlim_t count); /* returns what it was */

#endif
