/*
 * Attaching: finds a pool's directory and maps its board read-only. Called by reader.c when a
 * reader is opened and when its board was replaced. It believes nothing before the first cache line
 * was read and checked, and keeps no descriptor of the board.
 */
#include "internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_RUNTIME_DIR "/run/keybroker"
#define BOARD_PREFIX "board."

enum { POOL_NAME_BYTES = 48 };

bool kbi_pool_name_is_valid(const char *pool) {
    size_t length = strnlen(pool, POOL_NAME_BYTES + 1);
    if (length == 0 || length > POOL_NAME_BYTES)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = pool[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool inner = i > 0 && (c == '.' || c == '_' || c == '-');
        if (!plain && !inner)
            return false;
    }
    return true;
}

static int error_of(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return KB_ENOENT;
    case EACCES:
    case EPERM:
        return KB_EACCES;
    case ENOMEM:
        return KB_ENOMEM;
    case ELOOP:
        return KB_ECORRUPT;
    default:
        return KB_ESYSTEM;
    }
}

/* An absolute path, so that the reader finds its pool again after a chdir. */
static int pool_path(const char *runtime_dir, const char *pool, char **ret_path) {
    char *absolute = NULL;
    if (*runtime_dir != '/') {
        absolute = realpath(runtime_dir, NULL);
        if (!absolute)
            return error_of(errno);
        runtime_dir = absolute;
    }
    char *path;
    int length = asprintf(&path, "%s/" KB_POOLS_DIR "/%s", runtime_dir, pool);
    free(absolute);
    if (length < 0)
        return KB_ENOMEM;
    *ret_path = path;
    return 0;
}

int kbi_attach_find(const char *pool, const kb_options *options, char **ret_path) {
    const char *runtime_dir = options ? options->runtime_dir : NULL;
    if (runtime_dir)
        return *runtime_dir ? pool_path(runtime_dir, pool, ret_path) : KB_EINVAL;
    runtime_dir = secure_getenv("KEYBROKER_RUNTIME_DIR");
    if (runtime_dir && *runtime_dir)
        return pool_path(runtime_dir, pool, ret_path);

    const char *user_dir = secure_getenv("XDG_RUNTIME_DIR");
    if (user_dir && *user_dir == '/') {
        char *own_dir, *path = NULL;
        if (asprintf(&own_dir, "%s/keybroker", user_dir) < 0)
            return KB_ENOMEM;
        int error = pool_path(own_dir, pool, &path);
        free(own_dir);
        if (error < 0)
            return error;
        if (access(path, F_OK) == 0) {
            *ret_path = path;
            return 0;
        }
        free(path);
    }
    return pool_path(SYSTEM_RUNTIME_DIR, pool, ret_path);
}

/* There is no board of our layout: is there one of another? */
static bool other_layout_exists(const char *path) {
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    bool found = false;
    const struct dirent *entry;
    while (!found && (entry = readdir(dir)))
        found = strncmp(entry->d_name, BOARD_PREFIX, strlen(BOARD_PREFIX)) == 0 &&
                isdigit((unsigned char)entry->d_name[strlen(BOARD_PREFIX)]);
    closedir(dir);
    return found;
}

/* The first line is read with pread: it cannot fault, whatever kind of file this is. */
static int check_board(int fd, struct stat *ret_info) {
    struct kb_board_head head;
    struct stat info;
    if (fstat(fd, &info) < 0)
        return error_of(errno);
    if (!S_ISREG(info.st_mode) || pread(fd, &head, sizeof head, 0) != sizeof head)
        return KB_ECORRUPT;
    if (head.magic == 0)
        return KBI_NOT_READY;
    if (head.magic != KB_BOARD_MAGIC)
        return KB_ECORRUPT;
    if (head.replaced != 0)
        return KBI_NOT_READY;
    if (head.layout != KB_BOARD_LAYOUT)
        return KB_EVERSION;
    if (head.size != KB_BOARD_SIZE || info.st_size != (off_t)KB_BOARD_SIZE)
        return KB_ECORRUPT;
    *ret_info = info;
    return 0;
}

int kbi_attach_open(struct attachment *ret_attachment, const char *path) {
    struct stat info = { 0 };
    int fd = KBI_NO_FD, error;

    int dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return error_of(errno);
    fd = openat(dir_fd, KB_BOARD_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        error = error_of(errno);
        if (error == KB_ENOENT && other_layout_exists(path))
            error = KB_EVERSION;
        goto fail;
    }
    error = check_board(fd, &info);
    if (error != 0)
        goto fail;
    void *memory = mmap(NULL, KB_BOARD_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        error = error_of(errno);
        goto fail;
    }
    close(fd);
    *ret_attachment = (struct attachment){ .board = memory,
                                           .dir_fd = dir_fd,
                                           .pool_path = path,
                                           .device = info.st_dev,
                                           .inode = info.st_ino };
    return 0;
fail:
    if (fd >= 0)
        close(fd);
    close(dir_fd);
    return error;
}

void kbi_attach_close(struct attachment *attachment) {
    if (!attachment->board)
        return;
    /* munmap wants a pointer to what is not const; nothing is written through it. */
    munmap((void *)(uintptr_t)attachment->board, KB_BOARD_SIZE);
    close(attachment->dir_fd);
    *attachment = (struct attachment){ .dir_fd = KBI_NO_FD };
}

bool kbi_attach_has_proc(void) {
    return access("/proc/self/fd", X_OK) == 0;
}

/* On the stack: this may be called while reporting, which does not allocate. */
bool kbi_attach_is_in_place(const struct attachment *attachment, const char *path) {
    struct stat info;
    char board[PATH_MAX];
    int length = snprintf(board, sizeof board, "%s/" KB_BOARD_FILE, path);
    if (length < 0 || (size_t)length >= sizeof board || lstat(board, &info) < 0)
        return false;
    return info.st_dev == attachment->device && info.st_ino == attachment->inode;
}
