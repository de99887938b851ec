/*
 * Command lines cut into words as a shell would.
 */
#include "broker/words.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/support/seed.h"

/* The words of `text` joined by '|', or "! " and the problem. */
static const char *cut(const char *text) {
    static char joined[1024];
    char line[512];
    char *words[16];
    const char *problem = NULL;
    cr_assert_lt(strlen(text), sizeof line);
    strcpy(line, text);
    int count = words_split(line, words, 16, &problem);
    if (count < 0) {
        cr_assert_eq(count, -1);
        cr_assert_not_null(problem);
        snprintf(joined, sizeof joined, "! %s", problem);
        return joined;
    }
    cr_assert_null(problem);
    joined[0] = '\0';
    for (int i = 0; i < count; i++) {
        strcat(joined, i ? "|" : "");
        strcat(joined, words[i]);
    }
    return joined;
}

static int count_words(const char *text, size_t max) {
    char line[512];
    char *words[512];
    const char *problem = "untouched";
    strcpy(line, text);
    return words_split(line, words, max, &problem);
}

#define EXPECT(text, words) cr_assert_str_eq(cut(text), words, "%s gives %s", text, cut(text))

Test(words, blanks_separate_and_do_not_count) {
    EXPECT("show keys openai", "show|keys|openai");
    EXPECT("  show \t keys\t", "show|keys");
    cr_assert_eq(count_words("", 16), 0);
    cr_assert_eq(count_words(" \t ", 16), 0);
}

Test(words, single_quotes_take_everything_as_it_is) {
    EXPECT("'a b'", "a b");
    EXPECT("'a\\b\"c'", "a\\b\"c");
    EXPECT("'a\tb'", "a\tb");
}

Test(words, double_quotes_know_two_escapes) {
    EXPECT("\"a b\"", "a b");
    EXPECT("\"say \\\"hi\\\"\"", "say \"hi\"");
    EXPECT("\"back\\\\slash\"", "back\\slash");
    EXPECT("\"\\n \\' \\$\"", "\\n \\' \\$");
}

Test(words, a_backslash_takes_the_next_character_as_it_is) {
    EXPECT("a\\ b", "a b");
    EXPECT("\\'a\\\"", "'a\"");
    EXPECT("\\\\", "\\");
    EXPECT("\\n", "n");
}

Test(words, a_backslash_at_the_end_stands_for_itself) {
    EXPECT("a\\", "a\\");
}

Test(words, quotes_may_stand_within_a_word) {
    EXPECT("name='my key' x", "name=my key|x");
    EXPECT("a\"b\"'c'd", "abcd");
    EXPECT("note=\"\"", "note=");
}

Test(words, an_empty_word_is_a_word) {
    cr_assert_eq(count_words("''", 16), 1);
    cr_assert_eq(count_words("a \"\" b", 16), 3);
    EXPECT("a '' b", "a||b");
    EXPECT("'' ''", "|");
}

Test(words, nothing_is_expanded) {
    EXPECT("$HOME `x` * ~ # ; & | <", "$HOME|`x`|*|~|#|;|&|||<");
}

Test(words, utf_8_passes_through) {
    EXPECT("name=schlüssel '鍵 一'", "name=schlüssel|鍵 一");
}

Test(words, a_quote_that_is_not_closed_is_refused) {
    EXPECT("a 'b", "! a quote is not closed");
    EXPECT("a \"b\\\"", "! a quote is not closed");
    EXPECT("\"", "! a quote is not closed");
    EXPECT("'", "! a quote is not closed");
}

Test(words, control_characters_are_refused_also_in_quotes) {
    EXPECT("a\nb", "! a control character in the line");
    EXPECT("'a\rb'", "! a control character in the line");
    EXPECT("\x1b[2J", "! a control character in the line");
    EXPECT("a\x7f", "! a control character in the line");
}

Test(words, more_than_there_is_room_for_are_refused) {
    cr_assert_eq(count_words("a b c", 3), 3);
    cr_assert_eq(count_words("a b c ", 3), 3);
    cr_assert_eq(count_words("a b c d", 3), -1);
    cr_assert_eq(count_words("", 0), 0);
    cr_assert_eq(count_words("a", 0), -1);
}

/* Quote a word in one of the ways that a shell knows. */
static void quote(struct seed *seed, char *line, const char *word) {
    uint64_t way = seed_below(seed, 3);
    char *at = line + strlen(line);
    if (way == 0 && !strchr(word, '\'')) {
        sprintf(at, "'%s'", word);
        return;
    }
    if (way == 1)
        *at++ = '"';
    for (const char *c = word; *c; c++) {
        bool special = way == 1 ? *c == '"' || *c == '\\' : strchr(" \t\"'\\", *c) != NULL;
        if (special)
            *at++ = '\\';
        *at++ = *c;
    }
    if (way == 1)
        *at++ = '"';
    else if (!*word)
        at = stpcpy(at, "''");
    *at = '\0';
}

Test(words, whatever_was_quoted_comes_back) {
    struct seed seed = seed_begin("words");
    for (int round = 0; round < 2000; round++) {
        char line[1024] = "", expected[8][16];
        size_t count = seed_below(&seed, 8);
        for (size_t i = 0; i < count; i++) {
            size_t length = seed_below(&seed, 12);
            for (size_t j = 0; j < length; j++)
                expected[i][j] = "ab \t'\"\\=#"[seed_below(&seed, 9)];
            expected[i][length] = '\0';
            quote(&seed, line, expected[i]);
            strcat(line, seed_below(&seed, 2) ? " " : " \t ");
        }
        char *words[8], copy[1024];
        const char *problem = NULL;
        strcpy(copy, line);
        cr_assert_eq(words_split(line, words, 8, &problem), (int)count, "%s", copy);
        for (size_t i = 0; i < count; i++)
            cr_assert_str_eq(words[i], expected[i], "%s", copy);
    }
}
