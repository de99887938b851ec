/*
 * Failover between real processes: what one worker reports, every other one sees, and nothing else.
 * Each test runs on both event loops.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/disk.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/worker.h"

/* Report the key that is current now. */
static kb_verdict report_current(kb_reader *reader, kb_outcome outcome, uint64_t hint_ms) {
    const kb_key *key = kb_current(reader);
    cr_assert_not_null(key);
    return kb_report(reader, key->ticket, outcome, hint_ms);
}

static void expect_status(struct peer *peer, const char *pool, const char *key,
                          const char *status) {
    EVENTUALLY(strcmp(peer_key_status(peer, pool, key), status) == 0);
}

TEST_BOTH_LOOPS(failover, a_report_in_one_process_moves_all_others_to_the_next_key) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    struct mirror *mirrors[3];
    for (int i = 0; i < 3; i++)
        mirrors[i] = mirror_start(b, "main");
    kb_reader *reader = worker_open(b, "main");
    static const kb_outcome OUTCOMES[] = { KB_QUOTA, KB_INVALID, KB_RATE };
    static const char *const STATUSES[] = { "exceeded", "error", "cooling" };
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_str_eq(worker_current(reader), scene_text("k%u", i));
        cr_assert_eq(report_current(reader, OUTCOMES[i], 60000), KB_NEXT_KEY);
        uint64_t next = worker_key_id(peer, "main", scene_text("k%u", i + 1));
        for (int j = 0; j < 3; j++)
            EVENTUALLY(atomic_load(&mirrors[j]->id) == next);
        expect_status(peer, "main", scene_text("k%u", i), STATUSES[i]);
    }
    cr_assert_eq(worker_metric(peer, "keybroker_failovers_total{pool=\"main\"}"), 3);
    report_current(reader, KB_INVALID, KB_NO_HINT);
    for (int j = 0; j < 3; j++) {
        EVENTUALLY(atomic_load(&mirrors[j]->id) == 0);
        cr_assert_eq(atomic_load(&mirrors[j]->error), KB_EEXHAUSTED);
        mirror_stop(mirrors[j]);
    }
    kb_close(reader);
}

TEST_BOTH_LOOPS(failover, a_used_up_account_is_benched_in_every_pool_of_its_vendor) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "one", 3);
    worker_make_pool(peer, "two", 3);
    peer_must(peer, "set key one k0 account=acme");
    peer_must(peer, "set key two k0 account=acme");
    peer_must(peer, "set key two k1 account=acme");
    struct mirror *mirror = mirror_start(b, "two");
    kb_reader *reader = worker_open(b, "one");
    cr_assert_eq(report_current(reader, KB_QUOTA, KB_NO_HINT), KB_NEXT_KEY);
    uint64_t next = worker_key_id(peer, "two", "k2");
    EVENTUALLY(atomic_load(&mirror->id) == next);
    expect_status(peer, "two", "k0", "exceeded");
    expect_status(peer, "two", "k1", "exceeded");
    expect_status(peer, "one", "k0", "exceeded");
    cr_assert_str_eq(peer_key_status(peer, "one", "k1"), "normal");
    /* A key that the vendor refuses says nothing about its account. */
    peer_must(peer, "enable key two k0");
    peer_must(peer, "enable key one k0");
    EVENTUALLY(strcmp(worker_current(reader), "k0") == 0);
    report_current(reader, KB_INVALID, KB_NO_HINT);
    expect_status(peer, "one", "k0", "error");
    cr_assert_str_eq(peer_key_status(peer, "two", "k0"), "normal");
    mirror_stop(mirror);
    kb_close(reader);
}

