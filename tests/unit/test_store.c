/* The store: what is committed is there after a new start, as it was; what is not leaves nothing.
 */
#include "store_fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "../support/seed.h"
#include "store_internal.h"

static int roll(struct seed *seed) {
    return (int)seed_below(seed, INT32_MAX);
}

TestSuite(store, .init = state_dir_init, .fini = state_dir_deinit);

/* ---- opening ---- */

Test(store, a_new_store_is_empty_and_gets_a_master_key) {
    struct store *store = open_store();
    struct loaded loaded;
    struct stat st;
    cr_assert_eq(load_all(store, &loaded), 0);
    cr_expect_eq(loaded.pool_count + loaded.key_count, 0);
    cr_expect_eq(loaded.next_id, 1);
    cr_expect_eq(loaded.last_event, 0);
    cr_expect_not(loaded.same_boot);
    cr_expect(file_exists("master.key"));
    cr_expect_not(file_exists("store.mdb.new"));
    cr_expect_eq(fstatat(state_dir.fd, "store.mdb", &st, 0), 0);
    cr_expect_eq(st.st_mode & 07777, 0600);
    loaded_deinit(&loaded);
    store_close(store);
}

Test(store, no_descriptor_of_the_store_survives_an_exec) {
    struct store *store = open_store();
    DIR *directory = opendir("/proc/self/fd");
    int seen = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        char link[300] = "";
        if (readlinkat(dirfd(directory), entry->d_name, link, sizeof(link) - 1) < 0)
            continue;
        if (strstr(link, "store.mdb") || strstr(link, "master.key")) {
            seen++;
            cr_expect(fcntl(atoi(entry->d_name), F_GETFD) & FD_CLOEXEC, "%s", link);
        }
    }
    closedir(directory);
    cr_expect_gt(seen, 0);
    store_close(store);
}

Test(store, everything_comes_back_as_it_was) {
    struct store *store = open_store();
    struct changeset set = { 0 };
    add_pool(&set, 1, "main");
    add_key(&set, 1, 2, "{\"api_key\":\"sk-1\"}");
    add_key(&set, 1, 3, "");
    add_pool(&set, 500, "other");
    add_key(&set, 500, 501, "{}");
    cr_assert_eq(commit_set(store, &set, 502), 0);
    store_close(store);

    store = open_store();
    struct loaded loaded;
    cr_assert_eq(load_all(store, &loaded), 0, "%s", store_error);
    cr_assert_eq(loaded.pool_count, 2);
    cr_assert_eq(loaded.key_count, 3);
    cr_expect_eq(loaded.next_id, 502);
    struct pool_record *pool = new_pool(500, "other");
    cr_expect(pools_equal(loaded.pools[1], pool));
    pool_record_unref(pool);
    static const uint64_t IDS[3][2] = { { 1, 2 }, { 1, 3 }, { 500, 501 } };
    static const char *const CONFIGS[3] = { "{\"api_key\":\"sk-1\"}", "", "{}" };
    for (size_t i = 0; i < 3; i++) {
        struct key_record *key = new_key(IDS[i][0], IDS[i][1], CONFIGS[i]);
        struct key_state state = new_state(IDS[i][1]);
        cr_expect(keys_equal(loaded.keys[i].record, key), "key %zu", i);
        cr_expect(states_equal(&loaded.keys[i].state, &state), "key %zu", i);
        cr_expect_eq(loaded.keys[i].rank, IDS[i][1] << 20);
        key_record_unref(key);
    }
    loaded_deinit(&loaded);
    store_close(store);
}

Test(store, a_deleted_key_takes_its_rank_and_state_along) {
    struct store *store = open_store();
    struct changeset set = { 0 };
    add_pool(&set, 1, "main");
    add_key(&set, 1, 2, "{}");
    add_key(&set, 1, 3, "{}");
    cr_assert_eq(commit_set(store, &set, 4), 0);
    struct key_record *key = new_key(1, 2, "{}");
    changeset_key(&set, key, NULL);
    cr_assert_eq(commit_set(store, &set, 4), 0);
    key_record_unref(key);

    MDB_txn *txn;
    MDB_stat ranks, states;
    cr_assert_eq(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn), 0);
    cr_assert_eq(mdb_stat(txn, store->tables[TABLE_RANKS], &ranks), 0);
    cr_assert_eq(mdb_stat(txn, store->tables[TABLE_STATES], &states), 0);
    mdb_txn_abort(txn);
    cr_expect_eq(ranks.ms_entries, 1);
    cr_expect_eq(states.ms_entries, 1);
    struct loaded loaded;
    cr_assert_eq(load_all(store, &loaded), 0);
    cr_expect_eq(loaded.key_count, 1);
    loaded_deinit(&loaded);
    store_close(store);
}

