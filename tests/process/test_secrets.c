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
        at += sprintf(at, ",{\"name\":\"i%u\",\"config\":{\"api_key\":\"%s\"}}", i, canary(what));
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
