/*
 * Waiting: what wakes kb_wait and what does not.
 */
#include "client/internal.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/fixture_pool.h"

static struct fixture_pool fixture;
static kb_reader *reader;

static void setup(void) {
    fixture_pool_init(&fixture, 3, STRATEGY_PRIORITY, NULL);
    reader = fixture_pool_reader(&fixture);
}

static void teardown(void) {
    kb_close(reader);
    fixture_pool_deinit(&fixture);
}

TestSuite(wait, .init = setup, .fini = teardown, .timeout = 60);

Test(wait, nothing_new_ends_with_the_timeout) {
    uint64_t began_ms = fixture_now_ms();
    cr_assert_eq(kb_wait(reader, 0), 0);
    cr_assert_eq(kb_wait(reader, 50), 0);
    cr_assert_geq(fixture_now_ms() - began_ms, 45);
    cr_assert_eq(kb_wait(NULL, 0), KB_EINVAL);
}

Test(wait, a_change_that_came_before_ends_it_at_once) {
    fixture_pool_set(&fixture, 0, KB_STATUS_ERROR, 0);
    cr_assert_eq(kb_wait(reader, -1), 1);
    cr_assert_eq(kb_wait(reader, 0), 0, "it has looked now");
    cr_assert_eq(kb_current(reader)->id, 2);
    fixture_pool_publish(&fixture);
    cr_assert_not_null(kb_current(reader));
    cr_assert_eq(kb_wait(reader, 0), 0, "kb_current has looked");
}

/* The child waits, so that the parent can see it sleep: the wake must find a sleeper. */
static void assert_woken(bool everybody) {
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        _exit(kb_wait(reader, 30000) == 1 && kb_current(reader)->id == 2 ? 0 : 1);
    fixture_sleep_ms(50);
    uint64_t began_ms = fixture_now_ms();
    fixture_pool_set(&fixture, 0, KB_STATUS_ERROR, 0);
    int woken = board_wake(&fixture.board, fixture.generation, everybody, INT_MAX);
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    cr_assert(woken == 1 || fixture_now_ms() - began_ms < 500, "nobody was woken");
}

Test(wait, a_change_wakes_who_has_not_seen_it) {
    assert_woken(false);
}

Test(wait, a_wake_for_everybody_reaches_it_too) {
    assert_woken(true);
}

Test(wait, the_choices_deadline_ends_it_without_the_broker) {
    fixture_pool_set(&fixture, 0, KB_STATUS_COOLING, fixture_now_ms() + 80);
    cr_assert_eq(kb_current(reader)->id, 2);
    uint64_t began_ms = fixture_now_ms();
    cr_assert_eq(kb_wait(reader, 30000), 1);
    cr_assert_lt(fixture_now_ms() - began_ms, 700,
                 "woken by the round of once a second, not by the deadline");
    cr_assert_eq(kb_current(reader)->id, 1, "the coarse clock must agree when it returns");
}

Test(wait, a_recovery_ends_the_wait_of_an_exhausted_pool) {
    for (uint32_t i = 0; i < 3; i++)
        fixture_pool_set_silently(&fixture, i, KB_STATUS_COOLING, fixture_now_ms() + 60 + i * 5000);
    fixture_pool_announce(&fixture);
    cr_assert_null(kb_current(reader));
    cr_assert_eq(kb_wait(reader, 0), 0);
    cr_assert_eq(kb_last_error(reader), KB_EEXHAUSTED);
    cr_assert_eq(kb_wait(reader, 30000), 1);
    cr_assert_eq(kb_last_error(reader), 0);
    cr_assert_eq(kb_current(reader)->id, 1);
}

Test(wait, a_local_skip_is_no_news_but_its_end_is) {
    cr_assert_eq(kb_current(reader)->id, 1);
    kb_report(reader, (kb_ticket){ 1, fixture.generation }, KB_RATE, 100);
    cr_assert_eq(kb_wait(reader, 0), 0);
    cr_assert_eq(kb_current(reader)->id, 2);
    cr_assert_eq(kb_wait(reader, 30000), 1);
    cr_assert_eq(kb_current(reader)->id, 1);
}

static void on_signal(int number) {
    (void)number;
}

Test(wait, a_signal_handler_ends_it_early) {
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigaction(SIGUSR1, &action, NULL);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        for (int i = 0; i < 500; i++) {
            fixture_sleep_ms(20);
            kill(parent, SIGUSR1);
        }
        _exit(0);
    }
    uint64_t began_ms = fixture_now_ms();
    cr_assert_eq(kb_wait(reader, -1), 0);
    cr_assert_lt(fixture_now_ms() - began_ms, 5000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

Test(wait, reports_that_were_left_over_are_sent_meanwhile) {
    kb_report(reader, (kb_ticket){ 3, fixture.generation }, KB_OVERLOAD, 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        int listener = fixture_pool_listen(&fixture);
        struct pollfd poller = { .fd = listener, .events = POLLIN };
        struct kb_report_message message;
        int fd = poll(&poller, 1, 10000) == 1 ? accept(listener, NULL, NULL) : -1;
        bool heard = fd >= 0 && recv(fd, &message, sizeof message, 0) == sizeof message;
        _exit(heard && message.key_id == 3 ? 0 : 1);
    }
    cr_assert_eq(kb_wait(reader, 600), 0);
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    cr_assert_eq(reader->reporter.count, 0);
}

Test(wait, a_deleted_pool_is_news_once_and_its_return_is_too) {
    board_retire(&fixture.board, ++fixture.generation);
    board_close(&fixture.board);
    cr_assert_eq(unlinkat(fixture.dir_fd, KB_BOARD_FILE, 0), 0);
    cr_assert_eq(kb_wait(reader, 1000), 1);
    cr_assert_eq(kb_last_error(reader), KB_EDELETED);
    cr_assert_eq(kb_wait(reader, 30), 0);
    cr_assert_eq(kb_last_error(reader), KB_EDELETED);
    uint64_t generation;
    cr_assert_eq(board_open(&fixture.board, fixture.dir_fd, &generation), 0);
    cr_assert_eq(board_reserve(&fixture.board, 3), 0);
    for (uint32_t i = 0; i < 3; i++)
        fixture_pool_set_silently(&fixture, i, KB_STATUS_NORMAL, 0);
    fixture_pool_publish(&fixture);
    cr_assert_eq(kb_wait(reader, 30000), 1);
    cr_assert_eq(kb_current(reader)->id, 1);
}

Test(wait, a_board_that_was_swapped_behind_its_back_is_noticed) {
    struct board old = fixture.board;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        _exit(kb_wait(reader, 30000) == 1 && kb_current(reader)->id == 3 ? 0 : 1);
    fixture_sleep_ms(50);
    uint64_t generation;
    cr_assert_eq(unlinkat(fixture.dir_fd, KB_BOARD_FILE, 0), 0);
    cr_assert_eq(board_open(&fixture.board, fixture.dir_fd, &generation), 0);
    cr_assert_eq(board_reserve(&fixture.board, 3), 0);
    fixture_pool_set_silently(&fixture, 2, KB_STATUS_NORMAL, 0);
    fixture_pool_publish(&fixture);
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    board_close(&old);
}
