/*
 * Directories, sockets, boards and catalogs while every call into the kernel fails in turn: an
 * error or the whole thing, nothing that workers could mistake for it, no descriptor lost, and the
 * next attempt succeeds.
 */
#include "tests/support/failing_lmdb.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "broker/board.h"
#include "broker/catalog.h"
#include "broker/memory.h"
#include "broker/runtime.h"
#include "scratch_dir.h"

TestSuite(runtime_calls, .init = scratch_dir_init, .fini = scratch_dir_deinit);

static void empty_the_directory(void) {
    DIR *dir = opendir(directory);
    cr_assert_not_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.' || entry->d_name[1] > '.')
            unlinkat(dir_fd, entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0);
    closedir(dir);
}

static bool exists(const char *name) {
    return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int close_it(int fd) {
    return fd < 0 ? fd : close(fd);
}

/* ---- directories, locks, sockets ---- */

static int open_dir(void) {
    char path[300];
    snprintf(path, sizeof path, "%s/state", directory);
    return close_it(runtime_open_dir(path, 0700, false));
}

static void expect_directory(int result, const char *when) {
    struct stat status;
    (void)result;
    cr_assert_eq(open_dir(), 0, "%s: the next start makes or takes it", when);
    cr_assert_eq(fstatat(dir_fd, "state", &status, 0), 0);
    cr_assert_eq(status.st_mode & 07777, 0700, "%s", when);
}

Test(runtime_calls, a_directory_that_could_not_be_made_is_made_by_the_next_start) {
    calls_sweep(&(struct calls_sweep){ .prepare = empty_the_directory,
                                       .work = open_dir,
                                       .check = expect_directory,
                                       .least = 4,
                                       .error = EIO });
}

static int open_subdir(void) {
    return close_it(runtime_open_subdir(dir_fd, "pool", 0750, getegid() + 1));
}

static void expect_subdir(int result, const char *when) {
    struct stat status;
    if (result < 0 && fstatat(dir_fd, "pool", &status, 0) == 0)
        cr_assert(status.st_gid == getegid() + 1 || (status.st_mode & 077) == 0,
                  "%s: it is open to the wrong group", when);
    cr_assert_eq(open_subdir(), 0, "%s", when);
    cr_assert_eq(fstatat(dir_fd, "pool", &status, 0), 0);
    cr_assert_eq(status.st_mode & 07777, 0750, "%s", when);
    cr_assert_eq(status.st_gid, getegid() + 1, "%s", when);
}

Test(runtime_calls, a_pools_directory_is_never_open_to_the_wrong_group) {
    if (geteuid() != 0)
        cr_skip_test("only root gives directories to any group");
    calls_sweep(&(struct calls_sweep){ .prepare = empty_the_directory,
                                       .work = open_subdir,
                                       .check = expect_subdir,
                                       .least = 5,
                                       .error = EIO });
}

static int lock(void) {
    return close_it(runtime_lock(dir_fd));
}

static void expect_lock(int result, const char *when) {
    (void)result;
    cr_assert_eq(lock(), 0, "%s: nobody has it", when);
}

Test(runtime_calls, a_lock_that_failed_is_nobodys) {
    calls_sweep(
        &(struct calls_sweep){ .work = lock, .check = expect_lock, .least = 2, .error = ENOLCK });
}

static int listen_there(void) {
    return close_it(runtime_listen(dir_fd, "sock", SOCK_STREAM, 0660, getegid()));
}

static void expect_socket(int result, const char *when) {
    struct stat status;
    if (result < 0 && fstatat(dir_fd, "sock", &status, 0) == 0)
        cr_assert_eq(status.st_mode & 0007, 0, "%s: it is open to everybody", when);
    cr_assert_eq(listen_there(), 0, "%s: the next one replaces what was left", when);
}

Test(runtime_calls, a_socket_that_failed_half_way_is_replaced) {
    calls_sweep(&(struct calls_sweep){
        .work = listen_there, .check = expect_socket, .least = 6, .error = EMFILE });
}

/* ---- boards ---- */

static uint64_t generation_shown; /* by the board that was there before */

static int open_board(void) {
    struct board board;
    uint64_t generation = 0;
    int result = board_open(&board, dir_fd, &generation);
    if (result == 0) {
        cr_assert_geq(generation, generation_shown, "readers must see it grow");
        result = board_reserve(&board, 3);
        board_close(&board);
    }
    return result;
}

static void expect_board(int result, const char *when) {
    (void)result;
    cr_assert_eq(open_board(), 0, "%s", when);
    cr_assert_not(exists("." KB_BOARD_FILE ".new"), "%s: what was made aside is left", when);
}

Test(runtime_calls, a_board_is_whole_or_not_there) {
    generation_shown = 0;
    calls_sweep(&(struct calls_sweep){ .prepare = empty_the_directory,
                                       .work = open_board,
                                       .check = expect_board,
                                       .least = 9,
                                       .error = ENOSPC });
}

static ino_t inode_before;

static void leave_a_board(void) {
    struct board board;
    struct stat status;
    uint64_t generation;
    empty_the_directory();
    cr_assert_eq(board_open(&board, dir_fd, &generation), 0);
    board_announce(&board, generation_shown = 4711,
                   &(struct board_hint){ 0, UINT64_MAX, KB_BOARD_NO_POSITION });
    board_close(&board);
    cr_assert_eq(fstatat(dir_fd, KB_BOARD_FILE, &status, 0), 0);
    inode_before = status.st_ino;
}

static void expect_same_board(int result, const char *when) {
    struct stat status;
    cr_assert_eq(open_board(), 0, "%s", when);
    cr_assert_eq(fstatat(dir_fd, KB_BOARD_FILE, &status, 0), 0);
    cr_assert(result == 0 || status.st_ino == inode_before,
              "%s: a start that failed has taken the workers' board away", when);
}

Test(runtime_calls, a_start_that_fails_leaves_the_workers_their_board) {
    static const int ERRORS[] = { EMFILE, ENFILE, ENOMEM, EIO };
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        calls_sweep(&(struct calls_sweep){ .prepare = leave_a_board,
                                           .work = open_board,
                                           .check = expect_same_board,
                                           .least = 5,
                                           .error = ERRORS[i] });
}

/* ---- catalogs ---- */

static struct pool_record *pool;
static struct key_record *keys[20];
enum { VERSION = 7 };

static void make_records(void) {
    scratch_dir_init();
    pool = pool_record_new();
    pool->strategy = STRATEGY_PRIORITY;
    pool->default_key_id = 1;
    record_set_string(&pool->name, "main");
    record_set_string(&pool->vendor, "openai");
    for (uint32_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        keys[i] = key_record_new();
        keys[i]->id = i + 1;
        keys[i]->slot = i;
        keys[i]->weight = 1;
        record_set_string(&keys[i]->name, "a key");
        record_set_string(&keys[i]->config, "{\"api_key\":\"sk-1\"}");
    }
}

static void forget_records(void) {
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        key_record_unref(keys[i]);
    pool_record_unref(pool);
    scratch_dir_deinit();
}

TestSuite(catalog_calls, .init = make_records, .fini = forget_records);

static int build(void) {
    enum { KEYS = sizeof keys / sizeof *keys };
    struct catalog_source source = {
        .pool = pool, .keys = keys, .key_count = KEYS, .slot_count = KEYS, .version = VERSION
    };
    struct catalog_built built;
    return catalog_build(&source, dir_fd, &built);
}

static void expect_catalog(int result, const char *when) {
    if (result < 0)
        cr_assert_not(exists(".catalog.0000000000000007.new"),
                      "%s: plaintext keys are left in a file", when);
    cr_assert_eq(build(), 0, "%s", when);
    catalog_discard(dir_fd, VERSION);
}

Test(catalog_calls, a_catalog_that_failed_leaves_no_file_with_secrets) {
    calls_sweep(&(struct calls_sweep){
        .work = build, .check = expect_catalog, .least = 10, .error = ENOSPC });
    static const int ERRORS[] = { ENOMEM, EIO, MDB_MAP_FULL, MDB_TXN_FULL, MDB_CORRUPTED };
    calls_of_lmdb = true;
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        calls_sweep(&(struct calls_sweep){
            .work = build, .check = expect_catalog, .least = 20, .error = ERRORS[i] });
}

static int publish(void) {
    return catalog_publish(dir_fd, VERSION);
}

static void build_one(void) {
    empty_the_directory();
    cr_assert_eq(build(), 0);
}

static void expect_published(int result, const char *when) {
    if (result < 0)
        cr_assert_eq(publish(), 0, "%s: it can be tried again", when);
    catalog_unlink_others(dir_fd, VERSION);
    catalog_unlink_others(dir_fd, VERSION + 1);
}

Test(catalog_calls, publishing_can_be_tried_again) {
    calls_sweep(&(struct calls_sweep){ .prepare = build_one,
                                       .work = publish,
                                       .check = expect_published,
                                       .least = 2,
                                       .error = EIO });
}
