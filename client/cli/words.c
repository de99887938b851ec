/*
 * Splitting and quoting of words; see words.h. Called by the request builder, the prompt and
 * completion. Does no I/O.
 */
#include "words.h"
#include "text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void cli_words_append(struct cli_words *words, const char *word) {
    /* Capacity grows in powers of two: the count itself says when it is exhausted. */
    if ((words->count & (words->count - 1)) == 0) {
        size_t capacity = words->count ? words->count * 2 : 1;
        words->items = cli_must(realloc(words->items, capacity * sizeof(char *)));
    }
    words->items[words->count++] = cli_must(strdup(word));
}

void cli_words_deinit(struct cli_words *words) {
    for (size_t i = 0; i < words->count; i++) {
        explicit_bzero(words->items[i], strlen(words->items[i]));
        free(words->items[i]);
    }
    free(words->items);
    *words = (struct cli_words)CLI_WORDS_INIT;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Reads one word that begins at *at. Returns NULL or what is wrong. */
static const char *split_one(const char **at, struct cli_text *word) {
    const char *p = *at;
    char quote = 0;
    for (; *p && (quote || !is_blank(*p)); p++) {
        if (quote == '\'') {
            if (*p == '\'')
                quote = 0;
            else
                cli_text_add(word, p, 1);
        } else if (*p == '\\') {
            if (!p[1])
                return "the line ends in a backslash";
            bool escapes = !quote || p[1] == '"' || p[1] == '\\';
            if (escapes)
                p++;
            cli_text_add(word, p, 1);
        } else if (quote) {
            if (*p == '"')
                quote = 0;
            else
                cli_text_add(word, p, 1);
        } else if (*p == '\'' || *p == '"') {
            quote = *p;
        } else {
            cli_text_add(word, p, 1);
        }
    }
    *at = p;
    return quote ? "a quote is not closed" : NULL;
}

const char *cli_words_split(const char *line, struct cli_words *ret_words) {
    struct cli_words words = CLI_WORDS_INIT;
    struct cli_text word = CLI_TEXT_INIT;
    const char *why = NULL;
    for (const char *at = line;;) {
        while (is_blank(*at))
            at++;
        if (!*at)
            break;
        cli_text_clear(&word);
        cli_text_adds(&word, "");
        why = split_one(&at, &word);
        if (why)
            break;
        cli_words_append(&words, cli_text_string(&word));
    }
    cli_text_deinit(&word);
    if (why)
        cli_words_deinit(&words);
    else
        *ret_words = words;
    return why;
}

static bool is_plain(unsigned char c) {
    return isalnum(c) || c >= 0x80 || (c && strchr("_-./:=@,+%", c));
}

bool cli_words_quote(struct cli_text *text, const char *word) {
    bool plain = *word != '\0';
    for (const char *p = word; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f)
            return false;
        plain = plain && is_plain(c);
    }
    if (plain) {
        cli_text_adds(text, word);
        return true;
    }
    cli_text_add(text, "'", 1);
    for (const char *p = word; *p; p++) {
        if (*p == '\'')
            cli_text_adds(text, "'\\''");
        else
            cli_text_add(text, p, 1);
    }
    cli_text_add(text, "'", 1);
    return true;
}

bool cli_words_join(struct cli_text *text, char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (i)
            cli_text_add(text, " ", 1);
        if (!cli_words_quote(text, words[i]))
            return false;
    }
    return true;
}

static const char *const secret_names[] = { "api_key", "api-key", "apikey",   "api_secret",
                                            "secret",  "token",   "password", "auth_header" };

bool cli_word_gives_secret(const char *word) {
    const char *equals = strchr(word, '=');
    if (!equals)
        return *word == '{';
    size_t length = (size_t)(equals - word);
    for (size_t i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]); i++) {
        if (strlen(secret_names[i]) == length && !strncasecmp(word, secret_names[i], length))
            return true;
    }
    return length == strlen("config") && !strncasecmp(word, "config", length) && equals[1] == '{';
}

bool cli_line_may_hold_secret(const char *line) {
    static const char *const beginnings[] = { "sk-",  "sk_",  "AIza", "AQ.",    "gsk_",
                                              "xai-", "ABSK", "eyJ",  "Bearer", "\"api" };
    for (size_t i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]); i++) {
        const char *found = strcasestr(line, secret_names[i]);
        if (found && (found[strlen(secret_names[i])] == '=' || strchr(line, '{')))
            return true;
    }
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        if (strstr(line, beginnings[i]))
            return true;
    }
    /* A run of 24 letters and digits is no name that a person types. */
    size_t run = 0;
    for (const char *p = line; *p; p++) {
        run = isalnum((unsigned char)*p) ? run + 1 : 0;
        if (run >= 24)
            return true;
    }
    return false;
}
