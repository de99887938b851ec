/*
 * Directories, locks and sockets of the broker, in a directory of the test's own.
 */
#include "broker/runtime.h"
#include "scratch_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

static void setup(void) {
    scratch_dir_init();
    umask(022);
}

TestSuite(runtime, .init = setup, .fini = scratch_dir_deinit);

static const char *below(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static mode_t mode_of(const char *name) {
    struct stat status;
    cr_assert_eq(fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW), 0, "%s", name);
    return status.st_mode & 07777;
}

static int open_dir(const char *name, mode_t mode) {
    int fd = runtime_open_dir(below(name), mode, false);
    if (fd >= 0) {
        cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        close(fd);
        return 0;
    }
    return fd;
}

/* ---- directories ---- */

Test(runtime, a_directory_is_made_with_its_parents) {
    cr_assert_eq(open_dir("a/b/state", 0700), 0);
    cr_assert_eq(mode_of("a/b/state"), 0700);
    cr_assert_eq(open_dir("a/b/state", 0700), 0, "and taken when it is there");
}

Test(runtime, a_directory_has_its_mode_whatever_the_umask) {
    umask(0077); /* as the broker has it */
    cr_assert_eq(open_dir("run", 0755), 0);
    cr_assert_eq(mode_of("run"), 0755, "workers must be able to enter it");
    cr_assert_eq(open_dir("parents/run", 0755), 0);
    cr_assert_eq(mode_of("parents"), 0755);
    cr_assert_eq(mode_of("parents/run"), 0755);
    umask(0);
    cr_assert_eq(open_dir("state", 0700), 0);
    cr_assert_eq(mode_of("state"), 0700);
}

Test(runtime, a_directory_that_is_more_open_is_refused_and_left_as_it_is) {
    cr_assert_eq(mkdirat(dir_fd, "open", 0700), 0);
    cr_assert_eq(fchmodat(dir_fd, "open", 0750, 0), 0);
    cr_assert_eq(open_dir("open", 0700), -EPERM);
    cr_assert_eq(mode_of("open"), 0750);
    cr_assert_eq(mkdirat(dir_fd, "closed", 0700), 0);
    cr_assert_eq(open_dir("closed", 0755), 0, "less open is somebody's choice");
    cr_assert_eq(mode_of("closed"), 0700);
}

Test(runtime, a_slash_at_the_end_makes_no_difference) {
    cr_assert_eq(open_dir("state/", 0700), 0);
    cr_assert_eq(mode_of("state"), 0700);
    cr_assert_eq(open_dir("x//y///", 0700), 0);
    cr_assert_eq(mode_of("x/y"), 0700);
}

Test(runtime, symbolic_links_are_not_followed) {
    cr_assert_eq(mkdirat(dir_fd, "real", 0700), 0);
    cr_assert_eq(symlinkat("real", dir_fd, "link"), 0);
    cr_assert_lt(open_dir("link", 0700), 0);
    cr_assert_lt(open_dir("link/", 0700), 0);
    cr_assert_lt(runtime_open_subdir(dir_fd, "link", 0700, (gid_t)-1), 0);
}

Test(runtime, what_is_no_directory_is_refused) {
    close(openat(dir_fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    cr_assert_eq(open_dir("file", 0700), -ENOTDIR);
    cr_assert_eq(open_dir("file/below", 0700), -ENOTDIR);
    cr_assert_eq(runtime_open_subdir(dir_fd, "file", 0700, (gid_t)-1), -ENOTDIR);
}

Test(runtime, a_path_that_cannot_be_one_is_refused) {
    char path[8192];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    cr_assert_eq(runtime_open_dir(path, 0700, false), -ENAMETOOLONG);
    cr_assert_eq(runtime_open_dir("", 0700, false), -ENOENT);
}

Test(runtime, somebody_elses_directory_is_refused) {
    if (geteuid() != 0) {
        cr_assert_eq(runtime_open_dir("/usr", 0755, false), -EACCES);
        return;
    }
    cr_assert_eq(mkdirat(dir_fd, "foreign", 0700), 0);
    cr_assert_eq(fchownat(dir_fd, "foreign", 12345, (gid_t)-1, 0), 0);
    cr_assert_eq(open_dir("foreign", 0755), -EACCES);
    cr_assert_eq(runtime_open_subdir(dir_fd, "foreign", 0755, (gid_t)-1), -EACCES);
}

Test(runtime, a_disk_is_refused_where_plaintext_would_reach_it) {
    int fd = runtime_open_dir("/proc/self", 0755, true);
    cr_assert_lt(fd, 0, "no tmpfs");
    if (access("/dev/shm", W_OK) < 0)
        return;
    char path[64] = "/dev/shm/keybroker-runtime-XXXXXX";
    cr_assert_not_null(mkdtemp(path));
    fd = runtime_open_dir(path, 0700, true);
    cr_expect_geq(fd, 0);
    close(fd);
    rmdir(path);
}

/* ---- directories below ---- */

Test(runtime, a_pools_directory_gets_its_mode_and_group) {
    umask(0077);
    int fd = runtime_open_subdir(dir_fd, "pool", 0750, getegid());
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(mode_of("pool"), 0750);
    fd = runtime_open_subdir(dir_fd, "pool", 0755, (gid_t)-1);
    cr_assert_geq(fd, 0, "it is taken when it is there");
    close(fd);
    cr_assert_eq(mode_of("pool"), 0755);
}

Test(runtime, a_pools_directory_may_belong_to_another_group_or_says_that_it_cannot) {
    int fd = runtime_open_subdir(dir_fd, "pool", 0750, 54321);
    struct stat status;
    if (geteuid() != 0) {
        cr_assert_eq(fd, -EPERM);
        return;
    }
    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &status), 0);
    cr_assert_eq(status.st_gid, 54321);
    cr_assert_eq(status.st_mode & 07777, 0750);
    close(fd);
}

