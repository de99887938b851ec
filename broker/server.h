/*
 * The server: everything in its place while the broker runs. Owns loop, model, committer and the
 * pools' outlets, and the one way that changes take:
 *
 *   command → model (staged) → server_stage → committer (durable, catalog built and renamed in)
 *           → boards, catalogs, generation → the peer's OK, watchers
 *   report  → model → board, generation → (later, coalesced) committer → watchers
 *
 * server.c is the loop's turns and the heartbeat, pipeline.c the way of a change, targets.c which
 * pools a group publishes, startup.c how it comes up and goes down, outlets.c every pool's place in
 * the runtime directory.
 */
#ifndef BROKER_SERVER_H
#define BROKER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "committer.h"
#include "loop.h"
#include "metrics.h"
#include "model.h"
#include "names.h"
#include "options.h"
#include "outlet.h"

struct admin;

struct server {
    struct options options;
    int state_fd, runtime_fd, pools_fd;
    int state_lock_fd, runtime_lock_fd;
    struct loop *loop;
    struct model *model;
    struct committer *committer;
    struct admin *admin;
    struct map outlets;      /* pool id → outlet */
    struct outlets touched;  /* of them, to be announced in this round */
    struct outlets waking;   /* whose readers are to be woken */
    struct outlets due;      /* to be published anew without a command */
    struct map report_users; /* uid → its connections to report sockets (outlet.c) */
    uint32_t resting_peers;  /* of them, not read for the moment */
    uint32_t kept_reports;   /* theirs, that had come before they were put to rest */
    struct names names;
    struct metrics metrics;
    struct moment now; /* read once per turn */
    struct moment started;
    uint64_t start;   /* the store's start counter */
    uint64_t changes; /* low bits of the last generation or catalog version */
    uint64_t last_event;

    struct changeset happening; /* what a report or the clock is just changing */
    struct group *gathering;    /* the next group */
    bool committing;            /* a group is with the committer */
    unsigned errands;           /* that somebody waits for */
    bool reload;                /* SIGHUP: the next group checks the master key */
    bool store_ok;
    char store_problem[128];
    int64_t background_mono; /* not before: a commit of what nobody waits for */
    int64_t retry_mono;      /* not before: the next try after a failure of the store */
    uint64_t events_dropped;
    struct quota failover_lines, expiry_lines; /* of the log */
    size_t expiry_cursor;                      /* keys are looked at in turn: which expire soon? */
    size_t payload_bytes;                      /* that admin sessions may fill now */
    uint64_t descriptors;                      /* that the process may have open */
    uint64_t pools_most;         /* with so many of these they leave enough for the rest */
    struct roll *rolls;          /* orders that lists are being made of (roll.h) */
    uint32_t report_connections; /* at most, so that descriptors are left for the rest */

    struct loop_source commit_source, signal_source;
    int64_t next_beat_mono, shown_life_mono;
    bool checking;          /* the pools' directories are being looked at, a piece a turn: */
    size_t check_next;      /* from here on */
    int64_t wall_offset_ms; /* wall − mono at the last turn: a jump is a set clock */
    bool stopping;
    bool failed; /* stopping because serving on would be wrong */
};

/* ---- server.c ---- */

/* Serve until SIGTERM or SIGINT. 0 or -errno. */
int server_run(struct server *server);
/* A number that no worker has seen yet: generations and catalog versions are drawn from one
 * counter, so that generations of different pools can be compared. */
uint64_t server_next_generation(struct server *server);
/* The pause (pause.h; the owner is the server) of all that takes long: workers' reports are let in,
 * so that a failover need not wait for an import, and the heart beats. Between two keys, not in
 * the middle of a change: a report may change any key's state, and nothing else. */
void server_pause(void *owner);

/* ---- pipeline.c ---- */

/* Queue a command's changes (taken over); `owner` is answered by admin_committed or admin_refused.
 */
void server_stage(struct server *server, struct changeset *set, void *owner);
/* A report from a worker's socket. */
void server_report(struct server *server, struct outlet *outlet, const struct actor *actor,
                   const struct report *report, uint64_t received_ns);
