/* See printable.h. */
#include "printable.h"

#include <stdint.h>

struct range {
    uint32_t first, last;
};

/* Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt): characters without a glyph,
 * direction overrides and tags among them; and the two line ends that are no controls. */
static const struct range UNSEEN[] = {
    { 0xad, 0xad },       { 0x34f, 0x34f },   { 0x61c, 0x61c },     { 0x115f, 0x1160 },
    { 0x17b4, 0x17b5 },   { 0x180b, 0x180f }, { 0x200b, 0x200f },   { 0x2028, 0x202e },
    { 0x2060, 0x206f },   { 0x3164, 0x3164 }, { 0xfe00, 0xfe0f },   { 0xfeff, 0xfeff },
    { 0xffa0, 0xffa0 },   { 0xfff0, 0xfff8 }, { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a },
    { 0xe0000, 0xe0fff },
};

static bool is_unseen(uint32_t point) {
    for (size_t i = 0; i < sizeof UNSEEN / sizeof *UNSEEN; i++)
        if (point >= UNSEEN[i].first && point <= UNSEEN[i].last)
            return true;
    return false;
}

size_t printable_character(const char *text) {
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char first = bytes[0];
    if (first >= 0x20 && first < 0x7f)
        return 1;
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    uint32_t point = first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (bytes[i] & 0x3f);
    }
    static const uint32_t LEAST[] = { 0, 0, 0x80, 0x800, 0x10000 };
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    bool control = point >= 0x80 && point < 0xa0;
    bool bad = point < LEAST[length] || point > 0x10ffff || surrogate || control;
    return bad || is_unseen(point) ? 0 : length;
}

bool printable_text(const char *text) {
    for (size_t length; *text; text += length)
        if (!(length = printable_character(text)))
            return false;
    return true;
}

void printable_replace(char *text) {
    while (*text) {
        size_t length = printable_character(text);
        if (!length)
            *text = '?';
        text += length ? length : 1;
    }
}
