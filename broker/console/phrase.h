/*
 * A phrase: one command for the broker, made of what the page sent as JSON. Only commands that the
 * page needs are let through (never one that shows a secret or reads or writes a file); words are
 * quoted so that each arrives as it was, and a payload travels by its length. Pure.
 */
#ifndef CONSOLE_PHRASE_H
#define CONSOLE_PHRASE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "../buffer.h"
#include "../refusal.h"

enum {
    PHRASE_BODY_MAX = 64 * 1024,             /* of the page's request … */
    PHRASE_LARGE_BODY_MAX = 8 * 1024 * 1024, /* … of an import or an order of many keys */
    PHRASE_LINE_MAX = 60 * 1024,             /* the broker takes 64 KiB */
};

struct phrase {
    struct buffer bytes; /* line and payload as the admin socket wants them; may hold a secret */
    bool changes;        /* not one of `show …` */
};

/*
 * {"words":["add","key","openai"],"payload":…} with `size` bytes → *ret. The payload may be absent,
 * an object, an array, or a string (sent as it is: a bare API key). 0, or a refusal's code and *ret
 * untouched.
 */
int phrase_read(struct phrase *ret, const char *body, size_t size, struct refusal *refusal);
void phrase_deinit(struct phrase *phrase);

/* Append one word as the admin socket's lines have it. False: it has a control character, which no
 * line can have, or there is no memory. */
bool phrase_quote(struct buffer *out, const char *word);

#endif
