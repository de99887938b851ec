/*
 * See stage.h. The runtime directory must not be on a disk (the broker publishes keys there in
 * plain text), so it goes to $XDG_RUNTIME_DIR or /dev/shm; the state directory, which is encrypted,
 * to build/.
 */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/magic.h>

enum { READY_MS = 15000, STOP_MS = 5000, PROGRAM_SIZE = PATH_MAX + 32 };

static int complain(const char *what, int error) {
    fprintf(stderr, "demo: %s: %s\n", what, strerror(error));
    return -1;
}

static const char *program(const struct stage *stage, const char *name, char text[PROGRAM_SIZE]) {
    snprintf(text, PROGRAM_SIZE, "%s/%s", stage->build, name);
    return text;
}

/* Where memory-backed private files go. */
static const char *memory_parent(void) {
    const char *parent = getenv("XDG_RUNTIME_DIR");
    struct statfs info;
    if (parent && access(parent, W_OK) == 0 && statfs(parent, &info) == 0 &&
        info.f_type == TMPFS_MAGIC && strlen(parent) < 60)
        return parent;
    return "/dev/shm";
}

static int open_notify(struct stage *stage) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", stage->private);
    if (length >= (int)sizeof(address.sun_path))
        return complain(stage->private, ENAMETOOLONG);
    stage->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (stage->notify < 0 || bind(stage->notify, (struct sockaddr *)&address, sizeof(address)) < 0)
        return complain("notification socket", errno);
    return 0;
}

int stage_open(struct stage *stage, const char *build) {
    *stage = (struct stage){ .build = build,
                             .notify = -1,
                             .worker_count = stage->worker_count,
                             .in_flight = stage->in_flight };
    stage->vendor.out = stage->console.out = -1;
    if (snprintf(stage->log, sizeof(stage->log), "%s/demo.log", build) >= (int)sizeof(stage->log))
        return complain(build, ENAMETOOLONG);
    unlink(stage->log);
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/keybroker-demo.XXXXXX", memory_parent());
    if (!mkdtemp(path))
        return complain(path, errno);
    memcpy(stage->private, path, sizeof(path));
    if (snprintf(path, sizeof(path), "%s/demo-state.XXXXXX", build) >= (int)sizeof(path))
        return complain(build, ENAMETOOLONG);
    if (!mkdtemp(path))
        return complain(path, errno);
    memcpy(stage->state, path, sizeof(path));
    if (snprintf(stage->runtime, sizeof(stage->runtime), "%s/run", stage->private) >=
        (int)sizeof(stage->runtime))
        return complain(stage->private, ENAMETOOLONG);
    if (mkdir(stage->runtime, 0755) < 0 || chmod(stage->private, 0700) < 0)
        return complain(stage->runtime, errno);
    return open_notify(stage);
}

/* ---- the vendor and the broker ---- */

static void take_url(void *userdata, const char *line) {
    struct stage *stage = userdata;
    snprintf(stage->vendor_url, sizeof(stage->vendor_url), "%s", line);
}

static int start_vendor(struct stage *stage) {
    char path[PROGRAM_SIZE];
    const char *const argv[] = { program(stage, "vendor_standin", path), "--latency-ms", "8-25",
                                 NULL };
    struct process_options options = { .log = stage->log, .read_out = true };
    int error = process_start(&stage->vendor, argv, &options);
    if (error != 0)
        return complain(path, -error);
    struct pollfd ready = { .fd = stage->vendor.out, .events = POLLIN };
    if (poll(&ready, 1, READY_MS) > 0)
        process_read_lines(&stage->vendor, take_url, stage);
    if (!stage->vendor_url[0])
        return complain("the stand-in vendor did not start", ETIMEDOUT);
    return 0;
}