/* ---- the lock ---- */

static int lock_in_child(void) {
    pid_t child = fork();
    if (child == 0)
        _exit(-runtime_lock(dir_fd) & 0x7f);
    int status = 0;
    waitpid(child, &status, 0);
    return -WEXITSTATUS(status);
}

Test(runtime, one_broker_at_a_time_holds_the_lock) {
    int lock = runtime_lock(dir_fd);
    cr_assert_geq(lock, 0);
    cr_assert(fcntl(lock, F_GETFD) & FD_CLOEXEC);
    cr_assert_eq(lock_in_child(), -EBUSY);
    cr_assert_eq(runtime_lock(dir_fd), -EBUSY, "not twice in one process either");
    close(lock);
    lock = runtime_lock(dir_fd);
    cr_assert_geq(lock, 0, "the file stays and is locked again");
    close(lock);
}

Test(runtime, the_lock_goes_with_its_process) {
    pid_t child = fork();
    if (child == 0)
        _exit(runtime_lock(dir_fd) >= 0 ? 0 : 1);
    int status = 1;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    int lock = runtime_lock(dir_fd);
    cr_assert_geq(lock, 0);
    close(lock);
}

Test(runtime, a_lock_is_no_link) {
    cr_assert_eq(symlinkat("elsewhere", dir_fd, ".lock"), 0);
    cr_assert_eq(runtime_lock(dir_fd), -ELOOP);
}

/* ---- sockets ---- */

static int connect_to(const char *name, int type) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    int result = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    close(fd);
    return result;
}

Test(runtime, a_socket_listens_with_its_mode_whatever_the_umask) {
    umask(0077);
    int fd = runtime_listen(dir_fd, "report.sock", SOCK_SEQPACKET, 0660, (gid_t)-1);
    cr_assert_geq(fd, 0);
    cr_assert_eq(mode_of("report.sock"), 0660);
    cr_assert_eq(connect_to("report.sock", SOCK_SEQPACKET), 0);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
    cr_assert_eq(umask(022), 0077, "the umask is as it was");
    close(fd);
    fd = runtime_listen(dir_fd, "admin.sock", SOCK_STREAM, 0666, (gid_t)-1);
    cr_assert_geq(fd, 0);
    cr_assert_eq(mode_of("admin.sock"), 0666);
    cr_assert_eq(connect_to("admin.sock", SOCK_STREAM), 0);
    close(fd);
}

Test(runtime, a_dead_brokers_socket_is_replaced) {
    int fd = runtime_listen(dir_fd, "admin.sock", SOCK_STREAM, 0666, (gid_t)-1);
    close(fd);
    cr_assert_eq(connect_to("admin.sock", SOCK_STREAM), -ECONNREFUSED);
    fd = runtime_listen(dir_fd, "admin.sock", SOCK_STREAM, 0666, (gid_t)-1);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect_to("admin.sock", SOCK_STREAM), 0);
    close(fd);
}

Test(runtime, a_directory_with_a_long_name_has_sockets_all_the_same) {
    char name[201];
    memset(name, 'd', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    int deep = runtime_open_subdir(dir_fd, name, 0700, (gid_t)-1);
    cr_assert_geq(deep, 0);
    int fd = runtime_listen(deep, "admin.sock", SOCK_STREAM, 0666, (gid_t)-1);
    cr_assert_geq(fd, 0);
    close(fd);
    close(deep);
}

Test(runtime, what_stands_in_a_sockets_way_is_said) {
    cr_assert_eq(mkdirat(dir_fd, "admin.sock", 0700), 0);
    cr_assert_lt(runtime_listen(dir_fd, "admin.sock", SOCK_STREAM, 0666, (gid_t)-1), 0);
}
