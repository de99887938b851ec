/* What the supervisor hears, and what is left in the environment, for every kind of address. */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <criterion/criterion.h>

static int supervisor_new(const struct sockaddr_un *address, size_t path_length) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_length);
    cr_assert_eq(bind(fd, (const struct sockaddr *)address, length), 0, "%s", strerror(errno));
    return fd;
}

static void expect_message(int supervisor, const char *expected) {
    char text[64];
    ssize_t length = recv(supervisor, text, sizeof(text) - 1, 0);
    cr_assert_geq(length, 0, "the supervisor heard nothing: %s", strerror(errno));
    text[length] = '\0';
    cr_assert_str_eq(text, expected);
}

static char *directory_new(void) {
    const char *parent = getenv("TMPDIR");
    static char path[200];
    snprintf(path, sizeof(path), "%s/notify-XXXXXX", parent ? parent : "/tmp");
    cr_assert_not_null(mkdtemp(path));
    return path;
}

Test(notify, a_supervisor_at_a_path_is_told) {
    char *directory = directory_new();
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    cr_assert_lt(snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", directory),
                 (int)sizeof(address.sun_path));
    int supervisor = supervisor_new(&address, strlen(address.sun_path) + 1);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    notify_init();
    notify_send("READY=1");
    expect_message(supervisor, "READY=1");
    notify_send("STOPPING=1");
    expect_message(supervisor, "STOPPING=1");
    notify_deinit();
    unlink(address.sun_path);
    rmdir(directory);
}

Test(notify, a_supervisor_with_an_abstract_name_is_told) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int length =
        snprintf(address.sun_path, sizeof(address.sun_path), "@keybroker-notify-%d", (int)getpid());
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    address.sun_path[0] = '\0';
    int supervisor = supervisor_new(&address, (size_t)length);
    notify_init();
    notify_send("READY=1");
    expect_message(supervisor, "READY=1");
    notify_deinit();
}

Test(notify, a_path_longer_than_a_socket_address_works) {
    char *directory = directory_new();
    char deep[400], path[420];
    snprintf(deep, sizeof(deep), "%s/%0*d", directory, 150, 0);
    cr_assert_eq(mkdir(deep, 0700), 0);
    snprintf(path, sizeof(path), "%s/notify", deep);
    char back[300];
    cr_assert_not_null(getcwd(back, sizeof(back)));
    cr_assert_eq(chdir(deep), 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "notify" };
    int supervisor = supervisor_new(&address, sizeof("notify"));
    cr_assert_eq(chdir(back), 0);

    setenv("NOTIFY_SOCKET", path, 1);
    notify_init();
    notify_send("READY=1");
    expect_message(supervisor, "READY=1");
    notify_deinit();
    unlink(path);
    rmdir(deep);
    rmdir(directory);
}

Test(notify, children_do_not_inherit_the_supervisor) {
    setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
    setenv("WATCHDOG_USEC", "1000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    notify_init();
    cr_assert_null(getenv("NOTIFY_SOCKET"));
    cr_assert_null(getenv("WATCHDOG_USEC"));
    cr_assert_null(getenv("WATCHDOG_PID"));
    notify_deinit();
}

Test(notify, a_supervisor_that_is_gone_or_absurd_or_absent_does_no_harm) {
    static const char *const sockets[] = { "/nonexistent/notify", "",  "relative",
                                           "vsock:2:1",           "@", "/" };
    for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
        setenv("NOTIFY_SOCKET", sockets[i], 1);
        notify_init();
        notify_send("READY=1");
    }
    char endless[1000];
    memset(endless, 'x', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    endless[0] = '/';
    setenv("NOTIFY_SOCKET", endless, 1);
    notify_init();
    notify_send("READY=1");
    notify_init(); /* the variable is gone by now */
    notify_send("READY=1");
    cr_assert_eq(notify_watchdog_interval_ms(), 0);
    notify_deinit();
}

Test(notify, a_supervisor_that_does_not_read_never_blocks_the_broker) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int length =
        snprintf(address.sun_path, sizeof(address.sun_path), "@keybroker-deaf-%d", (int)getpid());
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    address.sun_path[0] = '\0';
    int supervisor = supervisor_new(&address, (size_t)length);
    notify_init();
    alarm(20); /* a call that blocks ends the test */
    for (int i = 0; i < 5000; i++)
        notify_send("WATCHDOG=1");
    expect_message(supervisor, "WATCHDOG=1");
    notify_deinit();
}

static int64_t watchdog_interval(const char *usec, const char *pid) {
    if (usec)
        setenv("WATCHDOG_USEC", usec, 1);
    if (pid)
        setenv("WATCHDOG_PID", pid, 1);
    notify_init();
    return notify_watchdog_interval_ms();
}

Test(notify, the_watchdog_is_fed_twice_as_often_as_it_asks) {
    char self[32];
    snprintf(self, sizeof(self), "%d", (int)getpid());
    cr_expect_eq(watchdog_interval("30000000", NULL), 15000);
    cr_expect_eq(watchdog_interval("30000000", self), 15000);
    cr_expect_eq(watchdog_interval("1500", NULL), 1, "never 0, which would mean no watchdog");
}

Test(notify, a_watchdog_meant_for_another_process_or_garbled_is_none) {
    cr_expect_eq(watchdog_interval("30000000", "1"), 0);
    cr_expect_eq(watchdog_interval(NULL, NULL), 0);
    cr_expect_eq(watchdog_interval("0", NULL), 0);
    cr_expect_eq(watchdog_interval("-5", NULL), 0);
    cr_expect_eq(watchdog_interval("12x", NULL), 0);
    cr_expect_eq(watchdog_interval("99999999999999999999999", NULL), 0);
}
