/*
 * The store: the broker's private LMDB, the one place where an acknowledged change must survive.
 * Records are sealed by the vault. Used by one thread at a time: main at start, the store thread
 * after. Besides the catalog writer, only its files (store*.c) call mdb_*.
 *
 * Hazards (LMDB 0.9.24): its descriptors come without O_CLOEXEC; a full disk shows as EIO; a
 * meta-page write error poisons the environment until it is reopened; after a failed fdatasync the
 * next may lie. So a failed commit closes the environment, and store_reopen brings it back. Never
 * WRITEMAP, NOSYNC, NOMETASYNC. One LMDB file (MDB_NOSUBDIR) "store.mdb" in the state directory,
 * which is 0700. The map grows by itself: before a transaction when little is free, and when a
 * group does not fit it is aborted, the map is made larger and the group is applied again. The file
 * is sparse and as long as the map (store_size_bytes tells what is used).
 *
 * Tables: meta (format version, wrapped data key, start counter, next id, event sequence, boot id),
 * pools, keys, ranks, states, events, rings (whose share of the events each belongs to).
 */
#ifndef BROKER_STORE_H
#define BROKER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "change.h"
#include "event.h"
#include "record.h"

enum { STORE_FORMAT = 4, STORE_EVENTS_DEFAULT = 100000 };

struct store;

/* The calls that can fail in a disk's many ways; tests replace them. */
struct store_faults {
    int (*before_commit)(void *userdata); /* 0, or an errno to fail the commit with; may sleep */
    void *userdata;
};

struct store_options {
    int state_dir_fd;            /* mode 0700, locked by the caller, open as long as the store */
    const char *master_key_file; /* NULL: $CREDENTIALS_DIRECTORY/master.key, else master.key in the
                                    state dir */
    uint64_t events_kept;        /* 0 = STORE_EVENTS_DEFAULT; half of them for operators, the rest
                                    shared by the pools */
    const struct store_faults *faults; /* NULL = none */
};

/*
 * Open or make the store. A master key is made only where no store exists yet. A missing or wrong
 * master key, a store of a newer format, or one that is no LMDB file: a clear sentence in `error`,
 * nothing is written. Older formats are migrated in one transaction. 0 or -errno.
 */
int store_open(struct store **ret_store, const struct store_options *options, char error[256]);

/* Call once, after store_open (store_load may come before or after). The start counter is
 * incremented to more than both its old value and `generation_floor >> KB_GENERATION_START_SHIFT`,
 * and the machine's boot is noted, durably. 0 or -errno: then the broker must not publish. */
int store_begin_start(struct store *store, uint64_t generation_floor, uint64_t *ret_start);
struct store *store_close(struct store *store); /* NULL allowed; returns NULL */

/* Does the master key file still open this store? If it is the key that store_rotate_master was
 * given, that one takes the former one's place. 0, or -errno with a sentence. */
int store_check_master(struct store *store, char error[256]);

/*
 * Another master key. Without `given` a new one is made and its file put into the old one's place;
 * the store holds the data key wrapped by both until that is durable. -EROFS with a sentence where
 * the broker may not write the file. With `given` (from an operator who keeps the key) the store is
 * opened by both from now on, until the new one is found in place (at a start, or by
 * store_check_master). 0 or -errno with a sentence.
 */
int store_rotate_master(struct store *store, const unsigned char *given, char error[256]);

/*
 * A copy of everything that is committed, to a new file at an absolute path outside the state
 * directory. _begin takes the copy (at the speed of memory: nothing waits for a disk) and _finish,
 * which any thread may call and which frees the backup, gives it its checksum, syncs it and lets it
 * appear under its name, whole. Nothing is ever overwritten: -EEXIST. 0 or -errno with a sentence.
 */
struct store_backup;
int store_backup_begin(struct store *store, const char *path, struct store_backup **ret_backup,
                       char error[256]);
int store_backup_finish(struct store_backup *backup, uint64_t *ret_bytes, char error[256]);

/* Make the store of a backup, where none is yet (-EEXIST): the master key must open it, and every
 * byte and record must be what was written. Whole, or nothing. 0 or -errno with a sentence. */
int store_restore(const struct store_options *options, int backup_fd, char error[256]);

/* Everything, at start. Records are the callee's to keep (one reference each). Stops at the first
 * record that does not authenticate, at a key without its rank or state, and where a record of a
 * pool or key is not the one that was committed last: -EBADMSG with a sentence. same_boot:
 * monotonic times in states were taken since the machine booted. Pools come before their keys. */
struct store_loader {
    void *userdata;
    void (*pool)(void *userdata, struct pool_record *record);
    void (*key)(void *userdata, struct key_record *record, uint64_t rank,
                const struct key_state *state);
};
int store_load(struct store *store, const struct store_loader *loader, uint64_t *ret_next_id,
               uint64_t *ret_last_event, bool *ret_same_boot, char error[256]);

/*
 * One group: begin, apply any number of changesets in order, then commit (durable when it returns
 * 0) or abort. Events in the changesets are given their sequence numbers in place; too many ones
 * are trimmed in the same transaction. `next_id` is stored with the group. The changes must stay as
 * they are until the group is committed or aborted: it may have to be applied again in a larger
 * map. Any failure (-errno) aborts the group; after a failed commit the environment is closed and
 * every call but store_reopen, store_is_broken and store_close fails -EIO.
 */
int store_begin(struct store *store);
int store_apply(struct store *store, struct changeset *set);
int store_commit(struct store *store, uint64_t next_id);
void store_abort(struct store *store);
bool store_is_broken(const struct store *store);

/* Bring a broken store back, and prove it with a durable write; on failure it stays broken and may
 * be tried again. -ESTALE: the disk does not hold what was acknowledged last (the failed group went
 * through after all, or older ones were lost): only a new start, which loads anew, can go on. */
int store_reopen(struct store *store);

/* Events seq > `after`, oldest first, at most `limit`, into a new array. *ret_oldest: the oldest
 * kept, *ret_last: the newest. Of those between, the sequence numbers of pools with many events may
 * be missing: every pool and the operators have a share of what is kept. Count or -errno. */
int store_events(struct store *store, uint64_t after, size_t limit, struct event **ret_events,
                 uint64_t *ret_oldest, uint64_t *ret_last);

/* After store_load: were events put back or taken away since the last commit, by somebody who can
 * write the file? (Pools and keys that were: store_load refuses the store.) */
bool store_events_were_changed(const struct store *store);

/* The number behind which the newest `count` events up to `last` come; holes are passed over. 0:
 * there are fewer, or they can't be read. */
uint64_t store_events_newest(struct store *store, uint64_t last, size_t count);

/* Bytes in use by the store file, for metrics. */
uint64_t store_size_bytes(const struct store *store);

#endif
