/*
 * Hostile neighbours on one host: what one user does, by ten thousand connections or by a flood,
 * costs the others neither a connection nor a report; and what somebody planted in the broker's
 * directories is neither followed nor written through. Most of it needs root, to become others.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <keybroker_shared/board.h>
#include <keybroker_shared/report.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/program.h"
#include "tests/support/scene.h"
#include "tests/support/worker.h"

enum { ADMINS = 54321, VIEWERS = 54322, WORKERS = 54323, HOSTILE = 61001, FRIEND = 62001 };
static const struct peer_identity HOSTILE_WORKER = { .uid = HOSTILE, .gid = WORKERS };
static const struct peer_identity FRIENDLY_WORKER = { .uid = FRIEND, .gid = WORKERS };

static bool may_become_others(void) {
    if (geteuid() == 0)
        return true;
    cr_skip_test("only root can become somebody else");
    return false;
}

static void allow_descriptors(rlim_t soft, rlim_t hard) {
    struct rlimit files = { soft, hard };
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0, "setrlimit: %s", strerror(errno));
}

static struct peer *start(struct broker *b) {
    broker_start(b, "--admin-group=54321", "--viewer-group=54322", NULL);
    struct peer *peer = peer_open(b);
    peer_must_with(peer, "sk-k0", "add pool main vendor=openai guard=off group=%d", WORKERS);
    peer_must(peer, "set key main key1 name=k0");
    peer_must_with(peer, "sk-k1", "add key main name=k1");
    peer_must_with(peer, "sk-k2", "add key main name=k2");
    return peer;
}

/* -errno instead of a descriptor, so that forked children can use it. */
static int dial(const struct broker *broker) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s/pools/main/report.sock",
             broker->runtime_dir);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static int dial_as(const struct broker *broker, const struct peer_identity *who) {
    peer_become(who);
    int fd = dial(broker);
    peer_come_back();
    cr_assert_geq(fd, 0, "uid %u: %s", who->uid, strerror(-fd));
    return fd;
}

static bool is_closed(int fd) {
    struct pollfd state = { .fd = fd, .events = POLLIN };
    return poll(&state, 1, 0) > 0;
}

static struct kb_report_message message_about(uint64_t id, uint64_t generation) {
    return (struct kb_report_message){ .size = sizeof(struct kb_report_message),
                                       .type = KB_REPORT_OUTCOME,
                                       .key_id = id,
                                       .generation = generation,
                                       .hint_ms = UINT64_MAX,
                                       .outcome = KB_QUOTA,
                                       .count = 1 };
}

static double connections(struct peer *peer) {
    return worker_metric(peer, "keybroker_connections{socket=\"report\"}");
}

static double applied(struct peer *peer) {
    return worker_metric(peer, "keybroker_reports_total{class=\"quota\",fate=\"applied\"}");
}

/* The friend reports that the current key is used up, over its only connection, and the admin
 * brings it back: `rounds` times. */
static void expect_reports_arrive(struct peer *peer, kb_reader *reader, int friend_fd,
                                  unsigned rounds) {
    uint64_t id = worker_key_id(peer, "main", "k0");
    for (unsigned i = 0; i < rounds; i++) {
        double before = applied(peer);
        EVENTUALLY(kb_current(reader) && kb_current(reader)->id == id);
        struct kb_report_message message = message_about(id, kb_current(reader)->ticket.generation);
        cr_assert_eq(send(friend_fd, &message, sizeof message, MSG_NOSIGNAL),
                     (ssize_t)sizeof message, "report %u: %s", i, strerror(errno));
        EVENTUALLY(applied(peer) == before + 1);
        cr_assert_not(is_closed(friend_fd), "the friend was disconnected in round %u", i);
        peer_must(peer, "enable key main k0");
    }
}

/* ---- connections ---- */

