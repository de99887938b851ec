/*
 * See failover.h: the scenarios. Each plays a match (match.h) of the relay, a plain broker and the
 * broker of the scenario, which are two, in turns: so that what a scenario costs is the ratio of
 * two things measured in the same seconds.
 */
#include "failover.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "match.h"
#include "result.h"
#include "sample.h"
#include "waiters.h"

enum { PLAIN_KEYS = 4000, IDLE_MAX = 1000, ROUNDS = 10, QUICK_ROUNDS = 3, QUICK_FAILOVERS = 800 };
enum busy { NOTHING, IMPORTING, PUBLISHING, VIEWING };

struct scenario {
    const char *id, *what;
    const char *loop;
    unsigned keys;  /* 0 = as plain */
    unsigned pools; /* besides the one */
    unsigned benched, idle, waiters, storm;
    unsigned sync_delay_ms;
    enum busy busy;
    unsigned rounds;    /* 0 = ROUNDS */
    unsigned failovers; /* a round */
    unsigned turn;      /* 0 = 100 */
    unsigned pause_us;  /* 0 = 100 */
    bool plain;         /* there is nothing to compare it with but the relay */
    bool in_quick;
};

static const struct scenario QUIET[] = {
    { .id = "plain",
      .what = "plain",
      .loop = "io_uring",
      .failovers = 2000,
      .plain = true,
      .in_quick = true },
    { .id = "plain.epoll",
      .what = "plain",
      .loop = "epoll",
      .failovers = 2000,
      .plain = true,
      .in_quick = true },
    { .id = "keys", .what = "10,000 keys", .loop = "io_uring", .keys = 10000, .failovers = 1000 },
    { .id = "benched",
      .what = "past 9,000 benched keys",
      .loop = "io_uring",
      .keys = 10500,
      .benched = 9000,
      .failovers = 1000,
      .in_quick = true },
    { .id = "slow-disk",
      .what = "disk with 50 ms syncs",
      .loop = "io_uring",
      .sync_delay_ms = 50,
      .failovers = 1000 },
    { .id = "slow-disk.epoll",
      .what = "disk with 50 ms syncs",
      .loop = "epoll",
      .sync_delay_ms = 50,
      .failovers = 1000 },
    { .id = "idle",
      .what = "1,000 idle connections",
      .loop = "io_uring",
      .idle = 1000,
      .failovers = 1000 },
    { .id = "idle.epoll",
      .what = "1,000 idle connections",
      .loop = "epoll",
      .idle = 1000,
      .failovers = 1000 },
    { .id = "pools", .what = "1,000 pools", .loop = "io_uring", .pools = 999, .failovers = 1000 },
    { .id = "pools.epoll",
      .what = "1,000 pools",
      .loop = "epoll",
      .pools = 999,
      .failovers = 1000 },
};

/* Here the pauses are long: a reporter who goes on at once after a failover that had to wait counts
 * a long wait as one of many short ones, while one who comes at random moments meets it as often as
 * workers would. */
static const struct scenario BUSY[] = {
    { .id = "import",
      .what = "under imports of 10,000 keys",
      .loop = "io_uring",
      .busy = IMPORTING,
      .pause_us = 4000,
      .failovers = 120 },
    { .id = "publish",
      .what = "while 65,536 keys are published",
      .loop = "io_uring",
      .busy = PUBLISHING,
      .pause_us = 4000,
      .failovers = 120 },
    { .id = "viewers",
      .what = "under a viewer's worst, 65,536 keys",
      .loop = "io_uring",
      .busy = VIEWING,
      .pause_us = 4000,
      .failovers = 120 },
    { .id = "waiters",
      .what = "1,000 processes in kb_wait",
      .loop = "io_uring",
      .waiters = 1000,
      .pause_us = 40000, /* to wake them takes 20 ms of this processor */
      .turn = 50,
      .rounds = 3,
      .failovers = 100 },
    { .id = "storm",
      .what = "1,000 connections report it at once",
      .loop = "io_uring",
      .storm = 1000,
      .pause_us = 10000,
      .turn = 50,
      .rounds = 5,
      .failovers = 100 },
};

/* Bench the first keys of the order by reports, no faster than the broker takes them: what a reader
 * could not send it may forget. */
static void bench_first(struct rig *rig, const char *pool, unsigned count) {
    kb_reader *reader = rig_reader(rig, pool);
    for (unsigned i = 0; i < count; i++) {
        kb_health_info health = KB_HEALTH_INFO_INIT;
        const kb_key *key = kb_current(reader);
        if (!key)
            sample_die("pool %s is out of keys", pool);
        uint64_t id = key->id;
        kb_report(reader, key->ticket, KB_QUOTA, KB_NO_HINT);
        do {
            kb_health(reader, &health);
            key = kb_current(reader);
        } while (health.reports_pending > 0 || (key && key->id == id));
    }
    kb_close(reader);
    if (count > 0)
        sample_sleep_us(500000);
}

