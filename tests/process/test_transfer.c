/*
 * export and import with a real broker: what goes out comes in again, all or nothing, and twice is
 * the same as once.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/peer.h"
#include "tests/support/worker.h"

static struct peer *start(struct broker *b) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 4);
    peer_must(peer, "set pool main strategy=spread exceeded-recovery=monthly@1");
    peer_must(peer, "set key main key2 account=acme weight=5 note='a \"quoted\" note' "
                    "expires=2999-01-01");
    peer_must_with(peer, "{\"organization\":\"org-1\",\"client_secret\":\"hidden-thing-1234567\"}",
                   "set key main key3 config=merge");
    peer_must(peer, "disable key main key3");
    peer_must(peer, "order keys main key4 key2 key1 key3");
    return peer;
}

static const char *export_of(struct peer *peer, const char *pool, const char *options) {
    return peer_must(peer, "export %s %s", pool, options)->body;
}

static long long last_event(struct peer *peer) {
    return answer_number(peer_must(peer, "json show info"), "last_event");
}

/* The document without the pool's own name. */
static json_t *without_name(const char *text) {
    json_t *document = json_loads(text, 0, NULL);
    cr_assert_not_null(document, "%s", text);
    json_object_del(json_object_get(document, "pool"), "name");
    return document;
}

TEST_BOTH_LOOPS(transfer, what_was_exported_makes_the_same_pool_again) {
    struct peer *peer = start(b);
    const char *text = export_of(peer, "main", "secrets=yes");
    peer_must_with(peer, text, "import copy");
    json_t *ours = without_name(text);
    json_t *theirs = without_name(export_of(peer, "copy", "secrets=yes"));
    char *ours_text = json_dumps(ours, JSON_SORT_KEYS),
         *theirs_text = json_dumps(theirs, JSON_SORT_KEYS);
    cr_assert_str_eq(ours_text, theirs_text);
    free(ours_text);
    free(theirs_text);
    json_decref(ours);
    json_decref(theirs);
    cr_assert_eq(peer_ask_with(peer, text, "import copy")->code, 409, "create never overwrites");
    struct answer *json = peer_must(peer, "json export main secrets=yes");
    cr_assert_eq(answer_number(json, "format"), 1);
}

TEST_BOTH_LOOPS(transfer, an_import_of_what_is_there_changes_nothing) {
    static const char *const MODES[] = { "merge", "replace" };
    struct peer *peer = start(b);
    for (unsigned i = 0; i < 4; i++) {
        const char *text = export_of(peer, "main", i < 2 ? "secrets=yes" : "");
        long long before = last_event(peer);
        struct answer *answer =
            peer_must_with(peer, text, "json import main mode=%s", MODES[i % 2]);
        cr_assert_eq(json_array_size(answer_at(answer, "changes")), 0, "%s", answer->body);
        cr_assert_eq(last_event(peer), before);
        cr_assert_str_eq(export_of(peer, "main", i < 2 ? "secrets=yes" : ""), text);
    }
    cr_assert_not_null(strstr(export_of(peer, "main", "secrets=yes"), "hidden-thing-1234567"),
                       "a masked export brought back keeps every secret");
}

/* Found by fuzz_import: what the broker tidies (an address) or leaves out (a null) was compared
 * with the document as it came. */
TEST_BOTH_LOOPS(transfer, a_document_imported_twice_changes_nothing_the_second_time) {
    static const char document[] =
        "{\"pool\":{\"vendor\":\"openai\",\"base_url\":\"https://Pool.Example/\"},\"keys\":["
        "{\"name\":\"a\",\"config\":{\"api_key\":\"sk-test-a-0123456789\",\"base_url\":"
        "\"HTTPS://Eu.Example:8443/v1/\",\"project\":null}},"
        "{\"name\":\"b\",\"config\":{\"api_key\":\"sk-test-b-0123456789\",\"base_url\":\"\"}}]}";
    struct peer *peer = start(b);
    peer_must_with(peer, document, "import twice");
    long long before = last_event(peer);
    struct answer *answer = peer_must_with(peer, document, "json import twice mode=replace");
    cr_assert_eq(json_array_size(answer_at(answer, "changes")), 0, "%s", answer->body);
    cr_assert_eq(last_event(peer), before);
    const char *text = export_of(peer, "twice", "secrets=yes");
    answer = peer_must_with(peer, text, "json import twice mode=replace");
    cr_assert_eq(json_array_size(answer_at(answer, "changes")), 0, "%s", answer->body);
}

