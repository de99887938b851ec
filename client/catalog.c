/*
 * The catalog's reader: verifies a published file against the board, opens it with LMDB and hands
 * out its records in place. Called by reader.c and by those who fill keys. The only file of the
 * library that calls mdb_*. It never reads a catalog that it has not verified: LMDB itself crashes
 * on damaged files.
 *
 * LMDB hazards met here: it wants a path (it gets the descriptor that was verified, where /proc has
 * it), and it opens
 * its own descriptor without O_CLOEXEC, so a program started by a worker would inherit every key.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "classify.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FILE_NAME_SIZE = 64, CHUNK_BYTES = 32768, OPEN_TRIES = 8 };

_Static_assert(sizeof(size_t) == 8, "MDB_INTEGERKEY wants 8-byte keys");

struct kbi_lmdb {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
};

/* What the board says about the catalog. */
struct published {
    uint64_t version;
    uint64_t size;
    uint64_t checksum;
};

/* False while the broker is in the middle of changing it (keybroker_shared/board.h). */
static bool read_published(const struct kb_board *board, struct published *ret_published) {
    return kb_board_read_catalog(board, &ret_published->version, &ret_published->size,
                                 &ret_published->checksum);
}

uint64_t kbi_account_hash(const char *account) {
    if (!*account)
        return 0;
    uint64_t hash = XXH3_64bits(account, strlen(account));
    return hash ? hash : 1;
}

/* Read rather than mapped: a file that is cut short meanwhile is an error here, not a SIGBUS. */
static int verify(int fd, const struct published *published) {
    struct stat info;
    if (fstat(fd, &info) < 0)
        return KB_ESYSTEM;
    if (!S_ISREG(info.st_mode) || info.st_size < 0 || (uint64_t)info.st_size != published->size)
        return KB_ECORRUPT;
    char chunk[CHUNK_BYTES];
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_64bits_reset(&state);
    int error = 0;
    for (off_t at = 0; at < info.st_size && error == 0;) {
        ssize_t got = pread(fd, chunk, sizeof chunk, at);
        if (got > 0) {
            XXH3_64bits_update(&state, chunk, (size_t)got);
            at += got;
        } else if (got == 0 || errno != EINTR) {
            error = got == 0 ? KB_ECORRUPT : KB_ESYSTEM;
        }
    }
    if (error == 0 && XXH3_64bits_digest(&state) != published->checksum)
        error = KB_ECORRUPT;
    explicit_bzero(chunk, sizeof chunk); /* it held every key; stacks are in core files */
    explicit_bzero(&state, sizeof state);
    return error;
}

static int error_of(int mdb_result) {
    switch (mdb_result) {
    case 0:
        return 0;
    case ENOMEM:
        return KB_ENOMEM;
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_NOTFOUND:
    case MDB_PAGE_NOTFOUND:
        return KB_ECORRUPT;
    default:
        if (mdb_result > 0)
            errno = mdb_result;
        return KB_ESYSTEM;
    }
}

/* The path to open what `fd` is: through the descriptor, which is the file that was verified, or
 * where that cannot be by its name. The caller's; NULL = no memory. */
static char *path_of(int fd, const char *pool_path, const char *name) {
    char *path;
    int length = kbi_attach_has_proc() ? asprintf(&path, "/proc/self/fd/%d", fd)
                                       : asprintf(&path, "%s/%s", pool_path, name);
    return length < 0 ? NULL : path;
}

