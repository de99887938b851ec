/*
 * What runs short: memory, of which the broker ends on purpose (and loses nothing), and
 * descriptors, of which it waits for more without spinning.
 *
 * Also the program of the campaign `short`: KEYBROKER_TEST_SIZE allocations fail, chosen at random
 * (0 = every one, in turn).
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/preload.h"
#include "tests/support/program.h"
#include "tests/support/scene.h"
#include "tests/support/seed.h"
#include "tests/support/short_memory.h"
#include "tests/support/worker.h"

/* ---- memory ---- */

/* How many allocations fail, chosen at random; 0 = every one in its turn. */
static unsigned rounds(void) {
    const char *size = getenv("KEYBROKER_TEST_SIZE");
    return size && *size ? (unsigned)strtoul(size, NULL, 10) : 15;
}

enum effect { NO_EFFECT, COUNTS, ADDS, DELETES, MAKES, UNMAKES };

/* Every kind of request; each is valid after those before it. */
static const struct request {
    const char *line, *payload;
    enum effect effect;
    bool reports; /* a worker does, before */
} REQUESTS[] = {
    { "set key main k1 note=%u", NULL, COUNTS, true },
    { "add key main name=extra account=team note=x", "sk-extra-main", ADDS, false },
    { "json show keys main", NULL, NO_EFFECT, true },
    { "set key main k1 note=%u", NULL, COUNTS, false },
    { "move key main extra first", NULL, NO_EFFECT, false },
    { "order keys main k2 k1", NULL, NO_EFFECT, false },
    { "disable key main k3", NULL, NO_EFFECT, false },
    { "enable key main k3", NULL, NO_EFFECT, false },
    { "enable key main k0", NULL, NO_EFFECT, true },
    { "export main secrets=yes", NULL, NO_EFFECT, false },
    { "set pool main strategy=spread exceeded-recovery=daily@03:00", NULL, NO_EFFECT, false },
    { "set pool main strategy=priority exceeded-recovery=never", NULL, NO_EFFECT, false },
    { "delete key main extra", NULL, DELETES, false },
    { "add pool second vendor=anthropic", "{\"api_key\":\"sk-second\"}", MAKES, false },
    { "import second mode=merge", "{\"keys\":[{\"name\":\"a\",\"config\":{\"api_key\":\"sk-a\"}}]}",
      NO_EFFECT, false },
    { "delete pool second confirm=second", NULL, UNMAKES, false },
    { "json show events limit=20", NULL, NO_EFFECT, false },
    { "show metrics", NULL, NO_EFFECT, false },
    { "show pools", NULL, NO_EFFECT, false },
    { "show key main k1", NULL, NO_EFFECT, false },
    { "help", NULL, NO_EFFECT, false },
    { "set key main k1 note=%u", NULL, COUNTS, false },
};
enum { REQUEST_COUNT = sizeof REQUESTS / sizeof *REQUESTS, KEYS = 5 };

/* What an administrator has been told: no, yes, or nothing (the broker ended before). */
enum knowledge { ABSENT, PRESENT, UNKNOWN };

struct play {
    struct broker *broker;
    struct short_memory *memory;
    kb_reader *reader;
    unsigned acknowledged, sent; /* notes */
    enum knowledge extra, second;
    uint64_t generation;
    int64_t n; /* the allocation that fails */
};

static void begin(struct play *play, struct broker *b) {
    b->state_dir = scene_dir(scene_tmpfs(), "state", 0700);
    *play = (struct play){ .broker = b };
    play->memory = preload_new(b, "short_memory.so", SHORT_MEMORY_CONTROL, sizeof *play->memory);
    if (scene_sanitized())
        cr_skip_test("a sanitizer has the allocator");
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", KEYS);
    peer_must(peer, "set key main k1 note=0");
    play->reader = worker_open(b, "main");
}

