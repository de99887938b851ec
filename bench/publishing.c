/*
 * See publishing.h. A forked worker looks, over and over, on CPU_WATCHING; this process asks for
 * the additions from CPU_WORKING, where the broker is. In the pools in which a worker looks for the
 * added key all others are disabled, so that it becomes the current one wherever it stands.
 */
#include "publishing.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plot.h"
#include "result.h"
#include "sample.h"

enum { ROUNDS = 5, ADDS_MAX = 20, PUBLISHES = 15, LOST_MS = 10000 };

/* ---- the worker ---- */

struct watch {
    const struct rig *rig;
    const char *pool;
    bool by_list;
    _Alignas(64) _Atomic uint32_t wanted; /* how many it shall have seen come */
    _Atomic uint32_t ready, seen;
    uint64_t seen_ns;
};

static int is_added(const kb_list_entry *entry, void *userdata) {
    (void)userdata;
    return strcmp(entry->name, "added") == 0;
}

static bool is_there(const struct watch *watch, kb_reader *reader) {
    return watch->by_list ? kb_list(reader, is_added, NULL) == 1 : kb_current(reader) != NULL;
}

__attribute__((noreturn)) static void be_worker(struct watch *watch) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sample_pin(CPU_WATCHING);
    kb_reader *reader = rig_reader(watch->rig, watch->pool);
    for (uint32_t seen = 0;; atomic_store(&watch->seen, ++seen)) {
        while (atomic_load(&watch->wanted) == seen || is_there(watch, reader)) /* or not yet gone */
            sample_sleep_us(100);
        atomic_store(&watch->ready, seen + 1);
        while (!is_there(watch, reader))
            continue;
        watch->seen_ns = sample_now_ns();
    }
}

static void await(const _Atomic uint32_t *word, uint32_t value) {
    uint64_t give_up_ns = sample_now_ns() + UINT64_C(1000000) * LOST_MS;
    while (atomic_load(word) != value) {
        sample_sleep_us(100);
        if (sample_now_ns() > give_up_ns)
            sample_die("the added key was never seen");
    }
}

/* ---- a key added ---- */

struct adding {
    const char *id, *what;
    unsigned keys, count; /* adds in a round */
    bool by_list;
};

static const struct adding ADDINGS[] = {
    { "keys_1000.current", "in kb_current, 1,000 keys", 1000, 20, false },
    { "keys_1000.list", "in kb_list, 1,000 keys", 1000, 20, true },
    { "keys_10000.current", "in kb_current, 10,000 keys", 10000, 10, false },
    { "keys_65535.current", "in kb_current, 65,535 keys", 65535, 4, false },
};

static void add_key(struct rig_admin *admin, struct watch *watch, uint32_t serial,
                    double *ret_acknowledged_ms, double *ret_visible_ms) {
    atomic_store(&watch->wanted, serial);
    await(&watch->ready, serial);
    uint64_t begun_ns = sample_now_ns();
    rig_admin_send(admin, "add key %s name=added <<\nsk-bench-added\n\n", watch->pool);
    rig_admin_take(admin, NULL, 0);
    *ret_acknowledged_ms = (double)(sample_now_ns() - begun_ns) / 1e6;
    await(&watch->seen, serial);
    *ret_visible_ms = (double)(watch->seen_ns - begun_ns) / 1e6;
    rig_admin_send(admin, "delete key %s added\n", watch->pool);
    rig_admin_take(admin, NULL, 0);
}

static void tell_latency(const char *id_end, const char *what, const struct result_rounds *rounds) {
    char id[96], name[128];
    snprintf(id, sizeof id, "capacity.add.%s", id_end);
    snprintf(name, sizeof name, "add a key: %s", what);
    result_add_latency(
        &(struct result_latency){ .id = id, .name = name, .unit = "ms", .figures = rounds });
}

