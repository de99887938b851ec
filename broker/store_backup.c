/*
 * Backups: a copy of the store in one file, and a store made of such a file. Called through
 * store.h; knows nothing of what the records mean.
 *
 * With MDB_NOLOCK nothing would hold pages for a copy that goes on while others commit, so the copy
 * is taken on the store thread, into the page cache; hashing and syncing it may take longer and
 * hold nobody up. It is compacted: what was deleted is not in it.
 *
 * A backup is that LMDB file with a trailer: magic, the wrapped data key, and length and hash of
 * the file, sealed by the vault. So nothing of a damaged file is shown to LMDB, which trusts what
 * it maps. Until it is whole it has no name (O_TMPFILE): a crash leaves nothing behind, and link
 * never replaces what is there.
 */
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "memory.h"

enum {
    MAGIC_SIZE = 16,
    HASH_SIZE = crypto_generichash_BYTES,
    SEAL_SIZE = 8 + HASH_SIZE + VAULT_OVERHEAD,
    TRAILER_SIZE = MAGIC_SIZE + VAULT_WRAPPED_SIZE + SEAL_SIZE,
    CHUNK_SIZE = 256 * 1024,
    EVENTS_CHUNK = 1000,
};
static const unsigned char MAGIC[MAGIC_SIZE] = "kb-backup-1\r\n\x1a";
/* Apart from every table. */
static const struct vault_label TRAILER_LABEL = { .table = UINT32_MAX };

struct store_backup {
    int dir_fd, fd;
    char *name;
    const struct vault *vault;
    unsigned char wrapped[VAULT_WRAPPED_SIZE];
};

static struct store_backup *backup_free(struct store_backup *backup) {
    if (backup->fd >= 0)
        close(backup->fd);
    if (backup->dir_fd >= 0)
        close(backup->dir_fd);
    free(backup->name);
    free(backup);
    return NULL;
}

/* ---- where it goes ---- */

static bool same_directory(int a, int b) {
    struct stat first, second;
    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_ino == second.st_ino &&
           first.st_dev == second.st_dev;
}

/* Whatever links or mounts have led there: is it the state directory, or below it? */
static bool is_below(int dir_fd, int state_fd) {
    int at = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    bool below = false;
    while (at >= 0 && !(below = same_directory(at, state_fd))) {
        int parent = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        bool top = parent < 0 || same_directory(at, parent);
        close(at);
        at = parent;
        if (top)
            break;
    }
    if (at >= 0)
        close(at);
    return below;
}

