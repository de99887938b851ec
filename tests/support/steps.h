/*
 * kill -9 at every step: work is done in a child process again and again, and the child is killed
 * at its first system call, its second, and so on, until it comes to its end. What it leaves behind
 * each time is the test's to judge.
 */
#ifndef TESTS_STEPS_H
#define TESTS_STEPS_H

#include <stdbool.h>

struct steps {
    bool (*prepare)(void *userdata); /* in the child, not counted; NULL = nothing */
    bool (*work)(void *userdata);    /* in the child */
    void *userdata;
};

enum steps_end { STEPS_KILLED, STEPS_DONE, STEPS_FAILED, STEPS_IMPOSSIBLE };

/* Kill it as it enters its system call number `step` (from 1 on). STEPS_DONE: it had fewer;
 * STEPS_IMPOSSIBLE: processes may not be traced here. */
enum steps_end steps_kill_at(const struct steps *steps, unsigned step);

#endif
