/*
 * What runs short: memory, of which the broker ends on purpose (and loses nothing), and
 * descriptors, of which it waits for more without spinning.
 *
 * Also the program of the campaign `short`: KEYBROKER_TEST_SIZE rounds.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/preload.h"
#include "tests/support/program.h"
#include "tests/support/scene.h"
#include "tests/support/seed.h"
#include "tests/support/short_memory.h"
#include "tests/support/worker.h"

static unsigned rounds_of(unsigned usual) {
    const char *size = getenv("KEYBROKER_TEST_SIZE");
    return size && *size ? (unsigned)strtoul(size, NULL, 10) : usual;
}

static struct short_memory *begin(struct broker *b) {
    struct short_memory *memory =
        preload_new(b, "short_memory.so", SHORT_MEMORY_CONTROL, sizeof *memory);
    if (scene_sanitized())
        cr_skip_test("a sanitizer has the allocator");
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 5);
    peer_must(peer, "set key main k1 note=0");
    return memory;
}

/* A reply's first word, without ending the test when the broker dies instead. */
static bool was_acknowledged(struct peer *peer, const char *line) {
    peer_send(peer, "%s", line);
    const char *first = peer_read_line(peer);
    const char *rest = first;
    while (rest && *rest)
        rest = peer_read_line(peer);
    return first && strcmp(first, "OK") == 0;
}

/* Everything that a broker is asked for, until it has ended or nothing is left to ask. Returns the
 * last note that it acknowledged. */
static unsigned work(struct broker *b, kb_reader *reader, unsigned note, unsigned *ret_sent) {
    struct peer *peer = peer_try_open(b);
    static const char *const ASK[] = { "show keys main",       "json show keys main",
                                       "show events",          "show metrics",
                                       "export main",          "move key main k3 first",
                                       "move key main k3 last" };
    for (unsigned i = 0; peer && i < 7; i++) {
        kb_report(reader, kb_current(reader) ? kb_current(reader)->ticket : (kb_ticket){ 1, 1 },
                  KB_RATE, 1000);
        *ret_sent = note + 1;
        if (!was_acknowledged(peer, scene_text("set key main k1 note=%u", note + 1)))
            return note;
        note++;
        if (!was_acknowledged(peer, ASK[i]))
            return note;
        if (!was_acknowledged(peer, "enable key main k0"))
            return note;
    }
    return note;
}

static void expect_sound(struct broker *b, unsigned acknowledged, unsigned sent, uint64_t round) {
    struct peer *peer = peer_open(b);
    struct answer *shown = peer_must(peer, "json show keys main");
    cr_assert_eq(answer_number(shown, "total"), 5);
    unsigned note = (unsigned)strtoul(json_text(answer_key(shown, "k1"), "note"), NULL, 10);
    cr_assert(note >= acknowledged && note <= sent, "allocation %llu: note %u, not %u to %u",
              (unsigned long long)round, note, acknowledged, sent);
    peer_must(peer, "set key main k1 note=%u", sent);
}

TEST_BOTH_LOOPS(short_of, memory_while_it_serves_costs_nothing_that_was_acknowledged) {
    struct seed seed = seed_begin("short");
    struct short_memory *memory = begin(b);
    kb_reader *reader = worker_open(b, "main");
    uint64_t before = atomic_load(&memory->allocated);
    unsigned sent = 0, acknowledged = work(b, reader, 0, &sent), ended = 0;
    uint64_t span = atomic_load(&memory->allocated) - before, generation = 0;
    for (unsigned round = 0; round < rounds_of(15); round++) {
        uint64_t n = 1 + seed_below(&seed, span);
        atomic_store(&memory->fail_at, (int64_t)n);
        acknowledged = work(b, reader, sent, &sent);
        scene_sleep_ms(30);
        if (!broker_is_running(b)) {
            ended++;
            cr_assert(broker_log_has(b, "out of memory"), "allocation %llu", (unsigned long long)n);
            atomic_store(&memory->fail_at, 0);
            broker_restart(b);
        }
        atomic_store(&memory->fail_at, 0);
        expect_sound(b, acknowledged, sent, n);
        kb_health_info health = { .size = sizeof health };
        cr_assert_eq(kb_health(reader, &health), 0);
        cr_assert_geq(health.generation, generation);
        generation = health.generation;
    }
    printf("short: %u allocations a round, the broker ended in %u rounds\n", (unsigned)span, ended);
    cr_assert_gt(ended, 0);
    kb_close(reader);
}

