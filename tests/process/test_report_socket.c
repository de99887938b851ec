/*
 * Garbage and floods on report.sock: everything that a worker may send by mistake or malice is
 * counted and changes nothing, and nobody else is served worse for it.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <keybroker_shared/report.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/seed.h"
#include "tests/support/worker.h"

static int dial(const struct broker *broker, const char *pool) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s/pools/%s/report.sock",
             broker->runtime_dir, pool);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0, "socket: %s", strerror(errno));
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0, "connect: %s",
                 strerror(errno));
    return fd;
}

static void put(int fd, const void *bytes, size_t length) {
    cr_assert_eq(send(fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length, "send: %s",
                 strerror(errno));
}

/* Complete and harmless: about a key that is used up already, if `id` is one. */
static struct kb_report_message message_about(uint64_t id, uint64_t generation) {
    return (struct kb_report_message){ .size = sizeof(struct kb_report_message),
                                       .type = KB_REPORT_OUTCOME,
                                       .key_id = id,
                                       .generation = generation,
                                       .hint_ms = UINT64_MAX,
                                       .outcome = KB_QUOTA,
                                       .count = 1 };
}

static double bad_messages(struct peer *peer) {
    return worker_metric(peer, "keybroker_bad_messages_total");
}

static double reports(struct peer *peer, const char *outcome, const char *fate) {
    return worker_metric(
        peer, scene_text("keybroker_reports_total{class=\"%s\",fate=\"%s\"}", outcome, fate));
}

/* Fail over and back, with every step seen by another process. */
static void expect_service(struct peer *peer, kb_reader *reader, struct mirror *mirror) {
    uint64_t first = worker_key_id(peer, "main", "k0"), second = worker_key_id(peer, "main", "k1");
    EVENTUALLY(kb_current(reader) && kb_current(reader)->id == first);
    /* Else what it saw last time would pass for what comes now, and the broker might be asked to
     * enable the key before it has read the report. */
    EVENTUALLY(atomic_load(&mirror->id) == first);
    cr_assert_eq(kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT), KB_NEXT_KEY);
    EVENTUALLY(atomic_load(&mirror->id) == second);
    peer_must(peer, "enable key main k0");
    EVENTUALLY(atomic_load(&mirror->id) == first);
}

TEST_BOTH_LOOPS(report_socket, messages_of_wrong_size_or_form_are_counted) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    kb_reader *reader = worker_open(b, "main");
    struct mirror *mirror = mirror_start(b, "main");
    const kb_key *key = kb_current(reader);
    struct kb_report_message good = message_about(key->id, key->ticket.generation);
    static char big[65536];
    memset(big, 0xff, sizeof big);
    memcpy(big, &good, sizeof good); /* a true one at the beginning does not make it one */
    static const size_t SIZES[] = { 1,   2,   8,    64,        sizeof good - 1, sizeof good + 1,
                                    200, 256, 4096, sizeof big };
    enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES };
    int fd = dial(b, "main");
    for (unsigned i = 0; i < SIZE_COUNT; i++)
        put(fd, big, SIZES[i]);
    EVENTUALLY(bad_messages(peer) == SIZE_COUNT);
    struct kb_report_message bad[11];
    enum { BAD_COUNT = sizeof bad / sizeof *bad };
    for (unsigned i = 0; i < BAD_COUNT; i++)
        bad[i] = good;
    bad[0].size = 0;
    bad[1].size = sizeof good - 8;
    bad[2].size = UINT32_MAX;
    bad[3].type = 0;
    bad[4].type = KB_REPORT_SUBSCRIPTION;
    bad[5].type = KB_REPORT_USAGE;
    bad[6].type = UINT16_MAX;
    bad[7].scope = KB_SCOPE_ENDPOINT + 1;
    bad[8].scope = UINT16_MAX;
    bad[9].count = 0;
    bad[10].count = UINT32_MAX;
    for (unsigned i = 0; i < BAD_COUNT; i++)
        put(fd, &bad[i], sizeof bad[i]);
    EVENTUALLY(bad_messages(peer) == SIZE_COUNT + BAD_COUNT);
    cr_assert_str_eq(peer_key_status(peer, "main", "k0"), "normal");
    /* The connection goes on. */
    put(fd, &good, sizeof good);
    EVENTUALLY(reports(peer, "quota", "applied") == 1);
    peer_must(peer, "enable key main k0");
    expect_service(peer, reader, mirror);
    mirror_stop(mirror);
    kb_close(reader);
    close(fd);
}

