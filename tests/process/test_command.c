/* `keybroker` as people run it, against a real broker: exit codes, input, output, what it runs. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/peer.h"
#include "tests/support/program.h"
#include "tests/support/worker.h"

static const char SECRET[] = "sk-test-command-0123456789";

static void start(struct broker *b) {
    broker_start(b, NULL);
    struct program *added =
        command_run(b, scene_text("%s\n", SECRET), "add", "pool", "main", "vendor=openai", NULL);
    cr_assert_eq(added->code, 0, "%s", added->err);
}

TEST_BOTH_LOOPS(command, exit_codes_are_those_of_the_manual) {
    start(b);
    cr_assert_eq(command_run(b, NULL, "show", "pools", NULL)->code, 0);
    cr_assert_eq(command_run(b, NULL, "show", "pool", "nowhere", NULL)->code, 1);
    cr_assert_eq(command_run(b, NULL, "delete", "key", "main", "key1", NULL)->code, 1);
    cr_assert_eq(command_run(b, NULL, "frobnicate", NULL)->code, 2);
    cr_assert_eq(command_run(b, NULL, "--frobnicate", NULL)->code, 2);
    cr_assert_eq(command_run(b, NULL, "show", NULL)->code, 2);
    cr_assert_eq(command_run(b, NULL, "--version", NULL)->code, 0);
    cr_assert_eq(command_run(b, NULL, "--help", NULL)->code, 0);
    broker_kill(b);
    struct program *alone = command_run(b, NULL, "show", "pools", NULL);
    cr_assert_eq(alone->code, 3);
    cr_assert_gt(alone->err_length, 10);
    cr_assert_eq(alone->out_length, 0);
    cr_assert_eq(command_run(b, SECRET, "add", "key", "main", NULL)->code, 3);
}

TEST_BOTH_LOOPS(command, a_refusal_is_told_on_the_error_stream) {
    start(b);
    struct program *refused = command_run(b, NULL, "show", "key", "main", "nobody", NULL);
    cr_assert_eq(refused->code, 1);
    cr_assert_not_null(strstr(refused->err, "nobody"), "%s", refused->err);
    cr_assert_eq(refused->out_length, 0);
    refused = command_run(b, NULL, "-j", "show", "key", "main", "nobody", NULL);
    json_t *body = json_loads(refused->out, 0, NULL);
    cr_assert_eq(json_integer_value(json_object_get(body, "code")), 404, "%s", refused->out);
    json_decref(body);
}

TEST_BOTH_LOOPS(command, a_key_comes_on_standard_input_and_never_on_the_command_line) {
    start(b);
    struct program *added = command_run(b, "sk-test-second-0123456789\n", "add", "key", "main",
                                        "name=my key", "note=two words", NULL);
    cr_assert_eq(added->code, 0, "%s", added->err);
    struct program *shown = command_run(b, NULL, "-j", "show", "key", "main", "my key", NULL);
    json_t *key = json_loads(shown->out, 0, NULL);
    cr_assert_str_eq(json_text(key, "note"), "two words");
    cr_assert_str_eq(json_text(key, "masked"), "sk-…6789");
    json_decref(key);
    added = command_run(b, NULL, "add", "key", "main", NULL);
    cr_assert_eq(added->code, 2, "nothing on standard input");
    added = command_run(b, "sk-test-x-0123456789", "add", "key", "main", SECRET, NULL);
    cr_assert_eq(added->code, 2, "a secret on the command line");
    cr_assert_null(strstr(added->err, SECRET), "%s", added->err);
    added = command_run(b, "{\"api_key\":\"sk-test-third-0123456789\",\n\n\"region\":\"eu\"}\n",
                        "add", "key", "main", "name=json", NULL);
    cr_assert_eq(added->code, 0, "empty lines in JSON: %s", added->err);
    added = command_run(b, "{\"region\":null}", "set", "key", "main", "json", "config=merge", NULL);
    cr_assert_eq(added->code, 0, "%s", added->err);
}

TEST_BOTH_LOOPS(command, tables_show_what_there_is) {
    start(b);
    cr_assert_eq(command_run(b, NULL, "disable", "key", "main", "key1", NULL)->code, 0);
    static const struct {
        const char *words[4], *wanted;
    } TABLES[] = {
        { { "show", "pools", NULL }, "main" },
        { { "show", "keys", "main", NULL }, "disabled" },
        { { "show", "key", "main", "key1" }, "sk-…6789" },
        { { "show", "vendors", NULL }, "anthropic" },
        { { "show", "events", NULL }, "disabled" },
        { { "show", "info", NULL }, "version" },
        { { "show", "metrics", NULL }, "keybroker_keys" },
        { { "show", "vendor", "openai", NULL }, "api.openai.com" },
        { { "show", "pool", "main", NULL }, "priority" },
        { { "help", NULL }, "move key" },
    };
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++) {
        struct program *table = command_run(b, NULL, TABLES[i].words[0], TABLES[i].words[1],
                                            TABLES[i].words[2], TABLES[i].words[3], NULL);
        cr_assert_eq(table->code, 0, "table %zu: %s", i, table->err);
        cr_assert_not_null(strcasestr(table->out, TABLES[i].wanted), "no %s in:\n%s",
                           TABLES[i].wanted, table->out);
        cr_assert_null(strstr(table->out, SECRET));
    }
}

TEST_BOTH_LOOPS(command, what_it_exports_it_imports) {
    start(b);
    struct program *text = command_run(b, NULL, "export", "main", "secrets=yes", NULL);
    cr_assert_eq(text->code, 0);
    cr_assert_not_null(strstr(text->out, SECRET));
    struct program *copy = command_run(b, text->out, "import", "copy", NULL);
    cr_assert_eq(copy->code, 0, "%s", copy->err);
    struct program *reveal = command_run(b, NULL, "current", "copy", "--reveal", NULL);
    cr_assert_str_eq(reveal->out, scene_text("%s\n", SECRET));
    struct program *again =
        command_run(b, text->out, "import", "copy", "mode=replace", "dry-run", NULL);
    cr_assert_not_null(strstr(again->out, "0 changes"), "%s", again->out);
}

TEST_BOTH_LOOPS(command, current_shows_a_mask_and_reveals_when_told_also_without_a_broker) {
    start(b);
    for (unsigned round = 0; round < 2; round++) {
        struct program *current = command_run(b, NULL, "current", "main", NULL);
        cr_assert_eq(current->code, 0, "%s", current->err);
        cr_assert_not_null(strstr(current->out, "key1"));
        cr_assert_null(strstr(current->out, SECRET));
        current = command_run(b, NULL, "current", "main", "--reveal", NULL);
        cr_assert_str_eq(current->out, scene_text("%s\n", SECRET));
        current = command_run(b, NULL, "-j", "current", "main", NULL);
        cr_assert_null(strstr(current->out, SECRET));
        if (round == 0)
            broker_kill(b);
    }
    cr_assert_eq(command_run(b, NULL, "current", NULL)->code, 2);
}

/* Every verb; what is published is read all the same. */
TEST_BOTH_LOOPS(command, no_broker_is_3_and_no_pool_is_1) {
    static const char *const ASKS[][3] = {
        { "show", "pools" },
        { "show", "keys", "nowhere" },
        { "delete", "pool", "nowhere" },
        { "watch" },
        { "disable", "key", "nowhere" },
        { "export", "nowhere" },
        { "rotate", "master" },
        { "add", "pool", "nowhere" },
        { "current", "nowhere" },
    };
    start(b);
    struct program *missing = command_run(b, NULL, "current", "nowhere", NULL);
    cr_assert_eq(missing->code, 1);
    cr_assert_not_null(strstr(missing->err, "no such pool"), "%s", missing->err);
    cr_assert_eq(command_run(b, NULL, "current", "No Name", NULL)->code, 1);
    broker_kill(b);
    for (size_t i = 0; i < sizeof ASKS / sizeof *ASKS; i++) {
        struct program *ask = command_run(b, "sk-input", ASKS[i][0], ASKS[i][1],
                                          ASKS[i][1] ? ASKS[i][2] : NULL, NULL);
        cr_assert_eq(ask->code, 3, "%s %s: %d %s", ASKS[i][0], ASKS[i][1], ask->code, ask->err);
        cr_assert_not_null(strstr(ask->err, "broker"), "%s", ask->err);
    }
    cr_assert_eq(command_run(b, NULL, "help", NULL)->code, 0);
}

