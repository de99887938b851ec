/*
 * The growing string of the command; see text.h. Used by every part of it, knows none.
 */
#include "text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *cli_must(void *memory) {
    if (!memory) {
        static const char message[] = "keybroker: out of memory\n";
        fputs(message, stderr);
        exit(1);
    }
    return memory;
}

void cli_text_deinit(struct cli_text *text) {
    if (text->data) {
        explicit_bzero(text->data, text->capacity);
        free(text->data);
    }
    *text = (struct cli_text)CLI_TEXT_INIT;
}

void cli_text_clear(struct cli_text *text) {
    if (text->data)
        explicit_bzero(text->data, text->capacity);
    text->length = 0;
}

static void make_room(struct cli_text *text, size_t count) {
    if (count > SIZE_MAX / 4 || text->length > SIZE_MAX / 4)
        cli_must(NULL);
    size_t needed = text->length + count + 1;
    if (needed <= text->capacity)
        return;
    size_t capacity = text->capacity ? text->capacity : 64;
    while (capacity < needed)
        capacity *= 2;
    /* No realloc: it would leave a copy of a secret behind. */
    char *data = cli_must(malloc(capacity));
    if (text->data) {
        memcpy(data, text->data, text->length + 1);
        explicit_bzero(text->data, text->capacity);
        free(text->data);
    }
    text->data = data;
    text->capacity = capacity;
}

void cli_text_add(struct cli_text *text, const char *bytes, size_t count) {
    make_room(text, count);
    if (count)
        memcpy(text->data + text->length, bytes, count);
    text->length += count;
    text->data[text->length] = '\0';
}

void cli_text_adds(struct cli_text *text, const char *string) {
    cli_text_add(text, string, strlen(string));
}

void cli_text_addf(struct cli_text *text, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length >= 0) {
        make_room(text, (size_t)length);
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

void cli_text_add_printable(struct cli_text *text, const char *string) {
    const unsigned char *at = (const unsigned char *)string;
    while (*at) {
        if (*at < 0x20 || *at == 0x7f) {
            cli_text_add(text, "?", 1);
            at++;
        } else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f) {
            cli_text_add(text, "?", 1);
            at += 2;
        } else {
            cli_text_add(text, (const char *)at, 1);
            at++;
        }
    }
}

const char *cli_text_string(const struct cli_text *text) {
    return text->data ? text->data : "";
}
