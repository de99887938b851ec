/*
 * What an admin session may cost others, above all a viewer's, who may only look: whatever it asks
 * for and however little it reads, others' failovers and commands go on between, and the broker's
 * memory stays bounded. Some of it needs root, to become a viewer.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/worker.h"

enum { VIEWERS = 54322, VIEWER = 61002, AHEAD = 256, MIB = 1 << 20 };
static const struct peer_identity A_VIEWER = { .uid = VIEWER, .gid = VIEWERS };

static struct peer *start(struct broker *b) {
    broker_start(b, "--viewer-group=54322", NULL);
    return peer_open(b);
}

/* A viewer where the test may become one; else the broker's own user, whose worst is the same. */
static struct peer *viewer_open(struct broker *b) {
    return geteuid() == 0 ? peer_open_as(b, &A_VIEWER) : peer_open(b);
}

/* In one packet, as far as the socket takes it. */
static void send_ahead(struct peer *peer, const char *line, unsigned count) {
    size_t length = strlen(line);
    char *all = malloc(length * count);
    cr_assert_not_null(all);
    for (unsigned i = 0; i < count; i++)
        memcpy(all + i * length, line, length);
    peer_send_bytes(peer, all, length * count);
    free(all);
}

/* Processor time that the broker's threads have used. */
static double processor_ms(const struct broker *b) {
    unsigned long user = 0, kernel = 0;
    FILE *file = fopen(scene_text("/proc/%d/stat", (int)b->pid), "r");
    cr_assert_not_null(file);
    int found =
        fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
    cr_assert_eq(found, 2);
    fclose(file);
    return (double)(user + kernel) * 1000 / (double)sysconf(_SC_CLK_TCK);
}

/* ---- time ---- */

/* A report, until another reader is handed another key; then the admin brings the first one back.
 */
