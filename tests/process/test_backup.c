/*
 * backup, --restore and rotate master-key with real brokers: while changes go on, on a disk that
 * does not answer, under kill -9, with the wrong key, by those who may not.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/disk.h"
#include "tests/support/peer.h"
#include "tests/support/program.h"
#include "tests/support/seed.h"
#include "tests/support/worker.h"

static const char GIVEN[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

static const char *place(const char *name) {
    static const char *directory;
    if (!directory)
        directory = scene_dir(scene_disk(), "backups", 0700);
    return scene_text("%s/%s", directory, name);
}

static void write_file(const char *path, const void *bytes, size_t length) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
    close(fd);
}

static void copy_file(const char *from, const char *to) {
    size_t length;
    char *bytes = program_read_file(from, &length);
    cr_assert_not_null(bytes, "%s", from);
    write_file(to, bytes, length);
    free(bytes);
}

static bool exists(const char *path) {
    return access(path, F_OK) == 0;
}

/* keybrokerd --restore; what it says is its result's. */
static struct program *restore(const char *state_dir, const char *backup) {
    const char *argv[] = {
        scene_program("keybrokerd"), "--state-dir", state_dir, "--restore", backup, NULL
    };
    return program_run(NULL, NULL, argv);
}

/* A broker on what a backup holds, with the master key of another one. */
static struct broker *broker_from(const struct broker *b, const char *backup) {
    struct broker *copy = broker_new(b->loop);
    copy_file(scene_text("%s/master.key", b->state_dir),
              scene_text("%s/master.key", copy->state_dir));
    struct program *program = restore(copy->state_dir, backup);
    cr_assert_eq(program->code, 0, "%s", program->err);
    broker_start(copy, NULL);
    return copy;
}

static const char *export_of(struct peer *peer) {
    return peer_must(peer, "export main secrets=yes")->body;
}

/* ---- backups ---- */

enum { CHANGES = 60, ASKED_AT = 20 };

TEST_BOTH_LOOPS(backup, a_backup_taken_while_changes_go_on_is_the_pool_at_one_of_them) {
    const char *states[CHANGES];
    broker_start(b, NULL);
    struct peer *peer = peer_open(b), *asking = peer_open(b);
    peer_make_pool(peer, "main", "openai", 8);
    for (unsigned i = 0; i < CHANGES; i++) {
        if (i == ASKED_AT)
            peer_send(asking, "backup %s", place("busy"));
        peer_must(peer, "set key main key%u note=%u", i % 8 + 1, i);
        states[i] = export_of(peer);
    }
    struct answer *answer = peer_read(asking);
    cr_assert_eq(answer->code, 0, "%s", answer->status);
    struct stat st;
    cr_assert_eq(stat(place("busy"), &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    struct broker *copy = broker_from(b, place("busy"));
    const char *restored = export_of(peer_open(copy));
    bool found = false;
    for (unsigned i = ASKED_AT - 1; i < CHANGES; i++)
        found |= strcmp(restored, states[i]) == 0;
    cr_assert(found, "%s", restored);
}

TEST_BOTH_LOOPS(backup, changes_go_on_while_the_backups_disk_does_not_answer) {
    place("");
    struct slow_disk *disk = disk_new(b, place(""));
    broker_start(b, NULL);
    struct peer *peer = peer_open(b), *asking = peer_open(b);
    peer_make_pool(peer, "main", "openai", 2);
    atomic_store(&disk->hold, 1);
    peer_send(asking, "backup %s", place("held"));
    EVENTUALLY(atomic_load(&disk->syncs_begun) > 0);
    const char *before = export_of(peer);
    peer_must(peer, "set key main key1 note=meanwhile");
    cr_assert_eq(peer_ask(peer, "backup %s", place("second"))->code, 503);
    cr_assert_not(exists(place("held")), "not before it is whole");
    atomic_store(&disk->hold, 0);
    cr_assert_eq(peer_read(asking)->code, 0);
    peer_must(peer, "backup %s", place("third"));
    cr_assert_str_eq(export_of(peer_open(broker_from(b, place("held")))), before);
}

TEST_BOTH_LOOPS(backup, a_full_disk_refuses_the_backup_and_nothing_else) {
    struct slow_disk *disk = disk_new(b, place(""));
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 2);
    static const struct {
        uint32_t call, after;
        int error;
    } FAULTS[] = { { SLOW_DISK_WRITE, 0, ENOSPC }, /* the copy */
                   { SLOW_DISK_WRITE, 1, ENOSPC }, /* its trailer */
                   { SLOW_DISK_SYNC, 0, EIO } };
    for (size_t i = 0; i < sizeof FAULTS / sizeof *FAULTS; i++) {
        disk_break(disk, FAULTS[i].call, FAULTS[i].error, FAULTS[i].after);
        struct answer *answer = peer_ask(peer, "backup %s", place("full"));
        cr_assert_eq(answer->code, 503, "%s", answer->status);
        cr_assert_not(exists(place("full")));
        disk_repair(disk);
        peer_must(peer, "set key main key1 weight=%zu", 2 + i);
    }
    peer_must(peer, "backup %s", place("full"));
}

TEST_BOTH_LOOPS(backup, a_backup_under_way_is_finished_before_the_broker_ends) {
    struct slow_disk *disk = disk_new(b, place(""));
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 2);
    atomic_store(&disk->sync_delay_us, 300000);
    peer_send(peer, "backup %s", place("last"));
    EVENTUALLY(atomic_load(&disk->syncs_begun) > 0);
    cr_assert_eq(broker_stop(b), 0);
    cr_assert(exists(place("last")));
    peer_must(peer_open(broker_from(b, place("last"))), "show pool main");
}

