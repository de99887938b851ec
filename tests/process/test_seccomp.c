/*
 * No system calls on the hot path: a worker enters strict seccomp, where anything but read, write
 * and exit is death, and goes on reading the current key while other processes change statuses.
 */
#include <criterion/criterion.h>

#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/worker.h"

enum { CALLS_LEAST = 10 * 1000 * 1000, KEYS_SEEN_LEAST = 4, IDS = 64 };

struct prisoner {
    const struct broker *broker;
    const char *pool;
    _Atomic bool locked_up, enough;
    _Atomic uint64_t calls, none, seen; /* seen: a bit for each key id below 64 */
    _Atomic uint64_t switches;
};

static _Noreturn void leave(long code) {
    for (;;)
        syscall(SYS_exit, code); /* exit_group, which libc takes, is forbidden */
}

static int serve_time(void *argument) {
    struct prisoner *prisoner = argument;
    kb_reader *reader = worker_open(prisoner->broker, prisoner->pool);
    const kb_key *key = kb_current(reader);
    uint64_t last = key ? key->id : 0, calls = 0, seen = 0, switches = 0, none = 0;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
        leave(2);
    atomic_store(&prisoner->locked_up, true);
    while (calls < CALLS_LEAST || !atomic_load(&prisoner->enough)) {
        key = kb_current(reader);
        uint64_t id = key ? key->id : 0;
        calls++;
        none += !id;
        if (id == last)
            continue;
        last = id;
        seen |= UINT64_C(1) << id % IDS;
        atomic_store(&prisoner->seen, seen);
        atomic_store(&prisoner->switches, ++switches);
    }
    atomic_store(&prisoner->calls, calls);
    atomic_store(&prisoner->none, none);
    leave(7);
}

static bool saw(const struct prisoner *prisoner, uint64_t id) {
    return atomic_load(&prisoner->seen) & UINT64_C(1) << id % IDS;
}

/* Everything that changes statuses and nothing else; every key becomes current once. */
static void change_statuses(struct peer *peer, const struct broker *broker,
                            const struct prisoner *prisoner) {
    kb_reader *reader = worker_open(broker, prisoner->pool);
    uint64_t ids[4];
    for (unsigned i = 0; i < 4; i++)
        ids[i] = worker_key_id(peer, prisoner->pool, scene_text("k%u", i));
    for (unsigned round = 0; round < 3; round++) {
        peer_must(peer, "disable key %s k0", prisoner->pool);
        EVENTUALLY(saw(prisoner, ids[1]));
        kb_ticket ticket = { .id = ids[1], .generation = kb_current(reader)->ticket.generation };
        kb_report(reader, ticket, KB_RATE, 3600000);
        kb_report(reader, ticket, KB_RATE, 7200000); /* cools longer */
        EVENTUALLY(saw(prisoner, ids[2]));
        /* And comes back by itself, when the prisoner had its turn to look. */
        kb_report(reader, kb_current(reader)->ticket, KB_RATE, saw(prisoner, ids[3]) ? 30 : 1000);
        EVENTUALLY(saw(prisoner, ids[3]));
        EVENTUALLY(strcmp(peer_key_status(peer, prisoner->pool, "k2"), "normal") == 0);
        kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
        kb_report(reader, ticket, KB_PERMISSION, 0);
        uint64_t switches = atomic_load(&prisoner->switches);
        for (unsigned i = 0; i < 4; i++)
            peer_must(peer, "enable key %s k%u", prisoner->pool, i);
        EVENTUALLY(atomic_load(&prisoner->switches) > switches);
        EVENTUALLY(saw(prisoner, ids[0]));
    }
    kb_close(reader);
}

static struct prisoner *lock_up(const struct broker *broker, const char *pool, pid_t *ret_pid) {
    struct prisoner *prisoner = worker_share(sizeof *prisoner);
    prisoner->broker = broker;
    prisoner->pool = pool;
    *ret_pid = worker_fork(serve_time, prisoner);
    EVENTUALLY(atomic_load(&prisoner->locked_up));
    return prisoner;
}

static bool variant_is_tsan(void) {
    const char *variant = getenv("KEYBROKER_VARIANT");
    return variant && strcmp(variant, "tsan") == 0; /* its runtime maps memory as it goes */
}

TEST_BOTH_LOOPS(seccomp, ten_million_reads_enter_the_kernel_never) {
    if (variant_is_tsan())
        cr_skip_test("ThreadSanitizer enters the kernel itself");
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    pid_t pid;
    struct prisoner *prisoner = lock_up(b, "main", &pid);
    change_statuses(peer, b, prisoner);
    atomic_store(&prisoner->enough, true);
    cr_assert_eq(worker_wait(pid), 7, "the worker made a system call");
    cr_assert_geq(atomic_load(&prisoner->calls), CALLS_LEAST);
    cr_assert_eq(atomic_load(&prisoner->none), 0);
    cr_assert_geq(__builtin_popcountll(atomic_load(&prisoner->seen)), KEYS_SEEN_LEAST);
}

TEST_BOTH_LOOPS(seccomp, nor_do_reads_of_keys_with_deadlines) {
    if (variant_is_tsan())
        cr_skip_test("ThreadSanitizer enters the kernel itself");
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 4);
    for (unsigned i = 0; i < 4; i++)
        peer_must(peer, "set key main k%u expires=+%uh", i, i + 1);
    pid_t pid;
    struct prisoner *prisoner = lock_up(b, "main", &pid);
    change_statuses(peer, b, prisoner);
    atomic_store(&prisoner->enough, true);
    cr_assert_eq(worker_wait(pid), 7, "the worker made a system call");
    cr_assert_eq(atomic_load(&prisoner->none), 0);
}

TEST_BOTH_LOOPS(seccomp, nor_does_an_expiry_or_a_dead_broker) {
    if (variant_is_tsan())
        cr_skip_test("ThreadSanitizer enters the kernel itself");
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    peer_must(peer, "set key main k0 expires=+1s");
    uint64_t second = worker_key_id(peer, "main", "k1");
    pid_t pid;
    struct prisoner *prisoner = lock_up(b, "main", &pid);
    broker_kill(b);
    EVENTUALLY(saw(prisoner, second));
    atomic_store(&prisoner->enough, true);
    cr_assert_eq(worker_wait(pid), 7, "the worker made a system call");
    cr_assert_eq(atomic_load(&prisoner->switches), 1);
    cr_assert_eq(atomic_load(&prisoner->none), 0);
}

TEST_BOTH_LOOPS(seccomp, nor_do_picks_from_a_pool_that_spreads) {
    if (variant_is_tsan())
        cr_skip_test("ThreadSanitizer enters the kernel itself");
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 6);
    peer_must(peer, "set pool main strategy=spread");
    pid_t pid;
    struct prisoner *prisoner = lock_up(b, "main", &pid);
    EVENTUALLY(__builtin_popcountll(atomic_load(&prisoner->seen)) == 6);
    for (unsigned i = 0; i < 30; i++) {
        peer_must(peer, "disable key main k%u", i % 6);
        peer_must(peer, "enable key main k%u", i % 6);
    }
    atomic_store(&prisoner->enough, true);
    cr_assert_eq(worker_wait(pid), 7, "the worker made a system call");
    cr_assert_eq(atomic_load(&prisoner->none), 0);
}
