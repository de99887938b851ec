/*
 * See failover.h: beside what a user might take instead. Whoever is to see the next key sleeps in
 * all of these, which costs a wake-up that an observer who spins does not pay: so keybroker is here
 * twice, and the row that is like the peers' is the one whose observer sleeps in kb_wait.
 */
#include "failover.h"

#include <stdio.h>
#include <sys/prctl.h>

#include "match.h"
#include "peers.h"
#include "result.h"
#include "sample.h"

enum { KEYS = 2000, ROUNDS = 10, FAILOVERS = 1000, TURN = 100, PAUSE_US = 100 };
enum { POLLS = 50, POLL_ROUNDS = 3, POLL_PAUSE_US = 50000 };

static void tell(const char *id, const char *name, const struct match_entrant *entrant,
                 const struct match_entrant *reference) {
    result_add_latency(
        &(struct result_latency){ .id = id,
                                  .name = name,
                                  .unit = "us",
                                  .figures = &entrant->rounds,
                                  .references = reference ? &reference->rounds : NULL });
}

static unsigned add(struct match *match, struct contestant *contestant, const char *curve) {
    unsigned place = match_add(match, contestant);
    match->entrants[place].figure = "failover";
    match->entrants[place].curve = curve;
    return place;
}

static void measure_pushing(struct rig *rig, const char *redis, bool quick) {
    static struct match match;
    match = (struct match){ .rounds = quick ? 1 : ROUNDS,
                            .failovers = FAILOVERS,
                            .turn = TURN,
                            .warm_up = 2 * TURN,
                            .pause_us = PAUSE_US };
    unsigned relay = add(&match, contestant_relay_new(false), "relay, observer spins");
    unsigned spins = add(&match, contestant_broker_new(rig, "spins", false), "keybroker, spins");
    unsigned futex = add(&match, contestant_relay_new(true), "relay, observer in a futex");
    unsigned sleeps = add(&match, contestant_broker_new(rig, "sleeps", true), "keybroker, kb_wait");
    unsigned file = add(&match, contestant_file_new(rig->runtime), "a file and inotify");
    unsigned pubsub =
        redis ? add(&match, contestant_redis_new(redis, false), "Redis publish/subscribe") : 0;
    match_play(&match);
    const struct match_entrant *entrants = match.entrants;
    tell("peers.keybroker.spins", "keybroker, observer spins, against the relay's",
         &entrants[spins], &entrants[relay]);
    tell("peers.keybroker.sleeps", "keybroker, in kb_wait, against the relay's in a futex",
         &entrants[sleeps], &entrants[futex]);
    tell("peers.file", "a file and inotify, against kb_wait", &entrants[file], &entrants[sleeps]);
    if (redis)
        tell("peers.redis.pubsub", "Redis publish/subscribe, against kb_wait", &entrants[pubsub],
             &entrants[sleeps]);
}

static void measure_polling(const char *redis) {
    static struct match match;
    match = (struct match){ .rounds = POLL_ROUNDS,
                            .failovers = POLLS,
                            .turn = POLLS,
                            .warm_up = 1,
                            .pause_us = POLL_PAUSE_US };
    unsigned poller = add(&match, contestant_redis_new(redis, true), "Redis polled each 100 ms");
    match_play(&match);
    tell("peers.redis.polled", "Redis, polled each 100 ms", &match.entrants[poller], NULL);
}

void failover_measure_peers(struct rig *rig, bool quick) {
    const char *why, *redis = peers_redis(&why);
    result_section("report to another process's next key, beside what one might take instead");
    prctl(PR_SET_TIMERSLACK, 1);
    sample_pin(CPU_WORKING);
    rig_start(rig, "io_uring");
    rig_make_pool(rig, "spins", "priority", KEYS, "");
    rig_make_pool(rig, "sleeps", "priority", KEYS, "");
    measure_pushing(rig, redis, quick);
    rig_stop(rig);
    if (redis)
        measure_polling(redis);
    else
        result_skip("peers.redis", "Redis", why);
}
