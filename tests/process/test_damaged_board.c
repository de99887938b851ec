/*
 * A board that was damaged while no broker ran: one bit flipped, or many. The broker that starts
 * beside it says everything anew, on that board or on another one in its place, and never crashes:
 * whoever attaches then sees the truth.
 *
 * KEYBROKER_BOARDS sets how many are tried; KEYBROKER_TEST_SEED repeats a run.
 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <keybroker_shared/board.h>

#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/scene.h"
#include "tests/support/seed.h"
#include "tests/support/worker.h"

enum { BOARDS = 30, BOARDS_SANITIZED = 10, KEYS = 4, HEAD_BYTES = 256 };

static void set_stage(struct broker *b) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    worker_make_pool(peer, "main", KEYS);
    kb_reader *reader = worker_open(b, "main");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
    kb_close(reader);
    cr_assert_eq(broker_stop(b), 0);
}

static int open_board(const struct broker *b) {
    int fd = open(scene_text("%s/pools/main/" KB_BOARD_FILE, b->runtime_dir), O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

/* The broker starts, and a new worker is handed what it should be, by this broker. */
static void expect_truth(struct broker *b, const char *damage) {
    kb_health_info health = KB_HEALTH_INFO_INIT;
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    kb_reader *reader = worker_open(b, "main");
    const kb_key *key = kb_current(reader);
    cr_assert_not_null(key, "%s: no key", damage);
    cr_assert_str_eq(key->api_key, "sk-k1-main", "%s", damage);
    cr_assert_eq(kb_health(reader, &health), 0, "%s", damage);
    cr_assert_eq(health.keys, KEYS, "%s", damage);
    cr_assert_eq(health.usable, KEYS - 1, "%s", damage);
    peer_must(peer, "move key main k2 first");
    EVENTUALLY(strcmp(worker_current(reader), "k2") == 0);
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k2"), "exceeded") == 0);
    peer_must(peer, "enable key main k2");
    peer_must(peer, "move key main k2 to 3");
    peer_close(peer);
    kb_close(reader);
    cr_assert_eq(broker_stop(b), 0, "%s", damage);
}

static void flip(int fd, uint64_t bit) {
    unsigned char byte;
    cr_assert_eq(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
    byte ^= (unsigned char)(1u << bit % 8);
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
}

static unsigned wanted(void) {
    const char *given = getenv("KEYBROKER_BOARDS");
    if (given && *given)
        return (unsigned)strtoul(given, NULL, 10);
    return scene_sanitized() ? BOARDS_SANITIZED : BOARDS;
}

Test(damaged_board, any_flipped_bits_are_put_right, .fini = scene_end, .timeout = 3600) {
    struct seed seed = seed_begin("damaged_board");
    struct broker *b =
        scene_begin(seed_below(&seed, 2) && scene_has_uring() ? "io_uring" : "epoll");
    set_stage(b);
    for (unsigned i = wanted(); i > 0; i--) {
        int fd = open_board(b);
        uint64_t bit = 0;
        for (uint64_t flips = seed_below(&seed, 2) ? 1 : 1 + seed_below(&seed, 40); flips;
             flips--) {
            bit = seed_below(&seed, 8 * (HEAD_BYTES + KEYS * 32));
            if (bit >= 8 * HEAD_BYTES)
                bit += 8 * (KB_BOARD_SLOTS_OFFSET - HEAD_BYTES);
            flip(fd, bit);
        }
        close(fd);
        expect_truth(b, scene_text("board %u, last bit %llu", i, (unsigned long long)bit));
    }
    scene_passed();
}

/* As if 2^24 starts had been: there is no start after it. */
TEST_BOTH_LOOPS(damaged_board, a_generation_that_leaves_no_room_is_not_followed) {
    static const uint64_t LAST[] = { UINT64_MAX, UINT64_MAX << 40, UINT64_C(1) << 63 };
    set_stage(b);
    for (size_t i = 0; i < sizeof LAST / sizeof *LAST; i++) {
        int fd = open_board(b);
        cr_assert_eq(pwrite(fd, &LAST[i], 8, offsetof(struct kb_board, generation)), 8);
        close(fd);
        expect_truth(b, scene_text("generation %llx", (unsigned long long)LAST[i]));
    }
}
