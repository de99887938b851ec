/*
 * Events with a real broker: who they say it was, what makes one, whose are kept when there are too
 * many.
 */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/disk.h"
#include "tests/support/peer.h"
#include "tests/support/program.h"
#include "tests/support/worker.h"

/* The newest event of a kind, NULL = there is none. */
static const json_t *newest(struct peer *peer, const char *options, const char *kind) {
    struct answer *answer = peer_must(peer, "json show events %s", options);
    const json_t *events = answer_at(answer, "events");
    for (size_t i = json_array_size(events); i-- > 0;)
        if (strcmp(json_text(json_array_get(events, i), "kind"), kind) == 0)
            return json_array_get(events, i);
    return NULL;
}

/* What the kernel calls this process: tests of a service run in its unit. */
static const char *own_program(void) {
    char *comm = program_read_file("/proc/self/comm", NULL);
    char *cgroup = program_read_file("/proc/self/cgroup", NULL);
    const char *program = NULL;
    comm[strcspn(comm, "\n")] = '\0';
    if (!strstr(cgroup, ".service"))
        program = scene_text("%s", comm);
    free(comm);
    free(cgroup);
    return program;
}

TEST_BOTH_LOOPS(events, say_by_name_who_it_was) {
    struct peer *peer = peer_start(b, 2);
    const struct passwd *me = getpwuid(getuid());
    const char *program = own_program();
    peer_must(peer, "disable key main key2");
    const json_t *event = newest(peer, "key=key2 pool=main", "status");
    cr_assert_not_null(event);
    cr_expect_eq(json_integer_value(json_at(event, "uid")), (long long)getuid());
    cr_expect_eq(json_integer_value(json_at(event, "pid")), (long long)getpid());
    if (me)
        cr_expect_str_eq(json_text(event, "user"), me->pw_name);
    if (program)
        cr_expect_str_eq(json_text(event, "program"), program);

    kb_reader *reader = worker_open(b, "main");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "key1"), "exceeded") == 0);
    peer_must(peer, "set key main key2 note=x"); /* the events are stored before this */
    event = newest(peer, "key=key1 pool=main", "status");
    cr_assert_str_eq(json_text(event, "to"), "exceeded");
    if (me)
        cr_expect_str_eq(json_text(event, "user"), me->pw_name);
    if (program)
        cr_expect_str_eq(json_text(event, "program"), program);
    struct program *shown = command_run(b, NULL, "show", "events", NULL);
    if (me && program)
        cr_expect_not_null(
            strstr(shown->out, scene_text("reported by %s (%s)", program, me->pw_name)), "%s",
            shown->out);
    kb_close(reader);
}

TEST_BOTH_LOOPS(events, taking_secrets_out_is_recorded_before_they_go) {
    struct peer *peer = peer_start(b, 3);
    const char *since =
        scene_text("since=%lld", answer_number(peer_must(peer, "json show info"), "last_event"));
    peer_must(peer, "export main");
    cr_expect_null(newest(peer, since, "export"), "nothing secret is in it");
    struct answer *document = peer_must(peer, "json export main secrets=yes");
    cr_expect_not_null(strstr(document->body, "sk-"));
    broker_kill(b); /* whoever has the answer can count on it */
    broker_restart(b);
    const json_t *event = newest(peer_open(b), since, "export");
    cr_assert_not_null(event);
    cr_expect_str_eq(json_text(event, "pool"), "main");
    cr_expect_str_eq(json_text(event, "who"), scene_text("uid=%u pid=%d", getuid(), getpid()));
    cr_expect_str_eq(json_text(event, "reason"), "3 keys with their secrets");
}

TEST_BOTH_LOOPS(events, no_secret_goes_out_that_cannot_be_recorded) {
    struct slow_disk *disk = disk_new(b, b->state_dir);
    struct peer *peer = peer_start(b, 1);
    disk_break(disk, SLOW_DISK_SYNC, EIO, 0);
    for (unsigned i = 0; i < 2; i++) { /* the one that finds out, and one that comes after */
        struct answer *refused = peer_ask(peer, "export main secrets=yes");
        cr_expect_eq(refused->code, 503);
        cr_expect_null(strstr(refused->body, "sk-"), "%s", refused->body);
        cr_expect_not_null(strstr(refused->message, i ? "recorded" : "exported"), "%s",
                           refused->message);
    }
    cr_expect_eq(peer_ask(peer, "export main")->code, 0);
    disk_repair(disk);
    EVENTUALLY(peer_ask(peer, "export main secrets=yes")->code == 0);
}

