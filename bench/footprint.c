/* See footprint.h. */
#include "footprint.h"

#include "child.h"
#include "hotpath.h"
#include "result.h"
#include "sample.h"

enum { STARTS = 7, PICKS = 200000, READER_ROUNDS = 3 };
#define MIB (1024.0 * 1024.0)

/* How many keys the broker has in all; a pool holds at most 65,536. */
struct size {
    unsigned pools, keys_each;
    const char *id, *what;
    double memory_target_mib, ready_target_ms; /* 0 = only to know */
};

static const struct size SIZES[] = {
    { 1, 100, "keys_100", "100 keys", 0, 0 },
    { 1, 10000, "keys_10000", "10,000 keys", 40, 300 },
    { 2, 50000, "keys_100000", "100,000 keys in two pools", 0, 0 },
};

static void tell(const struct size *size, const char *id_end, const char *what, const char *unit,
                 double *values, unsigned count, double target) {
    char id[96], name[128];
    snprintf(id, sizeof id, "footprint.%s.%s", size->id, id_end);
    snprintf(name, sizeof name, "%s: %s", size->what, what);
    result_add_figure(id, name, unit, values, count, target, false);
}

static double broker_mib(const struct rig *rig) {
    return (double)sample_private_bytes(rig->broker) / MIB;
}

static void measure_broker(struct rig *rig, const struct size *size) {
    double ready_ms[STARTS], memory_mib[STARTS], after_import;
    char pool[32];
    rig_start(rig, "io_uring");
    for (unsigned i = 0; i < size->pools; i++) {
        snprintf(pool, sizeof pool, "%s-%u", size->id, i);
        rig_make_pool(rig, pool, "priority", size->keys_each, "");
    }
    sample_sleep_us(2500000); /* the broker gives free memory back at its next heartbeats */
    after_import = broker_mib(rig);
    rig_stop(rig);
    for (int i = 0; i < STARTS; i++) {
        ready_ms[i] = (double)rig_start(rig, "io_uring") / 1e6;
        sample_sleep_us(300000);
        memory_mib[i] = broker_mib(rig);
        rig_stop(rig);
    }
    tell(size, "ready", "start to ready", "ms", ready_ms, STARTS, size->ready_target_ms);
    tell(size, "memory", "broker's private memory after the start", "MiB", memory_mib, STARTS,
         size->memory_target_mib);
    tell(size, "memory_after_import", "broker's private memory after an import of them all", "MiB",
         &after_import, 1, size->memory_target_mib);
}

static double reader_kib(const struct rig *rig, const char *pool) {
    char line[64];
    unsigned long long bytes;
    struct child child = hotpath_start(rig, "static", "--memory", pool, PICKS, 0);
    if (!child_line(&child, line, sizeof line) || sscanf(line, "%llu", &bytes) != 1)
        sample_die("bench_hotpath failed on pool %s", pool);
    child_end(&child);
    return (double)bytes / 1024;
}

static void measure_reader(struct rig *rig, const char *strategy) {
    double kib[READER_ROUNDS];
    char id[96], name[128], pool[32];
    snprintf(pool, sizeof pool, "reader-%s", strategy);
    snprintf(id, sizeof id, "footprint.reader.%s", strategy);
    snprintf(name, sizeof name, "10,000 keys: a worker's private memory for a reader, %s",
             strategy);
    rig_make_pool(rig, pool, strategy, 10000, "");
    for (int i = 0; i < READER_ROUNDS; i++)
        kib[i] = reader_kib(rig, pool);
    result_add_figure(id, name, "KiB", kib, READER_ROUNDS, 256, false);
}

void footprint_measure(struct rig *rig, bool quick) {
    (void)quick;
    result_section("memory and start");
    for (unsigned i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        struct rig own;
        rig_open(&own, rig->build);
        measure_broker(&own, &SIZES[i]);
        rig_close(&own);
    }
    rig_start(rig, "io_uring");
    measure_reader(rig, "priority");
    measure_reader(rig, "spread");
    rig_stop(rig);
}
