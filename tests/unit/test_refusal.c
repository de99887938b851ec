/*
 * Refusals: every field is filled and bounded, and a message that was cut is still UTF-8.
 */
#include "refusal.h"

#include <string.h>

#include <jansson.h>

#include <criterion/criterion.h>

Test(refusal, a_refusal_is_filled_and_its_code_returned) {
    struct refusal refusal;
    memset(&refusal, 0x5a, sizeof refusal);
    cr_assert_eq(refuse(&refusal, REFUSED_RULE, "no-such-key", "key", "no key #%d", 7), 409);
    cr_assert_eq(refusal.code, REFUSED_RULE);
    cr_assert_str_eq(refusal.reason, "no-such-key");
    cr_assert_str_eq(refusal.field, "key");
    cr_assert_str_eq(refusal.message, "no key #7");
}

Test(refusal, a_refusal_that_nobody_wants_is_only_its_code) {
    cr_assert_eq(refuse(NULL, REFUSED_SYNTAX, "bad", "", "%s", "anything"), 400);
}

Test(refusal, a_message_is_never_cut_inside_a_character) {
    const char *const characters[] = { "x", "é", "€", "😀" };
    const size_t room = sizeof((struct refusal *)0)->message - 1;
    for (size_t c = 0; c < sizeof characters / sizeof *characters; c++) {
        size_t width = strlen(characters[c]);
        for (size_t shift = 0; shift < width; shift++) {
            char text[512] = "";
            memset(text, '.', shift);
            while (strlen(text) < 300)
                strcat(text, characters[c]);
            struct refusal refusal;
            refuse(&refusal, REFUSED_SYNTAX, "bad", "", "%s", text);
            size_t whole = shift + (room - shift) / width * width;
            cr_assert_eq(strlen(refusal.message), whole, "%s shifted by %zu", characters[c], shift);
            cr_assert_eq(strncmp(refusal.message, text, whole), 0);
            json_t *string = json_string(refusal.message);
            cr_assert_not_null(string);
            json_decref(string);
        }
    }
}
