/*
 * What the store's own files share; nobody else (but their tests) includes it.
 *
 *   store_inspect.c whether LMDB can be trusted with the file
 *   store_file.c    the LMDB file: environment, growth, commit
 *   store_record.c  one record: its LMDB key, sealing, opening
 *   store_meta.c    the store's own records: making a store, format and migrations, starts
 *   store_master.c  where the master key is, and how another one takes its place
 *   store_load.c    reading: everything at start, events later
 *   store_rings.c   which events are kept
 *   store_tally.c   what there ought to be, so that nothing is put back or taken away unseen
 *   store_backup.c  a copy of everything, and bringing it back
 *   store.c         opening, groups, reopening
 *
 * On disk: LMDB keys are fixed-width big-endian numbers (meta: item; pools: pool id; keys, ranks
 * and states: pool id, key id; events: sequence number; rings: ring, number in it). A value is its
 * version (64 bits, little-endian, from one counter for the whole store) and the sealed bytes of
 * store_codec.h; the vault's label is table, both numbers and version. In meta, format (32 bits),
 * data key (wrapped by the master key) and next key (its origin, and the data key wrapped by
 * another master key) stand as they are: they must be readable before anything can be unsealed.
 */
#ifndef BROKER_STORE_INTERNAL_H
#define BROKER_STORE_INTERNAL_H

#include <limits.h>
#include <stdatomic.h>

#include <lmdb.h>

#include "store.h"
#include "store_codec.h"
#include "vault.h"

#define STORE_FILE "store.mdb"
#define STORE_NEW_FILE "store.mdb.new"

/* Numbers that are part of every record's label: never renumbered. */
enum store_table {
    TABLE_META = 0,
    TABLE_POOLS = 1,
    TABLE_KEYS = 2,
    TABLE_RANKS = 3,
    TABLE_STATES = 4,
    TABLE_EVENTS = 5,
    TABLE_RINGS = 6, /* since format 3 */
    TABLE_COUNT
};
#define STORE_RINGS_NAME "rings"
#define STORE_NO_TABLE UINT_MAX /* a table that the file has not */

enum store_meta_item {
    META_FORMAT = 1,
    META_DATA_KEY = 2,
    META_COUNTERS = 3,
    META_START = 4,
    META_NEXT_KEY = 5
};

/* A second wrap of the data key, by the master key that is to take the first one's place. */
enum store_next_key {
    NEXT_KEY_NONE = 0,
    NEXT_KEY_OWN = 1,   /* the broker is putting its file in place: a crash has interrupted that */
    NEXT_KEY_GIVEN = 2, /* an operator puts it in place, whenever that will be */
};

/* Events that give way to each other (store_rings.c), by their numbers in the ring. */
struct store_ring {
    uint64_t id;
    uint64_t first, next;
};
struct store_rings {
    struct store_ring *items; /* by id; none is empty */
    size_t count, capacity;
    uint64_t events; /* of all */
    bool known;      /* else the table has to be looked through */
};

struct store {
    int dir_fd;
    char *master_key_file; /* NULL: as store_options says */
    uint64_t events_kept;
    const struct store_faults *faults;

    struct vault *vault;
    unsigned char wrapped[VAULT_WRAPPED_SIZE];
    enum store_next_key next_key;
    unsigned char next_wrapped[VAULT_WRAPPED_SIZE]; /* unless NEXT_KEY_NONE */

    MDB_env *env; /* NULL: broken, until store_reopen */
    MDB_dbi tables[TABLE_COUNT];
    MDB_txn *txn; /* the write transaction in progress; NULL = none */

    struct store_counters committed;
    struct store_counters staged; /* as they will be when the transaction commits */
    struct store_start start;
    bool same_boot;
    bool events_changed;      /* between the last commit and this start, by somebody else */
    struct store_rings rings; /* as the transaction in progress, else the last one, has them */

    /* The open group, to be replayed in a larger map if it does not fit. The changes are the
     * caller's. */
    struct changeset *group;
    size_t group_count;
    size_t group_capacity;
    size_t group_bytes; /* estimated */
    size_t room_bytes;  /* free in the map when the transaction began */

    struct store_buffer plain;   /* wiped after each use */
    _Atomic uint64_t size_bytes; /* may be read by any thread */
};

/* ---- store_inspect.c ---- */

/* Is there a store file that LMDB can be trusted with? 0 with *ret_exists (a missing or empty file
 * does not exist), or -errno with a sentence. Never writes. */
int store_inspect(int dir_fd, bool *ret_exists, char error[256]);

/* ---- store_file.c ---- */

/* LMDB's return code as 0 or -errno. */
int store_errno(int rc);

/* Open the environment on a file of the state directory and, unless `create`, its tables. LMDB's
 * return code; nothing stays open on failure. */
int store_env_open(struct store *store, const char *file, bool create);
void store_env_close(struct store *store); /* aborts a transaction; the store is broken after */

/* Begin a write transaction with room for at least `bytes` and then some. LMDB's return code. */
int store_txn_begin(struct store *store, size_t bytes);
void store_txn_abort(struct store *store);

/* Commit; durable when it returns 0. LMDB's return code. MDB_MAP_FULL: nothing was written, the
 * transaction is gone; any other failure closes the environment. */
int store_txn_commit(struct store *store);

/* Overwrite what no tree holds any more, neither the last commit's nor the one's before: LMDB
 * leaves it in free pages. `bytes` must be within one page. 0 or -errno, and then the environment
 * is closed. */