TEST_BOTH_LOOPS(backup, what_must_not_be_written_is_refused) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 1);
    peer_must(peer, "backup %s", place("once"));
    cr_assert_eq(peer_ask(peer, "backup %s", place("once"))->code, 409);
    cr_assert_eq(symlink("elsewhere", place("link")), 0);
    cr_assert_eq(peer_ask(peer, "backup %s", place("link"))->code, 409);
    cr_assert_not(exists(place("elsewhere")));
    cr_assert_eq(peer_ask(peer, "backup %s/copy", b->state_dir)->code, 409);
    cr_assert_eq(peer_ask(peer, "backup %s", place("no/such/directory"))->code, 409);
    cr_assert_eq(peer_ask(peer, "backup relative")->code, 400);
    cr_assert_eq(peer_ask(peer, "backup '/tmp/a\tb'")->code, 400);
    cr_assert_eq(peer_ask(peer, "backup")->code, 400);
    cr_assert_eq(peer_ask_with(peer, "x", "backup %s", place("x"))->code, 400);
}

/* ---- restoring ---- */

static void expect_no_restore(const char *state_dir, const char *backup, const char *why) {
    struct program *program = restore(state_dir, backup);
    cr_assert_eq(program->code, 1);
    cr_assert_not_null(strstr(program->err, why), "want \"%s\": %s", why, program->err);
}