/* OK? Without ending the test when the broker does not live to answer. */
static bool is_acknowledged(struct peer *peer, const char *line, const char *payload) {
    if (payload)
        peer_send_payload(peer, payload, strlen(payload), "%s", line);
    else
        peer_send(peer, "%s", line);
    const char *first = peer_read_line(peer);
    const char *rest = first;
    while (rest && *rest)
        rest = peer_read_line(peer);
    return rest && strcmp(first, "OK") == 0;
}

static void look(struct play *play) {
    kb_health_info health = { .size = sizeof health };
    const kb_key *key = kb_current(play->reader);
    cr_assert_not_null(key, "allocation %lld: a worker has no key", (long long)play->n);
    cr_assert_str_eq(key->api_key, scene_text("sk-%s-main", key->name));
    cr_assert_eq(kb_health(play->reader, &health), 0);
    cr_assert_geq(health.generation, play->generation, "allocation %lld", (long long)play->n);
    play->generation = health.generation;
}

static bool request(struct play *play, struct peer *peer, const struct request *what) {
    const char *line = what->line;
    if (what->reports)
        kb_report(play->reader, kb_current(play->reader)->ticket, KB_RATE, 20);
    if (what->effect == COUNTS)
        line = scene_text(what->line, ++play->sent);
    if (what->effect == ADDS || what->effect == DELETES)
        play->extra = UNKNOWN;
    if (what->effect == MAKES || what->effect == UNMAKES)
        play->second = UNKNOWN;
    if (!is_acknowledged(peer, line, what->payload))
        return false;
    if (what->effect == COUNTS)
        play->acknowledged = play->sent;
    if (what->effect == ADDS || what->effect == DELETES)
        play->extra = what->effect == ADDS ? PRESENT : ABSENT;
    if (what->effect == MAKES || what->effect == UNMAKES)
        play->second = what->effect == MAKES ? PRESENT : ABSENT;
    return true;
}

/* Nothing cools, and no report is left that would have a key cool. */
static bool has_rested(struct play *play) {
    kb_health_info health = { .size = sizeof health };
    kb_wait(play->reader, 0); /* sends what could not be sent */
    return kb_health(play->reader, &health) == 0 && health.reports_pending == 0 &&
           health.by_status[KB_STATUS_COOLING] == 0;
}

/* All of them, or until the broker does not answer. Each time three of five keys are reported: soon
 * after another time that could be all that there are, and a worker rightly have none. */
static void work(struct play *play) {
    EVENTUALLY(has_rested(play));
    struct peer *peer = peer_try_open(play->broker);
    for (unsigned i = 0; peer && i < REQUEST_COUNT; i++)
        if (!request(play, peer, &REQUESTS[i]))
            break;
    if (peer)
        peer_close(peer);
}

/* A broker that could not store for want of memory tries again each second. */
static void must_soon(struct peer *peer, const char *line) {
    EVENTUALLY(peer_ask(peer, "%s", line)->code == 0);
}

/* What was acknowledged is there, and the rest of it is as it was before the first request. */
static void expect_sound(struct play *play) {
    struct peer *peer = peer_open(play->broker);
    struct answer *shown = peer_must(peer, "json show keys main");
    bool extra = answer_key(shown, "extra"), second = peer_ask(peer, "show pool second")->code == 0;
    cr_assert_eq(answer_number(shown, "total"), KEYS + extra);
    unsigned note = (unsigned)strtoul(json_text(answer_key(shown, "k1"), "note"), NULL, 10);
    cr_assert(note >= play->acknowledged && note <= play->sent,
              "allocation %lld: note %u, not %u to %u", (long long)play->n, note,
              play->acknowledged, play->sent);
    cr_assert(play->extra == UNKNOWN || extra == (play->extra == PRESENT), "allocation %lld: %d %d",
              (long long)play->n, play->extra, extra);
    cr_assert(play->second == UNKNOWN || second == (play->second == PRESENT),
              "allocation %lld: %d %d", (long long)play->n, play->second, second);
    if (extra)
        must_soon(peer, "delete key main extra");
    if (second)
        must_soon(peer, "delete pool second confirm=second");
    play->extra = play->second = ABSENT;
    must_soon(peer, scene_text("set key main k1 note=%u", play->sent));
    play->acknowledged = play->sent;
    look(play);
    peer_close(peer);
}

