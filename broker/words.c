/* See words.h. */
#include "words.h"

#include <stdbool.h>

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool is_control(char c) {
    return ((unsigned char)c < ' ' && c != '\t') || c == 127;
}

/* Copy one word from *at to `out` (which never overtakes it); false: a quote was not closed. */
static bool cut_word(char **at, char *out) {
    char quote = 0;
    for (; **at && (quote || !is_blank(**at)); (*at)++) {
        char c = **at;
        if (quote && c == quote) {
            quote = 0;
        } else if (!quote && (c == '"' || c == '\'')) {
            quote = c;
        } else {
            bool escapes = c == '\\' && quote != '\'' && (*at)[1];
            if (escapes && (!quote || (*at)[1] == '"' || (*at)[1] == '\\'))
                c = *++*at;
            *out++ = c;
        }
    }
    if (**at)
        (*at)++; /* the blank, before `out` may overwrite it */
    *out = '\0';
    return quote == 0;
}

int words_split(char *line, char **words, size_t max, const char **ret_problem) {
    for (const char *at = line; *at; at++)
        if (is_control(*at)) {
            *ret_problem = "a control character in the line";
            return -1;
        }
    size_t count = 0;
    for (char *at = line;;) {
        while (is_blank(*at))
            at++;
        if (!*at)
            return (int)count;
        if (count == max) {
            *ret_problem = "too many words";
            return -1;
        }
        words[count++] = at;
        char *word = at;
        if (!cut_word(&at, word)) {
            *ret_problem = "a quote is not closed";
            return -1;
        }
    }
}
