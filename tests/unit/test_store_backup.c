/* Backups: what is in them, what is refused, and that a kill at any step leaves all or nothing. */
#include "store_fixture.h"

#include "store_internal.h"
#include "tests/support/steps.h"

TestSuite(store_backup, .init = backup_dirs_init, .fini = backup_dirs_deinit);

static void make_store(void) {
    struct store *store = open_store();
    struct changeset set = { 0 };
    add_pool(&set, 1, "main");
    for (uint64_t id = 2; id < 60; id++)
        add_key(&set, 1, id, "{\"api_key\":\"sk-1\"}");
    add_event(&set, 1, 2);
    cr_assert_eq(commit_set(store, &set, 60), 0);
    store_close(store);
}

static int back_up(struct store *store, const char *path) {
    struct store_backup *backup = NULL;
    uint64_t bytes = 0;
    int rc = store_backup_begin(store, path, &backup, store_error);
    if (rc == 0)
        rc = store_backup_finish(backup, &bytes, store_error);
    if (rc == 0) {
        struct stat st;
        cr_assert_eq(stat(path, &st), 0);
        cr_expect_eq((uint64_t)st.st_size, bytes);
    }
    return rc;
}

static int restore(const char *path) {
    struct store_options options = { .state_dir_fd = state_dir.fd };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0, "%s", path);
    memset(store_error, 0, sizeof(store_error));
    int rc = store_restore(&options, fd, store_error);
    close(fd);
    return rc;
}

static void make_backup(void) {
    struct store *store = open_store();
    cr_assert_eq(back_up(store, backup_path), 0, "%s", store_error);
    store_close(store);
}

static void lose_the_store(void) {
    cr_assert_eq(unlinkat(state_dir.fd, "store.mdb", 0), 0);
}

static size_t keys_in_store(void) {
    struct store *store = open_store();
    struct loaded loaded;
    cr_assert_eq(load_all(store, &loaded), 0, "%s", store_error);
    size_t count = loaded.key_count;
    loaded_deinit(&loaded);
    store_close(store);
    return count;
}

Test(store_backup, what_was_committed_comes_back_and_nothing_later) {
    make_store();
    struct store *store = open_store();
    struct store_backup *backup;
    struct changeset set = { 0 };
    uint64_t bytes;
    cr_assert_eq(store_backup_begin(store, backup_path, &backup, store_error), 0, "%s",
                 store_error);
    for (uint64_t id = 60; id < 400; id++)
        add_key(&set, 1, id, "{\"api_key\":\"sk-2\"}");
    cr_assert_eq(commit_set(store, &set, 400), 0);
    cr_assert_eq(store_backup_finish(backup, &bytes, store_error), 0, "%s", store_error);
    store_close(store);
    struct stat st;
    cr_assert_eq(stat(backup_path, &st), 0);
    cr_expect_eq(st.st_mode & 07777, 0600);
    lose_the_store();
    cr_assert_eq(restore(backup_path), 0, "%s", store_error);
    cr_expect_eq(keys_in_store(), 58);
    cr_expect_not(file_exists("store.mdb.new"));
    store = open_store();
    add_key(&set, 1, 60, "{}");
    cr_expect_eq(commit_set(store, &set, 61), 0, "and it goes on from there");
    store_close(store);
    cr_expect_eq(keys_in_store(), 59);
}

Test(store_backup, nothing_is_ever_overwritten_nor_written_below_the_state_directory) {
    make_store();
    make_backup();
    struct store *store = open_store();
    char path[600], link[400];
    cr_expect_eq(back_up(store, backup_path), -EEXIST);
    cr_expect_not_null(strstr(store_error, "nothing is overwritten"), "%s", store_error);
    snprintf(path, sizeof(path), "%s/copy", state_dir.path);
    cr_expect_eq(back_up(store, path), -EINVAL);
    cr_expect_not_null(strstr(store_error, "outside the state directory"), "%s", store_error);
    snprintf(link, sizeof(link), "%s/link", backup_dir);
    cr_assert_eq(symlink(state_dir.path, link), 0);
    snprintf(path, sizeof(path), "%s/copy", link);
    cr_expect_eq(back_up(store, path), -EINVAL, "nor by a detour");
    snprintf(path, sizeof(path), "%s/../%s.backups/../%s/copy", backup_dir,
             strrchr(state_dir.path, '/') + 1, strrchr(state_dir.path, '/') + 1);
    cr_expect_eq(back_up(store, path), -EINVAL);
    cr_expect_eq(back_up(store, link), -EEXIST, "a link is not followed");
    cr_assert_eq(unlink(link), 0);
    cr_assert_eq(symlink("nowhere", link), 0);
    cr_expect_eq(back_up(store, link), -EEXIST, "nor where it leads to nothing");
    unlink(link);
    cr_expect_eq(back_up(store, "relative"), -EINVAL);
    cr_expect_eq(back_up(store, "/"), -EINVAL);
    cr_expect_eq(back_up(store, "/tmp/.."), -EINVAL);
    cr_expect_eq(back_up(store, "/nowhere/at/all"), -ENOENT);
    cr_expect_eq(back_up(store, "/proc/backup"), -EOPNOTSUPP);
    store_close(store);
}

