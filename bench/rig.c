/* See rig.h. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keybroker_shared/board.h>

#include "janitor.h"
#include "sample.h"

enum { READY_MS = 60000, WINDOW = 128 };

/* ---- directories ---- */

static void path_in(char *path, size_t size, const char *directory, const char *name) {
    if (snprintf(path, size, "%s/%s", directory, name) >= (int)size)
        sample_die("%s/%s: too long", directory, name);
}

static void open_disk(struct rig *rig) {
    char path[128];
    path_in(path, sizeof path, rig->runtime, "disk");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *rig->disk) < 0)
        sample_die("%s: %s", path, strerror(errno));
    rig->disk = mmap(NULL, sizeof *rig->disk, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (rig->disk == MAP_FAILED)
        sample_die("%s: %s", path, strerror(errno));
}

static void open_notify(struct rig *rig) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    path_in(address.sun_path, sizeof address.sun_path, rig->runtime, "notify");
    rig->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (rig->notify < 0 || bind(rig->notify, (struct sockaddr *)&address, sizeof address) < 0)
        sample_die("notification socket: %s", strerror(errno));
}

static void open_with_state(struct rig *rig, const char *build, const char *parent,
                            const char *name) {
    *rig = (struct rig){ .notify = -1 };
    snprintf(rig->build, sizeof rig->build, "%s", build);
    path_in(rig->state, sizeof rig->state, parent, name);
    snprintf(rig->runtime, sizeof rig->runtime, "/dev/shm/keybroker-bench.XXXXXX");
    if (!mkdtemp(rig->state))
        sample_die("%s: %s", rig->state, strerror(errno));
    if (!mkdtemp(rig->runtime) || chmod(rig->runtime, 0755) < 0)
        sample_die("%s: %s", rig->runtime, strerror(errno));
    janitor_start((const char *[]){ rig->state, rig->runtime, NULL });
    open_disk(rig);
    open_notify(rig);
}

void rig_open(struct rig *rig, const char *build) {
    open_with_state(rig, build, build, "bench-state.XXXXXX");
}

void rig_open_in_memory(struct rig *rig, const char *build) {
    open_with_state(rig, build, "/dev/shm", "keybroker-bench-state.XXXXXX");
}

void rig_close(struct rig *rig) {
    rig_stop(rig);
    close(rig->notify);
    munmap(rig->disk, sizeof *rig->disk);
    janitor_remove(rig->state);
    janitor_remove(rig->runtime);
}

/* ---- the broker ---- */

__attribute__((noreturn)) static void become_broker(const struct rig *rig, const char *loop) {
    char program[600], preload[600], path[128], kind[32], log[600];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sample_pin(CPU_WORKING);
    path_in(program, sizeof program, rig->build, "keybrokerd");
    path_in(preload, sizeof preload, rig->build, "slow_disk.so");
    path_in(log, sizeof log, rig->build, "bench-broker.log");
    snprintf(kind, sizeof kind, "--loop=%s", loop);
    path_in(path, sizeof path, rig->runtime, "notify");
    setenv("NOTIFY_SOCKET", path, 1);
    path_in(path, sizeof path, rig->runtime, "disk");
    setenv(SLOW_DISK_CONTROL, path, 1);
    setenv(SLOW_DISK_PATH, rig->state, 1);
    if (rig->slow_disk_ready)
        setenv("LD_PRELOAD", preload, 1);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execl(program, program, "--state-dir", rig->state, "--runtime-dir", rig->runtime, kind,
          (char *)NULL);
    _exit(127);
}

static void await_ready(const struct rig *rig) {
    uint64_t give_up_ns = sample_now_ns() + UINT64_C(1000000) * READY_MS;
    while (sample_now_ns() < give_up_ns) {
        char text[256];
        struct pollfd ready = { .fd = rig->notify, .events = POLLIN };
        if (poll(&ready, 1, 100) > 0) {
            ssize_t length = recv(rig->notify, text, sizeof text - 1, 0);
            text[length > 0 ? length : 0] = '\0';
            if (strstr(text, "READY=1"))
                return;
        } else if (waitpid(rig->broker, NULL, WNOHANG) == rig->broker) {
            sample_die("keybrokerd ended; see %s/bench-broker.log", rig->build);
        }
    }
    sample_die("keybrokerd did not get ready; see %s/bench-broker.log", rig->build);
}

uint64_t rig_start(struct rig *rig, const char *loop) {
    char rest[256];
    while (recv(rig->notify, rest, sizeof rest, MSG_DONTWAIT) > 0) /* of the last broker */
        continue;
    uint64_t begun_ns = sample_now_ns();
    rig->broker = fork();
    if (rig->broker < 0)
        sample_die("fork: %s", strerror(errno));
    if (rig->broker == 0)
        become_broker(rig, loop);
    await_ready(rig);
    return sample_now_ns() - begun_ns;
}

static void end_broker(struct rig *rig, int signal) {
    int status = 0;
    if (rig->broker == 0)
        return;
    kill(rig->broker, signal);
    while (waitpid(rig->broker, &status, 0) < 0 && errno == EINTR)
        continue;
    rig->broker = 0;
    if (signal == SIGTERM && status != 0)
        sample_die("keybrokerd ended badly (%d); see %s/bench-broker.log", status, rig->build);
}

