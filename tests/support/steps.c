/* See steps.h. */
#include "steps.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_IMPOSSIBLE = 2 };

static _Noreturn void be_child(const struct steps *steps) {
    if (steps->prepare && !steps->prepare(steps->userdata))
        _exit(EXIT_FAILED);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(EXIT_IMPOSSIBLE);
    raise(SIGSTOP);
    _exit(steps->work(steps->userdata) ? 0 : EXIT_FAILED);
}

static enum steps_end judge(int status) {
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGKILL ? STEPS_KILLED : STEPS_FAILED;
    return WEXITSTATUS(status) == 0                 ? STEPS_DONE
           : WEXITSTATUS(status) == EXIT_IMPOSSIBLE ? STEPS_IMPOSSIBLE
                                                    : STEPS_FAILED;
}

static int wait_for(pid_t child) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

enum steps_end steps_kill_at(const struct steps *steps, unsigned step) {
    pid_t child = fork();
    if (child < 0)
        return STEPS_IMPOSSIBLE;
    if (child == 0)
        be_child(steps);
    int status = wait_for(child);
    bool entering = true; /* the stops at a call's begin and end look alike */
    for (unsigned seen = 0; WIFSTOPPED(status);) {
        int signal_number =
            WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP ? 0 : WSTOPSIG(status);
        if (WSTOPSIG(status) == SIGTRAP) {
            seen += entering;
            entering = !entering;
            if (seen == step) {
                kill(child, SIGKILL);
                return judge(wait_for(child));
            }
        }
        ptrace(PTRACE_SYSCALL, child, NULL, (void *)(long)signal_number);
        status = wait_for(child);
    }
    return judge(status);
}
