/*
 * kill -9: a broker dies at a random moment, hundreds of times, under admin changes and reports,
 * and is started again on the same directories. Whatever it acknowledged is there, in order, and
 * the workers never notice: no answer lost, no key torn, no generation going back, the same board.
 *
 * KEYBROKER_KILL_ROUNDS sets how often; KEYBROKER_TEST_SEED repeats a run's random choices (not the
 * machine's timing).
 */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/crowd.h"
#include "tests/support/disk.h"
#include "tests/support/onlooker.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/seed.h"

enum {
    ROUNDS = 500,
    ROUNDS_SANITIZED = 60,
    ONLOOKERS = 16,
    LIFE_MOST_US = 50 * 1000, /* under changes, then it is killed */
    LIFE_MOST_SANITIZED_US = 300 * 1000,
    BIRTH_MOST_US = 6 * 1000, /* killed while it starts */
};

/* The last one is the pool whose keys are reported. */
static const char *const POOLS[] = { "alpha", "beta", "gamma", "busy", NULL };

struct kill_test {
    struct broker *broker;
    struct slow_disk *disk;
    struct seed seed;
    struct crowd crowd;
    struct onlooker *onlookers[ONLOOKERS];
    unsigned killed_at_birth;
};

static unsigned rounds(void) {
    const char *wanted = getenv("KEYBROKER_KILL_ROUNDS");
    if (wanted)
        return (unsigned)strtoul(wanted, NULL, 10);
    return scene_sanitized() ? ROUNDS_SANITIZED : ROUNDS;
}

/* ---- setting up ---- */

static void make_pools(struct kill_test *test) {
    struct peer *peer = peer_open(test->broker);
    for (unsigned i = 0; POOLS[i]; i++) {
        struct seed seed = { seed_next(&test->seed) };
        struct oracle *oracle = &test->crowd.clients[i].oracle;
        oracle_init(oracle, POOLS[i], POOLS[i + 1] == NULL, seed);
        peer_must_with(peer, oracle_first_key(oracle), "add pool %s vendor=openai guard=off",
                       POOLS[i]);
        const struct answer *shown = peer_must(peer, "json show keys %s", POOLS[i]);
        peer_must(peer, "set key %s %s name=default", POOLS[i],
                  answer_string(shown, "keys.0.name"));
        test->crowd.count++;
    }
    peer_close(peer);
}

static void start_onlookers(struct kill_test *test) {
    /* The last two report: the same keys, against each other. */
    for (unsigned i = 0; i < ONLOOKERS; i++) {
        enum onlooker_task task = i >= ONLOOKERS - 2 ? ONLOOKER_REPORTS
                                  : i % 4 == 3       ? ONLOOKER_REOPENS
                                                     : ONLOOKER_READS;
        test->onlookers[i] = onlooker_start(task, test->broker->runtime_dir, POOLS);
        cr_assert_not_null(test->onlookers[i]);
    }
}

/* ---- a round ---- */

static void check_onlookers(const struct kill_test *test, unsigned round) {
    for (unsigned i = 0; i < ONLOOKERS; i++)
        cr_assert_not(atomic_load(&test->onlookers[i]->failed), "round %u, onlooker %u: %s", round,
                      i, test->onlookers[i]->problem);
}

static void check_pools(struct kill_test *test, unsigned round) {
    struct peer *peer = peer_open(test->broker);
    for (unsigned i = 0; POOLS[i]; i++) {
        const struct answer *exported = peer_must(peer, "json export %s secrets=yes", POOLS[i]);
        const struct answer *shown = peer_must(peer, "json show keys %s", POOLS[i]);
        char *difference = NULL;
        unsigned sent = test->crowd.clients[i].oracle.sent;
        cr_assert(
            oracle_settle(&test->crowd.clients[i].oracle, exported->json, shown->json, &difference),
            "round %u, pool %s is none of the %u that it may be: %s", round, POOLS[i], sent + 1,
            difference);
    }
    peer_close(peer);
}

static void pause_us(uint64_t us) {
    usleep((useconds_t)us);
}

static void kill_at_birth(struct kill_test *test) {
    broker_spawn(test->broker, NULL);
    pause_us(seed_below(&test->seed, BIRTH_MOST_US));
    broker_kill(test->broker);
    test->killed_at_birth++;
}

/* On a slow disk the broker is more often killed in the middle of a commit. */
static void choose_disk(struct kill_test *test) {
    bool slow = seed_below(&test->seed, 3) == 0;
    atomic_store(&test->disk->sync_delay_us,
                 slow ? 1000 * (1 + (uint32_t)seed_below(&test->seed, 4)) : 0);
}

static void play(struct kill_test *test, unsigned round) {
    bool uring = scene_has_uring() && seed_below(&test->seed, 2);
    test->broker->loop = uring ? "io_uring" : "epoll";
    choose_disk(test);
    while (seed_below(&test->seed, 4) == 0)
        kill_at_birth(test);
    broker_spawn(test->broker, NULL);
    broker_wait_ready(test->broker);
    check_pools(test, round);
    cr_assert(crowd_connect(&test->crowd, test->broker->runtime_dir));
    uint64_t life_most_us = scene_sanitized() ? LIFE_MOST_SANITIZED_US : LIFE_MOST_US;
    bool understood = crowd_work(&test->crowd, seed_below(&test->seed, life_most_us));
    cr_assert(broker_is_running(test->broker), "round %u: the broker ended by itself", round);
    broker_kill(test->broker);
    cr_assert(crowd_disconnect(&test->crowd) && understood, "round %u: %s", round,
              test->crowd.problem);
    check_onlookers(test, round);
}

Test(kill, nothing_acknowledged_is_lost_and_no_reader_notices, .fini = scene_end, .timeout = 7200) {
    struct kill_test *test = calloc(1, sizeof *test);
    cr_assert_not_null(test);
    test->seed = test->crowd.seed = seed_begin("kill");
    test->broker = scene_begin("epoll");
    test->disk = disk_new(test->broker, test->broker->state_dir);
    broker_start(test->broker, NULL);
    make_pools(test);
    start_onlookers(test);
    broker_kill(test->broker);
    unsigned count = rounds();
    for (unsigned round = 1; round <= count; round++)
        play(test, round);
    broker_spawn(test->broker, NULL);
    broker_wait_ready(test->broker);
    check_pools(test, count + 1);
    uint64_t looks = 0, reports = 0;
    for (unsigned i = 0; i < ONLOOKERS; i++) {
        struct onlooker *onlooker = test->onlookers[i];
        cr_assert(onlooker_stop(onlooker), "onlooker %u: %s", i, onlooker->problem);
        cr_assert_gt(onlooker->switches, count / 10, "onlooker %u", i);
        looks += onlooker->looks;
        reports += onlooker->reports;
    }
    printf("%u rounds, %u more killed while starting, %llu changes acknowledged; %u workers: "
           "%llu looks, %llu reports\n",
           count, test->killed_at_birth, (unsigned long long)test->crowd.acknowledged, ONLOOKERS,
           (unsigned long long)looks, (unsigned long long)reports);
    fflush(stdout);
    cr_assert(reports > 0 || scene_sanitized(),
              "a sanitized one may be killed before it hears any");
    cr_assert_gt(test->crowd.acknowledged, scene_sanitized() ? 0 : count);
    cr_assert_eq(broker_stop(test->broker), 0);
    for (unsigned i = 0; i < ONLOOKERS; i++)
        onlooker_free(test->onlookers[i]);
    free(test);
    scene_passed();
}
