/*
 * Opening and asking: where a pool is looked for, what is refused and with which code, and what
 * kb_list, kb_health and kb_next say.
 */
#include <keybroker.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sys/resource.h>

#include <criterion/criterion.h>

#include "tests/support/fixture_pool.h"

static struct fixture_pool fixture;

static void setup(void) {
    fixture_pool_init(&fixture, 4, STRATEGY_PRIORITY, NULL);
}

static void teardown(void) {
    fixture_pool_deinit(&fixture);
}

TestSuite(open, .init = setup, .fini = teardown, .timeout = 60);
TestSuite(attempt, .init = setup, .fini = teardown, .timeout = 60);
TestSuite(query, .init = setup, .fini = teardown, .timeout = 60);

static int try_open(const char *pool) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = fixture.runtime;
    kb_reader *reader = NULL;
    int error = kb_open(&reader, pool, &options);
    cr_assert_eq(reader != NULL, error == 0, "the output must stay untouched on failure");
    kb_close(reader);
    return error;
}

static void write_head(uint64_t magic, uint32_t layout, off_t size) {
    struct kb_board_head head = { magic, layout, 0, 1, KB_BOARD_SIZE, { 0 } };
    unlinkat(fixture.dir_fd, KB_BOARD_FILE, 0);
    int fd = openat(fixture.dir_fd, KB_BOARD_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, size), 0);
    if (size > 0)
        cr_assert_eq(pwrite(fd, &head, sizeof head, 0), (ssize_t)sizeof head);
    close(fd);
}

Test(open, every_error_has_a_sentence_of_its_own) {
    static const int ERRORS[] = { 0,           KB_EINVAL,   KB_ENOMEM,   KB_ENOENT,     KB_EACCES,
                                  KB_EVERSION, KB_ECORRUPT, KB_EDELETED, KB_EEXHAUSTED, KB_EGUARDED,
                                  KB_ETRIED,   KB_ESYSTEM,  -9999 };
    size_t count = sizeof ERRORS / sizeof *ERRORS;
    for (size_t i = 0; i < count; i++)
        for (size_t other = 0; other < i; other++)
            cr_expect_str_neq(kb_strerror(ERRORS[i]), kb_strerror(ERRORS[other]), "%d and %d",
                              ERRORS[i], ERRORS[other]);
}

