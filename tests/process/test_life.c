/*
 * A broker's life: signals, its end, a second broker on the same directories, master keys, and
 * readers that outlive it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <keybroker.h>

#include "tests/support/peer.h"
#include "tests/support/program.h"
#include "tests/support/worker.h"

static uint64_t generation(kb_reader *reader) {
    kb_health_info health = KB_HEALTH_INFO_INIT;
    cr_assert_eq(kb_health(reader, &health), 0);
    return health.generation;
}

TEST_BOTH_LOOPS(life, a_change_that_is_acknowledged_is_what_readers_get) {
    struct peer *peer = peer_start(b, 3);
    kb_reader *reader = worker_open(b, "main");
    for (unsigned i = 0; i < 50; i++) {
        const char *name = scene_text("key%u", i % 3 + 1);
        peer_must(peer, "move key main %s first", name);
        cr_assert_str_eq(worker_current(reader), name);
        peer_must(peer, "disable key main %s", name);
        cr_assert_str_neq(worker_current(reader), name);
        peer_must(peer, "enable key main %s", name);
        cr_assert_str_eq(worker_current(reader), name);
    }
    kb_close(reader);
}

TEST_BOTH_LOOPS(life, sigterm_ends_it_cleanly_and_readers_go_on) {
    struct peer *peer = peer_start(b, 3);
    kb_reader *reader = worker_open(b, "main");
    peer_must(peer, "move key main key2 first");
    cr_assert_eq(broker_stop(b), 0);
    cr_assert(b->stopping, "it said STOPPING=1");
    cr_assert_str_eq(worker_current(reader), "key2");
    kb_reader *late = worker_open(b, "main");
    cr_assert_str_eq(worker_current(late), "key2");
    kb_report(reader, kb_current(reader)->ticket, KB_INVALID, KB_NO_HINT);
    cr_assert_str_eq(worker_current(reader), "key1", "it fails over by itself");
    broker_restart(b);
    peer = peer_open(b);
    peer_must(peer, "move key main key3 first");
    cr_assert_str_eq(worker_current(late), "key3", "readers follow the new broker");
    cr_assert_str_eq(worker_current(reader), "key3");
    kb_close(reader);
    kb_close(late);
}

TEST_BOTH_LOOPS(life, what_was_asked_for_before_sigterm_is_answered_or_not_done) {
    enum { CHANGES = 100 };
    struct peer *peer = peer_start(b, 3);
    for (unsigned i = 0; i < CHANGES; i++)
        peer_send(peer, "set key main key2 weight=%u", i + 1);
    broker_signal(b, SIGTERM);
    unsigned answered = 0;
    for (const char *line; (line = peer_read_line(peer));)
        answered += strcmp(line, "OK") == 0;
    cr_assert_eq(broker_wait_exit(b), 0);
    broker_restart(b);
    peer = peer_open(b);
    long long weight = answer_number(peer_must(peer, "json show key main key2"), "weight");
    cr_assert_geq(weight, answered ? answered : 1, "%u were acknowledged, %lld is there", answered,
                  weight);
}

TEST_BOTH_LOOPS(life, sighup_publishes_again_and_loses_nothing) {
    struct peer *peer = peer_start(b, 3);
    kb_reader *reader = worker_open(b, "main");
    peer_must(peer, "disable key main key1");
    const char *pool = scene_text("%s/pools/main", b->runtime_dir);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = generation(reader);
        broker_signal(b, SIGHUP);
        EVENTUALLY(generation(reader) > before);
        EVENTUALLY(strcmp(worker_current(reader), "key2") == 0);
    }
    (void)pool;
    cr_assert_str_eq(peer_key_status(peer, "main", "key1"), "disabled");
    peer_must(peer, "enable key main key1");
    cr_assert_str_eq(worker_current(reader), "key1");
    kb_close(reader);
}

TEST_BOTH_LOOPS(life, a_second_broker_refuses_and_the_first_goes_on_serving) {
    struct peer *peer = peer_start(b, 3);
    kb_reader *reader = worker_open(b, "main");
    struct broker *same_state = broker_new(b->loop), *same_runtime = broker_new(b->loop);
    struct broker *both = broker_new_beside(b);
    same_state->state_dir = b->state_dir;
    same_runtime->runtime_dir = b->runtime_dir;
    struct broker *others[] = { same_state, same_runtime, both };
    for (size_t i = 0; i < 3; i++) {
        broker_spawn(others[i], NULL);
        cr_assert_eq(broker_wait_exit(others[i]), 1);
        cr_assert(broker_log_has(others[i], "another broker"));
    }
    peer_must(peer, "disable key main key1");
    cr_assert_str_eq(worker_current(reader), "key2");
    peer_must(peer_open(b), "show info");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "key2"), "exceeded") == 0);
    kb_close(reader);
}

/* ---- master keys ---- */

