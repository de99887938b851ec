/*
 * What the programs say of themselves: where log lines go, how they begin for which reader, and
 * what is worth a line.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/peer.h"
#include "tests/support/program.h"
#include "tests/support/worker.h"

static void close_all(void) {
    for (int fd = 0; fd <= 2; fd++)
        close(fd);
}

static size_t size_of(const char *directory, const char *name) {
    struct stat st;
    cr_assert_eq(stat(scene_text("%s/%s", directory, name), &st), 0);
    return (size_t)st.st_size;
}

TEST_BOTH_LOOPS(log, with_its_streams_closed_no_line_lands_in_a_file_of_the_broker) {
    b->prepare = close_all;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 2);
    broker_signal(b, SIGHUP); /* says so */
    peer_must(peer, "disable key main key2");
    cr_expect_eq(size_of(b->state_dir, ".lock"), 0);
    cr_expect_eq(size_of(b->runtime_dir, ".lock"), 0);
    cr_expect_eq(peer_must(peer, "show pools")->code, 0);
    cr_assert_eq(broker_stop(b), 0);
    broker_restart(b);
    peer = peer_open(b);
    cr_expect_str_eq(peer_key_status(peer, "main", "key2"), "disabled", "and the store is whole");
    cr_expect_eq(size_of(b->state_dir, ".lock"), 0);
}

TEST_BOTH_LOOPS(log, a_command_whose_streams_are_closed_does_its_work) {
    peer_start(b, 2);
    const char *command = scene_text("exec %s --runtime-dir %s disable key main key2 <&- >&- 2>&-",
                                     scene_program("keybroker"), b->runtime_dir);
    struct program *program =
        program_run(NULL, NULL, (const char *const[]){ "/bin/sh", "-c", command, NULL });
    cr_expect_eq(program->code, 0);
    cr_expect_str_eq(peer_key_status(peer_open(b), "main", "key2"), "disabled");
}

/* As systemd does for a service whose stderr is connected to the journal. */
static void name_the_journal(void) {
    struct stat st;
    char stream[64];
    if (fstat(STDERR_FILENO, &st) == 0) {
        snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
                 (unsigned long long)st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
    }
}

/* A service's stderr that somebody redirected to a file. */
static void name_another_journal(void) {
    setenv("JOURNAL_STREAM", "9:1234567", 1);
}

TEST_BOTH_LOOPS(log, only_the_journal_gets_priorities) {
    b->prepare = name_the_journal;
    broker_start(b, NULL);
    char *log = broker_log(b);
    cr_expect_eq(strncmp(log, "<6>info: ", 9), 0, "%s", log);
    free(log);
}

TEST_BOTH_LOOPS(log, any_other_reader_gets_the_time) {
    b->prepare = name_another_journal;
    b->environment = (const char *const[]){ "TZ=AAA-5:30", NULL };
    broker_start(b, NULL);
    int year, month, day, hour, minute, second, used = 0;
    char *log = broker_log(b);
    cr_expect_eq(sscanf(log, "%4d-%2d-%2dT%2d:%2d:%2d+05:30 info: %n", &year, &month, &day, &hour,
                        &minute, &second, &used),
                 6, "%s", log);
    cr_expect_gt(used, 0, "%s", log);
    cr_expect_null(strstr(log, "<6>"));
    free(log);
}

TEST_BOTH_LOOPS(log, warns_of_keys_that_expire_within_a_week_once_and_after_a_start) {
    struct peer *peer = peer_start(b, 4);
    peer_must(peer, "set key main key2 expires=+3d");
    peer_must(peer, "set key main key3 expires=+30d");
    peer_must(peer, "set key main key4 expires=+5h");
    EVENTUALLY(broker_log_has(b, "warning: pool main: key key2 expires in 2 d, at "));
    EVENTUALLY(broker_log_has(b, "warning: pool main: key key4 expires in 4 h, at "));
    cr_expect_not(broker_log_has(b, "key key3 expires"));
    peer_must(peer, "set key main key2 note=x");
    scene_sleep_ms(1200); /* it looks once a second */
    char *log = broker_log(b), *first = strstr(log, "key key2 expires");
    cr_expect_null(strstr(first + 1, "key key2 expires"), "once a day is enough:\n%s", log);
    free(log);
    broker_restart(b);
    EVENTUALLY((log = broker_log(b), first = strstr(log, "key key2 expires"),
                first = strstr(first + 1, "key key2 expires"), free(log), first != NULL));
}

TEST_BOTH_LOOPS(log, a_guard_that_comes_on_is_a_warning) {
    struct peer *peer = peer_start(b, 4);
    peer_must(peer, "set pool main guard=on");
    kb_reader *reader = worker_open(b, "main");
    for (unsigned i = 0; i < 4; i++) {
        const kb_key *key = kb_current(reader);
        if (key)
            kb_report(reader, key->ticket, KB_INVALID, KB_NO_HINT);
    }
    EVENTUALLY(broker_log_has(b, "warning: pool main: guard on"));
    kb_close(reader);
}
