/* See model_text.h: names and texts that people choose. */
#include "model_text.h"

#include <string.h>

int model_check_pool_name(const char *name, struct refusal *refusal) {
    size_t length = strlen(name);
    bool sound = length >= 1 && length <= POOL_NAME_MAX && name[0] != '.' && name[0] != '_' &&
                 name[0] != '-' &&
                 strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == length;
    if (sound)
        return 0;
    return refuse(refusal, REFUSED_SYNTAX, "bad-pool-name", "POOL",
                  "a pool's name is 1-48 of a-z 0-9 . _ - and begins with a letter or digit");
}

/* Length in bytes of the well-formed, printable UTF-8 character at `text`; 0 = it is none. */
static size_t character(const unsigned char *text) {
    unsigned char first = text[0];
    if (first >= 0x20 && first < 0x7f)
        return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    uint32_t point = first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (text[i] & 0x3f);
    }
    static const uint32_t LEAST[] = { 0, 0, 0x80, 0x800, 0x10000 };
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    bool control = point >= 0x80 && point < 0xa0;
    /* Direction overrides and line separators would let a name disguise the line it stands in. */
    bool disguise = (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
                    (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
    return point < LEAST[length] || point > 0x10ffff || surrogate || control || disguise ? 0
                                                                                         : length;
}

/* Characters in `text`, or -1 if one of them is not printable UTF-8. */
static int count_characters(const char *text) {
    int count = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at; count++) {
        size_t length = character(at);
        if (!length)
            return -1;
        at += length;
    }
    return count;
}

bool model_is_printable(const char *text) {
    return count_characters(text) >= 0;
}

int model_check_label(const char *text, const char *field, struct refusal *refusal) {
    int count = count_characters(text);
    if (count >= 1 && count <= NAME_MAX_CHARS && text[0] != '#' && text[0] != ' ' &&
        text[strlen(text) - 1] != ' ')
        return 0;
    return refuse(refusal, REFUSED_SYNTAX, "bad-name", field,
                  "%s: 1-64 printable characters, not beginning with # or white space", field);
}

int model_check_note(const char *note, struct refusal *refusal) {
    int count = count_characters(note);
    if (count >= 0 && count <= 1024)
        return 0;
    return refuse(refusal, REFUSED_SYNTAX, "bad-note", "note",
                  "a note has at most 1024 printable characters");
}
