/*
 * A disk that is full or failing, below the state or the runtime directory: changes are answered
 * 503 and leave no trace, reading and failover go on, and the broker recovers by itself when the
 * fault ends. Faults come from a preloaded library; where the test may mount, from real full tmpfs.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/disk.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/worker.h"

/* ---- what must be true ---- */

struct names {
    char text[512];
};

static int add_name(const kb_list_entry *entry, void *userdata) {
    struct names *names = userdata;
    strncat(names->text, entry->name, sizeof names->text - strlen(names->text) - 2);
    strcat(names->text, " ");
    return 0;
}

/* The order, as the broker tells it and as a worker reads it: "k0 k1 ". */
static void expect_order(struct peer *peer, kb_reader *reader, const char *wanted) {
    struct names told = { "" }, read = { "" };
    struct answer *shown = peer_must(peer, "json show keys main");
    for (size_t i = 0; i < json_array_size(answer_at(shown, "keys")); i++)
        add_name(&(kb_list_entry){ .name = json_text(answer_at(shown, scene_text("keys.%zu", i)),
                                                     "name") },
                 &told);
    cr_assert_eq(kb_list(reader, add_name, &read), 0);
    cr_assert_str_eq(told.text, wanted);
    cr_assert_str_eq(read.text, wanted);
}

static void expect_status(struct peer *peer, const char *key, const char *status) {
    EVENTUALLY(strcmp(peer_key_status(peer, "main", key), status) == 0);
}

static bool works_again(struct peer *peer) {
    scene_sleep_ms(50);
    return peer_ask(peer, "set key main k0 note=again")->code == 0;
}

/* While nothing can be stored: k0 is used up, k1 cools for a moment, k2 is refused for good. */
static void fail_over(struct peer *peer, kb_reader *reader, struct mirror *mirror) {
    uint64_t second = worker_key_id(peer, "main", "k1"), third = worker_key_id(peer, "main", "k2");
    cr_assert_str_eq(worker_current(reader), "k0");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(atomic_load(&mirror->id) == second);
    kb_report(reader, kb_current(reader)->ticket, KB_RATE, 300);
    EVENTUALLY(atomic_load(&mirror->id) == third);
    kb_report(reader, kb_current(reader)->ticket, KB_INVALID, KB_NO_HINT);
    EVENTUALLY(atomic_load(&mirror->id) == second);
    expect_status(peer, "k0", "exceeded");
    expect_status(peer, "k1", "normal");
    expect_status(peer, "k2", "error");
}

/* Every kind of change is refused and none leaves a trace. */
static void expect_refusals(struct peer *peer, kb_reader *reader) {
    static const char *const CHANGES[] = {
        "disable key main k3",           "delete key main k3",
        "move key main k3 first",        "set key main k3 weight=7 note=lost",
        "order keys main k3 k2 k1 k0",   "set pool main strategy=spread",
        "delete pool main confirm=main",
    };
    for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++) {
        struct answer *answer = peer_ask(peer, "%s", CHANGES[i]);
        cr_assert_eq(answer->code, 503, "%s: %s", CHANGES[i], answer->status);
    }
    cr_assert_eq(peer_ask_with(peer, "sk-lost", "add key main name=lost")->code, 503);
    cr_assert_eq(peer_ask_with(peer, "sk-lost", "add pool lost vendor=openai")->code, 503);
    /* Sent ahead, they fail together, and those that stand on others as well. */
    peer_send_payload(peer, "sk-lost", 7, "add key main name=lost");
    peer_send(peer, "move key main lost first");
    peer_send(peer, "delete key main k3");
    for (int i = 0; i < 3; i++)
        cr_assert_geq(peer_read(peer)->code, 404);
    expect_order(peer, reader, "k0 k1 k2 k3 ");
    cr_assert_eq(peer_ask(peer, "show pool lost")->code, 404);
}

/* ---- the state directory ---- */

