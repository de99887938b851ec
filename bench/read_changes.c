/*
 * See read_changes.h. A program of its own (bench_hotpath --after) reads, on CPU_WATCHING; this
 * process makes the changes, and lets it go on when the broker has answered.
 */
#include "read_changes.h"

#include <string.h>

#include "child.h"
#include "hotpath.h"
#include "plot.h"
#include "result.h"
#include "sample.h"

enum { ROUNDS = 5, CHANGES_MAX = 200, CALLS_AFTER = 50000, COUNTED_CHANGES = 50, LOST_MS = 5000 };

struct scene {
    const char *id, *what, *pool;
    unsigned keys, changes; /* in a round */
    bool failover;
};

static const struct scene SCENES[] = {
    { "failover.100", "after a failover, 100 keys", "after-100", 100, 90, true },
    { "failover.65536", "after a failover, 65,536 keys", "after-65536", 65536, 90, true },
    { "catalog.100", "after a new catalog, 100 keys", "after-100", 100, 100, false },
    { "catalog.10000", "after a new catalog, 10,000 keys", "after-10000", 10000, 50, false },
    { "catalog.65536", "after a new catalog, 65,536 keys", "after-65536", 65536, 15, false },
};

struct changer {
    struct rig *rig;
    const struct scene *scene;
    struct rig_admin admin;
    kb_reader *reporter, *onlooker;
    uint64_t reported[CHANGES_MAX];
    unsigned count, serial;
};

/* Another worker's report; done when a third one is handed another key. */
static void fail_over(struct changer *changer) {
    const kb_key *key = kb_current(changer->onlooker);
    if (!key || changer->count == CHANGES_MAX)
        sample_die("pool %s is out of keys", changer->scene->pool);
    uint64_t id = key->id, give_up_ns = sample_now_ns() + UINT64_C(1000000) * LOST_MS;
    changer->reported[changer->count++] = id;
    kb_report(changer->reporter, key->ticket, KB_QUOTA, KB_NO_HINT);
    for (; (key = kb_current(changer->onlooker)) && key->id == id; sample_sleep_us(100))
        if (sample_now_ns() > give_up_ns)
            sample_die("a failover of pool %s was never seen", changer->scene->pool);
}

static void change(struct changer *changer) {
    if (changer->scene->failover) {
        fail_over(changer);
        return;
    }
    rig_admin_send(&changer->admin, "set key %s key50 note=change-%u\n", changer->scene->pool,
                   changer->serial++);
    rig_admin_take(&changer->admin, NULL, 0);
}

static void let_go_on(struct child *child) {
    fputs("go\n", child->input);
    fflush(child->input);
}

static void await_line(struct child *child, char *line, size_t size) {
    if (!child_line(child, line, size))
        sample_die("bench_hotpath broke off: %s", line);
}

static void restore(struct changer *changer) {
    if (changer->count > 0)
        rig_enable(changer->rig, changer->scene->pool, changer->reported, changer->count);
    changer->count = 0;
}

/* One round: a fresh reader and so many changes. */
static void play(struct changer *changer, double *first_us, double *ret_current_ns,
                 double *ret_reference_ns) {
    static double currents[CHANGES_MAX], references[CHANGES_MAX];
    unsigned count = changer->scene->changes;
    char line[128] = "";
    struct child child =
        hotpath_start(changer->rig, "static", "--after", changer->scene->pool, count, CALLS_AFTER);
    await_line(&child, line, sizeof line);
    for (unsigned i = 0; i < count; i++) {
        double first_ns;
        change(changer);
        let_go_on(&child);
        await_line(&child, line, sizeof line);
        if (sscanf(line, "%lf %lf %lf", &first_ns, &currents[i], &references[i]) != 3)
            sample_die("bench_hotpath says: %s", line);
        first_us[i] = first_ns / 1000;
        if (i + 1 < count)
            await_line(&child, line, sizeof line);
    }
    child_end(&child);
    restore(changer);
    *ret_current_ns = sample_percentile(currents, count, 50);
    *ret_reference_ns = sample_percentile(references, count, 50);
}

static void count_instructions(struct changer *changer) {
    char id[96], name[128], line[256];
    snprintf(id, sizeof id, "read.after.%s.first.instructions", changer->scene->id);
    snprintf(name, sizeof name, "the first call %s: instructions", changer->scene->what);
    if (!hotpath_can_count()) {
        result_skip(id, name, "valgrind is not installed");
        return;
    }
    struct child child = hotpath_start_counted(changer->rig, "static", "--after",
                                               changer->scene->pool, COUNTED_CHANGES, 0);
    for (unsigned i = 0; i < COUNTED_CHANGES; i++) {
        do
            await_line(&child, line, sizeof line);
        while (strcmp(line, "ready") != 0); /* valgrind says more */
        change(changer);
        let_go_on(&child);
    }
    double each = hotpath_counted(&child) / (COUNTED_CHANGES + 1);
    result_add_figure(id, name, "", &each, 1, 0, false);
    restore(changer);
}

static void measure(struct rig *rig, const struct scene *scene) {
    static double first_us[CHANGES_MAX];
    double currents[ROUNDS], references[ROUNDS];
    char id[96], name[128];
    struct result_rounds firsts = { 0 };
    struct changer changer = { .rig = rig,
                               .scene = scene,
                               .admin = rig_admin_open(rig),
                               .reporter = rig_reader(rig, scene->pool),
                               .onlooker = rig_reader(rig, scene->pool) };
    for (unsigned i = 0; i < ROUNDS + 1; i++) { /* the first is to warm up */
        unsigned at = i > 0 ? i - 1 : 0;
        play(&changer, first_us, &currents[at], &references[at]);
        if (i == 0)
            continue;
        plot_add("read-after-a-change", scene->what, first_us, scene->changes);
        result_note_round(&firsts, first_us, scene->changes);
    }
    snprintf(id, sizeof id, "read.after.%s.first", scene->id);
    snprintf(name, sizeof name, "the first call %s", scene->what);
    result_add_latency(
        &(struct result_latency){ .id = id, .name = name, .unit = "us", .figures = &firsts });
    snprintf(id, sizeof id, "read.after.%s.steady", scene->id);
    snprintf(name, sizeof name, "then, %s", scene->what);
    struct result steady = result_against(id, name, "ns", currents, references, ROUNDS);
    steady.target = 1.3;
    result_add(&steady);
    count_instructions(&changer);
    kb_close(changer.reporter);
    kb_close(changer.onlooker);
    rig_admin_close(&changer.admin);
}

void read_changes_measure(struct rig *rig, bool quick) {
    (void)quick;
    result_section("kb_current after a change (reference: load, compare, return)");
    rig_start(rig, "io_uring");
    rig_make_pool(rig, "after-100", "priority", 100, "");
    rig_make_pool(rig, "after-10000", "priority", 10000, "");
    rig_make_pool(rig, "after-65536", "priority", 65536, "");
    sample_pin(CPU_WORKING);
    for (size_t i = 0; i < sizeof SCENES / sizeof *SCENES; i++)
        measure(rig, &SCENES[i]);
    rig_stop(rig);
}
