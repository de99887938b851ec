/*
 * A session: one peer of the admin socket. Cuts its bytes into commands and payloads, runs them in
 * order, and sends the replies in the same order, each when it is ready; commands are read ahead
 * while earlier ones wait for the disk, so that they share a commit. Everything a peer can make
 * grow is bounded.
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
#include "loop.h"
#include "model.h"
#include "refusal.h"

enum {
    SESSION_LINE_MAX = 64 * 1024,
    SESSION_PAYLOAD_MAX = 1024 * 1024,
    SESSION_IMPORT_MAX = 64 * 1024 * 1024,
    SESSION_PAYLOADS_MAX = 256 * 1024 * 1024, /* of all sessions together */
    SESSION_PIPELINE_MAX = 256,               /* replies that may be owed; then reading pauses */
    SESSION_OUTPUT_MAX = 4 * 1024 * 1024,     /* a watcher that lets more pile up is dropped */
    SESSION_OUTPUT_HIGH = 256 * 1024,         /* lists are produced and commands read while below */
};

struct listing;

/* What is owed for one command. */
struct reply {
    struct reply *next;
    struct session *session; /* NULL once the peer has gone */
    bool json;
    bool ready;
    bool staged; /* somebody else holds a pointer to it: admin_committed or admin_refused comes */
    bool watch;  /* after it, events follow for ever */
    /* What is staged is only the record of something that was done, or that waits for the record:
     * what to say if it can't be stored. NULL = a change. */
    const char *unrecorded;
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
    bool live;            /* has been sent everything older */
    struct reply *asking; /* owner of the query that is under way */
    uint64_t next;        /* sequence number of the next event to send */
    uint64_t pool_id;     /* 0 = every pool */
};

struct session {
    struct loop_source source;
    struct session *next, **link;
    struct admin *admin;
    struct server *server;
    struct actor actor;
    struct actor_names names; /* the actor's */
    enum command_level level;
    struct buffer input, output;
    size_t scanned; /* input bytes known to hold no line end */
    /* The command whose payload is being read: */
    bool in_payload;
    bool payload_counted;  /* else it ends with an empty line */
    size_t payload_length; /* bytes to come, when counted */
    size_t payload_limit;
    size_t payload_reserved; /* counted in server->payload_bytes */
    char *line;              /* that command's line; owned */
    struct refusal payload_refusal;

    struct reply *first, **last;
    unsigned owed;
    struct watch watch;
    bool ended;    /* the peer sends no more; what it sent is still carried out */
    bool quitting; /* close once all is sent */
    bool closed;
    bool paused;
    bool writing; /* on_writable was asked for */
};

struct session *session_new(struct admin *admin, struct server *server, int fd,
                            const struct actor *actor, enum command_level level);
/* A reply became ready, or its listing may go on: send what can be sent. */
void session_pump(struct session *session);
void session_drop(struct session *session, const char *why);
/* Reading had to pause and need not any more. */
bool session_may_resume(const struct session *session);
/* Forget a reply whose peer has gone, or that was sent. */
void reply_free(struct reply *reply);

/* Watching. */
void session_watch_event(struct session *session, const struct event *event);
void session_watch_heartbeat(struct session *session, uint64_t last_event, int64_t wall_ms);
void session_watch_answer(struct session *session, const struct event *events, int count,
                          uint64_t oldest, uint64_t newest);

#endif