static void survive(struct broker *b, uint32_t calls, int error) {
    struct slow_disk *disk = disk_new(b, b->state_dir);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    struct mirror *mirror = mirror_start(b, "main");
    kb_reader *reader = worker_open(b, "main");
    disk_break(disk, calls, error, 0);
    expect_refusals(peer, reader);
    cr_assert_eq(worker_metric(peer, "keybroker_store_ok"), 0);
    fail_over(peer, reader, mirror);
    cr_assert_gt(atomic_load(&disk->failed), 0);
    expect_order(peer, reader, "k0 k1 k2 k3 ");
    disk_repair(disk);
    EVENTUALLY(works_again(peer));
    cr_assert_eq(worker_metric(peer, "keybroker_store_ok"), 1);
    peer_must(peer, "move key main k3 first");
    expect_order(peer, reader, "k3 k0 k1 k2 ");
    /* What was reported meanwhile is on the disk by now. */
    broker_restart(b);
    peer = peer_open(b);
    expect_order(peer, reader, "k3 k0 k1 k2 ");
    cr_assert_str_eq(peer_key_status(peer, "main", "k0"), "exceeded");
    cr_assert_str_eq(peer_key_status(peer, "main", "k1"), "normal");
    cr_assert_str_eq(peer_key_status(peer, "main", "k2"), "error");
    cr_assert_eq(peer_ask(peer, "show pool lost")->code, 404);
    mirror_stop(mirror);
    kb_close(reader);
}

TEST_BOTH_LOOPS(disk, a_full_state_directory_is_survived) {
    survive(b, SLOW_DISK_WRITE | SLOW_DISK_ALLOCATE, ENOSPC);
}

TEST_BOTH_LOOPS(disk, a_disk_that_cannot_write_is_survived) {
    survive(b, SLOW_DISK_ALL, EIO);
}

TEST_BOTH_LOOPS(disk, a_disk_that_cannot_sync_is_survived) {
    survive(b, SLOW_DISK_SYNC, EIO);
}

/* The first fault comes after 0, 1, 2 … calls: every step of a commit fails once. */
TEST_BOTH_LOOPS(disk, a_commit_that_breaks_at_any_step_is_undone) {
    enum { STEPS = 8 };
    struct slow_disk *disk = disk_new(b, b->state_dir);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    kb_reader *reader = worker_open(b, "main");
    bool swapped = false;
    unsigned refused = 0, done = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        disk_break(disk, SLOW_DISK_ALL, step % 2 ? EIO : ENOSPC, step);
        struct answer *answer = peer_ask(peer, "move key main %s first", swapped ? "k0" : "k1");
        disk_repair(disk);
        cr_assert(answer->code == 0 || answer->code == 503, "step %u: %s", step, answer->status);
        swapped ^= answer->code == 0;
        refused += answer->code != 0;
        done += answer->code == 0;
        expect_order(peer, reader, swapped ? "k1 k0 " : "k0 k1 ");
        if (step % 2)
            EVENTUALLY(works_again(peer));
        broker_restart(b);
        peer = peer_open(b);
        expect_order(peer, reader, swapped ? "k1 k0 " : "k0 k1 ");
    }
    cr_assert_gt(refused, 1);
    cr_assert_gt(done, 0, "a commit has fewer steps than this test believes");
    kb_close(reader);
}

/* ---- the runtime directory ---- */

TEST_BOTH_LOOPS(disk, a_full_runtime_directory_is_survived) {
    struct slow_disk *disk = disk_new(b, b->runtime_dir);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    struct mirror *mirror = mirror_start(b, "main");
    kb_reader *reader = worker_open(b, "main");
    disk_break(disk, SLOW_DISK_WRITE | SLOW_DISK_ALLOCATE, ENOSPC, 0);
    cr_assert_eq(peer_ask_with(peer, "sk-lost", "add key main name=lost")->code, 503);
    cr_assert_eq(peer_ask_with(peer, "sk-lost", "add pool lost vendor=openai")->code, 503);
    cr_assert_eq(peer_ask(peer, "move key main k3 first")->code, 503);
    cr_assert_neq(access(scene_text("%s/pools/lost", b->runtime_dir), F_OK), 0);
    expect_order(peer, reader, "k0 k1 k2 k3 ");
    fail_over(peer, reader, mirror);
    cr_assert_gt(atomic_load(&disk->failed), 0);
    expect_order(peer, reader, "k0 k1 k2 k3 ");
    disk_repair(disk);
    EVENTUALLY(works_again(peer));
    peer_must_with(peer, "sk-k4-main", "add key main name=k4");
    peer_must(peer, "move key main k4 first");
    expect_order(peer, reader, "k4 k0 k1 k2 k3 ");
    EVENTUALLY(atomic_load(&mirror->id) == worker_key_id(peer, "main", "k4"));
    cr_assert_str_eq(kb_current(reader)->api_key, "sk-k4-main");
    broker_restart(b);
    peer = peer_open(b);
    expect_order(peer, reader, "k4 k0 k1 k2 k3 ");
    cr_assert_str_eq(peer_key_status(peer, "main", "k2"), "error");
    mirror_stop(mirror);
    kb_close(reader);
}

