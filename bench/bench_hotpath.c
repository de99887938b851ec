/*
 * kb_current in a process of its own, linked with the static library or with the shared one, and
 * pinned. The bench (hotpath.c, read_changes.c, footprint.c) starts it, once per measurement, and
 * reads what it prints.
 *
 *     bench_hotpath --compare RUNTIME-DIR POOL ROUNDS CALLS
 *         Against the reference function (reference.h) in alternating rounds; median, lowest and
 *         highest of the reference's ns, of kb_current's ns, and of the ratio.
 *     bench_hotpath --only RUNTIME-DIR POOL CALLS
 *         Nothing but kb_current: callgrind counts its instructions.
 *     bench_hotpath --sealed RUNTIME-DIR POOL CALLS
 *         kb_current under strict seccomp: any system call but exit kills it.
 *     bench_hotpath --after RUNTIME-DIR POOL CHANGES CALLS
 *         Prints "ready" and waits for a line before each change's measurement, then prints the ns
 *         of the first call after it, of each of CALLS more, and of the reference's as many.
 *     bench_hotpath --memory RUNTIME-DIR POOL CALLS
 *         The bytes of private memory that a reader costs.
 */
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <keybroker.h>

#include "reference.h"
#include "sample.h"

enum { WARM_UP_ROUNDS = 3, ROUNDS_MAX = 1000, CLOCK_TRIES = 1001 };

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

static struct reference make_reference(void) {
    static char choice;
    _Atomic uint64_t *generation = sample_shared(4096);
    atomic_store(generation, 1);
    return (struct reference){ .generation = generation, .seen = 1, .choice = &choice };
}

static void print_spread(double *values, size_t count) {
    struct spread_of spread = sample_spread(values, count);
    printf("%f %f %f ", spread.median, spread.low, spread.high);
}

static void compare(kb_reader *reader, unsigned long rounds, unsigned long calls) {
    static double references[ROUNDS_MAX], currents[ROUNDS_MAX], ratios[ROUNDS_MAX];
    struct reference reference = make_reference();
    if (rounds > ROUNDS_MAX)
        rounds = ROUNDS_MAX;
    for (unsigned long i = 0; i < rounds + WARM_UP_ROUNDS; i++) {
        unsigned long at = i < WARM_UP_ROUNDS ? 0 : i - WARM_UP_ROUNDS;
        bool reference_first = i % 2;
        if (reference_first)
            references[at] = time_reference(&reference, calls);
        currents[at] = time_current(reader, calls);
        if (!reference_first)
            references[at] = time_reference(&reference, calls);
        ratios[at] = currents[at] / references[at];
    }
    print_spread(references, rounds);
    print_spread(currents, rounds);
    print_spread(ratios, rounds);
    putchar('\n');
}

/* What two readings of the clock take with nothing between them. */
static double clock_cost_ns(void) {
    static double ns[CLOCK_TRIES];
    for (int i = 0; i < CLOCK_TRIES; i++) {
        uint64_t begun_ns = sample_now_ns();
        ns[i] = (double)(sample_now_ns() - begun_ns);
    }
    return sample_percentile(ns, CLOCK_TRIES, 50);
}

static void measure_after(kb_reader *reader, unsigned long changes, unsigned long calls) {
    struct reference reference = make_reference();
    char line[16];
    double clock_ns = clock_cost_ns();
    for (unsigned long i = 0; i < changes; i++) {
        puts("ready");
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin))
            exit(3);
        uint64_t begun_ns = sample_now_ns();
        const kb_key *key = kb_current(reader);
        double first_ns = (double)(sample_now_ns() - begun_ns) - clock_ns;
        if (!key)
            sample_die("the pool is out of keys");
        double current_ns = calls ? time_current(reader, calls) : 0;
        double reference_ns = calls ? time_reference(&reference, calls) : 0;
        printf("%f %f %f\n", first_ns, current_ns, reference_ns);
    }
    fflush(stdout);
}

__attribute__((noreturn)) static void be_sealed(kb_reader *reader, unsigned long calls) {
    uintptr_t sum = 0;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
        exit(3);
    for (unsigned long i = 0; i < calls; i++)
        sum += (uintptr_t)kb_current(reader);
    sink += sum;
    for (;;)
        syscall(SYS_exit, 0); /* exit_group, which libc takes, is forbidden */
}

static void measure_memory(const char *runtime_dir, const char *pool, unsigned long calls) {
    sample_private_bytes(getpid()); /* what looking costs is not the reader's */
    uint64_t before = sample_private_bytes(getpid());
    kb_reader *reader = open_reader(runtime_dir, pool);
    time_current(reader, calls);
    printf("%llu\n", (unsigned long long)(sample_private_bytes(getpid()) - before));
    kb_close(reader);
}

int main(int argc, char **argv) {
    const char *mode = argc < 5 ? "" : argv[1];
    unsigned long first = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    unsigned long second = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;
    if (!*mode) {
        fputs("bench_hotpath is started by bench_keybroker\n", stderr);
        return 2;
    }
    if (strcmp(mode, "--memory") == 0) {
        measure_memory(argv[2], argv[3], first);
        return 0;
    }
    sample_pin(CPU_WATCHING);
    kb_reader *reader = open_reader(argv[2], argv[3]);
    if (strcmp(mode, "--compare") == 0)
        compare(reader, first, second);
    else if (strcmp(mode, "--only") == 0)
        time_current(reader, first);
    else if (strcmp(mode, "--after") == 0)
        measure_after(reader, first, second);
    else if (strcmp(mode, "--sealed") == 0)
        be_sealed(reader, first);
    else
        sample_die("no such mode: %s", mode);
    kb_close(reader);
    return 0;
}
