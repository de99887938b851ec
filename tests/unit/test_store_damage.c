/* The store when something is wrong: the master key, the file, a record, the disk. It says what it
 * is, and leaves the file as it was. */
#include "store_fixture.h"

#include <sys/mman.h>

#include "store_internal.h"

TestSuite(store_damage, .init = state_dir_init, .fini = state_dir_deinit);

static void make_store(void) {
    struct store *store = open_store();
    struct changeset set = { 0 };
    add_pool(&set, 1, "main");
    for (uint64_t id = 2; id < 6; id++)
        add_key(&set, 1, id, "{\"api_key\":\"sk-1\"}");
    add_event(&set, 1, 2);
    cr_assert_eq(commit_set(store, &set, 6), 0);
    store_close(store);
}

/* ---- the master key ---- */

Test(store_damage, a_wrong_master_key_is_refused_and_writes_nothing) {
    make_store();
    struct bytes before = file_read("store.mdb");
    file_write("master.key", "0123456789abcdef0123456789abcdef", 32);
    cr_expect_eq(try_open(), -EKEYREJECTED);
    cr_expect_not_null(strstr(store_error, "not the one of this store"), "%s", store_error);
    cr_expect(file_is("store.mdb", &before));
    free(before.data);
}

Test(store_damage, a_missing_master_key_is_never_made_beside_an_old_store) {
    make_store();
    struct bytes before = file_read("store.mdb");
    cr_assert_eq(unlinkat(state_dir.fd, "master.key", 0), 0);
    cr_expect_eq(try_open(), -ENOENT);
    cr_expect_not_null(strstr(store_error, "master.key is missing"), "%s", store_error);
    cr_expect_not(file_exists("master.key"));
    cr_expect(file_is("store.mdb", &before));
    free(before.data);
}

Test(store_damage, a_master_key_that_is_there_is_used_for_a_new_store) {
    static const char KEY[] = "0123456789abcdef0123456789abcdef";
    struct bytes key = { .data = (unsigned char *)(uintptr_t)KEY, .size = 32 };
    file_write("master.key", KEY, 32);
    file_write("store.mdb.new", "left by a crash", 15);
    make_store();
    cr_expect(file_is("master.key", &key));
    cr_expect_not(file_exists("store.mdb.new"));
    cr_expect_eq(try_open(), 0, "%s", store_error);
}

Test(store_damage, a_named_master_key_is_not_made) {
    char path[512];
    snprintf(path, sizeof(path), "%s/elsewhere.key", state_dir.path);
    struct store *store = NULL;
    struct store_options options = { .state_dir_fd = state_dir.fd, .master_key_file = path };
    cr_expect_eq(store_open(&store, &options, store_error), -ENOENT);
    cr_expect_not(file_exists("elsewhere.key"));
    cr_expect_not(file_exists("store.mdb"));
    file_write("elsewhere.key", "0123456789abcdef0123456789abcdef", 32);
    cr_expect_eq(store_open(&store, &options, store_error), 0, "%s", store_error);
    cr_expect_not(file_exists("master.key"));
    store_close(store);
}

Test(store_damage, a_credential_goes_before_the_state_directorys_key) {
    char path[512];
    snprintf(path, sizeof(path), "%s/credentials", state_dir.path);
    setenv("CREDENTIALS_DIRECTORY", path, 1);
    make_store(); /* no such credential: master.key is made */
    cr_expect(file_exists("master.key"));
    cr_assert_eq(mkdir(path, 0700), 0);
    file_write("credentials/master.key", "0123456789abcdef0123456789abcdef", 32);
    cr_assert_eq(fchmodat(state_dir.fd, "credentials/master.key", 0440, 0), 0);
    cr_expect_eq(try_open(), -EKEYREJECTED, "%s", store_error);
    unlinkat(state_dir.fd, "credentials/master.key", 0);
    cr_expect_eq(try_open(), 0, "%s", store_error);
    rmdir(path);
}

