/*
 * Reports: the verdict, what this reader then leaves out by itself, and what reaches the broker's
 * socket, when and how often. The test listens in the broker's place.
 */
#include "client/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/fixture_pool.h"

static struct fixture_pool fixture;
static kb_reader *reader;

static void setup(void) {
    fixture_pool_init(&fixture, 100, STRATEGY_PRIORITY, NULL);
    reader = fixture_pool_reader(&fixture);
}

static void teardown(void) {
    kb_close(reader);
    fixture_pool_deinit(&fixture);
}

TestSuite(report, .init = setup, .fini = teardown, .timeout = 60);

static uint64_t current_id(void) {
    const kb_key *key = kb_current(reader);
    return key ? key->id : 0;
}

/* A ticket as if key `id` had just been handed out. */
static kb_ticket ticket(uint64_t id) {
    return (kb_ticket){ id, fixture.generation };
}

static kb_verdict report(uint64_t id, kb_outcome outcome, uint64_t hint_ms) {
    return kb_report(reader, ticket(id), outcome, hint_ms);
}

static int accept_one(int listener) {
    struct pollfd wait = { .fd = listener, .events = POLLIN };
    cr_assert_eq(poll(&wait, 1, 5000), 1, "nobody connected");
    int fd = accept(listener, NULL, NULL);
    cr_assert_geq(fd, 0);
    return fd;
}

static struct kb_report_message receive(int fd) {
    struct kb_report_message message = { 0 };
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    cr_assert_eq(poll(&wait, 1, 5000), 1, "no report came");
    cr_assert_eq(recv(fd, &message, sizeof message, 0), (ssize_t)sizeof message);
    cr_assert_eq(message.size, sizeof message);
    cr_assert_eq(message.type, KB_REPORT_OUTCOME);
    return message;
}

static bool is_silent(int fd) {
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    return poll(&wait, 1, 0) == 0;
}

static uint32_t pending(void) {
    kb_health_info info = KB_HEALTH_INFO_INIT;
    cr_assert_eq(kb_health(reader, &info), 0);
    return info.reports_pending;
}

Test(report, every_outcome_has_its_verdict) {
    cr_assert_eq(report(1, KB_SUCCESS, 0), KB_OK);
    cr_assert_eq(report(2, KB_INVALID, 0), KB_NEXT_KEY);
    cr_assert_eq(report(3, KB_PERMISSION, 0), KB_NEXT_KEY);
    cr_assert_eq(report(4, KB_QUOTA, 0), KB_NEXT_KEY);
    cr_assert_eq(report(5, KB_RATE, 0), KB_NEXT_KEY);
    cr_assert_eq(report(6, KB_OVERLOAD, 0), KB_RETRY_LATER);
    cr_assert_eq(report(7, KB_NETWORK, 0), KB_RETRY_LATER);
    cr_assert_eq(report(8, KB_REQUEST, 0), KB_GIVE_UP);
    cr_assert_eq(report(9, (kb_outcome)0, 0), KB_GIVE_UP);
    cr_assert_eq(report(9, (kb_outcome)9, 0), KB_GIVE_UP);
    cr_assert_eq(report(0, KB_RATE, 0), KB_GIVE_UP);
    cr_assert_eq(report(UINT64_MAX, KB_RATE, 0), KB_GIVE_UP);
    cr_assert_eq(kb_report(NULL, ticket(1), KB_RATE, 0), KB_GIVE_UP);
}

Test(report, a_failed_key_is_left_out_at_once) {
    const kb_key *key = kb_current(reader);
    cr_assert_eq(kb_report(reader, key->ticket, KB_RATE, 60000), KB_NEXT_KEY);
    cr_assert_eq(key->id, 1, "the key in the caller's hand stays");
    cr_assert_eq(current_id(), 2);
    report(2, KB_INVALID, 0);
    report(3, KB_QUOTA, 0);
    cr_assert_eq(current_id(), 4);
    kb_attempt attempt = KB_ATTEMPT_INIT;
    cr_assert_eq(kb_next(reader, &attempt)->id, 4);
    fixture_pool_announce(&fixture);
    cr_assert_eq(current_id(), 4, "a new generation alone ends no skip");
    fixture_pool_publish(&fixture);
    cr_assert_eq(current_id(), 4, "nor does a new catalog");
}

