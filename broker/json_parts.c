/* See json_parts.h. */
#include "json_parts.h"

#include <string.h>

enum { BYTES_AT_A_TIME = 16 * 1024 }; /* some tens of microseconds */

static void breathe(struct json_parts *parts, const char *at) {
    if (at < parts->pause_at)
        return;
    parts->pause_at = at + BYTES_AT_A_TIME;
    pause_take(parts->pause);
}

static const char *skip_blanks(struct json_parts *parts, const char *at) {
    for (; at < parts->end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'); at++)
        breathe(parts, at);
    return at;
}

/* Behind the closing quote; the end where there is none. */
static const char *skip_string(struct json_parts *parts, const char *at) {
    for (at++; at < parts->end && *at != '"'; at++) {
        breathe(parts, at);
        if (*at == '\\' && at + 1 < parts->end)
            at++;
    }
    return at < parts->end ? at + 1 : at;
}

static bool is_in(char c, const char *set) {
    return c && strchr(set, c);
}

/* A value begins at `at`; behind its end. What is none is left to its parser. */
static const char *skip_value(struct json_parts *parts, const char *at) {
    size_t depth = 0;
    do {
        breathe(parts, at);
        if (*at == '"') {
            at = skip_string(parts, at);
        } else if (is_in(*at, "{[")) {
            depth++;
            at++;
        } else if (is_in(*at, "}]")) {
            if (!depth)
                return at;
            depth--;
            at++;
        } else if (depth) {
            at++;
        } else {
            for (; at < parts->end && !is_in(*at, ",:{}[]\" \t\r\n"); at++)
                breathe(parts, at);
            return at;
        }
    } while (depth && at < parts->end);
    return at;
}

bool json_parts_begin(struct json_parts *parts, struct json_part text, char open,
                      const struct pause *pause) {
    *parts = (struct json_parts){ .at = text.at,
                                  .end = text.at + text.length,
                                  .pause_at = text.at + BYTES_AT_A_TIME,
                                  .pause = pause,
                                  .close = open == '{' ? '}' : ']' };
    parts->at = skip_blanks(parts, parts->at);
    if (parts->at == parts->end || *parts->at != open)
        return false;
    parts->at = skip_blanks(parts, parts->at + 1);
    return true;
}

static enum json_parts_next finish(struct json_parts *parts) {
    parts->at = skip_blanks(parts, parts->at + 1);
    return parts->at == parts->end ? JSON_PARTS_END : JSON_PARTS_BROKEN;
}

static bool take_part(struct json_parts *parts, struct json_part *ret) {
    if (parts->at == parts->end)
        return false;
    const char *end = skip_value(parts, parts->at);
    *ret = (struct json_part){ parts->at, (size_t)(end - parts->at) };
    if (!ret->length)
        return false;
    parts->at = skip_blanks(parts, end);
    return true;
}

static bool take_char(struct json_parts *parts, char wanted) {
    if (parts->at == parts->end || *parts->at != wanted)
        return false;
    parts->at = skip_blanks(parts, parts->at + 1);
    return true;
}

enum json_parts_next json_parts_next(struct json_parts *parts, struct json_part *ret_name,
                                     struct json_part *ret_value) {
    if (parts->at < parts->end && *parts->at == parts->close)
        return finish(parts);
    if (parts->begun && !take_char(parts, ','))
        return JSON_PARTS_BROKEN;
    parts->begun = true;
    if (parts->at < parts->end && *parts->at == parts->close) /* a comma too many */
        return JSON_PARTS_BROKEN;
    if (parts->close == '}' && (parts->at == parts->end || *parts->at != '"' ||
                                !take_part(parts, ret_name) || !take_char(parts, ':')))
        return JSON_PARTS_BROKEN;
    return take_part(parts, ret_value) ? JSON_PART : JSON_PARTS_BROKEN;
}

json_t *json_part_load(struct json_part part, json_error_t *ret_error) {
    return json_loadb(part.at, part.length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, ret_error);
}
