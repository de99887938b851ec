/*
 * The reader: what it hands out, when it looks again, and how it follows catalogs and boards. The
 * pool is published by the broker's own writers, without a broker.
 */
#include <keybroker.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/fixture_pool.h"

static struct fixture_pool fixture;
static kb_reader *reader;

/* Every test begins with five normal keys and a reader. */
static void setup(void) {
    fixture_pool_init(&fixture, 5, STRATEGY_PRIORITY, NULL);
    reader = fixture_pool_reader(&fixture);
}

static void teardown(void) {
    kb_close(reader);
    fixture_pool_deinit(&fixture);
}

TestSuite(reader, .init = setup, .fini = teardown, .timeout = 60);

static uint64_t current_id(void) {
    const kb_key *key = kb_current(reader);
    return key ? key->id : 0;
}

static int64_t wall_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME_COARSE, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* A child that must not outlive a test that fails. */
static pid_t fork_child(void) {
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

Test(reader, the_first_usable_key_is_handed_out_whole) {
    const kb_key *key = kb_current(reader);
    cr_assert_not_null(key);
    cr_assert_eq(key->id, 1);
    cr_assert_eq(key->ticket.id, 1);
    cr_assert_eq(key->ticket.generation, fixture.generation);
    cr_assert_str_eq(key->api_key, "sk-test-1");
    cr_assert_str_eq(key->account, "");
    cr_assert_eq(kb_last_error(reader), 0);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(kb_current(reader), key);
}

Test(reader, a_change_of_status_shows_at_the_next_call) {
    cr_assert_eq(current_id(), 1);
    fixture_pool_set(&fixture, 0, KB_STATUS_ERROR, 0);
    cr_assert_eq(current_id(), 2);
    fixture_pool_set(&fixture, 1, KB_STATUS_DISABLED, 0);
    cr_assert_eq(current_id(), 3);
    cr_assert_eq(kb_current(reader)->ticket.generation, fixture.generation);
    fixture_pool_set(&fixture, 0, KB_STATUS_NORMAL, 0);
    cr_assert_eq(current_id(), 1);
}

Test(reader, a_new_order_shows_at_the_next_call) {
    struct key_record *first = fixture.keys[0];
    fixture.keys[0] = fixture.keys[4];
    fixture.keys[4] = first;
    fixture_pool_publish(&fixture);
    cr_assert_eq(current_id(), 5);
}

Test(reader, an_expired_key_is_never_handed_out) {
    int64_t expires_at_ms = wall_ms() + 120;
    fixture.keys[0]->expires_at_ms = expires_at_ms;
    fixture_pool_publish(&fixture);
    unsigned before = 0, after = 0;
    while (after < 1000) {
        int64_t now_ms = wall_ms();
        uint64_t id = current_id();
        if (now_ms >= expires_at_ms) {
            cr_assert_eq(id, 2, "handed out %ld ms late", (long)(now_ms - expires_at_ms));
            after++;
        } else {
            before += id == 1;
        }
    }
    cr_assert_gt(before, 0);
}

/* All ones is also how a reader says "never the same". */
Test(reader, a_damaged_generation_does_not_pass_for_an_answer_that_holds) {
    int64_t expires_at_ms = wall_ms() + 30;
    fixture.keys[0]->expires_at_ms = expires_at_ms;
    fixture_pool_publish(&fixture);
    cr_assert(current_id() == 1 || wall_ms() >= expires_at_ms); /* publishing may have taken long */
    atomic_store(&fixture.board.shared->generation, UINT64_MAX);
    cr_assert(current_id() == 1 || wall_ms() >= expires_at_ms);
    fixture_sleep_ms(60);
    cr_assert_eq(current_id(), 2);
}

Test(reader, an_expired_key_does_not_come_back_with_its_recovery) {
    fixture.keys[0]->expires_at_ms = wall_ms() - 1;
    fixture_pool_publish(&fixture);
    fixture_pool_set(&fixture, 0, KB_STATUS_COOLING, fixture_now_ms() + 20);
    cr_assert_eq(current_id(), 2);
    fixture_sleep_ms(60);
    cr_assert_eq(current_id(), 2);
}

Test(reader, a_cooled_key_comes_back_without_the_broker) {
    const unsigned statuses[] = { KB_STATUS_COOLING, KB_STATUS_EXCEEDED, KB_STATUS_ERROR };
    for (int i = 0; i < 3; i++) {
        uint64_t deadline_ms = fixture_now_ms() + 60;
        fixture_pool_set(&fixture, 0, statuses[i], deadline_ms);
        unsigned benched = 0;
        for (;;) {
            uint64_t before_ms = fixture_now_ms();
            uint64_t id = current_id();
            if (before_ms >= deadline_ms) {
                cr_assert_eq(id, 1, "status %u", statuses[i]);
                break;
            }
            benched += id == 2;
        }
        cr_assert_gt(benched, 0);
    }
}

Test(reader, only_an_operator_brings_a_disabled_key_back) {
    fixture_pool_set(&fixture, 0, KB_STATUS_DISABLED, fixture_now_ms() + 10);
    fixture_pool_set(&fixture, 1, KB_STATUS_ERROR, 0);
    fixture_sleep_ms(40);
    cr_assert_eq(current_id(), 3);
}

Test(reader, without_a_usable_key_it_says_why_and_when) {
    uint64_t now_ms = fixture_now_ms();
    for (uint32_t i = 0; i < 5; i++)
        fixture_pool_set(&fixture, i, KB_STATUS_COOLING, now_ms + 50000 + i * 1000);
    cr_assert_null(kb_current(reader));
    cr_assert_eq(kb_last_error(reader), KB_EEXHAUSTED);
    uint64_t in_ms = kb_recovers_in_ms(reader);
    cr_assert(in_ms > 40000 && in_ms <= 50000, "%lu", in_ms);
    board_set_flags(&fixture.board, KB_BOARD_GUARDED);
    fixture_pool_announce(&fixture);
    cr_assert_null(kb_current(reader));
    cr_assert_eq(kb_last_error(reader), KB_EGUARDED);
    for (uint32_t i = 0; i < 5; i++)
        fixture_pool_set(&fixture, i, KB_STATUS_ERROR, 0);
    cr_assert_eq(kb_recovers_in_ms(reader), UINT64_MAX);
    fixture_pool_set(&fixture, 4, KB_STATUS_NORMAL, 0);
    cr_assert_eq(kb_recovers_in_ms(reader), 0);
    cr_assert_eq(current_id(), 5);
    cr_assert_eq(kb_last_error(reader), 0);
}

Test(reader, a_hint_is_taken_when_the_generation_moved) {
    fixture_pool_announce_hint(&fixture, &(struct board_hint){ fixture.version, UINT64_MAX, 2 });
    cr_assert_eq(current_id(), 3, "a hint is the broker's word");
    fixture_pool_announce_hint(&fixture,
                               &(struct board_hint){ fixture.version, fixture_now_ms() + 40, 3 });
    cr_assert_eq(current_id(), 4);
    fixture_sleep_ms(80);
    cr_assert_eq(current_id(), 1, "a hint ends with its deadline");
}

Test(reader, a_torn_hint_is_not_used) {
    struct kb_board *shared = fixture.board.shared;
    uint64_t version = fixture.version;
    struct board_hint hints[] = {
        { version - 1, UINT64_MAX, 2 },     /* counts in another catalog's order */
        { version, fixture_now_ms(), 2 },   /* late */
        { version, UINT64_MAX, 5 },         /* beyond the order */
        { version, UINT64_MAX, UINT32_MAX } /* none */
    };
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        fixture_pool_announce_hint(&fixture, &hints[i]);
        cr_assert_eq(current_id(), 1, "hint %zu", i);
    }
    fixture_pool_announce_hint(&fixture, &(struct board_hint){ version, UINT64_MAX, 2 });
    const uint64_t others[] = { 0, fixture.generation - 1, fixture.generation + 1 };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        atomic_store(&shared->hint_generation, others[i]);
        cr_assert_eq(current_id(), 1, "hint of generation %lu", others[i]);
        kb_close(reader);
        reader = fixture_pool_reader(&fixture);
    }
    fixture_pool_set_silently(&fixture, 2, KB_STATUS_ERROR, 0);
    fixture_pool_announce_hint(&fixture, &(struct board_hint){ version, UINT64_MAX, 2 });
    cr_assert_eq(current_id(), 1, "a hint at a benched key");
}

