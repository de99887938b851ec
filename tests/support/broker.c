/* See broker.h. */
#include "broker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "counted.h"
#include "program.h"

static struct broker *brokers;
static unsigned made;

struct broker *broker_new(const char *loop) {
    unsigned number = made++;
    struct broker *broker = calloc(1, sizeof *broker);
    if (!broker)
        abort();
    broker->loop = loop;
    broker->notify_fd = -1;
    broker->state_dir = scene_dir(scene_disk(), scene_text("state%u", number), 0700);
    broker->runtime_dir = scene_dir(scene_tmpfs(), scene_text("runtime%u", number), 0755);
    broker->log_path = scene_text("%s/broker%u.log", scene_disk(), number);
    broker->notify_path = scene_text("%s/notify%u", scene_disk(), number);
    broker->next = brokers;
    brokers = broker;
    return broker;
}

struct broker *broker_new_beside(const struct broker *broker) {
    struct broker *other = broker_new(broker->loop);
    other->state_dir = broker->state_dir;
    other->runtime_dir = broker->runtime_dir;
    return other;
}

/* ---- start ---- */

static void listen_for_notices(struct broker *broker) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", broker->notify_path);
    if (broker->notify_fd >= 0)
        close(broker->notify_fd);
    unlink(broker->notify_path);
    broker->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (broker->notify_fd < 0 ||
        bind(broker->notify_fd, (struct sockaddr *)&address, sizeof address) < 0)
        scene_fail("notify socket %s: %s", broker->notify_path, strerror(errno));
    chmod(broker->notify_path, 0666); /* whoever the broker becomes */
}

static void set_environment(const struct broker *broker) {
    static const char *const UNWANTED[] = { "KEYBROKER_STATE_DIR",  "KEYBROKER_RUNTIME_DIR",
                                            "STATE_DIRECTORY",      "RUNTIME_DIRECTORY",
                                            "XDG_STATE_HOME",       "XDG_RUNTIME_DIR",
                                            "CREDENTIALS_DIRECTORY" };
    for (size_t i = 0; i < sizeof UNWANTED / sizeof *UNWANTED; i++)
        unsetenv(UNWANTED[i]);
    setenv("NOTIFY_SOCKET", broker->notify_path, 1);
    for (size_t i = 0; broker->environment && broker->environment[i]; i++)
        putenv((char *)(uintptr_t)broker->environment[i]);
}