/* Rate limits of two accounts, seen in one pool, take all keys of another. */
TEST_BOTH_LOOPS(failover, a_guard_that_another_pools_reports_switch_on_does_not_wait_for_the_disk) {
    struct slow_disk *disk = disk_new(b, b->state_dir);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "here", 3);
    worker_make_pool(peer, "there", 2);
    peer_must(peer, "set pool there guard=on"); /* those of worker_make_pool have none */
    for (unsigned i = 0; i < 2; i++) {
        peer_must(peer, "set key here k%u account=a%u", i, i);
        peer_must(peer, "set key there k%u account=a%u", i, i);
    }
    kb_reader *here = worker_open(b, "here"), *there = worker_open(b, "there");
    atomic_store(&disk->hold, 1);
    report_current(here, KB_RATE, KB_NO_HINT);
    EVENTUALLY(strcmp(worker_current(there), "k1") == 0);
    report_current(here, KB_RATE, KB_NO_HINT);
    kb_health_info health = KB_HEALTH_INFO_INIT;
    EVENTUALLY(kb_health(there, &health) == 0 && health.guarded);
    cr_assert_eq(kb_health(here, &health), 0);
    cr_assert_not(health.guarded);
    atomic_store(&disk->hold, 0);
    kb_close(here);
    kb_close(there);
}

TEST_BOTH_LOOPS(failover, a_cooled_key_comes_back_by_itself_with_and_without_the_broker) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    uint64_t first = worker_key_id(peer, "main", "k0");
    uint64_t second = worker_key_id(peer, "main", "k1");
    struct mirror *mirror = mirror_start(b, "main");
    kb_reader *reader = worker_open(b, "main");
    for (int paused = 0; paused < 2; paused++) {
        report_current(reader, KB_RATE, scene_sanitized() ? 2000 : 400);
        EVENTUALLY(atomic_load(&mirror->id) == second);
        if (paused)
            broker_pause(b);
        cr_assert_eq(kb_recovers_in_ms(reader), 0, "the second key is usable");
        EVENTUALLY(atomic_load(&mirror->id) == first);
        EVENTUALLY(strcmp(worker_current(reader), "k0") == 0);
    }
    broker_continue(b);
    expect_status(peer, "main", "k0", "normal");
    mirror_stop(mirror);
    kb_close(reader);
}

TEST_BOTH_LOOPS(failover, a_report_from_before_an_enable_changes_nothing) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    kb_reader *slow = worker_open(b, "main"), *quick = worker_open(b, "main");
    kb_ticket old = kb_current(slow)->ticket;
    report_current(quick, KB_INVALID, KB_NO_HINT);
    expect_status(peer, "main", "k0", "error");
    peer_must(peer, "enable key main k0");
    kb_report(slow, old, KB_INVALID, KB_NO_HINT);
    kb_report(slow, old, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(worker_metric(peer, "keybroker_reports_total{class=\"invalid\",fate=\"stale\"}") +
                   worker_metric(peer, "keybroker_reports_total{class=\"quota\",fate=\"stale\"}") ==
               2);
    cr_assert_str_eq(peer_key_status(peer, "main", "k0"), "normal");
    EVENTUALLY(strcmp(worker_current(slow), "k0") == 0);
    /* A rotated secret is not condemned by a failure of the old one. */
    kb_ticket rotated = kb_current(slow)->ticket;
    peer_must_with(peer, "{\"api_key\":\"sk-k0-rotated\"}", "set key main k0 config=merge");
    kb_report(slow, rotated, KB_INVALID, KB_NO_HINT);
    EVENTUALLY(worker_metric(peer, "keybroker_reports_total{class=\"invalid\",fate=\"stale\"}") ==
               2);
    EVENTUALLY(strcmp(worker_current(slow), "k0") == 0);
    cr_assert_str_eq(kb_current(slow)->api_key, "sk-k0-rotated");
    kb_close(slow);
    kb_close(quick);
}

