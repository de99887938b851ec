/*
 * Where the master key is, in this order: the file that was named, the credential that systemd
 * passes, master.key in the state directory. Called by the store only. Only the last one is ever
 * made here, and only for a store that does not exist yet: a new key beside an old store would hide
 * that the right one is missing.
 *
 * Rotation: the new key is written aside; the store takes up a second wrap of its data key; the
 * file is put in place; the directory is synced; the first wrap goes. Killed at any step, whichever
 * file is there opens the store, and the next start finishes or takes back what was begun.
 */
#include "store_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

static bool is_within(const char *path, const char *directory) {
    size_t length = strlen(directory);
    return length > 0 && strncmp(path, directory, length) == 0 &&
           (path[length] == '/' || directory[length - 1] == '/');
}

static bool is_cut(int length) {
    return length < 0 || length >= PATH_MAX;
}

/* Its real name, for people to find it by. */
static int path_in_state_dir(const struct store *store, char path[PATH_MAX]) {
    char link[64], directory[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", store->dir_fd);
    ssize_t length = readlink(link, directory, sizeof(directory) - 1);
    if (length < 0)
        return -errno;
    directory[length] = '\0';
    return is_cut(snprintf(path, PATH_MAX, "%s/master.key", directory)) ? -ENAMETOOLONG : 0;
}

static int find(const struct store *store, char path[PATH_MAX], bool *ret_credential,
                bool *ret_own) {
    const char *credentials = secure_getenv("CREDENTIALS_DIRECTORY");
    *ret_credential = false;
    *ret_own = false;
    if (store->master_key_file) {
        *ret_credential = credentials && is_within(store->master_key_file, credentials);
        return is_cut(snprintf(path, PATH_MAX, "%s", store->master_key_file)) ? -ENAMETOOLONG : 0;
    }
    if (credentials) {
        if (is_cut(snprintf(path, PATH_MAX, "%s/master.key", credentials)))
            return -ENAMETOOLONG;
        if (access(path, F_OK) == 0) {
            *ret_credential = true;
            return 0;
        }
    }
    *ret_own = true;
    return path_in_state_dir(store, path);
}

static int find_or_say(const struct store *store, char path[PATH_MAX], bool *ret_credential,
                       bool *ret_own, char error[256]) {
    int rc = find(store, path, ret_credential, ret_own);
    if (rc < 0)
        snprintf(error, 256, "cannot find the master key: %s", strerror(-rc));
    return rc;
}

int store_master_read(struct store *store, bool may_make, unsigned char master[VAULT_KEY_SIZE],
                      char error[256]) {
    char path[PATH_MAX];
    bool credential, own;
    int rc = find_or_say(store, path, &credential, &own, error);
    if (rc < 0)
        return rc;
    rc = vault_read_master(path, credential, master, error);
    if (rc != -ENOENT)
        return rc;
    if (!may_make) {
        snprintf(error, 256,
                 "the master key %.160s is missing and without it the store cannot be read", path);
        return rc;
    }
    if (!own) {
        snprintf(error, 256, "the master key %.160s is missing", path);
        return rc;
    }
    rc = vault_make_master(path, master);
    if (rc < 0)
        snprintf(error, 256, "cannot make the master key %.160s: %s", path, strerror(-rc));
    return rc;
}

/* ---- another master key ---- */

struct vault *store_master_unwrap(const struct store *store,
                                  const unsigned char master[VAULT_KEY_SIZE], bool *ret_by_next) {
    struct vault *vault = vault_unwrap(master, store->wrapped);
    *ret_by_next = !vault && store->next_key != NEXT_KEY_NONE;
    return *ret_by_next ? vault_unwrap(master, store->next_wrapped) : vault;
}

static int write_next(struct store *store, enum store_next_key origin,
                      const unsigned char master[VAULT_KEY_SIZE]) {
    vault_wrap(store->vault, master, store->next_wrapped);
    store->next_key = origin;
    return store_write_wraps(store);
}

static int take_back_next(struct store *store) {
    store->next_key = NEXT_KEY_NONE;
    return store_write_wraps(store);
}

/* What was first stays in memory until the commit: if that fails, nobody knows which one the disk
 * has. After one more commit no tree holds it, and whoever has the old key and the file should not
 * find it in a free page. (A kill before that leaves it there.) */
static int promote_next(struct store *store) {
    unsigned char first[VAULT_WRAPPED_SIZE];
    enum store_next_key origin = store->next_key;
    memcpy(first, store->wrapped, sizeof(first));
    memcpy(store->wrapped, store->next_wrapped, sizeof(first));
    store->next_key = NEXT_KEY_NONE;
    int rc = store_write_wraps(store);
    if (rc < 0) {
        memcpy(store->wrapped, first, sizeof(first));
        store->next_key = origin;
        return rc;
    }
    rc = store_write_own(store, NULL);
    return rc < 0 ? rc : store_file_scrub(store, first, sizeof(first));
}

int store_master_settle(struct store *store, bool by_next) {
    char path[PATH_MAX];
    bool credential, own;
    if (store->next_key == NEXT_KEY_NONE)
        return 0;
    int rc = find(store, path, &credential, &own);
    if (rc < 0)
        return rc;
    if (by_next) /* the old wrap may go only when no crash can bring the old file back */
        return vault_sync_master(path) < 0 ? -EINPROGRESS : promote_next(store);
    if (store->next_key == NEXT_KEY_GIVEN)
        return 0;
    vault_drop_master_aside(path);
    return take_back_next(store);
}

int store_check_master(struct store *store, char error[256]) {
    unsigned char master[VAULT_KEY_SIZE];
    bool by_next;
    int rc = store_master_read(store, false, master, error);
    if (rc < 0)
        return rc;
    struct vault *vault = store_master_unwrap(store, master, &by_next);
    sodium_memzero(master, sizeof(master));
    if (!vault) {
        snprintf(error, 256, "the master key is no longer the one of this store");
        return -EKEYREJECTED;
    }
    vault_free(vault);
    rc = store->env ? store_master_settle(store, by_next) : 0;
    if (rc < 0)
        snprintf(error, 256, "cannot finish the rotation of the master key: %s", strerror(-rc));
    return rc;
}

static bool is_forbidden(int rc) {
    return rc == -EROFS || rc == -EACCES || rc == -EPERM;
}

static int refuse_to_write(const char *path, char error[256]) {
    snprintf(error, 256,
             "the broker may not write %.100s: \"rotate master-key given\" with a new key as "
             "payload, then put it there yourself and restart",
             path);
    return -EROFS;
}

/* The file, its wrap, its place. */
static int rotate_file(struct store *store, const char *path,
                       const unsigned char master[VAULT_KEY_SIZE], char error[256]) {
    int rc = write_next(store, NEXT_KEY_OWN, master);
    if (rc < 0) {
        vault_drop_master_aside(path);
        snprintf(error, 256, "the new master key cannot be stored (%s)", strerror(-rc));
        return rc;
    }
    rc = vault_replace_master(path);
    if (rc < 0) {
        vault_drop_master_aside(path);
        take_back_next(store);
        snprintf(error, 256, "cannot replace %.160s: %s", path, strerror(-rc));
        return rc;
    }
    rc = vault_sync_master(path);
    if (rc == 0)
        rc = promote_next(store);
    if (rc < 0)
        snprintf(error, 256,
                 "the new master key is in place, but that it stays there is not certain (%s); the "
                 "old one opens the store too, until the next rotation or start",
                 strerror(-rc));
    return rc;
}

int store_rotate_master(struct store *store, const unsigned char *given, char error[256]) {
    char path[PATH_MAX];
    bool credential = false, own = false;
    if (!store->env) {
        snprintf(error, 256, "the store cannot be written now");
        return -EIO;
    }
    /* Only from a key that is known to be in place, with nothing left of an earlier rotation. */
    int rc = store_check_master(store, error);
    if (rc == 0)
        rc = find_or_say(store, path, &credential, &own, error);
    if (rc < 0)
        return rc;
    if (given) {
        rc = write_next(store, NEXT_KEY_GIVEN, given);
        if (rc < 0)
            snprintf(error, 256, "the new master key cannot be stored (%s)", strerror(-rc));
        return rc;
    }
    if (credential || vault_master_is_link(path))
        return refuse_to_write(path, error);
    unsigned char master[VAULT_KEY_SIZE];
    rc = vault_make_master_aside(path, master);
    if (is_forbidden(rc))
        return refuse_to_write(path, error);
    if (rc < 0) {
        snprintf(error, 256, "cannot write a new master key beside %.160s: %s", path,
                 strerror(-rc));
        return rc;
    }
    rc = rotate_file(store, path, master, error);
    sodium_memzero(master, sizeof(master));
    return rc;
}