/* Every generation's hint names another key, so a hint of one moment taken for another shows. */
Test(reader, a_hint_that_changes_while_it_is_read_is_not_used) {
    pid_t child = fork_child();
    if (child == 0) {
        for (;;) {
            uint32_t position = (uint32_t)((fixture.generation + 1) % 5);
            fixture_pool_announce_hint(
                &fixture, &(struct board_hint){ fixture.version, UINT64_MAX, position });
            for (volatile uint64_t spin = fixture.generation % 256; spin > 0; spin--)
                ;
        }
    }
    unsigned hinted = 0, torn = 0;
    for (int i = 0; i < 3000000 && hinted < 20000; i++) {
        const kb_key *key = kb_current(reader);
        cr_assert_not_null(key);
        bool by_hint = key->id == 1 + key->ticket.generation % 5;
        hinted += by_hint && key->id != 1;
        torn += !by_hint && key->id != 1; /* the scan finds key 1 */
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_assert_eq(torn, 0, "%u torn beside %u whole", torn, hinted);
    cr_assert_gt(hinted, 0);
}

Test(reader, slots_beyond_the_published_count_are_not_looked_at) {
    board_set_catalog(&fixture.board, fixture.built.version, fixture.built.size,
                      fixture.built.checksum, 2);
    fixture_pool_set(&fixture, 0, KB_STATUS_ERROR, 0);
    cr_assert_eq(current_id(), 2);
    fixture_pool_set(&fixture, 1, KB_STATUS_ERROR, 0);
    cr_assert_eq(current_id(), 0, "keys 3 to 5 are normal, but their slots are not published");
}

Test(reader, a_slot_that_names_another_key_says_nothing_about_this_one) {
    struct board_entry entry = { .word = kb_word_make(77, 1, KB_STATUS_NORMAL) };
    board_set_slot(&fixture.board, 0, &entry);
    fixture_pool_announce_hint(&fixture, &(struct board_hint){ fixture.version, UINT64_MAX, 0 });
    cr_assert_eq(current_id(), 2);
}

Test(reader, a_reader_that_loses_the_unlink_race_looks_again) {
    enum { PUBLISHES = 400 };
    pid_t child = fork_child();
    if (child == 0) {
        for (int i = 1; i <= PUBLISHES; i++) {
            fixture.keys[0]->weight = (uint32_t)i;
            fixture.keys[0]->expires_at_ms = INT64_C(4000000000000) + i;
            fixture_pool_publish(&fixture);
        }
        _exit(0);
    }
    int64_t last = 0;
    unsigned catalogs = 0;
    int status;
    do {
        for (int i = 0; i < 20; i++) {
            const kb_key *key = kb_current(reader);
            cr_assert_not_null(key, "%s", kb_strerror(kb_last_error(reader)));
            cr_assert_geq(key->expires_at_ms, last, "went back");
            catalogs += key->expires_at_ms != last;
            last = key->expires_at_ms;
        }
    } while (waitpid(child, &status, WNOHANG) == 0);
    cr_assert_eq(status, 0);
    fixture_sleep_ms(30);
    cr_assert_eq(kb_current(reader)->expires_at_ms, INT64_C(4000000000000) + PUBLISHES);
    cr_assert_gt(catalogs, 2);
}

Test(reader, opening_while_catalogs_come_and_go_never_fails) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = fixture.runtime;
    uint64_t first = fixture.version, last = 0;
    pid_t child = fork_child();
    if (child == 0)
        for (;;)
            fixture_pool_publish(&fixture);
    int failed = 0;
    for (int i = 0; i < 3000; i++) {
        kb_reader *other = NULL;
        int error = kb_open(&other, FIXTURE_POOL_NAME, &options);
        failed = error < 0 ? error : failed;
        kb_close(other);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    last = kb_board_catalog_version(fixture.board.shared);
    cr_assert_eq(failed, 0, "%s", kb_strerror(failed));
    cr_assert_gt(last - first, 10, "too little changed meanwhile");
}

Test(reader, a_catalog_that_cannot_be_opened_leaves_the_last_one_in_use) {
    const kb_key *key;
    board_set_catalog(&fixture.board, fixture.version + 1, 4096, 1234, 5);
    fixture_pool_announce_hint(&fixture, &(struct board_hint){ 0, 0, KB_BOARD_NO_POSITION });
    cr_assert_eq(current_id(), 1, "the file is not there");
    fixture_pool_set(&fixture, 0, KB_STATUS_ERROR, 0);
    cr_assert_eq(current_id(), 2, "statuses are read all the same");

    record_set_string(&fixture.keys[1]->name, "renamed");
    fixture_pool_build(&fixture);
    board_set_catalog(&fixture.board, fixture.version, fixture.built.size, 4321, 5);
    fixture_sleep_ms(20);
    key = kb_current(reader);
    cr_assert_not_null(key);
    cr_assert_str_eq(key->name, "key2", "the checksum is wrong");
    board_set_catalog(&fixture.board, fixture.version, fixture.built.size, fixture.built.checksum,
                      5);
    fixture_sleep_ms(20);
    key = kb_current(reader);
    cr_assert_str_eq(key->name, "renamed", "it must try again without a new generation");
}

Test(reader, a_replaced_board_is_followed) {
    struct board old = fixture.board;
    cr_assert_eq(current_id(), 1);
    cr_assert_eq(unlinkat(fixture.dir_fd, KB_BOARD_FILE, 0), 0);
    uint64_t generation;
    cr_assert_eq(board_open(&fixture.board, fixture.dir_fd, &generation), 0);
    cr_assert_eq(board_reserve(&fixture.board, 5), 0);
    for (uint32_t i = 0; i < 5; i++)
        fixture_pool_set_silently(&fixture, i, i < 2 ? KB_STATUS_ERROR : KB_STATUS_NORMAL, 0);
    cr_assert_eq(current_id(), 1, "nobody said so yet");
    board_retire(&old, fixture.generation + 1);
    cr_assert_eq(current_id(), 1, "the new board has no catalog yet: go on with the old");
    fixture_pool_publish(&fixture);
    fixture_sleep_ms(30);
    cr_assert_eq(current_id(), 3);
    fixture_pool_set(&fixture, 2, KB_STATUS_ERROR, 0);
    cr_assert_eq(current_id(), 4);
    board_close(&old);
}

Test(reader, a_wiped_board_is_noticed_by_calls_that_enter_the_kernel) {
    struct board old = fixture.board;
    uint64_t generation;
    cr_assert_eq(unlinkat(fixture.dir_fd, KB_BOARD_FILE, 0), 0);
    kb_health_info info = KB_HEALTH_INFO_INIT;
    cr_assert_eq(kb_health(reader, &info), 0);
    cr_assert_eq(current_id(), 1, "wiped, but nothing better is there");
    cr_assert_eq(board_open(&fixture.board, fixture.dir_fd, &generation), 0);
    cr_assert_eq(board_reserve(&fixture.board, 5), 0);
    for (uint32_t i = 0; i < 5; i++)
        fixture_pool_set_silently(&fixture, i, i < 2 ? KB_STATUS_ERROR : KB_STATUS_NORMAL, 0);
    fixture_pool_publish(&fixture);
    cr_assert_eq(kb_health(reader, &info), 0);
    cr_assert_eq(info.usable, 3);
    cr_assert_eq(current_id(), 3);
    board_close(&old);
}

Test(reader, a_deleted_pool_is_said_to_be_deleted_and_found_again) {
    cr_assert_eq(current_id(), 1);
    board_retire(&fixture.board, ++fixture.generation);
    board_close(&fixture.board);
    cr_assert_eq(unlinkat(fixture.dir_fd, KB_BOARD_FILE, 0), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_null(kb_current(reader));
        cr_assert_eq(kb_last_error(reader), KB_EDELETED);
    }
    kb_health_info info = KB_HEALTH_INFO_INIT;
    cr_assert_eq(kb_health(reader, &info), KB_EDELETED);
    cr_assert_eq(kb_recovers_in_ms(reader), UINT64_MAX);
    cr_assert_eq(kb_report(reader, (kb_ticket){ 1, 1 }, KB_RATE, 0), KB_NEXT_KEY);
    kb_attempt attempt = KB_ATTEMPT_INIT;
    cr_assert_null(kb_next(reader, &attempt));
    cr_assert_eq(kb_last_error(reader), KB_EDELETED);

    uint64_t generation;
    cr_assert_eq(board_open(&fixture.board, fixture.dir_fd, &generation), 0);
    cr_assert_eq(board_reserve(&fixture.board, 5), 0);
    for (uint32_t i = 0; i < 5; i++)
        fixture_pool_set_silently(&fixture, i, KB_STATUS_NORMAL, 0);
    fixture_pool_publish(&fixture);
    fixture_sleep_ms(30);
    cr_assert_eq(current_id(), 1);
}

Test(reader, queries_and_reports_leave_a_key_in_the_hand_intact) {
    const kb_key *key = kb_current(reader);
    const char *name = key->name, *secret = key->api_key;
    kb_health_info info = KB_HEALTH_INFO_INIT;
    for (int i = 0; i < 3; i++) {
        fixture_pool_publish(&fixture);
        cr_assert_eq(kb_health(reader, &info), 0);
        kb_recovers_in_ms(reader);
        kb_report(reader, key->ticket, KB_RATE, 1000);
    }
    cr_assert_eq(key->id, 1);
    cr_assert_eq(key->name, name);
    cr_assert_str_eq(name, "key1");
    cr_assert_str_eq(secret, "sk-test-1");
    board_retire(&fixture.board, ++fixture.generation);
    unlinkat(fixture.dir_fd, KB_BOARD_FILE, 0);
    cr_assert_eq(kb_health(reader, &info), KB_EDELETED);
    cr_assert_str_eq(key->api_key, "sk-test-1");
    cr_assert_null(kb_current(reader));
}

Test(reader, a_copy_outlives_its_reader) {
    kb_key *copy = kb_key_dup(kb_current(reader));
    kb_close(reader);
    reader = NULL;
    cr_assert_str_eq(copy->api_key, "sk-test-1");
    cr_assert_str_eq(copy->auth_header, "Authorization: Bearer sk-test-1");
    cr_assert_str_eq(copy->vendor, "openai");
    cr_assert_str_eq(copy->environment, "OPENAI_API_KEY=sk-test-1");
    cr_assert_null(kb_key_free(copy));
}

/* From here on the kernel kills this process for any system call but its end. */
static bool forbid_system_calls(void) {
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog filter = { sizeof instructions / sizeof *instructions, instructions };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

Test(reader, a_refresh_makes_no_system_call) {
    fixture.keys[0]->expires_at_ms = wall_ms() + 3600000;
    fixture_pool_publish(&fixture);
    cr_assert_eq(current_id(), 1);
    pid_t child = fork_child();
    if (child == 0) {
        kb_attempt attempt = KB_ATTEMPT_INIT;
        bool right = current_id() == 1;
        if (!forbid_system_calls())
            _exit(2);
        fixture_pool_set(&fixture, 0, KB_STATUS_COOLING, 1);
        right = right && current_id() == 1;
        fixture_pool_set(&fixture, 0, KB_STATUS_ERROR, 0);
        right = right && current_id() == 2;
        fixture_pool_announce_hint(&fixture, &(struct board_hint){ 0, 0, 0 });
        right = right && current_id() == 2;
        right = right && kb_next(reader, &attempt) && kb_next(reader, &attempt)->id == 3;
        syscall(SYS_exit_group, right ? 0 : 1); /* before _exit a sanitizer would make calls */
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
    cr_assert_eq(WEXITSTATUS(status), 0);
}

Test(reader, a_reader_works_on_in_a_forked_child) {
    cr_assert_eq(current_id(), 1);
    pid_t child = fork_child();
    if (child == 0) {
        for (int i = 0; i < 2000 && current_id() == 1; i++)
            fixture_sleep_ms(1);
        bool right = strcmp(kb_current(reader)->name, "new") == 0;
        kb_close(reader);
        _exit(right ? 0 : 1);
    }
    record_set_string(&fixture.keys[1]->name, "new");
    fixture_pool_publish(&fixture);
    fixture_pool_set(&fixture, 0, KB_STATUS_ERROR, 0);
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    cr_assert_str_eq(kb_current(reader)->name, "new");
}