/* Found by fuzz_import: such a key was added and, not being named, deleted at once. */
TEST_BOTH_LOOPS(transfer, a_key_without_a_name_gets_one_and_stays) {
    static const char document[] =
        "{\"pool\":{\"vendor\":\"openai\"},\"keys\":["
        "{\"name\":\"first\",\"default\":true,\"config\":{\"api_key\":\"sk-test-a-0123456789\"}},"
        "{\"config\":{\"api_key\":\"sk-test-b-0123456789\"}}]}";
    struct peer *peer = start(b);
    struct answer *answer = peer_must_with(peer, document, "json import fresh");
    cr_assert_eq(json_array_size(answer_at(answer, "changes")), 3, "%s", answer->body);
    cr_assert_eq(answer_number(peer_must(peer, "json show keys fresh"), "total"), 2);
    peer_must_with(peer, document, "import main mode=replace");
    answer = peer_must(peer, "json show keys main");
    cr_assert_eq(answer_number(answer, "total"), 3, "the default key, and those of the document");
    cr_assert_not_null(strstr(answer->body, "first"));
}

/* Such a key got the name of another of the document, which then changed it: one secret was gone.
 */
TEST_BOTH_LOOPS(transfer, a_key_without_a_name_gets_one_that_the_document_does_not_use) {
    static const char document[] =
        "{\"pool\":{\"vendor\":\"openai\"},\"keys\":["
        "{\"config\":{\"api_key\":\"sk-test-a-0123456789\"}},"
        "{\"name\":\"key1\",\"config\":{\"api_key\":\"sk-test-b-0123456789\"}},"
        "{\"config\":{\"api_key\":\"sk-test-c-0123456789\"}},"
        "{\"name\":\"key3\",\"config\":{\"api_key\":\"sk-test-d-0123456789\"}}]}";
    struct peer *peer = start(b);
    peer_must_with(peer, document, "import fresh");
    const char *text = export_of(peer, "fresh", "secrets=yes");
    const char *at = text;
    for (const char *letter = "abcd"; *letter; letter++) {
        at = strstr(at, scene_text("sk-test-%c-0123456789", *letter));
        cr_assert_not_null(at, "every secret is there, in the document's order: %s", text);
    }
    peer_must_with(peer, document, "import fresh mode=replace duplicate=allow");
}

TEST_BOTH_LOOPS(transfer, a_dry_run_or_a_refusal_draws_no_numbers) {
    static const char one[] = "{\"keys\":[{\"config\":{\"api_key\":\"sk-test-a-0123456789\"}}]}";
    static const char two[] = "{\"pool\":{\"vendor\":\"openai\"},\"keys\":["
                              "{\"config\":{\"api_key\":\"sk-test-a-0123456789\"}},"
                              "{\"config\":{\"api_key\":\"'\"}}]}";
    struct peer *peer = start(b);
    for (unsigned i = 0; i < 3; i++) {
        peer_must_with(peer, one, "import main mode=merge dry-run");
        cr_assert_eq(peer_ask_with(peer, two, "import main mode=merge")->code, 400);
        cr_assert_eq(peer_ask_with(peer, two, "import fresh")->code, 400);
    }
    long long newest = 0;
    struct answer *keys = peer_must(peer, "json show keys main");
    for (size_t i = 0; i < json_array_size(answer_at(keys, "keys")); i++) {
        long long id = answer_number(keys, scene_text("keys.%zu.id", i));
        newest = id > newest ? id : newest;
    }
    peer_must_with(peer, one, "import main mode=merge");
    cr_assert_eq(json_integer_value(json_object_get(
                     answer_key(peer_must(peer, "json show keys main"), "key5"), "id")),
                 newest + 1);
}