static void tell(const struct scenario *scenario, const struct match_entrant *entrant,
                 const struct match_entrant *relay, const struct match_entrant *plain) {
    char id[64], name[96];
    snprintf(id, sizeof id, "failover.%s", scenario->id);
    snprintf(name, sizeof name, "%s, %s", scenario->what, scenario->loop);
    result_add_latency(
        &(struct result_latency){ .id = id,
                                  .name = name,
                                  .unit = "us",
                                  .figures = &entrant->rounds,
                                  .references = &relay->rounds,
                                  .targets = { [RESULT_P50] = 1.4, [RESULT_P99] = 3 },
                                  .figure_targets = { [RESULT_P999] = 1000 },
                                  .limits = { [RESULT_P50] = 3 } });
    if (!plain)
        return;
    for (int i = RESULT_P50; i <= RESULT_P99; i += RESULT_P99 - RESULT_P50) {
        struct result_rounds figures = entrant->rounds, references = plain->rounds;
        bool median = i == RESULT_P50;
        snprintf(id, sizeof id, "failover.%s.unchanged.%s", scenario->id, median ? "p50" : "p99");
        snprintf(name, sizeof name, "%s, %s: %s, against plain", scenario->what, scenario->loop,
                 median ? "p50" : "p99");
        struct result result =
            result_against(id, name, "us", figures.at[i], references.at[i], figures.count);
        result.target = median ? 1.1 : 0;
        result_add(&result);
    }
}

static struct load *load_of(const struct scenario *scenario, struct rig *rig) {
    switch (scenario->busy) {
    case IMPORTING:
        return load_importing_new(rig);
    case PUBLISHING:
        return load_publishing_new(rig);
    case VIEWING:
        return load_viewing_new(rig);
    case NOTHING:
    default:
        return NULL;
    }
}

/* With the broker of the scenario set up; `plain_rig` NULL = compare with the relay only. */
static void play(const struct scenario *scenario, struct rig *rig, struct rig *plain_rig,
                 bool quick) {
    static struct match match;
    unsigned rounds = scenario->rounds ? scenario->rounds : ROUNDS;
    match = (struct match){ .rounds = quick ? QUICK_ROUNDS : rounds,
                            .failovers = quick ? QUICK_FAILOVERS : scenario->failovers,
                            .turn = scenario->turn ? scenario->turn : 100,
                            .pause_us = scenario->pause_us ? scenario->pause_us : 100 };
    match.warm_up = match.turn * 2;
    unsigned relay = match_add(&match, contestant_relay_new(false)), plain = relay;
    if (plain_rig)
        plain = match_add(&match, contestant_broker_new(plain_rig, "plain", false));
    unsigned own =
        match_add(&match, scenario->storm ? contestant_storm_new(rig, "pool", scenario->storm)
                                          : contestant_broker_new(rig, "pool", false));
    struct load *load = load_of(scenario, rig);
    match.entrants[own].load = load;
    match_play(&match);
    tell(scenario, &match.entrants[own], &match.entrants[relay],
         plain_rig ? &match.entrants[plain] : NULL);
    if (load && load_done(load) == 0)
        sample_die("there was no load");
    if (load)
        load_free(load);
}

static void measure(struct rig *rig, const struct scenario *scenario, bool quick) {
    static int idle[IDLE_MAX];
    struct rig plain_rig;
    struct waiters *waiters = NULL;
    bool compares = !scenario->plain && !quick;

    if (compares) {
        rig_open(&plain_rig, rig->build);
        rig_start(&plain_rig, scenario->loop);
        rig_make_pool(&plain_rig, "plain", "priority", PLAIN_KEYS, "");
    }
    rig->slow_disk_ready = scenario->sync_delay_ms > 0;
    rig_start(rig, scenario->loop);
    rig_make_pool(rig, "pool", "priority", scenario->keys ? scenario->keys : PLAIN_KEYS, "");
    for (unsigned i = 0; i < scenario->pools; i++) {
        char name[32];
        snprintf(name, sizeof name, "other%u", i);
        rig_make_pool(rig, name, "priority", 1, "");
    }
    bench_first(rig, "pool", scenario->benched);
    for (unsigned i = 0; i < scenario->idle; i++)
        idle[i] = rig_connect_report(rig, "pool");
    if (scenario->waiters)
        waiters = waiters_new(rig, "pool", scenario->waiters, false);
    rig_delay_syncs(rig, scenario->sync_delay_ms * 1000);
    uint64_t syncs = atomic_load(&rig->disk->syncs_begun);

    play(scenario, rig, compares ? &plain_rig : NULL, quick);

    if (scenario->sync_delay_ms && atomic_load(&rig->disk->syncs_begun) == syncs)
        sample_die("the slow disk was never used");
    rig_delay_syncs(rig, 0);
    rig->slow_disk_ready = false;
    if (waiters)
        waiters_free(waiters);
    for (unsigned i = 0; i < scenario->idle; i++)
        close(idle[i]);
    rig_close(rig); /* the next scenario shall not find this one's store */
    if (compares)
        rig_close(&plain_rig);
}

static void measure_all(const char *build, const struct scenario *scenarios, size_t count,
                        bool quick) {
    prctl(PR_SET_TIMERSLACK, 1);
    sample_pin(CPU_WORKING);
    for (size_t i = 0; i < count; i++) {
        if (quick && !scenarios[i].in_quick)
            continue;
        struct rig rig;
        rig_open(&rig, build);
        measure(&rig, &scenarios[i], quick);
    }
}

void failover_measure(struct rig *rig, bool quick) {
    result_section("report to another process's next key (reference: bare SEQPACKET relay)");
    measure_all(rig->build, QUIET, sizeof QUIET / sizeof *QUIET, quick);
}

void failover_measure_busy(struct rig *rig, bool quick) {
    result_section("the same from a broker that is busy, or with a crowd (reference: the relay)");
    measure_all(rig->build, BUSY, sizeof BUSY / sizeof *BUSY, quick);
}
