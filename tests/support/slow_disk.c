/*
 * A shared object that tests preload into a broker: it makes the files below $SLOW_DISK_PATH slow
 * to sync, full or broken, as the control block (slow_disk.h) says at the moment. It calls the
 * kernel directly, so that it needs nothing of what it replaces; everything else passes through
 * unchanged. Never linked into a test.
 */
#include "slow_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static struct slow_disk *control;
static char prefix[PATH_MAX];

static __attribute__((constructor)) void attach(void) {
    const char *file = getenv(SLOW_DISK_CONTROL), *path = getenv(SLOW_DISK_PATH);
    if (!file || !path || !realpath(path, prefix))
        return;
    int fd = open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        control = memory;
}

static int is_affected(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t wanted = strlen(prefix);
    return length > (ssize_t)wanted && strncmp(path, prefix, wanted) == 0 && path[wanted] == '/';
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

ssize_t write(int fd, const void *data, size_t length) {
    int error = verdict(fd, SLOW_DISK_WRITE);
    return error ? refuse(error) : syscall(SYS_write, fd, data, length);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    int error = verdict(fd, SLOW_DISK_WRITE);
    return error ? refuse(error) : syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    int error = verdict(fd, SLOW_DISK_WRITE);
    return error ? refuse(error) : syscall(SYS_pwrite64, fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    return pwrite(fd, data, length, offset);
}

int fdatasync(int fd) {
    dawdle(fd);
    int error = verdict(fd, SLOW_DISK_SYNC);
    return error ? refuse(error) : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
    dawdle(fd);
    int error = verdict(fd, SLOW_DISK_SYNC);
    return error ? refuse(error) : (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t length) {
    int error = verdict(fd, SLOW_DISK_ALLOCATE);
    return error ? refuse(error) : (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate64(int fd, off64_t length) {
    return ftruncate(fd, length);
}

int posix_fallocate(int fd, off_t offset, off_t length) {
    int error = verdict(fd, SLOW_DISK_ALLOCATE);
    if (error)
        return error;
    return syscall(SYS_fallocate, fd, 0, offset, length) < 0 ? errno : 0;
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    return posix_fallocate(fd, offset, length);
}
