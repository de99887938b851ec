/*
 * What a broker does with input that is wrong, too large, cut off or hostile: a clear refusal, the
 * session goes on where it can, everybody else is served, and memory stays bounded.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/support/peer.h"

static char *filled(size_t length, char byte) {
    char *text = malloc(length + 1);
    cr_assert_not_null(text);
    memset(text, byte, length);
    text[length] = '\0';
    return text;
}

static void assert_alive(struct broker *b) {
    struct peer *peer = peer_open(b);
    peer_must(peer, "show info");
    peer_close(peer);
    cr_assert(broker_is_running(b));
}

TEST_BOTH_LOOPS(bad_input, an_unfit_command_is_refused_and_the_session_goes_on) {
    static const struct {
        const char *line;
        int code;
    } LINES[] = {
        { "frobnicate", 400 },
        { "show", 400 },
        { "show nothing", 400 },
        { "show pool", 400 },
        { "show pool main extra", 400 },
        { "SHOW POOLS", 400 },
        { "json", 400 },
        { "json json show pools", 400 },
        { "show pool 'main", 400 },
        { "show pool \"main", 400 },
        { "show keys main match=a match=b", 400 },
        { "show keys main colour=red", 400 },
        { "show keys main limit=99999999999999999999", 400 },
        { "set key main key2", 400 },
        { "set key main key2 weight=0", 400 },
        { "set key main key2 weight=1001", 400 },
        { "set key main key2 weight=1e2", 400 },
        { "set key main key2 expires=yesterday", 400 },
        { "set key main key2 expires=2001-01-01", 400 },
        { "set key main key2 expires=2999-02-30", 400 },
        { "set key main key2 expires=+99999999999999999999d", 400 },
        { "set key main key2 name=#5", 400 },
        { "set key main key2 name=", 400 },
        { "set key main key2 name=key1", 409 },
        { "set key main key2 config=merge", 400 },
        { "set key main key2 config=sideways", 400 },
        { "set pool main group=no-such-group", 404 },
        { "set pool main base_url=javascript:alert(1)", 400 },
        { "set pool main exceeded-recovery=daily@25:00", 400 },
        { "add pool another vendor=openai", 400 }, /* no payload */
        { "show vendor nobody", 404 },
        { "show key main #999999", 404 },
        { "show key main #", 404 },
        { "show key main #18446744073709551617", 404 },
        { "watch since=x", 400 },
        { "help frobnicate", 404 },
        { "import main mode=merge", 400 },
        { "backup", 400 },
    };
    struct peer *peer = peer_start(b, 2);
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) {
        struct answer *text = peer_ask(peer, "%s", LINES[i].line);
        cr_assert_eq(text->code, LINES[i].code, "\"%s\": %s", LINES[i].line, text->status);
        cr_assert_gt(strlen(text->message), 5, "\"%s\" is refused without a word", LINES[i].line);
        if (strncmp(LINES[i].line, "json", 4) == 0)
            continue;
        struct answer *json = peer_ask(peer, "json %s", LINES[i].line);
        bool parsed = json->json != NULL; /* a line that can't be cut has no prefix either */
        cr_assert(parsed || strpbrk(LINES[i].line, "'\""), "json %s", LINES[i].line);
        if (parsed) {
            cr_assert_eq(answer_number(json, "code"), LINES[i].code);
            cr_assert_str_eq(answer_string(json, "message"), json->message);
            cr_assert_gt(strlen(answer_string(json, "reason")), 2);
        }
    }
    assert_alive(b);
}