/* On purpose and saying why, but for libc, whose look-ups of groups crash (sandbox_enter). */
static void expect_reason(const struct play *play) {
    int code = play->broker->exit_code;
    char *log = broker_log(play->broker);
    bool sober = (code == 128 + SIGABRT || code == 1) && strstr(log, "emory");
    cr_assert(sober || atomic_load(&play->memory->failed_for_libc),
              "allocation %lld: the broker ended with %d: %s", (long long)play->n, code, log);
    free(log);
}

/* False when the allocation that failed was its end, which must be on purpose. */
static bool has_survived(struct play *play) {
    struct peer *peer = peer_try_open(play->broker);
    bool answers = peer && is_acknowledged(peer, "show info", NULL);
    if (peer)
        peer_close(peer);
    if (answers && broker_is_running(play->broker))
        return true;
    broker_wait_exit(play->broker);
    expect_reason(play);
    return false;
}

static void arm(struct play *play, int64_t n) {
    play->n = n;
    cr_assert_eq(truncate(play->broker->log_path, 0), 0);
    atomic_store(&play->memory->failed, 0);
    atomic_store(&play->memory->fail_at, n);
}

/* True if there was such an allocation. */
static bool disarm(struct play *play) {
    atomic_store(&play->memory->fail_at, 0);
    return atomic_load(&play->memory->failed) > 0;
}

static bool serve_with(struct play *play, int64_t n, bool *ret_ended) {
    arm(play, n);
    work(play);
    *ret_ended = atomic_load(&play->memory->failed) > 0 && !has_survived(play);
    bool happened = disarm(play);
    if (*ret_ended)
        broker_start(play->broker, NULL);
    expect_sound(play);
    return happened;
}

static bool start_with(struct play *play, int64_t n, bool *ret_ended) {
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    bool serves = false;
    broker_kill(play->broker);
    arm(play, n);
    broker_spawn(play->broker, NULL);
    while (broker_is_running(play->broker) && !serves && scene_now_ms() < until) {
        struct peer *peer = peer_try_open(play->broker);
        serves = peer && is_acknowledged(peer, "show info", NULL);
        if (peer)
            peer_close(peer);
        usleep(500);
    }
    bool happened = disarm(play);
    *ret_ended = !serves;
    look(play);
    if (!serves) {
        cr_assert(happened && play->broker->pid == 0);
        expect_reason(play);
        broker_start(play->broker, NULL);
    }
    expect_sound(play);
    return happened;
}

/* `span` allocations, about: some of them, or every one until there are no more. */
static void fail_each(struct play *play, uint64_t span,
                      bool (*try)(struct play *, int64_t n, bool *ret_ended)) {
    struct seed seed = seed_begin("short");
    unsigned wanted = rounds(), tried = 0, happened = 0, ended = 0;
    for (unsigned beyond = 0; wanted ? tried < wanted : beyond < 5; tried++) {
        bool end = false;
        int64_t n = wanted ? 1 + (int64_t)seed_below(&seed, span) : tried + 1;
        bool there = try(play, n, &end);
        beyond = there ? 0 : beyond + 1;
        happened += there;
        ended += end;
    }
    printf("short: of about %u allocations %u were tried, %u happened, the broker ended by %u\n",
           (unsigned)span, tried, happened, ended);
    fflush(stdout);
    cr_assert_gt(ended, 0);
    kb_close(play->reader);
}

static uint64_t allocated(const struct play *play) {
    return atomic_load(&play->memory->allocated);
}

