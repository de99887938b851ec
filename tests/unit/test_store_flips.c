/*
 * A store in which one bit is flipped, anywhere, or that is cut short, at any length, before it is
 * opened: a clear error and the file as it was, or everything that was stored and a store that can
 * be written. Never a crash. Half of the flips hit what LMDB goes by: heads of pages and the meta
 * pages.
 *
 * KEYBROKER_FLIPS and KEYBROKER_LENGTHS say how many are tried; KEYBROKER_TEST_SEED repeats a run.
 */
#include "store_fixture.h"

#include "store_internal.h"
#include "tests/support/seed.h"
#include "tests/support/trials.h"

enum {
    FLIPS = 1000,
    LENGTHS = 100,
    KEYS = 40,
    ROUNDS = 12, /* of changes that leave free pages behind */
    META_BYTES = 152,
    META_TRANSACTION = 144,
    META_LAST_PAGE = 136,
    PAGE_HEAD_BYTES = 48,
};

static struct bytes whole; /* what is used of the file */
static size_t page_bytes, length_bytes;
static struct loaded expected;

static struct trials *tally;
static struct seed seed;

static void use_memory_for_files(void) {
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    state_dir_init();
}

TestSuite(store_flips, .init = use_memory_for_files, .fini = state_dir_deinit, .timeout = 3600);

/* ---- a store with trees of several levels, large values and a free list ---- */

static void make_store(void) {
    static char config[12000];
    struct store *store = open_store_with(NULL, 200);
    struct changeset set = { 0 };
    add_pool(&set, 1, "main");
    add_pool(&set, 100, "other");
    cr_assert_eq(commit_set(store, &set, 1000), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint64_t id = 2; id < 2 + KEYS; id++) {
            struct key_record *key;
            size_t size =
                seed_below(&seed, 4) ? 200 : 200 + seed_below(&seed, sizeof(config) - 300);
            snprintf(config, sizeof(config), "{\"api_key\":\"sk-%0*llu\"}", (int)size,
                     (unsigned long long)id);
            key = new_key(1, id, config);
            struct key_state state = new_state(id * 100 + round);
            changeset_key(&set, NULL, key);
            changeset_rank(&set, 1, id, 0, id << 20);
            changeset_state(&set, 1, id, NULL, &state);
            key_record_unref(key);
            add_event(&set, 1, id);
        }
        cr_assert_eq(commit_set(store, &set, 1000), 0);
    }
    cr_assert_eq(load_all(store, &expected), 0);
    cr_assert_eq(expected.key_count, KEYS);
    size_t used = store_size_bytes(store);
    store_close(store);
    whole = file_read("store.mdb");
    length_bytes = whole.size;
    whole.size = used;
    page_bytes = *(uint32_t *)(void *)(whole.data + 40);
}

static uint64_t meta_number(const unsigned char *data, size_t page, size_t at) {
    uint64_t number;
    memcpy(&number, data + page * page_bytes + at, sizeof(number));
    return number;
}

/* ---- what must be true ---- */

static bool is_expected(const struct loaded *loaded, size_t more) {
    if (loaded->pool_count != expected.pool_count || loaded->key_count != expected.key_count + more)
        return false;
    for (size_t i = 0; i < expected.pool_count; i++)
        if (!pools_equal(loaded->pools[i], expected.pools[i]))
            return false;
    for (size_t i = 0; i < expected.key_count; i++)
        if (!keys_equal(loaded->keys[i].record, expected.keys[i].record) ||
            loaded->keys[i].rank != expected.keys[i].rank ||
            !states_equal(&loaded->keys[i].state, &expected.keys[i].state))
            return false;
    return loaded->next_id >= 1000;
}

static int load_and_compare(struct store *store, size_t more, bool *ret_same) {
    struct loaded loaded;
    int rc = load_all(store, &loaded);
    *ret_same = rc == 0 && is_expected(&loaded, more);
    loaded_deinit(&loaded);
    return rc;
}

/* It was opened and read, so it serves: a start, changes of every table, and all of it is there
 * when it is opened again. */
static void go_on(struct store *store) {
    uint64_t start;
    struct changeset set = { 0 };
    struct store_options options = { .state_dir_fd = state_dir.fd, .events_kept = 200 };
    int rc = store_begin_start(store, 0, &start);
    for (uint64_t i = 0; i < 3 && rc == 0; i++) {
        add_key(&set, 1, 500 + i, "{\"api_key\":\"sk-new\"}");
        add_event(&set, 1, 500 + i);
        rc = commit_set(store, &set, 1000 + i);
    }
    store_close(store);
    if (rc < 0) {
        trials_complain(tally, "it cannot be written", strerror(-rc));
        return;
    }
    rc = store_open(&store, &options, store_error);
    bool same = false;
    if (rc == 0) {
        load_and_compare(store, 3, &same);
        store_close(store);
    }
    if (!same)
        trials_complain(tally, "lost after a change", store_error);
}

static void restore(size_t from, size_t size) {
    int fd = openat(state_dir.fd, "store.mdb", O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, whole.data + from, size, (off_t)from), (ssize_t)size);
    cr_assert_eq(ftruncate(fd, (off_t)length_bytes), 0);
    close(fd);
}

