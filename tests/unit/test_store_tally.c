/*
 * Records that somebody put back or took away: who can write the file but has no key.
 */
#include "store_fixture.h"
#include "store_internal.h"

TestSuite(store_tally, .init = state_dir_init, .fini = state_dir_deinit);

enum { POOL = 1, KEY = 7 };

/* ---- the attacker: LMDB, and values as they stand there ---- */

static struct bytes copy_value(struct store *store, enum store_table table, uint64_t a,
                               uint64_t b) {
    unsigned char bytes[16];
    MDB_val value, key = { .mv_size = store_record_key(table, a, b, bytes), .mv_data = bytes };
    MDB_txn *txn;
    cr_assert_eq(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn), 0);
    cr_assert_eq(mdb_get(txn, store->tables[table], &key, &value), 0);
    struct bytes copy = { .data = mem_alloc(value.mv_size), .size = value.mv_size };
    memcpy(copy.data, value.mv_data, value.mv_size);
    mdb_txn_abort(txn);
    return copy;
}

/* `value` NULL: take it away. */
static void put_value(struct store *store, enum store_table table, uint64_t a, uint64_t b,
                      const struct bytes *value) {
    unsigned char bytes[16];
    MDB_val key = { .mv_size = store_record_key(table, a, b, bytes), .mv_data = bytes };
    MDB_txn *txn;
    cr_assert_eq(mdb_txn_begin(store->env, NULL, 0, &txn), 0);
    if (value) {
        MDB_val put = { .mv_size = value->size, .mv_data = value->data };
        cr_assert_eq(mdb_put(txn, store->tables[table], &key, &put, 0), 0);
    } else {
        cr_assert_eq(mdb_del(txn, store->tables[table], &key, NULL), 0);
    }
    cr_assert_eq(mdb_txn_commit(txn), 0);
}

/* ---- the store ---- */

static void fill(struct store *store) {
    struct changeset set = { 0 };
    add_pool(&set, POOL, "main");
    for (uint64_t key = KEY; key < KEY + 3; key++)
        add_key(&set, POOL, key, "{\"api_key\":\"sk-old\"}");
    for (int i = 0; i < 5; i++)
        add_event(&set, POOL, KEY);
    cr_assert_eq(commit_set(store, &set, 100), 0);
}

/* Every record of the key, and the pool's, anew. */
static void change(struct store *store) {
    struct changeset set = { 0 };
    struct key_record *key = new_key(POOL, KEY, "{\"api_key\":\"sk-new\"}");
    struct key_state state = new_state(99);
    state.status = KB_STATUS_DISABLED;
    add_pool(&set, POOL, "main");
    changeset_key(&set, NULL, key);
    changeset_rank(&set, POOL, KEY, 1, 12345);
    changeset_state(&set, POOL, KEY, NULL, &state);
    key_record_unref(key);
    add_event(&set, POOL, KEY);
    cr_assert_eq(commit_set(store, &set, 100), 0);
}

/* A start on what is there. */
static int start_again(struct store **store) {
    struct loaded loaded;
    uint64_t start;
    store_close(*store);
    *store = open_store();
    int rc = load_all(*store, &loaded);
    loaded_deinit(&loaded);
    return rc < 0 ? rc : store_begin_start(*store, 0, &start);
}

Test(store_tally, what_the_broker_did_itself_adds_up) {
    struct store *store = open_store();
    fill(store);
    change(store);
    struct changeset set = { 0 };
    struct key_record *gone = new_key(POOL, KEY + 1, "{}");
    changeset_key(&set, gone, NULL);
    key_record_unref(gone);
    cr_assert_eq(commit_set(store, &set, 101), 0);
    cr_assert_eq(store_rotate_master(store, NULL, store_error), 0, "%s", store_error);
    store_close(store);
    store = open_store_with(NULL, 3); /* lets go of events at its first commit */
    change(store);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(start_again(&store), 0, "%s", store_error);
        cr_assert_not(store_events_were_changed(store));
    }
    store_close(store);
}

Test(store_tally, an_aborted_group_leaves_it_as_it_was) {
    struct store *store = open_store();
    fill(store);
    struct changeset set = { 0 };
    add_key(&set, POOL, KEY + 9, "{}");
    cr_assert_eq(store_begin(store), 0);
    cr_assert_eq(store_apply(store, &set), 0);
    store_abort(store);
    changeset_deinit(&set);
    change(store);
    cr_assert_eq(start_again(&store), 0, "%s", store_error);
    store_close(store);
}

static const struct {
    enum store_table table;
    uint64_t a, b;
} RECORDS[] = { { TABLE_POOLS, POOL, 0 },
                { TABLE_KEYS, POOL, KEY },
                { TABLE_RANKS, POOL, KEY },
                { TABLE_STATES, POOL, KEY },
                { TABLE_META, META_START, 0 } };

Test(store_tally, an_older_record_of_the_same_place_is_refused) {
    struct store *store = open_store();
    uint64_t start;
    fill(store);
    for (size_t i = 0; i < sizeof RECORDS / sizeof *RECORDS; i++) {
        struct bytes old = copy_value(store, RECORDS[i].table, RECORDS[i].a, RECORDS[i].b);
        change(store);
        cr_assert_eq(store_begin_start(store, 0, &start), 0);
        struct bytes new = copy_value(store, RECORDS[i].table, RECORDS[i].a, RECORDS[i].b);
        put_value(store, RECORDS[i].table, RECORDS[i].a, RECORDS[i].b, &old);
        cr_expect_eq(start_again(&store), -EBADMSG, "record %zu", i);
        cr_expect_not_null(strstr(store_error, "put back"), "%s", store_error);
        put_value(store, RECORDS[i].table, RECORDS[i].a, RECORDS[i].b, &new);
        cr_assert_eq(start_again(&store), 0, "%s", store_error);
        free(old.data);
        free(new.data);
    }
    store_close(store);
}

Test(store_tally, a_key_that_was_taken_away_with_all_its_records_is_missed) {
    static const enum store_table OF_A_KEY[] = { TABLE_KEYS, TABLE_RANKS, TABLE_STATES };
    struct store *store = open_store();
    fill(store);
    for (size_t i = 0; i < 3; i++)
        put_value(store, OF_A_KEY[i], POOL, KEY + 2, NULL);
    cr_expect_eq(start_again(&store), -EBADMSG);
    store_close(store);
}

Test(store_tally, an_event_that_was_taken_away_is_told_of_and_keys_are_served) {
    struct store *store = open_store();
    fill(store);
    put_value(store, TABLE_EVENTS, 3, 0, NULL);
    cr_assert_eq(start_again(&store), 0, "%s", store_error);
    cr_expect(store_events_were_changed(store));
    change(store);
    cr_assert_eq(start_again(&store), 0, "%s", store_error);
    cr_expect_not(store_events_were_changed(store), "told once");
    store_close(store);
}

/* The counters of an older format have no tally; put back they would undo it. */
Test(store_tally, older_counters_are_refused_too) {
    struct store *store = open_store();
    fill(store);
    struct bytes old = copy_value(store, TABLE_META, META_COUNTERS, 0);
    change(store);
    put_value(store, TABLE_META, META_COUNTERS, 0, &old);
    cr_expect_eq(start_again(&store), -EBADMSG);
    store_close(store);
    free(old.data);
}
