/*
 * What of the page's requests becomes a command for the broker, and in which words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "broker/console/phrase.h"
#include "broker/words.h"

static struct phrase phrase;
static struct refusal refusal;

static void teardown(void) {
    phrase_deinit(&phrase);
}

TestSuite(console_phrase, .fini = teardown);

static int read_text(const char *body) {
    phrase_deinit(&phrase);
    return phrase_read(&phrase, body, strlen(body), &refusal);
}

static void becomes(const char *body, const char *bytes) {
    cr_assert_eq(read_text(body), 0, "%s: %s", body, refusal.message);
    cr_assert_eq(buffer_length(&phrase.bytes), strlen(bytes));
    cr_assert_eq(memcmp(buffer_bytes(&phrase.bytes), bytes, strlen(bytes)), 0, "%.*s",
                 (int)buffer_length(&phrase.bytes), buffer_bytes(&phrase.bytes));
}

static void is_refused(const char *body, int code) {
    cr_assert_eq(read_text(body), code, "%s", body);
    cr_assert_eq(buffer_length(&phrase.bytes), 0);
}

Test(console_phrase, what_the_page_needs_is_let_through_as_json) {
    becomes("{\"words\":[\"show\",\"pools\"]}", "json show pools\n");
    becomes("{\"words\":[\"show\",\"keys\",\"openai\",\"status=cooling\",\"limit=20\"]}",
            "json show keys openai status=cooling limit=20\n");
    becomes("{\"words\":[\"move\",\"key\",\"openai\",\"#7\",\"first\"],\"payload\":null}",
            "json move key openai #7 first\n");
    becomes("{\"words\":[\"delete\",\"pool\",\"a\",\"confirm=a\"]}",
            "json delete pool a confirm=a\n");
}

Test(console_phrase, a_payload_travels_by_its_length) {
    becomes("{\"words\":[\"add\",\"key\",\"p\"],\"payload\":\"sk-1\\n\\nshow info\"}",
            "json add key p <<15\nsk-1\n\nshow info");
    becomes("{\"words\":[\"add\",\"key\",\"p\"],\"payload\":{\"api_key\":\"sk-1\",\"n\":[1, 2]}}",
            "json add key p <<28\n{\"api_key\":\"sk-1\",\"n\":[1,2]}");
    becomes("{\"words\":[\"order\",\"keys\",\"p\"],\"payload\":[\"b\",\"a\"]}",
            "json order keys p <<9\n[\"b\",\"a\"]");
    is_refused("{\"words\":[\"add\",\"key\",\"p\"],\"payload\":7}", REFUSED_SYNTAX);
    is_refused("{\"words\":[\"add\",\"key\",\"p\"],\"payload\":true}", REFUSED_SYNTAX);
}

Test(console_phrase, no_other_command_is_let_through) {
    static const char *const FORBIDDEN[] = {
        "[\"export\",\"p\"]",
        "[\"export\",\"p\",\"secrets=yes\"]",
        "[\"backup\",\"/tmp/x\"]",
        "[\"rotate\",\"master-key\"]",
        "[\"watch\"]",
        "[\"quit\"]",
        "[\"help\"]",
        "[\"json\",\"export\",\"p\"]",
        "[\"show\"]",
        "[\"show\",\"metrics\"]",
        "[\"show\",\"pools keys\"]",
        "[\"show\",\"\"]",
        "[\"show\",\"ey\"]",
        "[\"show\",\" \"]",
        "[\"SHOW\",\"pools\"]",
        "[\"show pools\"]",
        "[\"delete\",\"keys\"]",
        "[\"delete\"]",
        "[\"\",\"export\",\"p\"]",
        "[\" export\",\"p\"]",
    };
    for (size_t i = 0; i < sizeof FORBIDDEN / sizeof *FORBIDDEN; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"words\":%s}", FORBIDDEN[i]);
        is_refused(body, REFUSED_FORBIDDEN);
    }
}

Test(console_phrase, what_is_no_request_is_refused) {
    static const char *const NONE[] = {
        "",
        "null",
        "[]",
        "{",
        "{}",
        "{\"words\":[]}",
        "{\"words\":\"show pools\"}",
        "{\"words\":{\"a\":1}}",
        "{\"words\":[\"show\",\"pools\"],\"words\":[\"show\",\"pool\"]}",
        "{\"words\":[\"show\",\"pools\",7]}",
        "{\"words\":[\"show\",\"key\",\"p\",null]}",
        "{\"words\":[\"show\",\"key\",\"p\",\"a\\u0000b\"]}",
        "{\"words\":[\"show\",\"pools\"]} more"
    };
    for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++)
        is_refused(NONE[i], REFUSED_SYNTAX);
}

Test(console_phrase, every_word_arrives_as_it_was) {
    static const char *const WORDS[] = {
        "plain",
        "",
        "two words",
        "quo\"te",
        "back\\slash",
        "'single'",
        "ends in \\",
        "<<",
        "note=a <<12",
        "<<5",
        "#7",
        "a=b",
        "tab: \xe2\x86\x92",
        "\"",
        "\\\"",
        "$(rm) `x` !",
        "ключ",
    };
    enum { COUNT = sizeof WORDS / sizeof *WORDS };
    struct buffer line = { 0 };
    for (size_t i = 0; i < COUNT; i++)
        cr_assert((i == 0 || buffer_append_text(&line, " ")) && phrase_quote(&line, WORDS[i]));
    cr_assert(buffer_append(&line, "", 1));
    char *cut[COUNT + 1];
    const char *problem = "";
    cr_assert_eq(words_split(buffer_bytes(&line), cut, COUNT + 1, &problem), COUNT, "%s", problem);
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_str_eq(cut[i], WORDS[i]);
    buffer_deinit(&line);
}

Test(console_phrase, no_word_can_end_the_line_or_announce_a_payload) {
    is_refused("{\"words\":[\"show\",\"key\",\"p\",\"a\\nexport p secrets=yes\"]}", REFUSED_SYNTAX);
    is_refused("{\"words\":[\"show\",\"key\",\"p\",\"a\\rb\"]}", REFUSED_SYNTAX);
    is_refused("{\"words\":[\"show\",\"key\",\"p\",\"a\\tb\"]}", REFUSED_SYNTAX);
    is_refused("{\"words\":[\"show\",\"key\",\"p\",\"a\\u007fb\"]}", REFUSED_SYNTAX);
    becomes("{\"words\":[\"show\",\"key\",\"p\",\"<<7\"]}", "json show key p \"<<7\"\n");
    becomes("{\"words\":[\"show\",\"key\",\"p\",\"a <<7\"]}", "json show key p \"a <<7\"\n");
}

/* {"words":["VERB","NOUN","p"],"payload":"aaa…"} of this many bytes; the caller frees. */
static char *large_body(const char *verb, const char *noun, size_t bytes) {
    char *body = malloc(bytes + 1);
    int head = snprintf(body, bytes, "{\"words\":[\"%s\",\"%s\",\"p\"],\"payload\":\"", verb, noun);
    memset(body + head, 'a', bytes - (size_t)head);
    strcpy(body + bytes - 2, "\"}");
    return body;
}