/* What the clock made happen. */
void server_tick(struct server *server);
/* Ask for events; answered by admin_events. Takes over the query. */
void server_query_events(struct server *server, struct event_query *query);
/* Have an errand carried out (taken over); answered by admin_errand. */
void server_send_errand(struct server *server, struct errand *errand);
/* Hand the gathered group over if the committer is free. */
void server_flush(struct server *server);
/* When server_flush wants to be called for what it holds back; INT64_MAX = nothing. */
int64_t server_background_due(const struct server *server);
/* The committer's eventfd is readable. */
void server_group_done(struct server *server);
/* Write everything that the model says to every board and announce it, e.g. after the clock was
 * set. */
void server_show_all(struct server *server);
/* Everything that the model says of a pool's keys, on a board that does not say it yet. */
void server_show_pool(struct server *server, struct outlet *outlet, uint64_t generation);
/* The pool's commands are taken back: nothing of it is staged any more. */
void server_settle_pool(struct server *server, uint64_t pool_id, uint64_t generation);

/* ---- targets.c ---- */

/* The pools that the group publishes: those whose catalogs its commands change, and of those that
 * are due all that are only to be proven, but one that is to be built: room for one is enough. */
void server_collect_targets(struct server *server, struct group *group);
/* The group is stored: the commands that were set aside leave it. First those that are refused are
 * undone, with what was gathered on top of them; that may pause and let reports in, so it comes
 * before `generation` is drawn. Then their pools are as before, and the others are put back, to be
 * tried once more before later ones. */
void server_take_back_aside(struct server *server, struct group *group);
void server_settle_aside(struct server *server, struct group *group, uint64_t generation);
/* States that reports left, of pools that had commands set aside, are to be stored later. */
void server_keep_held(struct server *server, const struct group *group);
/* Why a command of the pool was set aside. */
void server_explain_aside(const struct server *server, const struct group *group, uint64_t pool_id,
                          char problem[256]);
/* What was renamed in goes to the boards, to be announced; what could not be is tried again. */
void server_take_targets(struct server *server, struct group *group, uint64_t generation);
/* Can all of its pool's workers see the command? */
bool server_is_published(const struct server *server, const struct group_command *command);
/* When a pool is to be built the next time; INT64_MAX = none is. */
int64_t server_publication_due(const struct server *server);

/* ---- startup.c ---- */

/* Bring everything up; logs why not. 0 or -errno. */
int server_start(struct server *server);
void server_shut_down(struct server *server);
/* --restore: make the store of a backup and end. Logs what became of it. 0 or -errno. */
int server_restore(struct server *server);
/* SIGHUP: check the master key file, and that what is published is what the store says. */
void server_reload(struct server *server);
/* Open, lock and remember $RUNTIME and $RUNTIME/pools; replaces what was open before. 0 or -errno.
 */
int server_open_runtime(struct server *server);
bool server_runtime_is_in_place(const struct server *server);
/* How many descriptors are left for workers' connections beside so many pools; -EMFILE: so few that
 * no pool should be added. */
int server_share_descriptors(struct server *server, size_t pools);

/* ---- outlets.c ---- */

/* Outlets for all pools of the model, at start; remains of other pools are removed. *ret_floor: the
 * highest generation that any board showed. 0 or -errno. */
int server_open_outlets(struct server *server, uint64_t *ret_floor);
/* Is there a pool in the runtime directory that a broker has published? Beside a new store that
 * means that the store is the wrong one, or gone: its workers' keys must not be taken from them. */
bool server_has_foreign_pools(const struct server *server);
/* A pool's group by name or number, "" = (gid_t)-1; 0 or a refusal. May block. */
int server_find_group(const char *group, gid_t *ret_gid, struct refusal *refusal);
/* A pool's directory, board and report socket; 0 or a refusal. Undone by server_close_outlet. */
int server_open_outlet(struct server *server, const struct model_pool *pool,
                       struct refusal *refusal);
/* May the broker give a pool's files to this group? Nothing is changed; the pool's directory
 * follows its record when that is published. 0 or a refusal. */
int server_check_group(struct server *server, const char *group, struct refusal *refusal);
void server_close_outlet(struct server *server, uint64_t pool_id, bool retire);

#endif
