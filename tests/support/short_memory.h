/*
 * Memory that runs short in a broker: the control block that a test and
 * tests/support/short_memory.c (preloaded) share. The test creates the file, maps it and names it
 * in the environment.
 */
#ifndef TESTS_SHORT_MEMORY_H
#define TESTS_SHORT_MEMORY_H

#include <stdatomic.h>
#include <stdint.h>

#define SHORT_MEMORY_CONTROL "KEYBROKER_TEST_MEMORY_CONTROL" /* the control block's file */

struct short_memory {
    _Atomic int64_t fail_at;    /* this allocation from now fails, 1 = the next; 0 = none does */
    _Atomic uint64_t allocated; /* counted by the broker */
    _Atomic uint64_t failed;
    _Atomic uint32_t failed_for_libc; /* on its own behalf: look-ups, stdio */
    _Atomic uint32_t accepts_failing; /* accept4 finds no descriptor in the whole system */
};

#endif
