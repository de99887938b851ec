/*
 * A program that the bench talks with over its standard input and output: one per measurement that
 * needs a fresh process, or runs under valgrind. It dies with the bench. Ends the bench when the
 * program breaks off.
 */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    FILE *input, *output;
};

/* `output` carries its standard error too if `with_errors`. The list ends with NULL. */
struct child child_start(const char *const *words, bool with_errors);
/* Closes both ends and waits; what waitpid says. */
int child_end(struct child *child);

/* The next line, without its end; false at the end of output. */
bool child_line(struct child *child, char *line, size_t size);

#endif
