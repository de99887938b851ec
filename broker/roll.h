/*
 * A roll: the ids of a pool's keys in their order at one moment, for lists that are produced piece
 * by piece while the pool changes. Lists of the same moment share one, whoever asked for them: many
 * lists of a large pool cost its size once. Reference-counted; event loop only.
 */
#ifndef BROKER_ROLL_H
#define BROKER_ROLL_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

struct roll {
    struct roll *next, **link; /* among all rolls */
    unsigned references;
    uint64_t pool_id;
    struct pool_record *record; /* of that moment: every change of the order makes a new one */
    unsigned restarts;
    uint32_t count;
    uint32_t filled; /* ids of this many keys are there */
    uint64_t *ids;
};

/* A reference to the pool's roll of now, in the list at *rolls. */
struct roll *roll_of(struct roll **rolls, struct model_pool *pool);
/* Copy some more ids. True once all are there; then it stays as it is. */
bool roll_fill(struct roll *roll, const struct model *model);
struct roll *roll_unref(struct roll *roll); /* NULL allowed; returns NULL */

#endif
