/*
 * A clock that is set by hours, days and years while broker and workers run, and machines that
 * sleep: expiries follow the calendar within a second, cooling and durations do not move, and
 * nobody spins. The clock of this program and of its broker is set, not the machine's.
 *
 * Also the program of the campaign `time`: KEYBROKER_TEST_SIZE rounds of the last test.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/preload.h"
#include "tests/support/program.h"
#include "tests/support/scene.h"
#include "tests/support/seed.h"
#include "tests/support/step_clock.h"
#include "tests/support/worker.h"

static const int64_t SECOND = 1000, HOUR = 3600 * SECOND, DAY = 24 * HOUR, YEARS = 3652 * DAY;

static struct step_clock *stepped;

/* In libc's place, for the library that this program is linked with. */
int clock_gettime(clockid_t id, struct timespec *ret_time) {
    return step_clock_gettime(stepped, id, ret_time);
}

static int64_t wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void set_clock(int64_t offset_ms) {
    atomic_store(&stepped->wall_offset_ms, offset_ms);
}

static struct peer *start(struct broker *b, unsigned keys) {
    stepped = preload_new(b, "step_clock.so", STEP_CLOCK_CONTROL, sizeof *stepped);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", keys);
    return peer;
}

/* Another process is handed this key, within the second that is promised. */
static void expect_soon(const struct mirror *mirror, uint64_t id, const char *what) {
    int64_t from = scene_now_ms(), slack = scene_sanitized() ? 2000 : 200;
    EVENTUALLY(atomic_load(&mirror->id) == id);
    cr_assert_leq(scene_now_ms() - from, 1000 + slack, "%s: after %lld ms", what,
                  (long long)(scene_now_ms() - from));
}

static void expect_all_along(const struct mirror *mirror, uint64_t id, unsigned ms) {
    for (int64_t until = scene_now_ms() + ms; scene_now_ms() < until; scene_sleep_ms(5))
        cr_assert_eq(atomic_load(&mirror->id), id);
}

/* ---- expiry ---- */

TEST_BOTH_LOOPS(clock, an_expiry_follows_the_calendar_forward_and_back) {
    const int64_t steps[] = { HOUR + SECOND, DAY, YEARS };
    struct peer *peer = start(b, 2);
    peer_must(peer, "set key main k0 expires=+1h");
    uint64_t first = worker_key_id(peer, "main", "k0"), second = worker_key_id(peer, "main", "k1");
    struct mirror *mirror = mirror_start(b, "main");
    expect_soon(mirror, first, "before");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        set_clock(steps[i]);
        expect_soon(mirror, second, "set forward");
        cr_assert_str_eq(peer_key_status(peer, "main", "k0"), "expired");
        set_clock(0);
        expect_soon(mirror, first, "set back");
        cr_assert_str_eq(peer_key_status(peer, "main", "k0"), "normal");
        set_clock(-steps[i]);
        expect_all_along(mirror, first, 300);
        set_clock(steps[i]); /* at once by twice as much */
        expect_soon(mirror, second, "set forward from the past");
        set_clock(0);
        expect_soon(mirror, first, "set back again");
    }
    mirror_stop(mirror);
}

/* What is left of its life is four seconds, on a calendar that was set: with the broker and
 * without. */
TEST_BOTH_LOOPS(clock, an_expiry_is_honoured_within_a_second_on_a_clock_that_was_set) {
    struct peer *peer = start(b, 2);
    uint64_t first = worker_key_id(peer, "main", "k0"), second = worker_key_id(peer, "main", "k1");
    struct mirror *mirror = mirror_start(b, "main");
    for (unsigned dead = 0; dead < 2; dead++) {
        peer_must(peer, "set key main k0 expires=+1d");
        expect_soon(mirror, first, "a day is left");
        int64_t from = scene_now_ms();
        set_clock((dead + 1) * (DAY - 4 * SECOND));
        scene_sleep_ms(1200); /* the broker looks at the clock once a second */
        cr_assert_eq(atomic_load(&mirror->id), first, "more than two seconds are left");
        if (dead)
            broker_kill(b);
        scene_sleep_ms((unsigned)(from + 3900 - scene_now_ms()));
        expect_soon(mirror, second, dead ? "the broker is dead" : "the broker lives");
    }
    mirror_stop(mirror);
}