Test(store, the_file_shows_no_secret_and_no_name) {
    struct store *store = open_store();
    struct changeset set = { 0 };
    add_pool(&set, 1, "canarypool");
    add_key(&set, 1, 2, "{\"api_key\":\"sk-canary-small\"}");
    char large[9000];
    memset(large, 'c', sizeof(large));
    memcpy(large, "sk-canary-large", 15);
    large[sizeof(large) - 1] = '\0';
    add_key(&set, 1, 3, large);
    add_event(&set, 1, 2);
    cr_assert_eq(commit_set(store, &set, 4), 0);
    store_close(store);

    static const char *const CANARIES[] = { "canary", "cccccccc", "key2",      "team-a",
                                            "openai", "käy",      "rate_limit" };
    struct bytes bytes = file_read("store.mdb");
    for (size_t i = 0; i < sizeof(CANARIES) / sizeof(*CANARIES); i++)
        cr_expect_null(memmem(bytes.data, bytes.size, CANARIES[i], strlen(CANARIES[i])), "%s",
                       CANARIES[i]);
    cr_expect_not_null(memmem(bytes.data, bytes.size, "states", 6)); /* a table's name */
    free(bytes.data);
}

/* ---- starts ---- */

Test(store, the_start_counter_grows_over_restarts_and_respects_the_floor) {
    uint64_t start = 0;
    struct store *store = open_store();
    cr_assert_eq(store_begin_start(store, 0, &start), 0);
    cr_expect_eq(start, 1);
    store_close(store);
    store = open_store();
    cr_assert_eq(store_begin_start(store, 0, &start), 0);
    cr_expect_eq(start, 2);
    cr_assert_eq(store_begin_start(store, (uint64_t)40 << 40 | 12345, &start), 0);
    cr_expect_eq(start, 41);
    store_close(store);
    store = open_store();
    cr_assert_eq(store_begin_start(store, (uint64_t)7 << 40, &start), 0);
    cr_expect_eq(start, 42);
    store_close(store);
}

Test(store, the_same_boot_is_recognised_and_another_is_not) {
    struct loaded loaded;
    uint64_t start;
    struct store *store = open_store();
    cr_assert_eq(store_begin_start(store, 0, &start), 0);
    cr_assert_eq(load_all(store, &loaded), 0);
    cr_expect_not(loaded.same_boot, "the start that is noted now is not the one before");
    loaded_deinit(&loaded);
    store_close(store);

    store = open_store();
    cr_assert_eq(load_all(store, &loaded), 0);
    cr_expect(loaded.same_boot);
    loaded_deinit(&loaded);
    struct store_start other = store->start;
    other.boot_id[0] ^= 1;
    cr_assert_eq(store_write_own(store, &other), 0);
    store_close(store);

    store = open_store();
    cr_assert_eq(load_all(store, &loaded), 0);
    cr_expect_not(loaded.same_boot);
    loaded_deinit(&loaded);
    store_close(store);
}

/* ---- groups ---- */

Test(store, an_aborted_group_leaves_nothing) {
    struct store *store = open_store();
    struct changeset set = { 0 };
    struct loaded loaded;
    add_pool(&set, 1, "main");
    add_event(&set, 1, 0);
    cr_assert_eq(store_begin(store), 0);
    cr_assert_eq(store_apply(store, &set), 0);
    store_abort(store);
    cr_expect_eq(store_commit(store, 9), -EIO, "there is no group any more");
    cr_expect_not(store_is_broken(store));
    cr_assert_eq(load_all(store, &loaded), 0);
    cr_expect_eq(loaded.pool_count, 0);
    cr_expect_eq(loaded.next_id, 1);
    loaded_deinit(&loaded);

    cr_assert_eq(commit_set(store, &set, 2), 0);
    cr_assert_eq(load_all(store, &loaded), 0);
    cr_expect_eq(loaded.last_event, 1, "the aborted event's number was not used up");
    loaded_deinit(&loaded);
    store_close(store);
}

