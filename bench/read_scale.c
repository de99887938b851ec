/*
 * See read_scale.h. The readers are not pinned. In every round each contest (kb_current, reference)
 * runs in the same readers for the same time, one after the other, in alternating order.
 */
#include "read_scale.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reference.h"
#include "result.h"
#include "sample.h"

enum { ROUNDS = 7, WINDOW_US = 100000, READERS_MAX = 64, CHUNK = 2000 };

enum contest { CONTEST_CURRENT, CONTEST_REFERENCE, CONTEST_OVER };

struct reader_count {
    _Alignas(64) _Atomic uint64_t calls; /* of this turn */
    uint64_t busy_ns;
};

struct arena {
    const struct rig *rig;
    _Alignas(64) _Atomic uint64_t generation; /* the reference's */
    _Alignas(64) _Atomic uint32_t ended;      /* the turn that is over: compared all the time */
    _Alignas(64) _Atomic uint32_t turn;       /* every reader takes part in every one */
    _Atomic uint32_t contest;                 /* enum contest: what they do in it */
    _Atomic uint32_t ready, done;             /* readers, of this turn */
    struct reader_count counts[READERS_MAX];
};

struct seat {
    struct arena *arena;
    unsigned index;
};

static bool goes_on(struct arena *arena, uint32_t turn) {
    return atomic_load_explicit(&arena->ended, memory_order_relaxed) != turn;
}

static __attribute__((noinline, aligned(64))) uint64_t
read_current(struct arena *arena, uint32_t turn, kb_reader *reader, uintptr_t *sum) {
    uintptr_t local = 0;
    uint64_t calls = 0;
    for (; goes_on(arena, turn); calls += CHUNK)
        for (int i = 0; i < CHUNK; i++)
            local += (uintptr_t)kb_current(reader);
    *sum += local;
    return calls;
}

static __attribute__((noinline, aligned(64))) uint64_t
read_reference(struct arena *arena, uint32_t turn, struct reference *reference, uintptr_t *sum) {
    uintptr_t local = 0;
    uint64_t calls = 0;
    for (; goes_on(arena, turn); calls += CHUNK)
        for (int i = 0; i < CHUNK; i++)
            local += (uintptr_t)reference_current(reference);
    *sum += local;
    return calls;
}

static void *take_part(void *argument) {
    struct seat *seat = argument;
    struct arena *arena = seat->arena;
    struct reader_count *count = &arena->counts[seat->index];
    struct reference reference = { .generation = &arena->generation, .seen = 1, .choice = arena };
    kb_reader *reader = rig_reader(arena->rig, "scale");
    uintptr_t sum = (uintptr_t)kb_current(reader);
    uint32_t turn = 0;
    atomic_fetch_add(&arena->ready, 1);
    for (;;) {
        while (atomic_load(&arena->turn) == turn)
            sample_sleep_us(100);
        turn++; /* there is no next one before all have done this one */
        uint32_t contest = atomic_load(&arena->contest);
        if (contest == CONTEST_OVER)
            break;
        uint64_t begun_ns = sample_busy_ns();
        uint64_t calls = contest == CONTEST_CURRENT ? read_current(arena, turn, reader, &sum)
                                                    : read_reference(arena, turn, &reference, &sum);
        count->busy_ns = sample_busy_ns() - begun_ns;
        atomic_store(&count->calls, calls);
        atomic_fetch_add(&arena->done, 1);
    }
    kb_close(reader);
    return (void *)(sum | 1);
}

/* ---- who reads ---- */

static void start_processes(struct arena *arena, unsigned count, pid_t *pids) {
    for (unsigned i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] < 0)
            sample_die("fork: %s", strerror(errno));
        if (pids[i] > 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        take_part(&(struct seat){ arena, i });
        _exit(0);
    }
}