Test(report, the_callers_mistake_and_the_vendors_trouble_cost_a_key_nothing) {
    const kb_outcome outcomes[] = { KB_SUCCESS, KB_PERMISSION, KB_OVERLOAD, KB_NETWORK,
                                    KB_REQUEST };
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++) {
        report(1, outcomes[i], 60000);
        cr_assert_eq(current_id(), 1, "outcome %d", (int)outcomes[i]);
    }
}

Test(report, a_skip_ends_when_the_broker_has_judged) {
    report(1, KB_RATE, 60000);
    cr_assert_eq(current_id(), 2);
    fixture_pool_set(&fixture, 0, KB_STATUS_NORMAL, 0);
    cr_assert_eq(current_id(), 1, "the counter moved: the broker declined it");
    report(1, KB_RATE, 60000);
    cr_assert_eq(current_id(), 2, "but it can be skipped again");
}

Test(report, a_skip_ends_with_its_hint) {
    report(1, KB_RATE, 60);
    uint64_t latest_ms = fixture_now_ms() + 60;
    cr_assert_eq(current_id(), 2);
    cr_assert_eq(kb_current(reader)->id, 2);
    while (fixture_now_ms() < latest_ms)
        fixture_sleep_ms(1);
    cr_assert_eq(current_id(), 1);
}

Test(report, a_skip_counts_as_a_recovery_when_nothing_else_is_left) {
    for (uint32_t i = 1; i < 100; i++)
        fixture_pool_set_silently(&fixture, i, KB_STATUS_ERROR, 0);
    fixture_pool_announce(&fixture);
    report(1, KB_RATE, 5000);
    cr_assert_eq(current_id(), 0);
    cr_assert_eq(kb_last_error(reader), KB_EEXHAUSTED);
    uint64_t in_ms = kb_recovers_in_ms(reader);
    cr_assert(in_ms > 3000 && in_ms <= 5000, "%lu", in_ms);
    kb_close(reader);
    reader = fixture_pool_reader(&fixture);
    cr_assert_eq(current_id(), 1, "another reader skips nothing");
}

Test(report, hints_are_bounded_and_zero_is_none) {
    int listener = fixture_pool_listen(&fixture);
    report(1, KB_RATE, UINT64_MAX - 1);
    int fd = accept_one(listener);
    cr_assert_eq(receive(fd).hint_ms, 24 * 3600 * 1000);
    report(2, KB_RATE, 0);
    cr_assert_eq(receive(fd).hint_ms, KB_NO_HINT);
    report(3, KB_RATE, KB_NO_HINT);
    cr_assert_eq(receive(fd).hint_ms, KB_NO_HINT);
    close(fd);
    close(listener);
}

Test(report, skips_are_bounded_and_the_first_to_end_gives_way) {
    for (uint64_t id = 1; id <= 99; id++)
        report(id, KB_RATE, 10000 + id);
    cr_assert_eq(current_id(), 100);
    struct skips skips = { 0 };
    for (uint32_t i = 0; i < KBI_SKIPS + 10; i++)
        kbi_skip_add(&skips, &(struct skip){ .id = i + 1, .until_ms = 1000 + i, .slot = i });
    cr_assert_eq(skips.count, KBI_SKIPS);
    for (uint32_t i = 0; i < KBI_SKIPS + 10; i++)
        cr_assert_eq(kbi_skip_until(&skips, i + 1, i), i < 10 ? 0 : 1000 + i);
}

Test(report, a_stale_report_is_sent_but_skips_nothing) {
    int listener = fixture_pool_listen(&fixture);
    kb_ticket old = ticket(1);
    struct board_entry *entry = &fixture.entries[0];
    entry->valid_since = fixture.generation + 1;
    fixture_pool_set(&fixture, 0, KB_STATUS_NORMAL, 0);
    cr_assert_eq(kb_report(reader, old, KB_INVALID, 0), KB_NEXT_KEY);
    cr_assert_eq(current_id(), 1);
    int fd = accept_one(listener);
    cr_assert_eq(receive(fd).generation, old.generation);
    cr_assert_eq(kb_report(reader, ticket(1), KB_INVALID, 0), KB_NEXT_KEY);
    cr_assert_eq(current_id(), 2);
    close(fd);
    close(listener);
}