Test(store, a_group_that_outgrows_the_map_is_applied_again_in_a_larger_one) {
    enum { SETS = 120, KEYS = 40 };
    struct store *store = open_store();
    struct changeset sets[SETS] = { 0 };
    char config[SECRET_MAX_BYTES];
    memset(config, 'x', sizeof(config));
    config[sizeof(config) - 1] = '\0';
    uint64_t id = 1;
    cr_assert_eq(store_begin(store), 0);
    for (size_t i = 0; i < SETS; i++) { /* about 60 MB, the map begins with 16 */
        for (size_t k = 0; k < KEYS; k++)
            add_key(&sets[i], 1, ++id, config);
        add_event(&sets[i], 1, id);
        cr_assert_eq(store_apply(store, &sets[i]), 0, "set %zu", i);
    }
    cr_assert_eq(store_commit(store, id + 1), 0);
    for (size_t i = 0; i < SETS; i++) {
        cr_expect_eq(sets[i].items[sets[i].count - 1].event->seq, i + 1);
        changeset_deinit(&sets[i]);
    }
    cr_expect_gt(store_size_bytes(store), SETS * KEYS * sizeof(config));
    store_close(store);

    struct loaded loaded;
    store = open_store();
    cr_assert_eq(load_all(store, &loaded), 0);
    cr_expect_eq(loaded.key_count, SETS * KEYS);
    cr_expect_eq(loaded.last_event, SETS);
    loaded_deinit(&loaded);
    store_close(store);
}

/* The estimate is only an estimate: where it is wrong LMDB says that the map is full. */
Test(store, a_wrong_estimate_is_made_good_by_growing) {
    struct store *store = open_store();
    struct changeset set = { 0 };
    char config[SECRET_MAX_BYTES];
    memset(config, 'x', sizeof(config));
    config[sizeof(config) - 1] = '\0';
    for (uint64_t id = 2; id < 2502; id++)
        add_key(&set, 1, id, config); /* 30 MB */
    cr_assert_eq(store_begin(store), 0);
    store->room_bytes = SIZE_MAX;
    cr_assert_eq(store_apply(store, &set), 0);
    cr_assert_eq(store_commit(store, 2502), 0);
    changeset_deinit(&set);
    struct loaded loaded;
    cr_assert_eq(load_all(store, &loaded), 0);
    cr_expect_eq(loaded.key_count, 2500);
    loaded_deinit(&loaded);
    store_close(store);
}

/* ---- events ---- */

Test(store, events_are_numbered_and_the_oldest_are_trimmed) {
    struct store *store = open_store_with(NULL, 10);
    struct event *events = NULL;
    uint64_t oldest = 99, last = 99;
    cr_assert_eq(store_events(store, 0, 100, &events, &oldest, &last), 0);
    cr_expect_eq(oldest, 1);
    cr_expect_eq(last, 0);
    free(events);

    for (uint64_t i = 1; i <= 25; i++) {
        struct changeset set = { 0 };
        add_event(&set, 1, 2);
        add_event(&set, 1, 3);
        cr_assert_eq(store_begin(store), 0);
        cr_assert_eq(store_apply(store, &set), 0);
        cr_expect_eq(set.items[0].event->seq, 2 * i - 1);
        cr_expect_eq(set.items[1].event->seq, 2 * i);
        cr_assert_eq(store_commit(store, 1), 0);
        changeset_deinit(&set);
    }
    store_close(store);

    store = open_store_with(NULL, 10);
    cr_assert_eq(store_events(store, 0, 100, &events, &oldest, &last), 10);
    cr_expect_eq(oldest, 41, "a gap: 1 to 40 are gone");
    cr_expect_eq(last, 50);
    for (uint64_t i = 0; i < 10; i++) {
        struct event expected = new_event(1, i % 2 ? 3 : 2);
        expected.seq = 41 + i;
        cr_expect(events_equal(&events[i], &expected), "event %llu", (unsigned long long)i);
    }
    free(events);
    cr_assert_eq(store_events(store, 45, 3, &events, &oldest, &last), 3);
    cr_expect_eq(events[0].seq, 46);
    cr_expect_eq(events[2].seq, 48);
    free(events);
    cr_assert_eq(store_events(store, 50, 3, &events, &oldest, &last), 0);
    free(events);
    cr_assert_eq(store_events(store, UINT64_MAX, 3, &events, &oldest, &last), 0);
    free(events);
    store_close(store);
}

Test(store, fewer_kept_events_are_trimmed_at_the_next_group) {
    struct store *store = open_store();
    struct changeset set = { 0 };
    for (int i = 0; i < 500; i++)
        add_event(&set, 1, 2);
    cr_assert_eq(commit_set(store, &set, 1), 0);
    store_close(store);
    store = open_store_with(NULL, 7);
    cr_assert_eq(commit_set(store, &set, 1), 0);
    struct event *events;
    uint64_t oldest, last;
    cr_expect_eq(store_events(store, 0, 1000, &events, &oldest, &last), 7);
    cr_expect_eq(oldest, 494);
    free(events);
    store_close(store);
}

