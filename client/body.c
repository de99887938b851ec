/*
 * See body.h. Every answer that worked comes through here, so what is looked at is bounded, and it
 * is only looked for names: an answer's own text can't look like one, because in a JSON string a
 * quote stands behind a backslash and a line does not end.
 */
#include "body.h"

#include <string.h>

enum { PIECES_MAX = 64 }; /* of a window; more of them with an error's name in them are nonsense */

struct span {
    const char *at;
    size_t length;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static struct span skip(struct span text, size_t bytes) {
    return (struct span){ text.at + bytes, text.length - bytes };
}

static bool begins(struct span text, const char *prefix) {
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.at, prefix, length) == 0;
}

/* Without its end. */
static struct span line_of(struct span text) {
    const char *newline = memchr(text.at, '\n', text.length);
    size_t length = newline ? (size_t)(newline - text.at) : text.length;
    return (struct span){ text.at, length };
}

static struct span behind_line(struct span text) {
    size_t length = line_of(text).length;
    return skip(text, length < text.length ? length + 1 : length);
}

static struct span skip_blanks(struct span text) {
    while (text.length > 0 && (is_blank(*text.at) || *text.at == '\r' || *text.at == '\n'))
        text = skip(text, 1);
    return text;
}

static struct span skip_mark(const char *body, size_t length) {
    struct span text = { body, length };
    return skip_blanks(begins(text, "\xef\xbb\xbf") ? skip(text, 3) : text);
}

static bool is_json(struct span text) {
    return begins(text, "{") || begins(text, "[");
}

/* ---- a failed answer ---- */

/* Is this line what may stand before the first data of an event stream? */
static bool precedes_data(struct span line) {
    return line.length == 0 || (line.length == 1 && *line.at == '\r') || begins(line, ":") ||
           begins(line, "event:") || begins(line, "id:") || begins(line, "retry:");
}

struct kbi_piece kbi_body_first(const char *body, size_t length) {
    struct span text = skip_mark(body, length < KBI_BODY_MAX ? length : KBI_BODY_MAX);
    while (text.length > 0 && !is_json(text)) {
        struct span line = line_of(text);
        if (begins(line, "data:")) {
            text = skip_blanks(skip(line, 5));
            break;
        }
        text = precedes_data(line) ? behind_line(text) : skip(text, text.length);
    }
    return (struct kbi_piece){ .at = text.at, .length = is_json(text) ? text.length : 0 };
}

/* ---- an answer that worked ---- */

/* Is there a name that an error hides behind, with something other than null? */
static bool may_fail(struct span text) {
    static const char ERROR[] = "\"error\"";
    if (memmem(text.at, text.length, "\"base_resp\"", 11))
        return true;
    for (;;) {
        const char *found = memmem(text.at, text.length, ERROR, sizeof ERROR - 1);
        if (!found)
            return false;
        text = skip_blanks(skip(text, (size_t)(found - text.at) + sizeof ERROR - 1));
        if (!begins(text, ":") || !begins(skip_blanks(skip(text, 1)), "null"))
            return true;
    }
}

/* The field's value, without the blanks around it. */
static struct span value_of(struct span line, size_t name) {
    struct span value = skip_blanks(skip(line, name));
    while (value.length > 0 &&
           (is_blank(value.at[value.length - 1]) || value.at[value.length - 1] == '\r'))
        value.length--;
    return value;
}

static bool ends_object(struct span line) {
    struct span value = value_of(line, 0);
    return value.length > 0 && value.at[value.length - 1] == '}';
}

static int status_in(struct span text) {
    int status = 0;
    for (size_t i = 0; i < text.length && i < 3; i++)
        status = text.at[i] >= '0' && text.at[i] <= '9' ? status * 10 + (text.at[i] - '0') : 0;
    return status >= 400 && status <= 599 ? status : 0;
}

/* An object that begins at the beginning of a line: it ends there too, if not on the same one. One
 * whose end is not here is taken as far as it is. */
static struct span object_of(struct span text) {
    struct span line = line_of(text);
    const char *end = ends_object(line) ? NULL : memmem(text.at, text.length, "\n}", 2);
    if (end)
        line.length = (size_t)(end - text.at) + 2;
    else if (!ends_object(line))
        line.length = text.length;
    return line;
}

/* Lines of an event stream, or of JSON. */
static bool search_lines(struct span text, kbi_piece_fn fn, void *userdata) {
    static const char STATUS[] = ":HTTP_STATUS/";
    struct kbi_piece piece = { .length = 0 };
    bool any = may_fail(text), open = false;
    for (int left = PIECES_MAX; text.length > 0 && left > 0; text = behind_line(text)) {
        struct span line = line_of(text), data = { text.at, 0 };
        if (begins(line, "data:")) {
            data = skip_blanks(skip(line, 5));
        } else if (any && begins(line, "{") && !open) {
            data = object_of(text);
            open = data.length == text.length && data.length > line.length;
            text = open ? text : skip(text, data.length - 1);
        } else if (begins(line, "event:")) {
            struct span name = value_of(line, 6);
            piece.is_error = name.length == 5 && begins(name, "error");
        } else if (begins(line, STATUS)) {
            piece.status = status_in(skip(line, sizeof STATUS - 1));
        } else if (value_of(line, 0).length == 0) {
            piece = (struct kbi_piece){ .length = 0 };
        }
        if (!is_json(data) || !(piece.is_error || (any && may_fail(data))))
            continue;
        piece.at = data.at;
        piece.length = data.length;
        left--;
        if (fn(&piece, userdata))
            return true;
    }
    return false;
}

bool kbi_body_search(const char *body, size_t length, kbi_piece_fn fn, void *userdata) {
    struct span head = skip_mark(body, length < KBI_GOOD_LOOK ? length : KBI_GOOD_LOOK);
    if (is_json(head)) {
        struct kbi_piece whole = { .at = head.at, .length = head.length };
        if (may_fail(head) && fn(&whole, userdata))
            return true;
        /* One object a line; of an array all elements were looked at. */
        if (begins(head, "{") && ends_object(line_of(head)) &&
            search_lines(behind_line(head), fn, userdata))
            return true;
    } else if (search_lines(head, fn, userdata)) {
        return true;
    }
    if (length <= KBI_GOOD_LOOK)
        return false;
    struct span end = { body + length - KBI_GOOD_LOOK, KBI_GOOD_LOOK };
    return search_lines(behind_line(end), fn, userdata);
}