/* Keys 1 … `count` stay usable. */
static void leave(uint32_t count) {
    for (uint32_t i = count; i < 100; i++)
        fixture_pool_set_silently(&fixture, i, KB_STATUS_ERROR, 0);
    fixture_pool_announce(&fixture);
}

Test(report, while_the_guard_holds_a_reader_goes_on_with_the_keys_that_it_has) {
    board_set_flags(&fixture.board, KB_BOARD_GUARDED);
    leave(4);
    cr_assert_eq(report(1, KB_INVALID, 0), KB_NEXT_KEY);
    cr_assert_eq(current_id(), 2, "the key that is held is left out");
    cr_assert_eq(report(2, KB_RATE, KB_NO_HINT), KB_NEXT_KEY);
    cr_assert_eq(report(3, KB_INVALID, 1000), KB_NEXT_KEY);
    cr_assert_eq(current_id(), 4);
    cr_assert_eq(report(4, KB_INVALID, 0), KB_RETRY_LATER, "there is none left");
    cr_assert_eq(current_id(), 0);
    cr_assert_eq(kb_last_error(reader), KB_EGUARDED);
    uint64_t in_ms = kb_recovers_in_ms(reader);
    cr_assert(in_ms > 3000 && in_ms <= KBI_GUARD_SKIP_MS, "%lu", in_ms);
    cr_assert_eq(report(4, KB_INVALID, 0), KB_RETRY_LATER);
}

Test(report, while_the_guard_holds_what_it_does_not_hold_is_as_ever) {
    board_set_flags(&fixture.board, KB_BOARD_GUARDED);
    leave(1);
    cr_assert_eq(report(1, KB_RATE, 60000), KB_NEXT_KEY);
    uint64_t in_ms = kb_recovers_in_ms(reader);
    cr_assert(in_ms > 50000 && in_ms <= 60000, "%lu", in_ms);
    cr_assert_eq(report(1, KB_QUOTA, 0), KB_NEXT_KEY);
}

Test(report, a_header_loop_tries_every_key_while_the_guard_holds) {
    board_set_flags(&fixture.board, KB_BOARD_GUARDED);
    leave(10);
    kb_attempt attempt = KB_ATTEMPT_INIT;
    uint64_t tries = 0;
    for (const kb_key *key; (key = kb_next(reader, &attempt));) {
        tries = key->id;
        if (kb_report(reader, key->ticket, key->id == 10 ? KB_SUCCESS : KB_INVALID, KB_NO_HINT) !=
            KB_NEXT_KEY)
            break;
    }
    cr_assert_eq(tries, 10);
}

Test(report, what_was_skipped_before_the_guard_came_on_is_tried_again_as_soon) {
    leave(2);
    report(1, KB_INVALID, 0);
    uint64_t hint_ms = 60000;
    report(2, KB_RATE, hint_ms);
    cr_assert_gt(kb_recovers_in_ms(reader), KBI_GUARD_SKIP_MS);
    board_set_flags(&fixture.board, KB_BOARD_GUARDED);
    fixture_pool_announce(&fixture);
    cr_assert_eq(current_id(), 0);
    cr_assert_leq(kb_recovers_in_ms(reader), KBI_GUARD_SKIP_MS);
    kbi_skip_prune(&reader->skips, reader->attachment.board, fixture_now_ms());
    cr_assert_gt(kbi_skip_until(&reader->skips, 2, 1), fixture_now_ms() + KBI_SKIP_MS,
                 "but what the vendor asked for is kept");
}

Test(report, while_the_guard_holds_success_is_told) {
    int listener = fixture_pool_listen(&fixture);
    report(1, KB_SUCCESS, 0);
    cr_assert_eq(poll(&(struct pollfd){ .fd = listener, .events = POLLIN }, 1, 0), 0);
    board_set_flags(&fixture.board, KB_BOARD_GUARDED);
    for (int i = 0; i < 50; i++)
        report(1, KB_SUCCESS, 0);
    int fd = accept_one(listener);
    cr_assert_eq(receive(fd).outcome, KB_SUCCESS);
    close(fd);
    close(listener);
}

