/*
 * A publication on a real board in a directory of the test's own, and what a committer would do to
 * it. Each test program has one.
 */
#ifndef TESTS_PUBLICATION_FIXTURE_H
#define TESTS_PUBLICATION_FIXTURE_H

#include "broker/publication.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "broker/memory.h"

enum { POOL_ID = 3 };
#define START (UINT64_C(7) << KB_GENERATION_START_SHIFT)
#define NEVER UINT64_MAX
#define WALL INT64_C(1773576000000)

static char directory[256];
static int dir_fd;
static struct publication pub;
static struct moment now = { .mono_ms = 5000000, .wall_ms = WALL };
static uint64_t generation = START;
static uint64_t version = START;

static inline void setup(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/keybroker-publication-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(directory));
    dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(dir_fd, 0);
    uint64_t found = 99;
    cr_assert_eq(publication_open(&pub, POOL_ID, dup(dir_fd), &found), 0);
    cr_assert_eq(found, 0);
}

static inline void remove_files(void) {
    DIR *dir = fdopendir(dup(dir_fd));
    rewinddir(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dir_fd, entry->d_name, 0);
    closedir(dir);
}

static inline void teardown(void) {
    publication_close(&pub);
    remove_files();
    close(dir_fd);
    rmdir(directory);
}

/* ---- publishing what a committer would ---- */

/* Key i has id 100 + i and slot i unless a test says otherwise. */
static inline struct published_key key_at(uint32_t i) {
    return (struct published_key){ .id = 100 + i, .slot = i };
}

static inline void take_catalog(struct published_key *order, uint32_t count, uint32_t slots) {
    cr_assert_eq(board_reserve(&pub.board, slots), 0);
    version++;
    struct catalog_built built = {
        .version = version, .size = 4096, .checksum = version * 3, .slot_count = slots
    };
    publication_set_catalog(&pub, &built, order, count);
}

static inline void publish(uint32_t count) {
    struct published_key *order = mem_resize(NULL, count, sizeof *order);
    for (uint32_t i = 0; i < count; i++)
        order[i] = key_at(i);
    take_catalog(order, count, count);
}

static inline void set_status(uint32_t i, kb_status status, int64_t deadline) {
    struct key_state state = {
        .status = status, .deadline_mono = deadline, .valid_since = START + 5, .backoff = 2
    };
    publication_set_state(&pub, i, 100 + i, &state);
}

static inline void announce(void) {
    publication_announce(&pub, ++generation, now, true);
}

/* All of `count` keys normal and announced. */
static inline void begin(uint32_t count) {
    publish(count);
    for (uint32_t i = 0; i < count; i++)
        set_status(i, KB_STATUS_NORMAL, 0);
    announce();
}

static inline uint64_t word(uint32_t slot) {
    return atomic_load(&pub.board.shared->slots[slot].status);
}

static inline uint32_t counter(uint32_t slot) {
    return (uint32_t)(word(slot) >> KB_WORD_COUNTER_SHIFT & KB_WORD_COUNTER_MASK);
}

static inline void expect_hint(uint32_t position, uint64_t until) {
    const struct kb_board *shared = pub.board.shared;
    cr_assert_eq(atomic_load(&shared->hint_position), position, "position %u, not %u",
                 atomic_load(&shared->hint_position), position);
    cr_assert_eq(atomic_load(&shared->hint_until_ms), until);
    cr_assert_eq(atomic_load(&shared->hint_catalog), version);
    cr_assert_eq(atomic_load(&shared->hint_generation), generation);
    cr_assert_eq(atomic_load(&shared->generation), generation);
}

#endif
