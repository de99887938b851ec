/*
 * The store while every call into the kernel fails in turn, also inside LMDB, and then every call
 * of LMDB: what was acknowledged is there afterwards, what was refused with an error can be tried
 * again, no descriptor and no file is left over.
 */
#include "tests/support/failing_lmdb.h"

#include "store_fixture.h"

#include "store_internal.h"

static struct store_options options;

static void set_up(void) {
    backup_dirs_init();
    options = (struct store_options){ .state_dir_fd = state_dir.fd };
}

TestSuite(store_calls, .init = set_up, .fini = backup_dirs_deinit);

static void empty_the_directories(void) {
    DIR *directory = opendir(state_dir.path);
    cr_assert_not_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        unlinkat(state_dir.fd, entry->d_name, 0);
    closedir(directory);
    unlink(backup_path);
}

/* LMDB's calls in turn, with each kind of error that it has. */
static void sweep_lmdb(struct calls_sweep sweep) {
    static const int ERRORS[] = { ENOMEM, MDB_MAP_FULL, MDB_TXN_FULL, MDB_CORRUPTED };
    calls_of_lmdb = true;
    for (size_t i = 0; i < sizeof(ERRORS) / sizeof(*ERRORS); i++) {
        sweep.error = ERRORS[i];
        calls_sweep(&sweep);
    }
    calls_of_lmdb = false;
}

enum { KEYS = 20 };

static void make_store(void) {
    empty_the_directories();
    struct store *store = open_store();
    struct changeset set = { 0 };
    add_pool(&set, 1, "main");
    for (uint64_t id = 2; id < 2 + KEYS; id++)
        add_key(&set, 1, id, "{\"api_key\":\"sk-1\"}");
    add_event(&set, 1, 2);
    cr_assert_eq(commit_set(store, &set, 2 + KEYS), 0);
    store_close(store);
}

static size_t keys_in_store(const char *when) {
    struct store *store = NULL;
    struct loaded loaded;
    cr_assert_eq(store_open(&store, &options, store_error), 0, "%s: %s", when, store_error);
    cr_assert_eq(load_all(store, &loaded), 0, "%s: %s", when, store_error);
    size_t count = loaded.key_count;
    loaded_deinit(&loaded);
    store_close(store);
    return count;
}

/* ---- starts ---- */

static int open_and_start(void) {
    struct store *store = NULL;
    uint64_t start = 0;
    store_error[0] = '\0';
    int rc = store_open(&store, &options, store_error);
    if (rc < 0) {
        calls_work();
        cr_expect_null(store);
        cr_expect_neq(store_error[0], '\0', "%s without a sentence", strerror(-rc));
        return rc;
    }
    rc = store_begin_start(store, 0, &start);
    store_close(store);
    return rc;
}

static void expect_new_store(int result, const char *when) {
    (void)result;
    cr_expect_eq(keys_in_store(when), 0, "%s", when);
    cr_expect_not(file_exists("store.mdb.new"), "%s", when);
    if (!strstr(when, "unlink"))
        cr_expect_not(file_exists("master.key.new"), "%s", when);
}

Test(store_calls, a_first_start_that_fails_anywhere_is_made_good_by_the_next, .timeout = 120) {
    calls_sweep(&(struct calls_sweep){ .prepare = empty_the_directories,
                                       .work = open_and_start,
                                       .check = expect_new_store,
                                       .least = 40,
                                       .error = EIO });
    sweep_lmdb((struct calls_sweep){ .prepare = empty_the_directories,
                                     .work = open_and_start,
                                     .check = expect_new_store,
                                     .least = 20 });
}

static void expect_every_key(int result, const char *when) {
    (void)result;
    cr_expect_eq(keys_in_store(when), KEYS, "%s", when);
}

Test(store_calls, a_start_that_fails_anywhere_loses_nothing, .timeout = 120) {
    make_store();
    calls_sweep(&(struct calls_sweep){
        .work = open_and_start, .check = expect_every_key, .least = 20, .error = EIO });
    sweep_lmdb(
        (struct calls_sweep){ .work = open_and_start, .check = expect_every_key, .least = 10 });
}

Test(store_calls, a_start_without_descriptors_loses_nothing, .timeout = 120) {
    make_store();
    calls_sweep(&(struct calls_sweep){
        .work = open_and_start, .check = expect_every_key, .least = 20, .error = EMFILE });
}

static int load_everything(void) {
    struct store *store = NULL;
    struct loaded loaded = { 0 };
    int rc = store_open(&store, &options, store_error);
    if (rc < 0)
        return rc;
    rc = load_all(store, &loaded);
    if (rc == 0)
        cr_expect_eq(loaded.key_count, KEYS, "it is said to be everything");
    loaded_deinit(&loaded);
    store_close(store);
    return rc;
}

Test(store_calls, what_could_not_be_read_is_an_error_and_not_an_empty_store, .timeout = 120) {
    make_store();
    calls_sweep(&(struct calls_sweep){
        .work = load_everything, .check = expect_every_key, .least = 15, .error = EIO });
    sweep_lmdb(
        (struct calls_sweep){ .work = load_everything, .check = expect_every_key, .least = 10 });
}