Test(console_phrase, only_what_is_many_keys_may_be_large) {
    char *small = large_body("add", "key", PHRASE_BODY_MAX);
    cr_assert_eq(read_text(small), 0, "%s", refusal.message);
    cr_assert(phrase.changes);
    char *large = large_body("add", "key", PHRASE_BODY_MAX + 1);
    is_refused(large, REFUSED_TOO_LARGE);
    char *import = large_body("import", "p", PHRASE_LARGE_BODY_MAX);
    cr_assert_eq(read_text(import), 0, "%s", refusal.message);
    cr_assert(phrase.changes);
    char *words = large_body("order", "keys", 1000);
    cr_assert_eq(read_text(words), 0);
    free(small);
    free(large);
    free(import);
    free(words);
}

Test(console_phrase, a_line_that_the_broker_would_not_take_is_refused) {
    struct buffer body = { 0 };
    buffer_append_text(&body, "{\"words\":[\"order\",\"keys\",\"p\"");
    for (unsigned i = 0; i < 10000; i++)
        buffer_printf(&body, ",\"key-%u\"", i);
    buffer_append_text(&body, "]}");
    cr_assert_eq(phrase_read(&phrase, buffer_bytes(&body), buffer_length(&body), &refusal),
                 REFUSED_TOO_LARGE);
    buffer_deinit(&body);
}
