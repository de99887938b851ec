/*
 * Workers in process tests: readers, processes that run a function of the test, and mirrors, which
 * show in shared memory what another process is handed at the moment. Everything here ends the
 * test when it cannot do its work.
 */
#ifndef TESTS_WORKER_H
#define TESTS_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <keybroker.h>

#include "broker.h"
#include "peer.h"

kb_reader *worker_open(const struct broker *broker, const char *pool);

/* A pool of `count` keys k0 (the default key), k1 …, each with the API key sk-NAME-POOL. */
void worker_make_pool(struct peer *peer, const char *pool, unsigned count);
/* The key's id, from the broker. */
uint64_t worker_key_id(struct peer *peer, const char *pool, const char *key);
/* The name of what kb_current hands out, "" = nothing. Lives like scene_text. */
const char *worker_current(kb_reader *reader);
/* A value of `show metrics`, by the whole text before it; 0 if it is not there. */
double worker_metric(struct peer *peer, const char *name);

/* Zeroed memory that forked processes share. */
void *worker_share(size_t size);
/* Run a function in a process of its own, which ends with what it returns. */
pid_t worker_fork(int (*run)(void *), void *argument);
/* Wait for its end: its exit code, or 128 + the signal that ended it. */
int worker_wait(pid_t pid);

struct mirror {
    pid_t pid;
    const struct broker *broker;
    const char *pool;
    _Atomic bool stop;
    _Atomic uint64_t looks;
    _Atomic uint64_t id; /* of kb_current; 0 = none */
    _Atomic uint64_t generation;
    _Atomic int error; /* kb_last_error, if none */
};

struct mirror *mirror_start(const struct broker *broker, const char *pool);
void mirror_stop(struct mirror *mirror);

#endif
