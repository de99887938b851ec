/* See token.h. */
#include "token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

void token_from_text(struct token *ret, const char *text) {
    crypto_generichash(ret->hash, sizeof ret->hash, (const unsigned char *)text, strlen(text), NULL,
                       0);
    ret->set = true;
}

void token_new(struct token *ret, char ret_text[TOKEN_TEXT_SIZE]) {
    unsigned char bytes[32];
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2base64(ret_text, TOKEN_TEXT_SIZE, bytes, sizeof bytes,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bytes, sizeof bytes);
    token_from_text(ret, ret_text);
}

bool token_equals(const struct token *one, const struct token *other) {
    return sodium_memcmp(one->hash, other->hash, sizeof one->hash) == 0 && one->set && other->set;
}

bool token_matches(const struct token *token, const char *text) {
    struct token given;
    token_from_text(&given, text);
    return token_equals(token, &given);
}

/* ---- files ---- */

static bool complain(const char *path, const char *why) {
    fprintf(stderr, "keybroker-console: %s: %s\n", path, why);
    return false;
}

/* Whoever else reads the token is let in, whoever else writes it says who is. */
static bool is_private(const struct stat *info) {
    return S_ISREG(info->st_mode) && (info->st_uid == geteuid() || info->st_uid == 0) &&
           (info->st_mode & 0177) == 0;
}

static bool take_line(struct token *ret, const char *path, char *line) {
    line[strcspn(line, "\r\n")] = '\0';
    size_t length = strlen(line);
    if (length < TOKEN_LEAST_CHARACTERS || length > TOKEN_MOST_CHARACTERS)
        return complain(path, "a token has 32 to 512 characters (openssl rand -hex 32 makes one)");
    for (const char *at = line; *at; at++)
        if (*at <= ' ' || *at >= 127)
            return complain(path, "a token has printable ASCII characters only");
    token_from_text(ret, line);
    return true;
}

bool token_read_file(struct token *ret, const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) < 0) {
        complain(path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    char line[TOKEN_MOST_CHARACTERS + 3] = "";
    bool done = is_private(&info) ||
                complain(path, "a token's file must be this user's and have mode 0600 or 0400");
    if (done) {
        ssize_t length = read(fd, line, sizeof line - 1);
        done = length >= 0 ? take_line(ret, path, line) : complain(path, strerror(errno));
    }
    close(fd);
    sodium_memzero(line, sizeof line);
    return done;
}
