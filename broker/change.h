/*
 * Changes: how the model tells the store, the boards and the catalogs what became different.
 *
 * One command or report yields one changeset. Every change carries what was before, so that a
 * changeset whose commit failed can be undone exactly, and what is now, so that the store thread
 * needs no access to the model. Changesets are applied in the order in which the model made them.
 *
 * What a report or the clock did is true already, is never undone, and a failover waits for it: its
 * changeset is *live*. Such a one says only which keys changed and why; it holds during the call
 * that it was made for, and events are made of it when the boards have been written.
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
    CHANGE_HAPPENED, /* only in a live changeset */
};

struct model_key;

struct change {
    enum change_kind kind;
    uint64_t pool_id;
    uint64_t key_id;
    union {
        struct {
            struct pool_record *before, *after; /* references owned by the change */
            uint64_t keys_named;                /* of a deletion: what the model knew of the pool */
        } pool;
        struct {
            struct key_record *before, *after; /* references owned by the change */
            uint64_t keys_named; /* of an addition: how many its pool had named before */
            bool expiry_seen;    /* of a change: what the model knew of the key */
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
        struct {
            struct model_key *key; /* borrowed: has its new state already */
            uint32_t from, to;     /* its status; the same = only a deadline or the like */
            uint32_t outcome;      /* 0 = not a report */
            uint32_t http_status;
            const char *vendor_code, *reason; /* borrowed from the report and from the rules */
        } happened;
    };
};

struct changeset {
    struct change *items;
    size_t count;
    size_t capacity;
    uint64_t bumped; /* id of the pool whose revision it has raised: once per command is enough */
    bool live;       /* set by whoever hands it to the model */
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
/* `change`: all of it but kind, pool_id and key_id. */
void changeset_happened(struct changeset *set, uint64_t pool_id, uint64_t key_id,
                        const struct change *change);
/* Take over an event that another changeset holds; `change` is empty then. */
void changeset_move_event(struct changeset *set, struct change *change);
/* Move the pool's CHANGE_STATEs to the end of another changeset, in their order. */
void changeset_split_states(struct changeset *set, uint64_t pool_id, struct changeset *ret_states);
struct event *changeset_event(struct changeset *set, const struct event *event);

/* Must the pool be published anew before workers can see it? Not for deletions: the board says that
 * such a key is handed out no more. */
bool changeset_needs_catalog(const struct changeset *set);
/* Does it only tell of something, and change nothing? */
bool changeset_is_events(const struct changeset *set);

#endif
