/*
 * Where the master key is, in this order: the file that was named, the credential that systemd
 * passes, master.key in the state directory. Called by the store only. Only the last one is ever
 * made here, and only for a store that does not exist yet: a new key beside an old store would hide
 * that the right one is missing.
 */
#include "store_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

int store_master_read(struct store *store, bool may_make, unsigned char master[VAULT_KEY_SIZE],
                      char error[256]) {
    char path[PATH_MAX];
    bool credential, own;
    int rc = find(store, path, &credential, &own);
    if (rc < 0) {
        snprintf(error, 256, "cannot find the master key: %s", strerror(-rc));
        return rc;
    }
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
