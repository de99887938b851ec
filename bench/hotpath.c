/* See hotpath.h. Runs bench_hotpath.c's programs, one per pool and kind of library. */
#include "hotpath.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "child.h"
#include "result.h"
#include "sample.h"

enum { CALLS = 2000000, COUNTED_CALLS = 1000000, SEALED_CALLS = 10000000 };

static const char *const LIBRARIES[] = { "static", "shared" };

struct pool {
    const char *id, *strategy;
    unsigned count;
    const char *extra; /* for each key's JSON */
    const char *what;
    double target; /* of the ratio; 0 = only to know */
    bool in_quick;
};

static const struct pool POOLS[] = {
    { "keys_1", "priority", 1, "", "1 key", 1.3, false },
    { "keys_100", "priority", 100, "", "100 keys", 1.3, true },
    { "keys_10000", "priority", 10000, "", "10,000 keys", 1.3, true },
    { "keys_65536", "priority", 65536, "", "65,536 keys", 1.3, false },
    { "spread", "spread", 1000, "", "spread, 1,000 keys", 8, true },
    { "weights", "spread", 999, ",\"weight\":3", "spread, 999 keys of weight 3, one of 1", 8,
      false },
    { "expiry", "priority", 100, ",\"expires_at\":\"2099-01-01T00:00:00Z\"",
      "100 keys, the key expires one day", 0, true },
};
enum { POOL_COUNT = sizeof POOLS / sizeof *POOLS };

/* ---- the program ---- */

static struct child start(const struct rig *rig, const char *library, const char *mode,
                          const char *pool, unsigned long first, unsigned long second,
                          bool counted) {
    char program[600], numbers[2][24];
    const char *words[12] = { NULL };
    int count = 0;
    snprintf(program, sizeof program, "%s/bench/bench_hotpath_%s", rig->build, library);
    snprintf(numbers[0], sizeof numbers[0], "%lu", first);
    snprintf(numbers[1], sizeof numbers[1], "%lu", second);
    if (counted) {
        words[count++] = "valgrind";
        words[count++] = "--tool=callgrind";
        words[count++] = "--callgrind-out-file=/dev/null";
        words[count++] = "--toggle-collect=kb_current";
    }
    words[count++] = program;
    words[count++] = mode;
    words[count++] = rig->runtime;
    words[count++] = pool;
    words[count++] = numbers[0];
    words[count++] = numbers[1];
    return child_start(words, counted);
}

struct child hotpath_start(const struct rig *rig, const char *library, const char *mode,
                           const char *pool, unsigned long first, unsigned long second) {
    return start(rig, library, mode, pool, first, second, false);
}

struct child hotpath_start_counted(const struct rig *rig, const char *library, const char *mode,
                                   const char *pool, unsigned long first, unsigned long second) {
    return start(rig, library, mode, pool, first, second, true);
}

bool hotpath_can_count(void) {
    return system("command -v valgrind >/dev/null 2>&1") == 0;
}

double hotpath_counted(struct child *child) {
    char line[256];
    double collected = 0;
    while (child_line(child, line, sizeof line)) {
        const char *found = strstr(line, "Collected :");
        if (found)
            collected = strtod(found + strlen("Collected :"), NULL);
    }
    child_end(child);
    return collected;
}

/* ---- what is measured ---- */

static bool is_plain(const struct pool *pool) {
    return pool->target > 0 && pool->target < 2;
}

static void measure(const struct rig *rig, const char *library, const struct pool *pool,
                    const char *suffix, const char *id_suffix, bool quick) {
    char id[96], name[128], line[256];
    struct child child = hotpath_start(rig, library, "--compare", pool->id, quick ? 11 : 41, CALLS);
    struct result result = { .id = id,
                             .name = name,
                             .unit = "ns",
                             .target = pool->target,
                             .limit = is_plain(pool) ? 2 : 0 };
    struct spread_of *a = &result.reference, *b = &result.figure, *c = &result.ratio;
    if (!child_line(&child, line, sizeof line) ||
        sscanf(line, "%lf %lf %lf %lf %lf %lf %lf %lf %lf", &a->median, &a->low, &a->high,
               &b->median, &b->low, &b->high, &c->median, &c->low, &c->high) != 9)
        sample_die("bench_hotpath_%s failed on pool %s", library, pool->id);
    child_end(&child);
    snprintf(id, sizeof id, "read.%s%s.%s", pool->id, id_suffix, library);
    snprintf(name, sizeof name, "%s%s, %s library", pool->what, suffix, library);
    result_add(&result);
}

static void count_instructions(const struct rig *rig, const char *library,
                               const struct pool *pool) {
    char id[96], name[128];
    snprintf(id, sizeof id, "read.%s.%s.instructions", pool->id, library);
    snprintf(name, sizeof name, "%s, %s library: instructions a call", pool->what, library);
    if (!hotpath_can_count()) {
        result_skip(id, name, "valgrind is not installed");
        return;
    }
    struct child child = hotpath_start_counted(rig, library, "--only", pool->id, COUNTED_CALLS, 0);
    double each = hotpath_counted(&child) / (COUNTED_CALLS + 1);
    if (each > 0)
        result_add_figure(id, name, "", &each, 1, is_plain(pool) ? 10 : 0, false);
    else
        result_skip(id, name, "callgrind counted nothing");
}

/* Under strict seccomp: who lives to the end made none. */
static void count_system_calls(const struct rig *rig, const char *library,
                               const struct pool *pool) {
    char id[96], name[128];
    double none = 0;
    struct child child = hotpath_start(rig, library, "--sealed", pool->id, SEALED_CALLS, 0);
    int status = child_end(&child);
    snprintf(id, sizeof id, "read.%s.%s.system_calls", pool->id, library);
    snprintf(name, sizeof name, "%s, %s library: system calls in 10 M", pool->what, library);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        result_add_figure(id, name, "", &none, 1, 0, false);
    else if (WIFSIGNALED(status))
        result_fail(id, name, "it made one");
    else
        result_skip(id, name, "strict seccomp is not to be had here");
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
            rig_make_pool(rig, POOLS[i].id, POOLS[i].strategy, POOLS[i].count, POOLS[i].extra);
    disable_default_key(rig, "expiry"); /* it never expires */
    for (int i = 0; i < POOL_COUNT; i++)
        for (int l = 0; l < 2; l++)
            if (POOLS[i].in_quick || !quick)
                measure(rig, LIBRARIES[l], &POOLS[i], "", "", quick);
    for (int i = 0; i < POOL_COUNT; i++)
        for (int l = 0; l < 2; l++)
            if (POOLS[i].in_quick)
                count_system_calls(rig, LIBRARIES[l], &POOLS[i]);
    for (int i = 0; i < POOL_COUNT && !quick; i++)
        for (int l = 0; l < 2; l++)
            if (POOLS[i].in_quick)
                count_instructions(rig, LIBRARIES[l], &POOLS[i]);
    rig_kill(rig);
    for (int l = 0; l < 2; l++)
        measure(rig, LIBRARIES[l], &POOLS[1], ", broker killed", ".dead_broker", quick);
}