TEST_BOTH_LOOPS(failover, the_reporting_reader_needs_no_broker) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    kb_reader *reader = worker_open(b, "main");
    kb_reader *other = worker_open(b, "main");
    broker_pause(b);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_str_eq(worker_current(reader), scene_text("k%u", i));
        cr_assert_eq(report_current(reader, i == 1 ? KB_RATE : KB_QUOTA, KB_NO_HINT), KB_NEXT_KEY);
    }
    cr_assert_str_eq(worker_current(reader), "k3");
    cr_assert_str_eq(worker_current(other), "k0");
    broker_continue(b);
    EVENTUALLY(strcmp(worker_current(other), "k3") == 0);
    expect_status(peer, "main", "k0", "exceeded");
    expect_status(peer, "main", "k1", "cooling");
    kb_close(reader);
    kb_close(other);
}

TEST_BOTH_LOOPS(failover, reports_that_could_not_be_sent_arrive_after_a_restart) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    kb_reader *reader = worker_open(b, "main");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    expect_status(peer, "main", "k0", "exceeded");
    EVENTUALLY(strcmp(worker_current(reader), "k1") == 0);
    peer_must(peer, "set key main k3 note=stored"); /* and with it what was reported before */
    broker_kill(b);
    kb_ticket second = kb_current(reader)->ticket;
    kb_health_info health = KB_HEALTH_INFO_INIT;
    /* The kernel may close a dead broker's sockets a moment after its end; what is sent until then
     * is lost. */
    do {
        cr_assert_eq(kb_report(reader, second, KB_RATE, 60000), KB_NEXT_KEY);
        cr_assert_eq(kb_health(reader, &health), 0);
    } while (health.reports_pending == 0);
    cr_assert_eq(kb_report(reader, second, KB_RATE, 90000), KB_NEXT_KEY);
    cr_assert_eq(kb_report(reader, kb_current(reader)->ticket, KB_INVALID, 0), KB_NEXT_KEY);
    cr_assert_str_eq(worker_current(reader), "k3");
    cr_assert_eq(kb_health(reader, &health), 0);
    cr_assert_eq(health.reports_pending, 2, "one for each key");
    broker_restart(b);
    EVENTUALLY(kb_wait(reader, 20) >= 0 && kb_health(reader, &health) == 0 &&
               health.reports_pending == 0);
    peer = peer_open(b);
    expect_status(peer, "main", "k1", "cooling");
    expect_status(peer, "main", "k2", "error");
    cr_assert_str_eq(peer_key_status(peer, "main", "k0"), "exceeded");
    cr_assert_eq(worker_metric(peer, "keybroker_reports_total{class=\"rate\",fate=\"applied\"}"), 2,
                 "coalesced, and both were counted");
    kb_close(reader);
}

TEST_BOTH_LOOPS(failover, many_requests_in_flight_on_one_reader_do_not_disturb_each_other) {
    enum { REQUESTS = 40, KEYS = 5 };
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", KEYS);
    kb_reader *reader = worker_open(b, "main");
    kb_attempt attempts[REQUESTS];
    kb_ticket tickets[REQUESTS];
    uint64_t ids[KEYS];
    for (unsigned i = 0; i < KEYS; i++)
        ids[i] = worker_key_id(peer, "main", scene_text("k%u", i));
    for (unsigned i = 0; i < REQUESTS; i++)
        attempts[i] = (kb_attempt)KB_ATTEMPT_INIT;
    /* Every key fails under all of them, but the last one. */
    for (unsigned try = 0; try < KEYS; try++) {
        for (unsigned i = 0; i < REQUESTS; i++) {
            const kb_key *key = kb_next(reader, &attempts[i]);
            cr_assert_not_null(key, "try %u of request %u", try, i);
            cr_assert_eq(key->id, ids[try], "try %u of request %u", try, i);
            tickets[i] = key->ticket;
        }
        for (unsigned i = 0; i < REQUESTS && try < KEYS - 1; i++)
            cr_assert_eq(kb_report(reader, tickets[i], KB_QUOTA, KB_NO_HINT), KB_NEXT_KEY);
    }
    kb_attempt last = attempts[0];
    cr_assert_null(kb_next(reader, &last));
    cr_assert_eq(kb_last_error(reader), KB_ETRIED);
    expect_status(peer, "main", "k3", "exceeded");
    cr_assert_str_eq(peer_key_status(peer, "main", "k4"), "normal");
    EVENTUALLY(worker_metric(peer, "keybroker_reports_total{class=\"quota\",fate=\"applied\"}") ==
               4);
    cr_assert_eq(worker_metric(peer, "keybroker_failovers_total{pool=\"main\"}"), KEYS - 1);
    kb_close(reader);
}

