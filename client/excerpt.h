/*
 * The excerpt of a JSON text that can hold an error's fields: members of no interest are left out
 * and long strings cut, so that the parser behind it works on a few hundred bytes whatever the
 * vendor sent, and gets only strings that it accepts. Pure; called by response.c.
 */
#ifndef CLIENT_EXCERPT_H
#define CLIENT_EXCERPT_H

#include <stdbool.h>
#include <stddef.h>

enum { KBI_EXCERPT_DEPTH_MAX = 64, KBI_EXCERPT_STRING_MAX = 160 };

/*
 * `text` begins with { or [; what follows that value is not looked at. Where the text ends early,
 * or goes too deep, the excerpt has every member that was whole by then: the place of a member is
 * known from how the text is built, so nothing quoted is ever taken for one. False when it is not
 * built as JSON is. *ret_length may be more than `room`: then `out` is of no use, and a second call
 * with that much room succeeds.
 */
bool kbi_excerpt(const char *text, size_t length, char *out, size_t room, size_t *ret_length);

#endif