/* On both loops, with more time than other tests. */
#define MEMORY_TEST(name, loop)                                                                    \
    Test(short_of, name##_on_##loop, .fini = scene_end, .timeout = 3600) {                         \
        if (strcmp(#loop, "io_uring") == 0 && !scene_has_uring())                                  \
            cr_skip_test("the kernel refuses io_uring here");                                      \
        name(scene_begin(#loop));                                                                  \
        scene_passed();                                                                            \
    }

static void memory_while_it_serves_costs_nothing_that_was_acknowledged(struct broker *b) {
    struct play play;
    begin(&play, b);
    work(&play);
    expect_sound(&play);
    uint64_t before = allocated(&play);
    work(&play);
    fail_each(&play, allocated(&play) - before, serve_with);
}

static void memory_while_it_starts_harms_nothing(struct broker *b) {
    struct play play;
    begin(&play, b);
    broker_kill(b);
    uint64_t before = allocated(&play);
    broker_restart(b);
    fail_each(&play, allocated(&play) - before, start_with);
}

MEMORY_TEST(memory_while_it_serves_costs_nothing_that_was_acknowledged, io_uring)
MEMORY_TEST(memory_while_it_serves_costs_nothing_that_was_acknowledged, epoll)
MEMORY_TEST(memory_while_it_starts_harms_nothing, io_uring)
MEMORY_TEST(memory_while_it_starts_harms_nothing, epoll)

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

struct starving {
    const struct broker *broker;
    _Atomic bool ready, go;
    _Atomic int64_t used_ms;
};

/* The same when the whole system has none left (ENFILE), which only the epoll loop can be shown. */
Test(short_of, descriptors_of_the_system_it_serves_on_and_recovers, .fini = scene_end,
     .timeout = 120) {
    struct broker *b = scene_begin("epoll");
    struct short_memory *control =
        preload_new(b, "short_memory.so", SHORT_MEMORY_CONTROL, sizeof *control);
    if (scene_sanitized())
        cr_skip_test("a sanitizer has the allocator, which the object replaces, too");
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    kb_reader *reader = worker_open(b, "main");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0); /* it is let in */
    atomic_store(&control->accepts_failing, 1);
    struct peer *waiting = peer_open(b);
    peer_send(waiting, "show info");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k1"), "exceeded") == 0);
    double before = processor_ms(b);
    scene_sleep_ms(2000);
    double used = processor_ms(b) - before;
    cr_assert_leq(used, 100, "%.0f ms of two seconds", used);
    atomic_store(&control->accepts_failing, 0);
    peer_read(waiting);
    kb_close(reader);
    scene_passed();
}

/* A worker whose catalog was replaced while it has no descriptor to open the new one, and who waits
 * and reads all the time: it tries again, but does not spin. */
static int wait_without_descriptors(void *argument) {
    struct starving *starving = argument;
    struct rlimit none;
    struct timespec used;
    kb_reader *reader = worker_open(starving->broker, "main");
    getrlimit(RLIMIT_NOFILE, &none);
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    atomic_store(&starving->ready, true);
    while (!atomic_load(&starving->go))
        usleep(1000);
    int64_t until = scene_now_ms() + 2000;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    int64_t before_ms = used.tv_sec * 1000 + used.tv_nsec / 1000000;
    while (scene_now_ms() < until) {
        const kb_key *key = kb_current(reader);
        if (!key || strcmp(key->name, "k0") != 0)
            return 1;
        kb_report(reader, (kb_ticket){ 9999, key->ticket.generation }, KB_QUOTA, KB_NO_HINT);
        kb_wait(reader, 100);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    atomic_store(&starving->used_ms, used.tv_sec * 1000 + used.tv_nsec / 1000000 - before_ms);
    return 0;
}

TEST_BOTH_LOOPS(short_of, descriptors_in_a_worker_that_waits_cost_it_no_processor) {
    struct starving *starving = worker_share(sizeof *starving);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    starving->broker = b;
    pid_t pid = worker_fork(wait_without_descriptors, starving);
    EVENTUALLY(atomic_load(&starving->ready));
    peer_must_with(peer, "sk-new", "add key main name=new");
    peer_must(peer, "move key main new first");
    atomic_store(&starving->go, true);
    cr_assert_eq(worker_wait(pid), 0);
    int64_t used_ms = atomic_load(&starving->used_ms);
    cr_assert_leq(used_ms, scene_sanitized() ? 400 : 100, "%lld ms of two seconds",
                  (long long)used_ms);
}

/* ---- how large a file may be ---- */

/* Named to run before the tests of memory: Criterion's runner leaks 48 bytes where tests follow
 * ones that are skipped, as those are under a sanitizer. */

static void limit_files(rlim_t bytes) {
    struct rlimit limit = { bytes, bytes };
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST_BOTH_LOOPS(short_of, growth_of_a_file_it_does_not_start_and_says_so) {
    limit_files(1 << 20);
    broker_spawn(b, NULL);
    cr_assert_eq(broker_wait_exit(b), 1);
    cr_assert(broker_log_has(b, "ulimit -f"));
    cr_assert(broker_log_has(b, "store.mdb"));
}

/* 2,000 keys of 16 KiB and more in a store whose file may have 17 MiB. */
TEST_BOTH_LOOPS(short_of, growth_of_a_file_it_refuses_and_serves_on) {
    enum { KEYS_TOO_MANY = 2000, PADDING = 16000 };
    size_t length = 0;
    char *document = NULL;
    FILE *text = open_memstream(&document, &length);
    fputs("{\"keys\":[", text);
    for (int i = 0; i < KEYS_TOO_MANY; i++)
        fprintf(text, "%s{\"name\":\"n%d\",\"config\":{\"api_key\":\"sk-%d\",\"pad\":\"%0*d\"}}",
                i ? "," : "", i, i, PADDING, i);
    fputs("]}", text);
    fclose(text);
    limit_files(17 << 20);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    kb_reader *reader = worker_open(b, "main");
    peer_send_payload(peer, document, length, "import main mode=merge");
    cr_assert_eq(peer_read(peer)->code, 503);
    free(document);
    cr_assert_str_eq(worker_current(reader), "k0");
    EVENTUALLY(peer_ask(peer, "set key main k1 note=small")->code == 0);
    cr_assert_eq(answer_number(peer_must(peer, "json show keys main"), "total"), 3);
    kb_close(reader);
}

/* ---- locked memory ---- */

/* Of the keys' guarded memory and the ring only the latter is charged for, on some kernels: the
 * broker then chooses epoll, or says why it cannot have the ring that it was told to take. The
 * capability to lock any amount is taken from it. */
static void limit_locked_memory(rlim_t bytes) {
    struct rlimit limit = { bytes, 65536 };
    prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK);
    cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

TEST_BOTH_LOOPS(short_of, locked_memory_it_serves_with_none_and_with_64_kib) {
    for (rlim_t limit = 0; limit <= 65536; limit += 65536) {
        const char *pool = scene_text("pool%lu", (unsigned long)limit);
        limit_locked_memory(limit);
        b->loop = strcmp(b->loop, "epoll") == 0 ? b->loop : "auto";
        broker_start(b, NULL);
        struct peer *peer = peer_open(b);
        worker_make_pool(peer, pool, 3);
        kb_reader *reader = worker_open(b, pool);
        kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
        EVENTUALLY(strcmp(peer_key_status(peer, pool, "k0"), "exceeded") == 0);
        EVENTUALLY(strcmp(worker_current(reader), "k1") == 0);
        kb_close(reader);
        peer_close(peer);
        cr_assert_eq(broker_stop(b), 0);
    }
}

Test(short_of, locked_memory_a_ring_that_cannot_be_had_is_complained_of, .fini = scene_end) {
    struct broker *b = scene_begin("io_uring");
    limit_locked_memory(0);
    broker_spawn(b, NULL);
    EVENTUALLY(!broker_is_running(b) || broker_log_has(b, "serving"));
    if (broker_is_running(b))
        cr_skip_test("this kernel does not charge for it");
    cr_assert_eq(b->exit_code, 1);
    cr_assert(broker_log_has(b, "io_uring cannot be used"));
    scene_passed();
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
