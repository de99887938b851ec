/*
 * The excerpt of a JSON text that can hold an error's fields: members of no interest are left out
 * and long strings cut, so that the parser behind it works on a few hundred bytes whatever the
 * vendor sent. Pure; called by response.c.
 */
#ifndef CLIENT_EXCERPT_H
#define CLIENT_EXCERPT_H

#include <stdbool.h>
#include <stddef.h>

enum { KBI_EXCERPT_DEPTH_MAX = 64, KBI_EXCERPT_STRING_MAX = 256 };

/*
 * `text` begins with { or [; what follows that value is not looked at. False when the value is not
 * whole, not built as JSON is, or too deep. *ret_length may be more than `room`: then `out` is of
 * no use, but the value is whole.
 */
bool kbi_excerpt(const char *text, size_t length, char *out, size_t room, size_t *ret_length);

#endif