TEST_BOTH_LOOPS(command, an_exhausted_pool_is_a_refusal_that_says_so) {
    start(b);
    cr_assert_eq(command_run(b, NULL, "disable", "key", "main", "key1", NULL)->code, 0);
    struct program *current = command_run(b, NULL, "current", "main", NULL);
    cr_assert_eq(current->code, 1);
    cr_assert_not_null(strstr(current->err, "main"), "%s", current->err);
    struct program *run = command_run(b, NULL, "exec", "main", "--", "/bin/true", NULL);
    cr_assert_eq(run->code, 125);
}

TEST_BOTH_LOOPS(command, a_guard_that_holds_is_said_wherever_keys_are_shown) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 8);
    peer_must(peer, "set pool main guard=on");
    kb_reader *reader = worker_open(b, "main");
    kb_health_info health = KB_HEALTH_INFO_INIT;
    for (unsigned i = 0; i < 8 && kb_current(reader); i++)
        kb_report(reader, kb_current(reader)->ticket, KB_INVALID, KB_NO_HINT);
    EVENTUALLY(kb_health(reader, &health) == 0 && health.guarded);
    static const char *const LOOKS[][3] = { { "show", "pool", "main" },
                                            { "show", "keys", "main" } };
    for (size_t i = 0; i < sizeof LOOKS / sizeof *LOOKS; i++) {
        struct program *look = command_run(b, NULL, LOOKS[i][0], LOOKS[i][1], LOOKS[i][2], NULL);
        cr_assert_not_null(strstr(look->out, "The guard holds"), "%s", look->out);
    }
    struct program *pools = command_run(b, NULL, "show", "pools", NULL);
    cr_assert_not_null(strstr(pools->out, "holds "), "%s", pools->out);
    struct program *current = command_run(b, NULL, "current", "main", "--reveal", NULL);
    cr_assert_not_null(strstr(current->err, "guard holds"), "%s", current->err);
    struct program *json = command_run(b, NULL, "-j", "current", "main", NULL);
    cr_assert_not_null(strstr(json->out, "\"guarded\":true"), "%s", json->out);
    cr_assert_eq(strncmp(current->out, "sk-", 3), 0, "%s", current->out);
    kb_close(reader);
}