/* Nobody tells the readers: set far, to and fro, with as much time between as is promised. */
TEST_BOTH_LOOPS(clock, an_expiry_follows_the_calendar_also_while_the_broker_is_dead) {
    const int64_t steps[] = { HOUR + SECOND, DAY, YEARS };
    struct peer *peer = start(b, 2);
    peer_must(peer, "set key main k0 expires=+1h");
    uint64_t first = worker_key_id(peer, "main", "k0"), second = worker_key_id(peer, "main", "k1");
    struct mirror *mirror = mirror_start(b, "main");
    expect_soon(mirror, first, "before");
    broker_kill(b);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        set_clock(steps[i]);
        expect_soon(mirror, second, "set forward");
        set_clock(0);
        expect_soon(mirror, first, "set back");
        set_clock(-steps[i]);
        expect_all_along(mirror, first, 300);
    }
    mirror_stop(mirror);
}

/* ---- what does not move ---- */

/* A key cools for three seconds of waiting, whatever is done to the clock meanwhile. */
TEST_BOTH_LOOPS(clock, cooling_neither_ends_sooner_nor_later_when_the_clock_is_set) {
    enum { COOLING_MS = 1500 };
    const int64_t steps[] = { HOUR, -HOUR, YEARS, -YEARS };
    struct peer *peer = start(b, 2);
    uint64_t first = worker_key_id(peer, "main", "k0"), second = worker_key_id(peer, "main", "k1");
    struct mirror *mirror = mirror_start(b, "main");
    kb_reader *reader = worker_open(b, "main");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        bool dead = i % 2;
        /* Else the broker might not have noticed, and take the report for a late one. */
        EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "normal") == 0);
        EVENTUALLY(kb_current(reader) && kb_current(reader)->id == first);
        int64_t from = scene_now_ms();
        kb_report(reader, kb_current(reader)->ticket, KB_RATE, COOLING_MS);
        EVENTUALLY(atomic_load(&mirror->id) == second);
        if (dead)
            broker_kill(b);
        set_clock(steps[i]);
        while (atomic_load(&mirror->id) == second && scene_now_ms() < from + 10000)
            scene_sleep_ms(2);
        int64_t took = scene_now_ms() - from;
        cr_assert_geq(took, COOLING_MS - 10, "step %zu: %lld ms", i, (long long)took);
        cr_assert_leq(took, COOLING_MS + 1000 + (scene_sanitized() ? 2000 : 0), "step %zu: %lld ms",
                      i, (long long)took);
        if (dead) {
            broker_restart(b);
            peer = peer_open(b);
        }
    }
    mirror_stop(mirror);
    kb_close(reader);
}

TEST_BOTH_LOOPS(clock, a_duration_does_not_move_and_an_hour_of_the_day_does) {
    struct peer *peer = start(b, 2);
    kb_reader *reader = worker_open(b, "main");
    time_t at = (time_t)(wall_ms() / 1000 + 1800);
    struct tm time;
    gmtime_r(&at, &time);
    for (unsigned daily = 0; daily < 2; daily++) {
        peer_must(peer, "set pool main exceeded-recovery=%s",
                  daily ? scene_text("daily@%02d:%02d", time.tm_hour, time.tm_min) : "1h");
        EVENTUALLY(strcmp(worker_current(reader), "k0") == 0);
        kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
        EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
        set_clock(2 * HOUR);
        scene_sleep_ms(1300);
        cr_assert_str_eq(peer_key_status(peer, "main", "k0"), daily ? "normal" : "exceeded");
        set_clock(0);
        scene_sleep_ms(1100);
        peer_must(peer, "enable key main k0");
    }
    kb_close(reader);
}

/* ---- nobody spins ---- */

