/*
 * Every pool's outlet: opened for those in the store and for new ones, closed for deleted ones,
 * given to groups; and what a former broker left of pools that are gone (server.h). Event loop
 * thread, and start-up.
 */
#include "server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity.h"
#include "log.h"
#include "memory.h"
#include "runtime.h"

int server_find_group(const char *group, gid_t *ret_gid, struct refusal *refusal) {
    int error = identity_find_group(group, ret_gid);
    if (error == -ENOENT)
        return refuse(refusal, REFUSED_NOT_FOUND, "no-such-group", "group",
                      "this host has no group %.64s", group);
    if (error)
        return refuse(refusal, REFUSED_UNAVAILABLE, "group-lookup-failed", "group",
                      "group %.64s can't be looked up now: %s", group, strerror(-error));
    return 0;
}

int server_open_outlet(struct server *server, const struct model_pool *pool,
                       struct refusal *refusal) {
    const struct pool_record *record = pool->record;
    gid_t gid;
    size_t i = 0;
    for (struct outlet *outlet; (outlet = map_next(&server->outlets, &i));)
        if (strcmp(outlet->name, record->name) == 0)
            return refuse(refusal, REFUSED_UNAVAILABLE, "still-deleting", "POOL",
                          "a pool of that name is still being deleted: try again");
    int code = server_find_group(record->group, &gid, refusal);
    if (code)
        return code;
    if (server_share_descriptors(server, server->outlets.count + 1))
        return refuse(refusal, REFUSED_UNAVAILABLE, "too-many-pools", "",
                      "the broker may have %llu files open, which is enough for %llu pools beside "
                      "their workers: raise RLIMIT_NOFILE (LimitNOFILE= in its unit, ulimit -n)",
                      (unsigned long long)server->descriptors,
                      (unsigned long long)server->pools_most);
    struct outlet *outlet = mem_alloc(sizeof *outlet);
    uint64_t generation;
    int error = outlet_open(outlet, server, record, gid, &generation);
    if (error) {
        free(outlet);
        unlinkat(server->pools_fd, record->name, AT_REMOVEDIR); /* only if it is empty */
        if (error == -EPERM)
            return refuse(refusal, REFUSED_RULE, "cannot-chgrp", "group",
                          "the broker may not give files to group %.64s: make its user a member, "
                          "or run it as root",
                          record->group);
        return refuse(refusal, REFUSED_UNAVAILABLE, "runtime-unavailable", "",
                      "cannot make the pool's runtime directory: %s", strerror(-error));
    }
    if (generation > (server->start << KB_GENERATION_START_SHIFT | server->changes)) {
        /* Generations never go back, and ours can't pass this one before the next start. */
        outlet_close(outlet, false);
        return refuse(refusal, REFUSED_UNAVAILABLE, "foreign-board", "POOL",
                      "a board of a later start lies in the runtime directory of %.48s: remove it",
                      record->name);
    }
    board_set_broker(&outlet->publication.board, server->start, (uint32_t)getpid());
    board_beat(&outlet->publication.board, server->now.mono_ms);
    map_set(&server->outlets, record->id, outlet);
    return 0;
}

void server_close_outlet(struct server *server, uint64_t pool_id, bool retire) {
    struct outlet *outlet = map_remove(&server->outlets, pool_id);
    if (outlet)
        outlet_close(outlet, retire);
    server_share_descriptors(server, server->outlets.count);
}

/* Asked of the file system that it is about, with a file that never has a name. Where that can't be
 * made, publishing will tell. */
