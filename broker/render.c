/* See render.h. No line that is written here is empty: an empty line ends a reply. */
#include "render.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool needs_quotes(const char *text) {
    return !*text || strpbrk(text, " \t\r\n\"'\\=") != NULL;
}

static void write_string(const char *text, struct buffer *out) {
    if (!needs_quotes(text)) {
        buffer_append_text(out, text);
        return;
    }
    buffer_append(out, "\"", 1);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buffer_append(out, "\\", 1);
        char c = *text == '\n' || *text == '\r' ? ' ' : *text;
        buffer_append(out, &c, 1);
    }
    buffer_append(out, "\"", 1);
}

static void write_value(const json_t *value, struct buffer *out) {
    if (json_is_string(value)) {
        write_string(json_string_value(value), out);
    } else if (json_is_null(value)) {
        buffer_append_text(out, "-");
    } else {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        if (text)
            buffer_append_text(out, text);
        free(text);
    }
}

void render_row(const json_t *object, struct buffer *out) {
    const char *name;
    json_t *value;
    bool first = true;
    json_object_foreach((json_t *)object, name, value) {
        if (!first)
            buffer_append(out, "  ", 2);
        first = false;
        buffer_printf(out, "%s=", name);
        write_value(value, out);
    }
    buffer_append_text(out, first ? "-\n" : "\n");
}

static bool is_rows(const json_t *value) {
    return json_is_array(value) && json_array_size(value) > 0 &&
           json_is_object(json_array_get(value, 0));
}

void render_text(const json_t *object, struct buffer *out) {
    const json_t *message = json_object_get(object, "message");
    if (json_is_string(message)) {
        buffer_printf(out, "%s\n", json_string_value(message));
        const json_t *changes = json_object_get(object, "changes");
        for (size_t i = 0; i < json_array_size(changes); i++)
            buffer_printf(out, "%s\n", json_string_value(json_array_get(changes, i)));
        return;
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        if (is_rows(value)) {
            for (size_t i = 0; i < json_array_size(value); i++)
                render_row(json_array_get(value, i), out);
        } else {
            buffer_printf(out, "%s: ", name);
            write_value(value, out);
            buffer_append(out, "\n", 1);
        }
    }
}
