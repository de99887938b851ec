/*
 * One command, from its words to its exit code. Called by main.c for a command line, by script.c
 * and prompt.c for each line.
 */
#ifndef KEYBROKER_CLI_COMMAND_H
#define KEYBROKER_CLI_COMMAND_H

#include <stddef.h>
#include <stdio.h>

struct cli_context;
struct cli_reply;

/* Run the command; errors are printed. Returns an exit code. */
int cli_command_run(const struct cli_context *context, char *const *words, size_t count);

/* Print an ERR reply and return the exit code that goes with it. */
int cli_report_error(const struct cli_context *context, const struct cli_reply *reply);

/* Commands from standard input, one a line. Returns the highest exit code among them. */
int cli_script_run(const struct cli_context *context, FILE *input);

/* Commands from a terminal. */
int cli_prompt_run(const struct cli_context *context);

#endif
