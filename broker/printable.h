/*
 * Text that may stand in a list, a log or on a terminal: well-formed UTF-8 without what steers a
 * terminal (C0 and C1 controls), what ends or reorders a line, and what nobody sees, because two
 * names that look alike must be the same name.
 */
#ifndef BROKER_PRINTABLE_H
#define BROKER_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>

/* Length in bytes of the printable character at `text`; 0 = there is none. */
size_t printable_character(const char *text);
/* Is all of it printable? */
bool printable_text(const char *text);
/* Every byte that is no part of a printable character becomes a question mark. */
void printable_replace(char *text);

#endif