static void write_file(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    fchmod(fd, mode);
    close(fd);
}

static const char ONE[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";
static const char TWO[] = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

static void assert_refuses(struct broker *b, const char *what) {
    cr_assert_eq(broker_wait_exit(b), 1, "%s", what);
    char *log = broker_log(b);
    cr_assert(strcasestr(log, "key"), "%s: the log says why: %s", what, log);
    free(log);
}

TEST_BOTH_LOOPS(life, a_wrong_or_missing_master_key_is_refused_and_changes_nothing) {
    const char *path = scene_text("%s/given.key", scene_disk());
    const char *wrong = scene_text("%s/wrong.key", scene_disk());
    write_file(path, ONE, 0600);
    write_file(wrong, TWO, 0600);
    broker_start(b, "--master-key-file", path, NULL);
    peer_make_pool(peer_open(b), "main", "openai", 2);
    cr_assert_neq(access(scene_text("%s/master.key", b->state_dir), F_OK), 0);
    cr_assert_eq(broker_stop(b), 0);
    size_t before_length = 0, after_length = 0;
    const char *store = scene_text("%s/store.mdb", b->state_dir);
    char *before = program_read_file(store, &before_length);

    broker_spawn(b, "--master-key-file", wrong, NULL);
    assert_refuses(b, "a wrong key");
    broker_spawn(b, "--master-key-file", "/no/such/file", NULL);
    assert_refuses(b, "a missing file");
    broker_spawn(b, NULL);
    assert_refuses(b, "no key at all");
    cr_assert_neq(access(scene_text("%s/master.key", b->state_dir), F_OK), 0,
                  "a key was made where a store exists");
    write_file(wrong, "short\n", 0600);
    broker_spawn(b, "--master-key-file", wrong, NULL);
    assert_refuses(b, "a key that is none");

    char *after = program_read_file(store, &after_length);
    cr_assert(before && after && before_length == after_length &&
                  memcmp(before, after, after_length) == 0,
              "a refused start wrote to the store");
    free(after);
    free(before);
    broker_start(b, "--master-key-file", path, NULL);
    struct answer *keys = peer_must(peer_open(b), "json show keys main");
    cr_assert_eq(answer_number(keys, "total"), 2);
}

TEST_BOTH_LOOPS(life, a_master_key_comes_from_the_credentials_directory) {
    const char *credentials = scene_dir(scene_disk(), "credentials", 0700);
    const char *environment[] = { scene_text("CREDENTIALS_DIRECTORY=%s", credentials), NULL };
    write_file(scene_text("%s/master.key", credentials), ONE, 0600);
    b->environment = environment;
    broker_start(b, NULL);
    peer_make_pool(peer_open(b), "main", "openai", 1);
    cr_assert_neq(access(scene_text("%s/master.key", b->state_dir), F_OK), 0);
    b->environment = NULL;
    broker_kill(b);
    broker_spawn(b, NULL);
    assert_refuses(b, "without the credential");
}

TEST_BOTH_LOOPS(life, a_master_key_is_made_where_no_store_exists) {
    struct stat status;
    peer_start(b, 3);
    cr_assert_eq(stat(scene_text("%s/master.key", b->state_dir), &status), 0);
    cr_assert_eq(status.st_mode & 07777, 0600);
    cr_assert_eq(broker_stop(b), 0);
    cr_assert_eq(unlink(scene_text("%s/master.key", b->state_dir)), 0);
    broker_spawn(b, NULL);
    assert_refuses(b, "its key was deleted");
    cr_assert_neq(access(scene_text("%s/master.key", b->state_dir), F_OK), 0);
}

/* ---- directories ---- */

TEST_BOTH_LOOPS(life, a_runtime_directory_on_a_disk_is_refused_unless_allowed) {
    b->runtime_dir = scene_dir(scene_disk(), "on-disk", 0755);
    broker_spawn(b, NULL);
    /* Where /tmp is tmpfs as well there is nothing to refuse. */
    EVENTUALLY(!broker_is_running(b) ||
               access(scene_text("%s/admin.sock", b->runtime_dir), F_OK) == 0);
    if (broker_is_running(b))
        return;
    cr_assert(broker_log_has(b, "tmpfs"));
    broker_start(b, "--allow-disk-runtime", NULL);
    peer_must(peer_open(b), "show info");
}

TEST_BOTH_LOOPS(life, a_directory_that_all_may_write_is_refused_and_one_below_it_is_made) {
    cr_assert_eq(chmod(b->runtime_dir, 0777), 0);
    broker_spawn(b, NULL);
    cr_assert_eq(broker_wait_exit(b), 1);
    cr_assert(broker_log_has(b, "name a directory below it"));
    b->runtime_dir = scene_text("%s/keybroker", b->runtime_dir);
    broker_start(b, NULL);
    cr_assert_eq(broker_stop(b), 0);
}

TEST_BOTH_LOOPS(life, an_option_that_is_wrong_is_refused_with_2) {
    broker_spawn(b, "--keep-events=none", NULL);
    cr_assert_eq(broker_wait_exit(b), 2);
    broker_spawn(b, "--frobnicate", NULL);
    cr_assert_eq(broker_wait_exit(b), 2);
    broker_spawn(b, "argument", NULL);
    cr_assert_eq(broker_wait_exit(b), 2);
    broker_spawn(b, "--help", NULL);
    cr_assert_eq(broker_wait_exit(b), 0);
    cr_assert(broker_log_has(b, "--state-dir"));
}

TEST_BOTH_LOOPS(life, a_pool_that_is_deleted_ends_for_its_readers) {
    struct peer *peer = peer_start(b, 3);
    kb_reader *reader = worker_open(b, "main");
    cr_assert_str_eq(worker_current(reader), "key1");
    peer_must(peer, "delete pool main confirm=main");
    cr_assert_null(kb_current(reader));
    cr_assert_eq(kb_last_error(reader), KB_EDELETED);
    peer_make_pool(peer, "main", "openai", 1);
    EVENTUALLY(kb_current(reader) != NULL);
    kb_close(reader);
}

TEST_BOTH_LOOPS(life, a_paused_broker_keeps_nobody_from_reading) {
    struct peer *peer = peer_start(b, 3);
    kb_reader *reader = worker_open(b, "main");
    broker_pause(b);
    peer_send(peer, "disable key main key1");
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_str_eq(worker_current(reader), "key1");
    broker_continue(b);
    cr_assert_eq(peer_read(peer)->code, 0);
    cr_assert_str_eq(worker_current(reader), "key2");
    kb_close(reader);
}

static unsigned catalogs_in(const char *directory) {
    unsigned count = 0;
    DIR *dir = opendir(directory);
    cr_assert_not_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += strstr(entry->d_name, "catalog.") != NULL;
    closedir(dir);
    return count;
}

TEST_BOTH_LOOPS(life, catalogs_that_were_replaced_are_unlinked) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 3);
    for (int i = 0; i < 20; i++)
        peer_must(peer, "set key main key2 note=%d", i);
    EVENTUALLY(catalogs_in(scene_text("%s/pools/main", b->runtime_dir)) == 1);
}