TEST_BOTH_LOOPS(short_of, memory_while_it_starts_harms_nothing) {
    struct seed seed = seed_begin("short");
    struct short_memory *memory = begin(b);
    broker_kill(b);
    uint64_t before = atomic_load(&memory->allocated);
    broker_restart(b);
    uint64_t span = atomic_load(&memory->allocated) - before;
    for (unsigned round = 0; round < rounds_of(15); round++) {
        broker_kill(b);
        uint64_t n = 1 + seed_below(&seed, span);
        atomic_store(&memory->fail_at, (int64_t)n);
        broker_spawn(b, NULL);
        int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
        struct peer *peer = NULL;
        while (broker_is_running(b) && !peer && scene_now_ms() < until) {
            peer = atomic_load(&memory->failed) ? peer_try_open(b) : NULL;
            scene_sleep_ms(2);
        }
        atomic_store(&memory->fail_at, 0);
        if (!broker_is_running(b))
            broker_start(b, NULL);
        else
            broker_restart(b);
        expect_sound(b, 0, 0, n);
    }
}

/* ---- descriptors ---- */

static double processor_ms(const struct broker *b) {
    char *stat = program_read_file(scene_text("/proc/%d/stat", b->pid), NULL);
    unsigned long user = 0, kernel = 0;
    cr_assert_not_null(stat);
    sscanf(strrchr(stat, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
           &kernel);
    free(stat);
    return (double)(user + kernel) * 1000 / (double)sysconf(_SC_CLK_TCK);
}

/* Reports and reading go on, somebody waits to be let in, and the broker does not spin. */
TEST_BOTH_LOOPS(short_of, descriptors_it_serves_on_and_recovers) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    kb_reader *reader = worker_open(b, "main");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0); /* it is let in */
    EVENTUALLY(strcmp(worker_current(reader), "k1") == 0);
    struct rlimit usual, none = { 3, 3 };
    if (prlimit(b->pid, RLIMIT_NOFILE, NULL, &usual) < 0)
        cr_skip_test("the broker's limits can't be changed here: %s", strerror(errno));
    none.rlim_max = usual.rlim_max;
    cr_assert_eq(prlimit(b->pid, RLIMIT_NOFILE, &none, NULL), 0);
    struct peer *waiting = peer_open(b);
    peer_send(waiting, "show info");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k1"), "exceeded") == 0);
    struct answer *answer = peer_ask(peer, "set key main k2 note=x");
    cr_assert(answer->code == 0 || answer->code == 503, "%s", answer->status);
    double before = processor_ms(b);
    scene_sleep_ms(2000);
    double used = processor_ms(b) - before;
    cr_assert_leq(used, scene_sanitized() ? 400 : 100, "%.0f ms of two seconds", used);
    cr_assert_eq(prlimit(b->pid, RLIMIT_NOFILE, &usual, NULL), 0);
    peer_read(waiting);
    EVENTUALLY(peer_ask(peer, "set key main k2 note=y")->code == 0);
    EVENTUALLY(strcmp(worker_current(reader), "k2") == 0);
    kb_close(reader);
}

/* The library: no descriptor for a connection, a catalog, another reader. */
TEST_BOTH_LOOPS(short_of, descriptors_in_a_worker_it_reads_on_and_recovers) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    kb_reader *reader = worker_open(b, "main"), *another = NULL;
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = b->runtime_dir;
    cr_assert_str_eq(worker_current(reader), "k0");
    struct rlimit usual, none;
    getrlimit(RLIMIT_NOFILE, &usual);
    none = (struct rlimit){ 3, usual.rlim_max };
    setrlimit(RLIMIT_NOFILE, &none);
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT); /* not sent */
    cr_assert_str_eq(worker_current(reader), "k1");
    peer_must_with(peer, "sk-new", "add key main name=new");
    peer_must(peer, "move key main new first");
    cr_assert_not_null(kb_current(reader), "the old catalog is still good");
    cr_assert_neq(kb_open(&another, "main", &options), 0);
    cr_assert_null(another);
    setrlimit(RLIMIT_NOFILE, &usual);
    EVENTUALLY(strcmp(worker_current(reader), "new") == 0);
    EVENTUALLY((kb_wait(reader, 0), strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0));
    kb_close(reader);
}
