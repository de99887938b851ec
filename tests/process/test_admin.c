/*
 * The admin socket's commands with a real broker: every one of them in text and JSON, the order of
 * replies, group commits, revisions, the rules for default and expired keys, events and lists.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/peer.h"

/* "key1 key2 key3", as show keys lists them. */
static const char *order_of(struct peer *peer, const char *options) {
    struct answer *answer = peer_must(peer, "json show keys main %s", options);
    const json_t *keys = answer_at(answer, "keys");
    const char *text = "";
    for (size_t i = 0; i < json_array_size(keys); i++)
        text = scene_text("%s%s%s", text, i ? " " : "", json_text(json_array_get(keys, i), "name"));
    return text;
}

/* An RFC 3339 time this far from now. */
static const char *soon(int ms) {
    struct timespec now;
    struct tm parts;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    long long at = (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000 + ms;
    time_t seconds = at / 1000;
    gmtime_r(&seconds, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    return scene_text("%s.%03lldZ", text, at % 1000);
}

/* ---- looking ---- */

TEST_BOTH_LOOPS(admin, every_look_answers_in_text_and_in_json) {
    static const char *const LOOKS[] = {
        "show info",        "show pools",          "show pool main", "show keys main",
        "show key main #2", "show vendors",        "show events",    "show vendor openai",
        "show metrics",     "show events limit=1", "help",           "help show keys",
        "export main",
    };
    struct peer *peer = peer_start(b, 2);
    for (size_t i = 0; i < sizeof LOOKS / sizeof *LOOKS; i++) {
        struct answer *text = peer_must(peer, "%s", LOOKS[i]);
        cr_assert_gt(text->length, 0, "%s has no body", LOOKS[i]);
        struct answer *json = peer_must(peer, "json %s", LOOKS[i]);
        cr_assert(json_is_object(json->json), "json %s: %s", LOOKS[i], json->body);
        cr_assert_null(strchr(json->body, '\n'), "json %s has more than one line", LOOKS[i]);
    }
}

static void assert_fields(const json_t *object, const char *what, const char *names) {
    char *copy = strdup(names), *rest = copy;
    for (const char *name; (name = strsep(&rest, " "));)
        cr_assert_not_null(json_object_get(object, name), "%s lacks \"%s\"", what, name);
    free(copy);
}

TEST_BOTH_LOOPS(admin, lists_have_the_fields_that_are_documented) {
    struct peer *peer = peer_start(b, 2);
    struct answer *keys = peer_must(peer, "json show keys main");
    assert_fields(keys->json, "show keys",
                  "pool vendor strategy revision total current next guard guard_share guard_until "
                  "recovers_at keys");
    cr_assert_str_eq(answer_string(keys, "current"), "key1");
    cr_assert_str_eq(answer_string(keys, "next"), "key2");
    assert_fields(answer_at(keys, "keys.1"), "a key",
                  "id name status priority default current masked base_url config expires_at "
                  "account weight note reason status_since recovers_at last_failure counters "
                  "created_at updated_at");
    cr_assert_str_eq(answer_string(keys, "keys.0.masked"), "sk-…mnop");
    cr_assert_str_eq(answer_string(keys, "keys.0.config.api_key"), "sk-…mnop");
    cr_assert(json_is_null(answer_at(keys, "keys.0.expires_at")));
    cr_assert(json_is_true(answer_at(keys, "keys.0.current")));
    cr_assert(json_is_true(answer_at(keys, "keys.0.default")));
    struct answer *pools = peer_must(peer, "json show pools");
    assert_fields(answer_at(pools, "pools.0"), "a pool",
                  "name vendor strategy current next usable counts guard guard_share guard_until "
                  "recovers_at last_failover revision");
    cr_assert_eq(answer_number(pools, "pools.0.guard_share"), 0, "it is off");
    cr_assert(json_is_null(answer_at(pools, "pools.0.guard_until")));
    cr_assert_eq(answer_number(pools, "pools.0.counts.normal"), 2);
    struct answer *events = peer_must(peer, "json show events");
    assert_fields(answer_at(events, "events.0"), "an event",
                  "seq time pool key from to class reason http_status vendor_code who uid pid user "
                  "program to_key count");
    cr_assert_str_eq(answer_string(peer_must(peer, "json show info"), "loop"), b->loop);
}

TEST_BOTH_LOOPS(admin, the_next_key_moves_up_when_the_current_one_goes) {
    struct peer *peer = peer_start(b, 3);
    cr_assert_str_eq(answer_string(peer_must(peer, "json show pool main"), "next"), "key2");
    peer_must(peer, "disable key main key1");
    struct answer *pool = peer_must(peer, "json show pool main");
    cr_assert_str_eq(answer_string(pool, "current"), "key2");
    cr_assert_str_eq(answer_string(pool, "next"), "key3");
    peer_must(peer, "disable key main key3");
    cr_assert(json_is_null(answer_at(peer_must(peer, "json show pool main"), "next")));
    peer_must(peer, "enable key main key1");
    cr_assert_str_eq(answer_string(peer_must(peer, "json show pools"), "pools.0.next"), "key2");
}

TEST_BOTH_LOOPS(admin, lists_are_filtered_and_cut) {
    struct peer *peer = peer_start(b, 5);
    peer_must(peer, "set key main key2 account=blue note=spare");
    peer_must(peer, "disable key main key4");
    cr_assert_str_eq(order_of(peer, "status=normal"), "key1 key2 key3 key5");
    cr_assert_str_eq(order_of(peer, "status=disabled"), "key4");
    cr_assert_str_eq(order_of(peer, "match=BLUE"), "key2");
    cr_assert_str_eq(order_of(peer, "match=spare"), "key2");
    cr_assert_str_eq(order_of(peer, "offset=1 limit=2"), "key2 key3");
    cr_assert_str_eq(order_of(peer, "offset=9"), "");
    struct answer *cut = peer_must(peer, "json show keys main status=normal offset=1 limit=1");
    cr_assert_eq(answer_number(cut, "total"), 4, "the total counts what the window hides");
    struct answer *one = peer_must(peer, "json show vendors match=anthropic");
    cr_assert_eq(answer_number(one, "total"), 1);
    peer_make_pool(peer, "alpha", "anthropic", 1);
    struct answer *pools = peer_must(peer, "json show pools limit=1");
    cr_assert_str_eq(answer_string(pools, "pools.0.name"), "alpha");
    cr_assert_eq(answer_number(pools, "total"), 2);
    cr_assert_eq(peer_ask(peer, "show keys main status=happy")->code, 400);
    cr_assert_eq(peer_ask(peer, "show keys main limit=0")->code, 400);
    cr_assert_eq(peer_ask(peer, "show keys main offset=-1")->code, 400);
}

TEST_BOTH_LOOPS(admin, two_thousand_keys_are_listed_whole_and_in_order_while_they_change) {
    enum { KEYS = 2000 };
    broker_start(b, NULL);
    struct peer *reader = peer_open(b), *writer = peer_open(b);
    peer_make_large_pool(writer, "main", "k", KEYS);
    peer_send(reader, "json show keys main"); /* more than the socket takes: it waits half-way */
    for (unsigned i = 0; i < 20; i++) {
        peer_must(writer, "move key main k%05u first", KEYS - i);
        peer_must(writer, "disable key main k%05u", i + 1);
    }
    struct answer *list = peer_read(reader);
    const json_t *keys = answer_at(list, "keys");
    cr_assert_eq(json_array_size(keys), KEYS);
    for (size_t i = 0; i < KEYS; i++)
        cr_assert_str_eq(json_text(json_array_get(keys, i), "name"), scene_text("k%05zu", i + 1));
    struct answer *after = peer_must(reader, "json show keys main limit=1");
    cr_assert_str_eq(answer_string(after, "keys.0.name"), scene_text("k%05u", KEYS - 19));
}

/* ---- changing ---- */

TEST_BOTH_LOOPS(admin, a_key_is_added_changed_and_deleted) {
    struct peer *peer = peer_start(b, 1);
    struct answer *added = peer_must_with(
        peer, "{\"api_key\":\"sk-test-0123456789abcdef\",\"organization\":\"org-1\"}",
        "json add key main name='blue key' expires=+30d account=acme weight=7 note=\"a note\"");
    cr_assert_eq(answer_number(added, "priority"), 2);
    struct answer *key = peer_must(peer, "json show key main 'blue key'");
    cr_assert_str_eq(answer_string(key, "account"), "acme");
    cr_assert_str_eq(answer_string(key, "note"), "a note");
    cr_assert_str_eq(answer_string(key, "config.organization"), "org-1");
    cr_assert_eq(answer_number(key, "weight"), 7);
    cr_assert_eq(answer_number(key, "id"), answer_number(added, "id"));
    cr_assert(json_is_string(answer_at(key, "expires_at")));

    peer_must_with(peer, "{\"organization\":null,\"region\":\"eu\"}",
                   "set key main 'blue key' name=blue expires=never account= weight=2 "
                   "config=merge");
    key = peer_must(peer, "json show key main blue");
    cr_assert_null(answer_at(key, "config.organization"));
    cr_assert_str_eq(answer_string(key, "config.region"), "eu");
    cr_assert_str_eq(answer_string(key, "masked"), "sk-…cdef", "merge kept the secret");
    cr_assert(json_is_null(answer_at(key, "account")));
    cr_assert(json_is_null(answer_at(key, "expires_at")));

    peer_must_with(peer, "sk-test-fedcba9876543210", "set key main blue config=replace");
    key = peer_must(peer, "json show key main blue");
    cr_assert_null(answer_at(key, "config.region"));
    cr_assert_str_eq(answer_string(key, "masked"), "sk-…3210");

    peer_must(peer, "disable key main blue");
    cr_assert_str_eq(peer_key_status(peer, "main", "blue"), "disabled");
    peer_must(peer, "enable key main blue");
    cr_assert_str_eq(peer_key_status(peer, "main", "blue"), "normal");
    peer_must(peer, "delete key main blue");
    cr_assert_eq(peer_ask(peer, "show key main blue")->code, 404);
    cr_assert_eq(peer_ask(peer, "enable key main blue")->code, 404);
}

/* A wrong date costs a key its life, or gives it one too long: say how it was taken. */
TEST_BOTH_LOOPS(admin, an_answer_echoes_the_time_that_it_understood) {
    static const struct {
        const char *given, *told, *at;
    } CASES[] = {
        { "2998-01-31", "expires 2998-01-31 23:59:59 CET, in ", "2998-01-31T22:59:59Z" },
        { "2998-07-31", "expires 2998-07-31 23:59:59 CEST, in ", "2998-07-31T21:59:59Z" },
        { "'2998-01-31 12:00'", "expires 2998-01-31 12:00:00 CET, in ", "2998-01-31T11:00:00Z" },
        { "2998-01-31T12:00:00Z", "expires 2998-01-31 13:00:00 CET, in ", "2998-01-31T12:00:00Z" },
    };
    struct peer *peer;
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    broker_start(b, NULL);
    peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 2);
    unsetenv("TZ");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct answer *answer =
            peer_must(peer, "json set key main key2 expires=%s", CASES[i].given);
        cr_assert_not_null(strstr(answer_string(answer, "message"), CASES[i].told), "%s: %s",
                           CASES[i].given, answer->body);
        cr_assert_str_eq(answer_string(answer, "expires_at"), CASES[i].at);
    }
    struct answer *answer = peer_must(peer, "json set key main key2 expires=never");
    cr_assert_not_null(strstr(answer_string(answer, "message"), "expires never"));
    cr_assert(json_is_null(answer_at(answer, "expires_at")));
    answer = peer_must_with(peer, "sk-test-new-0123456789", "add key main name=new expires=+2w");
    cr_assert_not_null(strstr(answer->body, "in 14 d"), "%s", answer->body);
    answer = peer_must(peer, "set key main new expires=+1y");
    cr_assert(strstr(answer->body, "in 365 d") || strstr(answer->body, "in 366 d"), "%s",
              answer->body);
    answer = peer_must_with(peer,
                            "{\"keys\":[{\"name\":\"new\",\"config\":{},"
                            "\"expires_at\":\"2998-01-31\"}]}",
                            "json import main mode=merge");
    cr_assert_not_null(strstr(answer->body, "~ new (expires 2998-01-31 23:59:59 CET"), "%s",
                       answer->body);
    answer = peer_must(peer, "set pool main guard=30%% exceeded-recovery=1w strategy=spread");
    cr_assert_not_null(strstr(answer->body, ": strategy spread, exceeded-recovery 1w, guard 30%"),
                       "%s", answer->body);
}