Test(store_damage, only_what_lies_among_the_credentials_may_be_open_to_its_group) {
    char credentials[512], inside[600], beside[600];
    snprintf(credentials, sizeof(credentials), "%s/credentials", state_dir.path);
    snprintf(inside, sizeof(inside), "%s/mine.key", credentials);
    snprintf(beside, sizeof(beside), "%s.key", credentials);
    setenv("CREDENTIALS_DIRECTORY", credentials, 1);
    cr_assert_eq(mkdir(credentials, 0700), 0);
    file_write("credentials/mine.key", "0123456789abcdef0123456789abcdef", 32);
    file_write("credentials.key", "0123456789abcdef0123456789abcdef", 32);
    cr_assert_eq(fchmodat(state_dir.fd, "credentials/mine.key", 0640, 0), 0);
    cr_assert_eq(fchmodat(state_dir.fd, "credentials.key", 0640, 0), 0);
    struct store *store = NULL;
    struct store_options options = { .state_dir_fd = state_dir.fd, .master_key_file = beside };
    cr_expect_eq(store_open(&store, &options, store_error), -EPERM, "%s", store_error);
    options.master_key_file = inside;
    cr_expect_eq(store_open(&store, &options, store_error), 0, "%s", store_error);
    store_close(store);
    unlinkat(state_dir.fd, "credentials/mine.key", 0);
    rmdir(credentials);
}

Test(store_damage, the_master_key_can_be_checked_while_the_store_is_open) {
    struct store *store = open_store();
    cr_expect_eq(store_check_master(store, store_error), 0);
    file_write("master.key", "0123456789abcdef0123456789abcdef", 32);
    cr_expect_eq(store_check_master(store, store_error), -EKEYREJECTED);
    unlinkat(state_dir.fd, "master.key", 0);
    cr_expect_eq(store_check_master(store, store_error), -ENOENT);
    cr_expect_not(file_exists("master.key"));
    store_close(store);
}

/* ---- the file ---- */

static void expect_refused_untouched(const char *word) {
    struct bytes before = file_read("store.mdb");
    cr_expect_lt(try_open(), 0, "%s", word);
    cr_expect_not_null(strstr(store_error, word), "want \"%s\", got \"%s\"", word, store_error);
    cr_expect(file_is("store.mdb", &before));
    free(before.data);
}

Test(store_damage, a_file_that_is_not_lmdbs_is_refused) {
    make_store();
    char text[20000];
    memset(text, 'a', sizeof(text));
    file_write("store.mdb", text, sizeof(text));
    expect_refused_untouched("is not an LMDB file");
    memset(text, 0, sizeof(text));
    file_write("store.mdb", text, sizeof(text));
    expect_refused_untouched("is not an LMDB file");
    file_write("store.mdb", text, 1);
    expect_refused_untouched("is truncated");
}

Test(store_damage, a_foreign_lmdb_file_is_refused) {
    char path[512];
    MDB_env *env;
    make_store();
    cr_assert_eq(unlinkat(state_dir.fd, "store.mdb", 0), 0);
    snprintf(path, sizeof(path), "%s/store.mdb", state_dir.path);
    cr_assert_eq(mdb_env_create(&env), 0);
    cr_assert_eq(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600), 0);
    mdb_env_close(env);
    expect_refused_untouched("not a store of keybroker");
}

Test(store_damage, a_truncated_file_is_refused_at_every_length) {
    make_store();
    struct bytes whole = file_read("store.mdb");
    struct store *store = open_store();
    size_t used = store_size_bytes(store);
    store_close(store);
    for (size_t length = 1; length < used; length += 1371) {
        file_write("store.mdb", whole.data, length);
        expect_refused_untouched("is truncated");
    }
    file_write("store.mdb", whole.data, used);
    cr_expect_eq(try_open(), 0, "what is used is enough: %s", store_error);
    free(whole.data);
}

/* A new store is renamed into place whole: one of no bytes has lost everything, and must not be
 * taken for the beginning of another. */
Test(store_damage, an_emptied_store_is_refused) {
    make_store();
    file_write("store.mdb", "", 0);
    expect_refused_untouched("is empty");
}

