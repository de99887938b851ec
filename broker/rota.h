/*
 * Whose turn it is: who has work waits here, users take turns, and so do the places of one user. So
 * nobody gets more of the event loop's time by asking at more places, and nobody is passed over.
 * Pure.
 */
#ifndef BROKER_ROTA_H
#define BROKER_ROTA_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "map.h"

struct rota_user;

/* A place in the rota; embedded in what has work now and then. */
struct rota_place {
    struct rota_user *user; /* NULL = it has not joined */
    void *owner;
    bool waiting;
    TAILQ_ENTRY(rota_place) in_line;
};

TAILQ_HEAD(rota_places, rota_place);
TAILQ_HEAD(rota_users, rota_user);

struct rota {
    struct map users;       /* uid → rota_user, while it has places */
    struct rota_users line; /* those of whom a place waits */
};

void rota_init(struct rota *rota);
void rota_deinit(struct rota *rota); /* after everybody has left */

void rota_join(struct rota *rota, struct rota_place *place, uint32_t uid, void *owner);
void rota_leave(struct rota *rota, struct rota_place *place);
/* How many places the user has. */
unsigned rota_places_of(const struct rota *rota, uint32_t uid);

/* There is work at this place; nothing happens if it waits already. */
void rota_wait(struct rota *rota, struct rota_place *place);
/* The owner of the place whose turn it is, which waits no more; NULL = nobody has work. */
void *rota_next(struct rota *rota);
bool rota_has_work(const struct rota *rota);

#endif
