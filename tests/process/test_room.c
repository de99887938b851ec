/*
 * A runtime directory that is nearly full, or is made so on purpose, and few descriptors: each pool
 * stands for itself, what lies there is enough for a start, and what is deleted needs no room.
 */
#include <criterion/criterion.h>

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/worker.h"

/* A small tmpfs for the runtime directory, for this test's processes only. */
static bool mount_runtime(const struct broker *b, const char *size) {
    bool mounted =
        unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("none", b->runtime_dir, "tmpfs", 0, scene_text("size=%s,mode=0755", size)) == 0;
    if (!mounted)
        cr_skip_test("this process may not mount");
    return mounted;
}

static unsigned percent_used(const struct broker *b) {
    struct statvfs fs;
    cr_assert_eq(statvfs(b->runtime_dir, &fs), 0);
    return (unsigned)(100 - 100 * fs.f_bavail / fs.f_blocks);
}

/* A document for `import`: keys k1 …, each with its secret three times in the catalog: 12 KiB. */
static char *document(unsigned keys) {
    json_t *rows = json_array();
    char secret[3000];
    memset(secret, 'x', sizeof secret - 1);
    secret[sizeof secret - 1] = '\0';
    for (unsigned i = 1; i <= keys; i++) {
        char number[16];
        snprintf(number, sizeof number, "sk-%08u", i);
        memcpy(secret, number, strlen(number));
        json_array_append_new(rows, json_pack("{s:s, s:{s:s}}", "name", scene_text("k%u", i),
                                              "config", "api_key", secret));
    }
    json_t *whole = json_pack("{s:i, s:{s:s, s:s}, s:o}", "format", 1, "pool", "vendor", "openai",
                              "guard", "off", "keys", rows);
    char *text = json_dumps(whole, JSON_COMPACT);
    json_decref(whole);
    return text;
}

static int import(struct peer *peer, const char *pool, unsigned keys) {
    char *text = document(keys);
    int code = peer_ask_with(peer, text, "import %s", pool)->code;
    free(text);
    return code;
}

/* Pools pool0 … of so many keys, until more than this is used; how many there are. */
static unsigned fill(const struct broker *b, struct peer *peer, unsigned keys, unsigned percent) {
    unsigned pools = 0;
    while (percent_used(b) < percent)
        cr_assert_eq(import(peer, scene_text("pool%u", pools++), keys), 0);
    return pools;
}

/* ---- starts ---- */

static void start_ten_times(struct broker *b, unsigned percent) {
    if (!mount_runtime(b, "6m"))
        return;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    unsigned pools = fill(b, peer, 40, percent);
    kb_reader *reader = worker_open(b, "pool0");
    for (unsigned round = 0; round < 10; round++) {
        cr_assert_geq(percent_used(b), percent);
        broker_restart(b);
        peer = peer_open(b);
        peer_must(peer, "set key pool%u k1 note=%u", round % pools, round);
        cr_assert_str_eq(worker_current(reader), "k1");
    }
    for (unsigned i = 0; i < pools; i++) {
        kb_reader *other = worker_open(b, scene_text("pool%u", i));
        cr_assert_str_eq(worker_current(other), "k1");
        kb_close(other);
    }
    cr_assert_not(broker_log_has(b, "no room"));
    kb_close(reader);
}

TEST_BOTH_LOOPS(room, a_runtime_directory_that_is_61_percent_full_survives_ten_kills) {
    start_ten_times(b, 61);
}

TEST_BOTH_LOOPS(room, a_runtime_directory_that_is_90_percent_full_survives_ten_kills) {
    start_ten_times(b, 90);
}

static uint64_t catalog_version(const struct broker *b, const char *pool, unsigned *ret_files) {
    DIR *dir = opendir(scene_text("%s/pools/%s", b->runtime_dir, pool));
    cr_assert_not_null(dir);
    unsigned long long version = 0;
    *ret_files = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        *ret_files += strstr(entry->d_name, "catalog.") != NULL;
        sscanf(entry->d_name, "catalog.1.%llx", &version);
    }
    closedir(dir);
    return version;
}

