/*
 * A board or a catalog that is damaged before a reader attaches: one bit flipped, or cut short. A
 * catalog is covered by its checksum, so no flip in it gets through. A board's words change all the
 * time and have none: what it says wrongly of a status may choose another key, but a key that is
 * handed out is always whole, and the reader never crashes.
 *
 * KEYBROKER_FLIPS and KEYBROKER_LENGTHS say how many are tried; KEYBROKER_TEST_SEED repeats a run.
 */
#include <keybroker.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/fixture_pool.h"
#include "tests/support/seed.h"
#include "tests/support/trials.h"

enum {
    FLIPS = 1000,
    LENGTHS = 100,
    KEYS = 8,
    BOARD_HEAD_BYTES = 256, /* what is used of the first page */
    BOARD_BYTES = BOARD_HEAD_BYTES + KEYS * 32,
};

static struct fixture_pool fixture;
static struct seed seed;
static int fd; /* the file that is damaged */

static struct trials *tally;
static unsigned lengths;

static void setup(void) {
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    seed = seed_begin("reader_flips");
    fixture_pool_init(&fixture, KEYS, seed_below(&seed, 2) ? STRATEGY_SPREAD : STRATEGY_PRIORITY,
                      NULL);
    tally = trials_new();
}

static void teardown(void) {
    fixture_pool_deinit(&fixture);
}

TestSuite(reader_flips, .init = setup, .fini = teardown, .timeout = 3600);

/* ---- what must be true of whatever a reader says ---- */

static void check_key(const kb_key *key) {
    char name[32], secret[32];
    if (!key)
        return;
    snprintf(name, sizeof name, "key%llu", (unsigned long long)key->id);
    snprintf(secret, sizeof secret, "sk-test-%llu", (unsigned long long)key->id);
    if (key->id == 0 || key->id > KEYS || key->ticket.id != key->id)
        trials_complain(tally, "a key that does not exist", key->name);
    if (strcmp(key->name, name) != 0 || strcmp(key->api_key, secret) != 0 ||
        !strstr(key->auth_header, secret) || !strstr(key->config_json, secret))
        trials_complain(tally, "a torn key", key->name);
}

static int count_entry(const kb_list_entry *entry, void *userdata) {
    unsigned *count = userdata;
    if (strncmp(entry->name, "key", 3) != 0)
        trials_complain(tally, "listed", entry->name);
    ++*count;
    return 0;
}

/* Everything that a worker may ask. */
static void use(kb_reader *reader) {
    kb_attempt attempt = KB_ATTEMPT_INIT;
    kb_health_info health = KB_HEALTH_INFO_INIT;
    unsigned listed = 0;
    const kb_key *key = kb_current(reader);
    check_key(key);
    for (unsigned i = 0; i < KEYS + 2 && (key = kb_next(reader, &attempt)); i++)
        check_key(key);
    if (kb_list(reader, count_entry, &listed) == 0 && listed != KEYS)
        trials_complain(tally, "listed", "another number of keys");
    kb_health(reader, &health);
    kb_recovers_in_ms(reader);
    key = kb_current(reader);
    if (key)
        kb_report(reader, key->ticket, KB_QUOTA, KB_NO_HINT);
    check_key(kb_current(reader));
    kb_wait(reader, 0);
    check_key(kb_current(reader));
}

static void try_to_attach(void) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = fixture.runtime;
    kb_reader *reader = NULL;
    if (kb_open(&reader, FIXTURE_POOL_NAME, &options) != 0) {
        tally->refused++;
        return;
    }
    tally->served++;
    use(reader);
    kb_close(reader);
}

/* The file as it should be. */
static struct {
    unsigned char *bytes;
    size_t size;
} whole;

static void open_file(const char *name, size_t size) {
    struct stat info;
    fd = openat(fixture.dir_fd, name, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &info), 0);
    whole.size = size ? size : (size_t)info.st_size;
    whole.bytes = calloc(1, whole.size);
    cr_assert_eq(pread(fd, whole.bytes, whole.size, 0), (ssize_t)whole.size);
}

static void restore(void) {
    cr_assert_eq(pwrite(fd, whole.bytes, whole.size, 0), (ssize_t)whole.size);
}