Test(open, names_that_are_no_pools_are_refused) {
    const char *const names[] = {
        "",    "Test",         "-pool", ".pool", "..",
        "a/b", "../test-pool", "pöol",  "a b",   "0123456789012345678901234567890123456789012345678"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cr_assert_eq(try_open(names[i]), KB_EINVAL, "%s", names[i]);
    cr_assert_eq(try_open("012345678901234567890123456789012345678901234567"), KB_ENOENT);
    cr_assert_eq(try_open("no-such-pool"), KB_ENOENT);
    kb_reader *reader = NULL;
    cr_assert_eq(kb_open(NULL, FIXTURE_POOL_NAME, NULL), KB_EINVAL);
    cr_assert_eq(kb_open(&reader, NULL, NULL), KB_EINVAL);
    cr_assert_eq(kb_open(&reader, FIXTURE_POOL_NAME, &(kb_options){ .size = 0 }), KB_EINVAL);
}

Test(open, a_board_that_is_not_sound_is_refused_with_its_reason) {
    cr_assert_eq(try_open(FIXTURE_POOL_NAME), 0);
    write_head(0, KB_BOARD_LAYOUT, KB_BOARD_SIZE);
    cr_assert_eq(try_open(FIXTURE_POOL_NAME), KB_ENOENT, "still being made");
    write_head(KB_BOARD_MAGIC, KB_BOARD_LAYOUT, KB_BOARD_SIZE);
    cr_assert_eq(try_open(FIXTURE_POOL_NAME), KB_ENOENT, "no catalog yet");
    write_head(1, KB_BOARD_LAYOUT, KB_BOARD_SIZE);
    cr_assert_eq(try_open(FIXTURE_POOL_NAME), KB_ECORRUPT, "wrong magic");
    write_head(KB_BOARD_MAGIC, KB_BOARD_LAYOUT + 1, KB_BOARD_SIZE);
    cr_assert_eq(try_open(FIXTURE_POOL_NAME), KB_EVERSION);
    const off_t sizes[] = { 0, 4096, KB_BOARD_SIZE - 1, KB_BOARD_SIZE + 1 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        write_head(KB_BOARD_MAGIC, KB_BOARD_LAYOUT, sizes[i]);
        cr_assert_eq(try_open(FIXTURE_POOL_NAME), KB_ECORRUPT, "%ld bytes", (long)sizes[i]);
    }
    cr_assert_eq(unlinkat(fixture.dir_fd, KB_BOARD_FILE, 0), 0);
    cr_assert_eq(try_open(FIXTURE_POOL_NAME), KB_ENOENT);
    cr_assert_eq(mkfifoat(fixture.dir_fd, KB_BOARD_FILE, 0600), 0);
    cr_assert_eq(try_open(FIXTURE_POOL_NAME), KB_ECORRUPT, "a pipe");
    cr_assert_eq(unlinkat(fixture.dir_fd, KB_BOARD_FILE, 0), 0);
    cr_assert_eq(symlinkat("/dev/null", fixture.dir_fd, KB_BOARD_FILE), 0);
    cr_assert_eq(try_open(FIXTURE_POOL_NAME), KB_ECORRUPT, "a link");
    cr_assert_eq(unlinkat(fixture.dir_fd, KB_BOARD_FILE, 0), 0);
    cr_assert_eq(symlinkat("x", fixture.dir_fd, "board.2"), 0);
    cr_assert_eq(try_open(FIXTURE_POOL_NAME), KB_EVERSION, "only a newer layout is published");
}

Test(open, a_pool_of_another_group_says_so) {
    cr_assert_eq(chmod(fixture.root, 0755), 0);
    cr_assert_eq(chmod(fixture.dir, 0), 0);
    if (geteuid() == 0)
        cr_assert_eq(seteuid(65534), 0);
    int error = try_open(FIXTURE_POOL_NAME);
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(chmod(fixture.dir, 0750), 0);
    cr_assert_eq(error, KB_EACCES);
}

Test(open, the_environment_is_asked_in_the_promised_order) {
    kb_reader *reader = NULL;
    char xdg[512], own[640];
    snprintf(xdg, sizeof xdg, "%s/xdg", fixture.root);
    snprintf(own, sizeof own, "%s/keybroker", xdg);
    cr_assert_eq(mkdir(xdg, 0755), 0);
    cr_assert_eq(symlink(fixture.runtime, own), 0);
    unsetenv("KEYBROKER_RUNTIME_DIR");
    setenv("XDG_RUNTIME_DIR", xdg, 1);
    cr_assert_eq(kb_open(&reader, FIXTURE_POOL_NAME, NULL), 0, "the user's own directory");
    reader = kb_close(reader);
    setenv("KEYBROKER_RUNTIME_DIR", "/nonexistent", 1);
    cr_assert_eq(kb_open(&reader, FIXTURE_POOL_NAME, NULL), KB_ENOENT, "the variable wins");
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = fixture.runtime;
    cr_assert_eq(kb_open(&reader, FIXTURE_POOL_NAME, &options), 0, "the option wins");
    reader = kb_close(reader);
    setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
    setenv("KEYBROKER_RUNTIME_DIR", fixture.runtime, 1);
    cr_assert_eq(kb_open(&reader, FIXTURE_POOL_NAME, NULL), 0);
    reader = kb_close(reader);
}

Test(open, a_relative_directory_is_remembered_as_it_was) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = ".";
    kb_reader *reader = NULL;
    cr_assert_eq(chdir(fixture.runtime), 0);
    cr_assert_eq(kb_open(&reader, FIXTURE_POOL_NAME, &options), 0);
    cr_assert_eq(chdir("/"), 0);
    struct board old = fixture.board;
    uint64_t generation;
    cr_assert_eq(unlinkat(fixture.dir_fd, KB_BOARD_FILE, 0), 0);
    cr_assert_eq(board_open(&fixture.board, fixture.dir_fd, &generation), 0);
    cr_assert_eq(board_reserve(&fixture.board, 4), 0);
    fixture_pool_set_silently(&fixture, 3, KB_STATUS_NORMAL, 0);
    fixture_pool_publish(&fixture);
    board_retire(&old, fixture.generation);
    cr_assert_eq(kb_current(reader)->id, 4);
    board_close(&old);
    kb_close(reader);
}