static double processor_ms(const struct broker *b) {
    char *stat = program_read_file(scene_text("/proc/%d/stat", b->pid), NULL);
    unsigned long user = 0, kernel = 0;
    cr_assert_not_null(stat);
    sscanf(strrchr(stat, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
           &kernel);
    free(stat);
    return (double)(user + kernel) * 1000 / (double)sysconf(_SC_CLK_TCK);
}

TEST_BOTH_LOOPS(clock, a_clock_that_was_set_keeps_nobody_busy) {
    const int64_t steps[] = { DAY, -YEARS, 0 };
    struct peer *peer = start(b, 3);
    kb_reader *reader = worker_open(b, "main");
    peer_must(peer, "set key main k0 expires=+30m");
    peer_must(peer, "set pool main exceeded-recovery=daily@00:00 error-recovery=6h");
    uint64_t second = worker_key_id(peer, "main", "k1");
    kb_report(reader, (kb_ticket){ second, kb_current(reader)->ticket.generation }, KB_QUOTA,
              KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k1"), "exceeded") == 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        set_clock(steps[i]);
        scene_sleep_ms(1200);
        double before = processor_ms(b);
        scene_sleep_ms(1000);
        double used = processor_ms(b) - before;
        cr_assert_leq(used, scene_sanitized() ? 200 : 50, "step %zu: %.0f ms of a second", i, used);
    }
    kb_close(reader);
}

/* ---- any steps, against an oracle ---- */

enum { KEYS = 6, NEAR_MS = 2500 };

struct expected {
    int64_t expires_ms; /* by the calendar; 0 = never */
    int64_t cooling_ms; /* until then on CLOCK_MONOTONIC; 0 = not */
};

/* NULL when it is about to change, or has just changed: a second is allowed. */
static const char *status_of(const struct expected *key) {
    int64_t life = key->expires_ms - wall_ms(), cooling = key->cooling_ms - scene_now_ms();
    if (key->expires_ms && (life > -NEAR_MS && life < NEAR_MS))
        return NULL;
    if (key->expires_ms && life <= 0)
        return "expired";
    if (key->cooling_ms && cooling > -NEAR_MS && cooling < NEAR_MS)
        return NULL;
    return key->cooling_ms && cooling > 0 ? "cooling" : "normal";
}

struct listed {
    kb_status status[KEYS];
};

static int note_status(const kb_list_entry *entry, void *userdata) {
    struct listed *listed = userdata;
    listed->status[strtoul(entry->name + 1, NULL, 10) % KEYS] = entry->status;
    return 0;
}

static void compare(struct peer *peer, kb_reader *reader, const struct expected *keys,
                    unsigned round) {
    struct listed listed = { 0 };
    struct answer *shown = peer_must(peer, "json show keys main");
    cr_assert_eq(kb_list(reader, note_status, &listed), 0);
    for (unsigned i = 0; i < KEYS; i++) {
        const char *wanted = status_of(&keys[i]);
        if (!wanted)
            continue;
        const char *told = json_text(answer_key(shown, scene_text("k%u", i)), "status");
        cr_assert_str_eq(told, wanted, "round %u, k%u: the broker says %s, not %s", round, i, told,
                         wanted);
        kb_status status = strcmp(wanted, "expired") == 0   ? KB_STATUS_EXPIRED
                           : strcmp(wanted, "cooling") == 0 ? KB_STATUS_COOLING
                                                            : KB_STATUS_NORMAL;
        cr_assert_eq(listed.status[i], status, "round %u, k%u, a reader: %d", round, i,
                     (int)listed.status[i]);
    }
}

static void change_something(struct seed *seed, struct peer *peer, kb_reader *reader,
                             struct expected *keys) {
    static const unsigned LIVES_S[] = { 2, 8, 1800, 7200, 200000 };
    unsigned i = 1 + (unsigned)seed_below(seed, KEYS - 1);
    struct expected *key = &keys[i];
    const char *status = status_of(key);
    if (!status || strcmp(status, "expired") == 0)
        return;
    if (seed_below(seed, 2)) {
        unsigned life_s = LIVES_S[seed_below(seed, 5)];
        peer_must(peer, "set key main k%u expires=+%us", i, life_s);
        key->expires_ms = wall_ms() + life_s * SECOND;
    } else if (strcmp(status, "normal") == 0) {
        uint64_t hint_ms = 3000 + seed_below(seed, 20000);
        kb_report(reader,
                  (kb_ticket){ worker_key_id(peer, "main", scene_text("k%u", i)),
                               kb_current(reader)->ticket.generation },
                  KB_RATE, hint_ms);
        EVENTUALLY(strcmp(peer_key_status(peer, "main", scene_text("k%u", i)), "normal") != 0);
        key->cooling_ms = scene_now_ms() + (int64_t)hint_ms;
    }
}

TEST_BOTH_LOOPS(clock, any_steps_agree_with_what_was_promised) {
    const int64_t steps[] = { 0,     300, -300, 2 * SECOND, -2 * SECOND, HOUR,
                              -HOUR, DAY, -DAY, YEARS,      -YEARS };
    const char *size = getenv("KEYBROKER_TEST_SIZE");
    unsigned rounds = size && *size ? (unsigned)strtoul(size, NULL, 10) : 10;
    struct seed seed = seed_begin("clock");
    struct expected keys[KEYS] = { 0 };
    struct peer *peer = start(b, KEYS);
    kb_reader *reader = worker_open(b, "main");
    for (unsigned round = 0; round < rounds; round++) {
        change_something(&seed, peer, reader, keys);
        change_something(&seed, peer, reader, keys);
        set_clock(steps[seed_below(&seed, sizeof steps / sizeof *steps)]);
        if (seed_below(&seed, 8) == 0) {
            scene_sleep_ms(300); /* what reports changed is stored a little later */
            broker_restart(b);
            peer = peer_open(b);
        }
        scene_sleep_ms(1100);
        compare(peer, reader, keys, round);
    }
    kb_close(reader);
}
