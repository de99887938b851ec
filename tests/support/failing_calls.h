/*
 * Every call into the kernel failing in turn. A test program that includes this stands in front of
 * libc's calls, also for the libraries that it uses: the one whose turn it is fails with an error
 * of the test's choice and does nothing; all others go straight to the kernel. Include it in one
 * source of a program only. What a program does with time, memory and threads is left alone.
 */
#ifndef TESTS_FAILING_CALLS_H
#define TESTS_FAILING_CALLS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <criterion/criterion.h>

/* ThreadSanitizer stands in front of the same calls, and does not come up without them. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CALLS_ARE_TAKEN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define CALLS_ARE_TAKEN 1
#endif

static atomic_ulong calls_left; /* until the one that fails; 0 = none does */
static int calls_error;
static __attribute__((unused)) bool calls_memory_too; /* mapped memory without a file, too */
static bool calls_of_lmdb;               /* failing_lmdb.h: LMDB's calls fail, and none of libc's */
static const char *_Atomic calls_failed; /* which one it was, or NULL */

/* The n-th call from now fails. */
static inline void calls_fail_at(unsigned long n, int error) {
    atomic_store(&calls_failed, NULL);
    calls_error = error;
    atomic_store(&calls_left, n);
}

/* All calls work again. The one that failed, or NULL: there were fewer. */
static inline const char *calls_work(void) {
    atomic_store(&calls_left, 0);
    return atomic_load(&calls_failed);
}

/* AddressSanitizer makes the directory of its log before it is ready for instrumented code. */
#define CALLS_BARE __attribute__((no_sanitize_address))

CALLS_BARE static inline bool calls_turn(const char *call) {
    unsigned long left = atomic_load(&calls_left);
    while (left > 0)
        if (atomic_compare_exchange_weak(&calls_left, &left, left - 1))
            break;
    if (left != 1)
        return false;
    atomic_store(&calls_failed, call);
    errno = calls_error;
    return true;
}

CALLS_BARE static inline bool calls_fails(const char *call) {
    return !calls_of_lmdb && calls_turn(call);
}

