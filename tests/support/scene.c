/* See scene.h. */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/io_uring.h>

#include "broker.h"
#include "peer.h"
#include "program.h"

static struct {
    char disk[64], tmpfs[64];
    int guard_fd; /* the guardian reads its other end: closed when this process is gone */
    pid_t guardian;
    bool passed;
    bool began;
} scene = { .guard_fd = -1 };

/* ---- directories ---- */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status;
    (void)kind;
    (void)where;
    remove(path);
    return 0;
}

static void remove_tree(const char *path) {
    if (path[0])
        nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS);
}

/* Told by scene_removes of further directories. */
_Noreturn static void guard(int fd) {
    char paths[4096] = "";
    size_t length = 0;
    ssize_t got;
    setsid(); /* Ctrl-C ends the test, and then it is this one's turn */
    while ((got = read(fd, paths + length, sizeof paths - 1 - length)) != 0)
        if (got > 0)
            length += (size_t)got;
        else if (errno != EINTR)
            break;
    for (const char *path = paths; path < paths + length; path += strlen(path) + 1)
        remove_tree(path);
    remove_tree(scene.disk);
    remove_tree(scene.tmpfs);
    _exit(0);
}

static void make_dir(char *path, const char *parent) {
    snprintf(path, sizeof scene.disk, "%s/kb-process-XXXXXX", parent);
    if (!mkdtemp(path) || chmod(path, 0755) < 0)
        scene_fail("cannot make a directory in %s: %s", parent, strerror(errno));
}

static void set_scene(void) {
    int ends[2];
    if (scene.disk[0])
        return;
    make_dir(scene.disk, "/tmp");
    make_dir(scene.tmpfs, "/dev/shm");
    if (pipe2(ends, O_CLOEXEC) < 0)
        scene_fail("pipe: %s", strerror(errno));
    scene.guardian = fork();
    if (scene.guardian < 0)
        scene_fail("fork: %s", strerror(errno));
    if (scene.guardian == 0) {
        close(ends[1]);
        guard(ends[0]);
    }
    close(ends[0]);
    scene.guard_fd = ends[1];
}

void scene_removes(const char *directory) {
    size_t size = strlen(directory) + 1;
    set_scene();
    if (write(scene.guard_fd, directory, size) != (ssize_t)size)
        scene_fail("the guardian is gone");
}

const char *scene_disk(void) {
    set_scene();
    return scene.disk;
}

const char *scene_tmpfs(void) {
    set_scene();
    return scene.tmpfs;
}

const char *scene_dir(const char *parent, const char *name, mode_t mode) {
    const char *path = scene_text("%s/%s", parent, name);
    if (mkdir(path, mode) < 0 || chmod(path, mode) < 0)
        scene_fail("mkdir %s: %s", path, strerror(errno));
    return path;
}

const char *scene_program(const char *name) {
    const char *build = getenv("KEYBROKER_BUILD");
    const char *path = scene_text("%s/%s", build ? build : "build", name);
    if (access(path, X_OK) < 0)
        scene_fail("%s: %s; KEYBROKER_BUILD names the directory of the programs", path,
                   strerror(errno));
    return path;
}

bool scene_sanitized(void) {
    const char *variant = getenv("KEYBROKER_VARIANT");
    return variant && strcmp(variant, "plain") != 0;
}

/* ---- small things ---- */

int64_t scene_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void scene_sleep_ms(unsigned ms) {
    struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };
    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        ;
}

struct kept_text {
    struct kept_text *next;
    char text[];
};

static struct kept_text *kept;

const char *scene_text(const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    struct kept_text *text = malloc(sizeof *text + (size_t)length + 1);
    if (!text)
        abort();
    vsnprintf(text->text, (size_t)length + 1, format, again);
    va_end(again);
    text->next = kept;
    kept = text;
    return text->text;
}

_Noreturn void scene_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("process test: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    scene.passed = false;
    scene_end();
    exit(1);
}

void scene_become_child(pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC); /* also what the test's runner has open */
    if (getppid() != parent)
        _exit(127);
    /* Else the guardian would wait for this one too, and the test for the guardian. */
    if (scene.guard_fd >= 0)
        close(scene.guard_fd);
    scene.guard_fd = -1;
}

bool scene_has_uring(void) {
    struct io_uring_params params = { 0 };
    int fd = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* ---- a test ---- */

struct broker *scene_begin(const char *loop) {
    set_scene();
    scene.began = true;
    return broker_new(loop);
}

void scene_passed(void) {
    if (!brokers_stop())
        scene_fail("the test's body passed, but its broker ended badly");
    scene.passed = true;
}

void scene_end(void) {
    bool show = scene.began && !scene.passed;
    peers_close();
    programs_end(show);
    brokers_end(show);
    scene.began = false;
    if (scene.guard_fd < 0)
        return;
    close(scene.guard_fd);
    scene.guard_fd = -1;
    waitpid(scene.guardian, NULL, 0);
}
