/*
 * See wake.h. Both ways take turns with the same sleeping processes, on all processors; only the
 * one who reports, or wakes, stays on CPU_WORKING, where the broker is.
 */
#include "wake.h"

#include <sys/prctl.h>

#include "contestant.h"
#include "plot.h"
#include "result.h"
#include "sample.h"
#include "waiters.h"

enum { WAITERS = 64, KEYS = 2000, ROUNDS = 8, WAKES = 400, TURN = 50, PAUSE_US = 3000 };

static const char POOL[] = "wake";

struct ways {
    struct waiters *waiters;
    struct contestant *broker;
    unsigned random;
};

static void take_turn(struct ways *ways, enum waiters_way way, unsigned count, double *us) {
    waiters_use(ways->waiters, way);
    for (unsigned i = 0; i < count; i++) {
        waiters_expect(ways->waiters);
        uint64_t begun_ns = way == WAITERS_ON_WORD ? waiters_wake(ways->waiters)
                                                   : ways->broker->report(ways->broker);
        us[i] = (double)(waiters_await_last_ns(ways->waiters) - begun_ns) / 1000;
        ways->random = ways->random * 1664525 + 1013904223;
        sample_sleep_us(PAUSE_US + (ways->random >> 8) % PAUSE_US);
    }
}

static void play_round(struct ways *ways, double *word_us, double *pool_us) {
    for (unsigned done = 0; done < WAKES; done += TURN) {
        take_turn(ways, WAITERS_ON_WORD, TURN, word_us + done);
        take_turn(ways, WAITERS_ON_POOL, TURN, pool_us + done);
    }
    waiters_use(ways->waiters, WAITERS_ON_WORD); /* it is not their business what comes now */
    ways->broker->settle(ways->broker);
}

void wake_measure(struct rig *rig, bool quick) {
    static double word_us[WAKES], pool_us[WAKES];
    static struct result_rounds word, pool;
    result_section("report to the last of 64 processes in kb_wait (reference: bare futex wake)");
    prctl(PR_SET_TIMERSLACK, 1);
    sample_pin(CPU_WORKING);
    rig_start(rig, "io_uring");
    rig_make_pool(rig, POOL, "priority", KEYS, "");
    struct ways ways = { .broker = contestant_broker_new(rig, POOL, true),
                         .waiters = waiters_new(rig, POOL, WAITERS, true),
                         .random = 1 };
    play_round(&ways, word_us, pool_us); /* to warm up */
    for (unsigned i = 0; i < (quick ? 1 : ROUNDS); i++) {
        play_round(&ways, word_us, pool_us);
        plot_add("wake", "bare futex wake", word_us, WAKES);
        plot_add("wake", "report to kb_wait", pool_us, WAKES);
        result_note_round(&word, word_us, WAKES);
        result_note_round(&pool, pool_us, WAKES);
    }
    result_add_latency(&(struct result_latency){ .id = "wake.64",
                                                 .name = "the last of 64 in kb_wait, io_uring",
                                                 .unit = "us",
                                                 .figures = &pool,
                                                 .references = &word,
                                                 .targets = { [RESULT_P99] = 1.5 } });
    waiters_free(ways.waiters);
    ways.broker->free(ways.broker);
    rig_stop(rig);
}