TEST_BOTH_LOOPS(report_socket, forged_keys_generations_and_outcomes_change_nothing) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    worker_make_pool(peer, "other", 2);
    kb_reader *reader = worker_open(b, "main");
    struct mirror *mirror = mirror_start(b, "main");
    uint64_t id = kb_current(reader)->id, generation = kb_current(reader)->ticket.generation;
    uint64_t foreign = worker_key_id(peer, "other", "k0");
    const uint64_t ids[] = {
        0, foreign, 9999, KB_ATTEMPT_TRIES, UINT64_MAX, UINT64_C(1) << 40, UINT64_C(1) << 63 | id
    };
    const uint64_t generations[] = { generation + 1000000, UINT64_MAX, UINT64_C(1) << 63 };
    const uint32_t outcomes[] = { 0, 9, 200, UINT32_MAX, 1u << 31 };
    enum {
        ID_COUNT = sizeof ids / sizeof *ids,
        GENERATION_COUNT = sizeof generations / sizeof *generations,
        OUTCOME_COUNT = sizeof outcomes / sizeof *outcomes
    };
    int fd = dial(b, "main");
    for (size_t i = 0; i < ID_COUNT; i++) {
        struct kb_report_message message = message_about(ids[i], generation);
        put(fd, &message, sizeof message);
    }
    EVENTUALLY(reports(peer, "quota", "unknown_key") == ID_COUNT);
    for (size_t i = 0; i < GENERATION_COUNT; i++) {
        struct kb_report_message message = message_about(id, generations[i]);
        put(fd, &message, sizeof message);
    }
    EVENTUALLY(reports(peer, "quota", "forged") == GENERATION_COUNT);
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        struct kb_report_message message = message_about(id, generation);
        message.outcome = outcomes[i];
        put(fd, &message, sizeof message);
    }
    EVENTUALLY(reports(peer, "unknown", "forged") == OUTCOME_COUNT);
    struct kb_report_message old = message_about(id, 0);
    put(fd, &old, sizeof old);
    EVENTUALLY(reports(peer, "quota", "stale") == 1);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_str_eq(peer_key_status(peer, "main", scene_text("k%u", i)), "normal");
        cr_assert_str_eq(peer_key_status(peer, "other", scene_text("k%u", i)), "normal");
    }
    /* Texts without an end and with control characters come out harmless. */
    struct kb_report_message message = message_about(id, kb_current(reader)->ticket.generation);
    memset(message.vendor_code, '\n', sizeof message.vendor_code);
    memset(message.model, 0xff, sizeof message.model);
    message.http_status = UINT32_MAX;
    message.hint_ms = UINT64_MAX - 1;
    put(fd, &message, sizeof message);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
    peer_must(peer, "show key main k0");
    peer_must(peer, "set key main k1 note=x");
    peer_must(peer, "show events pool=main");
    cr_assert_not_null(peer_must(peer, "json show events pool=main")->json);
    peer_must(peer, "enable key main k0");
    expect_service(peer, reader, mirror);
    mirror_stop(mirror);
    kb_close(reader);
    close(fd);
}

TEST_BOTH_LOOPS(report_socket, random_messages_change_nothing) {
    enum { MESSAGES = 5000, FEW = MESSAGES / 10 };
    struct seed seed = seed_begin("report_socket");
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    kb_reader *reader = worker_open(b, "main");
    struct mirror *mirror = mirror_start(b, "main");
    int fd = dial(b, "main");
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct kb_report_message message = message_about(100 + seed_below(&seed, 1000), 1);
        unsigned char bytes[2 * sizeof message];
        for (size_t at = 0; at < sizeof bytes; at++)
            bytes[at] = (unsigned char)seed_next(&seed);
        memcpy(bytes, &message, sizeof message);
        for (uint64_t flips = seed_below(&seed, 4); flips > 0; flips--)
            bytes[seed_below(&seed, sizeof message)] ^= (unsigned char)(1 << seed_below(&seed, 8));
        memcpy(bytes + 8, &message.key_id, sizeof message.key_id); /* never a true one */
        size_t length = seed_below(&seed, 4) ? sizeof message : 1 + seed_below(&seed, sizeof bytes);
        put(fd, bytes, length);
    }
    expect_service(peer, reader, mirror);
    cr_assert_gt(bad_messages(peer), FEW);
    cr_assert_gt(reports(peer, "quota", "unknown_key"), FEW);
    cr_assert_str_eq(peer_key_status(peer, "main", "k1"), "normal");
    mirror_stop(mirror);
    kb_close(reader);
    close(fd);
}

