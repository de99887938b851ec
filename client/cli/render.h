/*
 * From a reply's JSON body to what an operator reads. render.c chooses by the command's words;
 * each noun has a file of its own. All tolerate fields that are missing and fields they don't know.
 */
#ifndef KEYBROKER_CLI_RENDER_H
#define KEYBROKER_CLI_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli_context;
struct cli_text;

/* Print the body of an OK to the command `words`. */
void cli_render(const struct cli_context *context, char *const *words, size_t count,
                const json_t *body, int64_t now_ms);

void cli_render_pools(const struct cli_context *context, const json_t *body, int64_t now_ms);
void cli_render_pool(const struct cli_context *context, const json_t *body, int64_t now_ms);
void cli_render_keys(const struct cli_context *context, const json_t *body, int64_t now_ms);
void cli_render_key(const struct cli_context *context, const json_t *body, int64_t now_ms);
void cli_render_events(const struct cli_context *context, const json_t *body, int64_t now_ms);
void cli_render_vendors(const struct cli_context *context, const json_t *body);
void cli_render_vendor(const struct cli_context *context, const json_t *body, int64_t now_ms);
void cli_render_info(const struct cli_context *context, const json_t *body, int64_t now_ms);
void cli_render_help(const struct cli_context *context, const json_t *body);

/* One event as watch shows it, without a line feed; heartbeats and unknown types add nothing. */
void cli_event_line(struct cli_text *text, const json_t *event, bool color);

/* "20 of 300 shown …" when the list is only a part. */
void cli_render_rest(const struct cli_context *context, size_t shown, const json_t *body);

#endif