Test(report, a_key_that_nobody_knows_is_reported_and_not_skipped) {
    int listener = fixture_pool_listen(&fixture);
    cr_assert_eq(report(12345, KB_INVALID, 0), KB_NEXT_KEY);
    int fd = accept_one(listener);
    cr_assert_eq(receive(fd).key_id, 12345);
    cr_assert_eq(current_id(), 1);
    close(fd);
    close(listener);
}

Test(report, success_is_told_only_of_keys_in_backoff_and_not_often) {
    int listener = fixture_pool_listen(&fixture);
    fixture.entries[1].backoff = 2;
    fixture_pool_set(&fixture, 1, KB_STATUS_NORMAL, 0);
    report(1, KB_SUCCESS, 0);
    cr_assert_eq(poll(&(struct pollfd){ .fd = listener, .events = POLLIN }, 1, 0), 0,
                 "not even a connection");
    for (int i = 0; i < 50; i++)
        report(2, KB_SUCCESS, 0);
    int fd = accept_one(listener);
    struct kb_report_message message = receive(fd);
    cr_assert_eq(message.key_id, 2);
    cr_assert_eq(message.outcome, KB_SUCCESS);
    uint32_t more = 0;
    while (!is_silent(fd))
        more += receive(fd).count;
    cr_assert_lt(more, 10);
    fixture_sleep_ms(120);
    report(2, KB_SUCCESS, 0);
    cr_assert_eq(receive(fd).key_id, 2);
    close(fd);
    close(listener);
}

Test(report, two_keys_in_backoff_do_not_make_each_other_talkative) {
    int listener = fixture_pool_listen(&fixture);
    for (uint32_t slot = 0; slot < 100; slot++) {
        fixture.entries[slot].backoff = 1;
        fixture_pool_set_silently(&fixture, slot, KB_STATUS_NORMAL, 0);
    }
    fixture_pool_announce(&fixture);
    uint64_t begun_ms = fixture_now_ms();
    for (int i = 0; i < 200; i++) {
        report(1, KB_SUCCESS, 0);
        report(1 + KBI_SUCCESSES, KB_SUCCESS, 0);
    }
    uint64_t most = 2 * (1 + (fixture_now_ms() - begun_ms) / 100 + 1);
    int fd = accept_one(listener);
    uint64_t heard = 0;
    for (; !is_silent(fd); heard++)
        receive(fd);
    cr_assert(heard >= 1 && heard <= most, "%lu", heard);
    close(fd);
    close(listener);
}

Test(report, reports_that_nobody_hears_are_coalesced_and_sent_later) {
    for (int i = 0; i < 10; i++)
        report(1, KB_RATE, 1000 + (uint64_t)i);
    report(1, KB_INVALID, KB_NO_HINT);
    report(1, KB_OVERLOAD, KB_NO_HINT);
    report(2, KB_NETWORK, KB_NO_HINT);
    report(3, KB_REQUEST, KB_NO_HINT);
    cr_assert_eq(pending(), 2);
    int listener = fixture_pool_listen(&fixture);
    fixture_sleep_ms(30);
    cr_assert_eq(pending(), 0, "kb_health sends what is left over");
    int fd = accept_one(listener);
    struct kb_report_message message = receive(fd);
    cr_assert_eq(message.key_id, 1);
    cr_assert_eq(message.outcome, KB_INVALID, "the worst");
    cr_assert_eq(message.hint_ms, 1009, "the longest");
    cr_assert_eq(message.count, 12);
    message = receive(fd);
    cr_assert_eq(message.key_id, 2);
    cr_assert_eq(message.count, 1);
    cr_assert(is_silent(fd));
    close(fd);
    close(listener);
}

Test(report, an_old_reports_outcome_is_not_lent_to_a_renewed_key) {
    report(1, KB_INVALID, 0);
    fixture.entries[0].valid_since = fixture.generation + 1;
    fixture_pool_set(&fixture, 0, KB_STATUS_NORMAL, 0);
    report(1, KB_RATE, 500);
    int listener = fixture_pool_listen(&fixture);
    fixture_sleep_ms(30);
    cr_assert_eq(pending(), 0);
    int fd = accept_one(listener);
    struct kb_report_message message = receive(fd);
    cr_assert_eq(message.outcome, KB_RATE);
    cr_assert_eq(message.generation, fixture.generation);
    cr_assert_eq(message.count, 1);
    close(fd);
    close(listener);
}

