/*
 * Starting, reading and ending the demo's child processes. Signals only go to process ids that
 * were started here and not yet waited for, so no stranger is ever hit.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* In the child, after fork: never returns. */
__attribute__((noreturn)) static void become(const char *const argv[], int in, int out, int err,
                                             const char *const *environment) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    for (; environment && environment[0]; environment += 2)
        setenv(environment[0], environment[1], 1);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

static void close_all(const int *fds, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int process_start(struct process *process, const char *const argv[],
                  const struct process_options *options) {
    int pipes[2] = { -1, -1 };
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int log = open(options->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (null < 0 || log < 0 || (options->read_out && pipe2(pipes, O_CLOEXEC) < 0)) {
        int error = -errno;
        close_all((int[]){ null, log }, 2);
        return error;
    }
    pid_t pid = fork();
    if (pid == 0)
        become(argv, null, options->read_out ? pipes[1] : log, log, options->environment);
    int error = pid < 0 ? -errno : 0;
    close_all((int[]){ null, log, pipes[1] }, 3);
    if (error != 0) {
        close_all(pipes, 1);
        return error;
    }
    if (pipes[0] >= 0)
        fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    process->pid = pid;
    process->out = pipes[0];
    process->length = 0;
    return 0;
}

bool process_read_lines(struct process *process, void (*fn)(void *userdata, const char *line),
                        void *userdata) {
    for (;;) {
        size_t room = sizeof(process->line) - 1 - process->length;
        ssize_t count = read(process->out, process->line + process->length, room);
        if (count < 0)
            return errno == EAGAIN || errno == EINTR;
        if (count == 0)
            return false;
        process->length += (size_t)count;
        process->line[process->length] = '\0';
        char *begin = process->line;
        for (char *end; (end = strchr(begin, '\n')); begin = end + 1) {
            *end = '\0';
            fn(userdata, begin);
        }
        process->length = strlen(begin);
        memmove(process->line, begin, process->length + 1);
        if (process->length == sizeof(process->line) - 1)
            process->length = 0; /* no line of ours is so long */
    }
}

bool process_ended(struct process *process, int *ret_status) {
    int status;
    if (process->pid == 0 || waitpid(process->pid, &status, WNOHANG) != process->pid)
        return false;
    process->pid = 0;
    *ret_status = status;
    return true;
}

int process_stop(struct process *process, int patience_ms) {
    int status = 0;
    if (process->pid == 0)
        return 0;
    kill(process->pid, SIGTERM);
    for (int waited_ms = 0; waited_ms < patience_ms; waited_ms += 5) {
        if (process_ended(process, &status))
            return status;
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
    kill(process->pid, SIGKILL);
    waitpid(process->pid, &status, 0);
    process->pid = 0;
    return status;
}

int process_run(const char *const argv[], const char *input, const char *log) {
    int pipes[2];
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out < 0 || pipe2(pipes, O_CLOEXEC) < 0) {
        int error = -errno;
        close_all(&out, 1);
        return error;
    }
    pid_t pid = fork();
    if (pid == 0)
        become(argv, pipes[0], out, out, NULL);
    int error = pid < 0 ? -errno : 0;
    close_all((int[]){ out, pipes[0] }, 2);
    if (error == 0 && input && write(pipes[1], input, strlen(input)) < 0)
        error = -errno; /* it is far smaller than a pipe */
    close(pipes[1]);
    if (pid < 0)
        return error;
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (error != 0)
        return error;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}