/* ---- endpoints ---- */

static void make_two_endpoints(struct peer *peer) {
    worker_make_pool(peer, "main", 2);
    peer_must_with(peer, "{\"base_url\":\"https://one.example/v1\"}",
                   "set key main k0 config=merge");
}

static double successes_heard(struct peer *peer) {
    return worker_metric(peer, "keybroker_reports_total{class=\"success\",fate=\"unchanged\"}");
}

/* Three workers see one failure each; a fourth, which saw none, is answered well between them. */
TEST_BOTH_LOOPS(failover, a_few_failures_among_many_good_answers_cost_an_endpoint_nothing) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    make_two_endpoints(peer);
    kb_reader *content = worker_open(b, "main");
    kb_reader *unlucky[4];
    for (unsigned i = 0; i < 4; i++) {
        unlucky[i] = worker_open(b, "main");
        double heard = successes_heard(peer);
        report_current(unlucky[i], KB_OVERLOAD, KB_NO_HINT);
        EVENTUALLY(report_current(content, KB_SUCCESS, 0) == KB_OK &&
                   successes_heard(peer) > heard);
        cr_assert_str_eq(peer_key_status(peer, "main", "k0"), "normal", "after failure %u", i);
    }
    double heard = successes_heard(peer);
    scene_sleep_ms(110);
    for (unsigned i = 0; i < 100; i++)
        report_current(content, KB_SUCCESS, 0);
    cr_assert_eq(successes_heard(peer), heard, "nobody asks any more");
    kb_ticket first = kb_current(content)->ticket;
    for (unsigned i = 0; i < 3; i++)
        kb_report(unlucky[i], first, KB_OVERLOAD, KB_NO_HINT);
    expect_status(peer, "main", "k0", "cooling");
    for (unsigned i = 0; i < 4; i++)
        kb_close(unlucky[i]);
    kb_close(content);
}

TEST_BOTH_LOOPS(failover, a_dead_endpoint_is_left_at_once_also_without_the_broker) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    make_two_endpoints(peer);
    kb_reader *reader = worker_open(b, "main");
    broker_pause(b);
    cr_assert_str_eq(worker_current(reader), "k0");
    cr_assert_eq(report_current(reader, KB_NETWORK, KB_NO_HINT), KB_NEXT_KEY);
    cr_assert_str_eq(worker_current(reader), "k1", "a worker that never calls kb_next");
    broker_continue(b);
    kb_close(reader);
}

/* ---- in flight together ---- */

struct flight {
    const struct broker *broker;
    kb_ticket ticket;
    unsigned turn;
};

static int report_in_turn(void *argument) {
    static const struct {
        kb_outcome outcome;
        uint64_t hint_ms;
    } NEWS[] = { { KB_RATE, 20000 }, { KB_QUOTA, KB_NO_HINT }, { KB_RATE, 3600000 },
                 { KB_SUCCESS, 0 },  { KB_REQUEST, 0 },        { KB_OVERLOAD, 0 },
                 { KB_RATE, 50 },    { KB_NETWORK, 0 } };
    struct flight *flight = argument;
    kb_reader *reader = worker_open(flight->broker, "main");
    for (unsigned i = 0; i < 8; i++) {
        unsigned n = (i + flight->turn) % 8;
        kb_report(reader, flight->ticket, NEWS[n].outcome, NEWS[n].hint_ms);
    }
    kb_close(reader);
    return 0;
}