TEST_BOTH_LOOPS(bad_input, an_unfit_name_is_refused_and_leaves_no_trace) {
    static const char *const POOLS[] = { "''",       "..",    ".",   "../up",  "a/b",   "/etc",
                                         "Main",     "-a",    "_a",  ".a",     "'a b'", "a%00b",
                                         "\xc3\xa9", "a\xff", "a:b", "a\\\\b", "'a;b'", "a*" };
    struct peer *peer = peer_start(b, 2);
    for (size_t i = 0; i < sizeof POOLS / sizeof *POOLS; i++) {
        struct answer *refused = peer_ask_with(peer, "sk-test-abcdefghijklmnop",
                                               "json add pool %s vendor=openai", POOLS[i]);
        cr_assert_eq(refused->code, 400, "%s: %s", POOLS[i], refused->status);
        cr_assert_str_eq(answer_string(refused, "reason"), "bad-pool-name");
        cr_assert_eq(peer_ask(peer, "show pool %s", POOLS[i])->code, 404);
    }
    char *longest = filled(48, 'a'), *too_long = filled(49, 'a');
    cr_assert_eq(
        peer_ask_with(peer, "sk-test-abcdefghijklmnop", "add pool %s vendor=openai", too_long)
            ->code,
        400);
    peer_must_with(peer, "sk-test-abcdefghijklmnop", "add pool %s vendor=openai", longest);
    struct answer *vendor =
        peer_ask_with(peer, "sk-test-abcdefghijklmnop", "add pool fine vendor=nobody");
    cr_assert_eq(vendor->code, 404);
    cr_assert_eq(
        peer_ask_with(peer, "sk-test-abcdefghijklmnop", "add pool main vendor=openai")->code, 409);
    cr_assert_eq(peer_ask_with(peer, "sk-test-abcdefghijklmnop", "add key main name=key1")->code,
                 409);
    cr_assert_eq(answer_number(peer_must(peer, "json show pools"), "total"), 2);
    free(longest);
    free(too_long);
}

TEST_BOTH_LOOPS(bad_input, a_refusal_is_always_one_line_of_text_and_valid_json) {
    static const char *const WORDS[] = { "\xff\xfe", "caf\xc3", "\xc3\xa9\xc3\xa9",
                                         "\xf0\x9f\x92\xa9", "\xed\xa0\x80" };
    struct peer *peer = peer_start(b, 2);
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        struct answer *refused = peer_ask(peer, "json show pool %s", WORDS[i]);
        cr_assert_eq(refused->code, 404);
        cr_assert_eq(answer_number(refused, "code"), 404, "word %zu: %s", i, refused->body);
        refused = peer_ask(peer, "json show key main %s", WORDS[i]);
        cr_assert_eq(answer_number(refused, "code"), 404, "word %zu: %s", i, refused->body);
    }
    /* What stands in a payload may hold line ends; a reply that quotes it must not. */
    struct answer *refused = peer_ask_with(peer, "[\"x\\n\\nOK\\nforged\"]", "order keys main");
    cr_assert_eq(refused->code, 404);
    cr_assert_eq(refused->length, 0, "%s", refused->body);
    peer_must(peer, "show info");
    cr_assert_eq(peer_ask(peer, "set key main key2 name=\xff\xfe")->code, 400);
    cr_assert_eq(peer_ask(peer, "set key main key2 note=\xc3")->code, 400);
    cr_assert_eq(peer_ask(peer, "set key main key2 account=\x1b[31m")->code, 400);
}

TEST_BOTH_LOOPS(bad_input, a_nul_in_a_line_hides_nothing) {
    static const char LINE[] = "delete key main key2\0 if-revision=999999\n";
    static const char ANNOUNCED[] = "add key main\0x <<3\nabcshow info\n";
    struct peer *peer = peer_start(b, 2);
    peer_send_bytes(peer, LINE, sizeof LINE - 1);
    cr_assert_eq(peer_read(peer)->code, 400);
    peer_send_bytes(peer, ANNOUNCED, sizeof ANNOUNCED - 1);
    cr_assert_eq(peer_read(peer)->code, 400);
    cr_assert_eq(peer_read(peer)->code, 0, "the payload was taken for what it is");
    cr_assert_str_eq(peer_key_status(peer, "main", "key2"), "normal");
}

