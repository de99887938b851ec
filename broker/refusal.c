/*
 * See refusal.h. Messages quote what callers put into them as it is; whoever prints one on a line
 * of its own protocol escapes it there.
 */
#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message that was cut may end in the middle of a UTF-8 character, and half a character is no
 * text any more: a JSON reply would be refused for it. */
static void drop_half_character(char *text, size_t length) {
    size_t start = length;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (needed > 1 && length - start + 1 < needed)
        text[start - 1] = '\0';
}

int refuse(struct refusal *refusal, int code, const char *reason, const char *field,
           const char *format, ...) {
    if (!refusal)
        return code;
    refusal->code = code;
    snprintf(refusal->reason, sizeof refusal->reason, "%s", reason);
    snprintf(refusal->field, sizeof refusal->field, "%s", field);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(refusal->message, sizeof refusal->message, format, arguments);
    va_end(arguments);
    if (length < 0)
        refusal->message[0] = '\0';
    else if ((size_t)length >= sizeof refusal->message)
        drop_half_character(refusal->message, sizeof refusal->message - 1);
    return code;
}
