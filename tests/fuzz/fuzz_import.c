/*
 * Fuzz target: import documents. Input: a byte that says how (mode, into which pool, dry run,
 * whether reports come in meanwhile, whether the commit fails), then the document.
 *
 * Checked: what was imported, if every key has a name there, can be imported again and then changes
 * nothing, and so can what is exported then; a dry run and a failed commit leave no trace, down to
 * the numbers that they drew; model, boards and committer agree.
 */
#include "rig.h"

#include "broker/memory.h"
#include "tests/support/model_fixture.h"

static struct rig_peer peer;

/* True if it was OK; the reply's body is in the peer's output, ended with a NUL. */
static bool ask(const char *line, const void *payload, size_t length) {
    char *head = payload ? mem_printf("json %s <<%zu\n", line, length) : mem_printf("%s\n", line);
    rig_clear_output(&peer);
    rig_send(&peer, head, strlen(head));
    rig_send(&peer, payload, length);
    rig_commit();
    free(head);
    must(peer.length > 4);
    return strncmp(peer.output, "OK\n", 3) == 0;
}

static unsigned turn;

static void report(void) {
    turn++;
    rig_report_outcome("p", turn % 2 ? "b" : "key1", turn % 3 ? KB_RATE : KB_INVALID);
}

static void change_nothing(const char *pool, const char *mode, const void *document,
                           size_t length) {
    char *line = mem_printf("import %s mode=%s", pool, mode);
    bool imported = ask(line, document, length);
    if (!imported || !strstr(peer.output, "\"changes\":[]"))
        fprintf(stderr, "%.*s\n%s\n", (int)length, (const char *)document, peer.output);
    must(imported && strstr(peer.output, "\"changes\":[]"));
    free(line);
}

/* What export prints is the pool, whole. */
static void import_export(const char *pool) {
    char *line = mem_printf("export %s secrets=yes", pool);
    must(ask(line, NULL, 0));
    size_t length = peer.length - 3;
    char *document = fuzz_copy(peer.output + 3, length);
    change_nothing(pool, "replace", document, length);
    free(line);
    free(document);
}

static bool names_every_key(const void *document, size_t length) {
    json_t *parsed = json_loadb(document, length, JSON_REJECT_DUPLICATES, NULL);
    const json_t *keys = json_object_get(parsed, "keys");
    bool named = parsed != NULL;
    for (size_t i = 0; i < json_array_size(keys); i++)
        named &= json_is_string(json_object_get(json_array_get(keys, i), "name"));
    json_decref(parsed);
    return named;
}

static void import_once(uint8_t how, const void *document, size_t length) {
    static const char *const MODES[] = { "create", "merge", "replace", "create" };
    const char *pool = how & 4 ? "new" : "p";
    bool dry = how & 8, fails = how & 32;
    char *before = dry || fails ? model_fixture_snapshot(rig.server.model) : NULL;
    char *line = mem_printf("import %s mode=%s%s", pool, MODES[how & 3], dry ? " dry-run" : "");
    rig.let_in = how & 16 && !before ? report : NULL;
    rig.failure = fails ? RIG_FAILS_TO_COMMIT : RIG_SOUND;
    bool imported = ask(line, document, length);
    rig.failure = RIG_SOUND;
    rig.let_in = NULL;
    if (before) {
        char *after = model_fixture_snapshot(rig.server.model);
        model_fixture_expect_same(before, after, "an import that was not made");
        free(after);
    } else if (imported) {
        if (names_every_key(document, length))
            change_nothing(pool, strcmp(MODES[how & 3], "merge") == 0 ? "merge" : "replace",
                           document, length);
        import_export(pool);
    }
    free(before);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = { data, size };
    uint8_t how = input_byte(&input);
    turn = 0;
    rig_begin();
    rig_connect(&peer, LEVEL_CHANGE);
    import_once(how, input.left ? input.at : (const uint8_t *)"", input.left);
    rig_end();
    return 0;
}