Test(store_damage, damaged_root_pages_are_refused) {
    make_store();
    struct bytes whole = file_read("store.mdb");
    static const size_t ROOTS[] = { 80, 128 };
    size_t page_size = *(uint32_t *)(void *)(whole.data + 40);
    for (size_t i = 0; i < 2; i++) {
        unsigned char saved = whole.data[page_size + ROOTS[i] + 5];
        whole.data[page_size + ROOTS[i] + 5] ^= 0x40;
        file_write("store.mdb", whole.data, whole.size);
        expect_refused_untouched("damaged");
        whole.data[page_size + ROOTS[i] + 5] = saved;
    }
    free(whole.data);
}

/* ---- records ---- */

static MDB_val raw_value(MDB_txn *txn, MDB_dbi table, enum store_table kind, uint64_t a,
                         uint64_t b) {
    unsigned char bytes[16];
    MDB_val value, key = { .mv_data = bytes };
    key.mv_size = store_record_key(kind, a, b, bytes);
    cr_assert_eq(mdb_get(txn, table, &key, &value), 0);
    return value;
}

static void raw_put(MDB_txn *txn, MDB_dbi table, enum store_table kind, uint64_t a, uint64_t b,
                    MDB_val value) {
    unsigned char bytes[16];
    MDB_val key = { .mv_data = bytes };
    key.mv_size = store_record_key(kind, a, b, bytes);
    cr_assert_eq(mdb_put(txn, table, &key, &value, 0), 0);
}

static MDB_val copied(MDB_val value, unsigned char *room) {
    memcpy(room, value.mv_data, value.mv_size);
    return (MDB_val){ .mv_size = value.mv_size, .mv_data = room };
}

static void expect_load_refuses(struct store *store, const char *words) {
    struct loaded loaded;
    cr_expect_eq(load_all(store, &loaded), -EBADMSG, "%s", words);
    cr_expect_not_null(strstr(store_error, words), "want \"%s\", got \"%s\"", words, store_error);
    loaded_deinit(&loaded);
}

/* As somebody would do who can write the file but has no key. */
static void swap_keys(enum store_table table, const char *words) {
    struct store *store = open_store();
    unsigned char first[4096], second[4096];
    MDB_txn *txn;
    cr_assert_eq(mdb_txn_begin(store->env, NULL, 0, &txn), 0);
    MDB_val two = copied(raw_value(txn, store->tables[table], table, 1, 2), first);
    MDB_val three = copied(raw_value(txn, store->tables[table], table, 1, 3), second);
    raw_put(txn, store->tables[table], table, 1, 2, three);
    raw_put(txn, store->tables[table], table, 1, 3, two);
    cr_assert_eq(mdb_txn_commit(txn), 0);
    expect_load_refuses(store, words);

    cr_assert_eq(mdb_txn_begin(store->env, NULL, 0, &txn), 0);
    raw_put(txn, store->tables[table], table, 1, 2, two);
    raw_put(txn, store->tables[table], table, 1, 3, three);
    cr_assert_eq(mdb_txn_commit(txn), 0);
    struct loaded loaded;
    cr_expect_eq(load_all(store, &loaded), 0, "%s", store_error);
    loaded_deinit(&loaded);
    store_close(store);
}

Test(store_damage, swapped_records_are_detected) {
    make_store();
    swap_keys(TABLE_KEYS, "key record of key #2 in pool #1 does not authenticate");
    swap_keys(TABLE_RANKS, "rank record of key #2 in pool #1 does not authenticate");
    swap_keys(TABLE_STATES, "state record of key #2 in pool #1 does not authenticate");
}

Test(store_damage, a_missing_state_is_detected) {
    make_store();
    struct store *store = open_store();
    cr_assert_eq(store_txn_begin(store, 0), 0);
    cr_assert_eq(store_delete(store, TABLE_STATES, 1, 4), 0);
    cr_assert_eq(store_txn_commit(store), 0);
    expect_load_refuses(store, "state record of key #4 in pool #1 is missing");
    store_close(store);
}

