/*
 * See body.h. Every answer that worked comes through here, so what is looked at is bounded, and it
 * is only looked for names: an answer's own text can't look like one, because in a JSON string a
 * quote stands behind a backslash and a line does not end.
 *
 * What is looked at is made of whole lines, because an error of which only the message is there
 * would be judged by half of what it says. And the last one counts most: it is what ended the
 * answer, while of those before some may be empty objects with which a vendor says that all is
 * well.
 */
#include "body.h"

#include <string.h>

enum {
    PIECES_MAX = 64, /* of a window: its last ones */
    FIELDS_MAX = 4,  /* of an event, before its data */
};

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

/* The last pieces of a window, in a ring. */
struct pieces {
    struct kbi_piece last[PIECES_MAX];
    size_t count; /* also of those that gave way */
};

/* In lines of an event stream, or of JSON. */
static void find_pieces(struct span text, struct pieces *pieces) {
    static const char STATUS[] = ":HTTP_STATUS/";
    struct kbi_piece piece = { .length = 0 };
    bool any = may_fail(text), open = false;
    for (; text.length > 0; text = behind_line(text)) {
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
        pieces->last[pieces->count++ % PIECES_MAX] = piece;
    }
}

static bool search_lines(struct span text, kbi_piece_fn fn, void *userdata) {
    struct pieces pieces;
    pieces.count = 0;
    find_pieces(text, &pieces);
    size_t oldest = pieces.count > PIECES_MAX ? pieces.count - PIECES_MAX : 0;
    for (size_t i = pieces.count; i > oldest; i--)
        if (fn(&pieces.last[(i - 1) % PIECES_MAX], userdata))
            return true;
    return false;
}

/* Without a last line that has no end. */
static struct span whole_lines(struct span text) {
    const char *newline = memrchr(text.at, '\n', text.length);
    return (struct span){ text.at, newline ? (size_t)(newline + 1 - text.at) : 0 };
}

/* Where the line begins in which `at` stands, or whose end it is; NULL = before `from`. */
static const char *begin_of_line(struct span text, const char *from, const char *at) {
    const char *newline = memrchr(from, '\n', (size_t)(at - from));
    if (newline)
        return newline + 1;
    return from == text.at ? from : NULL;
}

/* Back over the fields that belong to the data at `line`. */
static const char *begin_of_event(struct span text, const char *from, const char *line) {
    for (int i = 0; i < FIELDS_MAX && line > from; i++) {
        const char *before = begin_of_line(text, from, line - 1);
        if (!before || *before == '\n' || *before == '\r' ||
            !precedes_data((struct span){ before, (size_t)(line - before) }))
            break;
        line = before;
    }
    return line;
}

static struct span up_to(struct span text, size_t bytes) {
    return (struct span){ text.at, text.length < bytes ? text.length : bytes };
}

/* Its end, from the beginning of the event in which that begins. Of one that began long before,
 * which repeats the whole request, the beginning is looked at as well: there its error stands. */
static bool search_end(struct span text, bool is_document, kbi_piece_fn fn, void *userdata) {
    struct span end = skip(text, text.length > KBI_GOOD_LOOK ? text.length - KBI_GOOD_LOOK : 0);
    const char *from = end.at - text.at > KBI_LOOK_BACK ? end.at - KBI_LOOK_BACK : text.at;
    const char *line = begin_of_line(text, from, end.at);
    if (!line || (is_document && line == text.at)) /* a document's beginning is looked at anyhow */
        return search_lines(behind_line(end), fn, userdata);
    const char *event = begin_of_event(text, from, line);
    struct span whole = skip(text, (size_t)(event - text.at));
    if (whole.length <= KBI_GOOD_WHOLE)
        return search_lines(whole, fn, userdata);
    if (search_lines(behind_line(end), fn, userdata))
        return true;
    struct span begin = line_of(up_to(skip(text, (size_t)(line - text.at)), KBI_GOOD_LOOK));
    return search_lines(up_to(whole, (size_t)(line - event) + begin.length), fn, userdata);
}

bool kbi_body_search(const char *body, size_t length, kbi_piece_fn fn, void *userdata) {
    bool is_long = length > KBI_GOOD_WHOLE;
    struct span head = skip_mark(body, is_long ? KBI_GOOD_LOOK : length), lines = head;
    struct span text = { head.at, length - (size_t)(head.at - body) };
    if (is_long && search_end(text, is_json(head), fn, userdata))
        return true;
    if (is_json(head)) {
        struct kbi_piece whole = { .at = head.at, .length = head.length };
        if (may_fail(head) && fn(&whole, userdata))
            return true;
        /* One object a line; of an array all elements were looked at. */
        if (!begins(head, "{") || !ends_object(line_of(head)))
            return false;
        lines = behind_line(head);
    }
    return search_lines(is_long ? whole_lines(lines) : lines, fn, userdata);
}
