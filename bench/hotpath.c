/* See hotpath.h. Runs bench_hotpath.c's programs, one per pool and kind of library. */
#include "hotpath.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "result.h"
#include "sample.h"

enum { CALLS = 2000000, COUNTED_CALLS = 1000000 };

static const char *const LIBRARIES[] = { "static", "shared" };

struct pool {
    const char *name, *strategy;
    unsigned count;
    const char *extra; /* for each key's JSON */
    const char *what;
    double target; /* of the ratio; 0 = only to know */
    bool in_quick;
};

static const struct pool POOLS[] = {
    { "hot", "priority", 100, "", "priority, 100 keys", 1.3, true },
    { "hot-10000", "priority", 10000, "", "priority, 10,000 keys", 1.3, true },
    { "hot-65536", "priority", 65536, "", "priority, 65,536 keys", 1.3, false },
    { "hot-spread", "spread", 1000, "", "spread, 1,000 keys", 8, true },
    { "hot-weights", "spread", 999, ",\"weight\":3", "spread, 999 keys of weight 3, one of 1", 8,
      false },
    { "hot-expiry", "priority", 100, ",\"expires_at\":\"2099-01-01T00:00:00Z\"",
      "priority, the key expires one day", 0, true },
};
enum { POOL_COUNT = sizeof POOLS / sizeof *POOLS };

static void measure(const struct rig *rig, const char *library, const struct pool *pool,
                    const char *suffix, bool quick) {
    char command[800];
    double reference, current;
    struct spread_of ratio;
    snprintf(command, sizeof command, "%s/bench/bench_hotpath_%s %s %s %d %d", rig->build, library,
             rig->runtime, pool->name, quick ? 11 : 41, CALLS);
    FILE *output = popen(command, "re");
    if (!output || fscanf(output, "%lf %lf %lf %lf %lf", &reference, &current, &ratio.median,
                          &ratio.low, &ratio.high) != 5)
        sample_die("failed: %s", command);
    pclose(output);
    char name[160];
    snprintf(name, sizeof name, "%s, %s%s", library, pool->what, suffix);
    struct result result = { .id = name,
                             .name = name,
                             .unit = "ns",
                             .figure = { current, current, current },
                             .reference = { reference, reference, reference },
                             .ratio = ratio,
                             .target = pool->target,
                             .limit = pool->target > 0 && pool->target < 2 ? 2 : 0 };
    result_add(&result);
}

static void count_instructions(const struct rig *rig, const char *library,
                               const struct pool *pool) {
    char command[1000], line[256], name[80];
    unsigned long long collected = 0;
    snprintf(name, sizeof name, "%s, %s: instructions a call", library, pool->what);
    if (system("command -v valgrind >/dev/null 2>&1") != 0) {
        result_skip(name, name, "valgrind is not installed");
        return;
    }
    snprintf(command, sizeof command,
             "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
             "--toggle-collect=kb_current %s/bench/bench_hotpath_%s --only-current %s %s %d 2>&1",
             rig->build, library, rig->runtime, pool->name, COUNTED_CALLS);
    FILE *output = popen(command, "re");
    while (output && fgets(line, sizeof line, output)) {
        const char *found = strstr(line, "Collected :");
        if (found)
            collected = strtoull(found + strlen("Collected :"), NULL, 10);
    }
    if (output)
        pclose(output);
    if (collected == 0) {
        result_skip(name, name, "callgrind counted nothing");
        return;
    }
    double each = (double)collected / (COUNTED_CALLS + 1);
    result_add_figure(name, name, "", &each, 1, pool->target > 0 && pool->target < 2 ? 10 : 0,
                      false);
}

static void disable_default_key(const struct rig *rig, const char *pool) {
    struct rig_admin admin = rig_admin_open(rig);
    rig_admin_send(&admin, "disable key %s key1\n", pool);
    rig_admin_take(&admin, NULL, 0);
    rig_admin_close(&admin);
}

void hotpath_measure(struct rig *rig, bool quick) {
    result_section("kb_current while nothing changes (reference: load, compare, return)");
    rig_start(rig, "io_uring");
    for (int i = 0; i < POOL_COUNT; i++)
        if (POOLS[i].in_quick || !quick)
            rig_make_pool(rig, POOLS[i].name, POOLS[i].strategy, POOLS[i].count, POOLS[i].extra);
    disable_default_key(rig, "hot-expiry"); /* it never expires */
    for (int l = 0; l < 2; l++)
        for (int i = 0; i < POOL_COUNT; i++)
            if (POOLS[i].in_quick || !quick)
                measure(rig, LIBRARIES[l], &POOLS[i], "", quick);
    rig_kill(rig);
    for (int l = 0; l < 2; l++)
        measure(rig, LIBRARIES[l], &POOLS[0], ", dead broker", quick);
    for (int l = 0; l < 2; l++)
        for (int i = 0; i < POOL_COUNT; i++)
            if (i == 0 || (!quick && POOLS[i].in_quick))
                count_instructions(rig, LIBRARIES[l], &POOLS[i]);
}
