/*
 * Canaries: secrets that are planted in every way there is, and then looked for where they must not
 * be: logs, events, replies, /proc, the store's and a backup's bytes, core files, and, once they
 * were deleted, the broker's memory.
 */
#include <criterion/criterion.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/peer.h"
#include "tests/support/program.h"
#include "tests/support/scene.h"
#include "tests/support/worker.h"

/* Every canary has it in the middle, where a mask shows nothing. */
#define CORE "CaNaRyCaNaRy"

static const char *canary(const char *what) {
    return scene_text("sk-%s-" CORE "-%s-0000", what, what);
}

/* ---- the broker's memory ---- */

struct find {
    char mapping[128];
    char text[96]; /* what stands there, made printable */
};

static void note_find(struct find *find, const char *mapping, const char *at, const char *begin,
                      size_t have) {
    size_t before = (size_t)(at - begin) < 40 ? (size_t)(at - begin) : 40;
    snprintf(find->mapping, sizeof find->mapping, "%.120s", mapping);
    size_t length = 0;
    for (const char *c = at - before; c < begin + have && length + 1 < sizeof find->text; c++)
        find->text[length++] = isprint((unsigned char)*c) ? *c : '.';
    find->text[length] = '\0';
}

static size_t scan_mapping(int memory, uint64_t from, uint64_t to, const char *mapping,
                           const char *wanted, struct find *find) {
    size_t size = (size_t)(to - from), found = 0;
    char *bytes = malloc(size);
    cr_assert_not_null(bytes);
    ssize_t have = pread(memory, bytes, size, (off_t)from);
    for (char *at = bytes;
         have > 0 && (at = memmem(at, (size_t)(bytes + have - at), wanted, strlen(wanted))); at++) {
        if (!found++)
            note_find(find, mapping, at, bytes, (size_t)have);
    }
    free(bytes);
    return found;
}

/* How often it stands in what the broker has mapped; -1 = its memory may not be read. */
static int memory_finds(const struct broker *b, const char *wanted, struct find *find) {
    int memory = open(scene_text("/proc/%d/mem", b->pid), O_RDONLY | O_CLOEXEC);
    char *maps = program_read_file(scene_text("/proc/%d/maps", b->pid), NULL);
    int found = memory < 0 || !maps || !*maps ? -1 : 0;
    char *rest = maps;
    for (char *line; found >= 0 && (line = strsep(&rest, "\n")) && *line;) {
        uint64_t from, to;
        char mode[8];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &from, &to, mode) != 3 || mode[0] != 'r' ||
            strstr(line, "[vvar") || to - from > (UINT64_C(1) << 32))
            continue;
        found += (int)scan_mapping(memory, from, to, line, wanted, find);
    }
    free(maps);
    if (memory >= 0)
        close(memory);
    return found;
}

/* What needs it no more, but may hold it a little longer: the loop's turns, the store thread, the
 * next heartbeat. */
static void churn(struct peer *peer) {
    for (unsigned i = 0; i < 8; i++) {
        peer_must_with(peer, "sk-other-0123456789", "add key main name=other");
        peer_must(peer, "show keys main");
        peer_must(peer, "delete key main other");
    }
    scene_sleep_ms(1100);
}

static void expect_forgotten(struct broker *b, const char *secret, const char *how) {
    struct find find = { "", "" };
    int found = memory_finds(b, secret, &find);
    cr_assert_eq(found, 0, "%s: %d times, in %s: %s", how, found, find.mapping, find.text);
}

static bool can_look_into(struct broker *b) {
    struct find find;
    if (scene_sanitized()) /* freed memory is kept back there, with what was in it */
        cr_skip_test("a sanitizer keeps what was freed");
    if (memory_finds(b, "keybroker", &find) > 0)
        return true;
    cr_skip_test("the broker's memory may not be read here");
    return false;
}

