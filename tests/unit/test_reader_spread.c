/*
 * Spreading: that picks follow the weights, take only usable keys, and differ between processes.
 */
#include "client/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/fixture_pool.h"
#include "tests/support/seed.h"

static struct fixture_pool fixture;
static kb_reader *reader;

static void teardown(void) {
    kb_close(reader);
    fixture_pool_deinit(&fixture);
}

TestSuite(spread, .fini = teardown, .timeout = 60);

static void begin(uint32_t count) {
    fixture_pool_init(&fixture, count, STRATEGY_SPREAD, NULL);
    reader = fixture_pool_reader(&fixture);
}

static void count_picks(unsigned *picks, unsigned total) {
    memset(picks, 0, fixture.count * sizeof *picks);
    for (unsigned i = 0; i < total; i++) {
        const kb_key *key = kb_current(reader);
        cr_assert_not_null(key);
        cr_assert_eq(key->ticket.generation, fixture.generation);
        picks[key->id - 1]++;
    }
}

/* Within six standard deviations: a false alarm in a billion runs. */
static void assert_near(unsigned got, double expected, const char *what) {
    double off = (double)got - expected;
    cr_assert_leq(off * off, 36 * (expected + 1), "%s: %u picks, %.0f expected", what, got,
                  expected);
}

Test(spread, equal_weights_share_evenly) {
    enum { KEYS = 50, TOTAL = 200000 };
    unsigned picks[KEYS];
    begin(KEYS);
    count_picks(picks, TOTAL);
    for (int i = 0; i < KEYS; i++)
        assert_near(picks[i], (double)TOTAL / KEYS, "even");
}

Test(spread, picks_follow_the_weights) {
    enum { KEYS = 40, TOTAL = 400000 };
    unsigned picks[KEYS], sum = 0;
    struct seed seed = seed_begin("picks_follow_the_weights");
    begin(KEYS);
    for (int i = 0; i < KEYS; i++) {
        fixture.keys[i]->weight = (uint32_t)(i < 3 ? 1000 : 1 + seed_below(&seed, 100));
        sum += fixture.keys[i]->weight;
    }
    fixture_pool_publish(&fixture);
    count_picks(picks, TOTAL);
    for (int i = 0; i < KEYS; i++)
        assert_near(picks[i], (double)TOTAL * fixture.keys[i]->weight / sum, "weighted");
}

/* Not by sampling: the table's own columns must add up to the weights. */
Test(spread, the_table_is_exact_for_any_weights) {
    struct seed seed = seed_begin("the_table_is_exact_for_any_weights");
    begin(1);
    for (int round = 0; round < 50; round++) {
        uint32_t count = (uint32_t)(1 + seed_below(&seed, 60));
        uint32_t weights[60];
        struct spread *spread = kbi_spread_new(count);
        kbi_spread_clear(spread);
        for (uint32_t i = 0; i < count; i++) {
            weights[i] = (uint32_t)(1 + seed_below(&seed, 1000));
            kbi_spread_add(spread, i, weights[i]);
        }
        kbi_spread_finish(spread);
        for (uint32_t i = 0; i < count; i++)
            cr_assert_eq(kbi_spread_share(spread, i), (uint64_t)weights[i] * count, "key %u of %u",
                         i, count);
        kbi_spread_free(spread);
    }
}

Test(spread, only_usable_keys_are_picked) {
    enum { KEYS = 10 };
    unsigned picks[KEYS];
    begin(KEYS);
    fixture_pool_set(&fixture, 2, KB_STATUS_ERROR, 0);
    fixture_pool_set(&fixture, 5, KB_STATUS_COOLING, fixture_now_ms() + 60000);
    count_picks(picks, 20000);
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(picks[i] == 0, i == 2 || i == 5, "key %d", i + 1);
    kb_report(reader, (kb_ticket){ 8, fixture.generation }, KB_RATE, 60000);
    count_picks(picks, 20000);
    cr_assert_eq(picks[7], 0, "a skipped key");
    for (uint32_t i = 0; i < KEYS; i++)
        fixture_pool_set_silently(&fixture, i, KB_STATUS_DISABLED, 0);
    fixture_pool_announce(&fixture);
    cr_assert_null(kb_current(reader));
    cr_assert_eq(kb_last_error(reader), KB_EEXHAUSTED);
}