TEST_BOTH_LOOPS(admin, a_pool_is_added_changed_and_deleted) {
    struct peer *peer = peer_start(b, 1);
    peer_must_with(peer, "AIzaSyTest0123456789",
                   "add pool second vendor=gemini strategy=spread exceeded-recovery=daily@00:00 "
                   "error-recovery=6h");
    struct answer *pool = peer_must(peer, "json show pool second");
    cr_assert_str_eq(answer_string(pool, "strategy"), "spread");
    cr_assert_str_eq(answer_string(pool, "exceeded_recovery"), "daily@00:00");
    peer_must(peer, "set pool second strategy=priority exceeded-recovery=never "
                    "error-recovery=90s base_url=http://localhost:8080/v1/");
    pool = peer_must(peer, "json show pool second");
    cr_assert_str_eq(answer_string(pool, "strategy"), "priority");
    cr_assert_str_eq(answer_string(pool, "base_url"), "http://localhost:8080/v1");
    cr_assert_eq(peer_ask(peer, "set pool second")->code, 400);
    cr_assert_eq(peer_ask(peer, "set pool second strategy=random")->code, 400);
    cr_assert_eq(peer_ask(peer, "set pool second exceeded-recovery=sometimes")->code, 400);
    cr_assert_eq(peer_ask(peer, "delete pool second")->code, 409);
    cr_assert_eq(peer_ask(peer, "delete pool second confirm=main")->code, 409);
    peer_must(peer, "delete pool second confirm=second");
    cr_assert_eq(peer_ask(peer, "show pool second")->code, 404);
    cr_assert_neq(access(scene_text("%s/pools/second", b->runtime_dir), F_OK), 0,
                  "nothing is left of the pool's directory");
    peer_must_with(peer, "AIzaSyTest0123456789", "add pool second vendor=gemini");
}

