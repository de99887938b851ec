/*
 * Fuzz target: a board that says anything, at attaching and after. Input: steps, a byte each that
 * says which, and what belongs to it:
 *
 *   0  bytes on the board: where (2 bytes: below 4096 in the header, above in the slots), a length,
 *      the bytes   1  the generation moves   2  the file's length, while nobody is attached
 *   3  a worker attaches anew   4  kb_current   5  kb_next   6  kb_report   7  queries
 *
 * The catalog is a sound one of four keys. Checked: every call returns, keys are those of the
 * catalog, and what it says holds.
 */
#include "fuzz.h"

#include <sys/stat.h>
#include <unistd.h>

#include "client/internal.h"
#include "tests/support/fixture_pool.h"

enum { KEYS = 4, STEPS_MAX = 256, TOUCHED_BYTES = KB_BOARD_SLOTS_OFFSET + 16 * 32 };

static struct fixture_pool pools[2]; /* by priority, spread */
static unsigned char sound[2][TOUCHED_BYTES];
static struct fixture_pool *pool;
static kb_reader *reader;
static kb_attempt attempt;
static kb_ticket ticket;

static void clean_up(void) {
    fixture_pool_deinit(&pools[0]);
    fixture_pool_deinit(&pools[1]);
}

static void prepare(void) {
    if (pools[0].root)
        return;
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    for (int i = 0; i < 2; i++) {
        fixture_pool_init(&pools[i], KEYS, i ? KB_CATALOG_SPREAD : KB_CATALOG_PRIORITY, NULL);
        must(board_reserve(&pools[i].board, 16) == 0);
        record_set_string(&pools[i].keys[1]->account, "acme");
        record_set_string(&pools[i].keys[2]->config,
                          "{\"api_key\":\"sk-x\",\"base_url\":\"https://other.example\"}");
        pools[i].keys[3]->expires_at_ms = INT64_C(4000000000000);
        fixture_pool_publish(&pools[i]);
        memcpy(sound[i], pools[i].board.shared, TOUCHED_BYTES);
    }
    must(atexit(clean_up) == 0);
}

static void restore(uint8_t which) {
    pool = &pools[which % 2];
    must(ftruncate(pool->board.fd, KB_BOARD_SIZE) == 0);
    memcpy(pool->board.shared, sound[which % 2], TOUCHED_BYTES);
    attempt = (kb_attempt)KB_ATTEMPT_INIT;
    ticket = (kb_ticket){ 0 };
}

/* Only the words of the layout: the padding is nobody's. */
static void write_board(struct input *input) {
    size_t where = input_number(input, 2), length = input_byte(input);
    size_t offset = where < KB_BOARD_SLOTS_OFFSET
                        ? where % 256
                        : KB_BOARD_SLOTS_OFFSET + (where - KB_BOARD_SLOTS_OFFSET) % (16 * 32);
    unsigned char *board = (unsigned char *)pool->board.shared;
    for (size_t i = 0; i < length && input->left; i++)
        if (offset + i < TOUCHED_BYTES)
            board[offset + i] = input_byte(input);
}

static void attach(void) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = pool->runtime;
    reader = kb_close(reader);
    int error = kb_open(&reader, FIXTURE_POOL_NAME, &options);
    must(error == 0 ? reader != NULL : error < 0 && !reader);
}

/* Where a worker is attached, a shorter file is a SIGBUS: nothing can help against a broker that
 * cuts its own board. */
static void cut(struct input *input) {
    reader = kb_close(reader);
    off_t length = (off_t)input_number(input, 3);
    must(ftruncate(pool->board.fd, length) == 0);
    attach();
    reader = kb_close(reader);
    must(ftruncate(pool->board.fd, KB_BOARD_SIZE) == 0);
}

static void check_key(const kb_key *key) {
    if (!key) {
        must(kb_last_error(reader) < 0);
        return;
    }
    must(key->id >= 1 && key->id <= KEYS);
    must(strcmp(key->name, pool->keys[key->id - 1]->name) == 0);
    must(strncmp(key->api_key, "sk-", 3) == 0);
    ticket = key->ticket;
}

static int look(const kb_list_entry *entry, void *userdata) {
    unsigned *count = userdata;
    must(entry->position == ++*count && entry->id >= 1 && entry->id <= KEYS);
    must(entry->status >= KB_STATUS_NORMAL && entry->status < KB_STATUS_COUNT);
    return 0;
}

static void ask(void) {
    kb_health_info health = KB_HEALTH_INFO_INIT;
    unsigned count = 0;
    int listed = kb_list(reader, look, &count), told = kb_health(reader, &health);
    must(listed < 0 || count == KEYS);
    must(told < 0 || (health.keys == KEYS && health.usable <= KEYS));
    uint64_t recovers_ms = kb_recovers_in_ms(reader);
    must(told < 0 || health.usable == 0 || recovers_ms == 0 || recovers_ms == UINT64_MAX ||
         recovers_ms <= INT64_MAX);
    must(kb_wait(reader, 0) <= 1);
}

static void step(struct input *input) {
    uint8_t what = input_byte(input) % 8;
    if (what == 0)
        write_board(input);
    else if (what == 1)
        atomic_fetch_add(&pool->board.shared->generation, input_byte(input));
    else if (what == 2)
        cut(input);
    else if (what == 3 || !reader)
        attach();
    else if (what == 4)
        check_key(kb_current(reader));
    else if (what == 5)
        check_key(kb_next(reader, &attempt));
    else if (what == 6)
        kb_report(reader, ticket, (kb_outcome)(input_byte(input) % 10), input_number(input, 2));
    else
        ask();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = { data, size };
    prepare();
    restore(input_byte(&input));
    for (int steps = 0; steps < STEPS_MAX && input.left; steps++)
        step(&input);
    reader = kb_close(reader);
    return 0;
}