static unsigned catalogs(const struct broker *b, const char *pool) {
    unsigned files;
    catalog_version(b, pool, &files);
    return files;
}

/* Workers that attached need not open it anew, either. */
TEST_BOTH_LOOPS(room, a_start_takes_over_what_is_published_and_replaces_what_differs) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    worker_make_pool(peer, "other", 3);
    unsigned files;
    EVENTUALLY(catalogs(b, "main") == 1 && catalogs(b, "other") == 1);
    uint64_t main_version = catalog_version(b, "main", &files);
    uint64_t other_version = catalog_version(b, "other", &files);
    const char *file = scene_text("%s/pools/other/catalog.1.%016llx", b->runtime_dir,
                                  (unsigned long long)other_version);
    cr_assert_eq(broker_stop(b), 0);
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, "x", 1, 5000), 1);
    close(fd);
    broker_restart(b);
    EVENTUALLY(catalogs(b, "main") == 1 && catalogs(b, "other") == 1);
    cr_assert_eq(catalog_version(b, "main", &files), main_version);
    cr_assert_neq(catalog_version(b, "other", &files), other_version);
    kb_reader *reader = worker_open(b, "other");
    cr_assert_str_eq(worker_current(reader), "k0");
    kb_close(reader);
}

/* Each start has to build anew, and is killed somewhere. */
TEST_BOTH_LOOPS(room, thirty_starts_that_are_killed_leave_nothing_behind) {
    enum { POOLS = 6 };
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    for (unsigned i = 0; i < POOLS; i++)
        cr_assert_eq(import(peer, scene_text("pool%u", i), 60), 0);
    broker_kill(b);
    for (unsigned round = 0; round < 30; round++) {
        cr_assert_eq(system(scene_text("chmod 0600 %s/pools/*/catalog.1.*", b->runtime_dir)), 0);
        broker_spawn(b, NULL);
        scene_sleep_ms((unsigned)rand() % 40);
        broker_kill(b);
        for (unsigned i = 0; i < POOLS; i++)
            cr_assert_leq(catalogs(b, scene_text("pool%u", i)), 2, "round %u", round);
    }
    broker_start(b, NULL);
    for (unsigned i = 0; i < POOLS; i++)
        EVENTUALLY(catalogs(b, scene_text("pool%u", i)) == 1);
}

/* ---- changes ---- */

TEST_BOTH_LOOPS(room, an_import_that_is_too_large_refuses_itself_alone) {
    if (!mount_runtime(b, "6m"))
        return;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    unsigned pools = fill(b, peer, 100, 53);
    char *large = document(1200);
    struct answer *refused = peer_ask_with(peer, large, "json import pool0 mode=merge");
    cr_assert_eq(refused->code, 503, "%s", refused->status);
    cr_assert_str_eq(answer_string(refused, "reason"), "cannot-publish");
    cr_assert_not_null(strstr(answer_string(refused, "message"), "larger tmpfs"));
    cr_assert_eq(peer_ask_with(peer, large, "import another")->code, 503);
    free(large);
    for (unsigned i = 0; i < pools; i++)
        peer_must(peer, "set key pool%u k1 note=goes-on", i);
    cr_assert_eq(answer_number(peer_must(peer, "json show keys pool0 limit=1"), "total"), 100);
    cr_assert_eq(peer_ask(peer, "show pool another")->code, 404);
    peer_must(peer, "delete pool pool0 confirm=pool0");
    broker_restart(b);
    peer_must(peer_open(b), "set key pool1 k1 note=again");
}

/* Says of one key after the other that it was limited, for ever with the tickets of the beginning:
 * most of what it says is stale, and each time the broker moves the key's word. */
struct reporter {
    const struct broker *broker;
    _Atomic bool stop, says;
    uint64_t ids[100];
    unsigned count;
};