Test(attempt, every_key_is_tried_once_and_then_no_more) {
    kb_reader *reader = fixture_pool_reader(&fixture);
    kb_attempt attempt = KB_ATTEMPT_INIT;
    for (uint64_t id = 1; id <= 4; id++)
        cr_assert_eq(kb_next(reader, &attempt)->id, id);
    cr_assert_null(kb_next(reader, &attempt));
    cr_assert_eq(kb_last_error(reader), KB_ETRIED);
    cr_assert_eq(kb_current(reader)->id, 1);
    cr_assert_eq(kb_last_error(reader), 0, "another call's reason must not stick");
    kb_close(reader);
}

Test(attempt, attempts_on_one_reader_do_not_disturb_each_other) {
    kb_reader *reader = fixture_pool_reader(&fixture);
    kb_attempt first = KB_ATTEMPT_INIT, second = KB_ATTEMPT_INIT;
    cr_assert_eq(kb_next(reader, &first)->id, 1);
    cr_assert_eq(kb_next(reader, &first)->id, 2);
    cr_assert_eq(kb_next(reader, &second)->id, 1);
    cr_assert_eq(kb_current(reader)->id, 1);
    cr_assert_eq(kb_next(reader, &first)->id, 3);
    cr_assert_eq(kb_next(reader, &second)->id, 2);
    cr_assert_eq(first.tried_count, 3);
    cr_assert_eq(second.tried_count, 2);
    kb_close(reader);
}

Test(attempt, a_benched_key_is_passed_over) {
    kb_reader *reader = fixture_pool_reader(&fixture);
    kb_attempt attempt = KB_ATTEMPT_INIT;
    fixture_pool_set(&fixture, 1, KB_STATUS_COOLING, 0);
    cr_assert_eq(kb_next(reader, &attempt)->id, 1);
    const kb_key *key = kb_next(reader, &attempt);
    cr_assert_eq(key->id, 3);
    cr_assert_eq(key->ticket.generation, fixture.generation);
    fixture_pool_set(&fixture, 3, KB_STATUS_ERROR, 0);
    cr_assert_null(kb_next(reader, &attempt));
    cr_assert_eq(kb_last_error(reader), KB_ETRIED);
    fixture_pool_set(&fixture, 0, KB_STATUS_ERROR, 0);
    fixture_pool_set(&fixture, 2, KB_STATUS_ERROR, 0);
    cr_assert_null(kb_next(reader, &attempt));
    cr_assert_eq(kb_last_error(reader), KB_EEXHAUSTED);
    kb_close(reader);
}

