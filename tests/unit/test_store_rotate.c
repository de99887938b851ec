/* Another master key: whichever file is in place opens the store, also after a kill at any step. */
#include "store_fixture.h"

#include "store_internal.h"
#include "tests/support/steps.h"

TestSuite(store_rotate, .init = state_dir_init, .fini = state_dir_deinit);

static const unsigned char GIVEN[] = "0123456789abcdef0123456789abcdef";

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

static void expect_whole(const char *when) {
    struct store *store = NULL;
    struct store_options options = { .state_dir_fd = state_dir.fd };
    struct loaded loaded;
    cr_assert_eq(store_open(&store, &options, store_error), 0, "%s: %s", when, store_error);
    cr_assert_eq(load_all(store, &loaded), 0, "%s: %s", when, store_error);
    cr_expect_eq(loaded.key_count, 4, "%s", when);
    loaded_deinit(&loaded);
    store_close(store);
}

static enum store_next_key pending(void) {
    struct store *store = open_store();
    enum store_next_key next = store->next_key;
    store_close(store);
    return next;
}

Test(store_rotate, the_new_key_opens_the_store_and_the_old_one_no_longer) {
    make_store();
    struct bytes old = file_read("master.key");
    struct store *store = open_store();
    cr_assert_eq(store_rotate_master(store, NULL, store_error), 0, "%s", store_error);
    cr_expect_eq(store_check_master(store, store_error), 0);
    store_close(store);
    cr_expect_not(file_is("master.key", &old));
    cr_expect_not(file_exists("master.key.new"));
    struct stat st;
    cr_assert_eq(fstatat(state_dir.fd, "master.key", &st, 0), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    expect_whole("after the rotation");

    struct bytes new = file_read("master.key");
    file_write("master.key", old.data, old.size);
    cr_expect_eq(try_open(), -EKEYREJECTED);
    file_write("master.key", new.data, new.size);
    expect_whole("with the new key again");
    free(old.data);
    free(new.data);
}

Test(store_rotate, it_can_be_done_again_and_again_while_changes_go_on) {
    make_store();
    struct store *store = open_store();
    for (uint64_t i = 0; i < 20; i++) {
        struct changeset set = { 0 };
        cr_assert_eq(store_rotate_master(store, NULL, store_error), 0, "%s", store_error);
        add_event(&set, 1, 2);
        cr_assert_eq(commit_set(store, &set, 6), 0);
    }
    store_close(store);
    expect_whole("after twenty");
}

static bool stands_in_the_file(const unsigned char wrapped[VAULT_WRAPPED_SIZE]) {
    struct bytes bytes = file_read("store.mdb");
    bool found = memmem(bytes.data, bytes.size, wrapped, VAULT_WRAPPED_SIZE) != NULL;
    free(bytes.data);
    return found;
}

/* LMDB takes free pages up again when it likes: with many of them, perhaps never. */
Test(store_rotate, what_the_old_key_wrapped_is_in_no_free_page_either) {
    make_store();
    struct store *store = open_store();
    struct changeset set = { 0 };
    for (uint64_t id = 100; id < 4000; id++)
        add_key(&set, 1, id, "{\"api_key\":\"sk-1\"}");
    cr_assert_eq(commit_set(store, &set, 4000), 0);
    for (uint64_t id = 100; id < 4000; id++) {
        struct key_record *key = new_key(1, id, "{}");
        changeset_key(&set, key, NULL);
        key_record_unref(key);
    }
    cr_assert_eq(commit_set(store, &set, 4000), 0);
    unsigned char old[VAULT_WRAPPED_SIZE];
    memcpy(old, store->wrapped, sizeof(old));
    cr_assert(stands_in_the_file(old));
    cr_assert_eq(store_rotate_master(store, NULL, store_error), 0, "%s", store_error);
    cr_expect_not(stands_in_the_file(old));
    cr_expect(stands_in_the_file(store->wrapped));
    cr_assert_eq(store_rotate_master(store, GIVEN, store_error), 0, "%s", store_error);
    memcpy(old, store->wrapped, sizeof(old));
    file_write("master.key", GIVEN, VAULT_KEY_SIZE);
    cr_assert_eq(store_check_master(store, store_error), 0, "%s", store_error);
    cr_expect_not(stands_in_the_file(old));
    store_close(store);
    expect_whole("scrubbed");
}

static bool open_to_rotate(void *userdata) {
    struct store_options options = { .state_dir_fd = state_dir.fd };
    return store_open(userdata, &options, store_error) == 0;
}

static bool rotate(void *userdata) {
    struct store **store = userdata;
    bool done = store_rotate_master(*store, NULL, store_error) == 0;
    store_close(*store);
    return done;
}

Test(store_rotate, killed_at_every_step_the_store_opens_with_the_file_that_is_there,
     .timeout = 300) {
    struct store *store = NULL;
    struct steps steps = { .prepare = open_to_rotate, .work = rotate, .userdata = &store };
    make_store();
    unsigned step = 1, with_new_key = 0, interrupted = 0;
    for (;; step++) {
        struct bytes before = file_read("master.key");
        enum steps_end end = steps_kill_at(&steps, step);
        if (end == STEPS_IMPOSSIBLE)
            cr_skip_test("processes may not be traced here");
        cr_assert_neq(end, STEPS_FAILED, "step %u", step);
        with_new_key += end == STEPS_KILLED && !file_is("master.key", &before);
        interrupted += file_exists("master.key.new");
        free(before.data);
        char when[64];
        snprintf(when, sizeof(when), "killed at step %u", step);
        expect_whole(when);
        cr_assert_eq(pending(), NEXT_KEY_NONE, "%s", when);
        if (end == STEPS_DONE)
            break;
    }
    cr_expect_gt(step, 20);
    cr_expect_gt(with_new_key, 0, "killed behind the rename");
    cr_expect_gt(interrupted, 0, "killed before it");
    cr_expect_lt(with_new_key, step - 1);
}

/* ---- a key that the operator keeps ---- */

Test(store_rotate, a_given_key_and_the_old_one_open_the_store_until_the_given_one_was_used) {
    make_store();
    struct bytes old = file_read("master.key");
    struct store *store = open_store();
    cr_assert_eq(store_rotate_master(store, GIVEN, store_error), 0, "%s", store_error);
    store_close(store);
    cr_expect(file_is("master.key", &old), "the broker writes no file");
    expect_whole("with the old key");
    expect_whole("and once more");

    file_write("master.key", GIVEN, VAULT_KEY_SIZE);
    expect_whole("with the given key");
    file_write("master.key", old.data, old.size);
    cr_expect_eq(try_open(), -EKEYREJECTED, "the old one has gone");
    free(old.data);
}

Test(store_rotate, a_given_key_takes_over_when_it_is_found_in_place_while_the_store_is_open) {
    make_store();
    struct bytes old = file_read("master.key");
    struct store *store = open_store();
    cr_assert_eq(store_rotate_master(store, GIVEN, store_error), 0);
    cr_expect_eq(store_check_master(store, store_error), 0);
    cr_expect_eq(store->next_key, NEXT_KEY_GIVEN);
    file_write("master.key", GIVEN, VAULT_KEY_SIZE);
    cr_expect_eq(store_check_master(store, store_error), 0, "%s", store_error);
    cr_expect_eq(store->next_key, NEXT_KEY_NONE);
    file_write("master.key", old.data, old.size);
    cr_expect_eq(store_check_master(store, store_error), -EKEYREJECTED);
    store_close(store);
    free(old.data);
}

/* ---- where it cannot be done ---- */

Test(store_rotate, a_credential_is_not_replaced_and_the_cure_is_named) {
    char path[512];
    snprintf(path, sizeof(path), "%s/credentials", state_dir.path);
    setenv("CREDENTIALS_DIRECTORY", path, 1);
    cr_assert_eq(mkdir(path, 0700), 0);
    file_write("credentials/master.key", GIVEN, VAULT_KEY_SIZE);
    make_store();
    struct store *store = open_store();
    cr_expect_eq(store_rotate_master(store, NULL, store_error), -EROFS);
    cr_expect_not_null(strstr(store_error, "rotate master-key given"), "%s", store_error);
    cr_expect_eq(store->next_key, NEXT_KEY_NONE);
    cr_expect_eq(store_check_master(store, store_error), 0);
    store_close(store);
    unlinkat(state_dir.fd, "credentials/master.key", 0);
    rmdir(path);
}

Test(store_rotate, a_key_behind_a_link_is_not_replaced) {
    make_store();
    cr_assert_eq(renameat(state_dir.fd, "master.key", state_dir.fd, "mounted.key"), 0);
    cr_assert_eq(symlinkat("mounted.key", state_dir.fd, "master.key"), 0);
    struct store *store = open_store();
    cr_expect_eq(store_rotate_master(store, NULL, store_error), -EROFS);
    cr_expect_not_null(strstr(store_error, "rotate master-key given"), "%s", store_error);
    cr_expect_eq(store->next_key, NEXT_KEY_NONE);
    store_close(store);
}

Test(store_rotate, a_master_key_that_is_not_the_stores_is_not_rotated_from) {
    make_store();
    struct store *store = open_store();
    struct bytes before = file_read("store.mdb");
    file_write("master.key", GIVEN, VAULT_KEY_SIZE);
    struct bytes foreign = file_read("master.key");
    cr_expect_eq(store_rotate_master(store, NULL, store_error), -EKEYREJECTED);
    cr_expect(file_is("store.mdb", &before));
    cr_expect(file_is("master.key", &foreign));
    store_close(store);
    free(before.data);
    free(foreign.data);
}

static int fault;
static int countdown;
static int give_fault(void *userdata) {
    (void)userdata;
    return countdown-- == 0 ? fault : 0;
}
static const struct store_faults FAULTS = { .before_commit = give_fault };

Test(store_rotate, a_commit_that_fails_loses_nothing) {
    make_store();
    for (int commit = 0; commit < 3; commit++) {
        struct store *store = open_store_with(&FAULTS, 0);
        fault = EIO;
        countdown = commit;
        cr_expect_eq(store_rotate_master(store, NULL, store_error), -EIO, "commit %d", commit);
        cr_expect(store_is_broken(store));
        cr_expect_eq(store_rotate_master(store, NULL, store_error), -EIO, "it is closed");
        countdown = -1;
        cr_assert_eq(store_reopen(store), 0);
        cr_expect_eq(store_rotate_master(store, NULL, store_error), 0, "%s", store_error);
        store_close(store);
        expect_whole("after a commit that failed");
    }
}
