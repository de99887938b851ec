/*
 * Workers as processes are: stopped and continued in the middle of everything, forked in storms
 * and from threads, replaced by exec, coming and going, closing in any order.
 *
 * Also the program of the campaign `processes`: KEYBROKER_TEST_SIZE workers.
 */
#include <criterion/criterion.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/seed.h"
#include "tests/support/worker.h"

static unsigned size_of(unsigned usual) {
    const char *size = getenv("KEYBROKER_TEST_SIZE");
    return size && *size ? (unsigned)strtoul(size, NULL, 10) : usual;
}

static double connections(struct peer *peer) {
    return worker_metric(peer, "keybroker_connections{socket=\"report\"}");
}

static void report_current(kb_reader *reader, kb_outcome outcome) {
    const kb_key *key = kb_current(reader);
    if (key)
        kb_report(reader, key->ticket, outcome, 1);
}

/* ---- exec ---- */

static unsigned descriptors_after_exec(const char *unwanted) {
    char line[512];
    unsigned count = 0;
    FILE *listing = popen("exec ls -l /proc/self/fd", "re");
    cr_assert_not_null(listing);
    while (fgets(line, sizeof line, listing)) {
        cr_assert_null(strstr(line, unwanted), "a program that was started has %s", line);
        count++;
    }
    pclose(listing);
    return count;
}

TEST_BOTH_LOOPS(processes, a_program_that_a_worker_starts_has_nothing_of_the_readers) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    unsigned before = descriptors_after_exec(b->runtime_dir);
    kb_reader *reader = worker_open(b, "main");
    report_current(reader, KB_QUOTA);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
    cr_assert_eq(descriptors_after_exec(b->runtime_dir), before);
    peer_must(peer, "move key main k2 first"); /* another catalog */
    EVENTUALLY(strcmp(worker_current(reader), "k2") == 0);
    cr_assert_eq(descriptors_after_exec(b->runtime_dir), before);
    kb_close(reader);
}

/* ---- coming and going ---- */

struct visit {
    const struct broker *broker;
    unsigned number;
};

static int visit(void *argument) {
    const struct visit *visit = argument;
    kb_reader *reader = worker_open(visit->broker, "main");
    if (!kb_current(reader))
        return 1;
    kb_report(reader, (kb_ticket){ 9999, kb_current(reader)->ticket.generation }, KB_QUOTA,
              KB_NO_HINT);
    if (visit->number % 3 == 0)
        raise(SIGKILL);
    if (visit->number % 3 == 1)
        kb_close(reader);
    return 0;
}

TEST_BOTH_LOOPS(processes, workers_that_come_and_go_leave_nothing_behind) {
    enum { TOGETHER = 16 };
    unsigned workers = size_of(160);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    unsigned descriptors = broker_descriptors(b);
    long memory_kib = 0;
    pid_t pids[TOGETHER];
    for (unsigned i = 0; i < workers; i += TOGETHER) {
        for (unsigned k = 0; k < TOGETHER; k++) {
            struct visit what = { .broker = b, .number = i + k };
            pids[k] = worker_fork(visit, &what);
        }
        for (unsigned k = 0; k < TOGETHER; k++) {
            int code = worker_wait(pids[k]);
            cr_assert(code == 0 || code == 128 + SIGKILL, "worker %u: %d", i + k, code);
        }
        if (i == workers / TOGETHER / 2 * TOGETHER)
            memory_kib = broker_memory_kib(b, "RssAnon");
    }
    EVENTUALLY(connections(peer) == 0);
    EVENTUALLY(broker_descriptors(b) <= descriptors); /* fewer: the last commit had one, too */
    unsigned visits = (workers + TOGETHER - 1) / TOGETHER * TOGETHER;
    cr_assert_eq(
        worker_metric(peer, "keybroker_reports_total{class=\"quota\",fate=\"unknown_key\"}"),
        visits, "every one of them was heard");
    cr_assert_leq(broker_memory_kib(b, "RssAnon"), memory_kib + (scene_sanitized() ? 65536 : 512));
}

/* A crowd of short lives, of which only k0 ever fails: every look must give k0 or, while that is
 * used up, k1. Nobody may be handed k2, which is behind them, or k3, which an operator disabled. */
struct short_life {
    const struct broker *broker;
    const _Atomic uint64_t *announced; /* a generation that was out before it began */
    unsigned number;
};

static int check_key(const kb_key *key, uint64_t *generation) {
    char secret[32];
    if (!key)
        return 2;
    if (strcmp(key->name, "k0") != 0 && strcmp(key->name, "k1") != 0)
        return 3;
    snprintf(secret, sizeof secret, "sk-%s-main", key->name);
    if (strcmp(key->api_key, secret) != 0)
        return 4;
    if (key->ticket.generation < *generation)
        return 5;
    *generation = key->ticket.generation;
    return 0;
}

