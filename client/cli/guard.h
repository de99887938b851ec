/*
 * A pool's guard as an operator reads it: whether it watches, from which share of the pool on it
 * holds, and while it holds a banner, because that changes what reports do.
 */
#ifndef KEYBROKER_CLI_GUARD_H
#define KEYBROKER_CLI_GUARD_H

#include <jansson.h>
#include <stdint.h>

struct cli_context;
struct cli_text;

/* In a table: "30%", "off", "holds 41s". */
void cli_guard_word(struct cli_text *text, const json_t *pool, int64_t now_ms);
/* "30%, watching", "off", "30%, holding until … (in 41s)". */
void cli_guard_sentence(struct cli_text *text, const json_t *pool, int64_t now_ms);
/* A line on the output while it holds, nothing else. */
void cli_guard_banner(const struct cli_context *context, const json_t *pool, int64_t now_ms);

#endif