TEST_BOTH_LOOPS(transfer, a_masked_document_says_so_and_never_passes_for_secrets) {
    struct peer *peer = start(b);
    const char *masked = export_of(peer, "main", "");
    struct answer *answer = peer_must_with(peer, masked, "json import main mode=replace");
    cr_assert_eq(answer_number(answer, "masked"), 4);
    cr_assert_not_null(strstr(answer->body, "masked"), "%s", answer->body);
    cr_assert_eq(answer_number(peer_must_with(peer, export_of(peer, "main", "secrets=yes"),
                                              "json import main mode=replace"),
                               "masked"),
                 0);
    answer = peer_ask_with(peer, masked, "import copy");
    cr_assert_eq(answer->code, 409);
    cr_assert_not_null(strstr(answer->message, "secrets=yes"), "%s", answer->message);
    peer_must_with(peer, "sk-test-another-secret-0123456789", "set key main key2 config=merge");
    answer = peer_ask_with(peer, masked, "import main mode=merge");
    cr_assert_eq(answer->code, 409, "it is not the mask of what is there: %s", answer->status);
    cr_assert_not_null(strstr(answer->message, "secrets=yes"), "%s", answer->message);
    cr_assert_eq(peer_ask_with(peer, "{\"client_secret\":\"\xe2\x80\xa6\"}",
                               "set key main key3 config=merge")
                     ->code,
                 400);
    cr_assert_not_null(strstr(export_of(peer, "main", "secrets=yes"), "hidden-thing-1234567"));
}

TEST_BOTH_LOOPS(transfer, an_export_shows_secrets_only_when_told) {
    struct peer *peer = start(b);
    const char *text = export_of(peer, "main", "");
    cr_assert_null(strstr(text, "sk-test-"));
    cr_assert_null(strstr(text, "hidden-thing"));
    text = export_of(peer, "main", "secrets=yes");
    cr_assert_not_null(strstr(text, "sk-test-000003-abcdefghijklmnop"));
    cr_assert_eq(peer_ask(peer, "export main secrets=perhaps")->code, 400);
}

TEST_BOTH_LOOPS(transfer, merge_adds_and_changes_and_leaves_the_rest) {
    struct peer *peer = start(b);
    struct answer *answer =
        peer_must_with(peer,
                       "{\"keys\":[{\"name\":\"key2\",\"config\":{\"region\":\"eu\"},\"weight\":9},"
                       "{\"name\":\"fresh\",\"config\":{\"api_key\":\"sk-test-fresh-0123456789\"},"
                       "\"disabled\":true}]}",
                       "json import main mode=merge");
    cr_assert_eq(json_array_size(answer_at(answer, "changes")), 3, "%s", answer->body);
    struct answer *keys = peer_must(peer, "json show keys main");
    cr_assert_eq(answer_number(keys, "total"), 5);
    const json_t *changed = answer_key(keys, "key2");
    cr_assert_str_eq(json_text(changed, "config.region"), "eu");
    cr_assert_str_eq(json_text(changed, "account"), "acme");
    cr_assert_str_eq(json_text(changed, "masked"), "sk-…mnop");
    cr_assert_str_eq(json_text(answer_key(keys, "fresh"), "status"), "disabled");
    cr_assert_str_eq(json_text(answer_key(keys, "key3"), "status"), "disabled");
}

