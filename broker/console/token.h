/*
 * Tokens: what lets a browser in (a one-time token, or the one of --token-file) and what lets a
 * collector read /metrics. Only hashes are kept, compared in constant time. Who guesses is slowed
 * down before anything is compared: patience.h.
 */
#ifndef CONSOLE_TOKEN_H
#define CONSOLE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOKEN_HASH_BYTES = 32,
    TOKEN_TEXT_SIZE = 44, /* 32 random bytes in URL-safe base64, and a NUL */
    TOKEN_LEAST_CHARACTERS = 32,
    TOKEN_MOST_CHARACTERS = 512,
};

struct token {
    bool set;
    unsigned char hash[TOKEN_HASH_BYTES];
};

/* A new random token; only `ret_text` knows it. */
void token_new(struct token *ret, char ret_text[TOKEN_TEXT_SIZE]);
void token_from_text(struct token *ret, const char *text);
bool token_equals(const struct token *one, const struct token *other);
bool token_matches(const struct token *token, const char *text);

/* The token in a file: its first line. Refused unless the file is this user's (or root's), nobody
 * else may read it, and it is long enough. False: explained on stderr. */
bool token_read_file(struct token *ret, const char *path);

#endif
