/*
 * A growing string, always NUL-terminated. Because request lines and payloads may hold secrets,
 * memory is wiped whenever it is given back, also when the string outgrows it. Running out of
 * memory ends the process: a command has nothing better to do.
 */
#ifndef KEYBROKER_CLI_TEXT_H
#define KEYBROKER_CLI_TEXT_H

#include <stddef.h>

struct cli_text {
    char *data; /* NULL while nothing was added */
    size_t length;
    size_t capacity;
};
#define CLI_TEXT_INIT                                                                              \
    { 0 }

void cli_text_deinit(struct cli_text *text);
/* Make it empty again, keeping its memory. */
void cli_text_clear(struct cli_text *text);
void cli_text_add(struct cli_text *text, const char *bytes, size_t count);
void cli_text_adds(struct cli_text *text, const char *string);
void cli_text_addf(struct cli_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Adds `string` with control characters (C0, DEL, C1) replaced, so that nothing that a vendor or
 * another user wrote can steer the terminal. */
void cli_text_add_printable(struct cli_text *text, const char *string);
/* The string, "" while nothing was added. */
const char *cli_text_string(const struct cli_text *text);

/* Returns `memory`, or ends the process if it is NULL. */
void *cli_must(void *memory);

#endif
