/*
 * The store's own records: how a store is made, its format and how older ones become newer, its
 * counters and starts. Called by the store's other files only.
 */
#include "store_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

enum { FORMAT_SIZE = 4 };

/* Format 2: pools have rules and a guard. The codec reads the pools of format 1 too, so they stay
 * as they are until they change; the number alone must rise, so that an older broker says that the
 * store is newer than itself, not that a pool is damaged. */
static int extend_pools(struct store *store) {
    (void)store;
    return 0;
}

/* The step from format f to f + 1 stands at f. Format 0 was never written by anyone. Format 3:
 * events belong to rings. Format 4: records are tallied. */
const store_migration STORE_MIGRATIONS[STORE_FORMAT] = { NULL, extend_pools, store_index_events,
                                                         store_begin_tally };

/* ---- items that stand as they are ---- */

static int put_plain(struct store *store, enum store_meta_item item, const void *bytes,
                     size_t size) {
    unsigned char key_bytes[16];
    MDB_val key = { .mv_size = store_record_key(TABLE_META, item, 0, key_bytes),
                    .mv_data = key_bytes };
    MDB_val value = { .mv_size = size, .mv_data = (void *)(uintptr_t)bytes };
    return mdb_put(store->txn, store->tables[TABLE_META], &key, &value, 0);
}

static int get_plain(struct store *store, MDB_txn *txn, enum store_meta_item item, void *bytes,
                     size_t size) {
    unsigned char key_bytes[16];
    MDB_val key = { .mv_size = store_record_key(TABLE_META, item, 0, key_bytes),
                    .mv_data = key_bytes };
    MDB_val value;
    int rc = mdb_get(txn, store->tables[TABLE_META], &key, &value);
    if (rc != 0)
        return store_errno(rc);
    if (value.mv_size != size)
        return -EUCLEAN;
    memcpy(bytes, value.mv_data, size);
    return 0;
}

static int put_format(struct store *store, uint32_t format) {
    unsigned char bytes[FORMAT_SIZE];
    for (size_t i = 0; i < FORMAT_SIZE; i++)
        bytes[i] = (unsigned char)(format >> (8 * i));
    return put_plain(store, META_FORMAT, bytes, sizeof(bytes));
}

/* Absent in most stores. */
int store_read_next_key(struct store *store) {
    unsigned char bytes[1 + VAULT_WRAPPED_SIZE] = { 0 };
    MDB_txn *txn;
    int rc = store_errno(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn));
    if (rc < 0)
        return rc;
    rc = get_plain(store, txn, META_NEXT_KEY, bytes, sizeof(bytes));
    mdb_txn_abort(txn);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    store->next_key = rc == -ENOENT ? NEXT_KEY_NONE : bytes[0];
    if (rc == 0)
        memcpy(store->next_wrapped, bytes + 1, VAULT_WRAPPED_SIZE);
    return 0;
}

static int put_wraps(struct store *store) {
    int rc = put_plain(store, META_DATA_KEY, store->wrapped, sizeof(store->wrapped));
    if (rc != 0 || store->next_key == NEXT_KEY_NONE)
        return rc != 0 ? rc : store_delete(store, TABLE_META, META_NEXT_KEY, 0);
    unsigned char bytes[1 + VAULT_WRAPPED_SIZE] = { (unsigned char)store->next_key };
    memcpy(bytes + 1, store->next_wrapped, VAULT_WRAPPED_SIZE);
    return put_plain(store, META_NEXT_KEY, bytes, sizeof(bytes));
}

int store_write_wraps(struct store *store) {
    int rc = store_txn_begin(store, 0);
    if (rc == 0)
        rc = put_wraps(store);
    if (rc == 0)
        rc = store_put_counters(store);
    if (rc == 0)
        rc = store_txn_commit(store);
    store_txn_abort(store);
    return store_errno(rc);
}

int store_read_identity(struct store *store, uint32_t *ret_format,
                        unsigned char ret_wrapped[VAULT_WRAPPED_SIZE]) {
    unsigned char bytes[FORMAT_SIZE] = { 0 };
    MDB_txn *txn;
    int rc = store_errno(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn));
    if (rc < 0)
        return rc;
    rc = get_plain(store, txn, META_FORMAT, bytes, sizeof(bytes));
    uint32_t format = 0;
    for (size_t i = 0; rc == 0 && i < FORMAT_SIZE; i++)
        format |= (uint32_t)bytes[i] << (8 * i);
    /* A newer format may keep its data key in another way; what its number says is enough. */
    if (rc == 0 && format <= STORE_FORMAT)
        rc = get_plain(store, txn, META_DATA_KEY, ret_wrapped, VAULT_WRAPPED_SIZE);
    mdb_txn_abort(txn);
    if (rc == 0)
        *ret_format = format;
    return rc;
}

/* ---- items that are sealed ---- */