/* ---- random changes against an oracle ---- */

enum { ORACLE_KEYS = 40, ORACLE_EVENTS_KEPT = 30 };

struct oracle {
    struct key_record *records[ORACLE_KEYS]; /* NULL = no such key; key i is i + 10 in pool 1 */
    uint64_t ranks[ORACLE_KEYS];
    struct key_state states[ORACLE_KEYS];
    uint64_t next_id;
    uint64_t last_event;
};

static void oracle_copy(struct oracle *to, const struct oracle *from) {
    for (size_t i = 0; i < ORACLE_KEYS; i++) {
        key_record_unref(to->records[i]);
        if (from->records[i])
            key_record_ref(from->records[i]);
    }
    *to = *from;
}

static void oracle_deinit(struct oracle *oracle) {
    for (size_t i = 0; i < ORACLE_KEYS; i++)
        key_record_unref(oracle->records[i]);
}

static void random_key_change(struct oracle *oracle, struct changeset *set, struct seed *seed) {
    size_t i = (size_t)roll(seed) % ORACLE_KEYS;
    uint64_t id = i + 10;
    struct key_record *before = oracle->records[i];
    if (before && roll(seed) % 3 == 0) {
        changeset_key(set, before, NULL);
        oracle->records[i] = key_record_unref(before);
        return;
    }
    size_t length = (size_t)roll(seed) % (roll(seed) % 4 == 0 ? 20000 : 200);
    char *config = mem_alloc(length + 1);
    memset(config, 'a' + roll(seed) % 26, length);
    struct key_record *after = new_key(1, id, config);
    free(config);
    changeset_key(set, before, after);
    if (!before) {
        oracle->ranks[i] = (uint64_t)roll(seed) + 1;
        oracle->states[i] = new_state((uint64_t)roll(seed));
        changeset_rank(set, 1, id, 0, oracle->ranks[i]);
        changeset_state(set, 1, id, NULL, &oracle->states[i]);
    }
    key_record_unref(before);
    oracle->records[i] = after;
}

static void random_state_change(struct oracle *oracle, struct changeset *set, struct seed *seed) {
    size_t i = (size_t)roll(seed) % ORACLE_KEYS;
    if (!oracle->records[i])
        return;
    struct key_state after = new_state((uint64_t)roll(seed));
    changeset_state(set, 1, i + 10, &oracle->states[i], &after);
    oracle->states[i] = after;
    uint64_t rank = (uint64_t)roll(seed) + 1;
    changeset_rank(set, 1, i + 10, oracle->ranks[i], rank);
    oracle->ranks[i] = rank;
}

static void random_set(struct oracle *oracle, struct changeset *set, struct seed *seed) {
    int changes = 1 + roll(seed) % 6;
    for (int i = 0; i < changes; i++) {
        int dice = roll(seed) % 5;
        if (dice < 2)
            random_key_change(oracle, set, seed);
        else if (dice < 4)
            random_state_change(oracle, set, seed);
        else {
            add_event(set, 1, 10);
            oracle->last_event++;
        }
    }
    oracle->next_id++;
}

static void expect_oracle(struct store *store, const struct oracle *oracle, int round) {
    struct loaded loaded;
    size_t at = 0;
    cr_assert_eq(load_all(store, &loaded), 0, "round %d: %s", round, store_error);
    cr_assert_eq(loaded.last_event, oracle->last_event, "round %d", round);
    cr_assert_eq(loaded.next_id, oracle->next_id, "round %d", round);
    for (size_t i = 0; i < ORACLE_KEYS; i++) {
        if (!oracle->records[i])
            continue;
        cr_assert_lt(at, loaded.key_count, "round %d", round);
        cr_assert(keys_equal(loaded.keys[at].record, oracle->records[i]), "round %d", round);
        cr_assert_eq(loaded.keys[at].rank, oracle->ranks[i], "round %d", round);
        cr_assert(states_equal(&loaded.keys[at].state, &oracle->states[i]), "round %d", round);
        at++;
    }
    cr_assert_eq(at, loaded.key_count, "round %d", round);
    loaded_deinit(&loaded);

    struct event *events;
    uint64_t oldest, last;
    int count = store_events(store, 0, 1000, &events, &oldest, &last);
    uint64_t kept = last < ORACLE_EVENTS_KEPT ? last : ORACLE_EVENTS_KEPT;
    cr_assert_eq(count, (int)kept, "round %d", round);
    free(events);
}

static bool fail_commits;
static int maybe_fail(void *userdata) {
    (void)userdata;
    return fail_commits ? EIO : 0;
}
static const struct store_faults FAULTS = { .before_commit = maybe_fail };

