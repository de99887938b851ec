/*
 * The chronicle: what of all that happens becomes an event, and what becomes a line of the log.
 * Called by the pipeline and the heartbeat, after the boards were written: a failover waits for
 * none of it. Everything that others can cause is bounded: changes of a key that goes to and fro
 * and failovers are counted beyond a rate, and what waits for the disk is shared by the pools.
 */
#ifndef BROKER_CHRONICLE_H
#define BROKER_CHRONICLE_H

#include "model.h"

struct server;

/* Keep the events of something that is already true for the next commit. `cause` is for what a live
 * changeset says; NULL: they were kept before, and their group failed. */
void chronicle_keep(struct server *server, const struct cause *cause, struct changeset *set);
/* A live changeset was announced: which pools have gone over to another key because of it? */
void chronicle_failovers(struct server *server, const struct cause *cause,
                         const struct changeset *set);
/* Counted changes whose time has come. */
void chronicle_tick(struct server *server);
/* Once a second: pools without a usable key, keys that expire soon, counted failovers. */
void chronicle_beat(struct server *server);

#endif