struct crowd_of_one {
    const struct broker *broker;
    unsigned wanted;
    _Atomic bool ready, go;
    _Atomic unsigned opened;
    _Atomic int error;
    _Atomic bool stop;
};

/* Keeps as many connections open as it is let have, and opens new ones for ever. */
static int connect_on_and_on(void *argument) {
    struct crowd_of_one *crowd = argument;
    int *fds = calloc(crowd->wanted, sizeof *fds);
    allow_descriptors(crowd->wanted + 100, crowd->wanted + 100);
    peer_become(&HOSTILE_WORKER);
    atomic_store(&crowd->ready, true);
    while (!atomic_load(&crowd->go))
        usleep(1000);
    for (unsigned i = 0; fds && !atomic_load(&crowd->stop); i++) {
        if (i >= crowd->wanted) {
            if (i % crowd->wanted == 0)
                usleep(1000); /* else there would be nothing but this on a small machine */
            close(fds[i % crowd->wanted]);
        }
        fds[i % crowd->wanted] = dial(crowd->broker);
        if (fds[i % crowd->wanted] < 0) {
            atomic_store(&crowd->error, -fds[i % crowd->wanted]);
            return 1;
        }
        atomic_fetch_add(&crowd->opened, 1);
    }
    free(fds);
    return 0;
}

TEST_BOTH_LOOPS(neighbours, ten_thousand_connections_of_one_user_disconnect_nobody_else) {
    if (!may_become_others())
        return;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    rlim_t crowd_size = scene_sanitized() ? 3000 : 10000;
    if (files.rlim_max < crowd_size + 100)
        crowd_size = files.rlim_max - 100;
    struct crowd_of_one *crowd = worker_share(sizeof *crowd);
    crowd->broker = b;
    crowd->wanted = (unsigned)crowd_size;
    pid_t pid = worker_fork(connect_on_and_on, crowd);
    EVENTUALLY(atomic_load(&crowd->ready));
    allow_descriptors(crowd_size / 2, crowd_size / 2); /* the broker has half of what they open */
    struct peer *peer = start(b);
    kb_reader *reader = worker_open(b, "main");
    int friend_fd = dial_as(b, &FRIENDLY_WORKER);
    EVENTUALLY(connections(peer) == 1);
    atomic_store(&crowd->go, true);
    EVENTUALLY(atomic_load(&crowd->opened) >= crowd_size || atomic_load(&crowd->error));
    cr_assert_eq(atomic_load(&crowd->error), 0, "%s", strerror(atomic_load(&crowd->error)));
    expect_reports_arrive(peer, reader, friend_fd, 20);
    /* Another one may still come, and stays. */
    int second_fd = dial_as(b, &FRIENDLY_WORKER);
    expect_reports_arrive(peer, reader, second_fd, 20);
    cr_assert_not(is_closed(friend_fd));
    atomic_store(&crowd->stop, true);
    cr_assert_eq(worker_wait(pid), 0);
    EVENTUALLY(connections(peer) == 2);
    cr_assert_not(broker_log_has(b, "cannot accept"), "it ran out of descriptors");
    close(friend_fd);
    close(second_fd);
    kb_close(reader);
}

/* ---- floods ---- */

struct flood {
    const struct broker *broker;
    uint64_t key_id, generation;
    _Atomic bool stop;
    _Atomic uint64_t sent;
};

