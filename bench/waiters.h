/*
 * A crowd of processes that sleep until there is another key: in kb_wait on a pool or, the same
 * processes, in a bare futex on one shared word. Each stamps the moment at which it knew. Used as
 * what is measured (wake.c) and as a crowd that a failover must not care about (failover.c).
 */
#ifndef BENCH_WAITERS_H
#define BENCH_WAITERS_H

#include "rig.h"

enum waiters_way { WAITERS_ON_POOL, WAITERS_ON_WORD };
enum { WAITERS_MAX = 1000 };

struct waiters;

/* They are asleep on the pool when this returns. `everywhere`: on any processor, not only on
 * CPU_WORKING. */
struct waiters *waiters_new(struct rig *rig, const char *pool, unsigned count, bool everywhere);
struct waiters *waiters_free(struct waiters *waiters);

/* Sleep so from now on. */
void waiters_use(struct waiters *waiters, enum waiters_way way);

/* Change the word and wake whoever sleeps on it; the moment before. */
uint64_t waiters_wake(struct waiters *waiters);

/* Before another key comes; until all know it: the moment at which the last one did. */
void waiters_expect(struct waiters *waiters);
uint64_t waiters_await_last_ns(struct waiters *waiters);

#endif