TEST_BOTH_LOOPS(admin, keys_are_moved_and_ordered) {
    static const struct {
        const char *command, *order;
    } STEPS[] = {
        { "move key main key4 first", "key4 key1 key2 key3" },
        { "move key main key4 last", "key1 key2 key3 key4" },
        { "move key main key2 up", "key2 key1 key3 key4" },
        { "move key main key2 up", "key2 key1 key3 key4" },
        { "move key main key2 down", "key1 key2 key3 key4" },
        { "move key main key4 down", "key1 key2 key3 key4" },
        { "move key main key4 before key2", "key1 key4 key2 key3" },
        { "move key main key1 after key2", "key4 key2 key1 key3" },
        { "move key main key3 after key4", "key4 key3 key2 key1" },
        { "move key main key1 before key4", "key1 key4 key3 key2" },
        { "move key main #2 to 3", "key1 key4 key3 key2" }, /* 4 keys: ids 2 … 5, see below */
        { "order keys main key1 key2 key3 key4", "key1 key2 key3 key4" },
        { "order keys main key4 key3 key2 key1", "key4 key3 key2 key1" },
        { "move key main key4 to 2", "key3 key4 key2 key1" },
    };
    struct peer *peer = peer_start(b, 4);
    long long first = answer_number(peer_must(peer, "json show key main key1"), "id");
    for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
        if (strchr(STEPS[i].command, '#')) { /* an id does for a name */
            peer_must(peer, "move key main #%lld to 4", first);
            cr_assert_str_eq(order_of(peer, ""), "key4 key3 key2 key1");
            peer_must(peer, "move key main #%lld to 1", first);
            continue;
        }
        peer_must(peer, "%s", STEPS[i].command);
        cr_assert_str_eq(order_of(peer, ""), STEPS[i].order, "after \"%s\": %s", STEPS[i].command,
                         order_of(peer, ""));
    }
    peer_must_with(peer, "[\"key2\",\"key1\",\"key4\",\"key3\"]", "order keys main");
    cr_assert_str_eq(order_of(peer, ""), "key2 key1 key4 key3");
    cr_assert_eq(peer_ask(peer, "order keys main key1 key2 key3")->code, 409);
    cr_assert_eq(peer_ask(peer, "order keys main key1 key2 key3 key3")->code, 409);
    cr_assert_eq(peer_ask(peer, "order keys main key1 key2 key3 key9")->code, 404);
    cr_assert_eq(peer_ask(peer, "move key main key1 sideways")->code, 400);
    cr_assert_eq(peer_ask(peer, "move key main key1 to 5")->code, 400);
    cr_assert_eq(peer_ask(peer, "move key main key1 before key1")->code, 404);
    cr_assert_str_eq(order_of(peer, ""), "key2 key1 key4 key3", "a refusal changes nothing");
}