static int note_id(const kb_list_entry *entry, void *userdata) {
    struct reporter *reporter = userdata;
    reporter->ids[reporter->count++] = entry->id;
    return reporter->count == 100;
}

static int go_on_reporting(void *argument) {
    struct reporter *reporter = argument;
    kb_health_info health = KB_HEALTH_INFO_INIT;
    kb_reader *reader = worker_open(reporter->broker, "pool0");
    kb_list(reader, note_id, reporter);
    kb_health(reader, &health);
    for (unsigned i = 0; !reporter->stop; i = (i + 1) % reporter->count) {
        kb_ticket ticket = { .id = reporter->ids[i], .generation = health.generation };
        kb_report(reader, ticket, KB_RATE, 1000);
        reporter->says = true;
        usleep(200);
    }
    kb_close(reader);
    return 0;
}

TEST_BOTH_LOOPS(room, reports_come_in_while_an_import_that_was_refused_is_taken_back) {
    if (!mount_runtime(b, "6m"))
        return;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    fill(b, peer, 100, 53);
    struct reporter *reporter = worker_share(sizeof *reporter);
    reporter->broker = b;
    pid_t worker = worker_fork(go_on_reporting, reporter);
    EVENTUALLY(reporter->says);
    for (unsigned i = 1; i <= 100; i++) {
        peer_must(peer, "disable key pool0 k%u", i);
        peer_must(peer, "enable key pool0 k%u", i);
    }
    char *large = document(1200);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(peer_ask_with(peer, large, "import pool0 mode=merge")->code, 503);
    free(large);
    reporter->stop = true;
    cr_assert_eq(worker_wait(worker), 0);
    peer_must(peer, "set key pool0 k1 note=goes-on");
    cr_assert_eq(answer_number(peer_must(peer, "json show keys pool0 limit=1"), "total"), 100);
}

/* The catalogs of several pools may have room one after the other, but not beside each other. */
TEST_BOTH_LOOPS(room, commands_of_several_pools_that_come_together_need_room_for_one) {
    if (!mount_runtime(b, "6m"))
        return;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    unsigned pools = fill(b, peer, 40, 80);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < pools; i++)
            peer_send(peer, "set key pool%u k1 note=%u", i, round);
        for (unsigned i = 0; i < pools; i++) {
            struct answer *answer = peer_read(peer);
            cr_assert_eq(answer->code, 0, "pool%u: %s", i, answer->status);
        }
    }
    cr_assert_not(broker_log_has(b, "no room"));
}

TEST_BOTH_LOOPS(room, keys_are_deleted_where_there_is_no_room_for_another_catalog) {
    if (!mount_runtime(b, "6m"))
        return;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    cr_assert_eq(import(peer, "main", 300), 0);
    cr_assert_geq(percent_used(b), 51);
    kb_reader *reader = worker_open(b, "main");
    cr_assert_eq(peer_ask(peer, "set key main k300 name=last")->code, 503);
    /* A worker that comes only now reads the catalog that still has them. */
    for (unsigned i = 2; i <= 20; i++)
        peer_must(peer, "delete key main k%u", i);
    peer_must(peer, "disable key main k1");
    kb_reader *late = worker_open(b, "main");
    EVENTUALLY(strcmp(worker_current(reader), "k21") == 0);
    cr_assert_str_eq(worker_current(late), "k21");
    cr_assert_eq(answer_number(peer_must(peer, "json show keys main limit=1"), "total"), 281);
    kb_close(late);
    kb_close(reader);
    for (unsigned i = 21; i <= 220; i++)
        peer_must(peer, "delete key main k%u", i);
    EVENTUALLY(peer_ask(peer, "set key main k300 name=last")->code == 0);
    broker_restart(b);
    cr_assert_eq(answer_number(peer_must(peer_open(b), "json show keys main limit=1"), "total"),
                 81);
}