TEST_BOTH_LOOPS(transfer, replace_deletes_what_is_not_named_and_takes_the_order) {
    struct peer *peer = start(b);
    struct answer *answer =
        peer_must_with(peer,
                       "{\"format\":1,\"keys\":["
                       "{\"name\":\"fresh\",\"config\":{\"api_key\":\"sk-test-fresh-0123456789\"}},"
                       "{\"name\":\"key3\",\"config\":{}}]}",
                       "json import main mode=replace");
    struct answer *keys = peer_must(peer, "json show keys main");
    cr_assert_eq(answer_number(keys, "total"), 3, "%s", answer->body);
    cr_assert_str_eq(answer_string(keys, "keys.0.name"), "fresh");
    cr_assert_str_eq(answer_string(keys, "keys.1.name"), "key3");
    cr_assert_str_eq(answer_string(keys, "keys.2.name"), "key1", "the default key stays");
}

TEST_BOTH_LOOPS(transfer, a_dry_run_tells_the_difference_and_makes_none) {
    struct peer *peer = start(b);
    const char *before = export_of(peer, "main", "secrets=yes");
    long long event = last_event(peer);
    const char *document = "{\"keys\":[{\"name\":\"fresh\",\"config\":{\"api_key\":"
                           "\"sk-test-fresh-0123456789\"}}]}";
    struct answer *dry = peer_must_with(peer, document, "json import main mode=replace dry-run");
    cr_assert(json_is_false(answer_at(dry, "applied")));
    cr_assert_eq(last_event(peer), event);
    cr_assert_str_eq(export_of(peer, "main", "secrets=yes"), before);
    struct answer *wet = peer_must_with(peer, document, "json import main mode=replace");
    cr_assert(json_equal(answer_at(dry, "changes"), answer_at(wet, "changes")),
              "the dry run said %s, then it was %s", dry->body, wet->body);
    const char *copy = peer_must(peer, "export main secrets=yes")->body;
    dry = peer_must_with(peer, copy, "json import newpool dry-run");
    cr_assert_gt(json_array_size(answer_at(dry, "changes")), 1);
    cr_assert_eq(peer_ask(peer, "show pool newpool")->code, 404);
    peer_must_with(peer, copy, "import newpool");
}

static const char *large_document(unsigned keys, unsigned bad, const char *bad_row) {
    json_t *rows = json_array();
    for (unsigned i = 0; i < keys; i++)
        json_array_append_new(rows, i == bad ? json_loads(bad_row, JSON_DECODE_ANY, NULL)
                                             : json_pack("{s:s, s:{s:s}, s:i}", "name",
                                                         scene_text("n%u", i), "config", "api_key",
                                                         "sk-test-0123456789abcdef", "weight", 2));
    json_t *document = json_pack("{s:{s:s}, s:o}", "pool", "vendor", "openai", "keys", rows);
    char *text = json_dumps(document, JSON_COMPACT);
    const char *kept = scene_text("%s", text);
    free(text);
    json_decref(document);
    return kept;
}

#define BAD_KEY "{\"name\":\"bad\",\"config\":{\"api_key\":\"sk-test-0123456789\"},"

TEST_BOTH_LOOPS(transfer, a_key_that_has_expired_meanwhile_is_restored_as_expired) {
    struct peer *peer = start(b);
    peer_must_with(peer,
                   "{\"keys\":[{\"name\":\"old\",\"config\":{\"api_key\":\"sk-test-0123456789\"},"
                   "\"expires_at\":\"2001-01-01\"}]}",
                   "import main mode=merge");
    struct answer *shown = peer_must(peer, "json show key main old");
    cr_assert_str_eq(json_string_value(answer_at(shown, "status")), "expired");
}

