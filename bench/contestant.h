/*
 * One way of telling another process to use the next key: what the failover sections compare. A
 * contestant is played by two processes: the reporter, who makes it and says that the present key
 * failed, and the observer (observer.h), forked after it was made, who is to see the next one.
 * Whoever carries the news (relay, broker, server) lives on CPU_WORKING beside the reporter.
 */
#ifndef BENCH_CONTESTANT_H
#define BENCH_CONTESTANT_H

#include <stdint.h>

#include "rig.h"

struct contestant {
    /* The observer's: once, before anything else; which key is it now; return once it is another
     * than at the last look or return. */
    void (*attach)(struct contestant *contestant);
    void (*look)(struct contestant *contestant);
    void (*await)(struct contestant *contestant);
    /* The reporter's: say that the present key failed; when it began to say so. */
    uint64_t (*report)(struct contestant *contestant);
    /* After a round: make what failed usable again, and check. NULL = nothing to do. */
    void (*settle)(struct contestant *contestant);
    struct contestant *(*free)(struct contestant *contestant);
};

/* The reference: a process that waits in recv on a SOCK_SEQPACKET socket and makes one store to
 * shared memory, on which the observer spins, or where it `blocks`, sleeps in a futex that the
 * relay wakes. */
struct contestant *contestant_relay_new(bool blocks);

/* keybroker; the observer spins in kb_current or, where it `blocks`, sleeps in kb_wait. */
struct contestant *contestant_broker_new(struct rig *rig, const char *pool, bool blocks);

/* The same, spinning, but each failure is reported by `count` connections one right after the
 * other. Checks that no other key failed by it. */
struct contestant *contestant_storm_new(struct rig *rig, const char *pool, unsigned count);

/* Redis: the reporter SETs the next key and PUBLISHes it in one write; the observer has subscribed,
 * or where it `polls`, GETs each 100 ms. */
struct contestant *contestant_redis_new(const char *socket_path, bool polls);

/* A file in `directory`: written anew and renamed over; the observer waits for inotify, then opens,
 * reads and closes it. */
struct contestant *contestant_file_new(const char *directory);

#endif
