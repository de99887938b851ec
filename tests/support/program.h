/*
 * A program that a test runs, `keybroker` above all: its input, its output, how it ended. Results
 * live until programs_end. Programs that are still running at the end of the test are killed.
 */
#ifndef TESTS_PROGRAM_H
#define TESTS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "broker.h"

struct program {
    struct program *next;
    pid_t pid; /* 0 = ended */
    int code;  /* exit code, or 128 + signal */
    int in_fd, out_fd, err_fd;
    const char *input;
    size_t input_left;
    char *out, *err; /* so far, NUL-terminated, never NULL */
    size_t out_length, err_length;
};

/* Run to its end. `input` NULL = no standard input. `environment`: "NAME=VALUE" …, NULL; may be
 * NULL. */
struct program *program_run(const char *input, const char *const *environment,
                            const char *const *argv);
/* Start only. */
struct program *program_start(const char *input, const char *const *environment,
                              const char *const *argv);
/* Exchange input and output until it ends. */
void program_finish(struct program *program);
/* Exchange them until its output has this text. */
void program_wait_output(struct program *program, const char *text);

/* keybroker ARGUMENT… NULL, on this broker's runtime directory. */
struct program *command_run(const struct broker *broker, const char *input, ...)
    __attribute__((sentinel));
struct program *command_start(const struct broker *broker, const char *input, ...)
    __attribute__((sentinel));

/* A whole file, NUL-terminated; NULL = cannot be read. The caller frees it. */
char *program_read_file(const char *path, size_t *ret_length);

/* Kill what still runs and forget all; prints the output of each if asked. For scene_end. */
void programs_end(bool show_output);

#endif
