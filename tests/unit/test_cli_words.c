/*
 * The command's words: quoting and splitting are each other's inverse, and what looks like a secret
 * is recognised.
 */
#include "client/cli/words.h"
#include "client/cli/text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void expect_split(const char *line, size_t count, const char *const *expected) {
    struct cli_words words = CLI_WORDS_INIT;
    const char *why = cli_words_split(line, &words);
    cr_assert_null(why, "%s: %s", line, why);
    cr_assert_eq(words.count, count, "%s: %zu words", line, words.count);
    for (size_t i = 0; i < count; i++)
        cr_assert_str_eq(words.items[i], expected[i]);
    cli_words_deinit(&words);
}

Test(cli_words, words_split_as_in_a_shell) {
    expect_split("", 0, NULL);
    expect_split(" \t ", 0, NULL);
    expect_split("show  keys\topenai", 3, (const char *const[]){ "show", "keys", "openai" });
    expect_split("a 'b c' \"d \\\" e\" f\\ g", 4,
                 (const char *const[]){ "a", "b c", "d \" e", "f g" });
    expect_split("note='it'\\''s' ''", 2, (const char *const[]){ "note=it's", "" });
    expect_split("\"a\\b\" '\\'", 2, (const char *const[]){ "a\\b", "\\" });
    expect_split("key #7", 2, (const char *const[]){ "key", "#7" });
}

Test(cli_words, an_unfinished_line_is_refused_and_gives_no_words) {
    struct cli_words words = { .count = 42 };
    cr_assert_not_null(cli_words_split("a 'b", &words));
    cr_assert_not_null(cli_words_split("a \"b\\\"", &words));
    cr_assert_not_null(cli_words_split("a b\\", &words));
    cr_assert_eq(words.count, 42);
}

Test(cli_words, every_quoted_word_splits_back_into_itself) {
    static const char alphabet[] = "ab'\"\\ <>#$`|&;()*?=é~!{}";
    srandom(20261123);
    for (int round = 0; round < 2000; round++) {
        struct cli_text line = CLI_TEXT_INIT;
        struct cli_words given = CLI_WORDS_INIT;
        size_t count = 1 + (size_t)random() % 5;
        for (size_t i = 0; i < count; i++) {
            char word[24];
            size_t length = (size_t)random() % (sizeof(word) - 1);
            for (size_t j = 0; j < length; j++)
                word[j] = alphabet[(size_t)random() % (sizeof(alphabet) - 1)];
            word[length] = '\0';
            cli_words_append(&given, word);
        }
        cr_assert(cli_words_join(&line, given.items, given.count));
        expect_split(cli_text_string(&line), given.count, (const char *const *)given.items);
        cli_words_deinit(&given);
        cli_text_deinit(&line);
    }
}

Test(cli_words, no_word_can_end_a_request_line_or_pose_as_a_payload_mark) {
    struct cli_text line = CLI_TEXT_INIT;
    cr_assert_not(cli_words_quote(&line, "a\nb"));
    cr_assert_not(cli_words_quote(&line, "a\rb"));
    cr_assert_not(cli_words_quote(&line, "\x7f"));
    cr_assert_eq(line.length, 0);
    cr_assert(cli_words_quote(&line, "<<5"));
    cr_assert_str_eq(line.data, "'<<5'");
    cli_text_deinit(&line);
}

Test(cli_words, an_api_key_among_the_arguments_is_recognised) {
    cr_assert(cli_word_gives_secret("api_key=sk-1"));
    cr_assert(cli_word_gives_secret("API-KEY=x"));
    cr_assert(cli_word_gives_secret("token=x"));
    cr_assert(cli_word_gives_secret("{\"api_key\":\"x\"}"));
    cr_assert(cli_word_gives_secret("config={\"a\":1}"));
    cr_assert_not(cli_word_gives_secret("config=merge"));
    cr_assert_not(cli_word_gives_secret("key=A"));
    cr_assert_not(cli_word_gives_secret("secrets=yes"));
    cr_assert_not(cli_word_gives_secret("api_key"));
}

Test(cli_words, a_line_with_a_possible_secret_is_not_remembered) {
    cr_assert(cli_line_may_hold_secret("add key openai sk-abc"));
    cr_assert(cli_line_may_hold_secret("exec p -- curl -H 'Authorization: Bearer x'"));
    cr_assert(cli_line_may_hold_secret("show 0123456789abcdef0123456789"));
    cr_assert(cli_line_may_hold_secret("api_key=1"));
    cr_assert_not(cli_line_may_hold_secret("move key openai 'Team A' before #12"));
    cr_assert_not(cli_line_may_hold_secret("set pool openai exceeded-recovery=daily@00:00"));
}

Test(cli_text, a_text_grows_and_hides_control_characters) {
    struct cli_text text = CLI_TEXT_INIT;
    for (int i = 0; i < 1000; i++)
        cli_text_addf(&text, "%d,", i % 10);
    cr_assert_eq(text.length, 2000);
    cli_text_clear(&text);
    cr_assert_str_eq(cli_text_string(&text), "");
    cli_text_add_printable(&text, "a\033[31m\nb\xc2\x9b"
                                  "c é");
    cr_assert_str_eq(text.data, "a?[31m?b?c é");
    cli_text_deinit(&text);
}