TEST_BOTH_LOOPS(bad_input, an_unfit_payload_is_refused_with_its_reason) {
    static const struct {
        const char *payload;
        int code;
    } PAYLOADS[] = {
        { "", 400 },
        { "   ", 400 },
        { "two words", 400 },
        { "{", 400 },
        { "[]", 400 },
        { "{}", 400 },
        { "{\"api_key\":5}", 400 },
        { "{\"api_key\":\"\"}", 400 },
        { "{\"api_key\":\"a\\r\\nX-Evil: 1\"}", 400 },
        { "{\"api_key\":\"\\u0000\"}", 400 },
        { "{\"api_key\":\"sk-a\",\"api_key\":\"sk-b\"}", 400 },
        { "{\"api_key\":\"sk-\xc3\xa9\"}", 400 },
        { "{\"api_key\":\"sk-\xff\"}", 400 },
        { "sk-\xff\xfe", 400 },
        { "{\"api_key\":\"sk-a\",\"base_url\":\"ftp://x\"}", 400 },
        { "{\"api_key\":\"sk-a\",\"base_url\":\"http://x/\\r\\n\"}", 400 },
        { "{\"api_key\":\"sk-a\",\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}"
          "}}}}}}}}",
          400 },
    };
    struct peer *peer = peer_start(b, 2);
    for (size_t i = 0; i < sizeof PAYLOADS / sizeof *PAYLOADS; i++) {
        struct answer *refused =
            peer_ask_with(peer, PAYLOADS[i].payload, "json add key main name=n%zu", i);
        cr_assert_eq(refused->code, PAYLOADS[i].code, "%s: %s", PAYLOADS[i].payload,
                     refused->status);
        cr_assert_not_null(refused->json, "%s", refused->body);
    }
    peer_send_payload(peer, "sk-a\0b", 6, "add key main name=nul");
    cr_assert_eq(peer_read(peer)->code, 400);
    cr_assert_eq(peer_ask_with(peer, "x", "show info")->code, 400, "takes no payload");
    char *secret = filled(8192, 'a');
    peer_must_with(peer, secret, "add key main name=longest");
    free(secret);
    secret = filled(8193, 'a');
    cr_assert_eq(peer_ask_with(peer, secret, "add key main name=longer")->code, 413);
    free(secret);
    cr_assert_eq(answer_number(peer_must(peer, "json show keys main"), "total"), 3);
}

TEST_BOTH_LOOPS(bad_input, a_payload_ends_with_an_empty_line_or_has_its_length) {
    static const char HANDS[] =
        "add key main name=byhand <<\n{\n \"api_key\": \"sk-hand-0123456789\""
        "\n}\n\nshow info\n";
    static const char CARRIAGE[] =
        "add key main name=windows <<\r\nsk-win-0123456789\r\n\r\nshow info\r\n";
    struct peer *peer = peer_start(b, 2);
    peer_send_bytes(peer, HANDS, sizeof HANDS - 1);
    cr_assert_eq(peer_read(peer)->code, 0);
    cr_assert_eq(peer_read(peer)->code, 0);
    peer_send_bytes(peer, CARRIAGE, sizeof CARRIAGE - 1);
    cr_assert_eq(peer_read(peer)->code, 0);
    cr_assert_eq(peer_read(peer)->code, 0);
    for (size_t i = 0; i < sizeof HANDS - 1; i++) { /* a byte at a time */
        peer_send_bytes(peer, HANDS + i, 1);
        if (i % 8 == 0)
            scene_sleep_ms(1);
    }
    cr_assert_eq(peer_read(peer)->code, 409, "the name is taken now");
    cr_assert_eq(peer_read(peer)->code, 0);
    cr_assert_eq(peer_ask_with(peer, "", "add key main")->code, 400, "a payload of no bytes");
}

TEST_BOTH_LOOPS(bad_input, a_payload_of_no_bytes_may_follow_a_large_one) {
    static const char HEAD[] = "import main mode=merge <<2000000\n{\"keys\":[],\"filler\":\"";
    static const char TAIL[] = "\"}add key main <<0\n";
    struct peer *peer = peer_start(b, 2);
    size_t begin = strcspn(HEAD, "\n") + 1, length = begin + 2000000;
    char *bytes = filled(length + sizeof TAIL, 'x');
    memcpy(bytes, HEAD, sizeof HEAD - 1);
    memcpy(bytes + length - 2, TAIL, sizeof TAIL - 1);
    peer_send_bytes(peer, bytes, length - 2 + sizeof TAIL - 1);
    free(bytes);
    cr_assert_eq(peer_read(peer)->code, 0);
    cr_assert_eq(peer_read(peer)->code, 400);
    peer_must(peer, "show info");
}

TEST_BOTH_LOOPS(bad_input, a_line_of_more_than_64_kib_is_refused) {
    struct peer *peer = peer_start(b, 2);
    char *note = filled(60000, 'x');
    cr_assert_eq(peer_ask(peer, "set key main key2 note=%s", note)->code, 400, "long, but a line");
    free(note);
    struct peer *endless = peer_open(b), *ended = peer_open(b);
    char *line = filled(200000, 'x');
    peer_send_bytes(endless, line, 200000);
    struct answer *refused = peer_read(endless);
    cr_assert_eq(refused->code, 413, "%s", refused->status);
    cr_assert(peer_read_to_end(endless));
    peer_send(ended, "show info");
    peer_send_bytes(ended, line, 70000);
    peer_send_bytes(ended, "\nshow info\n", 11);
    cr_assert_eq(peer_read(ended)->code, 0, "what came before is answered");
    cr_assert_eq(peer_read(ended)->code, 413);
    cr_assert(peer_read_to_end(ended));
    free(line);
    peer_must(peer, "show info");
}