/* Flip one byte of a stored value, wherever in the file it is: a page that was copied since has
 * left an old one behind. The value itself is flipped too, so that a second call undoes the first.
 */
static void flip(unsigned char *value, size_t size, size_t at) {
    struct bytes bytes = file_read("store.mdb");
    unsigned char *found, *from = bytes.data;
    int fd = openat(state_dir.fd, "store.mdb", O_WRONLY | O_CLOEXEC), flipped = 0;
    while ((found = memmem(from, bytes.size - (size_t)(from - bytes.data), value, size))) {
        unsigned char byte = found[at] ^ 0x10;
        cr_assert_eq(pwrite(fd, &byte, 1, found - bytes.data + (off_t)at), 1);
        from = found + 1;
        flipped++;
    }
    cr_assert_gt(flipped, 0);
    value[at] ^= 0x10;
    close(fd);
    free(bytes.data);
}

Test(store_damage, a_flipped_byte_in_any_record_is_detected) {
    static const struct {
        enum store_table table;
        uint64_t a, b;
        const char *words;
    } CASES[] = {
        { TABLE_POOLS, 1, 0, "pool record #1 does not authenticate" },
        { TABLE_KEYS, 1, 5, "key record of key #5 in pool #1 does not authenticate" },
        { TABLE_RANKS, 1, 4, "rank record of key #4 in pool #1 does not authenticate" },
        { TABLE_STATES, 1, 3, "state record of key #3 in pool #1 does not authenticate" },
    };
    make_store();
    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        unsigned char room[4096];
        MDB_txn *txn;
        struct store *store = open_store();
        cr_assert_eq(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn), 0);
        MDB_val value = copied(
            raw_value(txn, store->tables[CASES[i].table], CASES[i].table, CASES[i].a, CASES[i].b),
            room);
        mdb_txn_abort(txn);
        store_close(store);
        for (size_t at = 0; at < value.mv_size; at += 7) {
            flip(room, value.mv_size, at);
            store = open_store();
            expect_load_refuses(store, CASES[i].words);
            store_close(store);
            flip(room, value.mv_size, at);
        }
    }
}

Test(store_damage, a_flipped_byte_in_the_stores_own_records_is_detected) {
    make_store();
    struct store *store = open_store();
    unsigned char room[3][256];
    MDB_val values[3];
    static const uint64_t ITEMS[3] = { META_DATA_KEY, META_COUNTERS, META_START };
    MDB_txn *txn;
    cr_assert_eq(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn), 0);
    for (size_t i = 0; i < 3; i++)
        values[i] =
            copied(raw_value(txn, store->tables[TABLE_META], TABLE_META, ITEMS[i], 0), room[i]);
    mdb_txn_abort(txn);
    store_close(store);
    for (size_t i = 0; i < 3; i++) {
        flip(room[i], values[i].mv_size, 30);
        cr_expect_eq(try_open(), i == 0 ? -EKEYREJECTED : -EBADMSG, "item %zu: %s", i, store_error);
        flip(room[i], values[i].mv_size, 30);
    }
    cr_expect_eq(try_open(), 0);
}

/* ---- formats ---- */

static int steps_run[3];
static int step_count;

static int step(struct store *store, int number) {
    steps_run[step_count++] = number;
    struct key_state state = new_state(1000 + (uint64_t)number);
    store_encode_state(&store->plain, &state);
    return store_errno(store_put(store, TABLE_STATES, 1, 2));
}
static int step_1(struct store *store) {
    return step(store, 1);
}
static int step_2(struct store *store) {
    return step(store, 2);
}
static int step_2_fails(struct store *store) {
    step(store, 2);
    return -EDOM;
}

static uint32_t format_of(struct store *store) {
    uint32_t format = 0;
    unsigned char wrapped[VAULT_WRAPPED_SIZE];
    cr_assert_eq(store_read_identity(store, &format, wrapped), 0);
    return format;
}

static uint64_t first_keys_reports(struct store *store) {
    struct loaded loaded;
    cr_assert_eq(load_all(store, &loaded), 0, "%s", store_error);
    uint64_t reports = loaded.keys[0].state.reports[0];
    loaded_deinit(&loaded);
    return reports;
}