TEST_BOTH_LOOPS(command, exec_sets_the_vendors_variables_and_hands_down_nothing_else) {
    start(b);
    struct program *run = command_run(b, NULL, "exec", "main", "--", "/usr/bin/env", NULL);
    cr_assert_eq(run->code, 0, "%s", run->err);
    cr_assert_not_null(strstr(run->out, scene_text("OPENAI_API_KEY=%s\n", SECRET)));
    cr_assert_not_null(strstr(run->out, "OPENAI_BASE_URL=https://api.openai.com/v1\n"));
    cr_assert_not_null(strstr(run->out, "KEYBROKER_POOL=main\n"));
    /* 0, 1, 2 and the descriptor that lists the directory. */
    run = command_run(b, NULL, "exec", "main", "--", "/bin/ls", "/proc/self/fd", NULL);
    cr_assert_str_eq(run->out, "0\n1\n2\n3\n", "a descriptor was handed down: %s", run->out);
    run = command_run(b, NULL, "exec", "main", "--", "/bin/cat", "/proc/self/cmdline", NULL);
    cr_assert_null(memmem(run->out, run->out_length, SECRET, strlen(SECRET)));
    run = command_run(b, NULL, "exec", "main", "--", "/bin/sh", "-c", "exit 42", NULL);
    cr_assert_eq(run->code, 42);
}