int store_put_counters(struct store *store) {
    struct store_counters counters = store->staged;
    counters.last_version++; /* the version that store_put gives to this very record */
    store_encode_counters(&store->plain, &counters);
    return store_put(store, TABLE_META, META_COUNTERS, 0);
}

static int put_start(struct store *store, const struct store_start *start) {
    store_encode_start(&store->plain, start);
    return store_put(store, TABLE_META, META_START, 0);
}

int store_read_own(struct store *store) {
    struct store_counters counters;
    struct store_start start;
    MDB_txn *txn;
    int rc = store_errno(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn));
    if (rc < 0)
        return rc;
    rc = store_get(store, txn, TABLE_META, META_COUNTERS, 0);
    if (rc == 0 && !store_decode_counters(store->plain.data, store->plain.length, &counters))
        rc = -EBADMSG;
    if (rc == 0)
        rc = store_get(store, txn, TABLE_META, META_START, 0);
    if (rc == 0 && !store_decode_start(store->plain.data, store->plain.length, &start))
        rc = -EBADMSG;
    mdb_txn_abort(txn);
    store_buffer_clear(&store->plain);
    if (rc == 0) {
        store->committed = counters;
        store->start = start;
    }
    return rc;
}

int store_write_own(struct store *store, const struct store_start *start) {
    int rc = store_txn_begin(store, 0);
    if (rc == 0 && start)
        rc = put_start(store, start);
    if (rc == 0)
        rc = store_put_counters(store);
    if (rc == 0)
        rc = store_txn_commit(store);
    store_txn_abort(store);
    return store_errno(rc);
}

bool store_boot_id(unsigned char ret_boot_id[STORE_BOOT_ID_SIZE]) {
    char text[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, sizeof(text));
    close(fd);
    unsigned char boot_id[STORE_BOOT_ID_SIZE];
    size_t decoded = 0;
    if (length <= 0 ||
        sodium_hex2bin(boot_id, sizeof(boot_id), text, (size_t)length, "-\n", &decoded, NULL) != 0)
        return false;
    if (decoded != sizeof(boot_id) || sodium_is_zero(boot_id, sizeof(boot_id)))
        return false;
    memcpy(ret_boot_id, boot_id, sizeof(boot_id));
    return true;
}

/* ---- making and migrating ---- */

static int fill_new(struct store *store) {
    store->committed = (struct store_counters){ .next_id = 1 };
    int rc = store_txn_begin(store, 0);
    if (rc == 0)
        rc = put_format(store, STORE_FORMAT);
    if (rc == 0)
        rc = put_plain(store, META_DATA_KEY, store->wrapped, sizeof(store->wrapped));
    if (rc == 0)
        rc = put_start(store, &(struct store_start){ 0 });
    if (rc == 0)
        rc = store_put_counters(store);
    if (rc == 0)
        rc = store_txn_commit(store);
    store_txn_abort(store);
    return rc;
}

int store_put_in_place(int dir_fd) {
    if (renameat(dir_fd, STORE_NEW_FILE, dir_fd, STORE_FILE) < 0)
        return -errno;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

/* Under another name first: a crash at any moment leaves either no store or a whole one. */
int store_create(struct store *store, const unsigned char master[VAULT_KEY_SIZE], char error[256]) {
    assert(!store->env && !store->vault);
    int rc = unlinkat(store->dir_fd, STORE_NEW_FILE, 0) < 0 && errno != ENOENT ? -errno : 0;
    if (rc == 0) {
        store->vault = vault_new(master, store->wrapped);
        rc = store_errno(store_env_open(store, STORE_NEW_FILE, true));
        if (rc == 0)
            rc = store_errno(fill_new(store));
        store_env_close(store);
        store->vault = vault_free(store->vault);
    }
    if (rc == 0)
        rc = store_put_in_place(store->dir_fd);
    if (rc < 0)
        snprintf(error, 256, "cannot make the store " STORE_FILE ": %s", strerror(-rc));
    return rc;
}

/* A step may write a small record for each event. */
static size_t migration_bytes(struct store *store) {
    MDB_txn *txn;
    MDB_stat stat = { 0 };
    if (mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn) != 0)
        return 0;
    if (mdb_stat(txn, store->tables[TABLE_EVENTS], &stat) != 0)
        stat.ms_entries = 0;
    mdb_txn_abort(txn);
    return stat.ms_entries * store_record_bytes(16);
}

int store_migrate(struct store *store, uint32_t from, uint32_t to, const store_migration *steps) {
    int rc = store_errno(store_txn_begin(store, migration_bytes(store)));
    for (uint32_t format = from; rc == 0 && format < to; format++)
        rc = steps[format] ? steps[format](store) : -ENOTSUP;
    if (rc == 0)
        rc = store_errno(put_format(store, to));
    if (rc == 0)
        rc = store_errno(store_put_counters(store));
    if (rc == 0)
        rc = store_errno(store_txn_commit(store));
    store_txn_abort(store);
    return rc;
}