TEST_BOTH_LOOPS(secrets, a_deleted_key_is_wiped_from_the_brokers_memory) {
    broker_start(b, NULL);
    if (!can_look_into(b))
        return;
    struct peer *peer = peer_open(b), *other = peer_open(b);
    struct find find;
    peer_make_pool(peer, "main", "openai", 2);
    peer_must_with(peer, canary("add"), "add key main name=add");
    peer_must_with(peer,
                   scene_text("{\"api_key\":\"%s\",\"extra\":[1,2,{\"client_secret\":\"%s\"}]}",
                              canary("json"), canary("deep")),
                   "add key main name=json");
    cr_assert_gt(memory_finds(b, canary("add"), &find), 0, "it is found where it is");
    peer_must_with(peer, scene_text("{\"api_key\":\"%s\"}", canary("merge")),
                   "set key main json config=merge");
    peer_must(peer, "json show keys main");
    peer_must(peer, "show key main add");
    peer_must(peer, "move key main add first");
    peer_must(other, "export main secrets=yes");
    peer_must(other, "json export main secrets=yes");
    peer_must(peer, "delete key main add");
    peer_must(peer, "delete key main json");
    churn(peer);
    expect_forgotten(b, canary("add"), "add key");
    expect_forgotten(b, canary("json"), "add key with JSON");
    expect_forgotten(b, canary("deep"), "deep in a config");
    expect_forgotten(b, canary("merge"), "set key");
    expect_forgotten(b, CORE, "any of them");
}

/* Add, change, replace: the older secret goes at once. */
TEST_BOTH_LOOPS(secrets, a_replaced_secret_is_wiped) {
    broker_start(b, NULL);
    if (!can_look_into(b))
        return;
    struct peer *peer = peer_open(b);
    struct find find;
    peer_make_pool(peer, "main", "openai", 1);
    peer_must_with(peer, canary("first"), "add key main name=one");
    for (unsigned i = 0; i < 3; i++)
        peer_must_with(peer, scene_text("{\"api_key\":\"%s\"}", canary(i ? "second" : "first")),
                       "set key main one config=%s", i % 2 ? "merge" : "replace");
    churn(peer);
    expect_forgotten(b, canary("first"), "set key");
    cr_assert_gt(memory_finds(b, canary("second"), &find), 0);
}

static const char *document(const char *what, unsigned keys, size_t filler) {
    char *text = malloc(filler + 1024 + keys * 512), *at = text;
    at +=
        sprintf(at, "{\"keys\":[{\"name\":\"d\",\"default\":true,\"config\":{\"api_key\":\"%s\"}}",
                canary(what));
    for (unsigned i = 0; i < keys; i++)
        at += sprintf(at, ",{\"name\":\"i%u\",\"config\":{\"api_key\":\"%s%u\"}}", i, canary(what),
                      i);
    at += sprintf(at, "],\"filler\":\"");
    memset(at, 'f', filler);
    sprintf(at + filler, "\"}");
    const char *kept = scene_text("%s", text);
    free(text);
    return kept;
}

TEST_BOTH_LOOPS(secrets, imported_and_exported_secrets_are_wiped_with_their_pool) {
    broker_start(b, NULL);
    if (!can_look_into(b))
        return;
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 1);
    peer_must_with(peer, canary("pool"), "add pool gone vendor=openai");
    peer_must_with(peer, document("merge", 40, 100), "import gone mode=merge");
    peer_must_with(peer, document("dry", 40, 100), "import gone mode=replace dry-run");
    peer_must_with(peer, document("replace", 800, 200000), "import gone mode=replace");
    peer_must(peer, "export gone secrets=yes");
    peer_must(peer, "delete pool gone confirm=gone");
    churn(peer);
    expect_forgotten(b, CORE, "import and export");
}

static void send_and_hang_up(struct broker *b, const char *line, const char *payload) {
    struct peer *peer = peer_open(b);
    peer_send(peer, "%s", line);
    peer_send_bytes(peer, payload, strlen(payload));
    scene_sleep_ms(20);
    peer_close(peer);
}

