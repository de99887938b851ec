/* See footprint.h. */
#include "footprint.h"

#include "result.h"
#include "sample.h"

enum { KEYS = 10000, STARTS = 7, PICKS = 200000 };
#define MIB (1024.0 * 1024.0)

static double reader_kib(const struct rig *rig, const char *pool) {
    char command[800];
    unsigned long long bytes;
    snprintf(command, sizeof command, "%s/bench/bench_hotpath_static --memory %s %s %d", rig->build,
             rig->runtime, pool, PICKS);
    FILE *output = popen(command, "re");
    if (!output || fscanf(output, "%llu", &bytes) != 1)
        sample_die("failed: %s", command);
    pclose(output);
    return (double)bytes / 1024;
}

static void measure_reader(const struct rig *rig, const char *pool, const char *name) {
    double kib[3];
    for (int i = 0; i < 3; i++)
        kib[i] = reader_kib(rig, pool);
    result_add_figure(name, name, "KiB", kib, 3, 256, false);
}

void footprint_measure(struct rig *rig, bool quick) {
    (void)quick;
    double ready_ms[STARTS], memory_mib[STARTS];

    result_section("10,000 keys: memory and start");
    rig_start(rig, "io_uring");
    rig_make_pool(rig, "many", "priority", KEYS, "");
    sample_sleep_us(2500000); /* the broker gives free memory back at its next heartbeats */
    double after_import = (double)sample_private_bytes(rig->broker) / MIB;
    rig_stop(rig);
    for (int i = 0; i < STARTS; i++) {
        ready_ms[i] = (double)rig_start(rig, "io_uring") / 1e6;
        sample_sleep_us(300000);
        memory_mib[i] = (double)sample_private_bytes(rig->broker) / MIB;
        if (i < STARTS - 1)
            rig_stop(rig);
    }
    result_add_figure("footprint.memory", "broker's private memory after the start", "MiB",
                      memory_mib, STARTS, 40, false);
    result_add_figure("footprint.memory_after_import",
                      "broker's private memory after an import of all keys", "MiB", &after_import,
                      1, 40, false);
    result_add_figure("footprint.ready", "start to ready", "ms", ready_ms, STARTS, 300, false);
    measure_reader(rig, "many", "a worker's private memory for a reader, priority");
    rig_make_pool(rig, "many-spread", "spread", KEYS, "");
    measure_reader(rig, "many-spread", "a worker's private memory for a reader, spread");
    rig_stop(rig);
}
