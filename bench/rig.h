/*
 * A real broker to measure: directories of its own, start, readiness, end, and an admin connection.
 * Used by every section of the bench. The state lies under build/ (a disk), the runtime directory
 * in /dev/shm. Whatever becomes of the bench, a janitor process removes both, and the kernel ends
 * the broker with it. Ends the process when something does not work.
 */
#ifndef BENCH_RIG_H
#define BENCH_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <keybroker.h>

#include "tests/support/slow_disk.h"

struct rig {
    char build[512];
    char state[600];
    char runtime[64]; /* short: sockets lie below it */
    int notify;
    pid_t broker;         /* 0 = none runs */
    bool slow_disk_ready; /* start brokers so that rig_delay_syncs works on them */
    struct slow_disk *disk;
};

struct rig_admin {
    int fd;
    FILE *replies;
};

void rig_open(struct rig *rig, const char *build);
/* With the state in memory: with rig_delay_syncs, a disk that takes exactly so long. */
void rig_open_in_memory(struct rig *rig, const char *build);
void rig_close(struct rig *rig); /* stops the broker, removes the directories */

/* Start on CPU_WORKING and wait for READY=1; nanoseconds that took. `loop`: io_uring or epoll. */
uint64_t rig_start(struct rig *rig, const char *loop);
void rig_stop(struct rig *rig);
void rig_kill(struct rig *rig); /* as a crash would */

/* From now on every sync of the store takes so much longer; 0 = none. Needs slow_disk_ready. */
void rig_delay_syncs(struct rig *rig, unsigned delay_us);

struct rig_admin rig_admin_open(const struct rig *rig);
void rig_admin_close(struct rig_admin *admin);
__attribute__((format(printf, 2, 3))) void rig_admin_send(struct rig_admin *admin,
                                                          const char *format, ...);
/* The next reply's body in `text` (may be NULL); anything but OK ends the process. */
void rig_admin_take(struct rig_admin *admin, char *text, size_t size);

/* The sum of all of the broker's metrics whose line begins so. */
double rig_metric(struct rig_admin *admin, const char *beginning);

/* Enable these keys, pipelined. */
void rig_enable(struct rig *rig, const char *pool, const uint64_t *ids, size_t count);

/* A pool of `count` keys named key1 … by one import; `extra` is more JSON for each key, or "". */
void rig_make_pool(struct rig *rig, const char *pool, const char *strategy, unsigned count,
                   const char *extra);

kb_reader *rig_reader(const struct rig *rig, const char *pool);

/* A bare connection to the pool's report socket. */
int rig_connect_report(const struct rig *rig, const char *pool);

#endif
