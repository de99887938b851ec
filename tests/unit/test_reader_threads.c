/*
 * Readers in threads beside a writer: what ThreadSanitizer should see, and that all of them end at
 * the last state.
 */
#include <keybroker.h>

#include <pthread.h>
#include <stdatomic.h>

#include <criterion/criterion.h>

#include "tests/support/fixture_pool.h"

enum { READERS = 3, CHANGES = 3000, KEYS = 8 };

static struct fixture_pool fixture;
static atomic_bool finished;

struct outcome {
    unsigned long calls;
    unsigned long without_key;
    uint64_t last_id;
    bool went_back;
};

static void *read_on(void *argument) {
    struct outcome *outcome = argument;
    kb_reader *reader = fixture_pool_reader(&fixture);
    uint64_t newest = 0;
    bool last_round = false;
    for (;;) {
        const kb_key *key = kb_current(reader);
        outcome->calls++;
        outcome->without_key += !key;
        if (key && key->ticket.generation < newest)
            outcome->went_back = true;
        if (key)
            newest = key->ticket.generation;
        if (outcome->calls % 1000 == 0)
            kb_report(reader, (kb_ticket){ KEYS, newest }, KB_OVERLOAD, 0);
        outcome->last_id = key ? key->id : 0;
        if (last_round)
            break;
        last_round = atomic_load(&finished);
    }
    kb_close(reader);
    return NULL;
}

static void race(uint32_t strategy) {
    pthread_t threads[READERS];
    struct outcome outcomes[READERS] = { 0 };
    fixture_pool_init(&fixture, KEYS, strategy, NULL);
    atomic_store(&finished, false);
    for (int i = 0; i < READERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, read_on, &outcomes[i]), 0);
    for (uint32_t i = 0; i < CHANGES; i++) {
        unsigned status = i / (KEYS - 1) % 2 ? KB_STATUS_NORMAL : KB_STATUS_COOLING;
        fixture_pool_set(&fixture, i % (KEYS - 1), status, i % 5 ? 0 : fixture_now_ms() + 1);
        if (i % 500 == 499)
            fixture_pool_publish(&fixture);
    }
    for (uint32_t i = 0; i < KEYS - 1; i++)
        fixture_pool_set_silently(&fixture, i, KB_STATUS_ERROR, 0);
    fixture_pool_announce(&fixture);
    atomic_store(&finished, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        cr_expect_eq(outcomes[i].without_key, 0, "the last key was always normal");
        cr_expect_eq(outcomes[i].last_id, KEYS);
        cr_expect_not(outcomes[i].went_back);
    }
    fixture_pool_deinit(&fixture);
}

Test(threads, readers_beside_a_writer_end_at_the_last_state, .timeout = 60) {
    race(STRATEGY_PRIORITY);
}

Test(threads, spreading_readers_beside_a_writer_end_at_the_last_state, .timeout = 60) {
    race(STRATEGY_SPREAD);
}
