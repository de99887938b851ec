/* See waiters.h. */
#include "waiters.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sample.h"

enum { LOST_MS = 20000, ASLEEP_US = 20000 };

/* One waiter's, alone on its cache line. */
struct place {
    _Alignas(64) uint64_t known_ns;
    _Atomic uint32_t orders_taken;
};

struct shared {
    _Alignas(64) _Atomic uint32_t word;
    _Alignas(64) _Atomic uint32_t arrived;
    _Alignas(64) _Atomic uint32_t way; /* enum waiters_way */
    _Atomic uint32_t orders;           /* moves with each change of way */
    struct place places[WAITERS_MAX];
};

struct waiters {
    struct rig *rig;
    const char *pool;
    struct shared *shared;
    unsigned count;
    uint32_t orders;
    pid_t pids[WAITERS_MAX];
};

/* ---- one of them ---- */

struct waiter {
    struct shared *shared;
    struct place *place;
    kb_reader *reader;
    uint64_t key_id;
    uint32_t word;
};

static void on_signal(int number) {
    (void)number; /* whoever sleeps gets up and looks for orders */
}

static uint64_t present_key(kb_reader *reader) {
    const kb_key *key = kb_current(reader);
    return key ? key->id : 0;
}

static void take_orders(struct waiter *waiter) {
    uint32_t orders = atomic_load(&waiter->shared->orders);
    if (atomic_load(&waiter->place->orders_taken) == orders)
        return;
    waiter->key_id = present_key(waiter->reader);
    waiter->word = atomic_load(&waiter->shared->word);
    atomic_store(&waiter->place->orders_taken, orders);
}

/* True if there is another key. */
static bool doze(struct waiter *waiter) {
    struct shared *shared = waiter->shared;
    if (atomic_load(&shared->way) == WAITERS_ON_POOL) {
        kb_wait(waiter->reader, -1);
        uint64_t key_id = present_key(waiter->reader);
        bool other = key_id != waiter->key_id;
        waiter->key_id = key_id;
        return other;
    }
    syscall(SYS_futex, &shared->word, FUTEX_WAIT, waiter->word, NULL, NULL, 0);
    uint32_t word = atomic_load_explicit(&shared->word, memory_order_acquire);
    bool other = word != waiter->word;
    waiter->word = word;
    return other;
}

/* Ends with the bench. */
__attribute__((noreturn)) static void be_waiter(const struct waiters *waiters, unsigned index) {
    struct waiter waiter = { .shared = waiters->shared,
                             .place = &waiters->shared->places[index],
                             .reader = rig_reader(waiters->rig, waiters->pool) };
    struct sigaction action = { .sa_handler = on_signal };
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigaction(SIGUSR1, &action, NULL);
    for (;;) {
        take_orders(&waiter);
        if (!doze(&waiter))
            continue;
        waiter.place->known_ns = sample_now_ns();
        atomic_fetch_add_explicit(&waiter.shared->arrived, 1, memory_order_release);
    }
}

/* ---- all of them ---- */

static void check_time(const struct waiters *waiters, uint64_t begun_ns) {
    if (sample_now_ns() - begun_ns > UINT64_C(1000000) * LOST_MS)
        sample_die("%u of %u waiters have seen the next key",
                   atomic_load(&waiters->shared->arrived), waiters->count);
}

/* A signal may come just before a waiter falls asleep: then it needs another. */
static void await_orders_taken(struct waiters *waiters, bool remind) {
    uint64_t begun_ns = sample_now_ns();
    for (unsigned i = 0; i < waiters->count;) {
        if (atomic_load(&waiters->shared->places[i].orders_taken) == waiters->orders) {
            i++;
            continue;
        }
        if (remind)
            kill(waiters->pids[i], SIGUSR1);
        sample_sleep_us(200);
        check_time(waiters, begun_ns);
    }
    sample_sleep_us(ASLEEP_US);
}

struct waiters *waiters_new(struct rig *rig, const char *pool, unsigned count, bool everywhere) {
    struct waiters *waiters = calloc(1, sizeof *waiters);
    if (!waiters || count > WAITERS_MAX)
        sample_die("too many waiters");
    *waiters = (struct waiters){ .rig = rig, .pool = pool, .count = count, .orders = 1 };
    waiters->shared = sample_shared(sizeof *waiters->shared);
    atomic_store(&waiters->shared->orders, waiters->orders);
    for (unsigned i = 0; i < count; i++) {
        waiters->pids[i] = fork();
        if (waiters->pids[i] < 0)
            sample_die("fork: %s", strerror(errno));
        if (waiters->pids[i] > 0)
            continue;
        if (everywhere)
            sample_unpin();
        else
            sample_pin(CPU_WORKING);
        be_waiter(waiters, i);
    }
    await_orders_taken(waiters, false);
    return waiters;
}

struct waiters *waiters_free(struct waiters *waiters) {
    for (unsigned i = 0; i < waiters->count; i++)
        kill(waiters->pids[i], SIGKILL);
    for (unsigned i = 0; i < waiters->count; i++)
        waitpid(waiters->pids[i], NULL, 0);
    munmap(waiters->shared, sizeof *waiters->shared);
    free(waiters);
    return NULL;
}

void waiters_use(struct waiters *waiters, enum waiters_way way) {
    atomic_store(&waiters->shared->way, way);
    atomic_store(&waiters->shared->orders, ++waiters->orders);
    for (unsigned i = 0; i < waiters->count; i++)
        kill(waiters->pids[i], SIGUSR1);
    await_orders_taken(waiters, true);
}

uint64_t waiters_wake(struct waiters *waiters) {
    uint64_t begun_ns = sample_now_ns();
    atomic_fetch_add_explicit(&waiters->shared->word, 1, memory_order_release);
    syscall(SYS_futex, &waiters->shared->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    return begun_ns;
}

void waiters_expect(struct waiters *waiters) {
    atomic_store(&waiters->shared->arrived, 0);
}

uint64_t waiters_await_last_ns(struct waiters *waiters) {
    uint64_t begun_ns = sample_now_ns(), last_ns = 0;
    while (atomic_load_explicit(&waiters->shared->arrived, memory_order_acquire) < waiters->count) {
        sample_sleep_us(500);
        check_time(waiters, begun_ns);
    }
    for (unsigned i = 0; i < waiters->count; i++)
        if (waiters->shared->places[i].known_ns > last_ns)
            last_ns = waiters->shared->places[i].known_ns;
    return last_ns;
}