Test(report, the_queue_keeps_the_worst_news) {
    for (uint64_t id = 1; id <= 64; id++)
        report(id, KB_NETWORK, 0);
    report(65, KB_NETWORK, 0);
    cr_assert_eq(pending(), 64);
    report(66, KB_INVALID, 0);
    cr_assert_eq(pending(), 64);
    int listener = fixture_pool_listen(&fixture);
    fixture_sleep_ms(30);
    cr_assert_eq(pending(), 0);
    int fd = accept_one(listener);
    bool mild = false, grave = false;
    while (!is_silent(fd)) {
        uint64_t id = receive(fd).key_id;
        mild |= id == 65;
        grave |= id == 66;
    }
    cr_assert(grave && !mild);
    close(fd);
    close(listener);
}

Test(report, a_broker_that_restarts_is_found_again) {
    int listener = fixture_pool_listen(&fixture);
    report(1, KB_OVERLOAD, 0);
    int fd = accept_one(listener);
    receive(fd);
    close(fd);
    close(listener);
    report(2, KB_OVERLOAD, 0);
    cr_assert_eq(pending(), 1);
    listener = fixture_pool_listen(&fixture);
    fixture_sleep_ms(30);
    report(3, KB_OVERLOAD, 0);
    fd = accept_one(listener);
    cr_assert_eq(receive(fd).key_id, 2, "in the order in which they were reported");
    cr_assert_eq(receive(fd).key_id, 3);
    close(fd);
    close(listener);
}

Test(report, a_broker_that_does_not_read_never_blocks_a_worker, .timeout = 20) {
    int listener = fixture_pool_listen(&fixture);
    uint64_t sent = 0;
    for (int i = 0; i < 2000; i++) {
        report(1 + (uint64_t)i % 50, KB_OVERLOAD, 0);
        sent++;
    }
    cr_assert_gt(pending(), 0);
    int fd = accept_one(listener);
    uint64_t heard = 0;
    for (int round = 0; round < 200 && heard < sent; round++) {
        while (!is_silent(fd))
            heard += receive(fd).count;
        pending();
    }
    cr_assert_eq(heard, sent, "every report is counted once");
    close(fd);
    close(listener);
}

Test(report, a_forked_child_reports_on_its_own_connection) {
    int listener = fixture_pool_listen(&fixture);
    report(1, KB_OVERLOAD, 0);
    int parents = accept_one(listener);
    receive(parents);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        report(2, KB_OVERLOAD, 0);
        _exit(0);
    }
    int childs = accept_one(listener);
    cr_assert_eq(receive(childs).key_id, 2);
    cr_assert(is_silent(parents));
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    report(3, KB_OVERLOAD, 0);
    cr_assert_eq(receive(parents).key_id, 3, "the parent's connection is still its own");
    close(parents);
    close(childs);
    close(listener);
}

Test(report, a_forked_child_leaves_the_parents_reports_to_the_parent) {
    report(1, KB_OVERLOAD, 0);
    cr_assert_eq(pending(), 1);
    int listener = fixture_pool_listen(&fixture);
    fixture_sleep_ms(30);
    pid_t child = fork();
    if (child == 0) {
        report(2, KB_OVERLOAD, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    int childs = accept_one(listener);
    cr_assert_eq(receive(childs).key_id, 2);
    cr_assert_eq(pending(), 0);
    int parents = accept_one(listener);
    cr_assert_eq(receive(parents).key_id, 1);
    close(childs);
    close(parents);
    close(listener);
}

Test(report_path, a_long_directory_name_is_no_obstacle, .timeout = 60) {
    char below[1024];
    for (size_t i = 0; i < 800; i++)
        below[i] = i % 100 == 99 ? '/' : 'd';
    strcpy(below + 800, "end");
    fixture_pool_init(&fixture, 3, STRATEGY_PRIORITY, below);
    int listener = fixture_pool_listen(&fixture);
    reader = fixture_pool_reader(&fixture);
    report(1, KB_RATE, 1000);
    int fd = accept_one(listener);
    cr_assert_eq(receive(fd).key_id, 1);
    cr_assert_eq(current_id(), 2);
    close(fd);
    close(listener);
    kb_close(reader);
    fixture_pool_deinit(&fixture);
}
