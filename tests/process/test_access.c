/*
 * Who may do what: the admin socket's groups, the modes and groups of the files that workers see,
 * and secrets that must not show anywhere. Most of it needs root, to become somebody else.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <keybroker.h>

#include "tests/support/disk.h"
#include "tests/support/own_groups.h"
#include "tests/support/foreign.h"
#include "tests/support/peer.h"
#include "tests/support/program.h"
#include "tests/support/worker.h"

enum { ADMINS = 54321, VIEWERS = 54322, WORKERS = 54323, NOBODY = 65534 };
static const char CANARY[] = "sk-test-CANARY0123456789canary";

static bool may_become_others(void) {
    if (geteuid() == 0)
        return true;
    cr_skip_test("only root can become somebody else");
    return false;
}

static void start(struct broker *b) {
    broker_start(b, "--admin-group=54321", "--viewer-group=54322", NULL);
    struct peer *peer = peer_open(b);
    peer_must_with(peer, CANARY, "add pool main vendor=openai group=%d", WORKERS);
}

/* ---- the admin socket ---- */

TEST_BOTH_LOOPS(access, a_stranger_is_turned_away_with_a_reason) {
    if (!may_become_others())
        return;
    start(b);
    struct peer_identity stranger = { .uid = NOBODY, .gid = NOBODY };
    struct peer *peer = peer_open_as(b, &stranger);
    peer_send(peer, "show info");
    struct answer *answer = peer_read(peer);
    cr_assert_eq(answer->code, 403, "%s", answer->status);
    cr_assert_not_null(strstr(answer->message, "group"));
    cr_assert(peer_read_to_end(peer));
}

TEST_BOTH_LOOPS(access, one_of_500_groups_counts_as_well) {
    if (!may_become_others())
        return;
    start(b);
    struct peer_identity who = { .uid = NOBODY, .gid = NOBODY, .group_count = 500 };
    for (size_t i = 0; i < who.group_count; i++)
        who.groups[i] = (gid_t)(100000 + i);
    struct peer *stranger = peer_open_as(b, &who);
    peer_send(stranger, "show info");
    cr_assert_eq(peer_read(stranger)->code, 403, "none of them is the one");
    who.groups[250] = ADMINS;
    peer_must(peer_open_as(b, &who), "set key main key1 weight=2");
}

TEST_BOTH_LOOPS(access, members_of_the_admin_group_may_change) {
    if (!may_become_others())
        return;
    start(b);
    struct peer_identity members[] = {
        { .uid = NOBODY, .gid = ADMINS },
        { .uid = NOBODY, .gid = NOBODY, .group_count = 1, .groups = { ADMINS } },
        { .uid = NOBODY, .gid = NOBODY, .group_count = 4, .groups = { 5, ADMINS, VIEWERS, 7 } },
        { .uid = NOBODY, .gid = VIEWERS, .group_count = 1, .groups = { ADMINS } },
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct peer *peer = peer_open_as(b, &members[i]);
        peer_must(peer, "set key main key1 weight=%zu", i + 2);
        struct answer *text = peer_must(peer, "export main secrets=yes");
        cr_assert_not_null(strstr(text->body, CANARY));
    }
    struct peer *root = peer_open(b);
    struct answer *events = peer_must(root, "json show events pool=main limit=1");
    cr_assert_str_eq(answer_string(events, "events.0.who"),
                     scene_text("uid=%d pid=%d", NOBODY, getpid()));
}