void rig_stop(struct rig *rig) {
    end_broker(rig, SIGTERM);
}

void rig_kill(struct rig *rig) {
    end_broker(rig, SIGKILL);
}

void rig_delay_syncs(struct rig *rig, unsigned delay_us) {
    atomic_store(&rig->disk->sync_delay_us, delay_us);
}

/* ---- its admin socket ---- */

static int connect_to(const char *path, int type) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (snprintf(address.sun_path, sizeof address.sun_path, "%s", path) >=
        (int)sizeof address.sun_path)
        sample_die("%s: too long", path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        sample_die("%s: %s", path, strerror(errno));
    return fd;
}

struct rig_admin rig_admin_open(const struct rig *rig) {
    char path[128];
    path_in(path, sizeof path, rig->runtime, KB_ADMIN_SOCKET);
    struct rig_admin admin = { .fd = connect_to(path, SOCK_STREAM) };
    admin.replies = fdopen(admin.fd, "re");
    return admin;
}

void rig_admin_close(struct rig_admin *admin) {
    fclose(admin->replies);
}

static void send_all(int fd, const char *data, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            sample_die("admin socket: %s", strerror(errno));
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
        }
    }
}

void rig_admin_send(struct rig_admin *admin, const char *format, ...) {
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        sample_die("no memory");
    send_all(admin->fd, text, (size_t)length);
    free(text);
}

void rig_admin_take(struct rig_admin *admin, char *text, size_t size) {
    char *line = NULL;
    size_t room = 0, used = 0;
    ssize_t length;
    for (bool first = true; (length = getline(&line, &room, admin->replies)) > 0; first = false) {
        if (first && strncmp(line, "OK", 2) != 0)
            sample_die("the broker refused: %s", line);
        if (strcmp(line, "\n") == 0)
            break;
        if (text && !first && used + (size_t)length < size) {
            memcpy(text + used, line, (size_t)length);
            used += (size_t)length;
        }
    }
    free(line);
    if (length <= 0)
        sample_die("the broker closed the admin connection");
    if (text)
        text[used] = '\0';
}

double rig_metric(struct rig_admin *admin, const char *beginning) {
    static char text[256 * 1024];
    double sum = 0;
    rig_admin_send(admin, "show metrics\n");
    rig_admin_take(admin, text, sizeof text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, beginning, strlen(beginning)) == 0)
            sum += strtod(strrchr(line, ' '), NULL);
    return sum;
}

void rig_enable(struct rig *rig, const char *pool, const uint64_t *ids, size_t count) {
    struct rig_admin admin = rig_admin_open(rig);
    for (size_t sent = 0, taken = 0; taken < count; taken++) {
        for (; sent < count && sent < taken + WINDOW; sent++)
            rig_admin_send(&admin, "enable key %s #%llu\n", pool, (unsigned long long)ids[sent]);
        rig_admin_take(&admin, NULL, 0);
    }
    rig_admin_close(&admin);
}

void rig_make_pool(struct rig *rig, const char *pool, const char *strategy, unsigned count,
                   const char *extra) {
    char *text;
    size_t length;
    FILE *stream = open_memstream(&text, &length);
    if (!stream)
        sample_die("no memory");
    fputs("{\"format\":1,\"keys\":[", stream);
    for (unsigned i = 2; i <= count; i++)
        fprintf(stream, "%s{\"name\":\"key%u\",\"config\":{\"api_key\":\"sk-bench-%s-%08u\"}%s}",
                i > 2 ? "," : "", i, pool, i, extra);
    fputs("]}", stream);
    if (fclose(stream) != 0)
        sample_die("no memory");
    struct rig_admin admin = rig_admin_open(rig);
    rig_admin_send(&admin,
                   "add pool %s vendor=openai guard=off strategy=%s <<\nsk-bench-%s-00000001\n\n",
                   pool, strategy, pool);
    rig_admin_take(&admin, NULL, 0);
    if (count > 1) {
        rig_admin_send(&admin, "import %s mode=merge <<%zu\n", pool, length);
        send_all(admin.fd, text, length);
        rig_admin_take(&admin, NULL, 0);
    }
    rig_admin_close(&admin);
    free(text);
}

/* ---- as a worker sees it ---- */

kb_reader *rig_reader(const struct rig *rig, const char *pool) {
    kb_options options = KB_OPTIONS_INIT;
    kb_reader *reader;
    options.runtime_dir = rig->runtime;
    int error = kb_open(&reader, pool, &options);
    if (error != 0)
        sample_die("kb_open %s: %s", pool, kb_strerror(error));
    return reader;
}

int rig_connect_report(const struct rig *rig, const char *pool) {
    char path[160];
    snprintf(path, sizeof path, "%s/" KB_POOLS_DIR "/%s/" KB_REPORT_SOCKET, rig->runtime, pool);
    return connect_to(path, SOCK_SEQPACKET);
}