/* ---- groups ---- */

static struct store *serving; /* while it is open */

static void serve(void) {
    make_store();
    serving = open_store();
}

/* A key more, with a value that needs pages of its own. */
static int commit_one(void) {
    static char config[20000];
    struct changeset set = { 0 };
    memset(config, 'x', sizeof(config) - 1);
    add_key(&set, 1, 2 + KEYS, config);
    add_event(&set, 1, 2 + KEYS);
    return commit_set(serving, &set, 3 + KEYS);
}

/* As the committer does it: a store that is broken is brought back, or only a start can go on. */
static void expect_all_or_nothing(int result, const char *when) {
    bool broken = store_is_broken(serving);
    int rc = broken ? store_reopen(serving) : 0;
    cr_expect(rc == 0 || rc == -ESTALE, "%s: %s", when, strerror(-rc));
    cr_expect(result < 0 || !broken, "%s: acknowledged by a broken store", when);
    if (rc == 0 && result < 0)
        cr_expect_eq(commit_one(), 0, "%s: it can be tried again", when);
    serving = store_close(serving);
    cr_expect_eq(keys_in_store(when), KEYS + 1, "%s", when);
}

Test(store_calls, a_commit_that_fails_is_tried_again_and_one_that_succeeds_stays, .timeout = 120) {
    calls_sweep(&(struct calls_sweep){ .prepare = serve,
                                       .work = commit_one,
                                       .check = expect_all_or_nothing,
                                       .least = 3,
                                       .error = ENOSPC });
    sweep_lmdb((struct calls_sweep){
        .prepare = serve, .work = commit_one, .check = expect_all_or_nothing, .least = 5 });
}

static void serve_a_broken_one(void) {
    serve();
    store_env_close(serving);
}

static int reopen(void) {
    return store_reopen(serving);
}

static void expect_the_next_to_succeed(int result, const char *when) {
    cr_expect_eq(store_is_broken(serving), result < 0, "%s", when);
    if (result < 0)
        cr_expect_eq(store_reopen(serving), 0, "%s", when);
    cr_expect_eq(commit_one(), 0, "%s", when);
    serving = store_close(serving);
    cr_expect_eq(keys_in_store(when), KEYS + 1, "%s", when);
}

Test(store_calls, reopening_a_broken_store_is_tried_until_it_succeeds, .timeout = 120) {
    calls_sweep(&(struct calls_sweep){ .prepare = serve_a_broken_one,
                                       .work = reopen,
                                       .check = expect_the_next_to_succeed,
                                       .least = 15,
                                       .error = EIO });
    sweep_lmdb((struct calls_sweep){ .prepare = serve_a_broken_one,
                                     .work = reopen,
                                     .check = expect_the_next_to_succeed,
                                     .least = 10 });
}

/* ---- master keys ---- */

static int rotate(void) {
    store_error[0] = '\0';
    return store_rotate_master(serving, NULL, store_error);
}

static void expect_to_open(int result, const char *when) {
    if (result < 0)
        cr_expect_neq(store_error[0], '\0', "%s: refused without a sentence", when);
    if (store_is_broken(serving))
        store_reopen(serving);
    if (!store_is_broken(serving))
        cr_expect_eq(store_check_master(serving, store_error), 0, "%s: %s", when, store_error);
    serving = store_close(serving);
    cr_expect_eq(keys_in_store(when), KEYS, "%s", when);
    cr_expect_not(file_exists("master.key.new"), "%s", when);
}

Test(store_calls, a_rotation_that_fails_anywhere_leaves_a_key_that_opens_the_store,
     .timeout = 120) {
    calls_sweep(&(struct calls_sweep){
        .prepare = serve, .work = rotate, .check = expect_to_open, .least = 20, .error = EIO });
    sweep_lmdb((struct calls_sweep){
        .prepare = serve, .work = rotate, .check = expect_to_open, .least = 10 });
}

Test(store_calls, a_key_file_that_may_not_be_written_leaves_the_old_one, .timeout = 120) {
    calls_sweep(&(struct calls_sweep){
        .prepare = serve, .work = rotate, .check = expect_to_open, .least = 20, .error = EROFS });
}

static int announce_a_key(void) {
    static const unsigned char GIVEN[] = "0123456789abcdef0123456789abcdef";
    store_error[0] = '\0';
    return store_rotate_master(serving, GIVEN, store_error);
}

Test(store_calls, a_given_key_that_could_not_be_stored_leaves_the_old_one, .timeout = 120) {
    calls_sweep(&(struct calls_sweep){ .prepare = serve,
                                       .work = announce_a_key,
                                       .check = expect_to_open,
                                       .least = 5,
                                       .error = ENOSPC });
}

/* ---- backups ---- */

static int back_up(void) {
    struct store_backup *backup = NULL;
    uint64_t bytes;
    store_error[0] = '\0';
    int rc = store_backup_begin(serving, backup_path, &backup, store_error);
    return rc < 0 ? rc : store_backup_finish(backup, &bytes, store_error);
}

