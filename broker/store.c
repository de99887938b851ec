/*
 * The store: opening, groups of changes, and coming back after a failed commit. Called by main at
 * start and by the store thread after; see store.h for the contract and store_internal.h for how
 * the work is divided. It decides nothing about pools and keys.
 */
#include "store_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include <keybroker_shared/board.h>

#include "memory.h"

/* ---- opening ---- */

static int check_identity(struct store *store, uint32_t *ret_format, char error[256]) {
    int rc = store_read_identity(store, ret_format, store->wrapped);
    if (rc == -ENOMEM) {
        snprintf(error, 256, STORE_FILE " cannot be read: %s", strerror(-rc));
        return rc;
    }
    if (rc < 0) {
        snprintf(error, 256, STORE_FILE " is not a store of keybroker; it was left as it is");
        return rc == -ENOENT ? -EUCLEAN : rc;
    }
    if (*ret_format > STORE_FORMAT) {
        snprintf(error, 256,
                 "the store is of format %u and this broker knows only %d: it was left as it is; "
                 "run the newer keybrokerd that wrote it",
                 *ret_format, STORE_FORMAT);
        return -ENOTSUP;
    }
    return 0;
}

static int open_vault(struct store *store, const unsigned char master[VAULT_KEY_SIZE],
                      bool *ret_by_next, char error[256]) {
    int rc = store_read_next_key(store);
    if (rc < 0) {
        snprintf(error, 256,
                 "the store's next master key cannot be read (%s); it was left as it is",
                 strerror(-rc));
        return rc;
    }
    store->vault = store_master_unwrap(store, master, ret_by_next);
    if (!store->vault) {
        snprintf(error, 256,
                 "the master key is not the one of this store; the store was left as it is");
        return -EKEYREJECTED;
    }
    return 0;
}

static void note_boot(struct store *store) {
    unsigned char boot_id[STORE_BOOT_ID_SIZE];
    store->same_boot =
        store_boot_id(boot_id) && memcmp(boot_id, store->start.boot_id, sizeof(boot_id)) == 0;
}

int store_open_file(struct store *store, const char *file,
                    const unsigned char master[VAULT_KEY_SIZE], char error[256]) {
    int rc = store_env_open(store, file, false);
    if (rc != 0) {
        bool foreign = rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE;
        snprintf(error, 256, "cannot open the store " STORE_FILE ": %s",
                 foreign ? "it is not a store of keybroker" : mdb_strerror(rc));
        return foreign ? -EUCLEAN : store_errno(rc);
    }
    uint32_t format;
    bool by_next = false;
    rc = check_identity(store, &format, error);
    if (rc == 0)
        rc = open_vault(store, master, &by_next, error);
    if (rc < 0)
        return rc;
    rc = store_read_own(store);
    if (rc < 0) {
        snprintf(error, 256,
                 "the store's own records do not authenticate (%s); nothing was changed: "
                 "restore " STORE_FILE " from a backup",
                 strerror(rc == -ENOENT ? EBADMSG : -rc));
        return rc == -ENOENT ? -EBADMSG : rc;
    }
    if (format < STORE_FORMAT) {
        rc = store_migrate(store, format, STORE_FORMAT, STORE_MIGRATIONS);
        if (rc < 0) {
            snprintf(error, 256, "cannot migrate the store from format %u to %d: %s", format,
                     STORE_FORMAT, strerror(-rc));
            return rc;
        }
    }
    if (store->tables[TABLE_RINGS] == STORE_NO_TABLE) {
        snprintf(error, 256,
                 STORE_FILE " lacks a table; nothing was changed: restore it from a backup");
        return -EUCLEAN;
    }
    rc = store_master_settle(store, by_next);
    if (rc == -EINPROGRESS)
        rc = 0;
    if (rc < 0)
        snprintf(error, 256, "cannot finish the rotation of the master key: %s", strerror(-rc));
    note_boot(store);
    return rc;
}

struct store *store_new(const struct store_options *options) {
    struct store *store = mem_alloc(sizeof(*store));
    store->dir_fd = options->state_dir_fd;
    if (options->master_key_file)
        store->master_key_file = mem_strdup(options->master_key_file);
    store->events_kept = options->events_kept ? options->events_kept : STORE_EVENTS_DEFAULT;
    store->faults = options->faults;
    return store;
}