/* One group with one of its possible ends. True: it was committed. */
static bool random_group(struct store *store, struct oracle *staged, struct seed *seed) {
    struct changeset sets[3] = { 0 };
    int count = 1 + roll(seed) % 3, end = roll(seed) % 10;
    cr_assert_eq(store_begin(store), 0);
    for (int i = 0; i < count; i++) {
        random_set(staged, &sets[i], seed);
        cr_assert_eq(store_apply(store, &sets[i]), 0);
    }
    if (end == 0) {
        store_abort(store);
    } else if (end == 1) {
        fail_commits = true;
        cr_assert_eq(store_commit(store, staged->next_id), -EIO);
        cr_assert_eq(store_reopen(store), -EIO);
        fail_commits = false;
        cr_assert_eq(store_reopen(store), 0);
    } else {
        cr_assert_eq(store_commit(store, staged->next_id), 0);
    }
    for (int i = 0; i < count; i++)
        changeset_deinit(&sets[i]);
    return end > 1;
}

Test(store, random_changes_match_an_oracle_over_restarts, .timeout = 120) {
    struct seed seed = seed_begin("random_changes_match_an_oracle_over_restarts");
    struct oracle oracle = { .next_id = 1 }, staged = { 0 };
    struct store *store = open_store_with(&FAULTS, ORACLE_EVENTS_KEPT);
    for (int round = 0; round < 200; round++) {
        oracle_copy(&staged, &oracle);
        if (random_group(store, &staged, &seed))
            oracle_copy(&oracle, &staged);
        if (round % 10 == 9) {
            store_close(store);
            store = open_store_with(&FAULTS, ORACLE_EVENTS_KEPT);
        }
        if (round % 5 == 4)
            expect_oracle(store, &oracle, round);
    }
    oracle_deinit(&oracle);
    oracle_deinit(&staged);
    store_close(store);
}

/* ---- killed in the middle ---- */

/* Group n changes the state of keys 10 to 29, so that half of a group would show. */
static void commit_until_killed(int pipe_fd, uint64_t from) {
    struct store *store = open_store();
    for (uint64_t n = from;; n++) {
        struct changeset set = { 0 };
        for (uint64_t id = 10; id < 30; id++) {
            struct key_state state = new_state(n);
            changeset_state(&set, 1, id, NULL, &state);
        }
        add_event(&set, 1, 10);
        if (commit_set(store, &set, n) != 0 || write(pipe_fd, &n, sizeof(n)) != sizeof(n))
            _exit(1);
    }
}

static uint64_t kill_a_committing_child(uint64_t from, int acknowledged, struct seed *seed) {
    int fds[2];
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        commit_until_killed(fds[1], from);
    close(fds[1]);
    uint64_t n = 0, last = from - 1;
    for (int i = 0; i < acknowledged && read(fds[0], &n, sizeof(n)) == sizeof(n); i++)
        last = n;
    nanosleep(&(struct timespec){ .tv_nsec = roll(seed) % 3000000 }, NULL);
    cr_assert_eq(kill(child, SIGKILL), 0);
    while (read(fds[0], &n, sizeof(n)) == sizeof(n))
        last = n;
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFSIGNALED(status));
    close(fds[0]);
    return last;
}

Test(store, every_group_that_was_acknowledged_survives_a_kill, .timeout = 120) {
    struct seed seed = seed_begin("every_group_that_was_acknowledged_survives_a_kill");
    struct changeset set = { 0 };
    for (uint64_t id = 10; id < 30; id++)
        add_key(&set, 1, id, "{}");
    struct store *store = open_store();
    cr_assert_eq(commit_set(store, &set, 1), 0);
    store_close(store);

    uint64_t next = 2;
    for (int round = 0; round < 15; round++) {
        uint64_t last = kill_a_committing_child(next, 1 + roll(&seed) % 8, &seed);
        struct loaded loaded;
        store = open_store();
        cr_assert_eq(load_all(store, &loaded), 0, "%s", store_error);
        /* The one that was under way may be there too, but whole. */
        cr_assert(loaded.next_id == last || loaded.next_id == last + 1, "round %d: %llu after %llu",
                  round, (unsigned long long)loaded.next_id, (unsigned long long)last);
        cr_expect_eq(loaded.last_event, loaded.next_id - 1);
        struct key_state expected = new_state(loaded.next_id);
        for (size_t i = 0; i < loaded.key_count; i++)
            cr_expect(states_equal(&loaded.keys[i].state, &expected), "round %d", round);
        next = loaded.next_id + 1;
        loaded_deinit(&loaded);
        store_close(store);
    }
}