static bool is_untouched(void) {
    static unsigned char *bytes;
    struct stat st;
    if (!bytes)
        bytes = mem_alloc(whole.size);
    int fd = openat(state_dir.fd, "store.mdb", O_RDONLY | O_CLOEXEC);
    bool same = fstat(fd, &st) == 0 && (size_t)st.st_size == length_bytes &&
                pread(fd, bytes, whole.size, 0) == (ssize_t)whole.size &&
                memcmp(bytes, whole.data, whole.size) == 0;
    close(fd);
    return same;
}

static void try_flip(uint64_t bit) {
    size_t at = bit / 8;
    whole.data[at] ^= (unsigned char)(1u << bit % 8);
    restore(at, 1);
    struct store *store = NULL;
    struct store_options options = { .state_dir_fd = state_dir.fd, .events_kept = 200 };
    bool same = false;
    int rc = store_open(&store, &options, store_error);
    if (rc == 0)
        rc = load_and_compare(store, 0, &same);
    if (rc == 0 && !same)
        trials_complain(tally, "opened", "but it holds something else");
    if (rc < 0 && store)
        store = store_close(store);
    if (rc < 0) {
        tally->refused++;
        if (!store_error[0] || !is_untouched())
            trials_complain(tally, "refused without a word, or written", store_error);
        whole.data[at] ^= (unsigned char)(1u << bit % 8);
        restore(at, 1);
        return;
    }
    tally->served++;
    go_on(store);
    whole.data[at] ^= (unsigned char)(1u << bit % 8);
    restore(0, whole.size);
}

static void restore_all(void) {
    restore(0, whole.size);
}

static void begin(void) {
    seed = seed_begin("store_flips");
    make_store();
    tally = trials_new();
}

/* ---- flips ---- */

/* The state before the last commit is whole, too: if the newer meta page's number says that it is
 * the older one, nothing in the file contradicts. This one bit takes back the last commit. */
static bool takes_back(uint64_t bit) {
    uint64_t first = meta_number(whole.data, 0, META_TRANSACTION);
    uint64_t second = meta_number(whole.data, 1, META_TRANSACTION);
    size_t newer = second > first;
    return bit == 8 * (newer * page_bytes + META_TRANSACTION) + 1 && (newer ? second : first) & 2;
}

static void flip_somewhere(unsigned number) {
    struct seed own = { seed.state + number };
    uint64_t pages = whole.size / page_bytes, page = seed_below(&own, pages), bit;
    switch (seed_below(&own, 8)) {
    case 0: /* a meta page */
        bit = 8 * page_bytes * seed_below(&own, 2) + seed_below(&own, META_BYTES * 8);
        break;
    case 1:
    case 2:
    case 3:
        bit = 8 * page_bytes * page + seed_below(&own, PAGE_HEAD_BYTES * 8);
        break;
    default:
        bit = seed_below(&own, whole.size * 8);
    }
    tally->at = bit;
    if (!takes_back(bit))
        try_flip(bit);
}

Test(store_flips, a_flipped_bit_anywhere_is_refused_or_harmless) {
    begin();
    trials_run(tally, trials_wanted("KEYBROKER_FLIPS", FLIPS), flip_somewhere, restore_all);
    trials_end(tally, "flips");
    cr_assert_gt(tally->refused, tally->done / 10);
    cr_assert_gt(tally->served, 0);
}

static void flip_one_of_meta(unsigned number) {
    tally->at = number < META_BYTES * 8 ? number : number - META_BYTES * 8 + 8 * page_bytes;
    if (!takes_back(tally->at))
        try_flip(tally->at);
}

Test(store_flips, every_bit_of_the_meta_pages_is_refused_or_harmless) {
    begin();
    trials_run(tally, 2 * META_BYTES * 8, flip_one_of_meta, restore_all);
    trials_end(tally, "flips of the meta pages");
}

/* ---- lengths ---- */

static unsigned lengths;

static void cut(unsigned number) {
    uint64_t length = whole.size - whole.size * (uint64_t)(number + 1) / lengths;
    struct store *store = NULL;
    struct store_options options = { .state_dir_fd = state_dir.fd };
    char path[512];
    tally->at = length;
    if (length == 0)
        return; /* an empty file is a store that does not exist */
    snprintf(path, sizeof(path), "%s/store.mdb", state_dir.path);
    cr_assert_eq(truncate(path, (off_t)length), 0);
    if (store_open(&store, &options, store_error) == 0)
        trials_complain(tally, "opened", "");
    else if (!strstr(store_error, "is truncated"))
        trials_complain(tally, "refused", store_error);
    tally->refused++;
}

Test(store_flips, a_file_cut_at_any_length_is_refused) {
    begin();
    lengths = trials_wanted("KEYBROKER_LENGTHS", LENGTHS);
    if (lengths > whole.size || lengths == 0)
        lengths = (unsigned)whole.size;
    trials_run(tally, lengths, cut, restore_all);
    trials_end(tally, "lengths");
}