static int open_place(struct store *store, struct store_backup *backup, const char *path,
                      char error[256]) {
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (path[0] != '/' || !slash[1] || strlen(path) >= sizeof(directory) ||
        strcmp(slash, "/.") == 0 || strcmp(slash, "/..") == 0) {
        snprintf(error, 256, "a backup needs the whole path of a new file, from the root on");
        return -EINVAL;
    }
    snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path + 1), path);
    backup->name = mem_strdup(slash + 1);
    backup->dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (backup->dir_fd < 0) {
        int rc = -errno;
        snprintf(error, 256, "cannot open the directory %.160s: %s", directory, strerror(-rc));
        return rc;
    }
    if (is_below(backup->dir_fd, store->dir_fd)) {
        snprintf(error, 256,
                 "a backup beside the store would be lost with it: choose a place "
                 "outside the state directory");
        return -EINVAL;
    }
    if (faccessat(backup->dir_fd, backup->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        snprintf(error, 256, "%.160s is there already; nothing is overwritten", path);
        return -EEXIST;
    }
    backup->fd = openat(backup->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (backup->fd < 0) {
        int rc = -errno;
        bool unable = rc == -EOPNOTSUPP || rc == -EISDIR || rc == -EINVAL;
        snprintf(error, 256, "the broker cannot make a file in %.120s: %s", directory,
                 unable ? "this file system has no unnamed files; choose another one and copy it"
                        : strerror(-rc));
        return rc;
    }
    return 0;
}

/* ---- making one ---- */

int store_backup_begin(struct store *store, const char *path, struct store_backup **ret_backup,
                       char error[256]) {
    if (!store->env) {
        snprintf(error, 256, "the store cannot be read now");
        return -EIO;
    }
    struct store_backup *backup = mem_alloc(sizeof(*backup));
    backup->dir_fd = backup->fd = -1;
    backup->vault = store->vault;
    memcpy(backup->wrapped, store->wrapped, sizeof(backup->wrapped));
    int rc = open_place(store, backup, path, error);
    if (rc == 0) {
        rc = store_errno(mdb_env_copyfd2(store->env, backup->fd, MDB_CP_COMPACT));
        if (rc < 0)
            snprintf(error, 256, "cannot copy the store: %s", strerror(-rc));
    }
    if (rc < 0) {
        backup_free(backup);
        return rc;
    }
    *ret_backup = backup;
    return 0;
}

static int read_exactly(int fd, void *buffer, size_t size, uint64_t offset) {
    for (size_t have = 0; have < size;) {
        ssize_t n = pread(fd, (char *)buffer + have, size - have, (off_t)(offset + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EBADMSG;
        have += (size_t)n;
    }
    return 0;
}

static int write_exactly(int fd, const void *bytes, size_t size, uint64_t offset) {
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, (const char *)bytes + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

static void put_length(unsigned char bytes[8], uint64_t length) {
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(length >> (8 * i));
}

/* Hash the first `length` bytes, and write them to `to_fd` too unless it is -1. What a trailer
 * seals: the length and the hash. */
static int digest(int fd, uint64_t length, int to_fd, unsigned char ret_sum[8 + HASH_SIZE]) {
    crypto_generichash_state state;
    unsigned char *chunk = mem_alloc(CHUNK_SIZE);
    crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < length;) {
        size_t size = length - at < CHUNK_SIZE ? (size_t)(length - at) : CHUNK_SIZE;
        rc = read_exactly(fd, chunk, size, at);
        if (rc == 0 && to_fd >= 0)
            rc = write_exactly(to_fd, chunk, size, at);
        if (rc == 0)
            crypto_generichash_update(&state, chunk, size);
        at += size;
    }
    put_length(ret_sum, length);
    crypto_generichash_final(&state, ret_sum + 8, HASH_SIZE);
    free(chunk);
    return rc;
}

static int write_trailer(const struct store_backup *backup, uint64_t *ret_bytes) {
    unsigned char trailer[TRAILER_SIZE], sum[8 + HASH_SIZE];
    struct stat st;
    if (fstat(backup->fd, &st) < 0)
        return -errno;
    uint64_t length = (uint64_t)st.st_size;
    int rc = digest(backup->fd, length, -1, sum);
    if (rc < 0)
        return rc;
    memcpy(trailer, MAGIC, MAGIC_SIZE);
    memcpy(trailer + MAGIC_SIZE, backup->wrapped, VAULT_WRAPPED_SIZE);
    vault_seal(backup->vault, &TRAILER_LABEL, sum, sizeof(sum),
               trailer + MAGIC_SIZE + VAULT_WRAPPED_SIZE);
    *ret_bytes = length + TRAILER_SIZE;
    return write_exactly(backup->fd, trailer, TRAILER_SIZE, length);
}

int store_backup_finish(struct store_backup *backup, uint64_t *ret_bytes, char error[256]) {
    uint64_t bytes = 0;
    char unnamed[64];
    snprintf(unnamed, sizeof(unnamed), "/proc/self/fd/%d", backup->fd);
    int rc = write_trailer(backup, &bytes);
    if (rc == 0 && (fchmod(backup->fd, 0600) < 0 || fsync(backup->fd) < 0))
        rc = -errno;
    if (rc == 0 && linkat(AT_FDCWD, unnamed, backup->dir_fd, backup->name, AT_SYMLINK_FOLLOW) < 0)
        rc = -errno;
    if (rc == 0 && fsync(backup->dir_fd) < 0) {
        rc = -errno; /* not known to be there after a crash: better not there at all */
        unlinkat(backup->dir_fd, backup->name, 0);
    }
    if (rc < 0)
        snprintf(error, 256, "cannot write the backup: %s", strerror(-rc));
    else
        *ret_bytes = bytes;
    backup_free(backup);
    return rc;
}

/* ---- bringing one back ---- */

struct backup_source {
    int fd;
    uint64_t length; /* of the LMDB file in it */
    unsigned char wrapped[VAULT_WRAPPED_SIZE];
    unsigned char seal[SEAL_SIZE];
};

static int read_source(struct backup_source *source, int fd, char error[256]) {
    unsigned char trailer[TRAILER_SIZE];
    struct stat st;
    *source = (struct backup_source){ .fd = fd };
    int rc = fstat(fd, &st) < 0 ? -errno : 0;
    if (rc == 0 && (!S_ISREG(st.st_mode) || st.st_size <= TRAILER_SIZE))
        rc = -EBADMSG;
    if (rc == 0) {
        source->length = (uint64_t)st.st_size - TRAILER_SIZE;
        rc = read_exactly(fd, trailer, TRAILER_SIZE, source->length);
    }
    if (rc == 0 && memcmp(trailer, MAGIC, MAGIC_SIZE) != 0)
        rc = -EBADMSG;
    if (rc < 0) {
        snprintf(error, 256, "the backup %s",
                 rc == -EBADMSG ? "is truncated, or no backup of keybroker" : strerror(-rc));
        return rc;
    }
    memcpy(source->wrapped, trailer + MAGIC_SIZE, VAULT_WRAPPED_SIZE);
    memcpy(source->seal, trailer + MAGIC_SIZE + VAULT_WRAPPED_SIZE, SEAL_SIZE);
    return 0;
}

static int copy_source(const struct store *store, const struct backup_source *source,
                       const struct vault *vault, char error[256]) {
    unsigned char sealed[8 + HASH_SIZE], sum[8 + HASH_SIZE];
    int rc = unlinkat(store->dir_fd, STORE_NEW_FILE, 0) < 0 && errno != ENOENT ? -errno : 0;
    int fd = rc < 0 ? -1
                    : openat(store->dir_fd, STORE_NEW_FILE,
                             O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && rc == 0)
        rc = -errno;
    if (rc == 0)
        rc = digest(source->fd, source->length, fd, sum);
    if (rc == 0 && (!vault_open(vault, &TRAILER_LABEL, source->seal, SEAL_SIZE, sealed) ||
                    sodium_memcmp(sealed, sum, sizeof(sum)) != 0))
        rc = -EBADMSG;
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        snprintf(error, 256, "the backup %s",
                 rc == -EBADMSG ? "is damaged: its checksum is wrong" : strerror(-rc));
    return rc;
}

static void forget_pool(void *userdata, struct pool_record *record) {
    (void)userdata;
    pool_record_unref(record);
}

static void forget_key(void *userdata, struct key_record *record, uint64_t rank,
                       const struct key_state *state) {
    (void)userdata;
    (void)rank;
    (void)state;
    key_record_unref(record);
}

static int check_events(struct store *store, char error[256]) {
    uint64_t oldest = 0, last = 0, after = 0;
    int count;
    do {
        struct event *events = NULL;
        count = store_events(store, after, EVENTS_CHUNK, &events, &oldest, &last);
        if (count > 0)
            after = events[count - 1].seq;
        free(events);
    } while (count > 0);
    if (count < 0)
        snprintf(error, 256, "an event in the backup does not authenticate");
    return count;
}

static int check_records(struct store *store, char error[256]) {
    const struct store_loader loader = { .pool = forget_pool, .key = forget_key };
    uint64_t next_id, last_event;
    bool same_boot;
    int rc = store_load(store, &loader, &next_id, &last_event, &same_boot, error);
    return rc < 0 ? rc : check_events(store, error);
}

static int restore_with(struct store *store, const struct backup_source *source,
                        const unsigned char master[VAULT_KEY_SIZE], char error[256]) {
    struct vault *vault = vault_unwrap(master, source->wrapped);
    if (!vault) {
        snprintf(error, 256, "the backup is damaged, or was made under another master key");
        return -EKEYREJECTED;
    }
    int rc = copy_source(store, source, vault, error);
    vault_free(vault);
    if (rc == 0)
        rc = store_open_file(store, STORE_NEW_FILE, master, error);
    if (rc == 0)
        rc = check_records(store, error);
    store_env_close(store);
    if (rc == 0) {
        rc = store_put_in_place(store->dir_fd);
        if (rc < 0)
            snprintf(error, 256, "cannot put the store in place: %s", strerror(-rc));
    }
    if (rc < 0)
        unlinkat(store->dir_fd, STORE_NEW_FILE, 0);
    return rc;
}

int store_restore(const struct store_options *options, int backup_fd, char error[256]) {
    unsigned char master[VAULT_KEY_SIZE];
    struct backup_source source;
    struct stat st;
    if (fstatat(options->state_dir_fd, STORE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        snprintf(error, 256, "there is a store already: move " STORE_FILE " away first");
        return -EEXIST;
    }
    int rc = read_source(&source, backup_fd, error);
    if (rc < 0)
        return rc;
    struct store *store = store_new(options);
    rc = store_master_read(store, false, master, error);
    if (rc == 0)
        rc = restore_with(store, &source, master, error);
    sodium_memzero(master, sizeof(master));
    store_close(store);
    return rc;
}