/* One process that holds them all. */
static void start_threads(struct arena *arena, unsigned count, pid_t *pids) {
    pthread_t threads[READERS_MAX];
    struct seat seats[READERS_MAX];
    pids[0] = fork();
    if (pids[0] < 0)
        sample_die("fork: %s", strerror(errno));
    if (pids[0] > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; i < count; i++) {
        seats[i] = (struct seat){ arena, i };
        if (pthread_create(&threads[i], NULL, take_part, &seats[i]) != 0)
            sample_die("no thread");
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    _exit(0);
}

static void await(_Atomic uint32_t *counter, unsigned count) {
    while (atomic_load(counter) < count)
        sample_sleep_us(200);
}

/* Reads a second by all together; *ret_each_ns is the processor time of one. */
static double play(struct arena *arena, unsigned count, enum contest contest, double *ret_each_ns) {
    uint64_t calls = 0, busy_ns = 0, begun_ns = sample_now_ns();
    atomic_store(&arena->done, 0);
    atomic_store(&arena->contest, contest);
    uint32_t turn = atomic_fetch_add(&arena->turn, 1) + 1;
    sample_sleep_us(WINDOW_US);
    atomic_store(&arena->ended, turn);
    uint64_t taken_ns = sample_now_ns() - begun_ns;
    await(&arena->done, count);
    for (unsigned i = 0; i < count; i++) {
        calls += atomic_load(&arena->counts[i].calls);
        busy_ns += arena->counts[i].busy_ns;
    }
    *ret_each_ns = (double)busy_ns / (double)calls;
    return (double)calls * 1e9 / (double)taken_ns;
}

static void tell(unsigned count, const char *what, double *totals, double *total_references,
                 double *each, double *each_references) {
    char id[96], name[128];
    int length = (int)strlen(what) - (count == 1 ? (*what == 'p' ? 2 : 1) : 0); /* one process */
    snprintf(id, sizeof id, "read.scale.%s_%u.total", what, count);
    snprintf(name, sizeof name, "%u %.*s: all together", count, length, what);
    struct result total = result_against(id, name, "M/s", totals, total_references, ROUNDS);
    result_add(&total);
    snprintf(id, sizeof id, "read.scale.%s_%u.each", what, count);
    snprintf(name, sizeof name, "%u %.*s: processor time of a read", count, length, what);
    struct result one = result_against(id, name, "ns", each, each_references, ROUNDS);
    one.target = 1.3;
    result_add(&one);
}

static void measure(struct rig *rig, unsigned count, bool threads) {
    double totals[2][ROUNDS], each[2][ROUNDS];
    pid_t pids[READERS_MAX];
    struct arena *arena = sample_shared(sizeof *arena);
    arena->rig = rig;
    atomic_store(&arena->generation, 1);
    if (threads)
        start_threads(arena, count, pids);
    else
        start_processes(arena, count, pids);
    await(&arena->ready, count);
    for (unsigned round = 0; round < ROUNDS + 1; round++) { /* the first is to warm up */
        unsigned at = round > 0 ? round - 1 : 0;
        for (unsigned i = 0; i < 2; i++) {
            unsigned side = (i + round) % 2;
            totals[side][at] =
                play(arena, count, side ? CONTEST_REFERENCE : CONTEST_CURRENT, &each[side][at]) /
                1e6;
        }
    }
    atomic_store(&arena->contest, CONTEST_OVER);
    atomic_fetch_add(&arena->turn, 1);
    for (unsigned i = 0; i < (threads ? 1 : count); i++)
        waitpid(pids[i], NULL, 0);
    tell(count, threads ? "threads" : "processes", totals[0], totals[1], each[0], each[1]);
    munmap(arena, sizeof *arena);
}

void read_scale_measure(struct rig *rig, bool quick) {
    (void)quick;
    result_section("kb_current in many readers at once (reference: as many that load and compare)");
    rig_start(rig, "io_uring");
    rig_make_pool(rig, "scale", "priority", 100, "");
    for (unsigned count = 1; count <= READERS_MAX; count *= 2)
        measure(rig, count, false);
    for (unsigned count = 1; count <= 16; count *= 2)
        measure(rig, count, true);
    rig_stop(rig);
}
