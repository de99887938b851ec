/*
 * Changes: how the model tells the store, the boards and the catalogs what became different.
 *
 * One command or report yields one changeset. Every change carries what was before, so that a
 * changeset whose commit failed can be undone exactly, and what is now, so that the store thread
 * needs no access to the model. Changesets are applied in the order in which the model made them.
 */
#ifndef BROKER_CHANGE_H
#define BROKER_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "record.h"

enum change_kind {
    CHANGE_POOL, /* pool_before NULL = added, pool_after NULL = deleted (its keys are deleted first)
                  */
    CHANGE_KEY,  /* key_before NULL = added, key_after NULL = deleted */
    CHANGE_RANK, /* rank_before 0 = had none (added), rank_after 0 = has none (deleted) */
    CHANGE_STATE, /* state_after NULL = its key is being deleted: CHANGE_KEY follows and removes it
                   */
    CHANGE_EVENT,
};

struct change {
    enum change_kind kind;
    uint64_t pool_id;
    uint64_t key_id;
    union {
        struct {
            struct pool_record *before, *after; /* references owned by the change */
        } pool;
        struct {
            struct key_record *before, *after; /* references owned by the change */
        } key;
        struct {
            uint64_t before,
                after; /* a key's place: ascending within its pool; ranks are never 0 */
        } rank;
        struct {
            struct key_state *before, *after; /* owned by the change; before NULL = added */
            uint32_t pending; /* of a deletion: what else the model knew of the key */
            bool expiry_seen;
        } state;
        struct event *event; /* owned by the change */
    };
};

struct changeset {
    struct change *items;
    size_t count;
    size_t capacity;
    uint64_t bumped; /* id of the pool whose revision it has raised: once per command is enough */
};

void changeset_deinit(struct changeset *set);
/* Drop the changes from `count` on, as if they had never been made. */
void changeset_truncate(struct changeset *set, size_t count);
void changeset_pool(struct changeset *set, struct pool_record *before, struct pool_record *after);
void changeset_key(struct changeset *set, struct key_record *before, struct key_record *after);
void changeset_rank(struct changeset *set, uint64_t pool_id, uint64_t key_id, uint64_t before,
                    uint64_t after);
void changeset_state(struct changeset *set, uint64_t pool_id, uint64_t key_id,
                     const struct key_state *before, const struct key_state *after);
/* Take over an event that another changeset holds; `change` is empty then. */
void changeset_move_event(struct changeset *set, struct change *change);
struct event *changeset_event(struct changeset *set, const struct event *event);

#endif