TEST_BOTH_LOOPS(bad_input, a_payload_that_is_too_large_is_refused_and_the_session_goes_on) {
    struct peer *peer = peer_start(b, 2);
    size_t length = (1 << 20) + 1;
    char *payload = filled(length, 'x');
    peer_send_payload(peer, payload, length, "add key main");
    cr_assert_eq(peer_read(peer)->code, 413);
    peer_must(peer, "show info");
    peer_send_payload(peer, payload, length, "no such command");
    cr_assert_geq(peer_read(peer)->code, 400);
    peer_must(peer, "show info");
    struct peer *endless = peer_open(b);
    peer_send(endless, "add key main <<");
    for (unsigned i = 0; i < 2; i++)
        peer_send_bytes(endless, payload, length);
    cr_assert_eq(peer_read(endless)->code, 413);
    cr_assert(peer_read_to_end(endless));
    free(payload);
    /* A length that nobody will ever send. */
    struct peer *boaster = peer_open(b);
    peer_send_bytes(boaster, "import main <<18446744073709551615\nxxxx", 38);
    peer_send_bytes(peer, "show info <<-5\n", 15);
    cr_assert_eq(peer_read(peer)->code, 400);
    assert_alive(b);
}

TEST_BOTH_LOOPS(bad_input, an_import_may_have_64_mib_and_no_more) {
    struct peer *peer = peer_start(b, 2);
    size_t most = 64 << 20;
    const char *head =
        "{\"keys\":[{\"name\":\"big\",\"config\":{\"api_key\":\"sk-test-0123456789\"}}"
        "],\"filler\":\"";
    char *payload = filled(most + 1, 'x');
    memcpy(payload, head, strlen(head));
    memcpy(payload + most - 2, "\"}", 2);
    peer_send_payload(peer, payload, most, "import main mode=merge");
    struct answer *taken = peer_read(peer);
    cr_assert_eq(taken->code, 0, "%s", taken->status);
    peer_send_payload(peer, payload, most + 1, "import main mode=merge");
    cr_assert_eq(peer_read(peer)->code, 413);
    free(payload);
    cr_assert_eq(answer_number(peer_must(peer, "json show keys main"), "total"), 3);
    if (!scene_sanitized())
        cr_assert_lt(broker_memory_kib(b, "RssAnon"), 64 * 1024, "what it took was given back");
}

TEST_BOTH_LOOPS(bad_input, garbage_is_survived) {
    struct peer *peer = peer_start(b, 2);
    static const char USUAL[] = "show add key <<12 main\n\n\"'=json {}";
    unsigned seed = 12345;
    for (unsigned round = 0; round < 200; round++) {
        unsigned char bytes[4096];
        struct peer *wild = peer_open(b);
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1103515245 + 12345;
            bytes[i] = (unsigned char)(seed >> 16);
            if (round % 2 && bytes[i] < 100)
                bytes[i] = (unsigned char)USUAL[bytes[i] % (sizeof USUAL - 1)];
        }
        peer_send_bytes(wild, bytes, sizeof bytes);
        if (round % 4 == 0)
            peer_must(peer, "show info");
        peer_close(wild);
    }
    assert_alive(b);
    EVENTUALLY(answer_number(peer_must(peer, "json show info"), "admin_connections") == 1);
}

TEST_BOTH_LOOPS(bad_input, half_a_line_and_then_silence_holds_up_nobody) {
    enum { SILENT = 100 };
    struct peer *peer = peer_start(b, 2);
    for (unsigned i = 0; i < SILENT; i++) {
        static const char *const HALVES[] = { "show inf", "add key main <<100\nabc", "json ",
                                              "add key main <<\nabc\n" };
        struct peer *silent = peer_open(b);
        peer_send_bytes(silent, HALVES[i % 4], strlen(HALVES[i % 4]));
    }
    for (unsigned i = 0; i < 50; i++)
        peer_must(peer, "set key main key2 weight=%u", i + 1);
    cr_assert_eq(answer_number(peer_must(peer, "json show keys main"), "total"), 2);
}