Test(store_damage, migrations_run_in_order_and_a_newer_format_is_refused_untouched) {
    const store_migration steps[] = { [STORE_FORMAT - 1] = step_1, step_2 };
    make_store();
    struct store *store = open_store();
    cr_expect_eq(format_of(store), STORE_FORMAT);
    cr_assert_eq(store_migrate(store, STORE_FORMAT - 1, STORE_FORMAT + 1, steps), 0);
    cr_expect_eq(step_count, 2);
    cr_expect_eq(steps_run[0], 1);
    cr_expect_eq(steps_run[1], 2);
    cr_expect_eq(format_of(store), STORE_FORMAT + 1);
    cr_expect_eq(first_keys_reports(store), 1002);
    store_close(store);

    struct bytes before = file_read("store.mdb");
    cr_expect_eq(try_open(), -ENOTSUP);
    char newer[32];
    snprintf(newer, sizeof newer, "of format %d", STORE_FORMAT + 1);
    cr_expect_not_null(strstr(store_error, newer), "%s", store_error);
    cr_expect(file_is("store.mdb", &before));
    free(before.data);
}

Test(store_damage, a_migration_that_fails_leaves_the_old_format) {
    const store_migration steps[] = { [STORE_FORMAT - 1] = step_1, step_2_fails };
    make_store();
    struct store *store = open_store();
    cr_expect_eq(store_migrate(store, STORE_FORMAT - 1, STORE_FORMAT + 1, steps), -EDOM);
    cr_expect_eq(step_count, 2);
    cr_expect_eq(format_of(store), STORE_FORMAT);
    cr_expect_eq(first_keys_reports(store), 2);
    cr_expect_eq(store_migrate(store, 0, STORE_FORMAT + 1, steps), -ENOTSUP,
                 "there is no step from 0");
    store_close(store);
    cr_expect_eq(try_open(), 0, "%s", store_error);
}

/* The pool as the broker wrote it that knew no rules: version 1, ending with the base URL. */
static int put_old_pool(struct store *store) {
    struct pool_record *pool = new_pool(1, "main");
    record_set_string(&pool->rules, "");
    record_set_string(&pool->guard, "on");
    store_encode_pool(&store->plain, pool);
    pool_record_unref(pool);
    store->plain.data[0] = 1;
    store->plain.length -= 12; /* rules "" and guard "on" */
    ;
    return store_errno(store_put(store, TABLE_POOLS, 1, 0));
}

Test(store_damage, a_store_of_format_1_is_taken_over_and_its_pools_have_no_rules) {
    const store_migration back[] = { put_old_pool };
    make_store();
    struct store *store = open_store();
    cr_assert_eq(store_migrate(store, 0, 1, back), 0);
    cr_assert_eq(format_of(store), 1);
    store_close(store);

    store = open_store();
    cr_expect_eq(format_of(store), STORE_FORMAT);
    struct loaded loaded;
    cr_assert_eq(load_all(store, &loaded), 0, "%s", store_error);
    struct pool_record *expected = new_pool(1, "main");
    record_set_string(&expected->rules, "");
    record_set_string(&expected->guard, "on");
    cr_assert_eq(loaded.pool_count, 1);
    cr_expect(pools_equal(loaded.pools[0], expected));
    cr_expect_eq(loaded.key_count, 4);

    struct changeset set = { 0 };
    struct pool_record *changed = new_pool(1, "main");
    changeset_pool(&set, expected, changed);
    cr_assert_eq(commit_set(store, &set, 6), 0);
    loaded_deinit(&loaded);
    store_close(store);
    store = open_store();
    cr_assert_eq(load_all(store, &loaded), 0, "%s", store_error);
    cr_expect(pools_equal(loaded.pools[0], changed), "and from then on they may");
    loaded_deinit(&loaded);
    pool_record_unref(changed);
    pool_record_unref(expected);
    store_close(store);
}

/* ---- failed commits ---- */

