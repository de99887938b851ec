/*
 * kb_current against the reference function (reference.h), in one process and alternating rounds.
 * The bench (hotpath.c) starts this program once per pool, linked with the static library or with
 * the shared one; it prints "reference_ns current_ns ratio low high" and the instructions a call
 * are counted by running it under callgrind.
 *
 *     bench_hotpath RUNTIME-DIR POOL ROUNDS CALLS
 *     bench_hotpath --only-current RUNTIME-DIR POOL CALLS
 *
 * A fresh process is also what a reader's memory is measured in; it prints bytes.
 *
 *     bench_hotpath --memory RUNTIME-DIR POOL CALLS
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <keybroker.h>

#include "reference.h"
#include "sample.h"

enum { WARM_UP_ROUNDS = 3, ROUNDS_MAX = 1000 };

static uintptr_t sink;

static __attribute__((noinline, aligned(64))) double time_reference(struct reference *reference,
                                                                    unsigned long calls) {
    uintptr_t sum = 0;
    uint64_t begun_ns = sample_busy_ns();
    for (unsigned long i = 0; i < calls; i++)
        sum += (uintptr_t)reference_current(reference);
    uint64_t ended_ns = sample_busy_ns();
    sink += sum;
    return (double)(ended_ns - begun_ns) / (double)calls;
}

static __attribute__((noinline, aligned(64))) double time_current(kb_reader *reader,
                                                                  unsigned long calls) {
    uintptr_t sum = 0;
    uint64_t begun_ns = sample_busy_ns();
    for (unsigned long i = 0; i < calls; i++)
        sum += (uintptr_t)kb_current(reader);
    uint64_t ended_ns = sample_busy_ns();
    sink += sum;
    return (double)(ended_ns - begun_ns) / (double)calls;
}

static kb_reader *open_reader(const char *runtime_dir, const char *pool) {
    kb_options options = KB_OPTIONS_INIT;
    kb_reader *reader;
    options.runtime_dir = runtime_dir;
    int error = kb_open(&reader, pool, &options);
    if (error != 0)
        sample_die("kb_open %s: %s", pool, kb_strerror(error));
    if (!kb_current(reader))
        sample_die("pool %s has no key to give", pool);
    return reader;
}

static void compare(kb_reader *reader, unsigned rounds, unsigned long calls) {
    static double references[ROUNDS_MAX], currents[ROUNDS_MAX], ratios[ROUNDS_MAX];
    _Atomic uint64_t *generation = sample_shared(4096);
    atomic_store(generation, 1);
    struct reference reference = { .generation = generation, .seen = 1, .choice = &reference };
    for (unsigned i = 0; i < rounds + WARM_UP_ROUNDS; i++) {
        unsigned at = i < WARM_UP_ROUNDS ? 0 : i - WARM_UP_ROUNDS;
        bool reference_first = i % 2;
        if (reference_first)
            references[at] = time_reference(&reference, calls);
        currents[at] = time_current(reader, calls);
        if (!reference_first)
            references[at] = time_reference(&reference, calls);
        ratios[at] = currents[at] / references[at];
    }
    struct spread_of ratio = sample_spread(ratios, rounds);
    printf("%f %f %f %f %f\n", sample_spread(references, rounds).median,
           sample_spread(currents, rounds).median, ratio.median, ratio.low, ratio.high);
}

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "--only-current") == 0) {
        kb_reader *reader = open_reader(argv[2], argv[3]);
        time_current(reader, strtoul(argv[4], NULL, 10));
        kb_close(reader);
        return 0;
    }
    if (argc == 5 && strcmp(argv[1], "--memory") == 0) {
        sample_private_bytes(getpid()); /* what looking costs is not the reader's */
        uint64_t before = sample_private_bytes(getpid());
        kb_reader *reader = open_reader(argv[2], argv[3]);
        time_current(reader, strtoul(argv[4], NULL, 10));
        printf("%llu\n", (unsigned long long)(sample_private_bytes(getpid()) - before));
        kb_close(reader);
        return 0;
    }
    if (argc != 5) {
        fputs("bench_hotpath is started by bench_keybroker\n", stderr);
        return 2;
    }
    unsigned long rounds = strtoul(argv[3], NULL, 10);
    sample_pin(CPU_WATCHING);
    kb_reader *reader = open_reader(argv[1], argv[2]);
    compare(reader, rounds > ROUNDS_MAX ? ROUNDS_MAX : (unsigned)rounds,
            strtoul(argv[4], NULL, 10));
    kb_close(reader);
    return 0;
}
