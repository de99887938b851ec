/*
 * The store's LMDB file: the environment, its growth and the commit. Called by the store's other
 * files only; knows nothing of what the records mean.
 */
#include "store_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"

enum {
    MAP_FIRST_BYTES = 16 << 20,
    ROOM_LEAST_BYTES = 4 << 20, /* at least so much is free when a transaction begins */
    MAP_STEP_BYTES = 1 << 20,
};

int store_errno(int rc) {
    switch (rc) {
    case MDB_SUCCESS:
        return 0;
    case MDB_NOTFOUND:
        return -ENOENT;
    case MDB_MAP_FULL:
        return -ENOSPC;
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_PAGE_NOTFOUND:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
        return -EUCLEAN;
    case MDB_TXN_FULL:
        return -EFBIG;
    default:
        return rc > 0 ? -rc : -EIO;
    }
}

/* ---- the environment ---- */

static int open_tables(struct store *store, MDB_txn *txn, unsigned flags) {
    static const char *const NAMES[TABLE_COUNT] = { "meta",   "pools",  "keys",          "ranks",
                                                    "states", "events", STORE_RINGS_NAME };
    int rc = 0;
    for (size_t i = 0; i < TABLE_COUNT; i++)
        store->tables[i] = STORE_NO_TABLE;
    for (size_t i = 0; rc == 0 && i < TABLE_COUNT; i++)
        rc = mdb_dbi_open(txn, NAMES[i], flags, &store->tables[i]);
    if (rc == MDB_NOTFOUND && store->tables[TABLE_EVENTS] != STORE_NO_TABLE)
        rc = 0; /* an older store has no rings: its format says so, and its migration makes them */
    return rc;
}

/*
 * After a kill between the write of the meta page and the shared transaction number LMDB may show
 * the old state until a write transaction ran: so one is begun before the first read.
 */