static void measure_adding(struct rig *rig, const struct adding *adding) {
    struct result_rounds acknowledged = { 0 }, visible = { 0 };
    char pool[32], id[96], what[96];
    uint32_t serial = 0;
    snprintf(pool, sizeof pool, "add-%u", adding->keys);
    struct rig_admin admin = rig_admin_open(rig);
    struct watch *watch = sample_shared(sizeof *watch);
    watch->rig = rig;
    watch->pool = pool;
    watch->by_list = adding->by_list;
    pid_t worker = fork();
    if (worker < 0)
        sample_die("fork: %s", strerror(errno));
    if (worker == 0)
        be_worker(watch);
    for (unsigned round = 0; round < ROUNDS + 1; round++) { /* the first is to warm up */
        double acknowledged_ms[ADDS_MAX], visible_ms[ADDS_MAX], us[ADDS_MAX];
        for (unsigned i = 0; i < adding->count; i++) {
            add_key(&admin, watch, ++serial, &acknowledged_ms[i], &visible_ms[i]);
            us[i] = visible_ms[i] * 1000;
        }
        if (round == 0)
            continue;
        plot_add("add-key-to-visible", adding->what, us, adding->count);
        result_note_round(&acknowledged, acknowledged_ms, adding->count);
        result_note_round(&visible, visible_ms, adding->count);
    }
    kill(worker, SIGKILL);
    waitpid(worker, NULL, 0);
    munmap(watch, sizeof *watch);
    rig_admin_close(&admin);
    snprintf(id, sizeof id, "%s.visible", adding->id);
    snprintf(what, sizeof what, "visible in another process, %s", adding->what);
    tell_latency(id, what, &visible);
    if (adding->by_list)
        return;
    snprintf(id, sizeof id, "%s.acknowledged", adding->id);
    snprintf(what, sizeof what, "acknowledged, %u keys", adding->keys);
    tell_latency(id, what, &acknowledged);
}

/* ---- a catalog published ---- */

static double note_ms(struct rig_admin *admin, const char *pool, unsigned serial) {
    uint64_t begun_ns = sample_now_ns();
    rig_admin_send(admin, "set key %s key1 note=change-%u\n", pool, serial);
    rig_admin_take(admin, NULL, 0);
    return (double)(sample_now_ns() - begun_ns) / 1e6;
}

/* A note is as much work for the store in a pool of one key: the rest is the catalog. */
static void measure_publishing(struct rig *rig) {
    double ms[ROUNDS];
    struct rig_admin admin = rig_admin_open(rig);
    for (unsigned round = 0; round < ROUNDS; round++) {
        double large[PUBLISHES], small[PUBLISHES];
        for (unsigned i = 0; i < PUBLISHES; i++) {
            large[i] = note_ms(&admin, "publish-65536", round * PUBLISHES + i);
            small[i] = note_ms(&admin, "publish-1", round * PUBLISHES + i);
        }
        ms[round] =
            sample_percentile(large, PUBLISHES, 50) - sample_percentile(small, PUBLISHES, 50);
    }
    rig_admin_close(&admin);
    result_add_figure("capacity.publish.keys_65536",
                      "publish 65,536 keys: a note's OK, less the same in a pool of 1 key", "ms",
                      ms, ROUNDS, 60, false);
}

static double import_ms(struct rig *rig, const char *pool, unsigned keys, const char *extra) {
    uint64_t begun_ns = sample_now_ns();
    rig_make_pool(rig, pool, "priority", keys, extra);
    return (double)(sample_now_ns() - begun_ns) / 1e6;
}

static void measure_import(struct rig *rig) {
    double ms[ROUNDS];
    struct rig_admin admin = rig_admin_open(rig);
    for (unsigned round = 0; round < ROUNDS; round++) {
        ms[round] = import_ms(rig, "import", 10000, "");
        rig_admin_send(&admin, "delete pool import confirm=import\n");
        rig_admin_take(&admin, NULL, 0);
    }
    rig_admin_close(&admin);
    result_add_figure("capacity.import.keys_10000", "import of 10,000 keys, durable and published",
                      "ms", ms, ROUNDS, 0, false);
}

static void make_disabled_pool(struct rig *rig, const char *pool, unsigned keys) {
    struct rig_admin admin = rig_admin_open(rig);
    rig_make_pool(rig, pool, "priority", keys, ",\"disabled\":true");
    rig_admin_send(&admin, "disable key %s key1\n", pool);
    rig_admin_take(&admin, NULL, 0);
    rig_admin_close(&admin);
}

void publishing_measure(struct rig *rig, bool quick) {
    (void)quick;
    result_section("from a change to every worker, this machine's disk");
    sample_pin(CPU_WORKING);
    rig_start(rig, "io_uring");
    measure_import(rig);
    make_disabled_pool(rig, "add-1000", 1000);
    make_disabled_pool(rig, "add-10000", 10000);
    make_disabled_pool(rig, "add-65535", 65535);
    for (unsigned i = 0; i < sizeof ADDINGS / sizeof *ADDINGS; i++)
        measure_adding(rig, &ADDINGS[i]);
    rig_make_pool(rig, "publish-65536", "priority", 65536, "");
    rig_make_pool(rig, "publish-1", "priority", 1, "");
    sample_pin(CPU_WATCHING); /* out of the broker's way */
    measure_publishing(rig);
    rig_stop(rig);
}
