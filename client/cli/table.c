/*
 * Tables; see table.h. Called by the render files. The only file of the command that calls
 * libsmartcols.
 */
#include "table.h"
#include "cli.h"
#include "text.h"

#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>

struct cli_table {
    struct libscols_table *scols;
    struct libscols_line *line; /* the current row, owned by scols */
    size_t next_cell;
    bool color;
};

struct cli_table *cli_table_new(const struct cli_context *context) {
    struct cli_table *table = cli_must(calloc(1, sizeof(*table)));
    table->scols = cli_must(scols_new_table());
    table->color = context->color;
    scols_table_set_stream(table->scols, context->out);
    scols_table_enable_colors(table->scols, context->color);
    scols_table_set_column_separator(table->scols, "  ");
    if (context->width > 0) {
        scols_table_set_termforce(table->scols, SCOLS_TERMFORCE_ALWAYS);
        scols_table_set_termwidth(table->scols, context->width);
    } else {
        scols_table_set_termforce(table->scols, SCOLS_TERMFORCE_NEVER);
        scols_table_enable_minout(table->scols, 1); /* no blanks at the ends of lines */
    }
    return table;
}

struct cli_table *cli_table_free(struct cli_table *table) {
    if (table) {
        scols_unref_table(table->scols);
        free(table);
    }
    return NULL;
}

size_t cli_table_column(struct cli_table *table, const char *header, unsigned flags) {
    int scols_flags = 0;
    if (flags & CLI_COLUMN_RIGHT)
        scols_flags |= SCOLS_FL_RIGHT;
    if (flags & CLI_COLUMN_TRUNC)
        scols_flags |= SCOLS_FL_TRUNC;
    cli_must(scols_table_new_column(table->scols, header, 0, scols_flags));
    return scols_table_get_ncols(table->scols) - 1;
}

void cli_table_row(struct cli_table *table) {
    table->line = cli_must(scols_table_new_line(table->scols, NULL));
    table->next_cell = 0;
}

void cli_table_cell(struct cli_table *table, struct cli_text *text, const char *color) {
    size_t cell = table->next_cell++;
    (void)scols_line_set_data(table->line, cell, cli_text_string(text));
    if (color && table->color)
        (void)scols_cell_set_color(scols_line_get_cell(table->line, cell), color);
    cli_text_clear(text);
}

void cli_table_print(struct cli_table *table) {
    (void)scols_print_table(table->scols);
}