TEST_BOTH_LOOPS(events, a_backup_and_another_master_key_are_recorded_before_the_ok) {
    struct peer *peer = peer_start(b, 1);
    const char *file = scene_text("%s/backup", scene_dir(scene_disk(), "backups", 0777));
    peer_must(peer, "backup %s", file);
    broker_kill(b);
    broker_restart(b);
    peer = peer_open(b);
    const json_t *event = newest(peer, "", "backup");
    cr_assert_not_null(event);
    cr_expect_str_eq(json_text(event, "reason"), file);
    cr_expect_str_eq(json_text(event, "who"), scene_text("uid=%u pid=%d", getuid(), getpid()));
    cr_expect_eq(peer_ask(peer, "backup %s", file)->code, 409, "it is there");
    peer_must(peer, "rotate master-key");
    broker_kill(b);
    broker_restart(b);
    peer = peer_open(b);
    event = newest(peer, "", "rotate master-key");
    cr_assert_not_null(event);
    cr_expect_str_eq(json_text(event, "reason"), "a new key is in place");
    struct answer *all = peer_must(peer, "json show events");
    unsigned backups = 0;
    for (size_t i = 0; i < json_array_size(answer_at(all, "events")); i++)
        backups +=
            strcmp(json_text(json_array_get(answer_at(all, "events"), i), "kind"), "backup") == 0;
    cr_expect_eq(backups, 1, "what was refused made none");
}

/* ---- failovers ---- */

static const json_t *failover(struct peer *peer, const char *pool) {
    peer_must(peer, "set pool %s exceeded-recovery=never", pool); /* events are stored before */
    return newest(peer, scene_text("pool=%s", pool), "failover");
}

TEST_BOTH_LOOPS(events, a_failover_says_from_which_key_to_which_why_and_by_whom) {
    struct peer *peer = peer_start(b, 3);
    struct peer *watcher = peer_open(b);
    peer_send(watcher, "json watch pool=main");
    cr_assert_str_eq(peer_read_line(watcher), "OK");
    kb_reader *reader = worker_open(b, "main");
    kb_http_response answer = KB_HTTP_RESPONSE_INIT;
    answer.status = 429;
    answer.body = "{\"error\":{\"code\":\"insufficient_quota\"}}";
    answer.body_len = strlen(answer.body);
    kb_report_http(reader, kb_current(reader)->ticket, &answer, NULL);
    const char *line;
    do
        line = peer_read_line(watcher);
    while (line && !strstr(line, "\"failover\""));
    cr_assert_not_null(line);
    EVENTUALLY(strcmp(answer_string(peer_must(peer, "json show pool main"), "current"), "key2") ==
               0);
    const json_t *event = failover(peer, "main");
    cr_assert_not_null(event);
    cr_expect_str_eq(json_text(event, "key"), "key1");
    cr_expect_str_eq(json_text(event, "to_key"), "key2");
    cr_expect_str_eq(json_text(event, "class"), "quota");
    cr_expect_str_eq(json_text(event, "vendor_code"), "insufficient_quota");
    cr_expect_eq(json_integer_value(json_at(event, "http_status")), 429);
    cr_expect_eq(json_integer_value(json_at(event, "pid")), (long long)getpid());
    cr_expect_eq(json_integer_value(json_at(event, "count")), 1);
    EVENTUALLY(broker_log_has(b, "pool main: key1 → key2, quota (429 insufficient_quota), "
                                 "reported by "));
    struct program *shown = command_run(b, NULL, "show", "events", NULL);
    cr_expect_not_null(strstr(shown->out, "failover → key2"), "%s", shown->out);
    kb_close(reader);
}

TEST_BOTH_LOOPS(events, a_failover_to_no_key_is_one_too_and_the_log_warns) {
    struct peer *peer = peer_start(b, 1);
    kb_reader *reader = worker_open(b, "main");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "key1"), "exceeded") == 0);
    const json_t *event = failover(peer, "main");
    cr_assert_not_null(event);
    cr_expect_str_eq(json_text(event, "key"), "key1");
    cr_expect(json_is_null(json_at(event, "to_key")));
    EVENTUALLY(broker_log_has(b, "warning: pool main: no key is usable"));
    peer_must(peer, "enable key main key1");
    EVENTUALLY(broker_log_has(b, "pool main: there is a usable key again"));
    kb_close(reader);
}

