/*
 * Text that may stand in a list, a log or on a terminal.
 */
#include "broker/printable.h"

#include <string.h>

#include <criterion/criterion.h>

Test(printable, what_people_write_is_printable) {
    static const char *const TEXTS[] = { "",       "team a", "~!@$", "Schlüssel",       "ключ",
                                         "キー 1", "مفتاح",  "🔑",    "\xf4\x8f\xbf\xbd" };
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        cr_expect(printable_text(TEXTS[i]), "%s", TEXTS[i]);
}

Test(printable, what_steers_a_terminal_or_is_no_text_is_not) {
    static const char *const TEXTS[] = { "\x1b[2J",     "a\nb",         "\x7f",
                                         "\x80",        "\xc2\x9b;2J",  "\xc3",
                                         "\xc0\xaf",    "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                         "\xe2\x80\xa8" };
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        cr_expect_not(printable_text(TEXTS[i]), "number %zu", i);
}

Test(printable, what_nobody_sees_is_not) {
    static const char *const UNSEEN[] = {
        "\u00ad", "\u034f", "\u061c",     "\u115f",     "\u180e",     "\u200b",     "\u200d",
        "\u202e", "\u2060", "\u2064",     "\u2066",     "\u206f",     "\u3164",     "\ufe0f",
        "\ufeff", "\uffa0", "\U000e0001", "\U000e0041", "\U000e007f", "\U000e0100",
    };
    for (size_t i = 0; i < sizeof UNSEEN / sizeof *UNSEEN; i++) {
        char text[16] = "a";
        strcat(text, UNSEEN[i]);
        cr_expect_not(printable_text(text), "number %zu", i);
        cr_expect_eq(printable_character(UNSEEN[i]), 0);
    }
}

Test(printable, each_byte_of_what_is_not_becomes_a_question_mark) {
    char text[] = "a\xc2\x9b"
                  "b\n\xff\u202e\u00fc";
    printable_replace(text);
    cr_expect_str_eq(text, "a??b??\?\?\?\u00fc");
}
