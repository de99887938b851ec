/*
 * Readers in processes of their own: waking, spreading, forking, expiry by the reader's own clock,
 * and pools that go away and come back.
 */
#include <criterion/criterion.h>

#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/worker.h"

/* ---- waiting ---- */

enum { SLEEPERS = 64 };

struct sleeper {
    const struct broker *broker;
    _Atomic bool ready;
    _Atomic uint64_t woken_to; /* the id of the key after kb_wait said that there is news */
    _Atomic int error;
};

static int sleep_once(void *argument) {
    struct sleeper *sleeper = argument;
    kb_reader *reader = worker_open(sleeper->broker, "main");
    const kb_key *key = kb_current(reader);
    uint64_t before = key ? key->id : 0;
    atomic_store(&sleeper->ready, true);
    for (;;) {
        int result = kb_wait(reader, SCENE_PATIENCE_MS);
        key = kb_current(reader);
        if (result < 1 || !key || key->id != before) {
            atomic_store(&sleeper->error, result < 1 ? -1 : kb_last_error(reader));
            atomic_store(&sleeper->woken_to, key ? key->id : UINT64_MAX);
            break;
        }
    }
    kb_close(reader);
    return 0;
}

static struct sleeper *go_to_sleep(const struct broker *broker, pid_t pids[SLEEPERS]) {
    struct sleeper *sleepers = worker_share(SLEEPERS * sizeof *sleepers);
    for (unsigned i = 0; i < SLEEPERS; i++) {
        sleepers[i].broker = broker;
        pids[i] = worker_fork(sleep_once, &sleepers[i]);
    }
    for (unsigned i = 0; i < SLEEPERS; i++)
        EVENTUALLY(atomic_load(&sleepers[i].ready));
    return sleepers;
}

static void expect_woken(const struct sleeper *sleepers, const pid_t pids[SLEEPERS], uint64_t id) {
    for (unsigned i = 0; i < SLEEPERS; i++) {
        cr_assert_eq(worker_wait(pids[i]), 0);
        cr_assert_eq(atomic_load(&sleepers[i].woken_to), id, "sleeper %u: error %d", i,
                     atomic_load(&sleepers[i].error));
    }
}

TEST_BOTH_LOOPS(readers, a_failover_wakes_64_sleeping_processes) {
    pid_t pids[SLEEPERS];
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    struct sleeper *sleepers = go_to_sleep(b, pids);
    kb_reader *reader = worker_open(b, "main");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    expect_woken(sleepers, pids, worker_key_id(peer, "main", "k1"));
    kb_close(reader);
}

TEST_BOTH_LOOPS(readers, a_change_of_order_wakes_them_and_so_does_the_end_of_a_pool) {
    pid_t pids[SLEEPERS];
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    struct sleeper *sleepers = go_to_sleep(b, pids);
    peer_must(peer, "move key main k1 first");
    expect_woken(sleepers, pids, worker_key_id(peer, "main", "k1"));
    sleepers = go_to_sleep(b, pids);
    peer_must(peer, "delete pool main confirm=main");
    expect_woken(sleepers, pids, UINT64_MAX);
    for (unsigned i = 0; i < SLEEPERS; i++)
        cr_assert_eq(atomic_load(&sleepers[i].error), KB_EDELETED);
}

/* ---- spreading ---- */

enum { PICKS = 60000 };

/* Key kN has the weight N + 1; the first `usable` ones are. */
static void expect_spread(kb_reader *reader, unsigned usable) {
    unsigned picks[10] = { 0 }, total = usable * (usable + 1) / 2;
    for (unsigned i = 0; i < PICKS; i++) {
        const kb_key *key = kb_current(reader);
        cr_assert_not_null(key);
        picks[(key->name[1] - '0') % 10]++;
    }
    for (unsigned i = 0; i < 10; i++) {
        double share = i < usable ? (double)PICKS * (i + 1) / total : 0;
        cr_assert_geq(picks[i], 0.9 * share, "key %u", i);
        cr_assert_leq(picks[i], 1.1 * share, "key %u", i);
    }
}

TEST_BOTH_LOOPS(readers, picks_are_spread_by_weight_among_the_usable_keys) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 5);
    for (unsigned i = 0; i < 5; i++)
        peer_must(peer, "set key main k%u weight=%u", i, i + 1);
    peer_must(peer, "set pool main strategy=spread");
    kb_reader *reader = worker_open(b, "main"), *other = worker_open(b, "main");
    expect_spread(reader, 5);
    kb_ticket last = { .id = worker_key_id(peer, "main", "k4"),
                       .generation = kb_current(other)->ticket.generation };
    broker_pause(b);
    cr_assert_eq(kb_report(other, last, KB_QUOTA, KB_NO_HINT), KB_NEXT_KEY);
    expect_spread(other, 4);
    expect_spread(reader, 5);
    broker_continue(b);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k4"), "exceeded") == 0);
    expect_spread(reader, 4);
    expect_spread(other, 4);
    kb_close(reader);
    kb_close(other);
}

/* ---- forking ---- */

struct forked {
    kb_reader *reader;
    _Atomic uint64_t saw;
};

static int report_from_child(void *argument) {
    struct forked *forked = argument;
    const kb_key *key = kb_current(forked->reader);
    if (!key || kb_report(forked->reader, key->ticket, KB_QUOTA, KB_NO_HINT) != KB_NEXT_KEY)
        return 1;
    key = kb_current(forked->reader);
    atomic_store(&forked->saw, key ? key->id : 0);
    return 0;
}

