/*
 * Keys as people enter them, with a real broker: what is left of a list or a shell, secrets where
 * names should stand, and the same secret twice. The console and the command send what was typed
 * to the same commands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/support/peer.h"

#define ONE "AIzaSyA3xAmple0123456789abcdefghijklm"
#define TWO "AIzaSyB3xAmple0123456789abcdefghijklm"

static struct peer *start(struct broker *b) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_must_with(peer, ONE, "add pool main vendor=gemini");
    return peer;
}

static void assert_refused(const struct answer *answer, int code, const char *reason) {
    cr_assert_eq(answer->code, code, "%s", answer->status);
    cr_assert_str_eq(answer_string(answer, "reason"), reason, "%s", answer->status);
    cr_assert_null(strstr(answer->status, "Example"), "%s", answer->status);
}

static const char *all_of(struct peer *peer) {
    return peer_must(peer, "export main secrets=yes")->body;
}

static struct answer *import_one(struct peer *peer, const char *key, const char *options) {
    return peer_ask_with(peer, scene_text("{\"keys\":[%s]}", key), "json import main mode=%s",
                         options);
}

TEST_BOTH_LOOPS(entering, what_is_left_of_a_list_or_a_shell_is_no_part_of_a_key) {
    static const struct {
        const char *api_key, *reason;
    } CASES[] = {
        { "'" TWO "'", "bad-api-key" },      { TWO ",", "bad-api-key" },
        { "`" TWO "`", "bad-api-key" },      { TWO ";", "bad-api-key" },
        { "team " TWO, "bad-api-key" },      { TWO "," TWO "2", "several-keys" },
        { TWO " " TWO "2", "several-keys" },
    };
    struct peer *peer = start(b);
    const char *before = all_of(peer);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const char *config = scene_text("{\"api_key\":\"%s\"}", CASES[i].api_key);
        assert_refused(peer_ask_with(peer, CASES[i].api_key, "json add key main"), 400,
                       CASES[i].reason);
        assert_refused(peer_ask_with(peer, config, "json add pool next vendor=gemini"), 400,
                       CASES[i].reason);
        assert_refused(peer_ask_with(peer, config, "json set key main key1 config=merge"), 400,
                       CASES[i].reason);
        assert_refused(import_one(peer, scene_text("{\"config\":%s}", config), "merge"), 400,
                       CASES[i].reason);
    }
    cr_assert_str_eq(all_of(peer), before);
}

TEST_BOTH_LOOPS(entering, a_secret_where_a_name_should_stand_is_refused) {
    static const char *const FIELDS[] = { "name", "account", "note" };
    struct peer *peer = start(b);
    const char *before = all_of(peer);
    for (size_t i = 0; i < 3; i++) {
        assert_refused(peer_ask_with(peer, TWO, "json add key main %s=" TWO "3", FIELDS[i]), 400,
                       "looks-like-a-key");
        assert_refused(peer_ask(peer, "json set key main key1 %s='new " TWO ",'", FIELDS[i]), 400,
                       "looks-like-a-key");
        const char *key =
            scene_text("{\"%s\":\"" TWO "3\",\"config\":{\"api_key\":\"" TWO "\"}}", FIELDS[i]);
        assert_refused(import_one(peer, key, "merge"), 400, "looks-like-a-key");
    }
    cr_assert_str_eq(all_of(peer), before);
}

TEST_BOTH_LOOPS(entering, the_same_secret_twice_in_a_pool_is_refused_with_the_other_keys_name) {
    struct peer *peer = start(b);
    peer_must_with(peer, TWO, "add key main name=second");
    const char *before = all_of(peer);
    struct answer *answer = peer_ask_with(peer, ONE, "json add key main name=third");
    assert_refused(answer, 409, "duplicate-secret");
    cr_assert_not_null(strstr(answer->message, "key1"), "%s", answer->message);
    answer =
        peer_ask_with(peer, "{\"api_key\":\"" ONE "\"}", "json set key main second config=merge");
    assert_refused(answer, 409, "duplicate-secret");
    cr_assert_not_null(strstr(answer->message, "key1"), "%s", answer->message);
    answer = import_one(peer, "{\"config\":{\"api_key\":\"" TWO "\"}}", "merge");
    assert_refused(answer, 409, "duplicate-secret");
    cr_assert_not_null(strstr(answer->message, "second"), "%s", answer->message);
    answer = import_one(peer,
                        "{\"name\":\"a\",\"config\":{\"api_key\":\"" TWO "9\"}},"
                        "{\"name\":\"b\",\"config\":{\"api_key\":\"" TWO "9\"}}",
                        "merge");
    assert_refused(answer, 409, "duplicate-secret");
    cr_assert_str_eq(all_of(peer), before);
    peer_must_with(peer, ONE, "add pool other vendor=gemini");
    peer_must_with(peer, ONE, "add key main name=third duplicate=allow");
    peer_must(peer, "set key main third note='the same as key1'");
    peer_must(peer, "delete key main third");
    cr_assert_eq(peer_ask_with(peer, ONE, "add key main name=third")->code, 409, "key1 has it");
    peer_must_with(peer, TWO "5", "set key main key1 config=replace");
    peer_must_with(peer, ONE, "add key main name=third");
    broker_restart(b);
    peer = peer_open(b);
    cr_assert_eq(peer_ask_with(peer, ONE, "add key main")->code, 409, "also after a start");
}

TEST_BOTH_LOOPS(entering, a_document_may_give_one_keys_secret_to_another) {
    struct peer *peer = start(b);
    peer_must_with(peer, TWO, "add key main name=second");
    static const char SWAPPED[] = "{\"name\":\"key1\",\"config\":{\"api_key\":\"" TWO "\"}},"
                                  "{\"name\":\"second\",\"config\":{\"api_key\":\"" ONE "\"}}";
    struct answer *answer = import_one(peer, SWAPPED, "merge");
    cr_assert_eq(answer->code, 0, "%s", answer->status);
    static const char RENAMED[] = "{\"name\":\"key1\",\"config\":{\"api_key\":\"" TWO "\"}},"
                                  "{\"name\":\"another\",\"config\":{\"api_key\":\"" ONE "\"}}";
    answer = import_one(peer, RENAMED, "replace");
    cr_assert_eq(answer->code, 0, "the one that had it goes: %s", answer->status);
    answer = import_one(peer, "{\"name\":\"third\",\"config\":{\"api_key\":\"" TWO "\"}}",
                        "merge duplicate=allow");
    cr_assert_eq(answer->code, 0, "%s", answer->status);
    answer = import_one(peer, "{\"name\":\"third\",\"config\":{\"region\":\"eu\"}}", "merge");
    cr_assert_eq(answer->code, 0, "its secret is not new: %s", answer->status);
}