static inline unsigned calls_open_descriptors(void) {
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    cr_assert_not_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* One thing that a program does. `prepare` may be NULL. `work` is done with its 1st, 2nd … call
 * failing until it makes fewer calls; `check` then looks at what is there, when all calls work
 * again, and puts away what is open. No descriptor may be lost over all three. */
struct calls_sweep {
    void (*prepare)(void);
    int (*work)(void);                           /* 0 or -errno */
    void (*check)(int result, const char *when); /* `when`, for messages: "call 7 (fsync)" */
    unsigned long least; /* it makes so many calls, or the test looks at nothing */
    int error;
};

static inline void calls_sweep(const struct calls_sweep *sweep) {
#ifdef CALLS_ARE_TAKEN
    cr_skip_test("ThreadSanitizer has the calls");
#endif
    char when[64];
    unsigned descriptors = calls_open_descriptors();
    for (unsigned long n = 1;; n++) {
        if (sweep->prepare)
            sweep->prepare();
        calls_fail_at(n, sweep->error);
        int result = sweep->work();
        const char *failed = calls_work();
        snprintf(when, sizeof when, "call %lu (%s)", n, failed ? failed : "none");
        cr_assert(failed || result == 0, "%s: %s without a cause", when, strerror(-result));
        cr_assert_leq(result, 0, "%s: %d is neither success nor an error", when, result);
        sweep->check(result, when);
        cr_assert_eq(calls_open_descriptors(), descriptors, "%s: a descriptor is lost", when);
        if (failed)
            continue;
        cr_assert_geq(n, sweep->least, "only %lu calls: not what is meant", n);
        return;
    }
}

/* ---- what libc has ---- */

#ifndef CALLS_ARE_TAKEN

#define CALLS_INT(call, ...) calls_fails(__func__) ? -1 : (int)syscall(SYS_##call, __VA_ARGS__)
#define CALLS_SIZE(call, ...) calls_fails(__func__) ? -1 : syscall(SYS_##call, __VA_ARGS__)

static inline mode_t calls_mode(int flags, va_list arguments) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = calls_mode(flags, arguments);
    va_end(arguments);
    return CALLS_INT(openat, AT_FDCWD, path, flags, mode);
}
int openat(int dir_fd, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = calls_mode(flags, arguments);
    va_end(arguments);
    return CALLS_INT(openat, dir_fd, path, flags, mode);
}
int fcntl(int fd, int operation, ...) {
    va_list arguments;
    va_start(arguments, operation);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return CALLS_INT(fcntl, fd, operation, argument);
}
ssize_t read(int fd, void *data, size_t length) {
    return CALLS_SIZE(read, fd, data, length);
}
ssize_t pread(int fd, void *data, size_t length, off_t offset) {
    return CALLS_SIZE(pread64, fd, data, length, offset);
}
ssize_t write(int fd, const void *data, size_t length) {
    return CALLS_SIZE(write, fd, data, length);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return CALLS_SIZE(writev, fd, parts, count);
}
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    return CALLS_SIZE(pwrite64, fd, data, length, offset);
}
int fsync(int fd) {
    return CALLS_INT(fsync, fd);
}
int fdatasync(int fd) {
    return CALLS_INT(fdatasync, fd);
}
int ftruncate(int fd, off_t length) {
    return CALLS_INT(ftruncate, fd, length);
}
int posix_fallocate(int fd, off_t offset, off_t length) {
    return calls_fails(__func__)                               ? calls_error
           : syscall(SYS_fallocate, fd, 0, offset, length) < 0 ? errno
                                                               : 0;
}
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    if ((fd >= 0 || calls_memory_too) && calls_fails(__func__))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}
int madvise(void *address, size_t length, int advice) {
    return CALLS_INT(madvise, address, length, advice);
}
int fstat(int fd, struct stat *status) {
    return CALLS_INT(newfstatat, fd, "", status, AT_EMPTY_PATH);
}
/* What programs that were linked with an older libc call. */
int __fxstat(int version, int fd, struct stat *status);
int __fxstat(int version, int fd, struct stat *status) {
    (void)version;
    return fstat(fd, status);
}
int stat(const char *path, struct stat *status) {
    return CALLS_INT(newfstatat, AT_FDCWD, path, status, 0);
}
int lstat(const char *path, struct stat *status) {
    return CALLS_INT(newfstatat, AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}
int fstatat(int dir_fd, const char *path, struct stat *status, int flags) {
    return CALLS_INT(newfstatat, dir_fd, path, status, flags);
}
int fstatfs(int fd, struct statfs *status) {
    return CALLS_INT(fstatfs, fd, status);
}
ssize_t readlink(const char *path, char *target, size_t size) {
    return CALLS_SIZE(readlinkat, AT_FDCWD, path, target, size);
}
int rename(const char *from, const char *to) {
    return CALLS_INT(renameat, AT_FDCWD, from, AT_FDCWD, to);
}
int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    return CALLS_INT(renameat, from_fd, from, to_fd, to);
}
int link(const char *from, const char *to) {
    return CALLS_INT(linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags) {
    return CALLS_INT(linkat, from_fd, from, to_fd, to, flags);
}
int unlink(const char *path) {
    return CALLS_INT(unlinkat, AT_FDCWD, path, 0);
}
int unlinkat(int dir_fd, const char *path, int flags) {
    return CALLS_INT(unlinkat, dir_fd, path, flags);
}
CALLS_BARE int mkdir(const char *path, mode_t mode) {
    return CALLS_INT(mkdirat, AT_FDCWD, path, mode);
}
int mkdirat(int dir_fd, const char *path, mode_t mode) {
    return CALLS_INT(mkdirat, dir_fd, path, mode);
}
int chmod(const char *path, mode_t mode) {
    return CALLS_INT(fchmodat, AT_FDCWD, path, mode);
}
int fchmod(int fd, mode_t mode) {
    return CALLS_INT(fchmod, fd, mode);
}
int fchmodat(int dir_fd, const char *path, mode_t mode, int flags) {
    (void)flags; /* the kernel takes none */
    return CALLS_INT(fchmodat, dir_fd, path, mode);
}
int fchown(int fd, uid_t owner, gid_t group) {
    return CALLS_INT(fchown, fd, owner, group);
}
int fchownat(int dir_fd, const char *path, uid_t owner, gid_t group, int flags) {
    return CALLS_INT(fchownat, dir_fd, path, owner, group, flags);
}
int flock(int fd, int operation) {
    return CALLS_INT(flock, fd, operation);
}
int socket(int domain, int type, int protocol) {
    return CALLS_INT(socket, domain, type, protocol);
}
int bind(int fd, const struct sockaddr *address, socklen_t length) {
    return CALLS_INT(bind, fd, address, length);
}
int listen(int fd, int queue) {
    return CALLS_INT(listen, fd, queue);
}
int connect(int fd, const struct sockaddr *address, socklen_t length) {
    return CALLS_INT(connect, fd, address, length);
}
ssize_t send(int fd, const void *data, size_t length, int flags) {
    return CALLS_SIZE(sendto, fd, data, length, flags, NULL, 0);
}

#endif

#endif
