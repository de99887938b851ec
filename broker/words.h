/*
 * A command line cut into words as a shell would: blanks separate; '…' is literal; "…" knows \"
 * \\ ; a backslash outside quotes takes the next character as it is. No expansion of any kind.
 * Pure.
 */
#ifndef BROKER_WORDS_H
#define BROKER_WORDS_H

#include <stddef.h>

enum { WORDS_MAX = 8192 };

/*
 * Cut `line` in place (it is overwritten) into at most `max` words. Returns their number, or -1
 * with a sentence in *ret_problem (a static string): a quote that is not closed, control
 * characters, too many.
 */
int words_split(char *line, char **words, size_t max, const char **ret_problem);

#endif
