/* See notify.h. Keeps one socket and the supervisor's address from notify_init on. */
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"

static struct {
    int socket;
    int directory; /* of a path too long for a socket address */
    struct sockaddr_un address;
    socklen_t address_length;
    int64_t watchdog_interval_ms;
} notify = { .socket = -1, .directory = -1 };

static char *environment_take(const char *name) {
    const char *value = getenv(name);
    char *copy = value ? mem_strdup(value) : NULL;
    unsetenv(name);
    return copy;
}

static int64_t number_parse(const char *text) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' ? number : 0;
}

static int address_set(const char *path) {
    size_t length = strlen(path);
    if (length >= sizeof(notify.address.sun_path))
        return -ENAMETOOLONG;
    memcpy(notify.address.sun_path, path, length + 1);
    notify.address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (path[0] == '@')
        notify.address.sun_path[0] = '\0'; /* an abstract name, which has no NUL at its end */
    else
        notify.address_length++;
    return 0;
}

/* A path that does not fit is reached through its directory's descriptor. */
static int address_set_long(const char *path) {
    const char *slash = strrchr(path, '/');
    char *directory = mem_printf("%.*s", (int)(slash - path + 1), path);
    notify.directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = -errno;
    if (notify.directory >= 0) {
        char *shorter = mem_printf("/proc/self/fd/%d/%s", notify.directory, slash + 1);
        r = address_set(shorter);
        free(shorter);
    }
    free(directory);
    return r;
}

static void socket_init(const char *path) {
    int r = -EINVAL;
    notify.address.sun_family = AF_UNIX;
    if (path[0] == '@' || path[0] == '/')
        r = address_set(path);
    if (r == -ENAMETOOLONG && path[0] == '/')
        r = address_set_long(path);
    if (r == 0) {
        notify.socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        r = notify.socket < 0 ? -errno : 0;
    }
    if (r < 0)
        log_debug("NOTIFY_SOCKET cannot be used: %s", strerror(-r));
}

void notify_init(void) {
    notify_deinit();
    char *path = environment_take("NOTIFY_SOCKET");
    char *usec = environment_take("WATCHDOG_USEC");
    char *pid = environment_take("WATCHDOG_PID");
    if (path)
        socket_init(path);
    if (usec && (!pid || number_parse(pid) == getpid())) {
        int64_t allowed_us = number_parse(usec);
        if (allowed_us > 0)
            notify.watchdog_interval_ms = allowed_us < 2000 ? 1 : allowed_us / 2000;
    }
    free(path);
    free(usec);
    free(pid);
}

void notify_deinit(void) {
    if (notify.socket >= 0)
        close(notify.socket);
    if (notify.directory >= 0)
        close(notify.directory);
    memset(&notify, 0, sizeof(notify));
    notify.socket = notify.directory = -1;
}

void notify_send(const char *state) {
    if (notify.socket < 0)
        return;
    ssize_t sent = sendto(notify.socket, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
                          (const struct sockaddr *)&notify.address, notify.address_length);
    if (sent < 0)
        log_debug("the supervisor did not take \"%s\": %s", state, strerror(errno));
}

int64_t notify_watchdog_interval_ms(void) {
    return notify.watchdog_interval_ms;
}