TEST_BOTH_LOOPS(bad_input, the_session_too_many_is_turned_away_with_a_reason) {
    enum { MOST = 512 };
    struct peer *peer = peer_start(b, 2), *last = NULL;
    for (unsigned i = 1; i < MOST; i++)
        last = peer_open(b);
    peer_must(last, "show info");
    struct peer *too_many = peer_open(b);
    cr_assert_eq(peer_read(too_many)->code, 503);
    cr_assert(peer_read_to_end(too_many));
    peer_close(last);
    EVENTUALLY(answer_number(peer_must(peer, "json show info"), "admin_connections") == MOST - 1);
    peer_must(peer_open(b), "show info");
}

TEST_BOTH_LOOPS(bad_input, a_thousand_commands_in_one_go_are_all_answered_in_order) {
    enum { COMMANDS = 1000 };
    struct peer *peer = peer_start(b, 2);
    char *all = filled(COMMANDS * 40, ' '), *end = all;
    for (unsigned i = 0; i < COMMANDS; i++)
        end += sprintf(end, i % 2 ? "set key main key2 weight=%u\n" : "show key main #%u\n", i + 1);
    peer_send_bytes(peer, all, (size_t)(end - all));
    free(all);
    for (unsigned i = 0; i < COMMANDS; i++) {
        struct answer *answer = peer_read(peer);
        if (i % 2)
            cr_assert_eq(answer->code, 0, "%u: %s", i, answer->status);
    }
    cr_assert_eq(answer_number(peer_must(peer, "json show key main key2"), "weight"), COMMANDS);
}

/* Commands whose replies nobody reads: the broker stops reading them in time. */
TEST_BOTH_LOOPS(bad_input, a_peer_that_never_reads_costs_bounded_memory_and_slows_nobody) {
    enum { KEYS = 10000 };
    broker_start(b, NULL);
    struct peer *peer = peer_open(b), *deaf = peer_open(b);
    peer_make_large_pool(peer, "main", "k", KEYS);
    peer_must(peer, "show info");
    long before = broker_memory_kib(b, "RssAnon");
    static const char LIST[] = "json show keys main\n";
    int64_t until = scene_now_ms() + 300;
    while (scene_now_ms() < until) {
        peer_try_send(deaf, LIST, sizeof LIST - 1);
        peer_must(peer, "show key main k00001");
    }
    if (!scene_sanitized())
        cr_assert_lt(broker_memory_kib(b, "RssAnon") - before, 32 * 1024,
                     "a deaf peer made the broker grow");
    for (unsigned i = 0; i < 5; i++) {
        int64_t began = scene_now_ms();
        peer_must(peer, "disable key main k%05u", i + 1);
        cr_assert_lt(scene_now_ms() - began, 5000);
    }
}

/* Each name was looked up, and all of them were kept, before they were counted. */
TEST_BOTH_LOOPS(bad_input, an_order_ends_where_it_has_more_names_than_the_pool_has_keys) {
    enum { BYTES = 2 << 20 };
    static const struct {
        const char *part;
        int code;
    } CASES[] = { { "\"key1\",", 409 }, { "\"none\",", 404 }, { "[],", 404 }, { "1,", 404 },
                  { "[", 404 },         { "{},", 404 },       { ",", 400 },   { "\"\\x\",", 400 } };
    struct peer *peer = peer_start(b, 3);
    char *text = malloc(BYTES + 100);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *at = stpcpy(text, "[");
        for (size_t length = strlen(CASES[i].part); at - text < BYTES; at += length)
            memcpy(at, CASES[i].part, length);
        strcpy(at, "\"key1\"]");
        struct answer *refused = peer_ask_with(peer, text, "order keys main");
        cr_assert_eq(refused->code, CASES[i].code, "%s: %s", CASES[i].part, refused->status);
        if (!scene_sanitized())
            cr_assert_lt(broker_memory_kib(b, "VmHWM"), 64 * 1024, "%s", CASES[i].part);
    }
    free(text);
    cr_assert_eq(peer_ask_with(peer, "[\"key1\",\"key2\"]", "order keys main")->code, 409);
    cr_assert_eq(peer_ask_with(peer, "[\"key1\",\"key2\",\"key2\"]", "order keys main")->code, 409);
    peer_must_with(peer, " [ \"key3\" , \"k\\u0065y1\",\n\"key2\" ] ", "order keys main");
    cr_assert_str_eq(answer_string(peer_must(peer, "json show keys main"), "keys.0.name"), "key3");
}
