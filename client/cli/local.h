/*
 * The commands that only this program has: current, exec and watch. Each takes the whole command
 * (its own name first) and returns an exit code.
 */
#ifndef KEYBROKER_CLI_LOCAL_H
#define KEYBROKER_CLI_LOCAL_H

#include <keybroker.h>
#include <stddef.h>

struct cli_context;

int cli_current(const struct cli_context *context, char *const *words, size_t count);
int cli_exec(const struct cli_context *context, char *const *words, size_t count);
int cli_watch(const struct cli_context *context, char *const *words, size_t count);

/* Attach to a pool and take its current key, as a worker does. CLI_OK, or after an error message
 * CLI_REFUSED, or CLI_UNREACHABLE when nothing is published and no broker there. The key holds
 * until kb_close. */
int cli_take_key(const struct cli_context *context, const char *pool, kb_reader **ret_reader,
                 const kb_key **ret_key);

#endif