TEST_BOTH_LOOPS(events, what_an_operator_does_and_a_recovery_is_no_failover) {
    struct peer *peer = peer_start(b, 2);
    kb_reader *reader = worker_open(b, "main");
    peer_must(peer, "disable key main key1");
    peer_must(peer, "enable key main key1");
    peer_must(peer, "move key main key2 first");
    peer_must(peer, "move key main key1 first");
    cr_expect_null(failover(peer, "main"));
    cr_assert_str_eq(worker_current(reader), "key1");
    kb_report(reader, kb_current(reader)->ticket, KB_RATE, 1); /* a second */
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "key1"), "cooling") == 0);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "key1"), "normal") == 0);
    const json_t *event = failover(peer, "main");
    cr_assert_not_null(event);
    cr_expect_str_eq(json_text(event, "to_key"), "key2");
    cr_expect_eq(answer_number(peer_must(peer, "json show pool main"), "failovers"), 1);
    kb_close(reader);
}

TEST_BOTH_LOOPS(events, a_key_that_expires_in_use_makes_a_failover_by_the_broker) {
    struct peer *peer = peer_start(b, 2);
    peer_must(peer, "set key main key1 expires=+1s");
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "key1"), "expired") == 0);
    EVENTUALLY(failover(peer, "main") != NULL);
    const json_t *event = failover(peer, "main");
    cr_expect_str_eq(json_text(event, "to_key"), "key2");
    cr_expect_str_eq(json_text(event, "who"), "broker");
    cr_expect_str_eq(json_text(event, "reason"), "its time passed");
}

/* ---- storms ---- */

enum { STORM_REPORTS = 200000, STORM_KEYS = 1000 };

struct storm {
    const struct broker *broker;
};

/* Says of every key, over and over, that it should cool for a millisecond. */
static int storm(void *argument) {
    const struct storm *storm = argument;
    kb_reader *reader = worker_open(storm->broker, "storm");
    kb_ticket tickets[STORM_KEYS];
    for (unsigned i = 0; i < STORM_REPORTS; i++) {
        const kb_key *key = kb_current(reader);
        if (key)
            tickets[i % STORM_KEYS] = key->ticket;
        if (key || i >= STORM_KEYS)
            kb_report(reader, tickets[i % STORM_KEYS], KB_RATE, 1);
    }
    kb_close(reader);
    return 0;
}

/* Who watches from the beginning gets every event that is kept, and a gap for all that are not. */
static void expect_every_hole_is_told(struct broker *b, struct peer *peer) {
    struct peer *watcher = peer_open(b);
    long long next = 1, last = answer_number(peer_must(peer, "json show info"), "last_event");
    unsigned gaps = 0;
    peer_send(watcher, "json watch since=0");
    cr_assert_str_eq(peer_read_line(watcher), "OK");
    while (next <= last) {
        json_t *line = json_loads(peer_read_line(watcher), 0, NULL);
        const char *type = json_text(line, "type");
        if (strcmp(type, "gap") == 0) {
            cr_assert_eq(json_integer_value(json_at(line, "from")), next);
            next = json_integer_value(json_at(line, "to")) + 1;
            gaps++;
        } else if (strcmp(type, "event") == 0) {
            cr_assert_eq(json_integer_value(json_at(line, "seq")), next++);
        }
        json_decref(line);
    }
    cr_expect_gt(gaps, 0);
}

/* A ring for all let one worker push out everybody's events in two seconds. */
TEST_BOTH_LOOPS(events, a_workers_storm_leaves_what_operators_and_other_pools_did) {
    broker_start(b, "--keep-events=400", NULL);
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 20);
    peer_make_large_pool(peer, "storm", "s", STORM_KEYS);
    peer_must(peer, "set pool main guard=off");
    peer_must(peer, "set key main key20 note=mine");
    kb_reader *reader = worker_open(b, "main");
    for (unsigned i = 0; i < 15; i++) {
        kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
        EVENTUALLY(worker_current(reader)[0]);
    }
    struct storm shared = { .broker = b };
    cr_assert_eq(worker_wait(worker_fork(storm, &shared)), 0);
    peer_must(peer, "set pool main guard=on");
    struct answer *all = peer_must(peer, "json show events limit=10000");
    unsigned benched = 0, mine = 0, storms = 0;
    const json_t *events = answer_at(all, "events");
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        bool main = strcmp(json_text(event, "pool"), "main") == 0;
        benched += main && strcmp(json_text(event, "to"), "exceeded") == 0;
        mine += main && strcmp(json_text(event, "key"), "key20") == 0 &&
                strcmp(json_text(event, "kind"), "set key") == 0;
        storms += !main && strncmp(json_text(event, "who"), "uid=", 4) != 0;
    }
    cr_expect_eq(benched, 15);
    cr_expect_eq(mine, 1);
    cr_expect_leq(storms, 200);
    kb_close(reader);
    expect_every_hole_is_told(b, peer);
}
