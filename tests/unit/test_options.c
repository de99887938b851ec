/*
 * The daemon's command line and environment.
 */
#include "broker/options.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

static struct options options;

static void setup(void) {
    const char *const NAMES[] = { "KEYBROKER_STATE_DIR",
                                  "KEYBROKER_RUNTIME_DIR",
                                  "STATE_DIRECTORY",
                                  "RUNTIME_DIRECTORY",
                                  "XDG_STATE_HOME",
                                  "XDG_RUNTIME_DIR",
                                  "HOME" };
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        unsetenv(NAMES[i]);
}

static void teardown(void) {
    options_deinit(&options);
}

TestSuite(options, .init = setup, .fini = teardown);

/* What is said to people would only stand in the way here. */
static void silence(int saved[2]) {
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fflush(stdout);
    for (int fd = 1; fd <= 2; fd++) {
        saved[fd - 1] = dup(fd);
        dup2(null, fd);
    }
    close(null);
}

static void speak(const int saved[2]) {
    fflush(stdout);
    for (int fd = 1; fd <= 2; fd++) {
        dup2(saved[fd - 1], fd);
        close(saved[fd - 1]);
    }
}

static int parse(const char *const *words, int count) {
    char *argv[32] = { (char *)"keybrokerd" };
    for (int i = 0; i < count; i++)
        argv[i + 1] = (char *)words[i];
    optind = 0;
    options_deinit(&options);
    memset(&options, 0xa5, sizeof options); /* whatever is not set is seen */
    int saved[2];
    silence(saved);
    int result = options_parse(&options, count + 1, argv);
    speak(saved);
    return result;
}
#define PARSE(...)                                                                                 \
    parse((const char *const[]){ __VA_ARGS__ },                                                    \
          (int)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *)))
#define DIRS "--state-dir", "/s", "--runtime-dir", "/r"

Test(options, what_is_not_given_has_its_default) {
    cr_assert_eq(PARSE(DIRS), -1);
    cr_assert_str_eq(options.state_dir, "/s");
    cr_assert_str_eq(options.runtime_dir, "/r");
    cr_assert_null(options.master_key_file);
    cr_assert_null(options.admin_group);
    cr_assert_null(options.viewer_group);
    cr_assert_eq(options.loop, LOOP_AUTO);
    cr_assert_eq(options.log_level, LOG_LEVEL_INFO);
    cr_assert_eq(options.events_kept, 0);
    cr_assert_not(options.allow_disk_runtime);
}

Test(options, every_option_is_taken) {
    cr_assert_eq(PARSE(DIRS, "--master-key-file", "/k", "--admin-group=adm", "--viewer-group", "v",
                       "--keep-events", "500", "--loop", "epoll", "--allow-disk-runtime",
                       "--log-level", "debug"),
                 -1);
    cr_assert_str_eq(options.master_key_file, "/k");
    cr_assert_str_eq(options.admin_group, "adm");
    cr_assert_str_eq(options.viewer_group, "v");
    cr_assert_eq(options.events_kept, 500);
    cr_assert_eq(options.loop, LOOP_EPOLL);
    cr_assert(options.allow_disk_runtime);
    cr_assert_eq(options.log_level, LOG_LEVEL_DEBUG);
}

Test(options, the_last_of_two_counts) {
    cr_assert_eq(PARSE(DIRS, "--state-dir", "/other", "--loop=io_uring", "--loop=auto"), -1);
    cr_assert_str_eq(options.state_dir, "/other");
    cr_assert_eq(options.loop, LOOP_AUTO);
}

