/*
 * Child processes of the demo: each in a process group of its own, so that Ctrl-C reaches the demo
 * alone and it can end them in order, and each ended by the kernel should the demo die first.
 */
#ifndef DEMO_PROCESS_H
#define DEMO_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct process {
    pid_t pid;     /* 0 = not running */
    int out;       /* what it prints, non-blocking; -1 = nobody reads it */
    size_t length; /* of the unfinished line in `line` */
    char line[4096];
};

struct process_options {
    const char *const *environment; /* NAME, VALUE, …, NULL; added to ours. NULL = none */
    const char *log;                /* file for stderr, and for stdout unless it is read */
    bool read_out;
};

/* 0 or -errno. argv[0] is the program's path. */
int process_start(struct process *process, const char *const argv[],
                  const struct process_options *options);

/* Call `fn` with each whole line that has arrived. False once the process closed its output. */
bool process_read_lines(struct process *process, void (*fn)(void *userdata, const char *line),
                        void *userdata);

/* SIGTERM, then SIGKILL after `patience_ms`. Its exit status as waitpid gives it; 0 if it was not
 * running. What it printed meanwhile can still be read. */
int process_stop(struct process *process, int patience_ms);

/* Has it ended by itself? Then *ret_status is its exit status and pid 0. */
bool process_ended(struct process *process, int *ret_status);

/* Run a command to its end with `input` as its standard input; its output goes to `log`. Its exit
 * code, or -errno. */
int process_run(const char *const argv[], const char *input, const char *log);

#endif
