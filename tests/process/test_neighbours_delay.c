/*
 * How much longer another user's failovers take while a hostile one does its worst: floods, crowds
 * of connections, knocking at the admin socket. Three kinds of stretches take turns in one run: the
 * neighbour sleeps; it is as busy with sockets of its own, which any user may be; it is hostile. It
 * has a processor of its own, and everybody else another one: otherwise one figure in a hundred is
 * a turn of the scheduler's (4 ms), whatever the neighbour is busy with. The figures are printed;
 * asserted is that every failover comes and, where reports reach ten thousand keys, which took a
 * thousand times as long before work was counted, that half of them take less than twenty times.
 * Also the program of the campaign `neighbours`: KEYBROKER_TEST_SIZE failovers each. Needs root, to
 * become others.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <keybroker_shared/report.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/worker.h"

enum { WORKERS = 54323, HOSTILE = 61001, FRIEND = 62001, STRETCHES = 8, ACCOUNT_KEYS = 10000 };

static const struct peer_identity HOSTILE_WORKER = { .uid = HOSTILE, .gid = WORKERS };
static const struct peer_identity FRIENDLY_WORKER = { .uid = FRIEND, .gid = WORKERS };

enum hostility {
    FLOOD_OF_ONE,  /* reports as fast as one connection takes them */
    FLOOD_OF_MANY, /* the same over two hundred */
    CROWD,         /* thousands of connections, and always new ones */
    KNOCKING,      /* a stranger at the admin socket, over and over */
    ACCOUNT,       /* reports that change all keys of a large account, each time */
    NO_NEWS,       /* reports about that account that change nothing */
    ENDPOINT,      /* failures of an endpoint that has as many keys */
    HOSTILITIES
};
static const char *const HOSTILITY_NAMES[HOSTILITIES] = {
    "flood of one connection",         "flood of 200 connections",      "crowd of 5000 connections",
    "knocking at the admin socket",    "flood that changes 10000 keys", "flood about 10000 keys",
    "flood about 10000 keys' endpoint"
};

enum mood { QUIET, BUSY, HOSTILE_NOW, MOODS };