static int live_shortly(void *argument) {
    const struct short_life *life = argument;
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = life->broker->runtime_dir;
    uint64_t generation = atomic_load(life->announced);
    kb_reader *reader = NULL;
    if (kb_open(&reader, "main", &options) != 0)
        return 1;
    int wrong = 0;
    for (unsigned look = 0; look < 5 && !wrong; look++) {
        const kb_key *key = kb_current(reader);
        wrong = check_key(key, &generation);
        if (wrong || look != 2)
            continue;
        bool fails = life->number % 8 == 0 && strcmp(key->name, "k0") == 0;
        kb_report(reader, fails ? key->ticket : (kb_ticket){ 9999, generation }, KB_QUOTA,
                  KB_NO_HINT);
        key = kb_current(reader);
        if (fails && key && strcmp(key->name, "k0") == 0 && key->ticket.generation <= generation)
            wrong = 6; /* nobody has enabled it since */
    }
    kb_close(reader);
    return wrong;
}

enum { LIVES_TOGETHER = 48, LIVES_AT_FIRST = 288 };

struct short_lives {
    struct broker *broker;
    struct peer *peer;
    kb_reader *reader;
    pid_t pids[LIVES_TOGETHER];
    _Atomic uint64_t *announced;
    unsigned begun, ended;
};

static void reap(struct short_lives *lives, pid_t *pid) {
    int status;
    if (*pid && waitpid(*pid, &status, WNOHANG) == *pid) {
        cr_assert_eq(status, 0, "a worker ended with %d, signal %d", WEXITSTATUS(status),
                     WTERMSIG(status));
        *pid = 0;
        lives->ended++;
    }
}

/* Until so many have begun, as many at a time as there may be; k0 fails over and comes back. */
static void let_live(struct short_lives *lives, unsigned until) {
    while (lives->begun < until) {
        for (unsigned i = 0; i < LIVES_TOGETHER && lives->begun < until; i++) {
            reap(lives, &lives->pids[i]);
            if (lives->pids[i])
                continue;
            struct short_life life = { .broker = lives->broker,
                                       .announced = lives->announced,
                                       .number = lives->begun++ };
            lives->pids[i] = worker_fork(live_shortly, &life);
        }
        if (lives->peer)
            peer_must(lives->peer, "enable key main k0");
        if (kb_current(lives->reader))
            atomic_store(lives->announced, kb_current(lives->reader)->ticket.generation);
        usleep(500);
    }
}

static void await_ends(struct short_lives *lives) {
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    while (lives->ended < lives->begun && scene_now_ms() < until) {
        for (unsigned i = 0; i < LIVES_TOGETHER; i++)
            reap(lives, &lives->pids[i]);
        usleep(500);
    }
    cr_assert_eq(lives->ended, lives->begun);
}

/* A broker with so many workers, after others that filled what it keeps at hand (each of the
 * ring's buffers once): what it has open, and its memory, are at the end what they were. */
static void serve_and_compare(struct short_lives *lives, unsigned count) {
    lives->peer = peer_open(lives->broker);
    for (unsigned i = 0; i < 64; i++)
        peer_must(lives->peer, "show info");
    let_live(lives, lives->begun + LIVES_AT_FIRST);
    await_ends(lives);
    EVENTUALLY(connections(lives->peer) == 0);
    unsigned descriptors = broker_descriptors(lives->broker) + 1; /* a commit may have one */
    long before_kib = broker_memory_kib(lives->broker, "RssAnon");
    let_live(lives, lives->begun + count);
    await_ends(lives);
    EVENTUALLY(connections(lives->peer) == 0);
    EVENTUALLY(broker_descriptors(lives->broker) <= descriptors);
    long after_kib = broker_memory_kib(lives->broker, "RssAnon");
    printf("processes: %u workers so far; the broker has %ld KiB after %ld, %u descriptors\n",
           lives->ended, after_kib, before_kib, broker_descriptors(lives->broker));
    fflush(stdout);
    cr_assert_leq(after_kib, before_kib + (scene_sanitized() ? 65536 : 512));
    peer_close(lives->peer);
    lives->peer = NULL;
}

TEST_BOTH_LOOPS(processes, short_lives_under_failovers_and_restarts_get_right_keys_and_leak_none) {
    unsigned workers = size_of(scene_sanitized() ? 200 : 600);
    struct short_lives lives = { .broker = b, .announced = worker_share(sizeof *lives.announced) };
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    peer_must(peer, "disable key main k3");
    lives.reader = worker_open(b, "main");
    serve_and_compare(&lives, workers / 3);
    double failovers =
        worker_metric(peer, "keybroker_reports_total{class=\"quota\",fate=\"applied\"}");
    cr_assert_gt(failovers, 0);
    let_live(&lives, lives.begun + LIVES_TOGETHER);
    broker_kill(b);
    let_live(&lives, lives.begun + LIVES_TOGETHER);
    broker_restart(b);
    serve_and_compare(&lives, workers / 3);
    let_live(&lives, lives.begun + LIVES_TOGETHER);
    cr_assert_eq(broker_stop(b), 0);
    let_live(&lives, lives.begun + LIVES_TOGETHER);
    broker_start(b, NULL);
    serve_and_compare(&lives, workers / 3);
    kb_close(lives.reader);
}

