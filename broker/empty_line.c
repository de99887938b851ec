/* See empty_line.h. */
#include "empty_line.h"

#include <string.h>

bool empty_line_find(struct empty_line *line, const char *data, size_t have, size_t *ret_length,
                     size_t *ret_end) {
    const char *end;
    while (line->scanned < have &&
           (end = memchr(data + line->scanned, '\n', have - line->scanned))) {
        size_t at = (size_t)(end - data), length = at - line->begins;
        bool empty = length == 0 || (length == 1 && data[line->begins] == '\r');
        if (empty && !line->has_text) {
            *ret_length = line->begins;
            *ret_end = at + 1;
            return true;
        }
        *line = (struct empty_line){ .scanned = at + 1, .begins = at + 1 };
    }
    line->scanned = have;
    return false;
}

size_t empty_line_drop(struct empty_line *line, const char *data) {
    size_t length = line->scanned - line->begins;
    if (length > 1 || (length == 1 && data[line->begins] != '\r'))
        line->has_text = true;
    /* A lone CR stays: with the next byte it may turn out to be the empty line. */
    size_t gone = line->has_text ? line->scanned : line->begins;
    line->scanned -= gone;
    line->begins = 0;
    return gone;
}
