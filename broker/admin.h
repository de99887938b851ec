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

/* ---- what became of a staged command or a query; the owner is the session's reply ---- */

void admin_committed(void *owner);
void admin_refused(void *owner, const char *problem);       /* 503: nothing was changed */
void admin_unpublishable(void *owner, const char *problem); /* the same, for its pool alone */
void admin_unpublished(void *owner); /* 503: stored, and published as soon as that can be done */
void admin_events(struct event_query *query); /* frees the query */
/* Frees the errand. One that was done is answered when that is recorded. */
void admin_errand(struct server *server, struct errand *errand);

/* ---- for sessions ---- */

struct session **admin_sessions(struct admin *admin); /* head of the list of open ones */
void admin_session_closed(struct admin *admin);

#endif