TEST_BOTH_LOOPS(transfer, a_bad_entry_in_the_middle_changes_nothing) {
    static const char *const BAD[] = {
        "{\"name\":\"bad\",\"config\":{\"api_key\":\"\"}}",
        "{\"name\":\"bad\",\"config\":{}}",
        "{\"name\":\"bad\"}",
        "{\"name\":\"#bad\",\"config\":{\"api_key\":\"sk-test-0123456789\"}}",
        "{\"name\":\"n1\",\"config\":{\"api_key\":\"sk-test-0123456789\"}}",
        BAD_KEY "\"weight\":1001}",
        BAD_KEY "\"expires_at\":\"tomorrow\"}",
        "[]",
        "null",
    };
    static const char *const MODES[] = { "merge", "replace" };
    struct peer *peer = start(b);
    const char *before = export_of(peer, "main", "secrets=yes");
    long long event = last_event(peer);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        const char *document = large_document(40, 20, BAD[i]);
        for (unsigned mode = 0; mode < 2; mode++) {
            struct answer *refused =
                peer_ask_with(peer, document, "import main mode=%s", MODES[mode]);
            cr_assert_eq(refused->code, 400, "%s: %s", BAD[i], refused->status);
        }
        cr_assert_eq(peer_ask_with(peer, document, "import fresh")->code, 400);
        cr_assert_eq(peer_ask(peer, "show pool fresh")->code, 404, "%s", BAD[i]);
    }
    cr_assert_eq(last_event(peer), event);
    cr_assert_str_eq(export_of(peer, "main", "secrets=yes"), before);
    broker_restart(b);
    peer = peer_open(b);
    cr_assert_str_eq(export_of(peer, "main", "secrets=yes"), before);
}

TEST_BOTH_LOOPS(transfer, a_value_of_the_wrong_type_is_refused_and_not_ignored) {
    static const char *const BAD[] = {
        "{\"name\":5,\"config\":{\"api_key\":\"sk-test-0123456789\"}}",
        BAD_KEY "\"weight\":\"5\"}",
        BAD_KEY "\"account\":7}",
        BAD_KEY "\"note\":[]}",
        BAD_KEY "\"disabled\":\"yes\"}",
    };
    struct peer *peer = start(b);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        struct answer *refused =
            peer_ask_with(peer, scene_text("{\"keys\":[%s]}", BAD[i]), "import main mode=merge");
        cr_assert_eq(refused->code, 400, "%s: %s", BAD[i], refused->status);
    }
}

TEST_BOTH_LOOPS(transfer, an_unfit_document_is_refused_with_its_reason) {
    static const char *const BAD[] = { "",
                                       "{",
                                       "[]",
                                       "{\"keys\":{}}",
                                       "\"keys\"",
                                       "nonsense",
                                       "{\"keys\":[]}",
                                       "{\"keys\":[{\"config\":{\"api_key\":\"sk-a\"}}]}",
                                       "{\"format\":2,\"keys\":[]}" };
    struct peer *peer = start(b);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        struct answer *refused = peer_ask_with(peer, BAD[i], "import fresh");
        cr_assert_eq(refused->code, 400, "%s: %s", BAD[i], refused->status);
        cr_assert_gt(strlen(refused->message), 5);
    }
    cr_assert_eq(peer_ask(peer, "import fresh")->code, 400);
    cr_assert_eq(peer_ask_with(peer, "{}", "import main mode=sideways")->code, 400);
    cr_assert_eq(peer_ask_with(peer, large_document(2, 9, ""), "import ../up")->code, 400);
    struct answer *vendor = peer_ask_with(
        peer, "{\"pool\":{\"vendor\":\"nobody\"},\"keys\":[{\"config\":{\"api_key\":\"x\"}}]}",
        "import fresh");
    cr_assert_eq(vendor->code, 404);
    peer_must(peer, "show pools");
}

