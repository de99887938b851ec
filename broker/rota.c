/* See rota.h. */
#include "rota.h"

#include <assert.h>
#include <stdlib.h>

#include "memory.h"

struct rota_user {
    uint32_t uid;
    unsigned places;
    struct rota_places waiting;
    TAILQ_ENTRY(rota_user) in_line; /* while `waiting` is not empty */
};

void rota_init(struct rota *rota) {
    *rota = (struct rota){ 0 };
    TAILQ_INIT(&rota->line);
}

void rota_deinit(struct rota *rota) {
    assert(rota->users.count == 0);
    map_deinit(&rota->users);
}

void rota_join(struct rota *rota, struct rota_place *place, uint32_t uid, void *owner) {
    struct rota_user *user = map_get(&rota->users, uid);
    if (!user) {
        user = mem_alloc(sizeof *user);
        user->uid = uid;
        TAILQ_INIT(&user->waiting);
        map_set(&rota->users, uid, user);
    }
    user->places++;
    *place = (struct rota_place){ .user = user, .owner = owner };
}

static void stop_waiting(struct rota *rota, struct rota_place *place) {
    struct rota_user *user = place->user;
    TAILQ_REMOVE(&user->waiting, place, in_line);
    place->waiting = false;
    if (TAILQ_EMPTY(&user->waiting))
        TAILQ_REMOVE(&rota->line, user, in_line);
}

void rota_leave(struct rota *rota, struct rota_place *place) {
    struct rota_user *user = place->user;
    if (place->waiting)
        stop_waiting(rota, place);
    place->user = NULL;
    if (--user->places == 0)
        free(map_remove(&rota->users, user->uid));
}

unsigned rota_places_of(const struct rota *rota, uint32_t uid) {
    const struct rota_user *user = map_get(&rota->users, uid);
    return user ? user->places : 0;
}

void rota_wait(struct rota *rota, struct rota_place *place) {
    struct rota_user *user = place->user;
    if (place->waiting)
        return;
    if (TAILQ_EMPTY(&user->waiting))
        TAILQ_INSERT_TAIL(&rota->line, user, in_line);
    TAILQ_INSERT_TAIL(&user->waiting, place, in_line);
    place->waiting = true;
}

void *rota_next(struct rota *rota) {
    struct rota_user *user = TAILQ_FIRST(&rota->line);
    if (!user)
        return NULL;
    struct rota_place *place = TAILQ_FIRST(&user->waiting);
    stop_waiting(rota, place);
    if (!TAILQ_EMPTY(&user->waiting)) { /* its next place comes after the other users' */
        TAILQ_REMOVE(&rota->line, user, in_line);
        TAILQ_INSERT_TAIL(&rota->line, user, in_line);
    }
    return place->owner;
}

bool rota_has_work(const struct rota *rota) {
    return !TAILQ_EMPTY(&rota->line);
}
