/*
 * A table for the terminal, libsmartcols behind it: fits the terminal's width by truncating the
 * columns that allow it, and leaves everything whole where there is no terminal.
 */
#ifndef KEYBROKER_CLI_TABLE_H
#define KEYBROKER_CLI_TABLE_H

#include <stddef.h>

struct cli_context;
struct cli_table;
struct cli_text;

enum cli_column_flags {
    CLI_COLUMN_RIGHT = 1, /* numbers */
    CLI_COLUMN_TRUNC = 2, /* may be cut on a terminal */
};

struct cli_table *cli_table_new(const struct cli_context *context);
struct cli_table *cli_table_free(struct cli_table *table);

/* Returns the column's number, counted from 0. */
size_t cli_table_column(struct cli_table *table, const char *header, unsigned flags);

/* Begin a row. */
void cli_table_row(struct cli_table *table);
/* Fill the current row's next cell; `color` may be NULL. The text is cleared for the next one. */
void cli_table_cell(struct cli_table *table, struct cli_text *text, const char *color);

void cli_table_print(struct cli_table *table);

#endif