Test(attempt, pins_are_kept) {
    record_set_string(&fixture.keys[1]->account, "team");
    record_set_string(&fixture.keys[3]->account, "team");
    fixture_pool_publish(&fixture);
    kb_reader *reader = fixture_pool_reader(&fixture);
    kb_attempt account = KB_ATTEMPT_INIT, key = KB_ATTEMPT_INIT, both = KB_ATTEMPT_INIT;
    account.pin_account = "team";
    cr_assert_eq(kb_next(reader, &account)->id, 2);
    cr_assert_eq(kb_next(reader, &account)->id, 4);
    cr_assert_null(kb_next(reader, &account));
    cr_assert_eq(kb_last_error(reader), KB_ETRIED);
    key.pin_key = 3;
    cr_assert_eq(kb_next(reader, &key)->id, 3);
    cr_assert_null(kb_next(reader, &key));
    cr_assert_eq(kb_last_error(reader), KB_ETRIED);
    both.pin_key = 3;
    both.pin_account = "team";
    cr_assert_null(kb_next(reader, &both));
    cr_assert_eq(kb_last_error(reader), KB_EEXHAUSTED);
    both.pin_key = 4;
    fixture_pool_set(&fixture, 3, KB_STATUS_ERROR, 0);
    cr_assert_null(kb_next(reader, &both), "a benched key is not handed out, pinned or not");
    fixture_pool_set(&fixture, 3, KB_STATUS_NORMAL, 0);
    cr_assert_eq(kb_next(reader, &both)->id, 4);
    both.pin_key = 99;
    cr_assert_null(kb_next(reader, &both));
    kb_close(reader);
}

Test(attempt, a_pin_may_be_the_label_of_a_key_that_was_just_handed_out) {
    record_set_string(&fixture.keys[1]->account, "team");
    record_set_string(&fixture.keys[3]->account, "team");
    fixture_pool_publish(&fixture);
    kb_reader *reader = fixture_pool_reader(&fixture);
    kb_attempt first = KB_ATTEMPT_INIT, attempt = KB_ATTEMPT_INIT;
    first.pin_key = 2;
    attempt.pin_account = kb_next(reader, &first)->account;
    fixture_pool_publish(&fixture); /* kb_next lets go of the catalog that the label is in */
    cr_assert_eq(kb_next(reader, &attempt)->id, 2);
    kb_close(reader);
}

Test(attempt, a_key_without_a_label_is_an_account_of_its_own) {
    kb_reader *reader = fixture_pool_reader(&fixture);
    kb_attempt attempt = KB_ATTEMPT_INIT;
    attempt.pin_account = "";
    cr_assert_null(kb_next(reader, &attempt));
    cr_assert_eq(kb_last_error(reader), KB_EINVAL);
    attempt.pin_key = 3;
    cr_assert_eq(kb_next(reader, &attempt)->id, 3);
    kb_close(reader);
}

Test(attempt, a_ticket_is_no_newer_than_the_catalog_that_could_be_read) {
    kb_reader *reader = fixture_pool_reader(&fixture);
    uint64_t before = kb_current(reader)->ticket.generation;
    struct rlimit none = { 0, 0 }, files;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    none.rlim_max = files.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    fixture_pool_announce(&fixture);
    uint64_t same_catalog = kb_current(reader)->ticket.generation;
    cr_assert_gt(same_catalog, before);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    fixture_pool_publish(&fixture);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    cr_assert_eq(kb_current(reader)->ticket.generation, same_catalog,
                 "what it has not read it must not speak for");
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    kb_close(reader);
}

Test(attempt, an_attempt_that_was_not_set_up_is_refused) {
    kb_reader *reader = fixture_pool_reader(&fixture);
    kb_attempt none = { .size = 0 }, full = KB_ATTEMPT_INIT, wrong = KB_ATTEMPT_INIT;
    full.tried_count = KB_ATTEMPT_TRIES;
    wrong.tried_count = KB_ATTEMPT_TRIES + 1;
    cr_assert_null(kb_next(reader, NULL));
    cr_assert_null(kb_next(reader, &none));
    cr_assert_eq(kb_last_error(reader), KB_EINVAL);
    cr_assert_null(kb_next(reader, &wrong));
    cr_assert_eq(kb_last_error(reader), KB_EINVAL);
    cr_assert_null(kb_next(reader, &full));
    cr_assert_eq(kb_last_error(reader), KB_ETRIED);
    kb_close(reader);
}

