/* See foreign.h. */
#include "foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"

enum { NOBODY = 65534 };

/* Asked as somebody who owns nothing: modes on the way there and a file system without execution
 * both say no. */
static bool others_may_run(const char *path) {
    pid_t child = fork();
    if (child < 0)
        scene_fail("fork: %s", strerror(errno));
    if (child == 0) {
        bool other = setgroups(0, NULL) == 0 && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
                     setresuid(NOBODY, NOBODY, NOBODY) == 0;
        _exit(other && access(path, X_OK) == 0 ? 0 : 1);
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* False with errno set. */
static bool copy(const char *from, const char *to) {
    struct stat info;
    bool copied = false;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    if (in >= 0 && out >= 0 && fstat(in, &info) == 0 && fchmod(out, 0755) == 0) {
        ssize_t sent = 1;
        off_t at = 0;
        while (at < info.st_size && sent > 0)
            sent = sendfile(out, in, &at, (size_t)(info.st_size - at));
        copied = at == info.st_size;
    }
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return copied;
}

/* A copy in a directory of its own below `parent`; NULL = others could not run it there. */
static const char *copy_below(const char *parent, const char *name, const char *program) {
    char *directory = strdup(scene_text("%s/kb-programs-XXXXXX", parent));
    const char *path = NULL;
    if (directory && mkdtemp(directory)) {
        scene_removes(directory);
        path = scene_text("%s/%s", directory, name);
        if (chmod(directory, 0755) < 0 || !copy(program, path) || !others_may_run(path))
            path = NULL;
    }
    free(directory);
    return path;
}

static const char *find_or_copy(const char *name) {
    const char *program = scene_program(name), *path = NULL;
    const char *const parents[] = { getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm" };
    if (others_may_run(program))
        return program;
    for (size_t i = 0; !path && i < sizeof parents / sizeof *parents; i++)
        if (parents[i] && *parents[i])
            path = copy_below(parents[i], name, program);
    if (!path)
        scene_fail("no temporary directory has room for %s where other users may run it; let "
                   "TMPDIR name one",
                   program);
    return path;
}

const char *foreign_program(const char *name) {
    uid_t identity = geteuid();
    if (seteuid(0) < 0)
        scene_fail("only root can run programs as others: %s", strerror(errno));
    const char *path = find_or_copy(name);
    if (seteuid(identity) < 0)
        scene_fail("cannot become uid %u again: %s", identity, strerror(errno));
    return path;
}
