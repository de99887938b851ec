/*
 * The committer: the store thread. Takes one group of changes at a time, builds the catalogs of the
 * pools it touches, makes it durable, renames the catalogs in, and hands it back. A pool whose
 * catalog can't be built costs its own commands, which are set aside before anything is stored; the
 * others' go on. While it works the event
 * loop gathers the next group, so that changes that arrive together share one fsync and one
 * catalog.
 *
 * The thread owns the store and a copy of every pool's order and records, fed by the changesets.
 */
#ifndef BROKER_COMMITTER_H
#define BROKER_COMMITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "catalog.h"
#include "change.h"
#include "descriptor.h"
#include "errand.h"
#include "map.h"
#include "publication.h"
#include "store.h"

/* A pool that the group publishes. */
struct group_target {
    uint64_t pool_id;
    struct descriptor *dir;         /* the pool's directory; a reference */
    const struct board *board;      /* borrowed, for board_reserve */
    uint64_t version;               /* for the catalog that is built */
    struct catalog_built published; /* what the board names; its version is 0 if it names none */
    bool prove;                     /* take that, if it is what the store says, and build nothing */
    bool regroup;                   /* the catalog is for another group than the directory's */
    gid_t group;
    char *group_name; /* as the record says it, if that is another group; owned */

    /* Results. -errno: there is no catalog, and the pool's commands from the first on that needs
     * one were set aside. ENOSPC: there is no room. EDQUOT: its workers hold too much of what was
     * replaced. ESTALE: what is published is not what the store says. */
    int error;
    bool crowded; /* with ENOSPC: there may be room once the group's other catalogs are published */
    bool late; /* with an error: keys were deleted all the same, and the catalog has them still */
    int publish_error; /* -errno: committed, but the catalog could not be renamed in */
    struct catalog_built built;
    struct published_key *order; /* the taker's */
    uint32_t count;
    /* From the taker: the version that this one replaced, 0 = none. Its file is unlinked when the
     * group is freed, by the thread: the pages of a large one take milliseconds to free. */
    uint64_t retired_version, retired_size;
};

/* Events asked for by somebody; answered after the group's commit, also when that failed. */
struct event_query {
    struct event_query *next;
    void *owner;
    uint64_t after;
    /* Not 0: only so many, the newest up to `last`; `after` is a result then. */
    size_t newest_count;
    uint64_t last;
    size_t limit;
    int result;           /* count or -errno */
    struct event *events; /* the taker's */
    uint64_t oldest, newest;
};
struct event_query *event_query_free(struct event_query *query); /* NULL allowed; returns NULL */

struct group {
    struct group_command {
        struct changeset set; /* of one pool */
        void *owner;          /* who waits for it; the committer does not look */
        /* Results: it was not carried out, because its pool could not be published; that may be
         * tried once more. */
        bool aside, again;
    } * commands;
    size_t count, capacity;
    struct changeset
        background;        /* states and events of reports and recoveries, after the commands */
    struct changeset held; /* result: of these, states of pools that had commands set aside */
    struct map events_of_pools; /* pool id → how many events it has in background (chronicle.c) */
    struct group_target *targets;
    size_t target_count;
    struct event_query *queries;
    struct errand *errands; /* carried out after the commit, also when that failed */
    bool only_queries;      /* and errands: nothing to commit */
    bool reopen;            /* the store is broken: bring it back first */
    bool check_master;      /* look whether the master key file still opens the store, log it */
    uint64_t next_id;
    struct group *next; /* among those to be freed */
    bool bulky;         /* … which leaves much free memory behind: give it back then */
    /* Results: */
    int error; /* 0 = durable and published, but what was set aside; -errno = nothing happened */
    const char *failed_step;
    bool broke_store; /* an errand did: the next group has to reopen it */
    uint64_t commit_ns;
};

/* The pool whose command it is. */
static inline uint64_t group_command_pool(const struct group_command *command) {
    return command->set.count ? command->set.items[0].pool_id : 0;
}

struct group *group_new(void);
struct group *group_free(struct group *group); /* returns NULL */
/* Takes over the changes, leaving *set empty. */
void group_add_command(struct group *group, struct changeset *set, void *owner);

struct committer;

/* Takes over the store. Not yet a thread: first committer_load_* with what the store holds. */
struct committer *committer_new(struct store *store);
void committer_load_pool(struct committer *committer, struct pool_record *record);
void committer_load_key(struct committer *committer, struct key_record *record, uint64_t rank);
/* Start the thread; *ret_fd is an eventfd that becomes readable when a group is back. 0 or -errno.
 */
int committer_start(struct committer *committer, int *ret_fd);
/* Hand a group over; only while none is under way. */
void committer_submit(struct committer *committer, struct group *group);
/* The group that is back, or NULL. Clears the eventfd. */
struct group *committer_take(struct committer *committer);
/* Errands that were carried out since, in any order; a backup comes long after its group if its
 * disk is slow. They are the taker's. */
struct errand *committer_take_errands(struct committer *committer);
/* Have a group that was taken freed by the thread: after a large import that takes milliseconds. */
void committer_discard(struct committer *committer, struct group *group);
/* Wait for the group and the backup under way (they must be taken after), end the threads, close
 * the store. */
struct group *committer_stop(struct committer *committer);
struct committer *committer_free(struct committer *committer);

#endif