static int settle_and_open_tables(struct store *store, bool create) {
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    mdb_txn_abort(txn);

    rc = mdb_txn_begin(store->env, NULL, create ? 0 : MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    rc = open_tables(store, txn, create ? MDB_CREATE : 0);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static void note_size(struct store *store) {
    MDB_envinfo info;
    MDB_stat stat;
    if (mdb_env_info(store->env, &info) == 0 && mdb_env_stat(store->env, &stat) == 0)
        atomic_store_explicit(&store->size_bytes, (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize,
                              memory_order_relaxed);
}

/*
 * MDB_NOLOCK: LMDB's lock file would add nothing but a descriptor and a file. The state directory
 * is locked for this process by the caller, and one thread uses the store, which never reads in one
 * transaction across a commit. (LMDB sets O_CLOEXEC on its second, meta-page descriptor, but not on
 * this one.)
 */
int store_env_open(struct store *store, const char *file, bool create) {
    assert(!store->env);
    store_rings_forget(store);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", store->dir_fd, file);
    size_t map_bytes = MAP_FIRST_BYTES;
    struct stat st;
    if (fstatat(store->dir_fd, file, &st, 0) == 0 && (size_t)st.st_size > map_bytes)
        map_bytes = (size_t)st.st_size;

    int rc = mdb_env_create(&store->env);
    if (rc != 0)
        return rc;
    rc = mdb_env_set_maxdbs(store->env, TABLE_COUNT);
    if (rc == 0)
        rc = mdb_env_set_mapsize(store->env, map_bytes);
    if (rc == 0)
        rc = mdb_env_open(store->env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600);
    mdb_filehandle_t fd;
    if (rc == 0)
        rc = mdb_env_get_fd(store->env, &fd);
    if (rc == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        rc = errno;
    if (rc == 0)
        rc = settle_and_open_tables(store, create);
    if (rc == 0)
        note_size(store);
    else
        store_env_close(store);
    return rc;
}

void store_env_close(struct store *store) {
    store_txn_abort(store);
    if (store->env)
        mdb_env_close(store->env);
    store->env = NULL;
}

/* ---- transactions ---- */

/*
 * Make the map, and the file with it, large enough. The file is sparse: its length costs nothing,
 * spares LMDB's map every hole behind its end, and lets store_inspect recognise truncation.
 */
static int make_room(struct store *store, size_t bytes) {
    MDB_envinfo info;
    MDB_stat stat;
    mdb_filehandle_t fd;
    struct stat st;
    int rc = mdb_env_info(store->env, &info);
    if (rc == 0)
        rc = mdb_env_stat(store->env, &stat);
    if (rc == 0)
        rc = mdb_env_get_fd(store->env, &fd);
    if (rc == 0 && fstat(fd, &st) < 0)
        rc = errno;
    if (rc != 0)
        return rc;

    size_t used = (info.me_last_pgno + 1) * stat.ms_psize;
    size_t want = used / 4 > ROOM_LEAST_BYTES ? used / 4 : ROOM_LEAST_BYTES;
    if (want < bytes)
        want = bytes;
    size_t size = info.me_mapsize;
    if (size < used + want)
        size = (used + 2 * want + MAP_STEP_BYTES - 1) / MAP_STEP_BYTES * MAP_STEP_BYTES;

    if ((size_t)st.st_size < size && (ftruncate(fd, (off_t)size) < 0 || fsync(fd) < 0))
        return errno;
    if (size != info.me_mapsize) {
        rc = mdb_env_set_mapsize(store->env, size);
        if (rc != 0) {
            store_env_close(store); /* it has no map any more */
            return rc;
        }
    }
    store->room_bytes = size - used;
    return 0;
}

int store_txn_begin(struct store *store, size_t bytes) {
    assert(!store->txn);
    if (!store->env)
        return EIO;
    int rc = make_room(store, bytes);
    if (rc != 0)
        return rc;
    store->staged = store->committed;
    return mdb_txn_begin(store->env, NULL, 0, &store->txn);
}

void store_txn_abort(struct store *store) {
    if (store->txn)
        mdb_txn_abort(store->txn);
    if (store->txn)
        store_rings_forget(store);
    store->txn = NULL;
}

/* Deleted under us, with its directory perhaps: what is written now is lost with the process. */
static bool is_deleted(const struct store *store) {
    mdb_filehandle_t fd;
    struct stat st;
    return mdb_env_get_fd(store->env, &fd) == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0;
}

/*
 * A commit that failed may have written anything: the next fdatasync may claim success for pages
 * that the kernel has dropped, and an error at the meta page poisons the environment. So nothing
 * more is done with it. A map that is full is noticed before the first write.
 */
int store_txn_commit(struct store *store) {
    assert(store->txn);
    if (store->faults && store->faults->before_commit) {
        int fault = store->faults->before_commit(store->faults->userdata);
        if (fault != 0) {
            store_env_close(store);
            return fault;
        }
    }
    MDB_txn *txn = store->txn;
    store->txn = NULL; /* committed or not, LMDB frees it */
    int rc = mdb_txn_commit(txn);
    if (rc == 0 && is_deleted(store))
        rc = ENOENT;
    if (rc == 0) {
        store->committed = store->staged;
        note_size(store);
        return 0;
    }
    store_rings_forget(store);
    if (rc != MDB_MAP_FULL)
        store_env_close(store);
    return rc;
}

/* ---- what was left behind ---- */

enum { SCRUB_PIECE_BYTES = 1 << 20 }; /* whole pages, whatever their size */

/* In the `have` bytes at `offset` of the file. How often, or -errno. */
static int scrub_piece(int fd, uint64_t offset, const unsigned char *piece, size_t have,
                       const void *bytes, size_t size) {
    static const unsigned char NOTHING[VAULT_WRAPPED_SIZE];
    const unsigned char *at = piece;
    int count = 0;
    assert(size <= sizeof(NOTHING));
    while ((at = memmem(at, have - (size_t)(at - piece), bytes, size))) {
        off_t place = (off_t)(offset + (uint64_t)(at - piece));
        if (pwrite(fd, NOTHING, size, place) != (ssize_t)size)
            return -EIO;
        at += size;
        count++;
    }
    return count;
}

static int scrub(int fd, uint64_t length, const void *bytes, size_t size) {
    unsigned char *piece = mem_alloc(SCRUB_PIECE_BYTES);
    int rc = 0, found = 0;
    for (uint64_t at = 0; at < length && rc >= 0; at += SCRUB_PIECE_BYTES) {
        ssize_t have = pread(fd, piece, SCRUB_PIECE_BYTES, (off_t)at);
        rc = have < 0 ? -errno : scrub_piece(fd, at, piece, (size_t)have, bytes, size);
        found += rc > 0 ? rc : 0;
    }
    free(piece);
    if (rc >= 0 && found && fdatasync(fd) < 0)
        rc = -errno;
    return rc < 0 ? rc : 0;
}

int store_file_scrub(struct store *store, const void *bytes, size_t size) {
    mdb_filehandle_t fd;
    int rc = store->env && !store->txn ? mdb_env_get_fd(store->env, &fd) : EIO;
    if (rc != 0)
        return store_errno(rc);
    rc = scrub(fd, store_size_bytes(store), bytes, size);
    if (rc < 0)
        store_env_close(store); /* as after a failed commit: the next fdatasync may lie */
    return rc;
}
