/*
 * Where a payload that ends with an empty line ends: looked for as its bytes come, each of them
 * once, however long its lines are. Pure.
 */
#ifndef BROKER_EMPTY_LINE_H
#define BROKER_EMPTY_LINE_H

#include <stdbool.h>
#include <stddef.h>

/* Begins zeroed. */
struct empty_line {
    size_t scanned; /* bytes that were looked at */
    size_t begins;  /* where the line that is not whole yet begins */
    bool has_text;  /* that line has bytes that were dropped: it is not empty */
};

/* `data`: the payload so far. True if its end is there: *ret_length, without the empty line, and
 * *ret_end, with it. */
bool empty_line_find(struct empty_line *line, const char *data, size_t have, size_t *ret_length,
                     size_t *ret_end);
/* How many bytes at the beginning may be dropped, because nobody wants the payload: the caller does
 * so, and what is left is `data` of the next call. */
size_t empty_line_drop(struct empty_line *line, const char *data);

#endif