/* Wait for the datagram that systemd would get. */
static int wait_ready(struct stage *stage) {
    struct timespec begun;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (;;) {
        int status;
        char text[512];
        struct timespec now;
        struct pollfd ready = { .fd = stage->notify, .events = POLLIN };
        if (poll(&ready, 1, 50) > 0) {
            ssize_t length = recv(stage->notify, text, sizeof(text) - 1, 0);
            text[length > 0 ? length : 0] = '\0';
            if (strstr(text, "READY=1"))
                return 0;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (process_ended(&stage->broker, &status) ||
            (now.tv_sec - begun.tv_sec) * 1000 > READY_MS) {
            fprintf(stderr, "demo: keybrokerd did not get ready; see %s\n", stage->log);
            return -1;
        }
    }
}

static int start_broker(struct stage *stage) {
    char path[PROGRAM_SIZE];
    char socket_path[PATH_MAX + 16];
    snprintf(socket_path, sizeof(socket_path), "%s/notify", stage->private);
    struct statfs info;
    bool on_tmpfs = statfs(stage->runtime, &info) == 0 && info.f_type == TMPFS_MAGIC;
    /* These keys open nothing, so a machine without tmpfs may still see the demo. */
    const char *const argv[] = { program(stage, "keybrokerd", path),
                                 "--state-dir",
                                 stage->state,
                                 "--runtime-dir",
                                 stage->runtime,
                                 on_tmpfs ? NULL : "--allow-disk-runtime",
                                 NULL };
    const char *const environment[] = { "NOTIFY_SOCKET", socket_path, NULL };
    struct process_options options = { .log = stage->log, .environment = environment };
    int error = process_start(&stage->broker, argv, &options);
    return error != 0 ? complain(path, -error) : wait_ready(stage);
}

static void take_address(void *userdata, const char *line) {
    struct stage *stage = userdata;
    const char *address = strstr(line, "http://");
    if (address)
        snprintf(stage->console_url, sizeof(stage->console_url), "%s", address);
}

/* The demo is as good without. */
static void start_console(struct stage *stage) {
    char path[PROGRAM_SIZE];
    const char *const argv[] = { program(stage, "keybroker-console", path),
                                 "--listen",
                                 "127.0.0.1:0",
                                 "--runtime-dir",
                                 stage->runtime,
                                 NULL };
    struct process_options options = { .log = stage->log, .read_out = true };
    if (access(path, X_OK) != 0 || process_start(&stage->console, argv, &options) != 0)
        return;
    struct pollfd ready = { .fd = stage->console.out, .events = POLLIN };
    if (poll(&ready, 1, READY_MS) > 0)
        process_read_lines(&stage->console, take_address, stage);
}

int stage_start_services(struct stage *stage) {
    if (start_vendor(stage) != 0 || start_broker(stage) != 0)
        return -1;
    start_console(stage);
    return 0;
}

/* Run `keybroker WORD…` with this input and its output to that file. Its exit code, or -errno. */
static int run(struct stage *stage, const char *const words[], const char *input,
               const char *output) {
    char path[PROGRAM_SIZE];
    const char *argv[16] = { program(stage, "keybroker", path), "-r", stage->runtime };
    size_t count = 3;
    for (size_t i = 0; words[i] && count < 15; i++)
        argv[count++] = words[i];
    return process_run(argv, input, output);
}

int stage_command(struct stage *stage, const char *const words[], const char *key) {
    char payload[256] = "";
    if (key)
        snprintf(payload, sizeof(payload),
                 "{\"api_key\": \"sk-demo-%s\", \"base_url\": \"%s/v1\"}\n", key,
                 stage->vendor_url);
    int code = run(stage, words, payload, stage->log);
    if (code == 0)
        return 0;
    fprintf(stderr, "demo: keybroker %s %s %s failed (%d); see %s\n", words[0], words[1],
            words[2] ? words[2] : "", code, stage->log);
    return -1;
}

char *stage_ask(struct stage *stage, const char *const words[]) {
    char path[PATH_MAX + 16];
    char *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof(path), "%s/answer", stage->private);
    unlink(path);
    FILE *file = run(stage, words, NULL, path) == 0 ? fopen(path, "re") : NULL;
    if (file && getdelim(&text, &size, '\0', file) < 0) {
        free(text);
        text = NULL;
    }
    if (file)
        fclose(file);
    return text;
}

static double value_of(const char *metrics, const char *name) {
    const char *at = strstr(metrics, name);
    return at ? strtod(at + strlen(name), NULL) : 0;
}

double stage_publish_us(struct stage *stage) {
    char *metrics = stage_ask(stage, (const char *const[]){ "show", "metrics", NULL });
    if (!metrics)
        return 0;
    double count = value_of(metrics, "\nkeybroker_publish_seconds_count ");
    double sum_s = value_of(metrics, "\nkeybroker_publish_seconds_sum ");
    free(metrics);
    return count > 0 ? sum_s * 1e6 / count : 0;
}

/* ---- the workers ---- */

int stage_start_workers(struct stage *stage) {
    char path[PROGRAM_SIZE];
    char in_flight[16];
    snprintf(in_flight, sizeof(in_flight), "%u", stage->in_flight);
    const char *const argv[] = { program(stage, "examples/worker", path),
                                 "-r",
                                 stage->runtime,
                                 "-n",
                                 in_flight,
                                 "--patience",
                                 "10",
                                 "--stats",
                                 "openai",
                                 NULL };
    struct process_options options = { .log = stage->log, .read_out = true };
    for (unsigned i = 0; i < stage->worker_count; i++) {
        int error = process_start(&stage->workers[i], argv, &options);
        if (error != 0)
            return complain(path, -error);
    }
    return 0;
}

const char *stage_casualty(struct stage *stage) {
    int status;
    if (process_ended(&stage->broker, &status))
        return "keybrokerd";
    if (process_ended(&stage->vendor, &status))
        return "vendor_standin";
    for (unsigned i = 0; i < stage->worker_count; i++)
        if (process_ended(&stage->workers[i], &status))
            return "a worker";
    return NULL;
}

/* ---- the end ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void remove_tree(const char *path) {
    if (*path)
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int stage_close(struct stage *stage) {
    int result = 0;
    for (unsigned i = 0; i < stage->worker_count; i++)
        if (WIFSIGNALED(process_stop(&stage->workers[i], STOP_MS)))
            result = -1;
    if (process_stop(&stage->console, STOP_MS) != 0)
        result = -1;
    if (process_stop(&stage->broker, STOP_MS) != 0)
        result = -1;
    if (process_stop(&stage->vendor, STOP_MS) != 0)
        result = -1;
    if (stage->notify >= 0)
        close(stage->notify);
    remove_tree(stage->private);
    remove_tree(stage->state);
    return result;
}