TEST_BOTH_LOOPS(processes, readers_may_be_closed_in_any_order) {
    enum { READERS = 24 };
    struct seed seed = seed_begin("processes");
    kb_reader *readers[READERS];
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    for (unsigned i = 0; i < READERS; i++)
        report_current(readers[i] = worker_open(b, "main"), KB_RATE);
    for (unsigned left = READERS; left; left--) {
        unsigned i = (unsigned)seed_below(&seed, left);
        if (left == READERS / 2)
            broker_kill(b); /* the rest without it */
        kb_close(readers[i]);
        readers[i] = readers[left - 1];
        for (unsigned k = 0; k < left - 1; k++)
            kb_current(readers[k]);
    }
}

/* ---- stopped and continued ---- */

TEST_BOTH_LOOPS(processes, stopped_in_the_middle_of_everything_and_continued) {
    enum { WORKERS = 4 };
    struct seed seed = seed_begin("processes");
    struct mirror *mirrors[WORKERS];
    unsigned rounds = size_of(1600) / 40;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    kb_reader *reader = worker_open(b, "main");
    uint64_t first = worker_key_id(peer, "main", "k0"), second = worker_key_id(peer, "main", "k1");
    for (unsigned i = 0; i < WORKERS; i++)
        mirrors[i] = mirror_start(b, "main");
    for (unsigned round = 0; round < rounds; round++) {
        struct mirror *stopped = mirrors[seed_below(&seed, WORKERS)];
        bool broker_too = seed_below(&seed, 3) == 0;
        EVENTUALLY(kb_current(reader) && kb_current(reader)->id == first);
        kill(stopped->pid, SIGSTOP);
        usleep((useconds_t)seed_below(&seed, 500));
        if (broker_too)
            broker_pause(b);
        kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
        cr_assert_str_eq(worker_current(reader), "k1", "the reader needs nobody");
        usleep((useconds_t)seed_below(&seed, 2000));
        if (broker_too)
            broker_continue(b);
        for (unsigned i = 0; i < WORKERS; i++)
            if (mirrors[i] != stopped)
                EVENTUALLY(atomic_load(&mirrors[i]->id) == second);
        kill(stopped->pid, SIGCONT);
        EVENTUALLY(atomic_load(&stopped->id) == second);
        peer_must(peer, "enable key main k0");
        for (unsigned i = 0; i < WORKERS; i++)
            EVENTUALLY(atomic_load(&mirrors[i]->id) == first);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        mirror_stop(mirrors[i]);
    kb_close(reader);
}

/* ---- forks, and threads ---- */

enum { THREADS = 4 };

struct threads {
    const struct broker *broker;
    _Atomic bool stop;
    _Atomic unsigned looks;
};

static void *read_on(void *argument) {
    struct threads *threads = argument;
    kb_reader *reader = worker_open(threads->broker, "main");
    while (!atomic_load(&threads->stop)) {
        kb_attempt attempt = KB_ATTEMPT_INIT;
        kb_next(reader, &attempt);
        report_current(reader, KB_SUCCESS);
        atomic_fetch_add(&threads->looks, 1);
    }
    return kb_close(reader);
}

/* In a child: the reader it was given, which the parent goes on with, and one of its own. */
static int read_in_child(const struct broker *broker, kb_reader *inherited, unsigned number) {
    kb_options options = KB_OPTIONS_INIT;
    kb_reader *own;
    options.runtime_dir = broker->runtime_dir;
    if (!kb_current(inherited) || kb_open(&own, "main", &options) != 0 || !kb_current(own))
        return 1;
    report_current(inherited, KB_NETWORK);
    report_current(own, KB_NETWORK);
    kb_close(number % 2 ? own : inherited);
    return kb_current(number % 2 ? inherited : own) ? 0 : 2;
}

TEST_BOTH_LOOPS(processes, a_storm_of_forks_beside_threads_disturbs_nobody) {
    unsigned forks = size_of(100);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    kb_reader *reader = worker_open(b, "main");
    report_current(reader, KB_SUCCESS);
    struct threads threads = { .broker = b };
    pthread_t ids[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&ids[i], NULL, read_on, &threads), 0);
    for (unsigned i = 0; i < forks; i++) {
        pid_t pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0)
            _exit(read_in_child(b, reader, i));
        cr_assert_not_null(kb_current(reader));
        cr_assert_eq(worker_wait(pid), 0, "child %u", i);
    }
    atomic_store(&threads.stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    cr_assert_gt(atomic_load(&threads.looks), forks);
    cr_assert_str_eq(worker_current(reader), "k0");
    kb_close(reader);
    EVENTUALLY(connections(peer) == 0);
}
