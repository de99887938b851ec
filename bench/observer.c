/* See observer.h. */
#include "observer.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sample.h"

enum { IDLE = UINT32_MAX };

struct shared {
    _Alignas(64) _Atomic uint32_t order; /* a contestant's index; the observer sets it back */
    _Atomic uint32_t count;
    _Atomic uint32_t watching;
    _Alignas(64) _Atomic uint32_t seen;
    uint64_t seen_ns[OBSERVER_COUNT_MAX];
};

struct observer {
    struct shared *shared;
    pid_t pid;
};

static void watch(struct shared *shared, struct contestant *contestant, uint32_t count) {
    contestant->look(contestant);
    atomic_store(&shared->watching, 1);
    for (uint32_t i = 0; i < count; i++) {
        contestant->await(contestant);
        shared->seen_ns[i] = sample_now_ns();
        atomic_store_explicit(&shared->seen, i + 1, memory_order_release);
    }
}

/* Ends with the bench. */
__attribute__((noreturn)) static void
be_observer(struct shared *shared, struct contestant *const contestants[], unsigned count) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sample_pin(CPU_WATCHING);
    for (unsigned i = 0; i < count; i++)
        contestants[i]->attach(contestants[i]);
    for (;;) {
        uint32_t order = atomic_load(&shared->order);
        if (order == IDLE) {
            sample_sleep_us(200);
            continue;
        }
        watch(shared, contestants[order], atomic_load(&shared->count));
        atomic_store(&shared->order, IDLE);
    }
}

struct observer *observer_new(struct contestant *const contestants[], unsigned count) {
    struct observer *observer = calloc(1, sizeof *observer);
    if (!observer)
        sample_die("no memory");
    observer->shared = sample_shared(sizeof *observer->shared);
    atomic_store(&observer->shared->order, IDLE);
    observer->pid = fork();
    if (observer->pid < 0)
        sample_die("fork: %s", strerror(errno));
    if (observer->pid == 0)
        be_observer(observer->shared, contestants, count);
    return observer;
}

struct observer *observer_free(struct observer *observer) {
    kill(observer->pid, SIGKILL);
    waitpid(observer->pid, NULL, 0);
    munmap(observer->shared, sizeof *observer->shared);
    free(observer);
    return NULL;
}

void observer_watch(struct observer *observer, unsigned contestant, unsigned count) {
    struct shared *shared = observer->shared;
    while (atomic_load(&shared->order) != IDLE)
        sample_sleep_us(100);
    atomic_store(&shared->seen, 0);
    atomic_store(&shared->watching, 0);
    atomic_store(&shared->count, count);
    atomic_store(&shared->order, contestant);
    while (!atomic_load(&shared->watching)) {
        if (waitpid(observer->pid, NULL, WNOHANG) == observer->pid)
            sample_die("the observer has ended");
        sample_sleep_us(100);
    }
}

bool observer_has_seen(const struct observer *observer, unsigned index) {
    return atomic_load_explicit(&observer->shared->seen, memory_order_acquire) > index;
}

uint64_t observer_seen_ns(const struct observer *observer, unsigned index) {
    return observer->shared->seen_ns[index];
}
