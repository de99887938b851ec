/*
 * Reading the store: everything at start, events whenever somebody asks. Never writes.
 *
 * With MDB_NOLOCK nothing holds pages for a reader; that is safe because no read transaction here
 * outlives its call and the store belongs to one thread at a time.
 */
#include "store_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- everything ---- */

struct loading {
    struct store *store;
    const struct store_loader *loader;
    MDB_txn *txn;
    char *error;
};

static int refuse(const struct loading *loading, const char *what, uint64_t pool_id,
                  uint64_t key_id, int rc) {
    const char *why = rc == -ENOENT ? "is missing" : "does not authenticate";
    if (rc != -ENOENT && rc != -EBADMSG)
        why = strerror(-rc);
    if (key_id != 0)
        snprintf(loading->error, 256,
                 "the store's %s record of key #%" PRIu64 " in pool #%" PRIu64
                 " %s; nothing was changed: restore " STORE_FILE " from a backup",
                 what, key_id, pool_id, why);
    else
        snprintf(loading->error, 256,
                 "the store's %s record #%" PRIu64 " %s; nothing was changed: restore " STORE_FILE
                 " from a backup",
                 what, pool_id, why);
    return rc == -ENOENT ? -EBADMSG : rc;
}

static int load_pool(const struct loading *loading, const MDB_val *key, const MDB_val *value) {
    struct store *store = loading->store;
    uint64_t id = key->mv_size == 8 ? store_big_endian(key->mv_data) : 0;
    struct pool_record *record = NULL;
    if (key->mv_size == 8 && store_unseal(store, TABLE_POOLS, id, 0, value))
        record = store_decode_pool(store->plain.data, store->plain.length);
    if (!record || record->id != id) {
        pool_record_unref(record);
        return refuse(loading, "pool", id, 0, -EBADMSG);
    }
    loading->loader->pool(loading->loader->userdata, record);
    return 0;
}

static int load_rank_and_state(const struct loading *loading, uint64_t pool_id, uint64_t key_id,
                               uint64_t *rank, struct key_state *state) {
    struct store *store = loading->store;
    int rc = store_get(store, loading->txn, TABLE_RANKS, pool_id, key_id);
    if (rc == 0 && !store_decode_rank(store->plain.data, store->plain.length, rank))
        rc = -EBADMSG;
    if (rc < 0)
        return refuse(loading, "rank", pool_id, key_id, rc);
    rc = store_get(store, loading->txn, TABLE_STATES, pool_id, key_id);
    if (rc == 0 && !store_decode_state(store->plain.data, store->plain.length, state))
        rc = -EBADMSG;
    return rc < 0 ? refuse(loading, "state", pool_id, key_id, rc) : 0;
}

static int load_key(const struct loading *loading, const MDB_val *key, const MDB_val *value) {
    struct store *store = loading->store;
    const unsigned char *bytes = key->mv_data;
    bool known = key->mv_size == 16;
    uint64_t pool_id = known ? store_big_endian(bytes) : 0;
    uint64_t key_id = known ? store_big_endian(bytes + 8) : 0;
    struct key_record *record = NULL;
    if (known && store_unseal(store, TABLE_KEYS, pool_id, key_id, value))
        record = store_decode_key(store->plain.data, store->plain.length);
    if (!record || record->id != key_id || record->pool_id != pool_id) {
        key_record_unref(record);
        return refuse(loading, "key", pool_id, key_id, -EBADMSG);
    }

    uint64_t rank = 0;
    struct key_state state;
    int rc = load_rank_and_state(loading, pool_id, key_id, &rank, &state);
    if (rc < 0) {
        key_record_unref(record);
        return rc;
    }
    loading->loader->key(loading->loader->userdata, record, rank, &state);
    return 0;
}

static int load_table(const struct loading *loading, enum store_table table,
                      int (*load)(const struct loading *, const MDB_val *, const MDB_val *)) {
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(loading->txn, loading->store->tables[table], &cursor);
    if (rc != 0) {
        snprintf(loading->error, 256, "cannot read the store: %s", mdb_strerror(rc));
        return store_errno(rc);
    }
    int result = 0;
    while (result == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        result = load(loading, &key, &value);
    mdb_cursor_close(cursor);
    if (result == 0 && rc != MDB_NOTFOUND) {
        snprintf(loading->error, 256, "cannot read the store: %s", mdb_strerror(rc));
        result = store_errno(rc);
    }
    return result;
}

int store_load(struct store *store, const struct store_loader *loader, uint64_t *ret_next_id,
               uint64_t *ret_last_event, bool *ret_same_boot, char error[256]) {
    struct loading loading = { .store = store, .loader = loader, .error = error };
    if (!store->env) {
        snprintf(error, 256, "the store is closed after a failed commit");
        return -EIO;
    }
    int rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &loading.txn);
    if (rc != 0) {
        snprintf(error, 256, "cannot read the store: %s", mdb_strerror(rc));
        return store_errno(rc);
    }
    rc = load_table(&loading, TABLE_POOLS, load_pool);
    if (rc == 0)
        rc = load_table(&loading, TABLE_KEYS, load_key);
    if (rc == 0) /* after what can name the record */
        rc = store_tally_check(store, loading.txn, error);
    mdb_txn_abort(loading.txn);
    store_buffer_clear(&store->plain);
    if (rc == 0) {
        *ret_next_id = store->committed.next_id;
        *ret_last_event = store->committed.last_event;
        *ret_same_boot = store->same_boot;
    }
    return rc;
}