TEST_BOTH_LOOPS(admin, changes_are_there_after_a_restart) {
    struct peer *peer = peer_start(b, 3);
    peer_must(peer, "move key main key3 first");
    peer_must(peer, "disable key main key1");
    peer_must(peer, "set key main key2 name=second weight=5");
    long long last = answer_number(peer_must(peer, "json show info"), "last_event");
    broker_restart(b);
    peer = peer_open(b);
    cr_assert_str_eq(order_of(peer, ""), "key3 key1 second");
    cr_assert_str_eq(peer_key_status(peer, "main", "key1"), "disabled");
    cr_assert_eq(answer_number(peer_must(peer, "json show key main second"), "weight"), 5);
    cr_assert_eq(answer_number(peer_must(peer, "json show info"), "last_event"), last);
}

/* ---- order and groups ---- */

TEST_BOTH_LOOPS(admin, replies_come_in_the_order_of_the_commands) {
    enum { ROUNDS = 60 };
    struct peer *peer = peer_start(b, 2);
    for (unsigned i = 0; i < ROUNDS; i++) {
        peer_send(peer, "set key main key2 weight=%u", i + 1); /* waits for the disk */
        peer_send(peer, "json show key main key2");            /* would not have to */
        peer_send(peer, "no such command %u", i);
        peer_send_payload(peer, scene_text("sk-test-%02u-abcdefghijklm", i), 24,
                          "json add key main name=n%u", i);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        cr_assert_eq(peer_read(peer)->code, 0);
        cr_assert_eq(answer_number(peer_read(peer), "weight"), i + 1);
        cr_assert_eq(peer_read(peer)->code, 400);
        cr_assert_str_eq(answer_string(peer_read(peer), "key"), scene_text("n%u", i));
    }
}

