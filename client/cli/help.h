/*
 * What the command can say about itself without a broker.
 */
#ifndef KEYBROKER_CLI_HELP_H
#define KEYBROKER_CLI_HELP_H

#include <stdbool.h>
#include <stdio.h>

struct cli_context;

/* The option and exit code page (-h). */
void cli_help_usage(FILE *stream);

/* The commands that only this program has, or the one named. False if it has none of that name. */
bool cli_help_local(const struct cli_context *context, const char *name);

/* One line of help, wrapped between words on a terminal: usages (no indent) hang. */
void cli_help_line(const struct cli_context *context, unsigned indent, const char *line);

#endif