static bool is_same_file(int one, int other) {
    struct stat first, second;
    return fstat(one, &first) == 0 && fstat(other, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

static int open_lmdb(struct kbi_lmdb *lmdb, int fd, const char *path, uint64_t size) {
    int lmdb_fd = KBI_NO_FD;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned flags = MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR | MDB_NOTLS;

    int result = mdb_env_create(&lmdb->env);
    if (result == 0)
        result = mdb_env_set_mapsize(lmdb->env, (size + page - 1) / page * page);
    if (result == 0)
        result = mdb_env_open(lmdb->env, path, flags, 0);
    if (result == 0)
        result = mdb_env_get_fd(lmdb->env, &lmdb_fd);
    if (result == 0 && fcntl(lmdb_fd, F_SETFD, FD_CLOEXEC) < 0)
        result = errno;
    if (result == 0 && !is_same_file(lmdb_fd, fd)) /* by name, and the directory was replaced */
        result = MDB_INVALID;
    if (result == 0)
        result = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &lmdb->txn);
    if (result == 0)
        result = mdb_dbi_open(lmdb->txn, NULL, 0, &lmdb->dbi);
    return error_of(result);
}

static void close_lmdb(struct kbi_lmdb *lmdb) {
    if (!lmdb)
        return;
    if (lmdb->txn)
        mdb_txn_abort(lmdb->txn);
    if (lmdb->env)
        mdb_env_close(lmdb->env);
    free(lmdb);
}

/* One value of at least `minimum` bytes, aligned; NULL if there is none. */
static const void *get(const struct kbi_lmdb *lmdb, uint64_t id, size_t minimum, size_t *ret_size) {
    MDB_val key = { sizeof id, &id }, value;
    if (mdb_get(lmdb->txn, lmdb->dbi, &key, &value) != 0)
        return NULL;
    if (value.mv_size < minimum || ((uintptr_t)value.mv_data & 7) != 0)
        return NULL;
    *ret_size = value.mv_size;
    return value.mv_data;
}

/* The text at `offset` of a record whose last byte is known to be NUL; NULL when out of bounds. */
static const char *text_at(const void *record, uint32_t size, size_t head, uint32_t offset) {
    return offset >= head && offset < size ? (const char *)record + offset : NULL;
}

static int read_rules(struct catalog *catalog, const struct kb_catalog_pool *pool) {
    const char *text = text_at(pool, pool->size, sizeof *pool, pool->rules);
    if (!text)
        return KB_ECORRUPT;
    catalog->rules = kbi_rules_new(text);
    return catalog->rules ? 0 : KB_ENOMEM;
}

/* Order and pool record, checked once. */
static int read_index(struct catalog *catalog) {
    size_t pool_bytes = 0, order_bytes = 0;
    const struct kb_catalog_pool *pool =
        get(catalog->lmdb, KB_CATALOG_POOL, sizeof *pool, &pool_bytes);
    const struct kb_catalog_entry *entries = get(catalog->lmdb, KB_CATALOG_ORDER, 0, &order_bytes);
    if (!pool || !entries || pool->size <= sizeof *pool || pool->size > pool_bytes ||
        ((const char *)pool)[pool->size - 1] != '\0')
        return KB_ECORRUPT;
    if (pool->format != KB_CATALOG_FORMAT)
        return KB_EVERSION;
    if (pool->version != catalog->version || pool->key_count > KB_BOARD_SLOTS_MAX ||
        order_bytes != pool->key_count * sizeof *entries)
        return KB_ECORRUPT;
    catalog->vendor = text_at(pool, pool->size, sizeof *pool, pool->vendor);
    if (!catalog->vendor)
        return KB_ECORRUPT;
    for (uint32_t i = 0; i < pool->key_count; i++) {
        if (entries[i].id == 0 || entries[i].id > KB_KEY_ID_MAX)
            return KB_ECORRUPT;
        catalog->endpoints_differ |= entries[i].endpoint != entries[0].endpoint;
    }
    catalog->entries = entries;
    catalog->count = pool->key_count;
    catalog->strategy = pool->strategy;
    return pool->rules ? read_rules(catalog, pool) : 0;
}

static int open_version(struct catalog **ret_catalog, const struct attachment *attachment,
                        const struct published *published) {
    char name[FILE_NAME_SIZE], *path = NULL;
    snprintf(name, sizeof name, KB_CATALOG_FILE_FORMAT, (unsigned long long)published->version);
    int fd = openat(attachment->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? KB_ENOENT : errno == EACCES ? KB_EACCES : KB_ESYSTEM;
    struct catalog *catalog = NULL;
    int error = verify(fd, published);
    if (error != 0)
        goto out;
    catalog = calloc(1, sizeof *catalog);
    if (catalog) {
        catalog->refs = 1;
        catalog->lmdb = calloc(1, sizeof *catalog->lmdb);
    }
    path = path_of(fd, attachment->pool_path, name);
    error = catalog && catalog->lmdb && path ? 0 : KB_ENOMEM;
    if (error != 0)
        goto out;
    catalog->version = published->version;
    error = open_lmdb(catalog->lmdb, fd, path, published->size);
    if (error == 0)
        error = read_index(catalog);
    if (error == 0 && catalog->strategy == KB_CATALOG_SPREAD) {
        catalog->spread = kbi_spread_new(catalog->count);
        error = catalog->spread ? 0 : KB_ENOMEM;
    }
    if (error == 0) {
        *ret_catalog = catalog;
        catalog = NULL;
    }
out:
    free(path);
    kbi_catalog_unref(catalog);
    close(fd);
    return error;
}

/*
 * The broker unlinks a catalog right after publishing the next, so the file may be gone by the time
 * it is opened: look at the board again. A file that is missing although the board still names it
 * was wiped.
 */
int kbi_catalog_open(struct catalog **ret_catalog, const struct attachment *attachment) {
    struct published published, again;
    int error = KBI_NOT_READY;

    for (int tries = 0; tries < OPEN_TRIES; tries++) {
        if (!read_published(attachment->board, &published))
            continue;
        error = open_version(ret_catalog, attachment, &published);
        if (error != KB_ENOENT && error != KB_ECORRUPT)
            return error;
        if (read_published(attachment->board, &again) && again.version == published.version)
            return error == KB_ENOENT ? KB_ECORRUPT : error;
        error = KBI_NOT_READY;
    }
    return error;
}

struct catalog *kbi_catalog_ref(struct catalog *catalog) {
    if (catalog)
        catalog->refs++;
    return catalog;
}

struct catalog *kbi_catalog_unref(struct catalog *catalog) {
    if (!catalog || --catalog->refs > 0)
        return NULL;
    kbi_spread_free(catalog->spread);
    kbi_rules_free(catalog->rules);
    close_lmdb(catalog->lmdb);
    free(catalog);
    return NULL;
}

const struct kb_catalog_key *kbi_catalog_record(const struct catalog *catalog, uint64_t id) {
    size_t bytes = 0;
    if (id == 0 || id > KB_KEY_ID_MAX)
        return NULL;
    const struct kb_catalog_key *record = get(catalog->lmdb, id, sizeof *record, &bytes);
    if (!record || record->size <= sizeof *record || record->size > bytes || record->id != id ||
        ((const char *)record)[record->size - 1] != '\0')
        return NULL;
    return record;
}

uint64_t kbi_catalog_endpoint(const struct catalog *catalog, uint64_t id) {
    const struct kb_catalog_key *record = kbi_catalog_record(catalog, id);
    const char *url =
        record ? text_at(record, record->size, sizeof *record, record->base_url) : NULL;
    return url ? kbi_account_hash(url) : 0;
}

/* The variables are several strings, and an empty one ends them. It lies inside the record if
 * nothing else stands there or the record's last two bytes are NUL (that the last is was checked):
 * a walk over the strings would say the same, but would touch them all on the way of a failover. */
static const char *environment_of(const struct kb_catalog_key *record) {
    const char *text = text_at(record, record->size, sizeof *record, record->environment);
    const char *last = (const char *)record + record->size - 1;
    return text && (text == last || last[-1] == '\0') ? text : NULL;
}

bool kbi_catalog_fill(const struct catalog *catalog, uint64_t id, kb_key *ret_key) {
    const struct kb_catalog_key *record = kbi_catalog_record(catalog, id);
    if (!record)
        return false;
    uint32_t size = record->size;
    kb_key key = {
        .id = id,
        .ticket = { .id = id },
        .name = text_at(record, size, sizeof *record, record->name),
        .account = text_at(record, size, sizeof *record, record->account),
        .api_key = text_at(record, size, sizeof *record, record->api_key),
        .base_url = text_at(record, size, sizeof *record, record->base_url),
        .auth_header = text_at(record, size, sizeof *record, record->auth_header),
        .config_json = text_at(record, size, sizeof *record, record->config_json),
        .expires_at_ms = record->expires_at_ms,
        .vendor = catalog->vendor,
        .environment = environment_of(record),
    };
    if (!key.name || !key.account || !key.api_key || !key.base_url || !key.auth_header ||
        !key.config_json || !key.environment)
        return false;
    *ret_key = key;
    return true;
}
