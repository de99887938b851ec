/*
 * A shared object that tests preload into a broker: it makes the files below $SLOW_DISK_PATH slow
 * to sync, full or broken, as the control block (slow_disk.h) says at the moment, and kills the
 * broker, or fails one call, at the N-th call that concerns them. It calls the kernel directly, so
 * that it needs nothing of what it replaces; everything else passes through unchanged. Never linked
 * into a test.
 */
#include "slow_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct slow_disk *control;
static char prefix[PATH_MAX];
static _Thread_local int dies_after; /* the call that is being made */

/* With a prototype, which syscall has not: its last argument is on the stack, where an int's upper
 * half may be anything. */
static void *system_mmap(void *address, size_t length, int protection, int flags, int fd,
                         off_t offset) {
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

static __attribute__((constructor)) void attach(void) {
    const char *file = getenv(SLOW_DISK_CONTROL), *path = getenv(SLOW_DISK_PATH);
    if (!file || !path || !realpath(path, prefix))
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *memory = system_mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        control = memory;
}

static int is_below(const char *path) {
    size_t wanted = strlen(prefix);
    return strncmp(path, prefix, wanted) == 0 && path[wanted] == '/';
}

static int is_affected(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = '\0';
    return is_below(path);
}

static int is_affected_path(int dir_fd, const char *path) {
    int fd;
    if (sscanf(path, "/proc/self/fd/%d", &fd) == 1)
        return is_affected(fd);
    return path[0] == '/' ? is_below(path) : dir_fd != AT_FDCWD && is_affected(dir_fd);
}

/* 0, or the errno that the call shall fail with. */
static int verdict(int fd, uint32_t call) {
    uint32_t error = control ? atomic_load(&control->error) : 0;
    if (!error || !(atomic_load(&control->calls) & call) || !is_affected(fd))
        return 0;
    uint32_t after = atomic_load(&control->after);
    while (after)
        if (atomic_compare_exchange_weak(&control->after, &after, after - 1))
            return 0;
    atomic_fetch_add(&control->failed, 1);
    return (int)error;
}

static int refuse(int error) {
    errno = error;
    return -1;
}

static void dawdle(int fd) {
    uint32_t delay_us = control ? atomic_load(&control->sync_delay_us) : 0;
    if (!control || !is_affected(fd))
        return;
    atomic_fetch_add(&control->syncs_begun, 1);
    struct timespec left = { .tv_sec = delay_us / 1000000,
                             .tv_nsec = (long)(delay_us % 1000000) * 1000 };
    while (delay_us && nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
    struct timespec moment = { .tv_nsec = 500000 };
    while (atomic_load(&control->hold))
        nanosleep(&moment, NULL);
    atomic_fetch_add(&control->syncs_ended, 1);
}

/* ---- steps ---- */

static void die(void) {
    raise(SIGKILL); /* its own thread: the broker may send signals to nobody else */
    for (;;)
        pause();
}

static int counts(void) {
    return control && atomic_load(&control->counting);
}

/* 0, or the errno that the call shall fail with. */
static int take_step(const char *call) {
    if (control->step_only[0] && strcmp(control->step_only, call) != 0)
        return 0;
    uint32_t step = atomic_fetch_add(&control->steps, 1) + 1;
    if (step != atomic_load(&control->step))
        return 0;
    snprintf(control->step_call, sizeof control->step_call, "%s", call);
    switch (atomic_load(&control->step_action)) {
    case SLOW_DISK_KILL_BEFORE:
        die();
        break;
    case SLOW_DISK_KILL_AFTER:
        dies_after = 1;
        break;
    default:
        return (int)atomic_load(&control->step_error);
    }
    return 0;
}

static int step(int fd, const char *call) {
    return counts() && is_affected(fd) ? take_step(call) : 0;
}

static int step_at(int dir_fd, const char *path, const char *call) {
    return counts() && is_affected_path(dir_fd, path) ? take_step(call) : 0;
}

/* A sanitizer's start makes directories before it can give a thread its variables. */
static long done(long result) {
    if (control && dies_after)
        die();
    return result;
}

/* ---- what is written ---- */

static int before_write(int fd, const char *call) {
    int error = verdict(fd, SLOW_DISK_WRITE);
    return error ? error : step(fd, call);
}

ssize_t write(int fd, const void *data, size_t length) {
    int error = before_write(fd, "write");
    return error ? refuse(error) : done(syscall(SYS_write, fd, data, length));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    int error = before_write(fd, "writev");
    return error ? refuse(error) : done(syscall(SYS_writev, fd, parts, count));
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    int error = before_write(fd, "pwrite");
    return error ? refuse(error) : done(syscall(SYS_pwrite64, fd, data, length, offset));
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    return pwrite(fd, data, length, offset);
}

static int before_sync(int fd, const char *call) {
    dawdle(fd);
    int error = verdict(fd, SLOW_DISK_SYNC);
    return error ? error : step(fd, call);
}

int fdatasync(int fd) {
    int error = before_sync(fd, "fdatasync");
    return error ? refuse(error) : (int)done(syscall(SYS_fdatasync, fd));
}

int fsync(int fd) {
    int error = before_sync(fd, "fsync");
    return error ? refuse(error) : (int)done(syscall(SYS_fsync, fd));
}

static int before_allocation(int fd, const char *call) {
    int error = verdict(fd, SLOW_DISK_ALLOCATE);
    return error ? error : step(fd, call);
}

int ftruncate(int fd, off_t length) {
    int error = before_allocation(fd, "ftruncate");
    return error ? refuse(error) : (int)done(syscall(SYS_ftruncate, fd, length));
}

int ftruncate64(int fd, off64_t length) {
    return ftruncate(fd, length);
}

int posix_fallocate(int fd, off_t offset, off_t length) {
    int error = before_allocation(fd, "posix_fallocate");
    if (error)
        return error;
    return done(syscall(SYS_fallocate, fd, 0, offset, length)) < 0 ? errno : 0;
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    return posix_fallocate(fd, offset, length);
}

/* ---- what is only counted ---- */

static mode_t mode_of(int flags, va_list arguments) {
    return flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    int error = step_at(AT_FDCWD, path, "open");
    return error ? refuse(error) : (int)done(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

int openat(int dir_fd, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    int error = step_at(dir_fd, path, "openat");
    return error ? refuse(error) : (int)done(syscall(SYS_openat, dir_fd, path, flags, mode));
}

ssize_t pread(int fd, void *data, size_t length, off_t offset) {
    int error = step(fd, "pread");
    return error ? refuse(error) : done(syscall(SYS_pread64, fd, data, length, offset));
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    int error = fd >= 0 ? step(fd, "mmap") : 0;
    if (error) {
        errno = error;
        return MAP_FAILED;
    }
    return (void *)done((long)system_mmap(address, length, protection, flags, fd, offset));
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    int error = step_at(to_fd, to, "renameat");
    return error ? refuse(error) : (int)done(syscall(SYS_renameat, from_fd, from, to_fd, to));
}

int link(const char *from, const char *to) {
    int error = step_at(AT_FDCWD, to, "link");
    return error ? refuse(error) : (int)done(syscall(SYS_link, from, to));
}

int unlink(const char *path) {
    int error = step_at(AT_FDCWD, path, "unlink");
    return error ? refuse(error) : (int)done(syscall(SYS_unlink, path));
}

int unlinkat(int dir_fd, const char *path, int flags) {
    int error = step_at(dir_fd, path, "unlinkat");
    return error ? refuse(error) : (int)done(syscall(SYS_unlinkat, dir_fd, path, flags));
}

int mkdir(const char *path, mode_t mode) {
    int error = step_at(AT_FDCWD, path, "mkdir");
    return error ? refuse(error) : (int)done(syscall(SYS_mkdir, path, mode));
}

int mkdirat(int dir_fd, const char *path, mode_t mode) {
    int error = step_at(dir_fd, path, "mkdirat");
    return error ? refuse(error) : (int)done(syscall(SYS_mkdirat, dir_fd, path, mode));
}

int fchmod(int fd, mode_t mode) {
    int error = step(fd, "fchmod");
    return error ? refuse(error) : (int)done(syscall(SYS_fchmod, fd, mode));
}

int fchmodat(int dir_fd, const char *path, mode_t mode, int flags) {
    int error = flags ? ENOTSUP : step_at(dir_fd, path, "fchmodat");
    return error ? refuse(error) : (int)done(syscall(SYS_fchmodat, dir_fd, path, mode));
}

int flock(int fd, int operation) {
    int error = step(fd, "flock");
    return error ? refuse(error) : (int)done(syscall(SYS_flock, fd, operation));
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    const struct sockaddr_un *local = (const struct sockaddr_un *)(const void *)address;
    int error = address->sa_family == AF_UNIX ? step_at(AT_FDCWD, local->sun_path, "bind") : 0;
    return error ? refuse(error) : (int)done(syscall(SYS_bind, fd, address, length));
}