/* From many connections, as fast as they take it: every one of them always has something to say. */
static int flood_on_many(void *argument) {
    enum { CONNECTIONS = 200 };
    struct flood *flood = argument;
    int fds[CONNECTIONS];
    peer_become(&HOSTILE_WORKER);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        if ((fds[i] = dial(flood->broker)) < 0)
            return 1;
    struct kb_report_message message = message_about(flood->key_id, flood->generation);
    message.outcome = KB_RATE;
    for (uint64_t i = 0; !atomic_load(&flood->stop); i++) {
        message.hint_ms = 1000000 + i; /* each of them changes something */
        if (send(fds[i % CONNECTIONS], &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            atomic_fetch_add(&flood->sent, 1);
        else if (errno != EAGAIN)
            return 1;
    }
    return 0;
}

/* What came with a burst is more than a user's share: the rest of it is judged in turn, also when
 * the worker has closed the connection by then. */
TEST_BOTH_LOOPS(neighbours, nothing_is_lost_of_what_a_user_said_before_it_had_to_rest) {
    enum { BURST = 150 };
    if (!may_become_others())
        return;
    struct peer *peer = start(b);
    int friend_fd = dial_as(b, &FRIENDLY_WORKER);
    int fd = dial_as(b, &HOSTILE_WORKER);
    EVENTUALLY(connections(peer) == 2);
    struct kb_report_message message =
        message_about(worker_key_id(peer, "main", "k1"), UINT64_C(1) << 40);
    message.outcome = KB_REQUEST;
    broker_pause(b);
    for (unsigned i = 0; i < BURST; i++)
        cr_assert_eq(send(fd, &message, sizeof message, MSG_NOSIGNAL), (ssize_t)sizeof message);
    close(fd);
    broker_continue(b);
    EVENTUALLY(worker_metric(peer, "keybroker_reports_total{class=\"request\",fate=\"noted\"}") ==
               BURST);
    EVENTUALLY(connections(peer) == 1);
    close(friend_fd);
}

TEST_BOTH_LOOPS(neighbours, a_flood_on_two_hundred_connections_of_one_user_silences_nobody_else) {
    if (!may_become_others())
        return;
    struct peer *peer = start(b);
    kb_reader *reader = worker_open(b, "main");
    int friend_fd = dial_as(b, &FRIENDLY_WORKER);
    struct flood *flood = worker_share(sizeof *flood);
    flood->broker = b;
    flood->key_id = worker_key_id(peer, "main", "k2");
    flood->generation = kb_current(reader)->ticket.generation;
    pid_t pid = worker_fork(flood_on_many, flood);
    EVENTUALLY(atomic_load(&flood->sent) > 1000);
    uint64_t before = atomic_load(&flood->sent);
    expect_reports_arrive(peer, reader, friend_fd, 30);
    cr_assert_gt(atomic_load(&flood->sent), before, "it was a flood all the time");
    atomic_store(&flood->stop, true);
    cr_assert_eq(worker_wait(pid), 0);
    EVENTUALLY(connections(peer) == 1);
    close(friend_fd);
    kb_close(reader);
}

/* ---- the admin socket ---- */

/* How many sessions it gets, of `wanted`. */
static unsigned sit_down(const struct broker *b, const struct peer_identity *who, unsigned wanted) {
    unsigned got = 0;
    for (unsigned i = 0; i < wanted; i++) {
        struct peer *peer = peer_open_as(b, who);
        peer_send(peer, "show info");
        struct answer *answer = peer_read(peer);
        cr_assert(answer->code == 0 || answer->code == 503, "%s", answer->status);
        got += answer->code == 0;
    }
    return got;
}

TEST_BOTH_LOOPS(neighbours, no_viewer_and_no_admin_can_take_all_sessions) {
    enum { SESSIONS = 512 };
    if (!may_become_others())
        return;
    start(b);
    struct peer_identity viewer = { .uid = HOSTILE, .gid = VIEWERS };
    cr_assert_eq(sit_down(b, &viewer, 200), SESSIONS / 4);
    for (viewer.uid = HOSTILE + 1; viewer.uid < HOSTILE + 4; viewer.uid++)
        sit_down(b, &viewer, 100);
    viewer.uid = HOSTILE + 9;
    cr_assert_eq(sit_down(b, &viewer, 1), 0, "half of all sessions are not for viewers");
    struct peer_identity admin = { .uid = FRIEND, .gid = ADMINS };
    cr_assert_eq(sit_down(b, &admin, 200), SESSIONS / 4);
    peer_must(peer_open(b), "set key main k1 note=x");
}

struct strangers {
    const struct broker *broker;
    _Atomic bool stop;
    _Atomic unsigned turned_away;
};

static int knock_on_and_on(void *argument) {
    struct strangers *strangers = argument;
    const struct peer_identity who = { .uid = HOSTILE, .gid = HOSTILE };
    peer_become(&who);
    while (!atomic_load(&strangers->stop)) {
        struct peer *peer = peer_try_open(strangers->broker);
        if (!peer)
            return 1;
        struct answer *answer = peer_read(peer);
        if (answer->code != 403)
            return 2;
        peers_close();
        atomic_fetch_add(&strangers->turned_away, 1);
    }
    return 0;
}

TEST_BOTH_LOOPS(neighbours, strangers_who_knock_on_and_on_keep_nobody_out) {
    if (!may_become_others())
        return;
    struct peer *peer = start(b);
    struct strangers *strangers = worker_share(sizeof *strangers);
    strangers->broker = b;
    pid_t pid = worker_fork(knock_on_and_on, strangers);
    EVENTUALLY(atomic_load(&strangers->turned_away) > 100);
    unsigned descriptors = broker_descriptors(b);
    for (unsigned i = 0; i < 50; i++)
        peer_must(peer_open(b), "set key main k1 note=%u", i);
    peer_must(peer, "show info");
    atomic_store(&strangers->stop, true);
    cr_assert_eq(worker_wait(pid), 0);
    cr_assert_lt(broker_descriptors(b), descriptors + 60, "theirs are closed");
    cr_assert_eq(worker_metric(peer, "keybroker_connections{socket=\"admin\"}"), 51);
}

/* ---- planted files ---- */

static const char VICTIM_TEXT[] = "somebody else's file, and it stays so";

static const char *make_victim(void) {
    const char *path = scene_text("%s/victim", scene_tmpfs());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    cr_assert_eq(write(fd, VICTIM_TEXT, sizeof VICTIM_TEXT), (ssize_t)sizeof VICTIM_TEXT);
    close(fd);
    return path;
}

static void expect_victim_untouched(const char *path, const char *what) {
    struct stat status;
    size_t length;
    char *text = program_read_file(path, &length);
    cr_assert_not_null(text);
    cr_assert_eq(length, sizeof VICTIM_TEXT, "%s", what);
    cr_assert_eq(memcmp(text, VICTIM_TEXT, length), 0, "%s", what);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 07777, 0640, "%s: its mode is %o", what, status.st_mode);
    free(text);
}

static void shell(const char *command) {
    struct program *run =
        program_run(NULL, NULL, (const char *const[]){ "/bin/sh", "-c", command, NULL });
    cr_assert_eq(run->code, 0, "%s: %s", command, run->err);
}

enum planted { PLANTED_LINK, PLANTED_FIFO, PLANTED_DIRECTORY, PLANTED_FILE, PLANTED_KINDS };

static void plant(enum planted kind, const char *path, const char *victim) {
    shell(scene_text("rm -rf %s", path));
    switch (kind) {
    case PLANTED_LINK:
        cr_assert_eq(symlink(victim, path), 0, "%s: %s", path, strerror(errno));
        break;
    case PLANTED_FIFO:
        cr_assert_eq(mkfifo(path, 0600), 0, "%s: %s", path, strerror(errno));
        break;
    case PLANTED_DIRECTORY:
        cr_assert_eq(mkdir(path, 0700), 0, "%s: %s", path, strerror(errno));
        break;
    default:
        close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        break;
    }
}

/* Is it the new broker that answers? One that ends again may take a connection and hang up. */
static bool answers(const struct broker *b) {
    static const char ASK[] = "json show info\n";
    struct peer *peer = peer_try_open(b);
    bool is_new = false;
    if (peer && peer_try_send(peer, ASK, strlen(ASK)) == (ssize_t)strlen(ASK)) {
        const char *first = peer_wait_line(peer, 5000);
        const char *body = first ? peer_wait_line(peer, 5000) : NULL;
        json_t *info = body ? json_loads(body, 0, NULL) : NULL;
        is_new = json_integer_value(json_object_get(info, "pid")) == b->pid;
        json_decref(info);
    }
    if (peer)
        peer_close(peer);
    return is_new;
}

/* The broker serves, or it says what stands in its way and ends: it neither hangs nor follows. */
static void start_over_planted(struct broker *b, const char *what) {
    broker_spawn(b, NULL);
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    while (broker_is_running(b)) {
        if (answers(b)) {
            peer_must(peer_open(b), "set key main k1 note=x");
            broker_kill(b);
            return;
        }
        cr_assert_lt(scene_now_ms(), until, "%s: it hangs", what);
        scene_sleep_ms(5);
    }
    char *log = broker_log(b);
    cr_assert(log && strstr(log, "error:"), "%s: it ended without a word", what);
    cr_assert_null(strstr(log, "Assertion"), "%s: %s", what, log);
    free(log);
}

static void expect_not_followed(struct broker *b, const char *directory, const char *const *names) {
    const char *victim = make_victim();
    for (size_t i = 0; names[i]; i++)
        for (enum planted kind = 0; kind < PLANTED_KINDS; kind++) {
            const char *path = scene_text("%s/%s", directory, names[i]);
            const char *aside = scene_text("%s/aside", scene_tmpfs());
            const char *what = scene_text("%s, kind %d", names[i], (int)kind);
            shell(scene_text("cp -a %s %s", directory, aside));
            plant(kind, path, victim);
            start_over_planted(b, what);
            expect_victim_untouched(victim, what);
            shell(scene_text("rm -rf %s && mv %s %s", directory, aside, directory));
        }
    broker_start(b, NULL);
    peer_must(peer_open(b), "show key main k2");
}

TEST_BOTH_LOOPS(neighbours, what_is_planted_in_the_runtime_directory_is_not_followed) {
    static const char *const NAMES[] = {
        ".lock",
        "admin.sock",
        "pools",
        "pools/main",
        "pools/stranger",
        "pools/main/board.1",
        "pools/main/report.sock",
        "pools/main/catalog.1.0000000000000001",
        "pools/main/.board.1.new",
        "pools/main/stranger",
        NULL,
    };
    struct peer *peer = peer_open((broker_start(b, NULL), b));
    worker_make_pool(peer, "main", 3);
    broker_kill(b);
    expect_not_followed(b, b->runtime_dir, NAMES);
}

TEST_BOTH_LOOPS(neighbours, what_is_planted_in_the_state_directory_is_not_followed) {
    static const char *const NAMES[] = {
        ".lock", "store.mdb", "store.mdb.new", "master.key", "master.key.new", "stranger", NULL,
    };
    struct peer *peer = peer_open((broker_start(b, NULL), b));
    worker_make_pool(peer, "main", 3);
    broker_kill(b);
    expect_not_followed(b, b->state_dir, NAMES);
}

TEST_BOTH_LOOPS(neighbours, a_new_store_is_not_made_through_a_link) {
    static const char *const NAMES[] = { "store.mdb", "store.mdb.new", "master.key",
                                         "master.key.new" };
    const char *victim = make_victim();
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        b->state_dir = scene_dir(scene_disk(), scene_text("fresh%zu", i), 0700);
        plant(PLANTED_LINK, scene_text("%s/%s", b->state_dir, NAMES[i]), victim);
        broker_spawn(b, NULL);
        EVENTUALLY(!broker_is_running(b) || peer_try_open(b));
        if (broker_is_running(b))
            broker_kill(b);
        expect_victim_untouched(victim, NAMES[i]);
    }
}
