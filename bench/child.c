/* See child.h. */
#include "child.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <unistd.h>

#include "sample.h"

struct child child_start(const char *const *words, bool with_errors) {
    struct child child;
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) < 0 || pipe2(up, O_CLOEXEC) < 0)
        sample_die("pipe: %s", strerror(errno));
    child.pid = fork();
    if (child.pid < 0)
        sample_die("fork: %s", strerror(errno));
    if (child.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(down[0], STDIN_FILENO);
        dup2(up[1], STDOUT_FILENO);
        if (with_errors)
            dup2(up[1], STDERR_FILENO);
        execvp(words[0], (char *const *)(const void *)words);
        _exit(127);
    }
    close(down[0]);
    close(up[1]);
    child.input = fdopen(down[1], "we");
    child.output = fdopen(up[0], "re");
    if (!child.input || !child.output)
        sample_die("no memory");
    return child;
}

int child_end(struct child *child) {
    int status = 0;
    fclose(child->input);
    fclose(child->output);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

bool child_line(struct child *child, char *line, size_t size) {
    if (!fgets(line, (int)size, child->output))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return true;
}