TEST_BOTH_LOOPS(access, members_of_the_viewer_group_may_only_look) {
    static const char *const LOOKS[] = { "show info",          "show pools",  "show keys main",
                                         "show key main key1", "show events", "show metrics",
                                         "show vendors",       "export main", "help" };
    static const char *const CHANGES[] = {
        "disable key main key1",    "enable key main key1",
        "delete key main key1",     "move key main key1 first",
        "set key main key1 note=x", "set pool main strategy=spread",
        "order keys main key1",     "delete pool main confirm=main",
        "export main secrets=yes"
    };
    if (!may_become_others())
        return;
    start(b);
    struct peer_identity viewers[] = {
        { .uid = NOBODY, .gid = VIEWERS },
        { .uid = NOBODY, .gid = NOBODY, .group_count = 2, .groups = { 5, VIEWERS } },
    };
    for (size_t v = 0; v < 2; v++) {
        struct peer *peer = peer_open_as(b, &viewers[v]);
        for (size_t i = 0; i < sizeof LOOKS / sizeof *LOOKS; i++) {
            struct answer *answer = peer_must(peer, "json %s", LOOKS[i]);
            cr_assert_null(strstr(answer->body, CANARY), "%s shows the secret", LOOKS[i]);
        }
        for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++)
            cr_assert_eq(peer_ask(peer, "%s", CHANGES[i])->code, 403, "%s", CHANGES[i]);
        struct answer *info = peer_must(peer, "json show info");
        cr_assert_str_eq(answer_string(info, "access"), "viewer");
        cr_assert_eq(peer_ask_with(peer, CANARY, "add key main")->code, 403);
        cr_assert_eq(peer_ask_with(peer, "{\"keys\":[]}", "import main mode=merge")->code, 403);
        cr_assert_eq(peer_ask_with(peer, CANARY, "add pool x vendor=openai")->code, 403);
    }
    struct peer *root = peer_open(b);
    cr_assert_eq(answer_number(peer_must(root, "json show pool main"), "revision"), 1);
    cr_assert_str_eq(answer_string(peer_must(root, "json show info"), "access"), "admin");
}

TEST_BOTH_LOOPS(access, the_admin_group_is_nobody_when_none_is_named) {
    if (!may_become_others())
        return;
    broker_start(b, NULL);
    struct peer_identity who = { .uid = NOBODY, .gid = ADMINS, .group_count = 1, .groups = { 0 } };
    struct peer *peer = peer_open_as(b, &who);
    cr_assert_eq(peer_read(peer)->code, 403);
}

TEST_BOTH_LOOPS(access, a_group_that_does_not_exist_is_refused) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    struct answer *refused =
        peer_ask_with(peer, CANARY, "json add pool main vendor=openai group=no-such-group");
    cr_assert_eq(refused->code, 404);
    cr_assert_str_eq(answer_string(refused, "reason"), "no-such-group");
    cr_assert_neq(access(scene_text("%s/pools/main", b->runtime_dir), F_OK), 0);
    struct broker *wrong = broker_new(b->loop);
    broker_spawn(wrong, "--admin-group=no-such-group", NULL);
    cr_assert_eq(broker_wait_exit(wrong), 1);
    cr_assert(broker_log_has(wrong, "no-such-group"));
}

/* An ordinary user's broker may only give files to groups that the user is in. */
TEST_BOTH_LOOPS(access, a_group_that_the_broker_may_not_give_files_to_is_refused_with_the_cure) {
    if (!may_become_others())
        return;
    struct peer_identity nobody = { .uid = NOBODY, .gid = NOBODY };
    cr_assert_eq(chown(b->state_dir, NOBODY, NOBODY), 0);
    cr_assert_eq(chown(b->runtime_dir, NOBODY, NOBODY), 0);
    const char *program = foreign_program("keybrokerd");
    pid_t parent = getpid();
    b->pid = fork();
    if (b->pid == 0) {
        peer_become(&nobody);
        cr_assert_eq(setresgid(NOBODY, NOBODY, NOBODY) | setresuid(NOBODY, NOBODY, NOBODY), 0);
        scene_become_child(parent);
        execl(program, program, "--state-dir", b->state_dir, "--runtime-dir", b->runtime_dir,
              scene_text("--loop=%s", b->loop), NULL);
        _exit(127);
    }
    EVENTUALLY(access(scene_text("%s/admin.sock", b->runtime_dir), F_OK) == 0);
    struct peer *peer = NULL;
    EVENTUALLY((peer = peer_try_open(b)) != NULL);
    struct answer *refused =
        peer_ask_with(peer, CANARY, "json add pool main vendor=openai group=%d", WORKERS);
    cr_assert_eq(refused->code, 409, "%s", refused->status);
    cr_assert_str_eq(answer_string(refused, "reason"), "cannot-chgrp");
    cr_assert_not_null(strstr(refused->message, "member"));
    cr_assert_eq(peer_ask(peer, "show pool main")->code, 404);
    peer_must_with(peer, CANARY, "add pool main vendor=openai");
    cr_assert_eq(peer_ask(peer, "set pool main group=%d", WORKERS)->code, 409);
    struct peer *owner = peer_open_as(b, &nobody); /* the daemon's own user */
    peer_must(owner, "disable key main key1");
}

/* ---- groups of directories ---- */

