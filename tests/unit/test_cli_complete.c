/*
 * Tab completion: what the grammar allows at the cursor, with names from a made-up broker.
 */
#include "client/cli/complete.h"
#include "client/cli/text.h"

#include <criterion/criterion.h>
#include <string.h>

static void made_up_names(enum cli_names kind, const char *pool, struct cli_words *ret_names,
                          void *userdata) {
    int *asked = userdata;
    ++*asked;
    if (kind == CLI_NAMES_POOLS) {
        cli_words_append(ret_names, "openai");
        cli_words_append(ret_names, "gemini");
    } else if (kind == CLI_NAMES_KEYS && pool && strcmp(pool, "openai") == 0) {
        cli_words_append(ret_names, "A");
        cli_words_append(ret_names, "Team B");
    } else if (kind == CLI_NAMES_VENDORS) {
        cli_words_append(ret_names, "anthropic");
    }
}

/* Complete the last word of `line`; `expected` are the candidates with blanks between. */
static int expect(const char *line, const char *prefix, const char *expected) {
    struct cli_words words = CLI_WORDS_INIT;
    struct cli_words candidates = CLI_WORDS_INIT;
    struct cli_text joined = CLI_TEXT_INIT;
    int asked = 0;
    cr_assert_null(cli_words_split(line, &words));
    cli_complete(words.items, words.count, prefix, made_up_names, &asked, &candidates);
    for (size_t i = 0; i < candidates.count; i++)
        cli_text_addf(&joined, "%s%s", i ? "|" : "", candidates.items[i]);
    cr_assert_str_eq(cli_text_string(&joined), expected, "%s %s: %s", line, prefix,
                     cli_text_string(&joined));
    cli_text_deinit(&joined);
    cli_words_deinit(&candidates);
    cli_words_deinit(&words);
    return asked;
}

Test(cli_complete, command_words_need_no_broker) {
    cr_assert_eq(expect("", "e", "enable|export|exec"), 0);
    cr_assert_eq(expect("", "zzz", ""), 0);
    cr_assert_eq(expect("show", "v", "vendor|vendors"), 0);
    cr_assert_eq(expect("move key openai A", "", "first|last|up|down|before|after|to"), 0);
    cr_assert_eq(expect("add pool p", "v", "vendor="), 0);
}

Test(cli_complete, names_come_from_the_broker) {
    expect("show keys", "", "openai|gemini");
    expect("show key openai", "", "A|Team B");
    expect("show key gemini", "", "");
    expect("move key openai A before", "T", "Team B");
    expect("order keys openai A", "", "A|Team B");
    expect("order keys openai A 'Team B'", "A", "A");
    expect("add pool p", "vendor=", "vendor=anthropic");
    expect("watch", "pool=g", "pool=gemini");
}

Test(cli_complete, options_come_in_any_order_and_once) {
    expect("add key openai", "",
           "name=|expires=|account=|weight=|note=|duplicate=allow|if-revision=");
    expect("add key openai weight=3", "",
           "name=|expires=|account=|note=|duplicate=allow|if-revision=");
    expect("set pool openai strategy=spread", "st", "");
    expect("set pool openai", "str", "strategy=priority|strategy=spread");
    expect("enable key openai A", "", "if-revision=");
    expect("show info", "", "");
}
