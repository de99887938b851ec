/*
 * What `make test` says at its end: tests/support/run.sh over programs that pass, fail, and break
 * off.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/keybroker-run.XXXXXX";

static void setup(void) {
    cr_assert_not_null(mkdtemp(directory));
}

static void teardown(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    (void)!system(command); // NOLINT(cert-env33-c): a fixed command of the test's own
}

TestSuite(run, .init = setup, .fini = teardown, .timeout = 60);

static void add_program(const char *name, const char *body) {
    char path[64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    cr_assert(file);
    fprintf(file, "#!/bin/sh\n%s\n", body);
    fclose(file);
    cr_assert_eq(chmod(path, 0755), 0);
}

/* Runs the programs (named after the directory) and copies the last line; returns the exit code. */
static int run(const char *programs, char *ret_last, size_t size) {
    char command[512], line[512];
    snprintf(command, sizeof command, "cd %s && sh \"$OLDPWD\"/tests/support/run.sh log %s 2>&1",
             directory, programs);
    FILE *output = popen(command, "re"); // NOLINT(cert-env33-c): a fixed command of the test's own
    cr_assert(output);
    while (fgets(line, sizeof line, output))
        snprintf(ret_last, size, "%.*s", (int)strcspn(line, "\n"), line);
    return pclose(output);
}

Test(run, the_last_line_sums_up_what_passed_and_what_failed) {
    char last[512] = "";
    add_program("test_good",
                "echo '[====] Synthesis: Tested: 7 | Passing: 7 | Failing: 0 | Crashing: 0'");
    add_program(
        "test_bad",
        "echo '[====] Synthesis: Tested: 7 | Passing: 4 | Failing: 3 | Crashing: 1'; exit 1");
    add_program("test_broken", "echo nothing; exit 139");
    cr_assert_eq(run("./test_good ./test_good", last, sizeof last), 0);
    cr_assert_str_eq(last, "14 passed, 0 failed");
    cr_assert_neq(run("./test_good ./test_bad ./test_broken ./test_good", last, sizeof last), 0);
    cr_assert_str_eq(last, "18 passed, 4 failed");
}
