/*
 * The scene of a process test: one temporary directory on disk, one on tmpfs, and the time that a
 * test has patience for. A guardian process removes the directories when the test's process ends,
 * however it ends. broker.h, peer.h and program.h stand on it; tests that include Criterion first
 * get TEST_BOTH_LOOPS.
 */
#ifndef TESTS_SCENE_H
#define TESTS_SCENE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Long enough for a loaded machine under a sanitizer; nobody waits for it unless a test fails. */
enum { SCENE_PATIENCE_MS = 60000 };

/* Made at the first call, absolute, mode 0755. */
const char *scene_disk(void);
const char *scene_tmpfs(void);
/* A new empty directory in one of them, mode as given. Lives as long as the process. */
const char *scene_dir(const char *parent, const char *name, mode_t mode);
/* This directory is removed too when the process ends. */
void scene_removes(const char *directory);
/* Where keybrokerd and keybroker are: $KEYBROKER_BUILD, else build/. */
const char *scene_program(const char *name);
/* True if the programs under test are built with a sanitizer. */
bool scene_sanitized(void);

int64_t scene_now_ms(void);
void scene_sleep_ms(unsigned ms);

/* Formatted text that lives as long as the process. */
const char *scene_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The harness itself could not go on: says why, prints the logs, ends the process with 1. */
_Noreturn void scene_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For a child after fork and before exec: dies with the test, has no signals blocked, hands down
 * no descriptors but 0, 1 and 2. */
void scene_become_child(pid_t parent);

/* True if the kernel lets this process have an io_uring. */
bool scene_has_uring(void);

/* ---- a test on both loops ---- */

struct broker;

struct broker *scene_begin(const char *loop);
/* The test's body came to its end: no assertion failed. Its brokers have to end well, too. */
void scene_passed(void);
/* For .fini: ends what was started, prints the logs if the test failed. */
void scene_end(void);

/*
 * TEST_BOTH_LOOPS(admin, replies_come_in_order) { broker_start(b, NULL); … }
 *
 * `b` is a broker that was not started yet, with directories of its own.
 */
#define SCENE_TEST(suite, name, loop_name, loop_option)                                            \
    Test(suite, name##_on_##loop_name, .fini = scene_end, .timeout = 120) {                        \
        if (strcmp(loop_option, "io_uring") == 0 && !scene_has_uring())                            \
            cr_skip_test("the kernel refuses io_uring here");                                      \
        suite##_##name(scene_begin(loop_option));                                                  \
        scene_passed();                                                                            \
    }

#define TEST_BOTH_LOOPS(suite, name)                                                               \
    static void suite##_##name(struct broker *b);                                                  \
    SCENE_TEST(suite, name, io_uring, "io_uring")                                                  \
    SCENE_TEST(suite, name, epoll, "epoll")                                                        \
    static void suite##_##name(struct broker *b)

/* Wait until something comes true that nobody announces. */
#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        int64_t eventually_until = scene_now_ms() + SCENE_PATIENCE_MS;                             \
        while (!(condition)) {                                                                     \
            if (scene_now_ms() > eventually_until)                                                 \
                scene_fail("%s:%d: never came true: %s", __FILE__, __LINE__, #condition);          \
            scene_sleep_ms(2);                                                                     \
        }                                                                                          \
    } while (0)

#endif
