/*
 * The bench: runs every section, prints one table and writes bench.json beside the programs, and
 * pictures of the latencies into plots/ there. README.md says what is measured and how.
 *
 *     bench_keybroker [--quick] [SECTION...]
 *
 * --quick runs some of the sections with few rounds, and fails if one of their ratios is far too
 * high. A section by name runs alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "changes.h"
#include "classify.h"
#include "failover.h"
#include "footprint.h"
#include "hotpath.h"
#include "idle.h"
#include "machine.h"
#include "peers.h"
#include "plot.h"
#include "publishing.h"
#include "read_changes.h"
#include "read_peers.h"
#include "read_scale.h"
#include "reports.h"
#include "result.h"
#include "wake.h"
#include "wasted.h"

struct section {
    const char *name;
    void (*measure)(struct rig *rig, bool quick);
    bool in_quick;
};

static const struct section SECTIONS[] = {
    { .name = "read", .measure = hotpath_measure, .in_quick = true },
    { .name = "read-changes", .measure = read_changes_measure },
    { .name = "read-scale", .measure = read_scale_measure },
    { .name = "read-peers", .measure = read_peers_measure },
    { .name = "classify", .measure = classify_measure, .in_quick = true },
    { .name = "failover", .measure = failover_measure, .in_quick = true },
    { .name = "busy", .measure = failover_measure_busy },
    { .name = "wake", .measure = wake_measure },
    { .name = "peers", .measure = failover_measure_peers },
    { .name = "wasted", .measure = wasted_measure },
    { .name = "reports", .measure = reports_measure },
    { .name = "changes", .measure = changes_measure },
    { .name = "publishing", .measure = publishing_measure },
    { .name = "footprint", .measure = footprint_measure },
    { .name = "idle", .measure = idle_measure },
};
enum { SECTION_COUNT = sizeof SECTIONS / sizeof *SECTIONS };

static bool is_named(int argc, char **argv, const char *section) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], section) == 0)
            return true;
    return false;
}

/* Whether any section is named; what is no section ends the program. */
static bool any_named(int argc, char **argv) {
    bool any = false;
    for (int i = 1; i < argc; i++) {
        bool known = strcmp(argv[i], "--quick") == 0;
        for (int s = 0; s < SECTION_COUNT; s++)
            if (strcmp(argv[i], SECTIONS[s].name) == 0)
                any = known = true;
        if (!known)
            sample_die("no such section: %s", argv[i]);
    }
    return any;
}

/* A state directory of its own for each section: none measures what another has left behind. */
static void run(const struct section *section, const char *build, bool quick) {
    struct rig rig;
    sample_unpin();
    rig_open(&rig, build);
    section->measure(&rig, quick);
    rig_close(&rig);
}

int main(int argc, char **argv) {
    const char *build = getenv("KEYBROKER_BUILD");
    bool quick = is_named(argc, argv, "--quick");
    char path[600];
    if (!build)
        sample_die("KEYBROKER_BUILD must name the directory of the programs; try `make bench`");
    bool by_name = any_named(argc, argv);
    machine_describe(build);
    for (int i = 0; i < SECTION_COUNT; i++)
        if (by_name ? is_named(argc, argv, SECTIONS[i].name) : !quick || SECTIONS[i].in_quick)
            run(&SECTIONS[i], build, quick);
    peers_stop();
    snprintf(path, sizeof path, "%s/bench/plots", build);
    unsigned plots = plot_write(path);
    if (plots > 0)
        printf("\n%u plots in %s\n", plots, path);
    snprintf(path, sizeof path, "%s/bench.json", build);
    if (!result_write_json(path))
        sample_die("cannot write %s", path);
    unsigned failed = result_finish();
    if (quick && failed > 0)
        sample_die("%u ratios are far beyond their targets, or calls that must not happen did",
                   failed);
    return 0;
}