static int collect(const kb_list_entry *entry, void *userdata) {
    kb_list_entry *entries = userdata;
    entries[entry->position - 1] = *entry;
    return 0;
}

static int stop_at_second(const kb_list_entry *entry, void *userdata) {
    (void)userdata;
    return entry->position == 2 ? 42 : 0;
}

static int meddle(const kb_list_entry *entry, void *userdata) {
    fixture_pool_publish(&fixture);
    cr_assert_not_null(kb_current(userdata));
    cr_assert_eq(strncmp(entry->name, "key", 3), 0);
    return 0;
}

Test(query, a_list_shows_every_key_in_order) {
    kb_list_entry entries[4];
    fixture.keys[2]->expires_at_ms = 1000;
    fixture.keys[3]->weight = 9;
    record_set_string(&fixture.keys[3]->account, "team");
    fixture_pool_publish(&fixture);
    fixture_pool_set(&fixture, 1, KB_STATUS_COOLING, fixture_now_ms() + 50000);
    kb_reader *reader = fixture_pool_reader(&fixture);
    cr_assert_eq(kb_list(reader, collect, entries), 0);
    cr_assert(entries[0].is_default && !entries[1].is_default);
    cr_assert_eq(entries[0].status, KB_STATUS_NORMAL);
    cr_assert_eq(entries[0].recovers_in_ms, 0);
    cr_assert_eq(entries[1].status, KB_STATUS_COOLING);
    cr_assert(entries[1].recovers_in_ms > 40000 && entries[1].recovers_in_ms <= 50000);
    cr_assert_eq(entries[2].status, KB_STATUS_EXPIRED);
    cr_assert_eq(entries[2].recovers_in_ms, UINT64_MAX);
    cr_assert_eq(entries[3].weight, 9);
    cr_assert_eq(kb_list(reader, stop_at_second, NULL), 42);
    cr_assert_eq(kb_list(reader, NULL, NULL), KB_EINVAL);
    cr_assert_eq(kb_list(reader, meddle, reader), 0);
    kb_close(reader);
}

Test(query, health_counts_what_the_board_says) {
    kb_health_info info = KB_HEALTH_INFO_INIT;
    kb_reader *reader = fixture_pool_reader(&fixture);
    fixture_pool_set(&fixture, 1, KB_STATUS_COOLING, fixture_now_ms() + 50000);
    fixture_pool_set(&fixture, 2, KB_STATUS_COOLING, 1);
    fixture_pool_set(&fixture, 3, KB_STATUS_DISABLED, 0);
    board_set_flags(&fixture.board, KB_BOARD_GUARDED);
    cr_assert_eq(kb_health(reader, &info), 0);
    cr_assert_eq(info.size, sizeof info);
    cr_assert_eq(info.broker_alive, 1);
    cr_assert_eq(info.guarded, 1);
    cr_assert_eq(info.generation, fixture.generation);
    cr_assert_eq(info.keys, 4);
    cr_assert_eq(info.usable, 2, "one is normal, one has cooled");
    cr_assert_eq(info.by_status[KB_STATUS_NORMAL], 2);
    cr_assert_eq(info.by_status[KB_STATUS_COOLING], 1);
    cr_assert_eq(info.by_status[KB_STATUS_DISABLED], 1);
    board_beat(&fixture.board, (int64_t)fixture_now_ms() - 5000);
    cr_assert_eq(kb_health(reader, &info), 0);
    cr_assert_eq(info.broker_alive, 0);
    cr_assert_geq(info.heartbeat_age_ms, 5000);

    kb_health_info small = { .size = offsetof(kb_health_info, guarded), .guarded = 77 };
    cr_assert_eq(kb_health(reader, &small), 0);
    cr_assert_eq(small.guarded, 77, "wrote beyond the caller's struct");
    small.size = 0;
    cr_assert_eq(kb_health(reader, &small), KB_EINVAL);
    kb_close(reader);
}
