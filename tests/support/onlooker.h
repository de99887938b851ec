/*
 * Onlookers: worker processes that read pools without a pause while a test does its worst to the
 * broker, and check every answer. They stop at the first one that is wrong; the test asks at the
 * end. Every key that they meet must have an API key that begins with "sk-NAME-".
 */
#ifndef TESTS_ONLOOKER_H
#define TESTS_ONLOOKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum onlooker_task {
    ONLOOKER_READS = 0,
    ONLOOKER_REOPENS = 1, /* attaches anew all the time */
    ONLOOKER_REPORTS = 2, /* reports keys of the last pool (not its key "default") */
};

/* Shared by the test and the process. */
struct onlooker {
    pid_t pid;
    enum onlooker_task task;
    const char *runtime_dir;
    const char *const *pools; /* ends with NULL; at most 8 */
    _Atomic bool stop;
    _Atomic uint64_t looks, switches, reports;
    _Atomic bool failed;
    char problem[256]; /* why, if failed */
};

/* Start one; `runtime_dir` and `pools` must outlive it. NULL if the machine has no more. */
struct onlooker *onlooker_start(enum onlooker_task task, const char *runtime_dir,
                                const char *const *pools);

/* End it and wait for it. False if anything was wrong: onlooker->problem says what. */
bool onlooker_stop(struct onlooker *onlooker);
struct onlooker *onlooker_free(struct onlooker *onlooker); /* stopped before; NULL allowed */

#endif
