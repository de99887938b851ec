/*
 * A session: one peer of the admin socket. Cuts its bytes into commands and payloads, runs them in
 * order, and sends the replies in the same order, each when it is ready. Changes are read ahead
 * while earlier ones wait for the disk, so that they share a commit; a command that only looks is
 * run when nothing is owed before it, so that no more than one such reply exists, in part.
 *
 * Whatever a session has to do it does in steps of some microseconds, when its turn comes
 * (session_work; admin.c gives the turns): nobody's commands hold up the event loop. Everything a
 * peer can make grow is bounded.
 */
#ifndef BROKER_SESSION_H
#define BROKER_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "buffer.h"
#include "change.h"
#include "command.h"
#include "empty_line.h"
#include "loop.h"
#include "model.h"
#include "refusal.h"
#include "rota.h"

enum {
    SESSION_LINE_MAX = 64 * 1024,
    SESSION_PAYLOAD_MAX = 1024 * 1024,
    SESSION_IMPORT_MAX = 64 * 1024 * 1024,
    SESSION_PAYLOADS_MAX = 256 * 1024 * 1024, /* of all sessions together */
    SESSION_PIPELINE_MAX = 256,               /* changes whose replies may be owed */
    SESSION_OUTPUT_HIGH = 64 * 1024, /* output is produced and commands are run while below */
    SESSION_DEAF_BEATS =
        2, /* a watcher that fell behind and takes nothing for so long is dropped */
};

struct event_query;
struct listing;

/* What is owed for one command. */
struct reply {
    struct reply *next;
    struct admin *admin;
    struct session *session; /* NULL once the peer has gone */
    bool json;
    bool ready;
    bool staged; /* somebody else holds a pointer to it: admin_committed or admin_refused comes */
    bool watch;  /* after it, events follow for ever */
    /* What is staged is only the record of something that was done, or that waits for the record:
     * what to say if it can't be stored. NULL = a change. */
    const char *unrecorded;
    bool alone;              /* nothing is run behind it before it is answered */
    struct refusal refusal;  /* code 0 = OK */
    json_t *body;            /* NULL = none */
    char *text;              /* a body that is text already (owned); instead of body */
    struct listing *listing; /* a body that is produced piece by piece; instead of body */
};

struct watch {
    bool on;
    bool begun; /* its OK was sent: from now on the output is the events' */
    bool stuck; /* the store can't be asked now; again at the next heartbeat */
    bool json;
    bool beat_due;            /* the newest heartbeat is to be sent, after what came before it */
    unsigned deaf;            /* heartbeats since it last took something */
    struct event_query *page; /* the store's answer, as far as it is not written yet; owned */
    int page_next;
    struct reply *asking; /* owner of the query that is under way */
    uint64_t next;        /* sequence number of the next event to send */
    uint64_t pool_id;     /* 0 = every pool */
};

struct session {
    struct loop_source source;
    struct session *next, **link;
    struct rota_place changing, looking; /* admin.c's */
    struct admin *admin;
    struct server *server;
    struct actor actor;
    struct actor_names names; /* the actor's */
    enum command_level level;
    struct buffer input, output;
    size_t scanned; /* input bytes that were looked at: only what follows them can help */
    size_t spent;   /* of the input: a payload that was used, to be wiped piece by piece */
    /* The command whose payload is being read: */
    bool in_payload;
    bool payload_counted;  /* else it ends with an empty line */
    size_t payload_length; /* bytes to come, when counted */
    size_t payload_limit;
    size_t payload_reserved; /* counted in server->payload_bytes */
    size_t payload_dropped;  /* refused: so much of it was not kept */
    struct empty_line payload_end;
    char *line; /* that command's line; owned */
    struct refusal payload_refusal;

    struct reply *first, **last;
    unsigned owed;
    struct watch watch;
    bool ended;    /* the peer sends no more; what it sent is still carried out */
    bool quitting; /* close once all is sent */
    bool closed;
    bool paused;
    bool writing; /* the peer has to read first: on_writable was asked for */
};

struct session *session_new(struct admin *admin, struct server *server, int fd,
                            const struct actor *actor, enum command_level level);
/* There may be something to do for it: a reply became ready, its listing may go on. */
void session_wake(struct session *session);
/* Its turn: go on with it until that moment, a step more at most. True if there is more to do. */
bool session_work(struct session *session, uint64_t until_mono_ns);
void session_drop(struct session *session, const char *why);
/* Forget a reply whose peer has gone, or that was sent. */
void reply_free(struct reply *reply);

/* Watching. */
void session_begin_watch(struct session *session, bool json, uint64_t next, uint64_t pool_id);
void session_watch_heartbeat(struct session *session);
void session_watch_answer(struct session *session, struct event_query *query); /* taken over */

/* ---- steps, session_output.c; true = something was done ---- */

bool session_write_reply(struct session *session);
bool session_write_watch(struct session *session);
/* True if nothing is left to be sent. */
bool session_flush(struct session *session);

#endif