TEST_BOTH_LOOPS(access, a_group_of_2000_members_works_as_any_other) {
    if (!own_groups(scene_disk(), WORKERS, 2000))
        cr_skip_test("needs root and a mount namespace");
    broker_start(b, "--admin-group=big", "--viewer-group=small", NULL);
    peer_must_with(peer_open(b), CANARY, "add pool main vendor=openai group=big");
    peer_must(peer_open(b), "set pool main group=small");
    peer_must(peer_open(b), "set pool main group=big");
    const char *pool = scene_text("%s/pools/main", b->runtime_dir);
    struct stat status;
    cr_assert_eq(stat(pool, &status), 0);
    cr_assert_eq(status.st_gid, WORKERS);
}

TEST_BOTH_LOOPS(access, a_look_up_that_fails_at_a_start_takes_no_keys_from_workers) {
    if (!own_groups(scene_disk(), WORKERS, 2))
        cr_skip_test("needs root and a mount namespace");
    broker_start(b, NULL);
    peer_must_with(peer_open(b), CANARY, "add pool main vendor=openai group=small");
    cr_assert_eq(broker_stop(b), 0);
    cr_assert(own_groups(scene_disk(), WORKERS, 1300000), "a line that is too long to be read");
    broker_restart(b);
    struct stat status;
    cr_assert_eq(stat(scene_text("%s/pools/main", b->runtime_dir), &status), 0);
    cr_assert_eq(status.st_gid, WORKERS + 1);
    cr_assert(broker_log_has(b, "group small can't be looked up"));
    struct answer *refused = peer_ask(peer_open(b), "set pool main group=big");
    cr_assert_eq(refused->code, 503, "%s", refused->status);
}

/* ---- user namespaces ---- */

enum { MAPPED = 60050, STRANGER = 60051 };

static void write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        dprintf(STDERR_FILENO, "%s: %s\n", path, strerror(errno));
    close(fd);
}

/* `USER nobody` in a container whose namespace maps that user and its group, and nobody else. */
static void become_nobody_in_a_namespace(void) {
    if (setgroups(0, NULL) < 0 || setresgid(MAPPED, MAPPED, MAPPED) < 0 ||
        setresuid(MAPPED, MAPPED, MAPPED) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0 ||
        unshare(CLONE_NEWUSER) < 0)
        dprintf(STDERR_FILENO, "namespace: %s\n", strerror(errno));
    write_text("/proc/self/setgroups", "deny");
    write_text("/proc/self/gid_map", scene_text("%d %d 1", ADMINS, MAPPED));
    write_text("/proc/self/uid_map", scene_text("%d %d 1", NOBODY, MAPPED));
}

static bool may_make_namespaces(void) {
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(setresuid(MAPPED, MAPPED, MAPPED) < 0 || unshare(CLONE_NEWUSER) < 0);
    return waitpid(child, &status, 0) == child && status == 0;
}

TEST_BOTH_LOOPS(access, strangers_who_show_as_the_brokers_own_uid_are_strangers) {
    if (!may_make_namespaces())
        cr_skip_test("needs root and user namespaces");
    cr_assert_eq(chown(b->state_dir, MAPPED, MAPPED) | chown(b->runtime_dir, MAPPED, MAPPED), 0);
    b->prepare = become_nobody_in_a_namespace;
    broker_start(b, "--admin-group=54321", NULL);
    cr_assert(broker_log_has(b, "uid 65534 is everybody who is not mapped"));
    struct peer_identity stranger = { .uid = STRANGER, .gid = STRANGER };
    struct peer *peer = peer_open_as(b, &stranger);
    peer_send(peer, "show info");
    cr_assert_eq(peer_read(peer)->code, 403);
    struct peer_identity member = { .uid = STRANGER, .gid = MAPPED };
    peer_must_with(peer_open_as(b, &member), CANARY, "add pool main vendor=openai");
}

TEST_BOTH_LOOPS(access, a_group_that_stands_for_strangers_is_no_admin_group) {
    if (!may_make_namespaces())
        cr_skip_test("needs root and user namespaces");
    cr_assert_eq(chown(b->state_dir, MAPPED, MAPPED) | chown(b->runtime_dir, MAPPED, MAPPED), 0);
    b->prepare = become_nobody_in_a_namespace;
    broker_spawn(b, "--admin-group=65534", NULL);
    cr_assert_eq(broker_wait_exit(b), 1);
    cr_assert(broker_log_has(b, "name another"));
}

