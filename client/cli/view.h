/*
 * From a JSON value to what a person reads: text, times, countdowns, status colours. Pure but for
 * the time zone; the moment `now_ms` (milliseconds since 1970 UTC) is passed in. A value that is
 * absent or null reads as an en dash.
 */
#ifndef KEYBROKER_CLI_VIEW_H
#define KEYBROKER_CLI_VIEW_H

#include "text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define CLI_ABSENT "–"

int64_t cli_now_ms(void);

/* The string at `name`, NULL when absent or not a string. */
const char *cli_json_string(const json_t *object, const char *name);
/* The integer at `name`, `otherwise` when absent or not one. */
int64_t cli_json_integer(const json_t *object, const char *name, int64_t otherwise);

/* Any value on one line: strings as they are, yes/no, lists with commas, objects as name=value. */
void cli_view_value(struct cli_text *text, const json_t *value);

/* "2 cooling, 1 error" from an object of numbers; zeros are left out, and so is `except`. */
void cli_view_counts(struct cli_text *text, const json_t *counts, const char *except);

/* RFC 3339 to milliseconds since 1970 UTC. False for anything else. */
bool cli_parse_time(const char *string, int64_t *ret_ms);

/* "12s", "4m12s", "3h20m", "5d4h", "90d"; negative durations read as 0. */
void cli_view_duration(struct cli_text *text, int64_t duration_ms);

enum cli_time_style {
    CLI_TIME_SHORT,  /* 2026-11-23 16:32, local */
    CLI_TIME_SECOND, /* 2026-11-23 16:32:05, local */
    CLI_TIME_LONG,   /* 2026-11-23 16:32:05 +0000 (in 4m12s), local */
    CLI_TIME_CLOCK,  /* 16:32:05, local */
    CLI_TIME_IN,     /* in 4m12s; "now" when it is over */
    CLI_TIME_AGO,    /* 4m12s ago */
};

/* A JSON time in a style; strings that are no time are shown as they are. */
void cli_view_time(struct cli_text *text, const json_t *value, enum cli_time_style style,
                   int64_t now_ms);
void cli_view_ms(struct cli_text *text, int64_t time_ms, enum cli_time_style style, int64_t now_ms);

/* The colour (a name that libsmartcols knows) of a status word, NULL for none. */
const char *cli_status_color(const char *status);
/* `word` for the terminal, coloured as `status` is if `color`. */
void cli_view_status(struct cli_text *text, const char *status, bool color);

/* All but the last four characters hidden; all of it when fewer than eight would stay hidden. */
void cli_view_masked(struct cli_text *text, const char *secret);

#endif
