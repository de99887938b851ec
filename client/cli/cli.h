/*
 * What every part of the command `keybroker` shares: exit codes, the context of one invocation and
 * error output. Made by main.c (and by tests, with streams of their own); holds no logic.
 */
#ifndef KEYBROKER_CLI_H
#define KEYBROKER_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct cli_text;

/* The command's documented exit codes. */
enum cli_exit {
    CLI_OK = 0,
    CLI_REFUSED = 1,     /* the broker (or the library) said no */
    CLI_USAGE = 2,       /* the command line is wrong, here or in the broker's eyes (400) */
    CLI_UNREACHABLE = 3, /* no broker, or it went away before its answer was complete */
    /* exec's own, as env(1)'s: all others are those of the program that it ran */
    CLI_EXEC_FAILED = 125,     /* no key, no broker, wrong usage: nothing was tried */
    CLI_EXEC_CANNOT_RUN = 126, /* the program is there and can't be run */
    CLI_EXEC_NOT_FOUND = 127,
};

/* Where a command's payload comes from. */
enum cli_payload_source {
    CLI_PAYLOAD_STDIN = 0, /* standard input; asked for without echo when that is a terminal */
    CLI_PAYLOAD_GIVEN = 1, /* read already, from a script of commands; may be absent */
};

struct cli_context {
    const char *runtime_dir; /* --runtime-dir; NULL = look it up */
    bool json;               /* print bodies as they come */
    bool color;              /* status words are coloured */
    unsigned width;          /* of the terminal on `out`; 0 = not a terminal, never truncate */
    bool session;            /* one of many commands: exec must come back */
    enum cli_payload_source payload_source;
    const struct cli_text *given_payload; /* NULL = the script gave none */
    FILE *out;
    FILE *err;
};

/* "keybroker: …" on the error stream. */
void cli_error(const struct cli_context *context, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Set by the prompt's SIGINT handler; whoever sleeps in the kernel gives up when it is set. */
bool cli_interrupted(void);
void cli_interrupt_clear(void);
void cli_interrupt_set(void);

/* Run the whole command as main() would. */
int cli_main(int argc, char **argv);

#endif