static void run(const struct broker *broker, const char *program, pid_t parent) {
    const char *argv[BROKER_ARGUMENTS_MAX + 8];
    size_t count = 0;
    argv[count++] = program;
    argv[count++] = scene_text("--state-dir=%s", broker->state_dir);
    argv[count++] = scene_text("--runtime-dir=%s", broker->runtime_dir);
    if (broker->loop)
        argv[count++] = scene_text("--loop=%s", broker->loop);
    for (size_t i = 0; broker->arguments[i]; i++)
        argv[count++] = broker->arguments[i];
    argv[count] = NULL;
    scene_become_child(parent);
    set_environment(broker);
    int image = open(program, O_PATH | O_CLOEXEC); /* where it lies may be out of reach later */
    int log = open(broker->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    if (broker->prepare)
        broker->prepare();
    fexecve(image, (char *const *)(uintptr_t)argv, environ);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", program, strerror(errno));
    _exit(127);
}

static void spawn(struct broker *broker) {
    const char *program = scene_program("keybrokerd");
    if (broker->pid)
        scene_fail("this broker runs already");
    listen_for_notices(broker);
    broker->stopping = broker->paused = false;
    pid_t parent = getpid();
    broker->pid = fork();
    if (broker->pid < 0)
        scene_fail("fork: %s", strerror(errno));
    if (broker->pid == 0)
        run(broker, program, parent);
}

static void take_arguments(struct broker *broker, va_list arguments) {
    size_t count = 0;
    for (const char *word; (word = va_arg(arguments, const char *));) {
        if (count == BROKER_ARGUMENTS_MAX)
            scene_fail("too many arguments for a broker");
        broker->arguments[count++] = word;
    }
    broker->arguments[count] = NULL;
}

void broker_spawn(struct broker *broker, ...) {
    va_list arguments;
    va_start(arguments, broker);
    take_arguments(broker, arguments);
    va_end(arguments);
    spawn(broker);
}

void broker_start(struct broker *broker, ...) {
    va_list arguments;
    va_start(arguments, broker);
    take_arguments(broker, arguments);
    va_end(arguments);
    spawn(broker);
    broker_wait_ready(broker);
}

/* Read what it has to say, waiting at most this long. True if that was `wanted`. */
static bool take_notice(struct broker *broker, const char *wanted, int timeout_ms) {
    char text[256];
    struct pollfd waiting = { .fd = broker->notify_fd, .events = POLLIN };
    if (broker->notify_fd < 0 || poll(&waiting, 1, timeout_ms) <= 0)
        return false;
    ssize_t length = recv(broker->notify_fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (length < 0)
        return false;
    text[length] = '\0';
    if (strstr(text, "STOPPING=1"))
        broker->stopping = true;
    return strstr(text, wanted) != NULL;
}

void broker_wait_ready(struct broker *broker) {
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    while (!take_notice(broker, "READY=1", 10)) {
        if (!broker_is_running(broker))
            scene_fail("the broker ended before it was ready");
        if (scene_now_ms() > until)
            scene_fail("the broker is not ready after %d ms", SCENE_PATIENCE_MS);
    }
}

void broker_restart(struct broker *broker) {
    if (broker->pid)
        broker_kill(broker);
    spawn(broker);
    broker_wait_ready(broker);
}

/* ---- end ---- */

static int ended(struct broker *broker, int status) {
    broker->pid = 0;
    while (take_notice(broker, "", 0))
        ;
    broker->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return broker->exit_code;
}

int broker_wait_exit(struct broker *broker) {
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    int status;
    if (!broker->pid)
        scene_fail("this broker does not run");
    while (waitpid(broker->pid, &status, WNOHANG) == 0) {
        if (scene_now_ms() > until)
            scene_fail("the broker has not ended after %d ms", SCENE_PATIENCE_MS);
        scene_sleep_ms(1);
    }
    return ended(broker, status);
}

/* The cov variant's counts would die with it. */
static void let_it_leave_its_counts(const struct broker *broker) {
    const char *variant = getenv("KEYBROKER_VARIANT");
    if (!variant || strcmp(variant, "cov") != 0 || broker->paused)
        return;
    broker_signal(broker, COUNTED_SIGNAL);
    for (int64_t until = scene_now_ms() + 2000; scene_now_ms() < until; scene_sleep_ms(1)) {
        siginfo_t info = { 0 };
        if (waitid(P_PID, (id_t)broker->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid)
            return;
    }
}

void broker_kill(struct broker *broker) {
    let_it_leave_its_counts(broker);
    broker_signal(broker, SIGKILL);
    broker_wait_exit(broker);
}

int broker_stop(struct broker *broker) {
    broker_signal(broker, SIGTERM);
    return broker_wait_exit(broker);
}

bool broker_is_running(struct broker *broker) {
    int status;
    if (broker->pid && waitpid(broker->pid, &status, WNOHANG) != 0)
        ended(broker, status);
    return broker->pid != 0;
}

void broker_signal(const struct broker *broker, int signal_number) {
    if (!broker->pid || kill(broker->pid, signal_number) < 0)
        scene_fail("cannot send signal %d to the broker: it does not run", signal_number);
}

void broker_pause(struct broker *broker) {
    int status;
    broker_signal(broker, SIGSTOP);
    /* The signal takes effect when it is reported. */
    if (waitpid(broker->pid, &status, WUNTRACED) != broker->pid || !WIFSTOPPED(status))
        scene_fail("the broker ended when it should have stopped");
    broker->paused = true;
}

void broker_continue(struct broker *broker) {
    broker_signal(broker, SIGCONT);
    broker->paused = false;
}

/* A disk that the test has stalled may hold it up. False if it crashed or a sanitizer has found
 * something. */
static bool end_gently(struct broker *broker) {
    int64_t until = scene_now_ms() + 5000;
    int status;
    broker_signal(broker, SIGTERM);
    if (broker->paused)
        broker_continue(broker);
    while (waitpid(broker->pid, &status, WNOHANG) == 0) {
        if (scene_now_ms() > until) {
            broker_kill(broker);
            return true;
        }
        scene_sleep_ms(1);
    }
    int code = ended(broker, status);
    if (code > 1)
        fprintf(stderr, "process test: the broker's end had exit code %d\n", code);
    return code <= 1;
}

bool brokers_stop(void) {
    bool well = true;
    for (struct broker *broker = brokers; broker; broker = broker->next)
        if (broker_is_running(broker))
            well = end_gently(broker) && well;
    return well;
}

void brokers_end(bool show_logs) {
    for (struct broker *broker = brokers; broker; broker = broker->next)
        if (broker_is_running(broker))
            broker_kill(broker);
    while (brokers) {
        struct broker *broker = brokers;
        brokers = broker->next;
        char *log = show_logs ? broker_log(broker) : NULL;
        if (log && *log)
            fprintf(stderr, "---- what the broker said (%s):\n%s----\n", broker->log_path, log);
        free(log);
        if (broker->notify_fd >= 0)
            close(broker->notify_fd);
        free(broker);
    }
}

/* ---- looking at it ---- */

char *broker_log(const struct broker *broker) {
    return program_read_file(broker->log_path, NULL);
}

bool broker_log_has(const struct broker *broker, const char *text) {
    char *log = broker_log(broker);
    bool found = log && strstr(log, text);
    free(log);
    return found;
}

long broker_memory_kib(const struct broker *broker, const char *field) {
    char *status = program_read_file(scene_text("/proc/%d/status", broker->pid), NULL);
    char *line = status ? strstr(status, scene_text("%s:", field)) : NULL;
    long kib = line ? strtol(line + strlen(field) + 1, NULL, 10) : -1;
    free(status);
    return kib;
}

unsigned broker_descriptors(const struct broker *broker) {
    unsigned count = 0;
    DIR *dir = opendir(scene_text("/proc/%d/fd", broker->pid));
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}