Test(options, a_mistake_ends_with_2) {
    cr_assert_eq(PARSE(DIRS, "--loop", "kqueue"), 2);
    cr_assert_eq(PARSE(DIRS, "--log-level", "loud"), 2);
    cr_assert_eq(PARSE(DIRS, "--no-such-option"), 2);
    cr_assert_eq(PARSE("--state-dir"), 2);
    cr_assert_eq(PARSE(DIRS, "surplus"), 2);
    cr_assert_eq(PARSE(DIRS, "-x"), 2);
    const char *const COUNTS[] = { "0",   "-1", "",          "12x",
                                   "1e3", " 5", "100000001", "99999999999999999999999" };
    for (size_t i = 0; i < sizeof COUNTS / sizeof *COUNTS; i++)
        cr_assert_eq(PARSE(DIRS, "--keep-events", COUNTS[i]), 2, "%s", COUNTS[i]);
}

Test(options, a_directory_without_a_name_is_a_mistake) {
    cr_assert_eq(PARSE("--state-dir", "", "--runtime-dir", "/r"), 2);
    cr_assert_eq(PARSE("--state-dir", "/s", "--runtime-dir", ""), 2);
}

Test(options, help_and_version_end_with_0) {
    cr_assert_eq(PARSE("--help"), 0);
    cr_assert_eq(PARSE("--version"), 0);
}

Test(options, the_option_comes_before_the_brokers_variables_before_systemds) {
    setenv("STATE_DIRECTORY", "/systemd/s", 1);
    setenv("RUNTIME_DIRECTORY", "/systemd/r", 1);
    cr_assert_eq(parse(NULL, 0), -1);
    cr_assert_str_eq(options.state_dir, "/systemd/s");
    cr_assert_str_eq(options.runtime_dir, "/systemd/r");
    setenv("KEYBROKER_STATE_DIR", "/own/s", 1);
    setenv("KEYBROKER_RUNTIME_DIR", "/own/r", 1);
    cr_assert_eq(parse(NULL, 0), -1);
    cr_assert_str_eq(options.state_dir, "/own/s");
    cr_assert_str_eq(options.runtime_dir, "/own/r");
    cr_assert_eq(PARSE(DIRS), -1);
    cr_assert_str_eq(options.state_dir, "/s");
    cr_assert_str_eq(options.runtime_dir, "/r");
}

Test(options, an_empty_variable_is_none) {
    setenv("KEYBROKER_STATE_DIR", "", 1);
    setenv("STATE_DIRECTORY", "/systemd/s", 1);
    setenv("RUNTIME_DIRECTORY", "/systemd/r", 1);
    cr_assert_eq(parse(NULL, 0), -1);
    cr_assert_str_eq(options.state_dir, "/systemd/s");
}

Test(options, root_has_the_systems_directories_and_others_their_own) {
    setenv("HOME", "/home/x", 1);
    setenv("XDG_RUNTIME_DIR", "/run/user/5", 1);
    cr_assert_eq(parse(NULL, 0), -1);
    bool root = geteuid() == 0;
    cr_assert_str_eq(options.state_dir,
                     root ? "/var/lib/keybroker" : "/home/x/.local/state/keybroker");
    cr_assert_str_eq(options.runtime_dir, root ? "/run/keybroker" : "/run/user/5/keybroker");
}

Test(options, an_ordinary_user_follows_xdg_or_is_asked_for_a_directory) {
    if (geteuid() == 0)
        cr_assert_eq(seteuid(12345), 0);
    setenv("XDG_RUNTIME_DIR", "/run/user/5", 1);
    setenv("XDG_STATE_HOME", "/home/x/state", 1);
    cr_assert_eq(parse(NULL, 0), -1);
    cr_assert_str_eq(options.state_dir, "/home/x/state/keybroker");
    cr_assert_str_eq(options.runtime_dir, "/run/user/5/keybroker");
    unsetenv("XDG_STATE_HOME");
    cr_assert_eq(parse(NULL, 0), 2, "no home");
    setenv("HOME", "/home/x", 1);
    cr_assert_eq(parse(NULL, 0), -1);
    cr_assert_str_eq(options.state_dir, "/home/x/.local/state/keybroker");
    unsetenv("XDG_RUNTIME_DIR");
    cr_assert_eq(parse(NULL, 0), 2, "no runtime directory");
}
