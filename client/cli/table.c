/*
 * Tables; see table.h. Called by the render files. The only file of the command that calls
 * libsmartcols, which could cut cells too, but cuts names before remarks, marks no cut, and keeps
 * every column.
 */
#include "table.h"
#include "cli.h"
#include "text.h"
#include "view.h"

#include <libsmartcols/libsmartcols.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

enum {
    GAP = 2,          /* places between two columns */
    ESCAPED_BYTE = 4, /* libsmartcols prints what is no character as \xNN */
};

struct cell {
    char *text; /* NULL = empty */
    const char *color;
};

struct cli_table {
    const struct cli_context *context;
    const struct cli_column *columns;
    size_t column_count;
    struct cell *cells; /* row by row */
    size_t row_count, next_cell;
};

/* How a table is shown: how many places each column gets, 0 = it is left out. */
struct layout {
    size_t places[CLI_COLUMNS_MAX];
};

struct cli_table *cli_table_new(const struct cli_context *context, const struct cli_column *columns,
                                size_t count) {
    struct cli_table *table = cli_must(calloc(1, sizeof(*table)));
    table->context = context;
    table->columns = columns;
    table->column_count = count < CLI_COLUMNS_MAX ? count : CLI_COLUMNS_MAX;
    return table;
}

struct cli_table *cli_table_free(struct cli_table *table) {
    if (!table)
        return NULL;
    for (size_t i = 0; i < table->row_count * table->column_count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
    return NULL;
}

void cli_table_row(struct cli_table *table) {
    size_t count = table->column_count;
    /* Doubled whenever the number of rows is a power of two. */
    if ((table->row_count & (table->row_count - 1)) == 0) {
        size_t room = table->row_count ? table->row_count * 2 : 1;
        table->cells = cli_must(realloc(table->cells, room * count * sizeof(struct cell)));
    }
    memset(table->cells + table->row_count * count, 0, count * sizeof(struct cell));
    table->row_count++;
    table->next_cell = 0;
}

void cli_table_cell(struct cli_table *table, struct cli_text *text, const char *color) {
    if (table->row_count && table->next_cell < table->column_count) {
        struct cell *cell =
            &table->cells[(table->row_count - 1) * table->column_count + table->next_cell++];
        cell->text = text->length ? cli_must(strdup(cli_text_string(text))) : NULL;
        cell->color = color;
    }
    cli_text_clear(text);
}

/* ---- widths ---- */

/* How many places the first character takes; *ret_bytes is its length. */
static size_t character_places(const char *text, mbstate_t *state, size_t *ret_bytes) {
    wchar_t character;
    size_t length = strnlen(text, MB_CUR_MAX);
    size_t bytes = mbrtowc(&character, text, length, state);
    if (bytes == 0 || bytes > length) {
        *state = (mbstate_t){ 0 };
        *ret_bytes = 1;
        return ESCAPED_BYTE;
    }
    *ret_bytes = bytes;
    int places = wcwidth(character);
    return places < 0 ? bytes * ESCAPED_BYTE : (size_t)places;
}

/* How many bytes of the text fit in `places`; *ret_places is what all of it would take. */
static size_t measure(const char *text, size_t places, size_t *ret_places) {
    mbstate_t state = { 0 };
    size_t fitting = 0, taken = 0, bytes;
    for (const char *at = text; at && *at; at += bytes) {
        taken += character_places(at, &state, &bytes);
        if (taken <= places)
            fitting = (size_t)(at - text) + bytes;
    }
    *ret_places = taken;
    return fitting;
}

static size_t places_of(const char *text) {
    size_t places;
    (void)measure(text, 0, &places);
    return places;
}

/* What all of the column needs; 0 = it is not to be shown. *ret_blank = no cell says anything. */
static size_t column_needs(const struct cli_table *table, size_t column, bool *ret_blank) {
    size_t needs = places_of(table->columns[column].header);
    bool filled = !(table->columns[column].flags & CLI_COLUMN_IF_FILLED);
    *ret_blank = true;
    for (size_t row = 0; row < table->row_count; row++) {
        const char *text = table->cells[row * table->column_count + column].text;
        size_t places = places_of(text);
        needs = places > needs ? places : needs;
        filled = filled || text;
        *ret_blank = *ret_blank && (!text || strcmp(text, CLI_ABSENT) == 0);
    }
    return filled ? needs : 0;
}

/* ---- what fits ---- */

static size_t total_places(const struct cli_table *table, const struct layout *layout) {
    size_t total = 0;
    for (size_t i = 0; i < table->column_count; i++)
        if (layout->places[i])
            total += layout->places[i] + (total ? GAP : 0);
    return total;
}

/* The shown column whose rank is the highest below `below`; column_count = none. */
static size_t least_important(const struct cli_table *table, const struct layout *layout,
                              unsigned below) {
    size_t found = table->column_count;
    for (size_t i = 0; i < table->column_count; i++) {
        unsigned rank = table->columns[i].rank;
        if (layout->places[i] && rank < below &&
            (found == table->column_count || rank > table->columns[found].rank))
            found = i;
    }
    return found;
}

/* Cut cells, those of the least important column first. False if that is not enough. */
static bool cut(const struct cli_table *table, struct layout *layout, size_t width) {
    struct layout narrowed = *layout;
    unsigned rank = UINT_MAX;
    size_t column;
    while ((column = least_important(table, &narrowed, rank)) < table->column_count) {
        size_t total = total_places(table, &narrowed), least = table->columns[column].least;
        size_t over = total > width ? total - width : 0;
        size_t spare =
            least && narrowed.places[column] > least ? narrowed.places[column] - least : 0;
        narrowed.places[column] -= over < spare ? over : spare;
        rank = table->columns[column].rank;
    }
    if (total_places(table, &narrowed) > width)
        return false;
    *layout = narrowed;
    return true;
}

/* Columns whose cells all say nothing go while it is too wide. */
static void drop_blank(const struct cli_table *table, struct layout *layout, const bool *blank) {
    unsigned rank = UINT_MAX;
    size_t column;
    while (total_places(table, layout) > table->context->width &&
           (column = least_important(table, layout, rank)) < table->column_count) {
        rank = table->columns[column].rank;
        if (blank[column])
            layout->places[column] = 0;
    }
}

static struct layout lay_out(const struct cli_table *table) {
    struct layout layout = { 0 };
    bool blank[CLI_COLUMNS_MAX];
    size_t width = table->context->width;
    for (size_t i = 0; i < table->column_count; i++)
        layout.places[i] = column_needs(table, i, &blank[i]);
    if (width == 0)
        return layout;
    drop_blank(table, &layout, blank);
    while (!cut(table, &layout, width)) {
        size_t column = least_important(table, &layout, UINT_MAX);
        size_t places = layout.places[column];
        layout.places[column] = 0;
        if (total_places(table, &layout) == 0) /* the last one */
            layout.places[column] = places < width ? places : width;
    }
    return layout;
}

/* ---- printing ---- */

/* The cell's text, cut if need be, given away; NULL = empty. */
static char *take_text(struct cell *cell, size_t places) {
    char *text = cell->text, *shorter;
    size_t whole;
    cell->text = NULL;
    (void)measure(text, places, &whole);
    if (whole <= places)
        return text;
    size_t bytes = measure(text, places - 1, &whole);
    while (bytes > 0 && text[bytes - 1] == ' ')
        bytes--;
    if (asprintf(&shorter, "%.*s…", (int)bytes, text) < 0)
        shorter = NULL;
    free(text);
    return cli_must(shorter);
}

static struct libscols_table *new_output(const struct cli_context *context) {
    struct libscols_table *output = cli_must(scols_new_table());
    scols_table_set_stream(output, context->out);
    scols_table_enable_colors(output, context->color);
    scols_table_set_column_separator(output, "  ");
    scols_table_set_termforce(output, SCOLS_TERMFORCE_NEVER);
    scols_table_enable_minout(output, 1); /* no blanks at the ends of lines */
    return output;
}

void cli_table_print(struct cli_table *table) {
    const struct layout layout = lay_out(table);
    struct libscols_table *output = new_output(table->context);
    for (size_t i = 0; i < table->column_count; i++) {
        struct cell header = { .text = cli_must(strdup(table->columns[i].header)) };
        int flags = table->columns[i].flags & CLI_COLUMN_RIGHT ? SCOLS_FL_RIGHT : 0;
        char *text = take_text(&header, layout.places[i] ? layout.places[i] : 1);
        if (layout.places[i])
            cli_must(scols_table_new_column(output, text, 0, flags));
        free(text);
    }
    for (size_t row = 0; row < table->row_count; row++) {
        struct libscols_line *line = cli_must(scols_table_new_line(output, NULL));
        size_t shown = 0;
        for (size_t i = 0; i < table->column_count; i++) {
            struct cell *cell = &table->cells[row * table->column_count + i];
            if (!layout.places[i])
                continue;
            if (cell->text)
                (void)scols_line_refer_data(line, shown, take_text(cell, layout.places[i]));
            if (cell->color && table->context->color)
                (void)scols_cell_set_color(scols_line_get_cell(line, shown), cell->color);
            shown++;
        }
    }
    (void)scols_print_table(output);
    scols_unref_table(output);
}