TEST_BOTH_LOOPS(room, sighup_needs_no_room) {
    if (!mount_runtime(b, "6m"))
        return;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    fill(b, peer, 40, 90);
    kb_reader *reader = worker_open(b, "pool0");
    kb_health_info before = KB_HEALTH_INFO_INIT, after = KB_HEALTH_INFO_INIT;
    cr_assert_eq(kb_health(reader, &before), 0);
    broker_signal(b, SIGHUP);
    EVENTUALLY(kb_health(reader, &after) == 0 && after.generation > before.generation);
    peer_must(peer, "set key pool0 k1 note=goes-on");
    cr_assert_not(broker_log_has(b, "no room"));
    kb_close(reader);
}

/* ---- workers that keep catalogs open ---- */

TEST_BOTH_LOOPS(room, a_worker_that_keeps_every_catalog_open_costs_its_own_pool_alone) {
    enum { HELD_MAX = 200 };
    if (!mount_runtime(b, "12m"))
        return;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    cr_assert_eq(import(peer, "hostile", 60), 0);
    cr_assert_eq(import(peer, "other", 60), 0);
    cr_assert_eq(import(peer, "gone", 60), 0);
    int held[HELD_MAX];
    unsigned count = 0;
    struct answer *answer;
    do {
        unsigned files;
        EVENTUALLY(catalogs(b, "hostile") == 1); /* the one before goes a moment later */
        uint64_t version = catalog_version(b, "hostile", &files);
        cr_assert_lt(count, HELD_MAX, "it was never refused");
        held[count++] = open(scene_text("%s/pools/hostile/catalog.1.%016llx", b->runtime_dir,
                                        (unsigned long long)version),
                             O_PATH | O_CLOEXEC);
        cr_assert_geq(held[count - 1], 0);
        answer = peer_ask(peer, "json set key hostile k1 note=%u", count);
    } while (answer->code == 0);
    cr_assert_eq(answer->code, 503, "%s", answer->status);
    cr_assert_not_null(strstr(answer_string(answer, "message"), "workers of pool hostile hold"));
    cr_assert_gt(count, 4, "one that is late with the current catalog is no offence");
    cr_assert_lt(percent_used(b), 75);
    peer_must(peer, "disable key hostile k1");
    for (unsigned i = 0; i < 20; i++)
        peer_must(peer, "set key other k1 note=%u", i);
    peer_must_with(peer, "sk-new", "add pool new vendor=openai");
    cr_assert_eq(peer_ask(peer, "set key hostile k2 note=still")->code, 503);
    peer_must(peer, "delete pool gone confirm=gone");
    for (unsigned i = 0; i < count; i++)
        close(held[i]);
    peer_must(peer, "set key hostile k2 note=again");
    peer_must(peer, "delete pool hostile confirm=hostile");
}

/* ---- descriptors ---- */

TEST_BOTH_LOOPS(room, a_pool_too_many_for_the_descriptors_is_refused_and_all_else_goes_on) {
    struct rlimit files = { 128, 128 };
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    unsigned pools = 0;
    struct answer *answer;
    while ((answer = peer_ask_with(peer, "sk-1", "json add pool p%u vendor=openai", pools))->code ==
           0)
        cr_assert_lt(++pools, 128u, "it was never refused");
    cr_assert_gt(pools, 10);
    cr_assert_eq(answer->code, 503, "%s", answer->status);
    cr_assert_not_null(strstr(answer_string(answer, "message"), "RLIMIT_NOFILE"));
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < pools; i++)
            peer_send(peer, "set key p%u key1 note=%u", i, round);
        for (unsigned i = 0; i < pools; i++)
            cr_assert_eq(peer_read(peer)->code, 0);
        broker_signal(b, SIGHUP);
        cr_assert_eq(peer_ask_with(peer, "sk-1", "add pool more vendor=openai")->code, 503);
        peer_must(peer, "delete pool p0 confirm=p0");
        peer_must_with(peer, "sk-1", "add pool p0 vendor=openai");
        kb_reader *reader = worker_open(b, "p0");
        cr_assert_str_eq(worker_current(reader), "key1");
        kb_close(reader);
        broker_restart(b);
        peer = peer_open(b);
    }
}