/* As env(1) has them, so that a program's own 1, 2 and 3 are its own. */
TEST_BOTH_LOOPS(command, execs_own_failures_have_codes_of_their_own) {
    start(b);
    const char *data = scene_text("%s/data", scene_disk());
    close(open(data, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    const struct {
        const char *pool, *program;
        int code;
    } runs[] = { { "main", "/no/such/program", 127 },
                 { "main", "no-such-program", 127 },
                 { "main", data, 126 },
                 { "nowhere", "true", 125 },
                 { "main", NULL, 125 },
                 { "No Name", "true", 125 } };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct program *run =
            command_run(b, NULL, "exec", runs[i].pool, "--", runs[i].program, NULL);
        cr_assert_eq(run->code, runs[i].code, "%s: %d %s", runs[i].program, run->code, run->err);
        cr_assert_eq(strncmp(run->err, "keybroker: ", 11), 0, "%s", run->err);
    }
    broker_kill(b);
    cr_assert_eq(command_run(b, NULL, "exec", "nowhere", "--", "true", NULL)->code, 125);
    cr_assert_eq(command_run(b, NULL, "exec", "main", "--", "true", NULL)->code, 0);
}

TEST_BOTH_LOOPS(command, watch_prints_events_and_ends_with_3_when_the_broker_goes) {
    start(b);
    struct program *text = command_start(b, NULL, "watch", "since=0", NULL);
    struct program *json = command_start(b, NULL, "-j", "watch", "pool=main", "since=0", NULL);
    program_wait_output(text, "add pool");
    program_wait_output(json, "\"add pool\"");
    cr_assert_eq(command_run(b, NULL, "disable", "key", "main", "key1", NULL)->code, 0);
    program_wait_output(text, "disabled");
    program_wait_output(json, "\"to\":\"disabled\"");
    broker_kill(b);
    program_finish(text);
    program_finish(json);
    cr_assert_eq(text->code, 3);
    cr_assert_eq(json->code, 3);
}

TEST_BOTH_LOOPS(command, a_script_of_commands_comes_on_standard_input) {
    start(b);
    struct program *script = command_run(b,
                                         "add key main name=scripted <<\n"
                                         "sk-test-scripted-0123456789\n"
                                         "\n"
                                         "move key main scripted first\n"
                                         "-j show keys main\n",
                                         NULL);
    struct peer *peer = peer_open(b);
    struct answer *keys = peer_must(peer, "json show keys main");
    cr_assert_str_eq(answer_string(keys, "keys.0.name"), "scripted", "%s%s", script->out,
                     script->err);
}

TEST_BOTH_LOOPS(command, a_long_order_goes_through) {
    enum { KEYS = 700 };
    start(b);
    struct peer *peer = peer_open(b);
    peer_make_large_pool(peer, "large", "a-rather-long-name-for-a-key-", KEYS);
    json_t *names = json_array();
    for (unsigned i = KEYS; i > 0; i--)
        json_array_append_new(names,
                              json_string(scene_text("a-rather-long-name-for-a-key-%05u", i)));
    char *text = json_dumps(names, 0);
    struct program *ordered = command_run(b, text, "order", "keys", "large", NULL);
    cr_assert_eq(ordered->code, 0, "%s", ordered->err);
    struct answer *keys = peer_must(peer, "json show keys large limit=1");
    cr_assert_str_eq(answer_string(keys, "keys.0.name"), "a-rather-long-name-for-a-key-00700");
    free(text);
    json_decref(names);
}
