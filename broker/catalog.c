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
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <keybroker_shared/board.h>
#include <keybroker_shared/catalog.h>

#include "catalog_leaf.h"
#include "memory.h"
#include "runtime.h"
#include "vendor_rules.h"

#define BUILT_FILE_FORMAT ".catalog.%016llx.new"
#define BUILT_PREFIX ".catalog."
#define PUBLISHED_PREFIX "catalog.1."

enum {
    CATALOG_MODE = 0640,
    FILE_NAME_SIZE = 64,

    /* How LMDB lays records out (mdb.c: PAGEHDRSZ, NODESIZE, me_nodemax): what a page holds besides
     * its nodes, a node besides its record (header, key, index). A record that leaves no room for
     * another node has pages of its own, and a pointer to them as its node. */
    LMDB_PAGE_HEAD_BYTES = 16,
    LMDB_NODE_BYTES = 18,
    LMDB_POINTER_BYTES = 8,
    PAGES_SPARE = 16, /* meta pages, root pages */
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

/* The pool's own rules, then its vendor's, one a line: with the NUL, how long and which. */
static size_t rules_bytes(const struct pool_record *pool) {
    const char *const *lines = vendor_rules(vendor_find(pool->vendor));
    size_t bytes = *pool->rules ? strlen(pool->rules) + 1 : 0;
    for (size_t i = 0; lines[i]; i++)
        bytes += strlen(lines[i]) + 1;
    return bytes;
}

static size_t pool_bytes(const struct pool_record *pool) {
    return sizeof(struct kb_catalog_pool) + strlen(pool->name) + 1 + strlen(pool->vendor) + 1 +
           rules_bytes(pool);
}

static void write_rules(char *end, const struct pool_record *pool) {
    const char *const *lines = vendor_rules(vendor_find(pool->vendor));
    if (*pool->rules)
        end = stpcpy(stpcpy(end, pool->rules), "\n");
    for (size_t i = 0; lines[i]; i++)
        end = stpcpy(stpcpy(end, lines[i]), lines[i + 1] ? "\n" : "");
}

/* A key on its way into the file, where records stand in order of id. */
struct ranked {
    uint64_t id;
    uint32_t position;
    const struct catalog_leaf *leaf;
};

static int by_id(const void *left, const void *right) {
    const struct ranked *a = left, *b = right;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* All keys in order of id. The caller frees. */
static struct ranked *rank_keys(const struct catalog_source *source) {
    uint64_t pool_url = catalog_label_hash(source->pool->base_url), last_id = 0;
    struct ranked *ranked = mem_resize(NULL, source->key_count, sizeof *ranked);
    bool ascending = true;
    for (uint32_t i = 0; i < source->key_count; i++) {
        struct key_record *key = source->keys[i];
        assert(key->id != 0 && key->id <= KB_KEY_ID_MAX && key->slot < source->slot_count);
        ranked[i] = (struct ranked){ key->id, i, catalog_leaf_of(key, source->pool, pool_url) };
        ascending &= key->id > last_id;
        last_id = key->id;
    }
    if (!ascending)
        qsort(ranked, source->key_count, sizeof *ranked, by_id);
    return ranked;
}

/* The pages that records appended one by one take. */
struct pages {
    size_t bytes; /* of a page */
    size_t leaves, own;
    size_t left; /* in the last leaf */
};

static void pages_add(struct pages *pages, size_t record_bytes) {
    size_t usable = pages->bytes - LMDB_PAGE_HEAD_BYTES;
    size_t node = record_bytes + LMDB_NODE_BYTES;
    if (node > usable / 2) {
        pages->own += (record_bytes + LMDB_PAGE_HEAD_BYTES + pages->bytes - 1) / pages->bytes;
        node = LMDB_POINTER_BYTES + LMDB_NODE_BYTES;
    }
    if (node > pages->left) {
        pages->leaves++;
        pages->left = usable;
    }
    pages->left -= node;
}

/* What the finished file can take at most. LMDB leaves branch pages half full, 113 leaves each. */
static size_t room_bytes(const struct catalog_source *source, const struct ranked *ranked) {
    struct pages pages = { .bytes = (size_t)sysconf(_SC_PAGESIZE) };
    for (uint32_t i = 0; i < source->key_count; i++)
        pages_add(&pages, ranked[i].leaf->padded_size);
    pages_add(&pages, source->key_count * sizeof(struct kb_catalog_entry));
    pages_add(&pages, pool_bytes(source->pool));
    return (pages.leaves + pages.leaves / 64 + pages.own + PAGES_SPARE) * pages.bytes;
}

/*
 * MDB_WRITEMAP: records are written straight into the file's pages. Without it LMDB would have them
 * on the heap first, a copy of every secret, and take half as long again. What it needs is
 * allocated before: where a tmpfs is full, storing to a page that is not there is a SIGBUS.
 */
static int builder_open(struct builder *builder, size_t room, int pool_dir_fd, const char *name) {
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
        result = mdb_env_set_mapsize(builder->env, room);
    if (result == 0)
        result = mdb_env_open(builder->env, path,
                              MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_WRITEMAP, 0600);
    if (result == 0)
        result = posix_fallocate(builder->fd, 0, (off_t)room);
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

/* Size and checksum are of the file as readers will find it: it ends with its last page, and more
 * was allocated. */
static int builder_commit(struct builder *builder, struct catalog_built *ret_built) {
    MDB_envinfo info;
    int result = mdb_txn_commit(builder->txn);
    builder->txn = NULL;
    if (result == 0)
        result = mdb_env_info(builder->env, &info);
    if (result != 0)
        return errno_of(result);
    size_t size = (info.me_last_pgno + 1) * (size_t)sysconf(_SC_PAGESIZE);
    /* Mapped once more, since LMDB does not say where it is. */
    void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, builder->fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    ret_built->size = size;
    ret_built->checksum = XXH3_64bits(bytes, size);
    munmap(bytes, size);
    return ftruncate(builder->fd, (off_t)size) < 0 ? -errno : 0;
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

static uint32_t flags_of(const struct catalog_source *source, const struct ranked *ranked) {
    return ranked->id == source->pool->default_key_id ? KB_CATALOG_DEFAULT : 0;
}

static int put_key(struct builder *builder, const struct catalog_source *source,
                   const struct ranked *ranked) {
    int result = 0;
    struct kb_catalog_key *record =
        reserve(builder, ranked->id, ranked->leaf->padded_size, &result);
    if (!record)
        return result;
    memcpy(record, ranked->leaf->key, ranked->leaf->padded_size);
    record->flags = flags_of(source, ranked);
    return 0;
}

/* By position. The caller frees. */
static struct kb_catalog_entry *make_order(const struct catalog_source *source,
                                           const struct ranked *ranked) {
    struct kb_catalog_entry *entries = mem_resize(NULL, source->key_count, sizeof *entries);
    for (uint32_t i = 0; i < source->key_count; i++) {
        const struct catalog_leaf *leaf = ranked[i].leaf;
        entries[ranked[i].position] = (struct kb_catalog_entry){
            .id = ranked[i].id,
            .expires_at_ms = leaf->key->expires_at_ms,
            .account = leaf->account,
            .endpoint = leaf->endpoint,
            .slot = leaf->key->slot,
            .weight = leaf->key->weight,
            .flags = flags_of(source, &ranked[i]),
        };
    }
    return entries;
}

/* `record` has room for pool_bytes(). */
static void write_pool(struct kb_catalog_pool *record, const struct catalog_source *source) {
    size_t name = strlen(source->pool->name) + 1, vendor = strlen(source->pool->vendor) + 1;
    char *end = (char *)(record + 1);
    memcpy(end, source->pool->name, name);
    memcpy(end + name, source->pool->vendor, vendor);
    write_rules(end + name + vendor, source->pool);
    *record = (struct kb_catalog_pool){
        .size = (uint32_t)pool_bytes(source->pool),
        .format = KB_CATALOG_FORMAT,
        .version = source->version,
        .pool_id = source->pool->id,
        .key_count = source->key_count,
        .slot_count = source->slot_count,
        .strategy = source->pool->strategy,
        .name = sizeof *record,
        .vendor = (uint32_t)(sizeof *record + name),
        .rules = (uint32_t)(sizeof *record + name + vendor),
    };
}

/* The key records in order of id, as LMDB's append wants them, then the order, then the pool. */
static int put_everything(struct builder *builder, const struct catalog_source *source,
                          const struct ranked *ranked) {
    uint32_t count = source->key_count;
    size_t order_bytes = count * sizeof(struct kb_catalog_entry);
    int result = 0;
    for (uint32_t i = 0; i < count && result == 0; i++)
        result = put_key(builder, source, &ranked[i]);
    struct kb_catalog_entry *entries = make_order(source, ranked);
    void *order = result ? NULL : reserve(builder, KB_CATALOG_ORDER, order_bytes, &result);
    if (order)
        memcpy(order, entries, order_bytes);
    free(entries);
    struct kb_catalog_pool *pool =
        result ? NULL : reserve(builder, KB_CATALOG_POOL, pool_bytes(source->pool), &result);
    if (pool)
        write_pool(pool, source);
    return result;
}

static int share(int fd, const struct catalog_source *source, int pool_dir_fd) {
    if (!source->regroup)
        return runtime_share_file(fd, pool_dir_fd, CATALOG_MODE);
    if (fchown(fd, (uid_t)-1, source->group) < 0 || fchmod(fd, CATALOG_MODE) < 0)
        return -errno;
    return 0;
}

int catalog_build(const struct catalog_source *source, int pool_dir_fd,
                  struct catalog_built *ret_built) {
    assert(source->version != 0 && source->slot_count <= KB_BOARD_SLOTS_MAX);
    assert(source->key_count > 0 && source->key_count <= KB_BOARD_SLOTS_MAX);
    struct builder builder = { .fd = -1 };
    struct catalog_built built = { .version = source->version, .slot_count = source->slot_count };
    char name[FILE_NAME_SIZE];
    built_name(name, source->version);

    struct ranked *ranked = rank_keys(source);
    int result = builder_open(&builder, room_bytes(source, ranked), pool_dir_fd, name);
    if (result == 0)
        result = put_everything(&builder, source, ranked);
    free(ranked);
    if (result == 0)
        result = builder_commit(&builder, &built);
    /* Until here the file was ours alone; now the pool's group may read it. */
    if (result == 0)
        result = share(builder.fd, source, pool_dir_fd);
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

/* ---- is it published already? ---- */

/* What only who made it can have made; and it is whole, which LMDB relies on. */
static bool is_intact(int fd, gid_t group, const struct catalog_built *published) {
    struct stat file;
    if (fstat(fd, &file) < 0 || !S_ISREG(file.st_mode) || file.st_uid != geteuid() ||
        file.st_gid != group || (file.st_mode & 07777) != CATALOG_MODE || file.st_size <= 0 ||
        (uint64_t)file.st_size != published->size)
        return false;
    void *bytes = mmap(NULL, published->size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED)
        return false;
    bool intact = XXH3_64bits(bytes, published->size) == published->checksum;
    munmap(bytes, published->size);
    return intact;
}

/* An intact file, opened to be read. NULL if that can't be done. */
static MDB_txn *reader_open(MDB_env *env, int fd, size_t size, MDB_dbi *ret_dbi) {
    char path[FILE_NAME_SIZE];
    int lmdb_fd;
    MDB_txn *txn = NULL;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (mdb_env_set_mapsize(env, size) ||
        mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_RDONLY, 0) ||
        mdb_env_get_fd(env, &lmdb_fd) || fcntl(lmdb_fd, F_SETFD, FD_CLOEXEC) < 0 ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn))
        return NULL;
    if (mdb_dbi_open(txn, NULL, 0, ret_dbi) == 0)
        return txn;
    mdb_txn_abort(txn);
    return NULL;
}

/* The record, or NULL if it has not this many bytes (and padding). */
static const void *find(MDB_txn *txn, MDB_dbi dbi, uint64_t id, size_t size) {
    MDB_val key = { sizeof id, &id }, value;
    if (mdb_get(txn, dbi, &key, &value) || value.mv_size != ((size + 7) & ~(size_t)7))
        return NULL;
    return value.mv_data;
}

static bool is_key(MDB_txn *txn, MDB_dbi dbi, const struct catalog_source *source,
                   const struct ranked *ranked) {
    const struct catalog_leaf *leaf = ranked->leaf;
    const struct kb_catalog_key *there = find(txn, dbi, ranked->id, leaf->padded_size);
    struct kb_catalog_key head = *leaf->key;
    head.flags = flags_of(source, ranked);
    return there && memcmp(there, &head, sizeof head) == 0 &&
           memcmp(there + 1, leaf->key + 1, leaf->padded_size - sizeof head) == 0;
}

static bool is_everything(MDB_txn *txn, MDB_dbi dbi, const struct catalog_source *source,
                          const struct ranked *ranked) {
    uint32_t count = source->key_count;
    MDB_stat stat;
    bool same = mdb_stat(txn, dbi, &stat) == 0 && stat.ms_entries == (size_t)count + 2;
    for (uint32_t i = 0; i < count && same; i++)
        same = is_key(txn, dbi, source, &ranked[i]);
    if (!same)
        return false;
    size_t order_bytes = count * sizeof(struct kb_catalog_entry);
    size_t bytes = pool_bytes(source->pool);
    const void *order = find(txn, dbi, KB_CATALOG_ORDER, order_bytes);
    const void *pool = find(txn, dbi, KB_CATALOG_POOL, bytes);
    struct kb_catalog_entry *entries = make_order(source, ranked);
    struct kb_catalog_pool *record = mem_alloc(bytes);
    write_pool(record, source);
    same = order && memcmp(order, entries, order_bytes) == 0 && pool &&
           memcmp(pool, record, bytes) == 0;
    free(record);
    free(entries);
    return same;
}

bool catalog_is(const struct catalog_source *source, int pool_dir_fd,
                const struct catalog_built *published) {
    char name[FILE_NAME_SIZE];
    struct stat dir;
    MDB_env *env = NULL;
    MDB_dbi dbi;
    bool same = false;
    assert(source->version == published->version);
    published_name(name, published->version);
    int fd = openat(pool_dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool intact = fstat(pool_dir_fd, &dir) == 0 &&
                  is_intact(fd, source->regroup ? source->group : dir.st_gid, published);
    if (intact && mdb_env_create(&env) == 0) {
        MDB_txn *txn = reader_open(env, fd, published->size, &dbi);
        if (txn) {
            struct ranked *ranked = rank_keys(source);
            same = is_everything(txn, dbi, source, ranked);
            free(ranked);
            mdb_txn_abort(txn);
        }
        mdb_env_close(env);
    }
    close(fd);
    return same;
}

/* ---- names ---- */

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