static void flip(uint64_t bit) {
    unsigned char byte;
    cr_assert_eq(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
    byte ^= (unsigned char)(1u << bit % 8);
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
}

static void end(const char *what) {
    trials_end(tally, what);
    close(fd);
    free(whole.bytes);
}

static void begin_lengths(size_t most) {
    lengths = trials_wanted("KEYBROKER_LENGTHS", LENGTHS);
    if (lengths == 0 || lengths > most)
        lengths = (unsigned)most;
}

/* ---- the catalog ---- */

static void open_catalog(void) {
    char name[64];
    snprintf(name, sizeof name, KB_CATALOG_FILE_FORMAT, (unsigned long long)fixture.version);
    open_file(name, 0);
}

static void flip_in_catalog(unsigned number) {
    struct seed own = { seed.state + number };
    tally->at = seed_below(&own, 8 * whole.size);
    flip(tally->at);
    try_to_attach();
    flip(tally->at);
}

Test(reader_flips, a_flipped_bit_in_a_catalog_is_refused) {
    open_catalog();
    trials_run(tally, trials_wanted("KEYBROKER_FLIPS", FLIPS), flip_in_catalog, restore);
    cr_assert_eq(tally->refused, tally->done);
    try_to_attach();
    cr_assert_eq(tally->served, 1, "whole again, it serves");
    end("flips in a catalog");
}

static void cut_catalog(unsigned number) {
    tally->at = whole.size - whole.size * (uint64_t)(number + 1) / lengths;
    cr_assert_eq(ftruncate(fd, (off_t)tally->at), 0);
    try_to_attach();
}

Test(reader_flips, a_catalog_cut_at_any_length_is_refused) {
    open_catalog();
    begin_lengths(whole.size);
    trials_run(tally, lengths, cut_catalog, restore);
    cr_assert_eq(tally->refused, lengths);
    end("lengths of a catalog");
}

/* ---- the board ---- */

static size_t used_byte(size_t number) {
    return number < BOARD_HEAD_BYTES ? number : number - BOARD_HEAD_BYTES + KB_BOARD_SLOTS_OFFSET;
}

static void open_board(void) {
    open_file(KB_BOARD_FILE, KB_BOARD_SLOTS_OFFSET + KEYS * 32);
}

static void flip_one_of_board(unsigned number) {
    tally->at = used_byte(number / 8) * 8 + number % 8;
    flip(tally->at);
    try_to_attach();
    flip(tally->at);
}

Test(reader_flips, no_flipped_bit_in_a_board_hands_out_a_torn_key) {
    open_board();
    trials_run(tally, 8 * BOARD_BYTES, flip_one_of_board, restore);
    cr_assert_gt(tally->refused, 0);
    cr_assert_gt(tally->served, 0);
    end("flips in a board");
}

/* Several at once: what a torn page or a stray write leaves. */
static void damage_board(unsigned number) {
    struct seed own = { seed.state + number };
    tally->at = number;
    for (uint64_t flips = 2 + seed_below(&own, 40); flips > 0; flips--)
        flip(used_byte(16 + seed_below(&own, BOARD_BYTES - 16)) * 8 + seed_below(&own, 8));
    try_to_attach();
    restore();
}

Test(reader_flips, no_damaged_board_hands_out_a_torn_key) {
    open_board();
    trials_run(tally, trials_wanted("KEYBROKER_FLIPS", FLIPS), damage_board, restore);
    end("damaged boards");
}

/* The first two pages are what is used; the rest of its length is a hole. */
static void cut_board(unsigned number) {
    struct seed own = { seed.state + number };
    tally->at = number < lengths / 2 ? (uint64_t)(4 * KB_BOARD_SLOTS_OFFSET) * number / lengths
                                     : seed_below(&own, KB_BOARD_SIZE);
    cr_assert_eq(ftruncate(fd, (off_t)tally->at), 0);
    try_to_attach();
}

Test(reader_flips, a_board_of_any_other_length_is_refused) {
    open_board();
    begin_lengths(4 * KB_BOARD_SLOTS_OFFSET);
    trials_run(tally, lengths, cut_board, restore);
    cr_assert_eq(tally->refused, lengths);
    end("lengths of a board");
}