int store_file_scrub(struct store *store, const void *bytes, size_t size);

/* ---- store_record.c ---- */

/* How many bytes of the file a record of so many plain bytes may take. */
size_t store_record_bytes(size_t plain);

uint64_t store_big_endian(const unsigned char *bytes);
size_t store_record_key(enum store_table table, uint64_t a, uint64_t b, unsigned char key[16]);

/* In the write transaction; LMDB's return codes. store_put seals what store->plain holds and wipes
 * it. Deleting what is not there is no error. */
int store_put(struct store *store, enum store_table table, uint64_t a, uint64_t b);
int store_delete(struct store *store, enum store_table table, uint64_t a, uint64_t b);

/* Unseal a value into store->plain; the caller clears it. False: it does not authenticate. */
bool store_unseal(struct store *store, enum store_table table, uint64_t a, uint64_t b,
                  const MDB_val *value);
/* Find and unseal. 0, -ENOENT, -EBADMSG or another -errno. */
int store_get(struct store *store, MDB_txn *txn, enum store_table table, uint64_t a, uint64_t b);

/* The sealed record's number for the tally. */
void store_mark(const struct store *store, enum store_table table, uint64_t a, uint64_t b,
                const MDB_val *value, uint64_t ret_mark[2]);

/* ---- store_tally.c ---- */

/* In the write transaction: a record comes, or goes. */
void store_tally_add(struct store *store, enum store_table table, uint64_t a, uint64_t b,
                     const MDB_val *value);
void store_tally_subtract(struct store *store, enum store_table table, uint64_t a, uint64_t b,
                          const MDB_val *value);
/* All that there is, added up. 0 or -errno. */
int store_tally_count(const struct store *store, MDB_txn *txn, struct store_tally *ret_tally);
/* Is it what the last commit left? 0, -EBADMSG with a sentence, another -errno. Where only events
 * are not, store->events_changed says so, and the next commit takes them as they are. */
int store_tally_check(struct store *store, MDB_txn *txn, char error[256]);
/* Migration: a store without tallies gets them. 0 or -errno. */
int store_begin_tally(struct store *store);

/* ---- store_rings.c ---- */

/* In the write transaction; LMDB's return codes. Number an event and store it; let go of those that
 * are too many. */
int store_put_event(struct store *store, struct event *event);
int store_trim_events(struct store *store);
/* A transaction was aborted: what is known of the rings may not be so. */
void store_rings_forget(struct store *store);
void store_rings_deinit(struct store *store);
/* Migration: every event of a store without rings gets its place in one. 0 or -errno. */
int store_index_events(struct store *store);

/* ---- store_meta.c ---- */

/* Make a new store in the state directory: whole under its name, or not at all. */
int store_create(struct store *store, const unsigned char master[VAULT_KEY_SIZE], char error[256]);

/* The format of an open environment, and its wrapped data key. 0 or -errno. */
int store_read_identity(struct store *store, uint32_t *ret_format,
                        unsigned char ret_wrapped[VAULT_WRAPPED_SIZE]);
int store_read_next_key(struct store *store);
int store_read_own(struct store *store); /* counters and start, into committed and start */

/* In the write transaction: what is staged. LMDB's return code. */
int store_put_counters(struct store *store);

/* A durable write of the counters, and of `start` if it is not NULL. 0 or -errno. */
int store_write_own(struct store *store, const struct store_start *start);

/* A durable change of what stands as it is: the data key as store->wrapped has it, and the next one
 * as store->next_key says. 0 or -errno. */
int store_write_wraps(struct store *store);

/* STORE_NEW_FILE becomes the store, durably. 0 or -errno. */
int store_put_in_place(int dir_fd);

/* From format `from` to `to`, in one transaction: steps[f] takes the store from f to f + 1, within
 * store->txn; a NULL step does not exist. 0 or -errno. */
typedef int (*store_migration)(struct store *store);
int store_migrate(struct store *store, uint32_t from, uint32_t to, const store_migration *steps);
extern const store_migration STORE_MIGRATIONS[STORE_FORMAT];

/* False if the kernel does not say. */
bool store_boot_id(unsigned char ret_boot_id[STORE_BOOT_ID_SIZE]);

/* ---- store_master.c ---- */

/* Read the master key; where `may_make`, a missing one in the state directory is made. 0 or -errno
 * with a sentence. */
int store_master_read(struct store *store, bool may_make, unsigned char master[VAULT_KEY_SIZE],
                      char error[256]);

/* The vault that `master` opens, as wrapped or as the next key; NULL = neither. */
struct vault *store_master_unwrap(const struct store *store,
                                  const unsigned char master[VAULT_KEY_SIZE], bool *ret_by_next);

/* The master key in place opened the store: finish what a rotation began. `by_next`: it is the next
 * key, so the former one goes. 0 or -errno; -EINPROGRESS: both stay, because the file can't be
 * synced.
 */
int store_master_settle(struct store *store, bool by_next);

/* ---- store.c ---- */

/* Nothing is open yet; store_close frees it. */
struct store *store_new(const struct store_options *options);

/* Open a file of the state directory as the store: identity, vault, the store's own records. 0 or
 * -errno with a sentence. */
int store_open_file(struct store *store, const char *file,
                    const unsigned char master[VAULT_KEY_SIZE], char error[256]);

#endif