static void fail_over(struct peer *admin, kb_reader *reporter, kb_reader *watcher) {
    uint64_t id = kb_current(reporter)->id;
    kb_report(reporter, kb_current(reporter)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(kb_current(watcher) && kb_current(watcher)->id != id);
    peer_must(admin, "enable key friend k0");
    EVENTUALLY(kb_current(reporter) && kb_current(reporter)->id == id);
}

/* How many of another user's failovers come between a viewer's first reply and its last. */
static unsigned failovers_beside(struct broker *b, const char *line) {
    enum { KEYS = 20000 };
    struct peer *admin = start(b), *viewer = viewer_open(b);
    unsigned commands = scene_sanitized() ? AHEAD / 8 : AHEAD, failovers = 0;
    peer_make_large_pool(admin, "large", "k", KEYS);
    worker_make_pool(admin, "friend", 2);
    kb_reader *reporter = worker_open(b, "friend"), *watcher = worker_open(b, "friend");
    send_ahead(viewer, line, commands);
    cr_assert_eq(peer_read(viewer)->code, 0);
    for (unsigned answered = 1; answered < commands;) {
        const char *first = peer_wait_line(viewer, 0);
        if (!first) {
            fail_over(admin, reporter, watcher);
            failovers++;
            continue;
        }
        cr_assert_str_eq(first, "OK");
        for (const char *next = first; *next;)
            cr_assert_not_null(next = peer_read_line(viewer));
        answered++;
    }
    kb_close(reporter);
    kb_close(watcher);
    return failovers;
}

TEST_BOTH_LOOPS(viewers, failovers_go_on_between_the_replies_of_lists_that_match_little) {
    unsigned failovers = failovers_beside(b, "json show keys large match=nothing-is-called-so\n");
    cr_assert_geq(failovers, 5, "%u failovers", failovers);
}

TEST_BOTH_LOOPS(viewers, others_commands_are_answered_between_a_viewers) {
    enum { KEYS = 20000, CONNECTIONS = 20, COMMANDS = 20 };
    struct peer *admin = start(b), *viewers[CONNECTIONS];
    peer_make_large_pool(admin, "large", "k", KEYS);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        viewers[i] = viewer_open(b);
    double before = worker_metric(admin, "keybroker_commands_total");
    for (unsigned i = 0; i < CONNECTIONS; i++)
        send_ahead(viewers[i], "show keys large match=nothing-is-called-so\n", AHEAD);
    for (unsigned i = 0; i < COMMANDS; i++)
        peer_must(admin, "show info");
    double others = worker_metric(admin, "keybroker_commands_total") - before - COMMANDS - 1;
    cr_assert_lt(others, 0.5 * CONNECTIONS * AHEAD, "%.0f of the viewers' came first", others);
}

/* ---- memory ---- */

TEST_BOTH_LOOPS(viewers, lists_that_nobody_reads_cost_bounded_memory) {
    enum { KEYS = 10000, CONNECTIONS = 20 };
    static const char *const LINES[] = { "json show events limit=10000\n", "json show keys large\n",
                                         "show metrics\n", "json export large\n",
                                         "json show events pool=large limit=10000\n" };
    struct peer *admin = start(b);
    peer_make_large_pool(admin, "large", "k", KEYS);
    long before = broker_memory_kib(b, "RssAnon");
    for (unsigned i = 0; i < CONNECTIONS; i++)
        send_ahead(viewer_open(b), LINES[i % 5], AHEAD);
    long most = 0;
    for (unsigned i = 0; i < 200; i++) {
        peer_must(admin, "show info");
        long now = broker_memory_kib(b, "RssAnon");
        most = now > most ? now : most;
    }
    if (!scene_sanitized())
        cr_assert_lt(most - before, 64 * 1024, "%ld KiB more", most - before);
}

TEST_BOTH_LOOPS(viewers, a_list_of_many_events_is_whole_and_in_order) {
    enum { KEYS = 3000 };
    struct peer *admin = start(b);
    peer_make_large_pool(admin, "large", "k", KEYS);
    peer_make_pool(admin, "small", "openai", 2);
    peer_must(admin, "disable key small key2");
    for (unsigned i = 0; i < 10; i++)
        peer_must(admin, "set key large k%05u weight=2", i + 1);
    struct answer *all = peer_must(admin, "json show events limit=10000");
    size_t count = json_array_size(answer_at(all, "events"));
    cr_assert_geq(count, KEYS);
    for (size_t i = 1; i < count; i++)
        cr_assert_eq(answer_number(all, scene_text("events.%zu.seq", i)),
                     answer_number(all, scene_text("events.%zu.seq", i - 1)) + 1);
    cr_assert_eq(answer_number(all, scene_text("events.%zu.seq", count - 1)),
                 answer_number(all, "last"));
    /* The newest of a pool are found however many came since, and before. */
    struct answer *few = peer_must(admin, "json show events pool=small limit=1");
    cr_assert_eq(json_array_size(answer_at(few, "events")), 1);
    cr_assert_str_eq(answer_string(few, "events.0.kind"), "status");
    few = peer_must(admin, "json show events pool=large key=k00003 limit=5");
    cr_assert_str_eq(answer_string(few, "events.0.kind"), "add key");
    cr_assert_str_eq(answer_string(few, "events.1.kind"), "set key");
    few = peer_must(admin, "json show events pool=large since=0 limit=2");
    cr_assert_eq(json_array_size(answer_at(few, "events")), 2);
    cr_assert_eq(answer_number(few, "events.0.seq"), 1);
}

/* ---- payloads ---- */

/* Four of them fill all the room that there is for payloads, without a byte of them. */
static void announce_large_payloads(struct broker *b, struct peer *peer) {
    const char *lines = scene_text("show info\nimport large <<%d\n", 64 * MIB);
    for (unsigned i = 0; i < 4; i++) {
        struct peer *announcing = peer_open(b);
        peer_send_bytes(announcing, lines, strlen(lines));
        cr_assert_eq(peer_read(announcing)->code, 0);
    }
    for (unsigned i = 0; i < 4; i++) /* and each of them has its turn before these */
        peer_must(peer, "show info");
}

TEST_BOTH_LOOPS(viewers, a_payload_that_is_refused_is_not_kept_whatever_it_ends_with) {
    enum { LINES = 24 };
    struct peer *peer = start(b);
    announce_large_payloads(b, peer);
    char *line = malloc(MIB);
    memset(line, 'x', MIB);
    line[MIB - 1] = '\n';
    long before = broker_memory_kib(b, "RssAnon");
    peer_send(peer, "import large <<");
    for (unsigned i = 0; i < LINES; i++)
        peer_send_bytes(peer, line, MIB);
    if (!scene_sanitized())
        cr_assert_lt(broker_memory_kib(b, "RssAnon") - before, 8 * 1024);
    peer_send_bytes(peer, "\r\n", 2);
    struct answer *refused = peer_read(peer);
    cr_assert_eq(refused->code, 503, "%s", refused->status);
    cr_assert_not_null(strstr(refused->message, "too many large payloads"));
    peer_must(peer, "show info");
    free(line);
}

/* Processor time for a payload of so many MiB, its lines of this length. */
static double payload_ms(struct broker *b, struct peer *peer, unsigned mib, size_t line_length) {
    char *text = malloc(MIB);
    memset(text, 'x', MIB);
    for (size_t i = line_length; i < MIB; i += line_length)
        text[i] = '\n';
    double before = processor_ms(b);
    peer_send(peer, "order keys no-such-pool <<");
    for (unsigned i = 0; i < mib; i++)
        peer_send_bytes(peer, text, MIB);
    peer_send_bytes(peer, "\n\n", 2);
    cr_assert_eq(peer_read(peer)->code, 404);
    free(text);
    return processor_ms(b) - before;
}

TEST_BOTH_LOOPS(viewers, a_payload_of_one_line_costs_no_more_than_one_of_many) {
    enum { SIZE = 24 };
    struct peer *peer = start(b);
    payload_ms(b, peer, 1, 100);
    double many = payload_ms(b, peer, SIZE, 100), one = payload_ms(b, peer, SIZE, (size_t)2 * MIB);
    cr_assert_lt(one, 5 * many + 100, "%.0f ms, with many lines %.0f ms", one, many);
}

/* ---- watching ---- */

struct watchers {
    const struct broker *broker;
    unsigned count;
    _Atomic bool ready, stop;
};

static int watch_on(void *argument) {
    struct watchers *watchers = argument;
    static struct peer *peers[128];
    static char ignored[65536];
    for (unsigned i = 0; i < watchers->count; i++) {
        peers[i] = peer_open(watchers->broker);
        peer_send(peers[i], "json watch");
        if (!peer_read_line(peers[i]))
            return 1;
    }
    atomic_store(&watchers->ready, true);
    while (!atomic_load(&watchers->stop)) {
        for (unsigned i = 0; i < watchers->count; i++)
            while (recv(peers[i]->fd, ignored, sizeof ignored, MSG_DONTWAIT) > 0)
                ;
        usleep(2000);
    }
    return 0;
}

/* Processor time of changes while so many watch. */
static double changes_ms(struct broker *b, struct peer *admin, unsigned count) {
    enum { CHANGES = 3000, PIECE = 200 };
    struct watchers *watchers = worker_share(sizeof *watchers);
    watchers->broker = b;
    watchers->count = count;
    pid_t pid = worker_fork(watch_on, watchers);
    EVENTUALLY(atomic_load(&watchers->ready));
    double before = processor_ms(b);
    for (unsigned i = 0; i < CHANGES; i += PIECE) {
        for (unsigned j = 0; j < PIECE; j++)
            peer_send(admin, "set key main key2 weight=%u", 1 + (i + j) % 900);
        for (unsigned j = 0; j < PIECE; j++)
            cr_assert_eq(peer_read(admin)->code, 0);
    }
    double took = processor_ms(b) - before;
    atomic_store(&watchers->stop, true);
    cr_assert_eq(worker_wait(pid), 0);
    return took;
}

TEST_BOTH_LOOPS(viewers, a_hundred_watches_cost_little_more_than_one) {
    struct peer *admin = peer_start(b, 2);
    changes_ms(b, admin, 1);
    double one = changes_ms(b, admin, 1), many = changes_ms(b, admin, 128);
    cr_assert_lt(many, 4 * one + 100, "%.0f ms, with one %.0f ms", many, one);
}