TEST_BOTH_LOOPS(disk, a_catalog_that_breaks_at_any_step_is_undone) {
    enum { STEPS = 6 };
    struct slow_disk *disk = disk_new(b, b->runtime_dir);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    kb_reader *reader = worker_open(b, "main");
    unsigned refused = 0;
    const char *order = "k0 k1 ";
    for (uint32_t step = 0; step < STEPS; step++) {
        disk_break(disk, SLOW_DISK_ALL, ENOSPC, step);
        const char *name = scene_text("n%u", step);
        struct answer *answer =
            peer_ask_with(peer, scene_text("sk-%s-main", name), "add key main name=%s", name);
        disk_repair(disk);
        cr_assert(answer->code == 0 || answer->code == 503, "step %u: %s", step, answer->status);
        refused += answer->code != 0;
        if (answer->code == 0)
            order = scene_text("%s%s ", order, name);
        expect_order(peer, reader, order);
        EVENTUALLY(works_again(peer));
        expect_order(peer, reader, order);
    }
    cr_assert_gt(refused, 0);
    kb_close(reader);
}

TEST_BOTH_LOOPS(disk, a_key_that_is_stored_but_not_yet_published_is_handed_out_later) {
    struct slow_disk *disk = disk_new(b, b->runtime_dir);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 1);
    kb_reader *reader = worker_open(b, "main");
    disk_fail_once(disk, "renameat", 1, EIO);
    struct answer *answer = peer_ask_with(peer, "sk-late", "json add key main name=late");
    cr_assert_eq(answer->code, 503, "%s", answer->status);
    cr_assert_str_eq(answer_string(answer, "reason"), "not-published");
    peer_must(peer, "disable key main k0");
    EVENTUALLY(strcmp(worker_current(reader), "late") == 0);
    EVENTUALLY(broker_log_has(b, "pool main is published again"));
    kb_close(reader);
}

/* The workers go on with what the last broker published; it is tried again. */
TEST_BOTH_LOOPS(disk, a_start_that_cannot_publish_serves_and_publishes_later) {
    struct slow_disk *disk = disk_new(b, b->runtime_dir);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    kb_reader *reader = worker_open(b, "main");
    kb_report(reader, kb_current(reader)->ticket, KB_RATE, 400);
    expect_status(peer, "k0", "cooling");
    cr_assert_eq(broker_stop(b), 0);
    /* What is published and right would stay. */
    cr_assert_eq(system(scene_text("rm %s/pools/main/catalog.*", b->runtime_dir)), 0);
    disk_fail_once(disk, "renameat", 1, EIO);
    broker_start(b, NULL);
    peer = peer_open(b);
    expect_order(peer, reader, "k0 k1 ");
    cr_assert(broker_log_has(b, "pool main can't be published"));
    expect_status(peer, "k0", "normal"); /* it recovers before anything is published */
    EVENTUALLY(peer_ask(peer, "move key main k1 first")->code == 0);
    expect_order(peer, reader, "k1 k0 ");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    expect_status(peer, "k1", "exceeded");
    kb_close(reader);
}

/* ---- gone, or read-only ---- */

TEST_BOTH_LOOPS(disk, a_state_directory_that_vanishes_acknowledges_nothing_more) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    struct mirror *mirror = mirror_start(b, "main");
    kb_reader *reader = worker_open(b, "main");
    const char *aside = scene_text("%s-aside", b->state_dir);
    cr_assert_eq(system(scene_text("cp -a %s %s && rm -r %s", b->state_dir, aside, b->state_dir)),
                 0);
    expect_refusals(peer, reader);
    fail_over(peer, reader, mirror);
    broker_kill(b);
    /* Nor does a start on nothing take the workers' keys from them. */
    broker_spawn(b, NULL);
    cr_assert_eq(broker_wait_exit(b), 1);
    cr_assert(broker_log_has(b, "is this the right state directory"));
    cr_assert_str_eq(worker_current(reader), "k1");
    cr_assert_eq(system(scene_text("rm -r %s && mv %s %s", b->state_dir, aside, b->state_dir)), 0);
    broker_start(b, NULL);
    expect_order(peer_open(b), reader, "k0 k1 k2 k3 ");
    mirror_stop(mirror);
    kb_close(reader);
}

TEST_BOTH_LOOPS(disk, a_state_directory_that_turns_read_only_is_survived) {
    struct slow_disk *disk = disk_new(b, b->state_dir);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    struct mirror *mirror = mirror_start(b, "main");
    kb_reader *reader = worker_open(b, "main");
    disk_break(disk, SLOW_DISK_ALL, EROFS, 0);
    expect_refusals(peer, reader);
    fail_over(peer, reader, mirror);
    disk_repair(disk);
    EVENTUALLY(works_again(peer));
    mirror_stop(mirror);
    kb_close(reader);
}

