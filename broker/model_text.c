/* See model_text.h: names and texts that people choose. */
#include "model_text.h"

#include <string.h>

#include "printable.h"

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

/* Characters in `text`, or -1 if one of them is not printable. */
static int count_characters(const char *text) {
    int count = 0;
    for (size_t length; *text; text += length, count++)
        if (!(length = printable_character(text)))
            return -1;
    return count;
}

int model_check_label(const char *text, const char *field, struct refusal *refusal) {
    int count = count_characters(text);
    if (count >= 1 && count <= NAME_MAX_CHARS && text[0] != '#' && text[0] != ' ' &&
        text[strlen(text) - 1] != ' ')
        return 0;
    return refuse(refusal, REFUSED_SYNTAX, "bad-name", field,
                  "%s: 1-64 visible characters, not beginning with # or white space", field);
}

int model_check_note(const char *note, struct refusal *refusal) {
    int count = count_characters(note);
    if (count >= 0 && count <= 1024)
        return 0;
    return refuse(refusal, REFUSED_SYNTAX, "bad-note", "note",
                  "a note has at most 1024 visible characters");
}