TEST_BOTH_LOOPS(failover, reports_in_flight_together_add_up_to_the_worst) {
    enum { WORKERS = 8 };
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    kb_reader *reader = worker_open(b, "main");
    struct flight flight = { .broker = b, .ticket = kb_current(reader)->ticket };
    pid_t workers[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        flight.turn = i;
        workers[i] = worker_fork(report_in_turn, &flight);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        cr_assert_eq(worker_wait(workers[i]), 0);
    expect_status(peer, "main", "k0", "exceeded");
    /* Longest deadline wins. */
    kb_ticket second = { 0 };
    EVENTUALLY(kb_current(reader) &&
               (second = kb_current(reader)->ticket).id == worker_key_id(peer, "main", "k1"));
    kb_report(reader, second, KB_RATE, 5000);
    kb_report(reader, second, KB_RATE, 7200000);
    kb_report(reader, second, KB_RATE, 100);
    EVENTUALLY(worker_metric(peer, "keybroker_reports_total{class=\"rate\",fate=\"unchanged\"}") >
               0);
    peer_must(peer, "disable key main k2");
    peer_must(peer, "set key main k0 note=x");
    scene_sleep_ms(150);
    cr_assert_str_eq(peer_key_status(peer, "main", "k1"), "cooling");
    cr_assert_str_eq(peer_key_status(peer, "main", "k0"), "exceeded");
    EVENTUALLY(!kb_current(reader));
    cr_assert_gt(kb_recovers_in_ms(reader), 3600000);
    cr_assert_leq(kb_recovers_in_ms(reader), 7200000);
    kb_close(reader);
}

/* ---- the disk ---- */

TEST_BOTH_LOOPS(failover, a_failover_does_not_wait_for_the_disk) {
    struct slow_disk *disk = disk_new(b, b->state_dir);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    uint64_t ids[4];
    for (unsigned i = 0; i < 4; i++)
        ids[i] = worker_key_id(peer, "main", scene_text("k%u", i));
    struct mirror *mirror = mirror_start(b, "main");
    kb_reader *reader = worker_open(b, "main");
    cr_assert_gt(atomic_load(&disk->syncs_begun), 0);
    EVENTUALLY(atomic_load(&disk->syncs_begun) == atomic_load(&disk->syncs_ended));
    atomic_store(&disk->hold, 1);
    peer_send(peer, "set key main k3 note=slow");
    EVENTUALLY(atomic_load(&disk->syncs_begun) > atomic_load(&disk->syncs_ended));
    uint64_t ended = atomic_load(&disk->syncs_ended);
    for (unsigned i = 0; i < 3; i++) {
        EVENTUALLY(kb_current(reader)->id == ids[i]);
        report_current(reader, KB_QUOTA, KB_NO_HINT);
        EVENTUALLY(atomic_load(&mirror->id) == ids[i + 1]);
    }
    cr_assert_eq(atomic_load(&disk->syncs_ended), ended, "no commit was waited for");
    cr_assert_null(peer_wait_line(peer, 20), "nothing is acknowledged that is not on the disk");
    atomic_store(&disk->hold, 0);
    cr_assert_eq(peer_read(peer)->code, 0);
    /* What the reports did reaches the disk after. */
    expect_status(peer, "main", "k2", "exceeded");
    peer_must(peer, "set key main k3 note=done");
    broker_restart(b);
    peer = peer_open(b);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_str_eq(peer_key_status(peer, "main", scene_text("k%u", i)), "exceeded");
    EVENTUALLY(atomic_load(&mirror->id) == ids[3]);
    mirror_stop(mirror);
    kb_close(reader);
}

TEST_BOTH_LOOPS(failover, a_longer_cooling_publishes_no_new_catalog) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    kb_reader *reader = worker_open(b, "main");
    kb_ticket ticket = kb_current(reader)->ticket;
    kb_report(reader, ticket, KB_RATE, 10000);
    expect_status(peer, "main", "k0", "cooling");
    const char *find = scene_text("ls %s/pools/main/catalog.* | tail -n 1", b->runtime_dir);
    char before[512] = "", after[512] = "";
    FILE *list = popen(find, "r");
    cr_assert(list && fread(before, 1, sizeof before - 1, list) > 0);
    pclose(list);
    kb_report(reader, ticket, KB_RATE, 60000);
    kb_report(reader, ticket, KB_PERMISSION, 0);
    EVENTUALLY(worker_metric(peer, "keybroker_reports_total{class=\"rate\",fate=\"extended\"}") ==
               1);
    double commits = worker_metric(peer, "keybroker_commits_total");
    EVENTUALLY(worker_metric(peer, "keybroker_commits_total") >= commits);
    scene_sleep_ms(50);
    list = popen(find, "r");
    cr_assert(list && fread(after, 1, sizeof after - 1, list) > 0);
    pclose(list);
    cr_assert_str_eq(before, after);
    kb_close(reader);
}

