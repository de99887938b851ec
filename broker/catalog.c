/*
 * The catalog's writer. Owns the files ".catalog.<version>.new" and "catalog.<layout>.<version>" in
 * a pool's directory; called from the store thread. It may not change a file that was published:
 * readers trust the checksum that they verified once.
 *
 * LMDB hazards met here: it wants a path (it gets the descriptor's, so nothing can be swapped in
 * between), it opens its descriptor without O_CLOEXEC, and a full disk shows as EIO.
 */
#include "catalog.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <keybroker_shared/board.h>
#include <keybroker_shared/catalog.h>

#include "keyconfig.h"
#include "memory.h"
#include "runtime.h"
#include "vendor_rules.h"

#define BUILT_FILE_FORMAT ".catalog.%016llx.new"
#define BUILT_PREFIX ".catalog."
#define PUBLISHED_PREFIX "catalog.1."

enum {
    CATALOG_MODE = 0640,
    FILE_NAME_SIZE = 64,
    CHUNK_BYTES = 65536,
    PAGES_SPARE = 64,
    DERIVED_BYTES = 1024, /* what vendor and record add to a key's own strings, generously */
};

_Static_assert((int)STRATEGY_PRIORITY == (int)KB_CATALOG_PRIORITY, "copied as a number");
_Static_assert((int)STRATEGY_SPREAD == (int)KB_CATALOG_SPREAD, "copied as a number");
_Static_assert(sizeof(size_t) == 8, "MDB_INTEGERKEY wants 8-byte keys");

/* One build in progress. */
struct builder {
    int fd; /* the file aside */
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
};

static void built_name(char *name, uint64_t version) {
    snprintf(name, FILE_NAME_SIZE, BUILT_FILE_FORMAT, (unsigned long long)version);
}

static void published_name(char *name, uint64_t version) {
    snprintf(name, FILE_NAME_SIZE, KB_CATALOG_FILE_FORMAT, (unsigned long long)version);
}

static int errno_of(int mdb_result) {
    if (mdb_result == MDB_MAP_FULL || mdb_result == MDB_TXN_FULL)
        return -ENOSPC;
    return mdb_result > 0 ? -mdb_result : -EIO;
}

/* Hash of a label; 0 means "no label" and is never a label's own hash. */
static uint64_t label_hash(const char *label) {
    if (!*label)
        return 0;
    uint64_t hash = XXH3_64bits(label, strlen(label));
    return hash ? hash : 1;
}

/* The pool's own rules, then its vendor's, one a line: with the NUL, how long and which. */
static size_t rules_bytes(const struct pool_record *pool) {
    const char *const *lines = vendor_rules(vendor_find(pool->vendor));
    size_t bytes = *pool->rules ? strlen(pool->rules) + 1 : 0;
    for (size_t i = 0; lines[i]; i++)
        bytes += strlen(lines[i]) + 1;
    return bytes;
}

static void write_rules(char *end, const struct pool_record *pool) {
    const char *const *lines = vendor_rules(vendor_find(pool->vendor));
    if (*pool->rules)
        end = stpcpy(stpcpy(end, pool->rules), "\n");
    for (size_t i = 0; lines[i]; i++)
        end = stpcpy(stpcpy(end, lines[i]), lines[i + 1] ? "\n" : "");
}

/* Room for everything: LMDB fills pages at least half, and gives long records pages of their own.
 * The map is address space only; readers map no more than the file. */
static size_t map_bytes(const struct catalog_source *source) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = source->key_count * sizeof(struct kb_catalog_entry);
    size_t pool = 2 * strlen(source->pool->base_url) + DERIVED_BYTES;
    bytes += rules_bytes(source->pool);
    for (uint32_t i = 0; i < source->key_count; i++) {
        const struct key_record *key = source->keys[i];
        bytes += pool + strlen(key->name) + strlen(key->account) + 6 * strlen(key->config);
    }
    return (3 * bytes / page + PAGES_SPARE) * page;
}

