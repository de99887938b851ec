/*
 * A directory of the test's own, and its descriptor. For tests of what is made in directories:
 * `.init = scratch_dir_init, .fini = scratch_dir_deinit`.
 */
#ifndef TESTS_UNIT_SCRATCH_DIR_H
#define TESTS_UNIT_SCRATCH_DIR_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

static char directory[256];
static int dir_fd;

static void scratch_dir_init(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/keybroker-unit-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(directory));
    dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(dir_fd, 0);
}

static void scratch_dir_deinit(void) {
    close(dir_fd);
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", directory, (char *)NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
}

#endif