/* ---- descriptors, ends, connections ---- */

static void send_descriptors(int fd, const void *bytes, size_t length) {
    char control[CMSG_SPACE(3 * sizeof(int))] = { 0 };
    struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };
    struct msghdr header = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    struct cmsghdr *passed = CMSG_FIRSTHDR(&header);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fds[3] = { null, null, null };
    passed->cmsg_level = SOL_SOCKET;
    passed->cmsg_type = SCM_RIGHTS;
    passed->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(passed), fds, sizeof fds);
    cr_assert_eq(sendmsg(fd, &header, MSG_NOSIGNAL), (ssize_t)length);
    close(null);
}

TEST_BOTH_LOOPS(report_socket, passed_descriptors_are_not_kept) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    kb_reader *reader = worker_open(b, "main");
    int fd = dial(b, "main");
    EVENTUALLY(worker_metric(peer, "keybroker_connections{socket=\"report\"}") == 1);
    unsigned before = broker_descriptors(b);
    struct kb_report_message good = message_about(9999, 1);
    for (unsigned i = 0; i < 100; i++) {
        send_descriptors(fd, &good, sizeof good);
        send_descriptors(fd, "garbage", 7);
    }
    EVENTUALLY(reports(peer, "quota", "unknown_key") + bad_messages(peer) == 200);
    cr_assert_leq(broker_descriptors(b), before, "the last commit's own may have gone since");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(worker_current(reader), "k1") == 0);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
    kb_close(reader);
    close(fd);
}

TEST_BOTH_LOOPS(report_socket, empty_messages_and_half_closed_connections_harm_nobody) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    kb_reader *reader = worker_open(b, "main");
    struct mirror *mirror = mirror_start(b, "main");
    for (unsigned i = 0; i < 50; i++) {
        int fd = dial(b, "main");
        struct kb_report_message good = message_about(9999, 1);
        put(fd, &good, sizeof good);
        if (i % 2)
            shutdown(fd, SHUT_WR);
        else
            send(fd, "", 0, MSG_NOSIGNAL);
        if (i % 3)
            send(fd, &good, sizeof good, MSG_NOSIGNAL);
        close(fd);
    }
    EVENTUALLY(reports(peer, "quota", "unknown_key") >= 50);
    EVENTUALLY(worker_metric(peer, "keybroker_connections{socket=\"report\"}") == 0);
    expect_service(peer, reader, mirror);
    mirror_stop(mirror);
    kb_close(reader);
}

TEST_BOTH_LOOPS(report_socket, a_thousand_connections_are_served_and_forgotten) {
    enum { CONNECTIONS = 1000 };
    static int fds[CONNECTIONS];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max < 2 * CONNECTIONS)
        cr_skip_test("too few descriptors are allowed here");
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 2);
    kb_reader *reader = worker_open(b, "main");
    struct mirror *mirror = mirror_start(b, "main");
    unsigned before = broker_descriptors(b);
    struct kb_report_message good = message_about(9999, 1);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        fds[i] = dial(b, "main");
    for (unsigned i = 0; i < CONNECTIONS; i++)
        put(fds[i], &good, i % 2 ? sizeof good : 10);
    EVENTUALLY(worker_metric(peer, "keybroker_connections{socket=\"report\"}") == CONNECTIONS);
    EVENTUALLY(reports(peer, "quota", "unknown_key") + bad_messages(peer) == CONNECTIONS);
    expect_service(peer, reader, mirror);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    EVENTUALLY(worker_metric(peer, "keybroker_connections{socket=\"report\"}") <= 1);
    EVENTUALLY(broker_descriptors(b) <= before + 1);
    expect_service(peer, reader, mirror);
    mirror_stop(mirror);
    kb_close(reader);
}

/* ---- floods ---- */

enum flood_kind { FLOOD_GARBAGE, FLOOD_STALE, FLOOD_LONGER, FLOOD_KINDS };

struct flood {
    const struct broker *broker;
    enum flood_kind kind;
    uint64_t key_id, generation;
    _Atomic bool stop;
    _Atomic uint64_t sent;
};