struct neighbour {
    const struct broker *broker;
    enum hostility hostility;
    unsigned failovers; /* in a stretch */
    uint64_t key_id, generation;
    _Atomic bool stop;
    _Atomic int mood;
    _Atomic uint64_t deeds; /* hostile ones */
    unsigned count[MOODS];
    int64_t *took_ns[MOODS]; /* shared */
};

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Inherited by children and threads; where there is but one processor everybody shares it. */
static void stay_on(unsigned processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static int dial(const struct broker *broker, const char *socket_name, int type) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", broker->runtime_dir, socket_name);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* ---- the hostile one ---- */

enum { CONNECTIONS_MAX = 5000 };

static unsigned connections_of(enum hostility hostility) {
    return hostility == CROWD || hostility == KNOCKING ? CONNECTIONS_MAX
           : hostility == FLOOD_OF_MANY                ? 200
                                                       : 1;
}

static void act(struct neighbour *neighbour, int *fds, uint64_t deed) {
    int *fd = &fds[deed % connections_of(neighbour->hostility)];
    struct kb_report_message message = { .size = sizeof message,
                                         .type = KB_REPORT_OUTCOME,
                                         .key_id = neighbour->key_id,
                                         .generation = neighbour->generation,
                                         .hint_ms = 1000000 + deed,
                                         .outcome = KB_RATE,
                                         .count = 1 };
    if (neighbour->hostility == ACCOUNT)
        message.scope = KB_SCOPE_ACCOUNT;
    if (neighbour->hostility == NO_NEWS)
        message.outcome = KB_QUOTA;
    if (neighbour->hostility == ENDPOINT)
        message.outcome = KB_OVERLOAD;
    switch (neighbour->hostility) {
    case FLOOD_OF_ONE:
    case FLOOD_OF_MANY:
    case ACCOUNT:
    case NO_NEWS:
    case ENDPOINT:
        if (*fd < 0)
            *fd = dial(neighbour->broker, "pools/main/report.sock", SOCK_SEQPACKET);
        send(*fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case CROWD:
        if (*fd >= 0)
            close(*fd);
        *fd = dial(neighbour->broker, "pools/main/report.sock", SOCK_SEQPACKET);
        break;
    default:
        *fd = dial(neighbour->broker, "admin.sock", SOCK_STREAM);
        close(*fd);
        *fd = -1;
        break;
    }
}

/* The same kind of calls, and the broker hears none of them. */
static void be_busy(enum hostility hostility, const int *full_pair) {
    int pair[2];
    char byte = 0;
    if (hostility != CROWD && hostility != KNOCKING) {
        send(full_pair[0], &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
        close(pair[0]);
        close(pair[1]);
    }
}

static int be_hostile(void *argument) {
    struct neighbour *neighbour = argument;
    static int fds[CONNECTIONS_MAX];
    int pair[2];
    memset(fds, 0xff, sizeof fds);
    stay_on(0);
    peer_become(&HOSTILE_WORKER);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return 1;
    for (uint64_t deed = 0; !atomic_load(&neighbour->stop);) {
        int mood = atomic_load(&neighbour->mood);
        if (mood == QUIET) {
            usleep(1000);
        } else if (mood == BUSY) {
            be_busy(neighbour->hostility, pair);
        } else {
            act(neighbour, fds, deed++);
            atomic_fetch_add(&neighbour->deeds, 1);
        }
    }
    return 0;
}

/* ---- the friend ---- */

/* One failover: a report on one connection, until another reader is handed the other key. */
static int64_t fail_over(kb_reader *reporter, kb_reader *watcher) {
    uint64_t id = kb_current(reporter)->id;
    int64_t from_ns = now_ns();
    kb_report(reporter, kb_current(reporter)->ticket, KB_QUOTA, KB_NO_HINT);
    while (kb_current(watcher) && kb_current(watcher)->id == id)
        kb_wait(watcher, 1000);
    return now_ns() - from_ns;
}

static void await_first(kb_reader *reader, uint64_t id) {
    while (!kb_current(reader) || kb_current(reader)->id != id)
        kb_wait(reader, 1000);
}

/* The friend's own process; the admin's connection is root's, of before. */
static int be_friendly(void *argument) {
    struct neighbour *neighbour = argument;
    struct peer *admin = peer_open(neighbour->broker);
    peer_become(&FRIENDLY_WORKER);
    kb_reader *reporter = worker_open(neighbour->broker, "friend");
    kb_reader *watcher = worker_open(neighbour->broker, "friend");
    uint64_t first = kb_current(reporter)->id;
    for (unsigned stretch = 0; stretch < MOODS * STRETCHES; stretch++) {
        int mood = (int)(stretch % MOODS);
        atomic_store(&neighbour->mood, mood);
        scene_sleep_ms(100); /* until what was under way is over */
        for (unsigned i = 0; i < neighbour->failovers; i++) {
            neighbour->took_ns[mood][neighbour->count[mood]++] = fail_over(reporter, watcher);
            peer_must(admin, "enable key friend k0");
            await_first(reporter, first);
            await_first(watcher, first);
        }
    }
    atomic_store(&neighbour->mood, QUIET);
    kb_close(reporter);
    kb_close(watcher);
    return 0;
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(const int64_t *sorted, unsigned count, unsigned per_cent) {
    size_t index = (size_t)count * per_cent / 100;
    return (double)sorted[index] / 1000;
}

static void print_figures(const struct broker *b, const struct neighbour *neighbour) {
    static const unsigned PER_CENTS[] = { 50, 99 };
    unsigned count = neighbour->count[QUIET];
    for (unsigned mood = 0; mood < MOODS; mood++)
        qsort(neighbour->took_ns[mood], count, sizeof(int64_t), by_size);
    printf("neighbours: %s, %s", b->loop, HOSTILITY_NAMES[neighbour->hostility]);
    for (unsigned i = 0; i < 2; i++) {
        double quiet = percentile_us(neighbour->took_ns[QUIET], count, PER_CENTS[i]);
        double busy = percentile_us(neighbour->took_ns[BUSY], count, PER_CENTS[i]);
        double hostile = percentile_us(neighbour->took_ns[HOSTILE_NOW], count, PER_CENTS[i]);
        printf("; p%u %.0f us quiet, %.0f busy, %.0f hostile: %.2fx of quiet, %.2fx of busy",
               PER_CENTS[i], quiet, busy, hostile, hostile / quiet, hostile / busy);
    }
    printf("; %u failovers each, %llu hostile deeds\n", count,
           (unsigned long long)atomic_load(&neighbour->deeds));
    fflush(stdout);
}

/* Of figures that are sorted. */
static int64_t median_ns(const struct neighbour *neighbour, enum mood mood) {
    return neighbour->took_ns[mood][neighbour->count[mood] / 2];
}

static void make_pools(struct peer *peer) {
    static const char *const POOLS[] = { "main", "friend" };
    for (unsigned i = 0; i < 2; i++) {
        worker_make_pool(peer, POOLS[i], 3);
        peer_must(peer, "set pool %s group=%d", POOLS[i], WORKERS);
    }
}

/* As many keys more, of one account, and the one that is reported is of it. */
static void make_account(struct peer *peer) {
    json_t *rows = json_array();
    for (unsigned i = 0; i < ACCOUNT_KEYS; i++)
        json_array_append_new(rows, json_pack("{s:s, s:s, s:{s:s}}", "name", scene_text("a%u", i),
                                              "account", "acme", "config", "api_key",
                                              scene_text("sk-account-%u", i)));
    json_t *document = json_pack("{s:o}", "keys", rows);
    char *text = json_dumps(document, JSON_COMPACT);
    peer_must_with(peer, text, "import main mode=merge");
    peer_must(peer, "set key main k2 account=acme");
    free(text);
    json_decref(document);
}

static void measure(struct broker *b, enum hostility hostility) {
    if (geteuid() != 0)
        cr_skip_test("only root can become somebody else");
    const char *size = getenv("KEYBROKER_TEST_SIZE");
    unsigned failovers = size && *size ? (unsigned)strtoul(size, NULL, 10) : 80;
    stay_on(1);
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    make_pools(peer);
    if (hostility >= ACCOUNT)
        make_account(peer);
    struct neighbour *neighbour = worker_share(sizeof *neighbour);
    neighbour->broker = b;
    neighbour->hostility = hostility;
    neighbour->failovers = failovers / STRETCHES;
    neighbour->key_id = worker_key_id(peer, "main", "k2");
    neighbour->generation = UINT64_C(1) << 40;
    for (unsigned i = 0; i < MOODS; i++)
        neighbour->took_ns[i] = worker_share((failovers + 1) * sizeof(int64_t));
    pid_t hostile = worker_fork(be_hostile, neighbour);
    pid_t friendly = worker_fork(be_friendly, neighbour);
    int64_t until = scene_now_ms() + 110000;
    while (kill(friendly, 0) == 0 &&
           neighbour->count[HOSTILE_NOW] < neighbour->failovers * STRETCHES &&
           scene_now_ms() < until)
        scene_sleep_ms(20);
    atomic_store(&neighbour->stop, true);
    cr_assert_eq(worker_wait(friendly), 0);
    cr_assert_eq(worker_wait(hostile), 0);
    cr_assert_eq(neighbour->count[HOSTILE_NOW], neighbour->failovers * STRETCHES);
    print_figures(b, neighbour);
    if (hostility >= ACCOUNT)
        cr_assert_lt(median_ns(neighbour, HOSTILE_NOW), 20 * median_ns(neighbour, BUSY));
}

TEST_BOTH_LOOPS(neighbours_delay, a_flood_of_one_connection) {
    measure(b, FLOOD_OF_ONE);
}

TEST_BOTH_LOOPS(neighbours_delay, a_flood_of_two_hundred_connections) {
    measure(b, FLOOD_OF_MANY);
}

TEST_BOTH_LOOPS(neighbours_delay, a_crowd_that_connects_for_ever) {
    measure(b, CROWD);
}

TEST_BOTH_LOOPS(neighbours_delay, strangers_at_the_admin_socket) {
    measure(b, KNOCKING);
}

TEST_BOTH_LOOPS(neighbours_delay, a_flood_that_changes_ten_thousand_keys) {
    measure(b, ACCOUNT);
}

TEST_BOTH_LOOPS(neighbours_delay, a_flood_about_ten_thousand_keys_that_changes_none) {
    measure(b, NO_NEWS);
}

TEST_BOTH_LOOPS(neighbours_delay, a_flood_about_the_endpoint_of_ten_thousand_keys) {
    measure(b, ENDPOINT);
}
