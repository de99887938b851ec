/*
 * The admin socket: who may come in, and the sessions that are open. Decides by the peer's
 * credentials: root, the daemon's own user and members of --admin-group may change, members of
 * --viewer-group look.
 */
#ifndef BROKER_ADMIN_H
#define BROKER_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"

struct admin;
struct bulletin;
struct errand;
struct event_query;
struct server;
struct session;

/* Listen at $RUNTIME/admin.sock. 0 or -errno. */
int admin_open(struct admin **ret_admin, struct server *server);
/* Drop every session. Returns NULL; memory goes when the loop has let go. */
struct admin *admin_close(struct admin *admin);

/* The socket's file is gone (a wiped directory): listen at a new one. */
void admin_check(struct admin *admin);
/* A durable event, to those who watch; a heartbeat, once a second. */
void admin_event(struct admin *admin, const struct event *event);
void admin_heartbeat(struct admin *admin);
/* Go on with what sessions ask for: some tens of microseconds a turn for all of them, however many
 * they are and whatever they ask for, so that reports are heard between; users take turns. Who only
 * looks has, after a burst, no more than a share of a processor: a thread that works all the time
 * has to wait for one where others want it too, and reports would wait with it. The moment
 * (monotonic) at which there is more to do; INT64_MAX = nothing is. */
int64_t admin_work(struct admin *admin);
/* The broker ends: send what is ready, as far as peers take it. */
void admin_finish(struct admin *admin);

/* ---- what became of a staged command or a query; the owner is the session's reply ---- */

void admin_committed(void *owner);
void admin_refused(void *owner, const char *problem);       /* 503: nothing was changed */
void admin_unpublishable(void *owner, const char *problem); /* the same, for its pool alone */
void admin_unpublished(void *owner); /* 503: stored, and published as soon as that can be done */
void admin_events(struct event_query *query); /* takes over the query */
/* Frees the errand. One that was done is answered when that is recorded. */
void admin_errand(struct server *server, struct errand *errand);

/* ---- for sessions ---- */

struct session **admin_sessions(struct admin *admin); /* head of the list of open ones */
void admin_session_closed(struct admin *admin, struct session *session);
/* There is something to do for the session; `looks`: nothing but looking. */
void admin_wake(struct admin *admin, struct session *session, bool looks);
struct bulletin *admin_bulletin(struct admin *admin);
void admin_begin_watch(struct admin *admin);
/* Ask the store for events; the query, whose owner is a reply, comes back by admin_events. */
void admin_ask(struct admin *admin, struct event_query *query);

#endif
