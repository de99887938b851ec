/* See peers.h. */
#include "peers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "janitor.h"
#include "memcache.h"
#include "redis.h"
#include "sample.h"

enum { READY_MS = 10000 };

struct server {
    const char *program;
    char socket[108]; /* below the directory */
    pid_t pid;        /* 0 = not started */
};

/* Short, whatever the build directory is called: a socket's path has room for 107 bytes. */
static char directory[64];
static struct server redis = { .program = "redis-server" };
static struct server memcached = { .program = "memcached" };

static bool is_installed(const char *program) {
    char command[128];
    snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
    return system(command) == 0;
}

__attribute__((noreturn)) static void become(const struct server *server) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sample_pin(CPU_WORKING);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    if (chdir(directory) < 0)
        _exit(126);
    if (server == &redis)
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server->socket,
               "--save", "", "--appendonly", "no", "--daemonize", "no", (char *)NULL);
    execlp("memcached", "memcached", "-u", geteuid() == 0 ? "root" : "", "-t", "1", "-U", "0", "-s",
           server->socket, (char *)NULL);
    _exit(127);
}

static bool answers(const struct server *server) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    memcpy(address.sun_path, server->socket, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool able = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return able;
}

static const char *start(struct server *server, bool built_in, const char **ret_why) {
    static char why[96];
    if (!built_in || !is_installed(server->program)) {
        snprintf(why, sizeof why,
                 built_in ? "%s is not installed" : "built without a client library for %s",
                 server->program);
        *ret_why = why;
        return NULL;
    }
    if (server->pid > 0)
        return server->socket;
    if (!directory[0]) {
        snprintf(directory, sizeof directory, "/dev/shm/keybroker-peers.XXXXXX");
        if (!mkdtemp(directory))
            sample_die("%s: %s", directory, strerror(errno));
        janitor_start((const char *[]){ directory, NULL });
    }
    snprintf(server->socket, sizeof server->socket, "%s/%s", directory, server->program);
    server->pid = fork();
    if (server->pid < 0)
        sample_die("fork: %s", strerror(errno));
    if (server->pid == 0)
        become(server);
    for (uint64_t since_ns = sample_now_ns(); !answers(server); sample_sleep_us(2000))
        if (sample_now_ns() - since_ns > UINT64_C(1000000) * READY_MS ||
            waitpid(server->pid, NULL, WNOHANG) != 0)
            sample_die("%s does not start", server->program);
    return server->socket;
}

const char *peers_redis(const char **ret_why) {
    return start(&redis, redis_is_built_in(), ret_why);
}

const char *peers_memcached(const char **ret_why) {
    return start(&memcached, memcache_is_built_in(), ret_why);
}

void peers_place_redis(int cpu) {
    if (redis.pid > 0)
        sample_place(redis.pid, cpu);
}

static void stop(struct server *server) {
    if (server->pid == 0)
        return;
    kill(server->pid, SIGTERM);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void peers_stop(void) {
    stop(&redis);
    stop(&memcached);
    if (directory[0])
        janitor_remove(directory);
    directory[0] = '\0';
}