TEST_BOTH_LOOPS(admin, sixteen_pipelining_clients_share_commits) {
    enum { CLIENTS = 16, CHANGES = 25 };
    struct peer *first = peer_start(b, CLIENTS), *peers[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++)
        peers[i] = peer_open(b);
    long long before = 0, after = 0;
    struct answer *metrics = peer_must(first, "show metrics");
    const char *at = strstr(metrics->body, "\nkeybroker_commits_total ");
    cr_assert_not_null(at);
    sscanf(at, "\nkeybroker_commits_total %lld", &before);
    for (unsigned c = 0; c < CHANGES; c++)
        for (unsigned i = 0; i < CLIENTS; i++)
            peer_send(peers[i], "set key main key%u note=n%u", i + 1, c);
    for (unsigned i = 0; i < CLIENTS; i++)
        for (unsigned c = 0; c < CHANGES; c++)
            cr_assert_eq(peer_read(peers[i])->code, 0);
    metrics = peer_must(first, "show metrics");
    sscanf(strstr(metrics->body, "\nkeybroker_commits_total "), "\nkeybroker_commits_total %lld",
           &after);
    cr_assert_lt(after - before, CLIENTS * CHANGES / 2, "%d changes took %lld commits",
                 CLIENTS * CHANGES, after - before);
    for (unsigned i = 0; i < CLIENTS; i++)
        cr_assert_str_eq(answer_string(peer_must(first, "json show key main key%u", i + 1), "note"),
                         scene_text("n%u", CHANGES - 1));
}

