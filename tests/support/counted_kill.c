/*
 * Linked into the broker of the cov variant (make coverage), and nothing else: a broker that is
 * about to be killed leaves its counts first. broker_kill (broker.c) asks for it with
 * COUNTED_SIGNAL. A thread of its own does it, so that it interrupts nothing that it needs itself.
 */
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

#include "broker/sandbox.h"
#include "counted.h"

extern void __gcov_dump(void);

static sigset_t signals;

static void *wait_for_the_end(void *userdata) {
    int signal_number;
    sandbox_drop_privileges(); /* as the broker's own threads will, which look alike to tests */
    if (sigwait(&signals, &signal_number) == 0) {
        __gcov_dump();
        raise(SIGKILL); /* the filter lets it send signals to nobody else */
    }
    return userdata;
}

/* Before main, and so before the filter. Its thread takes no other signal, and the broker's threads
 * have this one blocked. */
static __attribute__((constructor)) void begin(void) {
    pthread_t thread;
    sigset_t all, before;
    sigemptyset(&signals);
    sigaddset(&signals, COUNTED_SIGNAL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_create(&thread, NULL, wait_for_the_end, NULL);
    sigaddset(&before, COUNTED_SIGNAL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