Test(spread, a_cooled_key_is_picked_again_without_the_broker) {
    begin(2);
    uint64_t deadline_ms = fixture_now_ms() + 60;
    fixture_pool_set(&fixture, 0, KB_STATUS_COOLING, deadline_ms);
    while (fixture_now_ms() < deadline_ms) {
        const kb_key *key = kb_current(reader);
        cr_assert(key->id == 2 || fixture_now_ms() >= deadline_ms);
    }
    unsigned picks[2];
    count_picks(picks, 1000);
    cr_assert(picks[0] > 300 && picks[1] > 300);
}

Test(spread, more_keys_than_are_cached_come_out_whole) {
    enum { KEYS = 3000 };
    begin(KEYS);
    for (int i = 0; i < 30000; i++) {
        const kb_key *key = kb_current(reader);
        char expected[32];
        snprintf(expected, sizeof expected, "sk-test-%lu", key->id);
        cr_assert_str_eq(key->api_key, expected);
        cr_assert_eq(key->ticket.id, key->id);
    }
}

Test(spread, an_attempt_tries_every_key_once) {
    enum { KEYS = 20 };
    begin(KEYS);
    for (int i = 0; i < KEYS; i++)
        record_set_string(&fixture.keys[i]->account, i % 5 == 0 ? "rare" : "usual");
    fixture_pool_publish(&fixture);
    bool tried[KEYS] = { false };
    kb_attempt attempt = KB_ATTEMPT_INIT, rare = KB_ATTEMPT_INIT;
    for (int i = 0; i < KEYS; i++) {
        const kb_key *key = kb_next(reader, &attempt);
        cr_assert_not_null(key);
        cr_assert_not(tried[key->id - 1]);
        tried[key->id - 1] = true;
    }
    cr_assert_null(kb_next(reader, &attempt));
    cr_assert_eq(kb_last_error(reader), KB_ETRIED);
    rare.pin_account = "rare";
    for (int i = 0; i < KEYS / 5; i++)
        cr_assert_eq(kb_next(reader, &rare)->id % 5, 1);
    cr_assert_null(kb_next(reader, &rare));
}

/* Forty picks out of fifty keys: two processes agree by chance once in 50^40 runs. */
Test(spread, a_forked_child_picks_differently) {
    enum { PICKS = 40 };
    uint64_t ours[PICKS], theirs[PICKS];
    int pipes[2];
    begin(50);
    cr_assert_not_null(kb_current(reader));
    cr_assert_eq(pipe(pipes), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    for (int i = 0; i < PICKS; i++)
        ours[i] = kb_current(reader)->id;
    if (child == 0)
        _exit(write(pipes[1], ours, sizeof ours) == sizeof ours ? 0 : 1);
    cr_assert_eq(read(pipes[0], theirs, sizeof theirs), (ssize_t)sizeof theirs);
    waitpid(child, NULL, 0);
    cr_assert_neq(memcmp(ours, theirs, sizeof ours), 0);
    close(pipes[0]);
    close(pipes[1]);
}

Test(spread, two_readers_pick_differently) {
    enum { PICKS = 40 };
    uint64_t first[PICKS], second[PICKS];
    begin(50);
    kb_reader *other = fixture_pool_reader(&fixture);
    for (int i = 0; i < PICKS; i++) {
        first[i] = kb_current(reader)->id;
        second[i] = kb_current(other)->id;
    }
    kb_close(other);
    cr_assert_neq(memcmp(first, second, sizeof first), 0);
}

Test(spread, a_key_that_expires_is_drawn_no_more_while_no_broker_says_so) {
    enum { KEYS = 4, TOTAL = 4000, EXPIRES = 1 };
    unsigned picks[KEYS];
    struct timespec wall;
    begin(KEYS);
    clock_gettime(CLOCK_REALTIME, &wall);
    fixture.keys[EXPIRES]->expires_at_ms =
        (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000 + 900;
    fixture_pool_publish(&fixture);
    count_picks(picks, TOTAL);
    cr_assert_gt(picks[EXPIRES], 0u, "before its time it is one of them");
    fixture_sleep_ms(2000); /* a second late is allowed */
    count_picks(picks, TOTAL);
    cr_assert_eq(picks[EXPIRES], 0u);
    for (int i = 0; i < KEYS; i++)
        if (i != EXPIRES)
            assert_near(picks[i], (double)TOTAL / (KEYS - 1), "the others");
}