TEST_BOTH_LOOPS(admin, a_client_that_hangs_up_after_a_command_does_not_undo_it) {
    struct peer *peer = peer_start(b, 2);
    for (unsigned i = 0; i < 20; i++) {
        struct peer *hasty = peer_open(b);
        peer_send(hasty, "set key main key2 note=hasty%u", i);
        peer_close(hasty);
    }
    EVENTUALLY(
        strcmp(answer_string(peer_must(peer, "json show key main key2"), "note"), "hasty19") == 0);
}

TEST_BOTH_LOOPS(admin, quit_closes_after_everything_was_answered) {
    struct peer *peer = peer_start(b, 2);
    peer_send(peer, "set key main key2 weight=5");
    peer_send(peer, "json show key main key2");
    peer_send(peer, "quit");
    peer_send(peer, "set key main key2 weight=6");
    cr_assert_eq(peer_read(peer)->code, 0);
    cr_assert_eq(answer_number(peer_read(peer), "weight"), 5);
    cr_assert_eq(peer_read(peer)->code, 0);
    cr_assert(peer_read_to_end(peer));
    struct answer *key = peer_must(peer_open(b), "json show key main key2");
    cr_assert_eq(answer_number(key, "weight"), 5, "nothing is done after quit");
}

/* ---- rules ---- */

TEST_BOTH_LOOPS(admin, an_outdated_revision_is_refused_and_changes_nothing) {
    static const char *const CHANGES[] = {
        "disable key main key2",          "enable key main key2",
        "delete key main key2",           "move key main key2 first",
        "set pool main strategy=spread",  "set key main key2 weight=9",
        "order keys main key3 key2 key1", "delete pool main confirm=main",
    };
    struct peer *peer = peer_start(b, 3);
    long long revision = answer_number(peer_must(peer, "json show keys main"), "revision");
    for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++) {
        struct answer *refused =
            peer_ask(peer, "json %s if-revision=%lld", CHANGES[i], revision - 1);
        cr_assert_eq(refused->code, 409, "%s: %s", CHANGES[i], refused->status);
        cr_assert_str_eq(answer_string(refused, "reason"), "outdated-revision");
    }
    cr_assert_eq(peer_ask_with(peer, "sk-test-abcdefghijklmnop", "add key main if-revision=%lld",
                               revision - 1)
                     ->code,
                 409);
    cr_assert_str_eq(order_of(peer, ""), "key1 key2 key3");
    cr_assert_eq(answer_number(peer_must(peer, "json show keys main"), "revision"), revision);
    peer_must(peer, "disable key main key2 if-revision=%lld", revision);
    cr_assert_eq(answer_number(peer_must(peer, "json show keys main"), "revision"), revision,
                 "a status is not part of the configuration");
    peer_must(peer, "move key main key3 first if-revision=%lld", revision);
    cr_assert_gt(answer_number(peer_must(peer, "json show keys main"), "revision"), revision);
}

TEST_BOTH_LOOPS(admin, the_default_key_is_edited_moved_and_disabled_but_never_deleted) {
    struct peer *peer = peer_start(b, 2);
    struct answer *refused = peer_ask(peer, "json delete key main key1");
    cr_assert_eq(refused->code, 409);
    cr_assert_str_eq(answer_string(refused, "reason"), "default-key");
    cr_assert_not_null(strstr(refused->message, "default key"));
    peer_must(peer, "move key main key1 last");
    peer_must(peer, "set key main key1 name=primary note=x");
    peer_must(peer, "disable key main primary");
    cr_assert_eq(peer_ask(peer, "delete key main primary")->code, 409);
    cr_assert_str_eq(peer_key_status(peer, "main", "primary"), "disabled");
}