static int fault;
static int give_fault(void *userdata) {
    (void)userdata;
    return fault;
}
static const struct store_faults FAULTS = { .before_commit = give_fault };

Test(store_damage, a_failed_commit_leaves_the_old_state_and_reopening_recovers) {
    make_store();
    struct store *store = open_store_with(&FAULTS, 0);
    struct changeset set = { 0 };
    struct loaded loaded;
    struct event *events;
    uint64_t oldest, last;
    add_key(&set, 1, 6, "{}");
    add_event(&set, 1, 6);
    fault = ENOSPC;
    cr_expect_eq(commit_set(store, &set, 7), -ENOSPC);
    cr_expect(store_is_broken(store));
    cr_expect_eq(store_begin(store), -EIO);
    cr_expect_eq(store_apply(store, &set), -EIO);
    cr_expect_eq(store_commit(store, 7), -EIO);
    cr_expect_eq(load_all(store, &loaded), -EIO);
    cr_expect_eq(store_events(store, 0, 10, &events, &oldest, &last), -EIO);

    cr_expect_eq(store_reopen(store), -ENOSPC, "the proof fails too");
    cr_expect(store_is_broken(store));
    fault = 0;
    cr_assert_eq(store_reopen(store), 0);
    cr_expect_not(store_is_broken(store));
    cr_assert_eq(load_all(store, &loaded), 0, "%s", store_error);
    cr_expect_eq(loaded.key_count, 4);
    cr_expect_eq(loaded.next_id, 6);
    cr_expect_eq(loaded.last_event, 1);
    loaded_deinit(&loaded);

    add_key(&set, 1, 6, "{}");
    add_event(&set, 1, 6);
    cr_assert_eq(commit_set(store, &set, 7), 0);
    cr_assert_eq(store_events(store, 1, 10, &events, &oldest, &last), 1);
    cr_expect_eq(events[0].seq, 2);
    free(events);
    cr_assert_eq(load_all(store, &loaded), 0);
    cr_expect_eq(loaded.key_count, 5);
    loaded_deinit(&loaded);
    store_close(store);
}

Test(store_damage, a_failed_start_is_not_counted_as_one) {
    struct store *store = open_store_with(&FAULTS, 0);
    uint64_t start = 77;
    make_store();
    cr_expect_eq(store->start.count, 0);
    fault = EIO;
    cr_expect_eq(store_begin_start(store, 0, &start), -EIO);
    cr_expect_eq(start, 77);
    cr_expect(store_is_broken(store));
    store_close(store);
}

Test(store_damage, a_store_that_changed_behind_its_back_is_not_taken_back) {
    make_store();
    struct store *store = open_store_with(&FAULTS, 0);
    struct changeset set = { 0 };
    add_event(&set, 1, 2);
    fault = EIO;
    cr_expect_eq(commit_set(store, &set, 7), -EIO);
    fault = 0;

    struct store *other = open_store(); /* as if the failed group had gone through after all */
    add_event(&set, 1, 2);
    cr_assert_eq(commit_set(other, &set, 7), 0);
    store_close(other);
    cr_expect_eq(store_reopen(store), -ESTALE);
    cr_expect_eq(store_reopen(store), -ESTALE);
    cr_expect(store_is_broken(store));
    store_close(store);
}

Test(store_damage, a_store_whose_file_is_gone_or_damaged_is_not_reopened) {
    make_store();
    struct store *store = open_store_with(&FAULTS, 0);
    struct bytes whole = file_read("store.mdb");
    struct changeset set = { 0 };
    fault = EIO;
    cr_expect_eq(commit_set(store, &set, 7), -EIO);
    fault = 0;
    cr_assert_eq(unlinkat(state_dir.fd, "store.mdb", 0), 0);
    cr_expect_eq(store_reopen(store), -ENOENT);
    cr_expect_not(file_exists("store.mdb"));
    file_write("store.mdb", whole.data, 8192);
    cr_expect_eq(store_reopen(store), -EUCLEAN);
    file_write("store.mdb", whole.data, whole.size);
    cr_expect_eq(store_reopen(store), 0);
    free(whole.data);
    store_close(store);
}