/* A tree of them would take a hundred times their bytes. */
TEST_BOTH_LOOPS(transfer, a_document_of_countless_parts_costs_no_memory) {
    enum { BYTES = 20 << 20 };
    static const struct {
        const char *head, *part, *tail;
        int code;
    } CASES[] = {
        { "{\"keys\":[", "[],", "[]]}", 400 },
        { "{\"keys\":[", "{},", "{}]}", 409 },
        { "{\"keys\":[{\"config\":{\"a\":[", "[],", "[]]}}]}", 413 },
        { "{\"pool\":[", "{},", "{}],\"keys\":[]}", 413 },
        { "{", "\"a\":[],", "\"keys\":[]}", 400 },
        { "{\"keys\":", "[", "", 400 },
        { "", "{\"keys\":", "", 400 },
    };
    struct peer *peer = start(b);
    const char *before = export_of(peer, "main", "secrets=yes");
    char *text = malloc(BYTES + 100);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        size_t length = strlen(CASES[i].part);
        char *at = stpcpy(text, CASES[i].head);
        for (; at - text < BYTES; at += length)
            memcpy(at, CASES[i].part, length);
        strcpy(at, CASES[i].tail);
        struct answer *refused = peer_ask_with(peer, text, "import main mode=merge");
        cr_assert_eq(refused->code, CASES[i].code, "%zu: %s", i, refused->status);
        if (!scene_sanitized())
            cr_assert_lt(broker_memory_kib(b, "VmHWM"), 200 * 1024, "%zu: beside the payload", i);
    }
    free(text);
    cr_assert_str_eq(export_of(peer, "main", "secrets=yes"), before);
}

/* ---- a large import and everybody else ---- */

struct importer {
    struct broker *broker;
    char *document;
    _Atomic bool done;
};

static int import_huge(void *argument) {
    struct importer *importer = argument;
    struct peer *peer = peer_open(importer->broker);
    int code = peer_ask_with(peer, importer->document, "import huge")->code;
    atomic_store(&importer->done, true);
    return code;
}

static char *huge_document(unsigned keys) {
    char *text;
    size_t length;
    FILE *stream = open_memstream(&text, &length);
    fputs("{\"format\":1,\"pool\":{\"vendor\":\"openai\"},\"keys\":[", stream);
    for (unsigned i = 0; i < keys; i++)
        fprintf(stream, "%s{\"name\":\"h%u\",\"config\":{\"api_key\":\"" PEER_SECRET "\"}}",
                i ? "," : "", i, i);
    fputs("]}", stream);
    cr_assert_eq(fclose(stream), 0);
    return text;
}

/* Until the broker has announced it: the reader itself skips the key at once. */
static int64_t fail_over_ms(kb_reader *reader) {
    const kb_key *key = kb_current(reader);
    cr_assert_not_null(key);
    uint64_t generation = key->ticket.generation;
    int64_t began = scene_now_ms();
    kb_report(reader, key->ticket, KB_QUOTA, KB_NO_HINT);
    do
        key = kb_current(reader);
    while (key && key->ticket.generation == generation);
    return scene_now_ms() - began;
}

TEST_BOTH_LOOPS(transfer, a_failover_does_not_wait_for_a_large_import) {
    enum { KEYS = 4000 };
    broker_start(b, NULL);
    peer_make_large_pool(peer_open(b), "main", "k", KEYS);
    kb_reader *reader = worker_open(b, "main");
    fail_over_ms(reader); /* connects */
    struct importer *importer = worker_share(sizeof *importer);
    importer->broker = b;
    importer->document = huge_document(30000);
    int64_t began = scene_now_ms(), longest = 0;
    pid_t pid = worker_fork(import_huge, importer);
    unsigned failovers = 0;
    for (; failovers < KEYS - 2 && !atomic_load(&importer->done); failovers++) {
        int64_t took = fail_over_ms(reader);
        longest = took > longest ? took : longest;
        usleep(500);
    }
    int64_t whole = scene_now_ms() - began;
    cr_assert_eq(worker_wait(pid), 0);
    cr_assert_gt(failovers, 10);
    cr_assert_lt(longest, whole / 4, "one of %u failovers took %lld of the import's %lld ms",
                 failovers, (long long)longest, (long long)whole);
    free(importer->document);
    kb_close(reader);
}