TEST_BOTH_LOOPS(admin, on_an_expired_key_only_show_move_order_and_delete_work) {
    struct peer *peer = peer_start(b, 3);
    peer_must(peer, "set key main key2 expires=%s", soon(150));
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "key2"), "expired") == 0);
    static const char *const REFUSED[] = { "enable key main key2", "disable key main key2",
                                           "set key main key2 note=x",
                                           "set key main key2 expires=+30d" };
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        struct answer *refused = peer_ask(peer, "json %s", REFUSED[i]);
        cr_assert_eq(refused->code, 409, "%s: %s", REFUSED[i], refused->status);
        cr_assert_str_eq(answer_string(refused, "reason"), "key-expired");
        cr_assert_not_null(strstr(refused->message, "expired"));
    }
    peer_must(peer, "move key main key2 first");
    peer_must(peer, "order keys main key2 key3 key1");
    cr_assert_str_eq(order_of(peer, "status=expired"), "key2");
    EVENTUALLY(strstr(peer_must(peer, "show events pool=main")->body, "kind=expired") != NULL);
    peer_must(peer, "delete key main key2");
}

TEST_BOTH_LOOPS(admin, a_future_expiry_brings_the_default_key_back_to_the_status_underneath) {
    struct peer *peer = peer_start(b, 2);
    peer_must(peer, "disable key main key1");
    peer_must(peer, "set key main key1 expires=%s", soon(150));
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "key1"), "expired") == 0);
    cr_assert_eq(peer_ask(peer, "enable key main key1")->code, 409);
    cr_assert_eq(peer_ask(peer, "delete key main key1")->code, 409);
    peer_must(peer, "set key main key1 expires=+30d");
    cr_assert_str_eq(peer_key_status(peer, "main", "key1"), "disabled");
}

TEST_BOTH_LOOPS(admin, events_say_what_changed_who_did_it_and_why) {
    struct peer *peer = peer_start(b, 2);
    long long since = answer_number(peer_must(peer, "json show info"), "last_event");
    peer_must(peer, "disable key main key2");
    peer_must(peer, "move key main key2 first");
    peer_must(peer, "enable key main #%lld",
              answer_number(peer_must(peer, "json show key main key2"), "id"));
    struct answer *events = peer_must(peer, "json show events since=%lld", since);
    cr_assert_eq(json_array_size(answer_at(events, "events")), 3, "%s", events->body);
    cr_assert_eq(answer_number(events, "events.0.seq"), since + 1);
    cr_assert_str_eq(answer_string(events, "events.0.from"), "normal");
    cr_assert_str_eq(answer_string(events, "events.0.to"), "disabled");
    cr_assert_str_eq(answer_string(events, "events.0.reason"), "disabled");
    cr_assert_str_eq(answer_string(events, "events.0.who"),
                     scene_text("uid=%u pid=%d", getuid(), getpid()));
    cr_assert_str_eq(answer_string(events, "events.1.kind"), "move key");
    cr_assert_str_eq(answer_string(events, "events.2.to"), "normal");
}

TEST_BOTH_LOOPS(admin, events_are_filtered_by_pool_key_and_number) {
    struct peer *peer = peer_start(b, 3);
    peer_make_pool(peer, "other", "anthropic", 1);
    for (unsigned i = 0; i < 5; i++) {
        peer_must(peer, "set key main key2 weight=%u", i + 2);
        peer_must(peer, "set key other key1 weight=%u", i + 2);
    }
    struct answer *events = peer_must(peer, "json show events pool=main key=key2 limit=3");
    const json_t *rows = answer_at(events, "events");
    cr_assert_eq(json_array_size(rows), 3);
    for (size_t i = 0; i < 3; i++)
        cr_assert_str_eq(json_text(json_array_get(rows, i), "key"), "key2");
    events = peer_must(peer, "json show events since=0 limit=2");
    cr_assert_eq(json_array_size(answer_at(events, "events")), 2);
    cr_assert_eq(answer_number(events, "events.0.seq"), 1);
    events = peer_must(peer, "json show events pool=other since=0 limit=2");
    cr_assert_eq(json_array_size(answer_at(events, "events")), 2, "a limit holds with a filter");
    cr_assert_eq(strncmp(answer_string(events, "events.0.kind"), "add ", 4), 0,
                 "since= shows the oldest");
    cr_assert_eq(peer_ask(peer, "show events key=key2")->code, 400);
    cr_assert_eq(peer_ask(peer, "show events pool=nowhere")->code, 404);
}
