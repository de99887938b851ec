/*
 * A publication: what the workers of one pool see. Owns the pool's board and knows the order that
 * was published last, so that it can name the broker's own choice (the hint) in constant time, also
 * past thousands of benched keys: a bitmap of usable keys by position, searched a word of words at
 * a time.
 *
 * It lags behind the model: commands arrive here after their commit. Event loop thread only.
 */
#ifndef BROKER_PUBLICATION_H
#define BROKER_PUBLICATION_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"
#include "catalog.h"
#include "descriptor.h"
#include "heap.h"
#include "moment.h"
#include "record.h"

/* A key of the published order. */
struct published_key {
    uint64_t id;
    int64_t expires_at_ms;
    uint32_t slot;
};

struct publication {
    uint64_t pool_id;
    int dir_fd;
    struct descriptor *dir; /* the same, to be lent */
    struct board board;
    uint64_t generation; /* announced last */
    uint64_t catalog_version;
    uint64_t retired_catalog; /* 0 = none: a file that no board names any more, to be unlinked */
    uint64_t retired_size;
    uint64_t catalog_size;
    uint64_t catalog_checksum;
    uint32_t slot_count;

    struct published_key *order; /* owned */
    uint32_t count;
    uint32_t *positions;    /* slot → position, UINT32_MAX = not published */
    uint64_t *usable;       /* bitmap by position */
    uint64_t *usable_words; /* bitmap: which words of `usable` are not 0 */
    struct heap recoveries; /* (deadline, slot); an entry holds while the slot still says so */

    uint32_t choice; /* position, or KB_BOARD_NO_POSITION */
    uint64_t choice_id;
    int64_t last_failover_ms; /* wall; 0 = never: the choice changed because its key's status did */
    uint64_t failovers;
    uint64_t
        moved_from; /* the key whose status has just cost it its place; the taker sets it to 0 */
    int64_t exhausted_since_mono; /* 0 = it is not */
    int64_t exhausted_ms;         /* finished spells, summed */

    bool wake_due;
    bool wake_collided; /* a waiter on the newest generation's bit may have seen a much older one */
    uint64_t woken_generation; /* every waiter that had seen less was woken */
};

/* Adopts or makes the board in `dir_fd`, which it takes over on success. A broker that was killed
 * may have left catalogs: all but the one that the board names are unlinked. 0 or -errno. */
int publication_open(struct publication *pub, uint64_t pool_id, int dir_fd,
                     uint64_t *ret_generation);
/* Leaves board and catalog in place for attached workers. */
void publication_close(struct publication *pub);
/* The pool is gone: retire the board and remove every file; the directory is the caller's. */
void publication_retire(struct publication *pub, uint64_t generation);

/* The catalog that the board names; its version is 0 if there is none. */
struct catalog_built publication_named_catalog(const struct publication *pub);
/* A new catalog was renamed in, or the one that the board names was found right: take its order
 * (takes over the array). Slots that left are cleared.
 * After the new generation was announced the old version is in retired_catalog. */
void publication_set_catalog(struct publication *pub, const struct catalog_built *built,
                             struct published_key *order, uint32_t count);

/* The key's state is about to be set: bring what that touches into the cache, while the report is
 * still being judged. */
void publication_expect(const struct publication *pub, uint32_t slot);
/* A key's state; ignored while the key is not in the published order. */
void publication_set_state(struct publication *pub, uint32_t slot, uint64_t key_id,
                           const struct key_state *state);
/* The key is deleted, though the published catalog still has it: it is handed out no more. */
void publication_forget(struct publication *pub, uint32_t slot, uint64_t key_id);
/* Move the key's status word without changing what it says (a report on it was declined). */
void publication_touch(struct publication *pub, uint32_t slot, uint64_t key_id);

/* Make everything stored since the last announcement count. `failover`: statuses have
 * changed by themselves, so a choice that is usable no more makes a failover. */
void publication_announce(struct publication *pub, uint64_t generation, struct moment now,
                          bool failover);
/* Wake waiting readers in bounded pieces; true if there are more to wake. */
bool publication_wake(struct publication *pub);

/* ---- for those who look; in constant time, whatever thousands of keys are benched ---- */

/* The key that would be used if the current one failed now; 0 = none is current, or no other. */
uint64_t publication_next(struct publication *pub, int64_t wall_ms);
/* When the first key of an exhausted pool comes back, by the calendar as it is now. 0 = the pool
 * has a usable key, or only an operator can help. */
int64_t publication_recovers_at(struct publication *pub, struct moment now);

/* The clock was set: what was taken for expired may not be. */
void publication_recheck_expiries(struct publication *pub);

/* The directory was wiped under us: a new board in `dir_fd` (taken over) with the old one's
 * contents; the old one is retired. The catalog must be published again. 0 or -errno. */
int publication_rebuild(struct publication *pub, int dir_fd, uint64_t generation);

#endif