TEST_BOTH_LOOPS(backup, only_a_whole_backup_under_its_own_key_is_restored_and_only_into_nothing) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 3);
    peer_must(peer, "backup %s", place("whole"));
    expect_no_restore(b->state_dir, place("whole"), "another broker");
    cr_assert_eq(broker_stop(b), 0);
    expect_no_restore(b->state_dir, place("whole"), "there is a store already");

    const char *empty = scene_dir(scene_disk(), "empty", 0700);
    const char *key = scene_text("%s/master.key", empty);
    expect_no_restore(empty, place("whole"), "is missing");
    write_file(key, GIVEN, 65);
    expect_no_restore(empty, place("whole"), "another master key");
    copy_file(scene_text("%s/master.key", b->state_dir), key);
    size_t length;
    char *bytes = program_read_file(place("whole"), &length);
    write_file(place("cut"), bytes, length - 1);
    expect_no_restore(empty, place("cut"), "truncated");
    bytes[length / 2] ^= 4;
    write_file(place("flipped"), bytes, length);
    expect_no_restore(empty, place("flipped"), "damaged");
    expect_no_restore(empty, place("nothing"), "cannot open");
    expect_no_restore(empty, "/dev/null", "no backup of keybroker");
    cr_assert_not(exists(scene_text("%s/store.mdb", empty)));
    cr_assert_eq(restore(empty, place("whole"))->code, 0);
    struct stat st;
    cr_assert_eq(stat(scene_text("%s/store.mdb", empty), &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    free(bytes);
}

static uint64_t generation_of(kb_reader *reader) {
    kb_health_info info = { .size = sizeof info };
    cr_assert_eq(kb_health(reader, &info), 0);
    return info.generation;
}

/* The backup knows nothing of the starts since. */
TEST_BOTH_LOOPS(backup, workers_follow_a_restored_store_and_no_generation_goes_back) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    peer_must(peer, "backup %s", place("early"));
    for (int i = 0; i < 3; i++)
        broker_restart(b);
    peer = peer_open(b);
    worker_make_pool(peer, "later", 1);
    peer_must_with(peer, "sk-late", "add key main name=late");
    peer_must(peer, "move key main late first");
    kb_reader *reader = worker_open(b, "main"), *gone = worker_open(b, "later");
    cr_assert_str_eq(worker_current(reader), "late");
    cr_assert_str_eq(worker_current(gone), "k0");
    kb_ticket late = kb_current(reader)->ticket;
    broker_kill(b);
    uint64_t before = generation_of(reader);

    cr_assert_eq(unlink(scene_text("%s/store.mdb", b->state_dir)), 0);
    cr_assert_eq(restore(b->state_dir, place("early"))->code, 0);
    broker_start(b, NULL);
    cr_assert_str_eq(worker_current(reader), "k0");
    cr_assert_gt(generation_of(reader), before);
    cr_assert_null(kb_current(gone));
    cr_assert_eq(kb_last_error(gone), KB_EDELETED);
    /* The next key gets the id of the one that was lost: an old ticket must not hurt it. */
    peer = peer_open(b);
    peer_must_with(peer, "sk-new", "add key main name=new");
    kb_report(reader, late, KB_INVALID, KB_NO_HINT);
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
    cr_assert_str_eq(peer_key_status(peer, "main", "new"), "normal");
    kb_close(reader);
    kb_close(gone);
}

/* ---- another master key ---- */

TEST_BOTH_LOOPS(backup, a_rotated_master_key_opens_the_store_and_the_old_one_does_not) {
    const char *key = scene_text("%s/master.key", b->state_dir);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 2);
    copy_file(key, place("old"));
    for (int i = 0; i < 5; i++) {
        peer_send(peer, "set key main key1 note=%d", i);
        peer_send(peer, "rotate master-key");
        cr_assert_eq(peer_read(peer)->code, 0);
        struct answer *answer = peer_read(peer);
        cr_assert_eq(answer->code, 0, "%s", answer->status);
    }
    struct stat st;
    cr_assert_eq(stat(key, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    broker_signal(b, SIGHUP);
    EVENTUALLY(broker_log_has(b, "the master key opens the store"));
    broker_restart(b);
    peer = peer_open(b);
    cr_assert_str_eq(answer_string(peer_must(peer, "json show key main key1"), "note"), "4");
    cr_assert_eq(broker_stop(b), 0);
    copy_file(place("old"), key);
    broker_spawn(b, NULL);
    cr_assert_eq(broker_wait_exit(b), 1);
}

TEST_BOTH_LOOPS(backup, a_key_that_the_operator_keeps_is_given_and_put_in_place_later) {
    const char *credentials = scene_dir(scene_disk(), "credentials", 0700);
    const char *environment[] = { scene_text("CREDENTIALS_DIRECTORY=%s", credentials), NULL };
    const char *key = scene_text("%s/master.key", credentials);
    write_file(key, "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n", 65);
    b->environment = environment;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 2);
    copy_file(key, place("old"));
    struct answer *answer = peer_ask(peer, "rotate master-key");
    cr_assert_eq(answer->code, 409, "%s", answer->status);
    cr_assert_not_null(strstr(answer->message, "rotate master-key given"));
    cr_assert_eq(peer_ask(peer, "rotate master-key given")->code, 400);
    cr_assert_eq(peer_ask_with(peer, "short", "rotate master-key given")->code, 400);
    cr_assert_eq(peer_ask_with(peer, GIVEN, "rotate master-key")->code, 400);
    cr_assert_eq(peer_ask(peer, "rotate master-key other")->code, 400);
    peer_must_with(peer, GIVEN, "rotate master-key given");
    broker_restart(b); /* with the old one: nothing is lost */
    broker_restart(b);
    write_file(key, GIVEN, 65);
    broker_restart(b);
    peer_must(peer_open(b), "show pool main");
    cr_assert_eq(broker_stop(b), 0);
    copy_file(place("old"), key);
    broker_spawn(b, NULL);
    cr_assert_eq(broker_wait_exit(b), 1, "the old one has gone");
}

