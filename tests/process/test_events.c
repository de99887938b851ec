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
