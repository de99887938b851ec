/*
 * A disk that tests make slow, full or broken while a broker uses it: the control block that a test
 * and tests/support/slow_disk.c (preloaded into the broker) share. The test creates the file, maps
 * it and names it in the environment; see slow_disk.c for the variables.
 */
#ifndef TESTS_SLOW_DISK_H
#define TESTS_SLOW_DISK_H

#include <stdatomic.h>
#include <stdint.h>

#define SLOW_DISK_CONTROL "KEYBROKER_TEST_DISK_CONTROL" /* the control block's file */
#define SLOW_DISK_PATH "KEYBROKER_TEST_DISK_PATH"       /* what lies below this path is affected */

enum slow_disk_call {
    SLOW_DISK_WRITE = 1,    /* write, writev, pwrite */
    SLOW_DISK_SYNC = 2,     /* fdatasync, fsync */
    SLOW_DISK_ALLOCATE = 4, /* ftruncate, posix_fallocate */
    SLOW_DISK_ALL = 7,
};

/* What happens at one call, the `step`-th that concerns files below the path. */
enum slow_disk_action {
    SLOW_DISK_KILL_BEFORE = 0, /* SIGKILL */
    SLOW_DISK_KILL_AFTER = 1,
    SLOW_DISK_FAIL = 2, /* with step_error, once */
};

struct slow_disk {
    _Atomic uint32_t sync_delay_us; /* every sync takes so much longer */
    _Atomic uint32_t hold;          /* not 0: no sync ends before this is 0 again */
    _Atomic uint32_t error;         /* an errno for the calls below; 0 = they work */
    _Atomic uint32_t calls;         /* enum slow_disk_call bits that fail */
    _Atomic uint32_t after;         /* let so many of them pass first */
    _Atomic uint64_t syncs_begun;   /* counted by the broker */
    _Atomic uint64_t syncs_ended;
    _Atomic uint64_t failed;
    _Atomic uint32_t counting;    /* not 0: calls are counted in `steps` */
    _Atomic uint32_t step;        /* the one at which something happens; 0 = none */
    _Atomic uint32_t step_action; /* enum slow_disk_action */
    _Atomic uint32_t step_error;
    _Atomic uint32_t steps; /* counted so far, in all lives of the broker */
    char step_only[32];     /* not "": only these calls are counted */
    char step_call[32];     /* which call it was */
};

#endif