static int try_to_give(const struct server *server, gid_t gid) {
    int fd = openat(server->pools_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    int error = fd >= 0 && fchown(fd, (uid_t)-1, gid) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

int server_check_group(struct server *server, const char *group, struct refusal *refusal) {
    gid_t gid;
    int code = server_find_group(group, &gid, refusal);
    if (code)
        return code;
    int error = gid == (gid_t)-1 ? 0 : try_to_give(server, gid);
    if (!error)
        return 0;
    return refuse(refusal, REFUSED_RULE, "cannot-chgrp", "group",
                  "the broker may not give files to group %.64s (%s): make its user a member, or "
                  "run it as root",
                  group, strerror(-error));
}

/* ---- what a former broker left ---- */

/* Directories of pools that are not in the store any more: tell attached workers, remove them. */
static void remove_orphan(struct server *server, const char *name, uint64_t *floor) {
    int dir_fd = openat(server->pools_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir_fd < 0)
        return;
    struct publication orphan;
    uint64_t generation = 0;
    if (faccessat(dir_fd, KB_BOARD_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ||
        publication_open(&orphan, 0, dir_fd, &generation) < 0) {
        close(dir_fd);
        unlinkat(server->pools_fd, name, AT_REMOVEDIR);
        return;
    }
    log_info("pool %s is not in the store: removing what is left of it", name);
    publication_retire(&orphan, generation + 1);
    unlinkat(server->pools_fd, name, AT_REMOVEDIR);
    if (generation + 1 > *floor)
        *floor = generation + 1;
}

bool server_has_foreign_pools(const struct server *server) {
    bool found = false;
    int fd = openat(server->pools_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(dir));) {
        char path[NAME_MAX + sizeof KB_BOARD_FILE + 1];
        struct kb_board_head head;
        snprintf(path, sizeof path, "%s/" KB_BOARD_FILE, entry->d_name);
        int board = openat(server->pools_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        /* A board's first generation comes with its first catalog, and that after the commit. */
        found = board >= 0 && pread(board, &head, sizeof head, 0) == sizeof head &&
                head.magic == KB_BOARD_MAGIC && head.generation != 0 && head.replaced == 0;
        if (board >= 0)
            close(board);
    }
    closedir(dir);
    return found;
}

static void remove_orphans(struct server *server, uint64_t *floor) {
    int fd = openat(server->pools_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && !model_find_pool(server->model, entry->d_name))
            remove_orphan(server, entry->d_name, floor);
    closedir(dir);
}

/* At start a pool is opened to its workers even if its group can't be told: a group that is gone
 * has none, but a look-up that failed must not take them their keys. */
static gid_t find_group_at_start(const struct server *server, const struct pool_record *pool) {
    gid_t gid;
    struct stat dir;
    int error = identity_find_group(pool->group, &gid);
    if (!error)
        return gid;
    if (error == -ENOENT) {
        log_error("pool %s: this host has no group %s any more; only the broker's own user may use "
                  "the pool",
                  pool->name, pool->group);
        return getegid();
    }
    log_error("pool %s: group %s can't be looked up (%s): its directory stays as it is", pool->name,
              pool->group, strerror(-error));
    bool there = fstatat(server->pools_fd, pool->name, &dir, AT_SYMLINK_NOFOLLOW) == 0;
    return there ? dir.st_gid : getegid();
}

int server_open_outlets(struct server *server, uint64_t *ret_floor) {
    uint64_t floor = 0;
    size_t i = 0;
    for (const struct model_pool *pool; (pool = map_next(&server->model->pools, &i));) {
        gid_t gid = find_group_at_start(server, pool->record);
        struct outlet *outlet = mem_alloc(sizeof *outlet);
        uint64_t generation = 0;
        int error = outlet_open(outlet, server, pool->record, gid, &generation);
        if (error == -EPERM) {
            log_error("pool %s: its files may not be given to group %s any more; only the broker's "
                      "own user may use the pool",
                      pool->record->name, pool->record->group);
            error = outlet_open(outlet, server, pool->record, getegid(), &generation);
        }
        if (error) {
            log_error("pool %s: its runtime directory: %s", pool->record->name, strerror(-error));
            free(outlet);
            return error;
        }
        if (generation > floor)
            floor = generation;
        map_set(&server->outlets, pool->record->id, outlet);
    }
    remove_orphans(server, &floor);
    *ret_floor = floor;
    return 0;
}
