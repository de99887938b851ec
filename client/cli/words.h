/*
 * Words as a shell writes them: splitting a typed line and quoting words for the admin socket's
 * request line. Pure; also knows what a secret on a command line looks like.
 */
#ifndef KEYBROKER_CLI_WORDS_H
#define KEYBROKER_CLI_WORDS_H

#include <stdbool.h>
#include <stddef.h>

struct cli_text;

struct cli_words {
    char **items;
    size_t count;
};
#define CLI_WORDS_INIT                                                                             \
    { 0 }

/*
 * Split `line`: words are separated by blanks; '…' is literal, inside "…" a backslash escapes " and
 * \, outside quotes it escapes anything. Nothing is expanded and # is an ordinary character (#7
 * names a key). Returns NULL and the words, or what is wrong with the line (static text).
 */
const char *cli_words_split(const char *line, struct cli_words *ret_words);
/* Append a copy of `word`. */
void cli_words_append(struct cli_words *words, const char *word);
void cli_words_deinit(struct cli_words *words);

/* Append `word`, quoted where needed so that it splits back into itself. False, and nothing is
 * added, for a word that no request line can carry (control characters). */
bool cli_words_quote(struct cli_text *text, const char *word);

/* Append all words, separated by single blanks; false as above. */
bool cli_words_join(struct cli_text *text, char *const *words, size_t count);

/* NAME=VALUE whose name says that the value is a secret, or a whole configuration. */
bool cli_word_gives_secret(const char *word);

/* A line that may hold a secret somewhere and must not be remembered. Errs on the safe side. */
bool cli_line_may_hold_secret(const char *line);

#endif