/* ---- real ones ---- */

/* A small tmpfs at `path`, for this test's processes only. */
static bool mount_small(const char *path, const char *size) {
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", path, "tmpfs", 0, scene_text("size=%s,mode=0755", size)) == 0;
}

static bool make_read_only(const char *path, bool read_only) {
    return mount("none", path, "tmpfs", MS_REMOUNT | (read_only ? MS_RDONLY : 0), NULL) == 0;
}

static const char *fill_up(const char *dir) {
    static const char ZEROS[4096];
    const char *path = scene_text("%s/filler", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    while (write(fd, ZEROS, sizeof ZEROS) > 0)
        continue;
    cr_assert_eq(errno, ENOSPC);
    close(fd);
    return path;
}

/* Add keys until the directory is full; returns how many were added. */
static unsigned add_until_refused(struct peer *peer, unsigned first) {
    char payload[3000];
    memset(payload, 'x', sizeof payload - 1);
    memcpy(payload, "sk-", 3);
    payload[sizeof payload - 1] = '\0';
    for (unsigned i = first; i < 2000; i++) {
        int digits = snprintf(payload + 3, 8, "%u", i);
        payload[3 + digits] = 'x';
        struct answer *answer = peer_ask_with(peer, payload, "add key main name=n%u", i);
        if (answer->code == 503)
            return i - first;
        cr_assert_eq(answer->code, 0, "%s", answer->status);
    }
    return 0;
}

static void survive_really(struct broker *b, const char *dir) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    struct mirror *mirror = mirror_start(b, "main");
    kb_reader *reader = worker_open(b, "main");
    unsigned added = 0;
    for (unsigned round = 0; round < 2; round++) {
        const char *filler = fill_up(dir);
        added += add_until_refused(peer, added);
        if (round == 0)
            fail_over(peer, reader, mirror);
        long long total = answer_number(peer_must(peer, "json show keys main limit=1"), "total");
        kb_health_info health = KB_HEALTH_INFO_INIT;
        cr_assert_eq(kb_health(reader, &health), 0);
        cr_assert_eq(total, 4 + added);
        cr_assert_eq(health.keys, 4 + added);
        cr_assert_eq(unlink(filler), 0);
        EVENTUALLY(works_again(peer));
        peer_must_with(peer, scene_text("sk-more-%u", added), "add key main name=n%u", added);
        added++;
    }
    broker_restart(b);
    peer = peer_open(b);
    cr_assert_eq(answer_number(peer_must(peer, "json show keys main limit=1"), "total"), 4 + added);
    cr_assert_str_eq(peer_key_status(peer, "main", "k0"), "exceeded");
    cr_assert_str_eq(peer_key_status(peer, "main", "k2"), "error");
    EVENTUALLY(strcmp(worker_current(reader), "k1") == 0);
    mirror_stop(mirror);
    kb_close(reader);
}

TEST_BOTH_LOOPS(disk, a_really_full_state_directory_is_survived) {
    if (!mount_small(b->state_dir, "3m"))
        cr_skip_test("this process may not mount");
    chmod(b->state_dir, 0700);
    survive_really(b, b->state_dir);
}

TEST_BOTH_LOOPS(disk, a_really_full_runtime_directory_is_survived) {
    if (!mount_small(b->runtime_dir, "400k"))
        cr_skip_test("this process may not mount");
    survive_really(b, b->runtime_dir);
}

/* A file system that is mounted read-only has no writers, so the broker meets it at its start. */
TEST_BOTH_LOOPS(disk, a_start_on_a_read_only_state_directory_is_refused) {
    if (!mount_small(b->state_dir, "20m"))
        cr_skip_test("this process may not mount");
    chmod(b->state_dir, 0700);
    broker_start(b, NULL);
    worker_make_pool(peer_open(b), "main", 2);
    kb_reader *reader = worker_open(b, "main");
    cr_assert_eq(broker_stop(b), 0);
    cr_assert(make_read_only(b->state_dir, true));
    broker_spawn(b, NULL);
    cr_assert_eq(broker_wait_exit(b), 1);
    cr_assert(broker_log_has(b, strerror(EROFS)));
    cr_assert_str_eq(worker_current(reader), "k0");
    cr_assert(make_read_only(b->state_dir, false));
    broker_start(b, NULL);
    expect_order(peer_open(b), reader, "k0 k1 ");
    kb_close(reader);
}
