/*
 * Events with a real broker: who they say it was, what makes one, whose are kept when there are too
 * many.
 */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

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