TEST_BOTH_LOOPS(secrets, what_was_refused_or_broken_off_is_wiped_too) {
    static const char *const BROKEN[] = {
        "{\"api_key\":\"%s\"",
        "{\"api_key\":[\"%s\"]}",
        "{\"api_key\":\"a\",\"base_url\":\"%s\"}",
        "%s\nsecond line",
        "{\"x\":\"%s\",\"x\":1}",
        "[\"%s\"]",
        "\"%s",
        "{\"keys\":\"%s\"}",
        "{\"keys\":[{\"name\":\"%s\"}]}",
    };
    broker_start(b, NULL);
    if (!can_look_into(b))
        return;
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 2);
    for (size_t i = 0; i < sizeof BROKEN / sizeof *BROKEN; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        const char *payload = scene_text(BROKEN[i], canary("broken"));
#pragma GCC diagnostic pop
        static const char *const COMMANDS[] = {
            "add key main",           "add pool x vendor=openai", "set key main key2 config=merge",
            "import main mode=merge", "order keys main",          "rotate master-key given"
        };
        for (size_t c = 0; c < sizeof COMMANDS / sizeof *COMMANDS; c++) {
            struct answer *answer = peer_ask_with(peer, payload, "json %s", COMMANDS[c]);
            if (answer->code && c != 4) /* there they would be names */
                cr_assert_null(strstr(answer->status, CORE), "%s: %s", COMMANDS[c], answer->status);
        }
        peer_ask(peer, "delete pool x confirm=x");
    }
    peer_must_with(peer, "sk-other-0123456789", "set key main key2 config=replace");
    struct answer *shown = peer_must(peer, "json show keys main");
    for (size_t i = 0; i < json_array_size(answer_at(shown, "keys")); i++) {
        const char *id = scene_text("keys.%zu", i);
        if (!json_is_true(json_at(answer_at(shown, id), "default")))
            peer_must(peer, "delete key main #%lld", answer_number(shown, scene_text("%s.id", id)));
    }
    peer_ask_with(peer, canary("twice"), "add key main name=key1");
    peer_ask_with(peer, canary("nowhere"), "add key nowhere");
    peer_ask_with(peer, canary("unknown"), "frobnicate");
    peer_ask(peer, "%s", canary("line")); /* a secret where a command should stand */
    send_and_hang_up(b, "add key main <<", canary("half"));
    send_and_hang_up(b, "add key main <<5000", canary("half"));
    send_and_hang_up(b, "import main mode=merge <<50000000", document("half", 200, 300000));
    send_and_hang_up(b, "add key main <<50000000", document("large", 20, 3000));
    churn(peer);
    expect_forgotten(b, CORE, "what was refused");
}

TEST_BOTH_LOOPS(secrets, what_was_read_from_the_store_is_wiped) {
    broker_start(b, NULL);
    if (!can_look_into(b))
        return;
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 1);
    peer_must_with(peer, canary("stored"), "add key main name=one account=a note=n");
    peer_must_with(peer, canary("pool"), "add pool gone vendor=anthropic");
    broker_restart(b);
    peer = peer_open(b);
    broker_signal(b, SIGHUP);
    peer_must(peer, "set pool gone strategy=spread");
    peer_must(peer, "delete key main one");
    peer_must(peer, "delete pool gone confirm=gone");
    churn(peer);
    expect_forgotten(b, CORE, "a start");
}

/* ---- what is shown ---- */

static void expect_absent(const char *text, const char *where) {
    const char *found = strstr(text, CORE);
    cr_assert_null(found, "%s: %.80s", where, found ? found : "");
}

static void expect_file_absent(const char *path) {
    size_t length = 0;
    char *bytes = program_read_file(path, &length);
    cr_assert_not_null(bytes, "%s", path);
    cr_assert_null(memmem(bytes, length, CORE, strlen(CORE)), "%s", path);
    free(bytes);
}

static void plant(struct peer *peer) {
    peer_must_with(peer, canary("default"), "add pool main vendor=openai guard=off");
    peer_must_with(peer,
                   scene_text("{\"api_key\":\"%s\",\"organization\":\"org-1\","
                              "\"extra\":{\"client_secret\":\"%s\",\"list\":[{\"token\":\"%s\"}]}}",
                              canary("json"), canary("deep"), canary("list")),
                   "add key main name=json account=acme note=noted");
    peer_must_with(peer, canary("plain"), "add key main name=plain");
    peer_must_with(peer, scene_text("{\"password\":\"%s\"}", canary("merged")),
                   "set key main plain config=merge");
    peer_must_with(peer, canary("other"), "add pool other vendor=anthropic");
}

