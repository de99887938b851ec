/*
 * What the store ought to hold. Called by the store's other files only.
 *
 * A record is sealed and bound to its place, so nobody without the data key can make or change one.
 * But who can write the file could put an older record of the same place back, or take one away.
 * Hence the counters, which change with every group, hold tallies: for each sealed record a number
 * that only the data key's holder can tell (vault_mark), summed up over all of them modulo 2^64,
 * twice. Writing or deleting a record changes the sum by that record's number alone.
 *
 * At start everything is added up again. Pools and keys that don't add up are not served: an older
 * state might enable what was disabled. Events that don't are told of, and counted as they are from
 * then on: what they show is less than what happened, but keys work.
 *
 * A copy of the whole file, counters and all, adds up: that is what a backup is.
 */
#include "store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Where the record counts; NULL = nowhere: the counters themselves, and what stands as it is. */
static uint64_t *sum_of(struct store_tally *tally, enum store_table table, uint64_t a) {
    if (table == TABLE_META && a != META_START)
        return NULL;
    return table == TABLE_EVENTS || table == TABLE_RINGS ? tally->events : tally->records;
}

static void change_tally(const struct store *store, struct store_tally *tally,
                         enum store_table table, uint64_t a, uint64_t b, const MDB_val *value,
                         bool add) {
    uint64_t mark[2], *sum = sum_of(tally, table, a);
    if (!sum)
        return;
    store_mark(store, table, a, b, value, mark);
    for (size_t i = 0; i < 2; i++)
        sum[i] += add ? mark[i] : -mark[i];
}

void store_tally_add(struct store *store, enum store_table table, uint64_t a, uint64_t b,
                     const MDB_val *value) {
    change_tally(store, &store->staged.tally, table, a, b, value, true);
}

void store_tally_subtract(struct store *store, enum store_table table, uint64_t a, uint64_t b,
                          const MDB_val *value) {
    change_tally(store, &store->staged.tally, table, a, b, value, false);
}

/* ---- adding up ---- */

static int count_table(const struct store *store, MDB_txn *txn, enum store_table table,
                       struct store_tally *tally) {
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, store->tables[table], &cursor);
    if (rc != 0)
        return store_errno(rc);
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        const unsigned char *bytes = key.mv_data;
        uint64_t a = key.mv_size >= 8 ? store_big_endian(bytes) : 0;
        uint64_t b = key.mv_size >= 16 ? store_big_endian(bytes + 8) : 0;
        change_tally(store, tally, table, a, b, &value, true);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : store_errno(rc);
}

int store_tally_count(const struct store *store, MDB_txn *txn, struct store_tally *ret_tally) {
    struct store_tally tally = { 0 };
    for (enum store_table table = 0; table < TABLE_COUNT; table++) {
        int rc = count_table(store, txn, table, &tally);
        if (rc < 0)
            return rc;
    }
    *ret_tally = tally;
    return 0;
}

static bool same(const uint64_t a[2], const uint64_t b[2]) {
    return a[0] == b[0] && a[1] == b[1];
}

int store_tally_check(struct store *store, MDB_txn *txn, char error[256]) {
    struct store_tally found, *wanted = &store->committed.tally;
    int rc = store_tally_count(store, txn, &found);
    if (rc < 0) {
        snprintf(error, 256, "cannot read the store: %s", strerror(-rc));
        return rc;
    }
    if (!same(found.records, wanted->records)) {
        snprintf(error, 256,
                 "a record of a pool or key was put back or taken away since the last commit; "
                 "nothing was changed: restore " STORE_FILE " from a backup");
        return -EBADMSG;
    }
    store->events_changed = !same(found.events, wanted->events);
    memcpy(wanted->events, found.events, sizeof(found.events));
    return 0;
}

int store_begin_tally(struct store *store) {
    return store_tally_count(store, store->txn, &store->staged.tally);
}