Test(store_backup, a_file_that_appears_meanwhile_is_left_alone) {
    make_store();
    struct store *store = open_store();
    struct store_backup *backup;
    uint64_t bytes;
    cr_assert_eq(store_backup_begin(store, backup_path, &backup, store_error), 0);
    int fd = open(backup_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    cr_assert_eq(write(fd, "mine", 4), 4);
    close(fd);
    cr_expect_eq(store_backup_finish(backup, &bytes, store_error), -EEXIST);
    struct stat st;
    cr_assert_eq(stat(backup_path, &st), 0);
    cr_expect_eq(st.st_size, 4);
    store_close(store);
}

Test(store_backup, a_restore_never_touches_a_store_that_is_there) {
    make_store();
    make_backup();
    struct bytes before = file_read("store.mdb");
    cr_expect_eq(restore(backup_path), -EEXIST);
    cr_expect(file_is("store.mdb", &before));
    file_write("store.mdb", "damaged", 7);
    cr_expect_eq(restore(backup_path), -EEXIST, "%s", store_error);
    free(before.data);
}

Test(store_backup, a_restore_needs_the_master_key_of_the_backup) {
    make_store();
    make_backup();
    lose_the_store();
    struct bytes key = file_read("master.key");
    cr_assert_eq(unlinkat(state_dir.fd, "master.key", 0), 0);
    cr_expect_eq(restore(backup_path), -ENOENT);
    cr_expect_not(file_exists("master.key"), "none is made");
    file_write("master.key", "0123456789abcdef0123456789abcdef", 32);
    cr_expect_eq(restore(backup_path), -EKEYREJECTED);
    cr_expect_not_null(strstr(store_error, "another master key"), "%s", store_error);
    cr_expect_not(file_exists("store.mdb"));
    cr_expect_not(file_exists("store.mdb.new"));
    file_write("master.key", key.data, key.size);
    cr_expect_eq(restore(backup_path), 0, "%s", store_error);
    free(key.data);
}

Test(store_backup, a_backup_made_before_a_rotation_opens_with_the_old_key_alone) {
    make_store();
    struct bytes old = file_read("master.key");
    make_backup();
    struct store *store = open_store();
    cr_assert_eq(store_rotate_master(store, NULL, store_error), 0);
    store_close(store);
    lose_the_store();
    cr_expect_eq(restore(backup_path), -EKEYREJECTED);
    file_write("master.key", old.data, old.size);
    cr_expect_eq(restore(backup_path), 0, "%s", store_error);
    free(old.data);
}

static void expect_refused(const char *what, size_t at) {
    int rc = restore(backup_path);
    cr_assert(rc == -EBADMSG || rc == -EKEYREJECTED, "%s at %zu: %d %s", what, at, rc, store_error);
    cr_assert_not(file_exists("store.mdb"), "%s at %zu", what, at);
    cr_assert_not(file_exists("store.mdb.new"), "%s at %zu", what, at);
}

static void write_backup(const unsigned char *data, size_t size) {
    int fd = open(backup_path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    cr_assert_eq(write(fd, data, size), (ssize_t)size);
    close(fd);
}

Test(store_backup, a_truncated_or_bit_flipped_backup_is_refused, .timeout = 120) {
    make_store();
    make_backup();
    lose_the_store();
    char name[400];
    snprintf(name, sizeof(name), "../%s.backups/b", strrchr(state_dir.path, '/') + 1);
    struct bytes whole = file_read(name);
    for (size_t length = 0; length < whole.size; length += length < 200 ? 1 : 997) {
        write_backup(whole.data, length);
        expect_refused("cut", length);
    }
    for (size_t at = 0; at<whole.size; at += at> whole.size - 200 ? 1 : 613) {
        whole.data[at] ^= (unsigned char)(1u << (at % 8));
        write_backup(whole.data, whole.size);
        expect_refused("flipped", at);
        whole.data[at] ^= (unsigned char)(1u << (at % 8));
    }
    for (size_t back = 1; back < 200; back++) {
        whole.data[whole.size - back] ^= 0x20;
        write_backup(whole.data, whole.size);
        expect_refused("flipped from the end", back);
        whole.data[whole.size - back] ^= 0x20;
    }
    write_backup(whole.data, whole.size);
    cr_expect_eq(restore(backup_path), 0, "%s", store_error);
    free(whole.data);
}

/* ---- kill -9 ---- */

static bool open_for_backup(void *userdata) {
    struct store_options options = { .state_dir_fd = state_dir.fd };
    return store_open(userdata, &options, store_error) == 0;
}

static bool make_one(void *userdata) {
    struct store **store = userdata;
    struct store_backup *backup;
    uint64_t bytes;
    bool done = store_backup_begin(*store, backup_path, &backup, store_error) == 0 &&
                store_backup_finish(backup, &bytes, store_error) == 0;
    store_close(*store);
    return done;
}

static bool only_the_backup_lies_there(void) {
    bool only = true;
    DIR *dir = opendir(backup_dir);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        only &= entry->d_name[0] == '.' || strcmp(entry->d_name, "b") == 0;
    closedir(dir);
    return only;
}

Test(store_backup, killed_at_every_step_there_is_a_whole_backup_or_none, .timeout = 300) {
    struct store *store = NULL;
    struct steps steps = { .prepare = open_for_backup, .work = make_one, .userdata = &store };
    make_store();
    unsigned step = 1, whole = 0;
    for (enum steps_end end = STEPS_KILLED; end == STEPS_KILLED; step++) {
        end = steps_kill_at(&steps, step);
        if (end == STEPS_IMPOSSIBLE)
            cr_skip_test("processes may not be traced here");
        cr_assert_neq(end, STEPS_FAILED, "step %u: %s", step, store_error);
        cr_assert(only_the_backup_lies_there(), "step %u", step);
        cr_assert_eq(keys_in_store(), 58, "step %u", step);
        if (access(backup_path, F_OK) < 0)
            continue;
        whole += end == STEPS_KILLED;
        cr_assert_eq(renameat(state_dir.fd, "store.mdb", state_dir.fd, "kept"), 0);
        cr_assert_eq(restore(backup_path), 0, "step %u: %s", step, store_error);
        cr_assert_eq(keys_in_store(), 58);
        cr_assert_eq(renameat(state_dir.fd, "kept", state_dir.fd, "store.mdb"), 0);
        cr_assert_eq(unlink(backup_path), 0);
    }
    cr_expect_gt(step, 20);
    cr_expect_gt(whole, 0, "killed behind the link");
}

static bool restore_one(void *userdata) {
    (void)userdata;
    return restore(backup_path) == 0;
}

Test(store_backup, killed_at_every_step_of_a_restore_there_is_a_whole_store_or_none,
     .timeout = 300) {
    struct steps steps = { .work = restore_one };
    make_store();
    make_backup();
    unsigned step = 1, whole = 0;
    for (enum steps_end end = STEPS_KILLED; end == STEPS_KILLED; step++) {
        if (file_exists("store.mdb"))
            lose_the_store();
        end = steps_kill_at(&steps, step);
        if (end == STEPS_IMPOSSIBLE)
            cr_skip_test("processes may not be traced here");
        cr_assert_neq(end, STEPS_FAILED, "step %u: %s", step, store_error);
        whole += file_exists("store.mdb") && end == STEPS_KILLED;
        if (!file_exists("store.mdb"))
            cr_assert_eq(restore(backup_path), 0, "step %u, again: %s", step, store_error);
        cr_assert_eq(keys_in_store(), 58, "step %u", step);
    }
    cr_expect_gt(step, 20);
    cr_expect_gt(whole, 0, "killed behind the rename");
}
