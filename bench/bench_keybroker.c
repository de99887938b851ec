/*
 * The bench: runs every section (hotpath, classify, failover, footprint, throughput), prints one
 * table and writes bench.json beside the programs. README.md says what is measured and how.
 *
 *     bench_keybroker [--quick] [SECTION...]
 *
 * --quick runs the first three with few rounds, and fails if one of their ratios is far too high. A
 * section by name runs alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classify.h"
#include "failover.h"
#include "footprint.h"
#include "hotpath.h"
#include "peers.h"
#include "plot.h"
#include "result.h"
#include "throughput.h"
#include "wake.h"
#include "wasted.h"

static bool is_wanted(int argc, char **argv, const char *section, bool by_default) {
    bool any = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], section) == 0)
            return true;
        any = any || argv[i][0] != '-';
    }
    return !any && by_default;
}

/* A state directory of its own for each section: none measures what another has left behind. */
static void run(const char *build, bool quick, void (*section)(struct rig *rig, bool quick)) {
    struct rig rig;
    rig_open(&rig, build);
    section(&rig, quick);
    rig_close(&rig);
}

static void run_footprint(struct rig *rig, bool quick) {
    (void)quick;
    footprint_measure(rig);
}

static void run_throughput(struct rig *rig, bool quick) {
    (void)quick;
    throughput_measure(rig);
}

int main(int argc, char **argv) {
    const char *build = getenv("KEYBROKER_BUILD");
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    char path[600];
    if (!build)
        sample_die("KEYBROKER_BUILD must name the directory of the programs; try `make bench`");
    if (is_wanted(argc, argv, "hotpath", true))
        run(build, quick, hotpath_measure);
    if (is_wanted(argc, argv, "classify", true))
        run(build, quick, classify_measure);
    if (is_wanted(argc, argv, "failover", true))
        run(build, quick, failover_measure);
    if (is_wanted(argc, argv, "busy", !quick))
        run(build, quick, failover_measure_busy);
    if (is_wanted(argc, argv, "wake", !quick))
        run(build, quick, wake_measure);
    if (is_wanted(argc, argv, "peers", !quick))
        run(build, quick, failover_measure_peers);
    if (is_wanted(argc, argv, "wasted", !quick))
        run(build, quick, wasted_measure);
    if (is_wanted(argc, argv, "footprint", !quick))
        run(build, quick, run_footprint);
    if (is_wanted(argc, argv, "throughput", !quick))
        run(build, quick, run_throughput);
    snprintf(path, sizeof path, "%s/bench.json", build);
    bool written = result_write_json(path);
    snprintf(path, sizeof path, "%s/bench/plots", build);
    unsigned plots = plot_write(path);
    if (plots > 0)
        printf("\n%u plots in %s\n", plots, path);
    peers_stop();
    unsigned failed = result_finish();
    if (!written)
        sample_die("cannot write %s/bench.json", build);
    if (quick && failed > 0)
        sample_die("%u ratios are far beyond their targets", failed);
    return 0;
}