static void expect_whole_or_none(int result, const char *when) {
    if (result < 0) {
        cr_expect_neq(store_error[0], '\0', "%s: refused without a sentence", when);
        cr_expect_neq(access(backup_path, F_OK), 0, "%s: half a backup is left", when);
        cr_expect_eq(back_up(), 0, "%s: %s", when, store_error);
    }
    serving = store_close(serving);
    int fd = open(backup_path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(unlinkat(state_dir.fd, "store.mdb", 0), 0);
    cr_expect_eq(store_restore(&options, fd, store_error), 0, "%s: %s", when, store_error);
    close(fd);
    cr_expect_eq(keys_in_store(when), KEYS, "%s", when);
}

Test(store_calls, a_backup_that_fails_anywhere_is_no_file, .timeout = 120) {
    calls_sweep(&(struct calls_sweep){ .prepare = serve,
                                       .work = back_up,
                                       .check = expect_whole_or_none,
                                       .least = 20,
                                       .error = ENOSPC });
    sweep_lmdb((struct calls_sweep){
        .prepare = serve, .work = back_up, .check = expect_whole_or_none, .least = 1 });
}

static void lose_the_store(void) {
    serve();
    cr_assert_eq(back_up(), 0, "%s", store_error);
    serving = store_close(serving);
    cr_assert_eq(unlinkat(state_dir.fd, "store.mdb", 0), 0);
}

static int restore(void) {
    int fd = open(backup_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    store_error[0] = '\0';
    int rc = store_restore(&options, fd, store_error);
    if (rc < 0)
        cr_expect_neq(store_error[0], '\0', "%s without a sentence", strerror(-rc));
    close(fd);
    return rc;
}

static void expect_restored(int result, const char *when) {
    cr_expect_not(file_exists("store.mdb.new"), "%s", when);
    if (result < 0 && !file_exists("store.mdb"))
        cr_expect_eq(restore(), 0, "%s: %s", when, store_error);
    cr_expect_eq(keys_in_store(when), KEYS, "%s", when);
}

Test(store_calls, a_restore_that_fails_anywhere_can_be_done_again, .timeout = 120) {
    calls_sweep(&(struct calls_sweep){ .prepare = lose_the_store,
                                       .work = restore,
                                       .check = expect_restored,
                                       .least = 25,
                                       .error = ENOSPC });
    sweep_lmdb((struct calls_sweep){
        .prepare = lose_the_store, .work = restore, .check = expect_restored, .least = 15 });
}

/* ---- events ---- */

enum { EVENTS_KEPT = 5 };

static void serve_few_events(void) {
    empty_the_directories();
    serving = open_store_with(NULL, EVENTS_KEPT);
    for (int i = 0; i < EVENTS_KEPT; i++) {
        struct changeset set = { 0 };
        add_event(&set, 1, 2);
        cr_assert_eq(commit_set(serving, &set, 3), 0);
    }
}

static int events_now(uint64_t *ret_oldest, uint64_t *ret_last) {
    struct event *events = NULL;
    int count = store_events(serving, 0, 100, &events, ret_oldest, ret_last);
    free(events);
    return count;
}

/* One more pushes the oldest out. */
static int commit_one_event(void) {
    struct changeset set = { 0 };
    add_event(&set, 1, 2);
    return commit_set(serving, &set, 3);
}

static void expect_the_newest_events(int result, const char *when) {
    uint64_t oldest = 0, last = 0;
    bool broken = store_is_broken(serving);
    int rc = broken ? store_reopen(serving) : 0;
    cr_expect(rc == 0 || rc == -ESTALE, "%s: %s", when, strerror(-rc));
    if (rc == 0) {
        if (result < 0)
            cr_expect_eq(commit_one_event(), 0, "%s", when);
        cr_expect_eq(events_now(&oldest, &last), EVENTS_KEPT, "%s", when);
        cr_expect_eq(oldest, 2, "%s: the oldest is %llu", when, (unsigned long long)oldest);
        cr_expect_eq(last, EVENTS_KEPT + 1, "%s", when);
    }
    serving = store_close(serving);
}

Test(store_calls, an_event_that_could_not_be_stored_pushes_none_out, .timeout = 120) {
    sweep_lmdb((struct calls_sweep){ .prepare = serve_few_events,
                                     .work = commit_one_event,
                                     .check = expect_the_newest_events,
                                     .least = 6 });
}

static int read_events(void) {
    uint64_t oldest, last;
    int count = events_now(&oldest, &last);
    if (count >= 0)
        cr_expect_eq(count, EVENTS_KEPT, "%d events, and no error", count);
    return count < 0 ? count : 0;
}

static void close_the_store(int result, const char *when) {
    (void)result;
    cr_expect_not(store_is_broken(serving), "%s: reading breaks nothing", when);
    serving = store_close(serving);
}

Test(store_calls, events_that_could_not_be_read_are_an_error_and_not_missing, .timeout = 120) {
    sweep_lmdb((struct calls_sweep){
        .prepare = serve_few_events, .work = read_events, .check = close_the_store, .least = 5 });
}
