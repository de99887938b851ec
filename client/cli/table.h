/*
 * A table for the terminal. It never wraps: where it is too wide, columns that say nothing go, then
 * long cells are cut and end in "…", then columns go, the least important first. Where there is no
 * terminal everything is whole. libsmartcols prints what is left.
 */
#ifndef KEYBROKER_CLI_TABLE_H
#define KEYBROKER_CLI_TABLE_H

#include <stddef.h>

struct cli_context;
struct cli_table;
struct cli_text;

enum { CLI_COLUMNS_MAX = 12 };

enum cli_column_flags {
    CLI_COLUMN_RIGHT = 1,     /* numbers */
    CLI_COLUMN_IF_FILLED = 2, /* not shown at all when every cell is empty */
};

struct cli_column {
    const char *header;
    unsigned rank; /* the highest goes first when it is narrow; each column has its own */
    unsigned
        least; /* cells may be cut to so many places; 0 = a cell is shown whole or not at all */
    unsigned flags;
};

/* The columns must outlive the table. */
struct cli_table *cli_table_new(const struct cli_context *context, const struct cli_column *columns,
                                size_t count);
struct cli_table *cli_table_free(struct cli_table *table);

/* Begin a row. */
void cli_table_row(struct cli_table *table);
/* Fill the current row's next cell; `color` may be NULL. The text is cleared for the next one. */
void cli_table_cell(struct cli_table *table, struct cli_text *text, const char *color);

/* Once. */
void cli_table_print(struct cli_table *table);

#endif