/* Of these tests themselves: as on a machine whose root works below its home, 0700. */
TEST_BOTH_LOOPS(access, a_program_below_a_closed_directory_is_found_elsewhere_for_others) {
    if (!may_become_others())
        return;
    struct peer_identity nobody = { .uid = NOBODY, .gid = NOBODY };
    const char *closed = scene_dir(scene_disk(), "closed", 0700);
    cr_assert_eq(symlink(scene_program("keybroker"), scene_text("%s/keybroker", closed)), 0);
    cr_assert_eq(setenv("KEYBROKER_BUILD", closed, 1), 0);
    cr_assert_str_eq(scene_program("keybroker"), scene_text("%s/keybroker", closed));
    peer_become(&nobody);
    const char *argv[] = { foreign_program("keybroker"), "--version", NULL };
    struct program *version = program_run(NULL, NULL, argv);
    peer_come_back();
    cr_assert_eq(version->code, 0, "%s", version->err);
    cr_assert_not_null(strstr(version->out, "keybroker "));
    (void)b;
}

/* ---- a chroot without /proc ---- */

/* With the runtime directory as its root, which has nothing but what is published. */
static int work_without_proc(void *argument) {
    const struct broker *b = argument;
    kb_options options = KB_OPTIONS_INIT;
    kb_reader *reader = NULL;
    if (chroot(b->runtime_dir) < 0 || chdir("/") < 0 || access("/proc", F_OK) == 0)
        return 2;
    options.runtime_dir = "/";
    if (kb_open(&reader, "main", &options) < 0)
        return 3;
    const kb_key *key = kb_current(reader);
    if (!key || strcmp(key->name, "k0") != 0)
        return 4;
    kb_report_info info = KB_REPORT_INFO_INIT;
    const kb_http_response invalid = { .size = sizeof invalid, .status = 401 };
    if (kb_report_http(reader, key->ticket, &invalid, &info) != KB_NEXT_KEY || !info.sent)
        return 5;
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    while (!(key = kb_current(reader)) || strcmp(key->name, "new") != 0) /* another catalog */
        if (scene_now_ms() > until)
            return 6;
    kb_close(reader);
    return 0;
}

TEST_BOTH_LOOPS(access, a_worker_in_a_chroot_without_proc_reads_reports_and_follows) {
    if (!may_become_others())
        return;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    pid_t worker = worker_fork(work_without_proc, b);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "error") == 0);
    peer_must_with(peer, "sk-new", "add key main name=new");
    peer_must(peer, "move key main new first");
    cr_assert_eq(worker_wait(worker), 0);
}

/* ---- files ---- */

static void assert_file(const char *path, mode_t mode, gid_t gid) {
    struct stat status;
    cr_assert_eq(lstat(path, &status), 0, "%s: %s", path, strerror(errno));
    cr_assert_eq(status.st_mode & 07777, mode, "%s has mode %o, not %o", path,
                 status.st_mode & 07777, mode);
    cr_assert_eq(status.st_gid, gid, "%s has group %u, not %u", path, status.st_gid, gid);
}

static unsigned count_catalogs(const char *pool) {
    unsigned catalogs = 0;
    DIR *dir = opendir(pool);
    cr_assert_not_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        catalogs += strncmp(entry->d_name, "catalog.1.", 10) == 0;
    closedir(dir);
    return catalogs;
}

/* Every file below must be named here: a new one must be thought of. */
static void assert_files(const struct broker *b, gid_t gid) {
    const char *pool = scene_text("%s/pools/main", b->runtime_dir);
    assert_file(b->runtime_dir, 0755, getegid());
    assert_file(scene_text("%s/admin.sock", b->runtime_dir), 0666, getegid());
    assert_file(scene_text("%s/pools", b->runtime_dir), 0755, getegid());
    assert_file(pool, 0750, gid);
    EVENTUALLY(count_catalogs(pool) == 1); /* old ones are unlinked soon after they were replaced */
    unsigned others = 0;
    DIR *dir = opendir(pool);
    cr_assert_not_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *path = scene_text("%s/%s", pool, entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        if (strncmp(entry->d_name, "catalog.1.", 10) == 0) {
            assert_file(path, 0640, gid);
        } else if (strcmp(entry->d_name, "board.1") == 0) {
            assert_file(path, 0640, gid);
        } else if (strcmp(entry->d_name, "report.sock") == 0) {
            assert_file(path, 0660, gid);
        } else {
            others++;
        }
    }
    closedir(dir);
    cr_assert_eq(others, 0);
}

