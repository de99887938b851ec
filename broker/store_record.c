/*
 * One record of the store: its LMDB key, its sealing and opening. Called by the store's other files
 * only. Plain text exists in store->plain alone and is wiped there.
 */
#include "store_internal.h"

#include <assert.h>
#include <errno.h>

enum { VERSION_SIZE = 8 };

static void put_big_endian(unsigned char *at, uint64_t value) {
    for (size_t i = 0; i < 8; i++)
        at[i] = (unsigned char)(value >> (56 - 8 * i));
}

uint64_t store_big_endian(const unsigned char *bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}

size_t store_record_key(enum store_table table, uint64_t a, uint64_t b, unsigned char key[16]) {
    put_big_endian(key, a);
    if (table == TABLE_META || table == TABLE_POOLS || table == TABLE_EVENTS)
        return 8;
    put_big_endian(key + 8, b);
    return 16;
}

/* Large values have pages of their own; small ones share theirs, which may be half empty. Their
 * neighbours' pages are copied too, hence the addition. */
size_t store_record_bytes(size_t plain) {
    size_t sealed = VERSION_SIZE + VAULT_OVERHEAD + plain;
    return sealed < 2000 ? 2 * sealed + 512 : sealed + 4096 + 512;
}

/* What stands there now is about to be replaced or deleted. */
static int take_from_tally(struct store *store, enum store_table table, uint64_t a, uint64_t b,
                           MDB_val *key) {
    MDB_val value;
    int rc = mdb_get(store->txn, store->tables[table], key, &value);
    if (rc == 0)
        store_tally_subtract(store, table, a, b, &value);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int store_put(struct store *store, enum store_table table, uint64_t a, uint64_t b) {
    assert(store->txn);
    struct vault_label label = {
        .table = table, .pool_id = a, .key_id = b, .version = ++store->staged.last_version
    };
    unsigned char bytes[16];
    MDB_val key = { .mv_size = store_record_key(table, a, b, bytes), .mv_data = bytes };
    MDB_val value = { .mv_size = VERSION_SIZE + VAULT_OVERHEAD + store->plain.length };

    int rc = take_from_tally(store, table, a, b, &key);
    if (rc != 0) {
        store_buffer_clear(&store->plain);
        return rc;
    }
    /* Sealed in place: LMDB gives the room, and never sees the plain text. */
    unsigned flags = MDB_RESERVE | (table == TABLE_EVENTS ? MDB_APPEND : 0u);
    rc = mdb_put(store->txn, store->tables[table], &key, &value, flags);
    if (rc == 0) {
        unsigned char *sealed = value.mv_data;
        for (size_t i = 0; i < VERSION_SIZE; i++)
            sealed[i] = (unsigned char)(label.version >> (8 * i));
        vault_seal(store->vault, &label, store->plain.data, store->plain.length,
                   sealed + VERSION_SIZE);
        store_tally_add(store, table, a, b, &value);
    }
    store_buffer_clear(&store->plain);
    return rc;
}

int store_delete(struct store *store, enum store_table table, uint64_t a, uint64_t b) {
    assert(store->txn);
    unsigned char bytes[16];
    MDB_val key = { .mv_size = store_record_key(table, a, b, bytes), .mv_data = bytes };
    int rc = take_from_tally(store, table, a, b, &key);
    if (rc == 0)
        rc = mdb_del(store->txn, store->tables[table], &key, NULL);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static struct vault_label label_of(enum store_table table, uint64_t a, uint64_t b,
                                   const unsigned char *value) {
    struct vault_label label = { .table = table, .pool_id = a, .key_id = b };
    for (size_t i = 0; i < VERSION_SIZE; i++)
        label.version |= (uint64_t)value[i] << (8 * i);
    return label;
}

void store_mark(const struct store *store, enum store_table table, uint64_t a, uint64_t b,
                const MDB_val *value, uint64_t ret_mark[2]) {
    unsigned char nothing[VERSION_SIZE + VAULT_OVERHEAD] = { 0 };
    bool sound = value->mv_size >= sizeof(nothing);
    const unsigned char *sealed = sound ? value->mv_data : nothing;
    struct vault_label label = label_of(table, a, b, sealed);
    vault_mark(store->vault, &label, sealed + VERSION_SIZE,
               (sound ? value->mv_size : sizeof(nothing)) - VERSION_SIZE, ret_mark);
}

bool store_unseal(struct store *store, enum store_table table, uint64_t a, uint64_t b,
                  const MDB_val *value) {
    if (value->mv_size < VERSION_SIZE + VAULT_OVERHEAD)
        return false;
    const unsigned char *sealed = value->mv_data;
    struct vault_label label = label_of(table, a, b, sealed);
    unsigned char *plain =
        store_buffer_take(&store->plain, value->mv_size - VERSION_SIZE - VAULT_OVERHEAD);
    return vault_open(store->vault, &label, sealed + VERSION_SIZE, value->mv_size - VERSION_SIZE,
                      plain);
}

int store_get(struct store *store, MDB_txn *txn, enum store_table table, uint64_t a, uint64_t b) {
    unsigned char bytes[16];
    MDB_val key = { .mv_size = store_record_key(table, a, b, bytes), .mv_data = bytes };
    MDB_val value;
    int rc = mdb_get(txn, store->tables[table], &key, &value);
    if (rc != 0)
        return store_errno(rc);
    return store_unseal(store, table, a, b, &value) ? 0 : -EBADMSG;
}
