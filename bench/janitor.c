/* See janitor.h. */
#include "janitor.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sample.h"

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

void janitor_remove(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool remove_all(const char *const *paths) {
    bool gone = true;
    for (; *paths; paths++) {
        janitor_remove(*paths);
        gone = gone && access(*paths, F_OK) < 0;
    }
    return gone;
}

/* Waits for the bench's end in whatever form: its end of the pipe closes. */
void janitor_start(const char *const *paths) {
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        sample_die("pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        sample_die("fork: %s", strerror(errno));
    if (pid > 0) {
        close(pipes[0]); /* the other end stays open as long as this process lives */
        return;
    }
    char byte;
    setsid(); /* a terminal's signals are not for it */
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++) /* nobody who reads our output shall wait for the janitor */
        dup2(null, fd);
    dup2(pipes[0], 3); /* and no janitor for another one's end of a pipe */
    close_range(4, ~0U, 0);
    while (read(3, &byte, 1) < 0 && errno == EINTR)
        continue;
    for (int tries = 0; tries < 50; tries++) { /* a broker that is just ending may still write */
        if (remove_all(paths))
            break;
        sample_sleep_us(100000);
    }
    _exit(0);
}
