/* See runtime.h. */
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Copy a path without the slashes at its end: with them a symbolic link there would be followed. */
static int trim_path(const char *path, char trimmed[PATH_MAX]) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length >= PATH_MAX)
        return -ENAMETOOLONG;
    if (!length)
        return -ENOENT;
    memcpy(trimmed, path, length);
    trimmed[length] = '\0';
    return 0;
}

static int make_dir(const char *path, mode_t mode) {
    if (mkdir(path, mode) < 0)
        return errno == EEXIST ? 0 : -errno;
    return chmod(path, mode) < 0 ? -errno : 0; /* the broker's umask took more */
}

static int make_with_parents(char *path, mode_t mode) {
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        int error = make_dir(path, mode);
        *slash = '/';
        if (error)
            return error;
    }
    return make_dir(path, mode);
}

/* A directory that is ours and no more open than `mode`. It is not changed: what somebody made on
 * purpose (or named by mistake, like /tmp) is not the broker's to chmod. */
static int check_dir(int fd, mode_t mode) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (status.st_uid != geteuid())
        return -EACCES;
    return status.st_mode & 0777 & ~mode ? -EPERM : 0;
}

int runtime_open_dir(const char *path, mode_t mode, bool refuse_disk) {
    char trimmed[PATH_MAX];
    int error = trim_path(path, trimmed);
    if (!error)
        error = make_with_parents(trimmed, mode);
    if (error)
        return error;
    int fd = open(trimmed, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    error = check_dir(fd, mode);
    struct statfs fs;
    if (!error && refuse_disk) {
        if (fstatfs(fd, &fs) < 0)
            error = -errno;
        else if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
            error = -EMEDIUMTYPE;
    }
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

int runtime_lock(int dir_fd) {
    int fd = openat(dir_fd, RUNTIME_LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int error = errno == EWOULDBLOCK ? -EBUSY : -errno;
        close(fd);
        return error;
    }
    return fd;
}

int runtime_open_subdir(int parent_fd, const char *name, mode_t mode, gid_t gid) {
    if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat status;
    int error = fstat(fd, &status) < 0 ? -errno : 0;
    if (!error && status.st_uid != geteuid())
        error = -EACCES;
    /* The group first: the directory must not be open to the wrong one for a moment. */
    if (!error && gid != (gid_t)-1 && status.st_gid != gid && fchown(fd, (uid_t)-1, gid) < 0)
        error = -errno;
    if (!error && fchmod(fd, mode) < 0)
        error = -errno;
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

int runtime_share_file(int fd, int dir_fd, mode_t mode) {
    struct stat dir, file;
    if (fstat(dir_fd, &dir) < 0 || fstat(fd, &file) < 0)
        return -errno;
    if (file.st_gid != dir.st_gid && fchown(fd, (uid_t)-1, dir.st_gid) < 0)
        return -errno;
    return fchmod(fd, mode) < 0 ? -errno : 0;
}

int runtime_listen(int dir_fd, const char *name, int type, mode_t mode, gid_t gid) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    /* Through the descriptor, so that directories with long names work. */
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
    if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
        return -errno;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* Bound with no access for anybody, opened to whom it is for once its group is right. */
    mode_t before = umask(0777);
    int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
    int error = bound < 0 ? -errno : 0;
    umask(before);
    if (!error && gid != (gid_t)-1 &&
        fchownat(dir_fd, name, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) < 0)
        error = -errno;
    if (!error && fchmodat(dir_fd, name, mode, 0) < 0)
        error = -errno;
    if (!error && listen(fd, SOMAXCONN) < 0)
        error = -errno;
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}