TEST_BOTH_LOOPS(backup, the_command_does_both_and_a_viewer_neither) {
    broker_start(b, "--viewer-group=54322", NULL);
    peer_make_pool(peer_open(b), "main", "openai", 1);
    struct program *program = command_run(b, NULL, "backup", place("by-command"), NULL);
    cr_assert_eq(program->code, 0, "%s", program->err);
    cr_assert_not_null(strstr(program->out, "master key"), "%s", program->out);
    program = command_run(b, NULL, "rotate", "master-key", NULL);
    cr_assert_eq(program->code, 0, "%s", program->err);
    program = command_run(b, GIVEN, "rotate", "master-key", "given", NULL);
    cr_assert_eq(program->code, 0, "%s", program->err);
    program = command_run(b, NULL, "help", "backup", NULL);
    cr_assert_not_null(strstr(program->out, "keybrokerd --restore"), "%s", program->out);
    if (geteuid() != 0)
        return;
    struct peer_identity viewer = { .uid = 65534, .gid = 54322 };
    struct peer *peer = peer_open_as(b, &viewer);
    cr_assert_eq(peer_ask(peer, "backup %s", place("viewers"))->code, 403);
    cr_assert_eq(peer_ask(peer, "rotate master-key")->code, 403);
    cr_assert_eq(peer_ask_with(peer, GIVEN, "rotate master-key given")->code, 403);
}

/* ---- kill -9 ---- */

enum { ROUNDS = 40, ROUNDS_SANITIZED = 8, LIFE_MOST_US = 12000 };

TEST_BOTH_LOOPS(backup, killed_in_the_middle_it_opens_and_every_backup_that_is_there_is_whole) {
    struct seed seed = seed_begin("backup");
    unsigned rounds = scene_sanitized() ? ROUNDS_SANITIZED : ROUNDS, whole = 0;
    broker_start(b, NULL);
    peer_make_pool(peer_open(b), "main", "openai", 20);
    const char *state = export_of(peer_open(b));
    for (unsigned i = 0; i < rounds; i++) {
        struct peer *peer = peer_open(b);
        const char *backup = place(scene_text("%s-%u", b->loop, i));
        copy_file(scene_text("%s/master.key", b->state_dir), place("before"));
        peer_send(peer, "backup %s", backup);
        peer_send(peer, "rotate master-key");
        usleep((useconds_t)seed_below(&seed, LIFE_MOST_US));
        broker_kill(b);
        broker_restart(b);
        cr_assert_str_eq(export_of(peer_open(b)), state, "round %u", i);
        if (!exists(backup))
            continue;
        whole++;
        const char *copy = scene_dir(scene_disk(), scene_text("copy-%s-%u", b->loop, i), 0700);
        copy_file(place("before"), scene_text("%s/master.key", copy));
        struct program *program = restore(copy, backup);
        cr_assert_eq(program->code, 0, "round %u: %s", i, program->err);
    }
    printf("%u of %u backups were whole\n", whole, rounds);
}