TEST_BOTH_LOOPS(readers, a_forked_child_reads_on_and_reports_on_a_connection_of_its_own) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    struct forked *forked = worker_share(sizeof *forked);
    forked->reader = worker_open(b, "main");
    kb_report(forked->reader, kb_current(forked->reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
    pid_t child = worker_fork(report_from_child, forked);
    cr_assert_eq(worker_wait(child), 0);
    cr_assert_eq(atomic_load(&forked->saw), worker_key_id(peer, "main", "k2"));
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k1"), "exceeded") == 0);
    EVENTUALLY(strcmp(worker_current(forked->reader), "k2") == 0);
    /* The parent's connection is whole, and was not used by the child. */
    kb_report(forked->reader, kb_current(forked->reader)->ticket, KB_INVALID, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k2"), "error") == 0);
    EVENTUALLY(worker_metric(peer, "keybroker_connections{socket=\"report\"}") == 1);
    peer_must(peer, "set key main k3 note=x"); /* the events are stored before this */
    const char *by_child = scene_text("pid=%d", (int)child);
    const char *by_parent = scene_text("pid=%d", (int)getpid());
    struct answer *events = peer_must(peer, "json show events key=k1 pool=main");
    cr_assert_not_null(strstr(events->body, by_child), "%s", events->body);
    events = peer_must(peer, "json show events key=k2 pool=main");
    cr_assert_not_null(strstr(events->body, by_parent), "%s", events->body);
    kb_close(forked->reader);
}

/* ---- deleted and made again ---- */

TEST_BOTH_LOOPS(readers, a_deleted_pool_is_told_and_one_of_the_same_name_is_followed) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    kb_reader *reader = NULL;
    for (unsigned i = 0; i < 3; i++) {
        worker_make_pool(peer, "main", 2 + i);
        if (!reader)
            reader = worker_open(b, "main");
        EVENTUALLY(strcmp(worker_current(reader), "k0") == 0);
        kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
        EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
        cr_assert_str_eq(worker_current(reader), "k1");
        kb_ticket old = kb_current(reader)->ticket;
        peer_must(peer, "delete pool main confirm=main");
        cr_assert_null(kb_current(reader));
        cr_assert_eq(kb_last_error(reader), KB_EDELETED);
        cr_assert_eq(access(scene_text("%s/pools/main", b->runtime_dir), F_OK), -1);
        kb_report(reader, old, KB_QUOTA, KB_NO_HINT);
        kb_attempt attempt = KB_ATTEMPT_INIT;
        cr_assert_null(kb_next(reader, &attempt));
    }
    kb_close(reader);
}

TEST_BOTH_LOOPS(readers, a_pool_deleted_while_they_were_not_looking_and_the_broker_restarted) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    worker_make_pool(peer, "other", 2);
    kb_reader *reader = worker_open(b, "main"), *other = worker_open(b, "other");
    cr_assert_str_eq(worker_current(reader), "k0");
    cr_assert_str_eq(worker_current(other), "k0");
    uint64_t before = kb_current(other)->ticket.generation;
    peer_must(peer, "delete pool main confirm=main");
    broker_restart(b);
    peer = peer_open(b);
    cr_assert_null(kb_current(reader));
    cr_assert_eq(kb_last_error(reader), KB_EDELETED);
    worker_make_pool(peer, "main", 3);
    EVENTUALLY(strcmp(worker_current(reader), "k0") == 0);
    cr_assert_gt(kb_current(reader)->ticket.generation, before);
    cr_assert_gt(kb_current(other)->ticket.generation, before, "a start ends with a new one");
    kb_close(reader);
    kb_close(other);
}

/* ---- expiry ---- */

static int64_t wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct strict {
    const struct broker *broker;
    _Atomic bool ready;
    _Atomic int64_t latest_ms; /* of the expired key, after its expiry */
};

/* Ask until well after the expiry. */
static int look_until_expired(void *argument) {
    struct strict *strict = argument;
    kb_reader *reader = worker_open(strict->broker, "main");
    const kb_key *key = kb_current(reader);
    int64_t expires_ms = key ? key->expires_at_ms : 0;
    if (!expires_ms)
        return 1;
    atomic_store(&strict->ready, true);
    for (;;) {
        int64_t before_ms = wall_ms();
        key = kb_current(reader);
        if (!key)
            return 2;
        if (key->expires_at_ms == expires_ms)
            atomic_store(&strict->latest_ms, before_ms - expires_ms);
        if (before_ms > expires_ms + 1200)
            break;
        scene_sleep_ms(1);
    }
    int code = strcmp(key->name, "k1") == 0 ? 0 : 3;
    kb_close(reader);
    return code;
}

TEST_BOTH_LOOPS(readers, an_expired_key_is_not_handed_out_whatever_the_broker_does) {
    enum { ALIVE, PAUSED, KILLED, WAYS };
    struct broker *brokers[WAYS] = { b, broker_new(b->loop), broker_new(b->loop) };
    struct strict *strict = worker_share(WAYS * sizeof *strict);
    pid_t pids[WAYS];
    for (unsigned i = 0; i < WAYS; i++) {
        broker_start(brokers[i], NULL);
        struct peer *peer = peer_open(brokers[i]);
        worker_make_pool(peer, "main", 2);
        peer_must(peer, "set key main k0 expires=+2s");
        strict[i].broker = brokers[i];
        strict[i].latest_ms = INT64_MIN;
        pids[i] = worker_fork(look_until_expired, &strict[i]);
        EVENTUALLY(atomic_load(&strict[i].ready));
    }
    broker_pause(brokers[PAUSED]);
    broker_kill(brokers[KILLED]);
    for (unsigned i = 0; i < WAYS; i++) {
        cr_assert_eq(worker_wait(pids[i]), 0);
        cr_assert_leq(atomic_load(&strict[i].latest_ms), 1000);
        cr_assert_gt(atomic_load(&strict[i].latest_ms), -1000, "it was handed out until then");
    }
    broker_continue(brokers[PAUSED]);
}