/* As fast as the socket takes it. */
static int pour(void *argument) {
    struct flood *flood = argument;
    int fd = dial(flood->broker, "main");
    struct kb_report_message message = message_about(flood->key_id, flood->generation);
    if (flood->kind == FLOOD_STALE)
        message.generation = 1;
    if (flood->kind == FLOOD_LONGER)
        message.outcome = KB_RATE;
    for (uint64_t i = 0; !atomic_load(&flood->stop); i++) {
        message.hint_ms = flood->kind == FLOOD_LONGER ? 1000000 + i : UINT64_MAX;
        size_t length = flood->kind == FLOOD_GARBAGE ? 1 + i % 500 : sizeof message;
        char bytes[512] = { 0 };
        memcpy(bytes, &message, sizeof message);
        if (flood->kind == FLOOD_GARBAGE)
            bytes[4] = 77; /* no such type */
        struct pollfd writable = { .fd = fd, .events = POLLOUT };
        if (send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length)
            atomic_fetch_add(&flood->sent, 1);
        else if (poll(&writable, 1, 10) < 0 || writable.revents & (POLLERR | POLLHUP))
            return 1;
    }
    close(fd);
    return 0;
}

static void expect_service_under(struct broker *b, enum flood_kind kind) {
    enum { FAILOVERS = 30 };
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    kb_reader *reader = worker_open(b, "main");
    struct mirror *mirror = mirror_start(b, "main");
    struct flood *flood = worker_share(sizeof *flood);
    flood->broker = b;
    flood->kind = kind;
    flood->key_id = worker_key_id(peer, "main", "k2");
    flood->generation = kb_current(reader)->ticket.generation;
    pid_t pid = worker_fork(pour, flood);
    EVENTUALLY(atomic_load(&flood->sent) > 1000);
    uint64_t before = atomic_load(&flood->sent);
    for (unsigned i = 0; i < FAILOVERS; i++)
        expect_service(peer, reader, mirror);
    cr_assert_gt(atomic_load(&flood->sent), before, "it was a flood all the time");
    atomic_store(&flood->stop, true);
    cr_assert_eq(worker_wait(pid), 0);
    double sent = (double)atomic_load(&flood->sent);
    if (kind == FLOOD_GARBAGE)
        EVENTUALLY(bad_messages(peer) == sent);
    else if (kind == FLOOD_STALE)
        EVENTUALLY(reports(peer, "quota", "stale") == sent);
    else
        EVENTUALLY(reports(peer, "rate", "applied") + reports(peer, "rate", "extended") +
                       reports(peer, "rate", "unchanged") ==
                   sent);
    expect_service(peer, reader, mirror);
    cr_assert_lt(broker_memory_kib(b, "RssAnon"), scene_sanitized() ? 1 << 20 : 64 << 10);
    mirror_stop(mirror);
    kb_close(reader);
}

TEST_BOTH_LOOPS(report_socket, a_flood_of_garbage_delays_nobody) {
    expect_service_under(b, FLOOD_GARBAGE);
}

TEST_BOTH_LOOPS(report_socket, a_flood_of_stale_reports_delays_nobody) {
    expect_service_under(b, FLOOD_STALE);
}

TEST_BOTH_LOOPS(report_socket, a_flood_of_reports_that_change_something_delays_nobody) {
    expect_service_under(b, FLOOD_LONGER);
}

/* A library that is turned away believes that it has reported; one whose old connection was closed
 * notices at its next report and connects anew. */
TEST_BOTH_LOOPS(report_socket, beyond_the_limit_no_report_is_lost) {
    enum { CONNECTIONS = 300 };
    struct rlimit few = { 512, 512 };
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    broker_start(b, NULL); /* it keeps half of them for other things: 256 connections */
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", 3);
    kb_reader *reader = worker_open(b, "main");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(reports(peer, "quota", "applied") == 1);
    int fds[CONNECTIONS];
    struct kb_report_message message = message_about(0, 0);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        fds[i] = dial(b, "main");
        put(fds[i], &message, sizeof message);
        EVENTUALLY(reports(peer, "quota", "unknown_key") == i + 1);
    }
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(reports(peer, "quota", "applied") == 2);
    cr_assert_str_eq(worker_current(reader), "k2");
    for (unsigned i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    kb_close(reader);
}