bool store_events_were_changed(const struct store *store) {
    return store->events_changed;
}

/* ---- events ---- */

static int read_event(struct store *store, const MDB_val *key, const MDB_val *value,
                      struct event *ret_event) {
    uint64_t seq = key->mv_size == 8 ? store_big_endian(key->mv_data) : 0;
    if (seq == 0 || !store_unseal(store, TABLE_EVENTS, seq, 0, value) ||
        !store_decode_event(store->plain.data, store->plain.length, ret_event) ||
        ret_event->seq != seq)
        return -EBADMSG;
    return 0;
}

/* Fill `events` from the cursor's first event after `after`. The count, or -errno. */
static int read_events(struct store *store, MDB_cursor *cursor, uint64_t after, size_t limit,
                       struct event *events) {
    unsigned char bytes[16];
    MDB_val value, key = { .mv_data = bytes };
    key.mv_size = store_record_key(TABLE_EVENTS, after + 1, 0, bytes);
    size_t count = 0;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (rc == 0 && count < limit) {
        int result = read_event(store, &key, &value, &events[count]);
        if (result < 0)
            return result;
        count++;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return rc == 0 || rc == MDB_NOTFOUND ? (int)count : store_errno(rc);
}

uint64_t store_events_newest(struct store *store, uint64_t last, size_t count) {
    MDB_txn *txn;
    MDB_cursor *cursor;
    unsigned char bytes[16];
    MDB_val value, key = { .mv_data = bytes };
    key.mv_size = store_record_key(TABLE_EVENTS, last + 1, 0, bytes);
    if (!store->env || mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn) != 0)
        return 0;
    int rc = mdb_cursor_open(txn, store->tables[TABLE_EVENTS], &cursor);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return 0;
    }
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    rc = mdb_cursor_get(cursor, &key, &value, rc == 0 ? MDB_PREV : MDB_LAST);
    while (rc == 0 && --count)
        rc = mdb_cursor_get(cursor, &key, &value, MDB_PREV);
    uint64_t seq = rc == 0 && key.mv_size == 8 ? store_big_endian(key.mv_data) : 1;
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return seq - 1;
}

static int oldest_event(const struct store *store, MDB_cursor *cursor, uint64_t *ret_oldest) {
    MDB_val key, value;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    if (rc == MDB_NOTFOUND)
        *ret_oldest = store->committed.last_event + 1;
    else if (rc == 0 && key.mv_size == 8)
        *ret_oldest = store_big_endian(key.mv_data);
    else
        return rc == 0 ? -EUCLEAN : store_errno(rc);
    return 0;
}

int store_events(struct store *store, uint64_t after, size_t limit, struct event **ret_events,
                 uint64_t *ret_oldest, uint64_t *ret_last) {
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    struct event *events = NULL;
    uint64_t oldest = 0, last = store->committed.last_event;
    int rc = store->env ? store_errno(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn)) : -EIO;
    if (rc < 0)
        return rc;
    rc = store_errno(mdb_cursor_open(txn, store->tables[TABLE_EVENTS], &cursor));
    if (rc == 0)
        rc = oldest_event(store, cursor, &oldest);
    if (rc == 0 && after < last) {
        uint64_t first = after + 1 > oldest ? after + 1 : oldest;
        uint64_t available = last >= first ? last - first + 1 : 0;
        size_t most = available < limit ? (size_t)available : limit;
        most = most > INT32_MAX ? INT32_MAX : most;
        events = calloc(most > 0 ? most : 1, sizeof(*events));
        rc = events ? read_events(store, cursor, after, most, events) : -ENOMEM;
    }
    if (cursor)
        mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    store_buffer_clear(&store->plain);
    if (rc < 0) {
        free(events);
        return rc;
    }
    *ret_events = events;
    *ret_oldest = oldest;
    *ret_last = last;
    return rc;
}
