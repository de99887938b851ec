/*
 * The board's writer: makes, adopts and writes one pool's board (keybroker_shared/board.h). Owns
 * the file and its mapping; called from the event loop only, except board_reserve (see there).
 * Knows nothing of rules: what to write is the publisher's business, the order of stores is this
 * file's.
 */
#ifndef BROKER_BOARD_H
#define BROKER_BOARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <keybroker_shared/board.h>

struct board {
    struct kb_board *shared; /* mapped read-write, MAP_SHARED */
    int fd;
    dev_t device;
    ino_t inode;
};

/*
 * Adopt the board in the pool's directory if there is a sound one (right magic, layout and size, a
 * regular file of ours), else make one aside (mode 0640, the directory's group, full size sparse,
 * header page allocated, magic stored last) and rename it in; an unsound or foreign file that it
 * replaces is marked replaced first where that is possible. Symbolic links are never followed.
 * *ret_generation: the highest generation that this board or the replaced one shows, 0 if new.
 * 0 or -errno.
 */
int board_open(struct board *board, int pool_dir_fd, uint64_t *ret_generation);
void board_close(struct board *board); /* unmaps; the file stays */

/* Allocate slots 0 … count-1 (posix_fallocate), so that no write or read of them can fail later.
 * May be called from the store thread: touches only the file. 0 or -errno (ENOSPC). */
int board_reserve(const struct board *board, uint32_t count);

/* Is the file at the board's name still this one? False after a wipe. */
bool board_is_in_place(const struct board *board, int pool_dir_fd);

/* Who serves; on every start and once a second. */
void board_set_broker(struct board *board, uint64_t start, uint32_t pid);
void board_beat(struct board *board, int64_t mono_ms);
void board_set_flags(struct board *board, uint32_t flags); /* KB_BOARD_… */

/* One key's slot: deadline, valid_since, backoff, status (release). Visible to a reader that looks,
 * but announced only by board_announce. `word` 0 clears the slot. */
struct board_entry {
    uint64_t word;
    uint64_t deadline_ms;
    uint64_t valid_since;
    uint32_t backoff;
};
void board_set_slot(struct board *board, uint32_t slot, const struct board_entry *entry);

/* The catalog to use from the next announcement on. */
void board_set_catalog(struct board *board, uint64_t version, uint64_t size, uint64_t checksum,
                       uint32_t slot_count);

/* Store the hint, then the generation (release). `position` KB_BOARD_NO_POSITION = nothing usable;
 * hint_until_ms UINT64_MAX = nobody recovers by himself. The generation must grow. */
struct board_hint {
    uint64_t catalog_version;
    uint64_t until_ms;
    uint32_t position;
};
void board_announce(struct board *board, uint64_t generation, const struct board_hint *hint);

/* Mark replaced, then move the generation: readers attach anew. */
void board_retire(struct board *board, uint64_t generation);

/* Wake readers that sleep in kb_wait, at most `limit`; those that have already seen `generation`
 * sleep on (they wait on another bit: 1 << (generation & 31)) unless `everybody`. Returns how many
 * were woken: equal to limit = there may be more. */
int board_wake(struct board *board, uint64_t generation, bool everybody, int limit);

/* Wake the readers that wait on `generation`'s own bit, all at once: those that saw it, and those
 * that saw one 32 or more before, whose turn a round may have missed. */
void board_wake_own(struct board *board, uint64_t generation);

#endif
