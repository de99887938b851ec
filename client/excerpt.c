/*
 * See excerpt.h. A descent through the text, as deep as is allowed and no deeper, that checks how
 * it is built and leaves everything finer (escapes, numbers, UTF-8) to the parser. Long strings are
 * cut where neither a character nor an escape is torn.
 */
#include "excerpt.h"

#include <string.h>

struct copy {
    const char *at, *end;
    char *out;
    size_t room, length; /* length may grow beyond room: then nothing more is written */
    unsigned skipping;   /* not 0: inside a member of no interest */
    unsigned depth;
};

static void put(struct copy *copy, const char *text, size_t length) {
    if (copy->skipping)
        return;
    if (copy->length + length <= copy->room)
        memcpy(copy->out + copy->length, text, length);
    copy->length += length;
}

/* The next character that is not space, or NUL at the end; it stays. */
static char peek(struct copy *copy) {
    while (copy->at < copy->end &&
           (*copy->at == ' ' || *copy->at == '\t' || *copy->at == '\r' || *copy->at == '\n'))
        copy->at++;
    return copy->at < copy->end ? *copy->at : '\0';
}

static bool expect(struct copy *copy, char c) {
    if (peek(copy) != c || c == '\0')
        return false;
    copy->at++;
    return true;
}

/* Everything between the quotes; *ret_cut is how much of it to keep. */
static bool scan_string(struct copy *copy, const char **ret_begin, size_t *ret_length,
                        size_t *ret_cut) {
    if (!expect(copy, '"'))
        return false;
    const char *begin = copy->at, *at = begin, *cut = NULL;
    while (at < copy->end && *at != '"') {
        if (*at == '\\') {
            bool unicode = copy->end - at > 1 && at[1] == 'u';
            at += copy->end - at > 1 ? 2 : 1;
            for (int i = 0; unicode && i < 4 && at < copy->end && *at != '"'; i++)
                at++;
            continue;
        }
        if (!cut && at - begin >= KBI_EXCERPT_STRING_MAX && ((unsigned char)*at & 0xc0) != 0x80)
            cut = at;
        at++;
    }
    if (at >= copy->end)
        return false;
    *ret_begin = begin;
    *ret_length = (size_t)(at - begin);
    *ret_cut = cut ? (size_t)(cut - begin) : *ret_length;
    copy->at = at + 1;
    return true;
}

static bool take_string(struct copy *copy) {
    const char *begin;
    size_t length, cut;
    if (!scan_string(copy, &begin, &length, &cut))
        return false;
    put(copy, "\"", 1);
    put(copy, begin, cut);
    put(copy, "\"", 1);
    return true;
}

static bool is_wanted(const char *name, size_t length) {
    static const char NAMES[][16] = {
        "error",      "errors",   "code",       "type",       "__type",  "status",
        "reason",     "message",  "detail",     "msg",        "details", "retryDelay",
        "innererror", "metadata", "error_code", "error_type", "Message",
    };
    for (size_t i = 0; length < sizeof NAMES[0] && i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (memcmp(NAMES[i], name, length) == 0 && NAMES[i][length] == '\0')
            return true;
    return false;
}

static bool take_value(struct copy *copy);

static bool take_member(struct copy *copy, bool *is_first) {
    const char *name;
    size_t length, cut;
    if (!scan_string(copy, &name, &length, &cut) || !expect(copy, ':'))
        return false;
    if (!is_wanted(name, length)) {
        copy->skipping++;
        bool whole = take_value(copy);
        copy->skipping--;
        return whole;
    }
    put(copy, *is_first ? "\"" : ",\"", *is_first ? 1 : 2);
    put(copy, name, length);
    put(copy, "\":", 2);
    *is_first = false;
    return take_value(copy);
}

static bool take_element(struct copy *copy, bool *is_first) {
    if (!*is_first)
        put(copy, ",", 1);
    *is_first = false;
    return take_value(copy);
}

/* An object or an array. */
static bool take_several(struct copy *copy, char open, char close,
                         bool (*take)(struct copy *, bool *)) {
    bool is_first = true;
    if (++copy->depth > KBI_EXCERPT_DEPTH_MAX)
        return false;
    copy->at++;
    put(copy, &open, 1);
    if (peek(copy) != close)
        do {
            if (!take(copy, &is_first))
                return false;
        } while (expect(copy, ','));
    if (!expect(copy, close))
        return false;
    put(copy, &close, 1);
    copy->depth--;
    return true;
}

/* A number, true, false or null; whether it is one, the parser will say. */
static bool take_word(struct copy *copy) {
    const char *begin = copy->at;
    while (copy->at < copy->end && *copy->at && !strchr(",:]}[{\" \t\r\n", *copy->at))
        copy->at++;
    put(copy, begin, (size_t)(copy->at - begin));
    return copy->at > begin;
}

static bool take_value(struct copy *copy) {
    switch (peek(copy)) {
    case '{':
        return take_several(copy, '{', '}', take_member);
    case '[':
        return take_several(copy, '[', ']', take_element);
    case '"':
        return take_string(copy);
    default:
        return take_word(copy);
    }
}

bool kbi_excerpt(const char *text, size_t length, char *out, size_t room, size_t *ret_length) {
    struct copy copy = { .at = text, .end = text + length, .out = out, .room = room };
    if (!take_value(&copy))
        return false;
    *ret_length = copy.length;
    return true;
}