static int builder_open(struct builder *builder, const struct catalog_source *source,
                        int pool_dir_fd, const char *name) {
    char path[FILE_NAME_SIZE];
    int lmdb_fd = -1;

    if (unlinkat(pool_dir_fd, name, 0) < 0 && errno != ENOENT)
        return -errno;
    builder->fd =
        openat(pool_dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (builder->fd < 0)
        return -errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", builder->fd);
    int result = mdb_env_create(&builder->env);
    if (result == 0)
        result = mdb_env_set_mapsize(builder->env, map_bytes(source));
    if (result == 0)
        result = mdb_env_open(builder->env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600);
    if (result == 0)
        result = mdb_env_get_fd(builder->env, &lmdb_fd);
    if (result == 0 && fcntl(lmdb_fd, F_SETFD, FD_CLOEXEC) < 0)
        result = errno;
    if (result == 0)
        result = mdb_txn_begin(builder->env, NULL, 0, &builder->txn);
    if (result == 0)
        result = mdb_dbi_open(builder->txn, NULL, MDB_INTEGERKEY, &builder->dbi);
    return result == 0 ? 0 : errno_of(result);
}

static void builder_close(struct builder *builder) {
    if (builder->txn)
        mdb_txn_abort(builder->txn);
    if (builder->env)
        mdb_env_close(builder->env);
    if (builder->fd >= 0)
        close(builder->fd);
}

/* Room for one record, padded to 8 bytes so that every record stays aligned; the padding is zeroed.
 * Keys come in ascending order. NULL with *ret_error (-errno). */
static void *reserve(struct builder *builder, uint64_t id, size_t size, int *ret_error) {
    size_t padded = (size + 7) & ~(size_t)7;
    MDB_val key = { sizeof id, &id };
    MDB_val value = { padded, NULL };
    int result = mdb_put(builder->txn, builder->dbi, &key, &value, MDB_APPEND | MDB_RESERVE);
    if (result != 0) {
        *ret_error = errno_of(result);
        return NULL;
    }
    assert(((uintptr_t)value.mv_data & 7) == 0);
    memset((char *)value.mv_data + size, 0, padded - size);
    return value.mv_data;
}

/* Append `bytes` to the record at *offset; returns where they begin. */
static uint32_t place(void *record, size_t *offset, const char *text, size_t bytes) {
    size_t at = *offset;
    memcpy((char *)record + at, text, bytes);
    *offset = at + bytes;
    return (uint32_t)at;
}

static int put_key(struct builder *builder, const struct catalog_source *source,
                   struct key_record *key, uint64_t *ret_endpoint) {
    const struct keyconfig_handout *handout = keyconfig_handout_of(key, source->pool);
    const char *strings[] = { key->name,         key->account,         handout->api_key,
                              handout->base_url, handout->auth_header, key->config };
    enum { STRINGS = sizeof strings / sizeof *strings };
    size_t lengths[STRINGS];
    uint32_t offsets[STRINGS];
    size_t size = sizeof(struct kb_catalog_key) + handout->environment_size;
    for (int i = 0; i < STRINGS; i++) {
        lengths[i] = strlen(strings[i]) + 1;
        size += lengths[i];
    }
    int result = 0;
    assert(size < UINT32_MAX);
    struct kb_catalog_key *record = reserve(builder, key->id, size, &result);
    if (!record)
        return result;
    size_t offset = sizeof *record;
    for (int i = 0; i < STRINGS; i++)
        offsets[i] = place(record, &offset, strings[i], lengths[i]);
    *record = (struct kb_catalog_key){
        .size = (uint32_t)size,
        .flags = key->id == source->pool->default_key_id ? KB_CATALOG_DEFAULT : 0,
        .id = key->id,
        .expires_at_ms = key->expires_at_ms,
        .slot = key->slot,
        .weight = key->weight,
        .name = offsets[0],
        .account = offsets[1],
        .api_key = offsets[2],
        .base_url = offsets[3],
        .auth_header = offsets[4],
        .config_json = offsets[5],
        .environment = place(record, &offset, handout->environment, handout->environment_size),
    };
    assert(offset == size);
    *ret_endpoint = label_hash(handout->base_url);
    return 0;
}

struct ranked {
    struct key_record *key;
    uint32_t position;
};

static int by_id(const void *left, const void *right) {
    const struct ranked *a = left, *b = right;
    return a->key->id < b->key->id ? -1 : a->key->id > b->key->id;
}

static int put_pool(struct builder *builder, const struct catalog_source *source) {
    size_t name = strlen(source->pool->name) + 1, vendor = strlen(source->pool->vendor) + 1;
    size_t rules = rules_bytes(source->pool);
    size_t size = sizeof(struct kb_catalog_pool) + name + vendor + rules;
    int result = 0;
    struct kb_catalog_pool *record = reserve(builder, KB_CATALOG_POOL, size, &result);
    if (!record)
        return result;
    size_t offset = sizeof *record;
    *record = (struct kb_catalog_pool){
        .size = (uint32_t)size,
        .format = KB_CATALOG_FORMAT,
        .version = source->version,
        .pool_id = source->pool->id,
        .key_count = source->key_count,
        .slot_count = source->slot_count,
        .strategy = source->pool->strategy,
        .name = place(record, &offset, source->pool->name, name),
        .vendor = place(record, &offset, source->pool->vendor, vendor),
    };
    record->rules = (uint32_t)offset;
    write_rules((char *)record + offset, source->pool);
    assert(offset + rules == size);
    return 0;
}

/* The key records in order of id, as LMDB's append wants them, then the order, then the pool. */
static int put_everything(struct builder *builder, const struct catalog_source *source) {
    uint32_t count = source->key_count;
    struct ranked *ranked = calloc(count + 1, sizeof *ranked);
    struct kb_catalog_entry *entries = calloc(count + 1, sizeof *entries);
    int result = ranked && entries ? 0 : -ENOMEM;

    for (uint32_t i = 0; i < count && result == 0; i++)
        ranked[i] = (struct ranked){ source->keys[i], i };
    if (result == 0)
        qsort(ranked, count, sizeof *ranked, by_id);
    for (uint32_t i = 0; i < count && result == 0; i++) {
        struct key_record *key = ranked[i].key;
        assert(key->id != 0 && key->id <= KB_KEY_ID_MAX && key->slot < source->slot_count);
        struct kb_catalog_entry *entry = &entries[ranked[i].position];
        *entry = (struct kb_catalog_entry){
            .id = key->id,
            .expires_at_ms = key->expires_at_ms,
            .account = label_hash(key->account),
            .slot = key->slot,
            .weight = key->weight,
            .flags = key->id == source->pool->default_key_id ? KB_CATALOG_DEFAULT : 0,
        };
        result = put_key(builder, source, key, &entry->endpoint);
    }
    if (result == 0) {
        void *order = reserve(builder, KB_CATALOG_ORDER, count * sizeof *entries, &result);
        if (order)
            memcpy(order, entries, count * sizeof *entries);
    }
    if (result == 0)
        result = put_pool(builder, source);
    free(entries);
    free(ranked);
    return result;
}

/* Size and checksum of the finished file, read through the descriptor; reading it whole also proves
 * that it is all there. */
static int measure(int fd, uint64_t *ret_size, uint64_t *ret_checksum) {
    struct stat info;
    if (fstat(fd, &info) < 0)
        return -errno;
    char *chunk = malloc(CHUNK_BYTES);
    XXH3_state_t *state = XXH3_createState();
    int result = chunk && state ? 0 : -ENOMEM;
    off_t at = 0;
    if (result == 0)
        XXH3_64bits_reset(state);
    while (result == 0 && at < info.st_size) {
        ssize_t got = pread(fd, chunk, CHUNK_BYTES, at);
        if (got > 0) {
            XXH3_64bits_update(state, chunk, (size_t)got);
            at += got;
        } else if (got == 0 || errno != EINTR) {
            result = got == 0 ? -EIO : -errno;
        }
    }
    if (result == 0) {
        *ret_size = (uint64_t)info.st_size;
        *ret_checksum = XXH3_64bits_digest(state);
    }
    XXH3_freeState(state);
    if (chunk)
        mem_wipe_free(chunk, CHUNK_BYTES);
    return result;
}

int catalog_build(const struct catalog_source *source, int pool_dir_fd,
                  struct catalog_built *ret_built) {
    assert(source->version != 0 && source->slot_count <= KB_BOARD_SLOTS_MAX);
    assert(source->key_count > 0 && source->key_count <= KB_BOARD_SLOTS_MAX);
    struct builder builder = { .fd = -1 };
    struct catalog_built built = { .version = source->version, .slot_count = source->slot_count };
    char name[FILE_NAME_SIZE];
    built_name(name, source->version);

    int result = builder_open(&builder, source, pool_dir_fd, name);
    if (result == 0)
        result = put_everything(&builder, source);
    if (result == 0) {
        result = mdb_txn_commit(builder.txn);
        builder.txn = NULL;
        if (result != 0)
            result = errno_of(result);
    }
    if (result == 0)
        result = measure(builder.fd, &built.size, &built.checksum);
    if (result == 0)
        /* Until here the file was ours alone; now the pool's group may read it. */
        result = runtime_share_file(builder.fd, pool_dir_fd, CATALOG_MODE);
    bool created = builder.fd >= 0;
    builder_close(&builder);
    if (result < 0) {
        if (created)
            unlinkat(pool_dir_fd, name, 0);
        return result;
    }
    *ret_built = built;
    return 0;
}

int catalog_publish(int pool_dir_fd, uint64_t version) {
    char from[FILE_NAME_SIZE], to[FILE_NAME_SIZE];
    built_name(from, version);
    published_name(to, version);
    return renameat(pool_dir_fd, from, pool_dir_fd, to) < 0 ? -errno : 0;
}

void catalog_discard(int pool_dir_fd, uint64_t version) {
    char name[FILE_NAME_SIZE];
    built_name(name, version);
    unlinkat(pool_dir_fd, name, 0);
}

void catalog_unlink(int pool_dir_fd, uint64_t version) {
    char name[FILE_NAME_SIZE];
    published_name(name, version);
    unlinkat(pool_dir_fd, name, 0);
}

void catalog_unlink_others(int pool_dir_fd, uint64_t keep) {
    char kept[FILE_NAME_SIZE];
    published_name(kept, keep);
    int fd = openat(pool_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir))) {
        bool built = strncmp(entry->d_name, BUILT_PREFIX, strlen(BUILT_PREFIX)) == 0;
        bool published = strncmp(entry->d_name, PUBLISHED_PREFIX, strlen(PUBLISHED_PREFIX)) == 0;
        if (built || (published && strcmp(entry->d_name, kept) != 0))
            unlinkat(pool_dir_fd, entry->d_name, 0);
    }
    closedir(dir);
}