/* ---- beside many pools ---- */

enum { PRICED = 50, ROUNDS = 20, MANY_POOLS = 1000, AHEAD = 50 };

static uint64_t processor_ns(const struct broker *b) {
    char text[128] = "";
    FILE *file = fopen(scene_text("/proc/%d/schedstat", (int)b->pid), "re");
    if (file && !fgets(text, sizeof text, file))
        text[0] = '\0';
    if (file)
        fclose(file);
    return strtoull(text, NULL, 10);
}

static uint64_t generation_of(kb_reader *reader) {
    kb_health_info health = KB_HEALTH_INFO_INIT;
    cr_assert_eq(kb_health(reader, &health), 0);
    return health.generation;
}

/* What the event loop's thread spends on failovers that come one by one. */
static uint64_t price(const struct broker *b, kb_reader *reader) {
    uint64_t before = processor_ns(b);
    for (unsigned i = 0; i < PRICED; i++) {
        const kb_key *key = kb_current(reader);
        uint64_t generation = generation_of(reader);
        cr_assert_not_null(key);
        kb_report(reader, key->ticket, KB_QUOTA, KB_NO_HINT);
        int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
        while (generation_of(reader) == generation)
            cr_assert_lt(scene_now_ms(), until, "the report was lost");
    }
    return processor_ns(b) - before;
}

static kb_reader *make_priced_pool(struct broker *b) {
    broker_start(b, NULL);
    peer_make_large_pool(peer_open(b), "main", "k", ROUNDS * PRICED + 1);
    return worker_open(b, "main");
}

/* Each turn of the loop walked all pools, and did so several times. What a failover costs depends
 * on what else the machine does, so two brokers take turns, and the least of each counts: the
 * heartbeat does look after every pool, and falls into a round or two. */
TEST_BOTH_LOOPS(failover, it_costs_a_broker_of_many_pools_no_more_than_another) {
    struct broker *other = broker_new(b->loop);
    kb_reader *alone = make_priced_pool(other), *crowded = make_priced_pool(b);
    if (!processor_ns(b))
        cr_skip_test("the kernel does not say what a thread costs");
    struct peer *peer = peer_open(b);
    for (unsigned batch = 0; batch < MANY_POOLS; batch += AHEAD) {
        for (unsigned i = 0; i < AHEAD; i++)
            peer_send_payload(peer, "sk-1", 4, "add pool p%u vendor=openai", batch + i);
        for (unsigned i = 0; i < AHEAD; i++)
            if (peer_read(peer)->code)
                cr_skip_test("too few descriptors allowed");
    }
    uint64_t least_alone = UINT64_MAX, least_crowded = UINT64_MAX;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t ns = price(other, alone);
        least_alone = ns < least_alone ? ns : least_alone;
        ns = price(b, crowded);
        least_crowded = ns < least_crowded ? ns : least_crowded;
    }
    cr_assert_lt(least_crowded, 2 * least_alone, "%llu ns became %llu ns a failover",
                 (unsigned long long)least_alone / PRICED,
                 (unsigned long long)least_crowded / PRICED);
    kb_close(alone);
    kb_close(crowded);
}
