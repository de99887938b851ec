/*
 * An outlet: where one pool meets its workers, the directory $RUNTIME/pools/<pool> with the
 * publication (board, catalogs) and the report socket in it. Also decodes what workers send,
 * trusting nothing.
 */
#ifndef BROKER_OUTLET_H
#define BROKER_OUTLET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "loop.h"
#include "event.h"
#include "publication.h"
#include "quota.h"
#include "record.h"

struct server;

/* Workers' connections. */
TAILQ_HEAD(report_peers, report_peer);

/* What a pool is to have published though no command asks for it. */
enum due {
    DUE_NOTHING,
    DUE_PROOF,   /* to be compared with the store, and built if it differs */
    DUE_CATALOG, /* to be built */
    DUE_RETRY,   /* the same, when it is time: it could not be */
};

TAILQ_HEAD(outlets, outlet);

struct outlet {
    struct server *server;
    uint64_t pool_id;
    char name[POOL_NAME_MAX + 1];
    gid_t gid;   /* that directory, board and socket belong to */
    char *group; /* the same, as the pool's record said it; owned */
    struct publication publication;
    struct report_listener *listener; /* NULL until outlet_listen */
    bool touched;                     /* to be announced in this round; it is in server->touched */
    bool waking;                      /* readers are to be woken; it is in server->waking */
    uint32_t flags;                   /* as the board has them */
    bool target;                      /* its catalog goes into the group that is put together */
    bool shown;      /* the board says everything that the model does, but for what is staged */
    bool behind;     /* the store has changes that the workers can't see yet */
    bool complained; /* in the log, that it can't be published */
    enum due due;    /* else than nothing: it is in server->due */
    int64_t retry_mono;
    TAILQ_ENTRY(outlet) in_touched, in_waking, in_due;
    struct report_peers peers; /* its own, in any order */
    struct quota failovers_told;
    struct event *failover_held; /* the last one that was only counted; owned */
    bool exhausted_told;         /* that no key is usable */
};

/* Adopt or make the pool's directory (0750, `gid`; (gid_t)-1 = the broker's own), board and, unless
 * that waits for outlet_listen, nothing else. 0 or -errno. */
int outlet_open(struct outlet *outlet, struct server *server, const struct pool_record *pool,
                gid_t gid, uint64_t *ret_generation);
/* Open the report socket; workers may report from now on. 0 or -errno. */
int outlet_listen(struct outlet *outlet);
/* The directory was wiped, or a file in it: make it anew. The catalog must be published again. 0 or
 * -errno. */
int outlet_restore(struct outlet *outlet);
/* Give directory, board and socket to a group, `name` in the pool's record. 0 or -errno. */
int outlet_regroup(struct outlet *outlet, gid_t gid, const char *name);
bool outlet_is_in_place(const struct outlet *outlet);
/* Does the directory belong to the group that it was given to? */
bool outlet_has_its_group(const struct outlet *outlet);
/* To be announced in this round. */
void outlet_touch(struct outlet *outlet);
/* What is due to be published; moves it to the end of those that wait. */
void outlet_set_due(struct outlet *outlet, enum due due);
/* Read on from connections that rest because their users have said much; once a millisecond while
 * there are any (server->resting_peers). */
void outlets_wake_peers(struct server *server);
/* Drops the workers' connections. retire: the pool is gone, remove board, catalogs, socket and
 * directory. Frees the outlet when the loop has let go of it. */
void outlet_close(struct outlet *outlet, bool retire);

#endif