int store_open(struct store **ret_store, const struct store_options *options, char error[256]) {
    unsigned char master[VAULT_KEY_SIZE];
    bool exists;
    int rc = store_inspect(options->state_dir_fd, &exists, error);
    if (rc < 0)
        return rc;

    struct store *store = store_new(options);
    rc = store_master_read(store, !exists, master, error);
    if (rc == 0 && !exists)
        rc = store_create(store, master, error);
    if (rc == 0)
        rc = store_open_file(store, STORE_FILE, master, error);
    sodium_memzero(master, sizeof(master));
    if (rc < 0) {
        store_close(store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

struct store *store_close(struct store *store) {
    if (store) {
        store_env_close(store);
        vault_free(store->vault);
        store_buffer_deinit(&store->plain);
        store_rings_deinit(store);
        free(store->group);
        free(store->master_key_file);
        free(store);
    }
    return NULL;
}

int store_begin_start(struct store *store, uint64_t generation_floor, uint64_t *ret_start) {
    assert(!store->txn);
    uint64_t floor = generation_floor >> KB_GENERATION_START_SHIFT;
    struct store_start start = { .count = store->start.count };
    if (start.count < floor)
        start.count = floor;
    start.count++;
    store_boot_id(start.boot_id); /* unknown: zeros, which no boot equals */
    int rc = store_write_own(store, &start);
    if (rc < 0)
        return rc;
    store->start = start;
    *ret_start = start.count;
    return 0;
}

/* ---- one change ---- */

static int apply_pool(struct store *store, const struct change *change) {
    if (!change->pool.after)
        return store_delete(store, TABLE_POOLS, change->pool_id, 0);
    store_encode_pool(&store->plain, change->pool.after);
    return store_put(store, TABLE_POOLS, change->pool_id, 0);
}

static int apply_key(struct store *store, const struct change *change) {
    uint64_t pool_id = change->pool_id, key_id = change->key_id;
    if (change->key.after) {
        store_encode_key(&store->plain, change->key.after);
        return store_put(store, TABLE_KEYS, pool_id, key_id);
    }
    int rc = store_delete(store, TABLE_KEYS, pool_id, key_id);
    if (rc == 0)
        rc = store_delete(store, TABLE_RANKS, pool_id, key_id);
    if (rc == 0)
        rc = store_delete(store, TABLE_STATES, pool_id, key_id);
    return rc;
}

static int apply_rank(struct store *store, const struct change *change) {
    if (change->rank.after == 0)
        return store_delete(store, TABLE_RANKS, change->pool_id, change->key_id);
    store_encode_rank(&store->plain, change->rank.after);
    return store_put(store, TABLE_RANKS, change->pool_id, change->key_id);
}

static int apply_state(struct store *store, const struct change *change) {
    if (!change->state.after)
        return store_delete(store, TABLE_STATES, change->pool_id, change->key_id);
    store_encode_state(&store->plain, change->state.after);
    return store_put(store, TABLE_STATES, change->pool_id, change->key_id);
}

static int apply_change(struct store *store, const struct change *change) {
    switch (change->kind) {
    case CHANGE_POOL:
        return apply_pool(store, change);
    case CHANGE_KEY:
        return apply_key(store, change);
    case CHANGE_RANK:
        return apply_rank(store, change);
    case CHANGE_STATE:
        return apply_state(store, change);
    case CHANGE_EVENT:
        return store_put_event(store, change->event);
    case CHANGE_HAPPENED: /* stored as a state and an event, never as itself */
        break;
    }
    return EINVAL; /* a kind that the model cannot make */
}

static int apply_set(struct store *store, const struct changeset *set) {
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < set->count; i++)
        rc = apply_change(store, &set->items[i]);
    return rc;
}

/* ---- groups ---- */

enum { GROW_TRIES = 6 };

static size_t estimate(const struct changeset *set) {
    size_t bytes = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct change *change = &set->items[i];
        size_t plain = 1024; /* everything but a key's record is about so large at most */
        if (change->kind == CHANGE_KEY && change->key.after)
            plain += strlen(change->key.after->config) + strlen(change->key.after->note);
        else if (change->kind == CHANGE_RANK)
            plain = 16;
        bytes += store_record_bytes(plain);
        if (change->kind == CHANGE_EVENT)
            bytes += store_record_bytes(16); /* its place in its ring */
    }
    return bytes;
}

static void remember(struct store *store, const struct changeset *set) {
    if (store->group_count == store->group_capacity) {
        store->group_capacity = store->group_capacity ? store->group_capacity * 2 : 64;
        store->group = mem_resize(store->group, store->group_capacity, sizeof(*store->group));
    }
    store->group[store->group_count++] = *set;
    store->group_bytes += estimate(set);
}

/*
 * The map can grow only between transactions: the group is aborted and applied again in a larger
 * one. Events get the same sequence numbers again.
 */
static int replay_in_larger_map(struct store *store) {
    size_t wish = store->group_bytes;
    int rc = MDB_MAP_FULL;
    for (int i = 0; rc == MDB_MAP_FULL && i < GROW_TRIES; i++) {
        store_txn_abort(store);
        if (wish < store->room_bytes + 1)
            wish = store->room_bytes + 1;
        rc = store_txn_begin(store, 2 * wish);
        wish *= 2;
        for (size_t set = 0; rc == 0 && set < store->group_count; set++)
            rc = apply_set(store, &store->group[set]);
    }
    return rc;
}

int store_begin(struct store *store) {
    assert(!store->txn);
    store->group_count = 0;
    store->group_bytes = 0;
    return store_errno(store_txn_begin(store, 0));
}

int store_apply(struct store *store, struct changeset *set) {
    if (!store->txn)
        return -EIO;
    remember(store, set);
    int rc = store->group_bytes > store->room_bytes ? MDB_MAP_FULL : apply_set(store, set);
    if (rc == MDB_MAP_FULL)
        rc = replay_in_larger_map(store);
    if (rc != 0)
        store_abort(store);
    return store_errno(rc);
}

static int finish_group(struct store *store, uint64_t next_id) {
    int rc = store_trim_events(store);
    store->staged.next_id = next_id;
    store->staged.groups++;
    return rc == 0 ? store_put_counters(store) : rc;
}

int store_commit(struct store *store, uint64_t next_id) {
    if (!store->txn)
        return -EIO;
    int rc = 0;
    for (int i = 0; rc == 0 && i < GROW_TRIES; i++) {
        rc = finish_group(store, next_id);
        if (rc == 0)
            rc = store_txn_commit(store);
        if (rc != MDB_MAP_FULL)
            break;
        rc = replay_in_larger_map(store);
    }
    if (rc == 0 && store->txn)
        rc = MDB_MAP_FULL; /* replayed once more than it was tried */
    store_abort(store);
    return store_errno(rc);
}

void store_abort(struct store *store) {
    store_txn_abort(store);
    store->group_count = 0;
    store->group_bytes = 0;
}

/* ---- after a failure ---- */

bool store_is_broken(const struct store *store) {
    return !store->env;
}

/* Is what the disk holds now what was acknowledged last? */
static int check_unchanged(struct store *store) {
    struct store_counters before = store->committed;
    struct store_start start = store->start;
    unsigned char wrapped[VAULT_WRAPPED_SIZE];
    uint32_t format;
    int rc = store_read_identity(store, &format, wrapped);
    if (rc < 0)
        return rc;
    /* A rotation that failed to be stored may have gone through after all. */
    bool first = memcmp(wrapped, store->wrapped, sizeof(wrapped)) == 0;
    bool next = store->next_key != NEXT_KEY_NONE &&
                memcmp(wrapped, store->next_wrapped, sizeof(wrapped)) == 0;
    if (format != STORE_FORMAT || (!first && !next))
        return -ESTALE;
    memcpy(store->wrapped, wrapped, sizeof(wrapped));
    rc = store_read_next_key(store);
    if (rc == 0)
        rc = store_read_own(store);
    bool same = rc == 0 && store->committed.groups == before.groups &&
                store->committed.last_event == before.last_event &&
                store->committed.next_id == before.next_id && store->start.count == start.count;
    if (same && store->committed.last_version < before.last_version)
        store->committed.last_version = before.last_version;
    if (!same) { /* stay what we were, so that the next attempt finds the same */
        store->committed = before;
        store->start = start;
    }
    return rc < 0 ? rc : same ? 0 : -ESTALE;
}

int store_reopen(struct store *store) {
    char error[256];
    bool exists;
    store_env_close(store);
    int rc = store_inspect(store->dir_fd, &exists, error);
    if (rc == 0 && !exists)
        rc = -ENOENT;
    if (rc == 0)
        rc = store_errno(store_env_open(store, STORE_FILE, false));
    if (rc < 0)
        return rc;
    rc = check_unchanged(store);
    if (rc == 0)
        rc = store_write_own(store, NULL);
    if (rc < 0)
        store_env_close(store);
    return rc;
}

uint64_t store_size_bytes(const struct store *store) {
    return atomic_load_explicit(&store->size_bytes, memory_order_relaxed);
}
