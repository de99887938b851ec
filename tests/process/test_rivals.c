/*
 * Brokers that want the same directory: exactly one serves, the others end with a clear message and
 * have changed nothing.
 */
#include <criterion/criterion.h>

#include <string.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/worker.h"

enum { RIVALS = 5 };

static unsigned running(struct broker *rivals[RIVALS]) {
    unsigned count = 0;
    for (unsigned i = 0; i < RIVALS; i++)
        count += broker_is_running(rivals[i]);
    return count;
}

/* Start all at once; returns the one that serves. */
static struct broker *race(struct broker *rivals[RIVALS]) {
    struct broker *winner = NULL;
    for (unsigned i = 0; i < RIVALS; i++)
        broker_spawn(rivals[i], NULL);
    EVENTUALLY(running(rivals) <= 1);
    for (unsigned i = 0; i < RIVALS; i++) {
        if (broker_is_running(rivals[i]))
            winner = rivals[i];
        else
            cr_assert(broker_log_has(rivals[i], "another broker has the"), "rival %u", i);
    }
    cr_assert_not_null(winner);
    broker_wait_ready(winner);
    return winner;
}

static void expect_one_serves(struct broker *rivals[RIVALS]) {
    for (unsigned round = 0; round < 3; round++) {
        struct broker *winner = race(rivals);
        struct peer *peer = peer_open(winner);
        struct answer *info = peer_must(peer, "json show info");
        cr_assert_eq(answer_number(info, "pid"), winner->pid);
        if (round == 0)
            worker_make_pool(peer, "main", 2);
        kb_reader *reader = worker_open(winner, "main");
        kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
        EVENTUALLY(strcmp(worker_current(reader), "k1") == 0);
        EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
        peer_must(peer, "enable key main k0");
        EVENTUALLY(strcmp(worker_current(reader), "k0") == 0);
        kb_close(reader);
        if (round == 1)
            broker_kill(winner);
        else
            cr_assert_eq(broker_stop(winner), 0);
    }
}

TEST_BOTH_LOOPS(rivals, for_both_directories_one_serves) {
    struct broker *rivals[RIVALS] = { b };
    for (unsigned i = 1; i < RIVALS; i++)
        rivals[i] = broker_new_beside(b);
    expect_one_serves(rivals);
}

TEST_BOTH_LOOPS(rivals, for_a_state_directory_one_serves) {
    broker_start(b, NULL);
    worker_make_pool(peer_open(b), "main", 2);
    for (unsigned i = 1; i < RIVALS; i++) {
        struct broker *rival = broker_new(b->loop);
        rival->state_dir = b->state_dir;
        broker_spawn(rival, NULL);
        cr_assert_neq(broker_wait_exit(rival), 0);
        cr_assert(broker_log_has(rival, "another broker has the state directory"));
        cr_assert_neq(access(scene_text("%s/admin.sock", rival->runtime_dir), F_OK), 0);
    }
    cr_assert_eq(peer_must(peer_open(b), "show pool main")->code, 0);
}

TEST_BOTH_LOOPS(rivals, for_a_runtime_directory_one_serves) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    kb_reader *reader = worker_open(b, "main");
    for (unsigned i = 1; i < RIVALS; i++) {
        struct broker *rival = broker_new(b->loop);
        rival->runtime_dir = b->runtime_dir;
        broker_spawn(rival, NULL);
        cr_assert_neq(broker_wait_exit(rival), 0);
        cr_assert(broker_log_has(rival, "another broker has the runtime directory"));
    }
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
    cr_assert_str_eq(worker_current(reader), "k1");
    kb_close(reader);
}