static void assert_state(const struct broker *b) {
    struct stat status;
    DIR *dir = opendir(b->state_dir);
    cr_assert_not_null(dir);
    cr_assert_eq(stat(b->state_dir, &status), 0);
    cr_assert_eq(status.st_mode & 07777, 0700);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        assert_file(scene_text("%s/%s", b->state_dir, entry->d_name), 0600, getegid());
    }
    closedir(dir);
}

TEST_BOTH_LOOPS(access, every_file_has_the_mode_and_group_that_the_access_rule_needs) {
    if (!may_become_others())
        return;
    start(b);
    struct peer *peer = peer_open(b);
    for (unsigned i = 0; i < 20; i++)
        peer_must(peer, "set key main key1 weight=%u", i + 1);
    assert_files(b, WORKERS);
    assert_state(b);
    peer_must(peer, "set pool main group=%d", VIEWERS);
    assert_files(b, VIEWERS);
    peer_must(peer, "set key main key1 weight=50");
    assert_files(b, VIEWERS);
    broker_restart(b);
    assert_files(b, VIEWERS);
    assert_state(b);
    peer = peer_open(b);
    peer_must(peer, "set pool main group=");
    assert_files(b, getegid());
}

/* The directory was given away at once, and its keys with the next change of any kind. */
TEST_BOTH_LOOPS(access, a_refused_change_of_group_gives_the_pool_to_nobody) {
    if (!may_become_others())
        return;
    struct slow_disk *disk = disk_new(b, b->state_dir);
    start(b);
    struct peer *peer = peer_open(b);
    static const char DOCUMENT[] =
        "{\"format\":1,\"pool\":{\"vendor\":\"openai\",\"group\":\"54322\"},"
        "\"keys\":[{\"name\":\"other\",\"config\":{\"api_key\":%s}}]}";
    const char *bad = scene_text(DOCUMENT, "\"\""), *good = scene_text(DOCUMENT, "\"sk-other\"");
    cr_assert_eq(peer_ask_with(peer, bad, "import main mode=merge")->code, 400);
    assert_files(b, WORKERS);
    peer_must_with(peer, good, "import main mode=merge dry-run");
    assert_files(b, WORKERS);
    cr_assert_eq(peer_ask(peer, "set pool main group=%d guard=nonsense", VIEWERS)->code, 400);
    assert_files(b, WORKERS);
    disk_break(disk, SLOW_DISK_ALL, EIO, 0);
    cr_assert_eq(peer_ask(peer, "set pool main group=%d", VIEWERS)->code, 503);
    assert_files(b, WORKERS);
    disk_repair(disk);
    EVENTUALLY(peer_ask(peer, "set key main key1 note=works")->code == 0);
    assert_files(b, WORKERS);
    peer_must_with(peer, good, "import main mode=merge");
    assert_files(b, VIEWERS);
}

/* The next change is judged while the one before is on its way to the disk. */
TEST_BOTH_LOOPS(access, changes_of_group_that_come_together_end_with_the_last) {
    if (!may_become_others())
        return;
    struct slow_disk *disk = disk_new(b, b->state_dir);
    start(b);
    struct peer *peer = peer_open(b);
    atomic_store(&disk->sync_delay_us, 50000);
    for (unsigned i = 0; i < 3; i++) {
        peer_send(peer, "set pool main group=%d", VIEWERS);
        scene_sleep_ms(10);
        peer_send(peer, "set pool main group=%d", WORKERS);
        cr_assert_eq(peer_read(peer)->code, 0);
        cr_assert_eq(peer_read(peer)->code, 0);
        assert_files(b, WORKERS);
    }
}

TEST_BOTH_LOOPS(access, a_directory_that_is_given_to_another_group_is_given_back) {
    if (!may_become_others())
        return;
    start(b);
    const char *pool = scene_text("%s/pools/main", b->runtime_dir);
    cr_assert_eq(chown(pool, (uid_t)-1, VIEWERS), 0);
    struct stat status;
    EVENTUALLY(stat(pool, &status) == 0 && status.st_gid == WORKERS);
    cr_assert(broker_log_has(b, "another group than the pool's"));
}

