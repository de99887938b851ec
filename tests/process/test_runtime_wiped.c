/*
 * The runtime directory, or a part of it, is deleted under a running broker and its workers: the
 * broker publishes anew within a heartbeat or two, and everybody follows.
 */
#include <criterion/criterion.h>

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/worker.h"

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static void wipe(const char *path) {
    cr_assert_eq(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void wipe_catalogs(const char *dir) {
    cr_assert_eq(system(scene_text("rm %s/catalog.1.*", dir)), 0);
}

static bool can_open(const struct broker *broker, const char *pool) {
    kb_options options = KB_OPTIONS_INIT;
    kb_reader *reader;
    options.runtime_dir = broker->runtime_dir;
    if (kb_open(&reader, pool, &options) != 0)
        return false;
    bool has_key = kb_current(reader) != NULL;
    kb_close(reader);
    return has_key;
}

struct stage {
    struct broker *broker;
    const char *pool_dir;
    kb_reader *reader, *sleepy; /* the second never waits */
    struct mirror *mirror;      /* nor does this one */
};

static struct stage set_stage(struct broker *b) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    worker_make_pool(peer, "other", 2);
    struct stage stage = { .broker = b,
                           .pool_dir = scene_text("%s/pools/main", b->runtime_dir),
                           .reader = worker_open(b, "main"),
                           .sleepy = worker_open(b, "main"),
                           .mirror = mirror_start(b, "main") };
    kb_report(stage.reader, kb_current(stage.reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
    return stage;
}

static bool admin_answers(const struct broker *broker) {
    struct peer *peer = peer_try_open(broker);
    if (!peer)
        return false;
    peer_close(peer);
    return true;
}

/* Everybody goes on as if nothing had happened: statuses, order, reports, changes. */
static void expect_recovery(struct stage *stage) {
    struct broker *b = stage->broker;
    EVENTUALLY(admin_answers(b));
    EVENTUALLY(access(scene_text("%s/report.sock", stage->pool_dir), F_OK) == 0);
    EVENTUALLY(can_open(b, "main") && can_open(b, "other"));
    struct peer *peer = peer_open(b);
    uint64_t third = worker_key_id(peer, "main", "k2"), last = worker_key_id(peer, "main", "k3");
    cr_assert_str_eq(peer_key_status(peer, "main", "k0"), "exceeded");
    kb_reader *fresh = worker_open(b, "main");
    cr_assert_str_eq(worker_current(fresh), "k1");
    /* A report of one who was there before, and one who was not. */
    EVENTUALLY(kb_wait(stage->reader, 10) >= 0 && strcmp(worker_current(stage->reader), "k1") == 0);
    kb_report(stage->reader, kb_current(stage->reader)->ticket, KB_INVALID, KB_NO_HINT);
    EVENTUALLY(kb_wait(stage->reader, 10) >= 0 &&
               strcmp(peer_key_status(peer, "main", "k1"), "error") == 0);
    EVENTUALLY(strcmp(worker_current(fresh), "k2") == 0);
    EVENTUALLY(atomic_load(&stage->mirror->id) == third);
    peer_must(peer, "move key main k3 first");
    EVENTUALLY(strcmp(worker_current(fresh), "k3") == 0);
    EVENTUALLY(strcmp(worker_current(stage->reader), "k3") == 0);
    EVENTUALLY(strcmp(worker_current(stage->sleepy), "k3") == 0);
    EVENTUALLY(atomic_load(&stage->mirror->id) == last);
    cr_assert(broker_is_running(b));
    struct stat status;
    cr_assert_eq(stat(stage->pool_dir, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0750);
    cr_assert_eq(stat(scene_text("%s/report.sock", stage->pool_dir), &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0660);
    kb_close(fresh);
    kb_close(stage->reader);
    kb_close(stage->sleepy);
    mirror_stop(stage->mirror);
    /* And a restart finds everything in its place. */
    broker_restart(b);
    cr_assert(can_open(b, "main"));
}

TEST_BOTH_LOOPS(wiped, the_whole_runtime_directory) {
    struct stage stage = set_stage(b);
    wipe(b->runtime_dir);
    expect_recovery(&stage);
}

TEST_BOTH_LOOPS(wiped, the_directory_of_pools) {
    struct stage stage = set_stage(b);
    wipe(scene_text("%s/pools", b->runtime_dir));
    expect_recovery(&stage);
}

TEST_BOTH_LOOPS(wiped, a_pools_directory) {
    struct stage stage = set_stage(b);
    wipe(stage.pool_dir);
    expect_recovery(&stage);
}

TEST_BOTH_LOOPS(wiped, a_board) {
    struct stage stage = set_stage(b);
    wipe(scene_text("%s/board.1", stage.pool_dir));
    expect_recovery(&stage);
}

TEST_BOTH_LOOPS(wiped, a_catalog) {
    struct stage stage = set_stage(b);
    wipe_catalogs(stage.pool_dir);
    expect_recovery(&stage);
}

TEST_BOTH_LOOPS(wiped, a_report_socket) {
    struct stage stage = set_stage(b);
    wipe(scene_text("%s/report.sock", stage.pool_dir));
    expect_recovery(&stage);
}

TEST_BOTH_LOOPS(wiped, the_admin_socket) {
    struct stage stage = set_stage(b);
    wipe(scene_text("%s/admin.sock", b->runtime_dir));
    expect_recovery(&stage);
}

TEST_BOTH_LOOPS(wiped, everything_and_the_broker_restarted) {
    struct stage stage = set_stage(b);
    broker_kill(b);
    wipe(b->runtime_dir);
    cr_assert_str_eq(worker_current(stage.reader), "k1", "it reads on");
    broker_restart(b);
    /* Nobody could mark the old board: only calls that enter the kernel notice. */
    struct peer *peer = peer_open(b);
    peer_must(peer, "move key main k3 first");
    EVENTUALLY(kb_wait(stage.reader, 10) >= 0 && strcmp(worker_current(stage.reader), "k3") == 0);
    kb_report(stage.sleepy, kb_current(stage.sleepy)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(worker_current(stage.sleepy), "k3") == 0);
    kb_close(stage.reader);
    kb_close(stage.sleepy);
    mirror_stop(stage.mirror);
}
