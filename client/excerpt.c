/*
 * See excerpt.h. A descent through the text, as deep as is allowed and no deeper, that checks how
 * it is built and leaves numbers to the parser. Long strings are cut where neither a character nor
 * an escape is torn; in what is kept, everything that a parser would refuse the whole text for
 * (bytes that are no UTF-8, control characters, half a pair of surrogates) becomes a mark.
 */
#include "excerpt.h"

#include <stdint.h>
#include <string.h>

struct copy {
    const char *at, *end;
    char *out;
    size_t room, length; /* length may grow beyond room: then nothing more is written */
    unsigned skipping;   /* not 0: inside a member of no interest */
    unsigned depth;
};

enum taken { BROKEN, CUT, WHOLE }; /* CUT: what was whole in it is there */

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

static enum taken expect(struct copy *copy, char c) {
    char next = peek(copy);
    if (copy->at == copy->end)
        return CUT;
    copy->at += next == c;
    return next == c ? WHOLE : BROKEN;
}

/* ---- strings ---- */

struct string {
    const char *at;
    size_t length;
    size_t kept; /* how much of it to keep */
};

/* Its value, or -1. */
static int hex_digit(char c) {
    char lower = (char)(c | 0x20);
    if (c >= '0' && c <= '9')
        return c - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Behind the escape at `at`; its hexadecimal digits belong to it. */
static const char *skip_escape(const char *at, const char *end) {
    bool unicode = end - at > 1 && at[1] == 'u';
    at += end - at > 1 ? 2 : 1;
    for (int i = 0; unicode && i < 4 && at < end && hex_digit(*at) >= 0; i++)
        at++;
    return at;
}

/* The quote that ends the string, or the end. Nearly all of a large body is the rest of a string,
 * so this looks for what matters in it rather than at every byte; at each byte at most twice. */
static const char *skip_rest(const char *at, const char *end) {
    const char *quote = at;
    for (;;) {
        if (quote <= at) {
            quote = memchr(at, '"', (size_t)(end - at));
            quote = quote ? quote : end;
        }
        const char *backslash = memchr(at, '\\', (size_t)(quote - at));
        if (!backslash)
            return quote;
        at = skip_escape(backslash, end);
    }
}

static enum taken scan_string(struct copy *copy, struct string *ret_string) {
    enum taken opened = expect(copy, '"');
    if (opened != WHOLE)
        return opened;
    const char *begin = copy->at, *at = begin, *cut = NULL;
    while (at < copy->end && *at != '"' && !cut) {
        if (*at == '\\')
            at = skip_escape(at, copy->end);
        else if (at - begin >= KBI_EXCERPT_STRING_MAX && ((unsigned char)*at & 0xc0) != 0x80)
            cut = at;
        else
            at++;
    }
    if (cut)
        at = skip_rest(cut, copy->end);
    if (at >= copy->end)
        return CUT;
    ret_string->at = begin;
    ret_string->length = (size_t)(at - begin);
    ret_string->kept = cut ? (size_t)(cut - begin) : ret_string->length;
    copy->at = at + 1;
    return WHOLE;
}

/* Length of the UTF-8 character that begins here, 0 = it is none. */
static size_t character(const char *text, size_t left) {
    const unsigned char *at = (const unsigned char *)text;
    size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool none = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return overlong || none ? 0 : length;
}

/* The number in \uXXXX, or -1. */
static int unicode_escape(const char *text, size_t left) {
    int number = 0;
    if (left < 6 || text[0] != '\\' || text[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0)
            return -1;
        number = number * 16 + digit;
    }
    return number;
}

/* Length of the escape that begins here, both halves of a pair together; 0 = it is none. */
static size_t escape(const char *text, size_t left) {
    int number = unicode_escape(text, left);
    if (number < 0)
        return left > 1 && text[1] && strchr("\"\\/bfnrt", text[1]) ? 2 : 0;
    if (number < 0xd800 || number > 0xdfff)
        return 6;
    int low = unicode_escape(text + 6, left - 6);
    return number < 0xdc00 && low >= 0xdc00 && low <= 0xdfff ? 12 : 0;
}

static void put_text(struct copy *copy, const char *text, size_t length) {
    for (size_t done = 0, plain = 0; done < length && !copy->skipping; done += plain) {
        const char *at = text + done;
        for (plain = 0; done + plain < length; plain++) {
            unsigned char c = (unsigned char)at[plain];
            if (c < 0x20 || c >= 0x80 || c == '\\')
                break;
        }
        if (plain == 0) {
            plain = *at == '\\' ? escape(at, length - done) : character(at, length - done);
            if (plain == 0) {
                at = "?";
                plain = 1;
            }
        }
        put(copy, at, plain);
    }
}

static enum taken take_string(struct copy *copy) {
    struct string string;
    enum taken taken = scan_string(copy, &string);
    if (taken == WHOLE) {
        put(copy, "\"", 1);
        put_text(copy, string.at, string.kept);
        put(copy, "\"", 1);
    }
    return taken;
}

/* ---- objects, arrays and the rest ---- */

static bool is_wanted(const struct string *name) {
    static const char NAMES[][20] = {
        "error",      "errors",   "code",         "type",       "__type",
        "status",     "reason",   "message",      "detail",     "msg",
        "details",    "headers",  "retryDelay",   "innererror", "metadata",
        "error_code", "Message",  "limit_source", "error_type", "X-RateLimit-Reset",
        "choices",    "response", "base_resp",    "status_msg", "status_code",
        "violations", "quotaId",  "quotaValue",
    };
    for (size_t i = 0; name->length < sizeof NAMES[0] && i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (NAMES[i][0] == *name->at && NAMES[i][name->length] == '\0' &&
            memcmp(NAMES[i], name->at, name->length) == 0)
            return true;
    return false;
}

static enum taken take_value(struct copy *copy);

/* A value behind what was put for it since `begun`; without a value that goes too. */
static enum taken take_value_of(struct copy *copy, size_t begun, bool *is_first, bool was_first) {
    size_t before = copy->length;
    enum taken taken = take_value(copy);
    if (copy->length == before) {
        copy->length = begun;
        *is_first = was_first;
    }
    return taken;
}

static enum taken take_member(struct copy *copy, bool *is_first) {
    struct string name;
    enum taken taken = scan_string(copy, &name);
    if (taken == WHOLE)
        taken = expect(copy, ':');
    if (taken != WHOLE)
        return taken;
    if (!is_wanted(&name)) {
        copy->skipping++;
        taken = take_value(copy);
        copy->skipping--;
        return taken;
    }
    size_t begun = copy->length;
    bool was_first = *is_first;
    put(copy, was_first ? "\"" : ",\"", was_first ? 1 : 2);
    put(copy, name.at, name.length);
    put(copy, "\":", 2);
    *is_first = false;
    return take_value_of(copy, begun, is_first, was_first);
}

static enum taken take_element(struct copy *copy, bool *is_first) {
    size_t begun = copy->length;
    bool was_first = *is_first;
    if (!was_first)
        put(copy, ",", 1);
    *is_first = false;
    return take_value_of(copy, begun, is_first, was_first);
}

/* An object or an array; one that ends early is closed. */
static enum taken take_several(struct copy *copy, char open, char close,
                               enum taken (*take)(struct copy *, bool *)) {
    bool is_first = true;
    enum taken taken = WHOLE;
    if (copy->depth == KBI_EXCERPT_DEPTH_MAX)
        return CUT;
    copy->depth++;
    copy->at++;
    put(copy, &open, 1);
    if (peek(copy) != close)
        do {
            taken = take(copy, &is_first);
        } while (taken == WHOLE && expect(copy, ',') == WHOLE);
    if (taken == WHOLE)
        taken = expect(copy, close);
    put(copy, &close, 1);
    copy->depth--;
    return taken;
}

/* A number, true, false or null; whether it is one, the parser will say. */
static enum taken take_word(struct copy *copy) {
    const char *begin = copy->at;
    while (copy->at < copy->end && *copy->at && !strchr(",:]}[{\" \t\r\n", *copy->at))
        copy->at++;
    if (copy->at == copy->end)
        return CUT; /* how it goes on is not known */
    if (copy->at == begin)
        return BROKEN;
    put(copy, begin, (size_t)(copy->at - begin));
    return WHOLE;
}

static enum taken take_value(struct copy *copy) {
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
    if (take_value(&copy) == BROKEN)
        return false;
    *ret_length = copy.length;
    return true;
}