static int open_error_as(const struct broker *b, const struct peer_identity *who) {
    pid_t child = fork();
    if (child == 0) {
        kb_options options = KB_OPTIONS_INIT;
        kb_reader *reader = NULL;
        options.runtime_dir = b->runtime_dir;
        peer_become(who);
        int error = kb_open(&reader, "main", &options);
        const kb_key *key = error ? NULL : kb_current(reader);
        bool right = key && strcmp(key->api_key, CANARY) == 0;
        _exit(right ? 0 : error ? -error : 100);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

TEST_BOTH_LOOPS(access, who_may_enter_the_directory_may_use_the_pool) {
    if (!may_become_others())
        return;
    start(b);
    struct peer_identity worker = { .uid = NOBODY, .gid = WORKERS };
    struct peer_identity other = { .uid = NOBODY, .gid = NOBODY };
    struct peer_identity supplementary = {
        .uid = NOBODY, .gid = NOBODY, .group_count = 1, .groups = { WORKERS }
    };
    cr_assert_eq(open_error_as(b, &worker), 0);
    cr_assert_eq(open_error_as(b, &supplementary), 0);
    cr_assert_eq(open_error_as(b, &other), -KB_EACCES);
    /* Not even a worker may write to what it maps. */
    peer_become(&worker);
    int fd = open(scene_text("%s/pools/main/board.1", b->runtime_dir), O_RDWR);
    int made = mkdir(scene_text("%s/pools/main/x", b->runtime_dir), 0700);
    peer_come_back();
    cr_assert_lt(fd, 0);
    cr_assert_lt(made, 0);
}

/* ---- secrets ---- */

static bool file_has(const char *path, const char *text) {
    size_t length;
    char *bytes = program_read_file(path, &length);
    bool found = bytes && memmem(bytes, length, text, strlen(text));
    free(bytes);
    return found;
}

TEST_BOTH_LOOPS(access, a_secret_shows_nowhere_but_where_it_is_asked_for) {
    static const char *const COMMANDS[] = {
        "show info",   "show pools",           "show pool main", "show keys main",
        "show events", "show key main second", "show metrics",   "export main",
    };
    broker_start(b, "--log-level=debug", NULL);
    struct peer *peer = peer_open(b), *watcher = peer_open(b);
    peer_send(watcher, "json watch since=0");
    peer_must_with(peer, CANARY, "add pool main vendor=openai");
    peer_must_with(peer,
                   scene_text("{\"api_key\":\"%s-2\",\"client_secret\":\"%s\",\"deep\":{\"token\":"
                              "[\"%s\"]}}",
                              CANARY, CANARY, CANARY),
                   "add key main name=second");
    peer_must_with(peer, scene_text("%s-3", CANARY), "set key main second config=merge");
    /* Refusals must not quote it either, wherever it was put by mistake. */
    static const char *const MISTAKES[] = {
        "{\"api_key\": %s}", "\"%s\"", "{\"%s\"", "%s %s", "{\"api_key\":\"%s\xff\"}", "[\"%s\"]"
    };
    for (size_t i = 0; i < sizeof MISTAKES / sizeof *MISTAKES; i++) {
        char payload[256];
        const char *mark = strstr(MISTAKES[i], "%s");
        snprintf(payload, sizeof payload, "%.*s%s%s", (int)(mark - MISTAKES[i]), MISTAKES[i],
                 CANARY, mark + 2);
        struct answer *refused = peer_ask_with(peer, payload, "json add key main name=third");
        cr_assert_neq(refused->code, 0);
        cr_assert_null(strstr(refused->status, "CANARY"), "%s", refused->status);
        cr_assert_null(strstr(refused->body, "CANARY"), "%s", refused->body);
    }
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++) {
        cr_assert_null(strstr(peer_must(peer, "%s", COMMANDS[i])->body, "CANARY"), "%s",
                       COMMANDS[i]);
        cr_assert_null(strstr(peer_must(peer, "json %s", COMMANDS[i])->body, "CANARY"), "%s",
                       COMMANDS[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        cr_assert_null(strstr(peer_read_line(watcher), "CANARY"));
    cr_assert_not(file_has(scene_text("/proc/%d/cmdline", b->pid), "CANARY"));
    cr_assert_not(file_has(scene_text("/proc/%d/environ", b->pid), "CANARY"));
    cr_assert_eq(broker_stop(b), 0);
    cr_assert_not(broker_log_has(b, "CANARY"), "the log holds a secret");
    DIR *dir = opendir(b->state_dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        cr_assert_not(file_has(scene_text("%s/%s", b->state_dir, entry->d_name), "CANARY"),
                      "%s holds a secret in the clear", entry->d_name);
    closedir(dir);
}