TEST_BOTH_LOOPS(secrets, no_reply_event_metric_or_log_line_shows_one_unasked) {
    static const char *const LOOKS[] = {
        "show info",
        "show pools",
        "show pool main",
        "show keys main",
        "show keys main match=CaNaRy",
        "show key main json",
        "show key main plain",
        "show events",
        "show vendors",
        "show vendor openai",
        "show metrics",
        "export main",
        "export main secrets=no",
        "help",
        "help export",
    };
    broker_start(b, "--log-level=debug", NULL);
    struct peer *peer = peer_open(b), *watcher = peer_open(b);
    peer_send(watcher, "json watch since=0");
    plant(peer);
    kb_reader *reader = worker_open(b, "main");
    kb_report(reader, kb_current(reader)->ticket, KB_INVALID, KB_NO_HINT);
    kb_http_response response = { .size = sizeof response, .status = 401 };
    response.body = scene_text("{\"error\":{\"message\":\"Incorrect API key provided: %s\"}}",
                               kb_current(reader)->api_key);
    response.body_len = strlen(response.body);
    kb_report_http(reader, kb_current(reader)->ticket, &response, NULL);
    kb_close(reader);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "json"), "error") == 0);
    const char *exported = peer_must(peer, "export main secrets=yes")->body;
    cr_assert_not_null(strstr(exported, CORE), "asked for, it is given");
    peer_must_with(peer, exported, "import copy");
    expect_absent(peer_must_with(peer, exported, "json import main mode=replace dry-run")->body,
                  "a difference");
    for (size_t i = 0; i < sizeof LOOKS / sizeof *LOOKS; i++) {
        expect_absent(peer_must(peer, "%s", LOOKS[i])->body, LOOKS[i]);
        expect_absent(peer_must(peer, "json %s", LOOKS[i])->body, LOOKS[i]);
    }
    broker_signal(b, SIGHUP);
    peer_must(peer, "delete key main json");
    for (const char *line; (line = peer_read_line(watcher)) && !strstr(line, "heartbeat");)
        expect_absent(line, "an event");
    cr_assert_eq(broker_stop(b), 0);
    expect_file_absent(b->log_path);
}

static void expect_directory_absent(const char *path) {
    DIR *dir = opendir(path);
    cr_assert_not_null(dir, "%s", path);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            expect_file_absent(scene_text("%s/%s", path, entry->d_name));
    closedir(dir);
}

TEST_BOTH_LOOPS(secrets, neither_the_store_nor_a_backup_nor_the_process_list_has_one) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    plant(peer);
    peer_must(peer, "delete key main json");
    const char *backups = scene_dir(scene_disk(), "backups", 0700);
    peer_must(peer, "backup %s/one", backups);
    peer_must(peer, "rotate master-key");
    expect_directory_absent(b->state_dir);
    expect_directory_absent(backups);
    /* It waits for its standard input, so it can be looked at. */
    struct program *adding = command_start(b, canary("input"), "add", "key", "main", NULL);
    scene_sleep_ms(50);
    pid_t pids[] = { b->pid, adding->pid };
    for (size_t i = 0; i < 2; i++) {
        expect_file_absent(scene_text("/proc/%d/cmdline", pids[i]));
        expect_file_absent(scene_text("/proc/%d/environ", pids[i]));
    }
    program_finish(adding);
    cr_assert_eq(adding->code, 0, "%s", adding->err);
    expect_absent(adding->out, "what the command says");
    struct program *mistaken = command_run(b, NULL, "add", "key", "main", canary("word"), NULL);
    cr_assert_eq(mistaken->code, 2);
    expect_absent(mistaken->err, "what the command says of a mistake");
    cr_assert_eq(broker_stop(b), 0);
    expect_directory_absent(b->state_dir);
}

TEST_BOTH_LOOPS(secrets, a_broker_that_crashes_leaves_no_core_file) {
    broker_start(b, NULL);
    plant(peer_open(b));
    char *limits = program_read_file(scene_text("/proc/%d/limits", b->pid), NULL);
    const char *core = limits ? strstr(limits, "Max core file size") : NULL;
    unsigned long soft = 1, hard = 1;
    cr_assert_eq(core ? sscanf(core, "Max core file size %lu %lu", &soft, &hard) : 0, 2);
    cr_assert_eq(soft + hard, 0);
    free(limits);
    /* What is not dumpable belongs to root in /proc, and its memory to nobody of the same user. */
    struct stat status;
    cr_assert_eq(stat(scene_text("/proc/%d/maps", b->pid), &status), 0);
    cr_assert_eq(status.st_uid, 0);
    int wait_status;
    broker_signal(b, SIGABRT);
    cr_assert_eq(waitpid(b->pid, &wait_status, 0), b->pid);
    b->pid = 0;
    cr_assert(WIFSIGNALED(wait_status));
    cr_assert_not(WCOREDUMP(wait_status));
}
