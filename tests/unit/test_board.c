/*
 * The board's writer: what it makes, what it adopts, what it replaces, and that what it stores can
 * be read without tearing.
 */
#include "broker/board.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

static char directory[256];
static int dir_fd;

static void setup(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/keybroker-board-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(directory));
    dir_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(dir_fd, 0);
}

static void teardown(void) {
    const char *const names[] = { KB_BOARD_FILE, "." KB_BOARD_FILE ".new", "victim", "other" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlinkat(dir_fd, names[i], 0);
    close(dir_fd);
    rmdir(directory);
}

TestSuite(board, .init = setup, .fini = teardown);

static struct board open_board(uint64_t *ret_generation) {
    struct board board;
    cr_assert_eq(board_open(&board, dir_fd, ret_generation), 0);
    return board;
}

static struct stat status_of(const char *name) {
    struct stat info;
    cr_assert_eq(fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW), 0);
    return info;
}

/* A file of `size` bytes that begins with this line 0; returns its mapped first page. */
static struct kb_board *forge(const struct kb_board_head *head, off_t size) {
    int fd = openat(dir_fd, KB_BOARD_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, size), 0);
    cr_assert_eq(pwrite(fd, head, sizeof *head, 0), (ssize_t)sizeof *head);
    void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert_neq(page, MAP_FAILED);
    close(fd);
    return page;
}

static const struct board_hint no_hint = { 0, UINT64_MAX, KB_BOARD_NO_POSITION };

Test(board, a_new_board_is_whole_and_offers_nothing) {
    uint64_t generation = 99;
    struct board board = open_board(&generation);
    struct stat info = status_of(KB_BOARD_FILE);
    cr_assert_eq(generation, 0);
    cr_assert_eq(info.st_size, KB_BOARD_SIZE);
    cr_assert_eq(info.st_mode & 07777, 0640);
    cr_assert_eq(atomic_load(&board.shared->magic), KB_BOARD_MAGIC);
    cr_assert_eq(board.shared->layout, KB_BOARD_LAYOUT);
    cr_assert_eq(board.shared->size, KB_BOARD_SIZE);
    cr_assert_eq(atomic_load(&board.shared->replaced), 0);
    cr_assert_eq(kb_board_catalog_version(board.shared), 0);
    cr_assert_eq(atomic_load(&board.shared->hint_position), KB_BOARD_NO_POSITION);
    cr_assert_lt(info.st_blocks * 512, 64 * 1024, "slots must not be allocated yet");
    cr_assert_eq(faccessat(dir_fd, "." KB_BOARD_FILE ".new", F_OK, 0), -1);
    board_close(&board);
}

Test(board, an_adopted_board_keeps_its_inode_and_its_contents) {
    uint64_t generation;
    struct board first = open_board(&generation);
    cr_assert_eq(board_reserve(&first, 10), 0);
    struct board_entry entry = { kb_word_make(7, 1, 2), 123, 5, 3 };
    board_set_slot(&first, 9, &entry);
    board_announce(&first, 77, &no_hint);
    ino_t inode = first.inode;
    board_close(&first);

    struct board second = open_board(&generation);
    cr_assert_eq(generation, 77);
    cr_assert_eq(second.inode, inode);
    cr_assert_eq(atomic_load(&second.shared->slots[9].status), kb_word_make(7, 1, 2));
    cr_assert_eq(atomic_load(&second.shared->slots[9].deadline_ms), 123);
    cr_assert_eq(atomic_load(&second.shared->slots[9].valid_since), 5);
    cr_assert_eq(atomic_load(&second.shared->slots[9].backoff), 3);
    board_close(&second);
}

Test(board, adopting_restores_the_mode_that_decides_who_reads) {
    uint64_t generation;
    struct board board = open_board(&generation);
    board_close(&board);
    cr_assert_eq(fchmodat(dir_fd, KB_BOARD_FILE, 0600, 0), 0);
    board = open_board(&generation);
    cr_assert_eq(status_of(KB_BOARD_FILE).st_mode & 07777, 0640);
    board_close(&board);
}

static void assert_is_replaced(struct kb_board *old, uint64_t old_generation) {
    uint64_t generation = 0;
    struct board board = open_board(&generation);
    cr_assert_eq(atomic_load(&old->replaced), 1, "its readers were not told");
    cr_assert_gt(atomic_load(&old->generation), old_generation, "its readers would not look");
    cr_assert_geq(generation, old_generation);
    cr_assert_eq(atomic_load(&board.shared->generation), 0);
    cr_assert_eq(status_of(KB_BOARD_FILE).st_ino, board.inode);
    board_close(&board);
    munmap(old, 4096);
}

Test(board, a_board_of_another_layout_is_retired_and_replaced) {
    struct kb_board_head head = {
        KB_BOARD_MAGIC, KB_BOARD_LAYOUT + 1, 0, 50, KB_BOARD_SIZE, { 0 }
    };
    assert_is_replaced(forge(&head, KB_BOARD_SIZE), 50);
}

Test(board, a_board_that_was_cut_short_is_retired_and_replaced) {
    struct kb_board_head head = { KB_BOARD_MAGIC, KB_BOARD_LAYOUT, 0, 50, KB_BOARD_SIZE, { 0 } };
    assert_is_replaced(forge(&head, 8192), 50);
}

Test(board, a_board_that_is_already_replaced_is_not_adopted) {
    struct kb_board_head head = { KB_BOARD_MAGIC, KB_BOARD_LAYOUT, 1, 50, KB_BOARD_SIZE, { 0 } };
    assert_is_replaced(forge(&head, KB_BOARD_SIZE), 50);
}

Test(board, a_file_that_is_no_board_is_replaced_but_not_written_to) {
    struct kb_board_head head = { 12345, KB_BOARD_LAYOUT, 0, 50, KB_BOARD_SIZE, { 0 } };
    struct kb_board *old = forge(&head, KB_BOARD_SIZE);
    uint64_t generation = 99;
    struct board board = open_board(&generation);
    cr_assert_eq(generation, 0);
    cr_assert_eq(atomic_load(&old->generation), 50);
    cr_assert_eq(atomic_load(&old->replaced), 0);
    board_close(&board);
    munmap(old, 4096);
}

Test(board, a_symbolic_link_is_replaced_and_never_followed) {
    struct kb_board_head head = { KB_BOARD_MAGIC, KB_BOARD_LAYOUT, 0, 50, KB_BOARD_SIZE, { 0 } };
    munmap(forge(&head, KB_BOARD_SIZE), 4096);
    cr_assert_eq(renameat(dir_fd, KB_BOARD_FILE, dir_fd, "victim"), 0);
    cr_assert_eq(symlinkat("victim", dir_fd, KB_BOARD_FILE), 0);
    cr_assert_eq(symlinkat("other", dir_fd, "." KB_BOARD_FILE ".new"), 0);
    ino_t victim = status_of("victim").st_ino;

    uint64_t generation;
    struct board board = open_board(&generation);
    cr_assert_neq(board.inode, victim);
    cr_assert(S_ISREG(status_of(KB_BOARD_FILE).st_mode));
    cr_assert_eq(generation, 0);
    cr_assert_eq(faccessat(dir_fd, "other", F_OK, 0), -1, "a link at the name aside was followed");
    board_close(&board);
}

Test(board, a_directory_in_its_place_is_an_error_that_leaves_nothing_behind) {
    struct board board;
    uint64_t generation = 42;
    cr_assert_eq(mkdirat(dir_fd, KB_BOARD_FILE, 0700), 0);
    cr_assert_lt(board_open(&board, dir_fd, &generation), 0);
    cr_assert_eq(generation, 42);
    cr_assert_eq(faccessat(dir_fd, "." KB_BOARD_FILE ".new", F_OK, 0), -1);
    unlinkat(dir_fd, KB_BOARD_FILE, AT_REMOVEDIR);
}

Test(board, reserved_slots_are_allocated_and_hold_no_key) {
    uint64_t generation;
    struct board board = open_board(&generation);
    cr_assert_eq(board_reserve(&board, 0), 0);
    cr_assert_eq(board_reserve(&board, 40000), 0);
    cr_assert_geq(status_of(KB_BOARD_FILE).st_blocks * 512, 40000 * 32);
    for (uint32_t i = 0; i < 40000; i++)
        cr_assert_eq(atomic_load(&board.shared->slots[i].status), 0);
    board_close(&board);
}

Test(board, a_board_knows_when_it_was_wiped_or_swapped) {
    uint64_t generation;
    struct board board = open_board(&generation);
    cr_assert(board_is_in_place(&board, dir_fd));
    cr_assert_eq(unlinkat(dir_fd, KB_BOARD_FILE, 0), 0);
    cr_assert_not(board_is_in_place(&board, dir_fd));
    struct board other = open_board(&generation);
    cr_assert_not(board_is_in_place(&board, dir_fd));
    cr_assert(board_is_in_place(&other, dir_fd));
    board_close(&board);
    board_close(&other);
}

Test(board, an_announcement_ends_with_hint_and_generation_agreeing) {
    uint64_t generation;
    struct board board = open_board(&generation);
    board_announce(&board, 5, &(struct board_hint){ 3, 1000, 2 });
    cr_assert_eq(atomic_load(&board.shared->generation), 5);
    cr_assert_eq(atomic_load(&board.shared->hint_generation), 5);
    cr_assert_eq(atomic_load(&board.shared->hint_catalog), 3);
    cr_assert_eq(atomic_load(&board.shared->hint_until_ms), 1000);
    cr_assert_eq(atomic_load(&board.shared->hint_position), 2);
    board_set_flags(&board, KB_BOARD_GUARDED);
    cr_assert_eq(atomic_load(&board.shared->flags), KB_BOARD_GUARDED);
    board_set_flags(&board, 0);
    cr_assert_eq(atomic_load(&board.shared->flags), 0);
    board_retire(&board, 6);
    cr_assert_eq(atomic_load(&board.shared->replaced), 1);
    cr_assert_eq(atomic_load(&board.shared->generation), 6);
    board_close(&board);
}

/* A child that must not outlive a test that fails. */
static pid_t fork_child(void) {
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return child;
}

static void child_waits(const struct board *board, uint64_t seen) {
    for (;;)
        syscall(SYS_futex, &board->shared->generation, FUTEX_WAIT_BITSET, (uint32_t)seen, NULL,
                NULL, UINT32_C(1) << (seen & 31));
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

Test(board, waking_reaches_those_who_have_not_seen_the_generation, .timeout = 20) {
    uint64_t generation;
    struct board board = open_board(&generation);
    board_announce(&board, 40, &no_hint);
    pid_t child = fork_child();
    if (child == 0)
        child_waits(&board, 40);
    int woken = 0;
    for (int i = 0; i < 1000 && woken == 0; i++, sleep_ms(2))
        woken = board_wake(&board, 40, true, INT_MAX);
    cr_assert_eq(woken, 1, "the waiter never slept");
    sleep_ms(50);
    cr_assert_eq(board_wake(&board, 40, false, INT_MAX), 0, "it has seen 40 already");
    woken = 0;
    for (int i = 0; i < 1000 && woken == 0; i++, sleep_ms(2))
        woken = board_wake(&board, 41, false, 1);
    cr_assert_eq(woken, 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    board_close(&board);
}

Test(board, a_publish_that_is_broken_off_leaves_the_old_catalog_whole) {
    uint64_t generation, version, size, checksum;
    struct board board = open_board(&generation);
    board_set_catalog(&board, 5, 50, 500, 1);
    board_set_catalog(&board, 6, 60, 600, 1);
    /* What a broker that is killed in the middle of the next one leaves behind. */
    struct kb_board *shared = board.shared;
    uint32_t other = 1 - atomic_load(&shared->catalog_index);
    atomic_store(&shared->catalogs[other].version, 0);
    atomic_store(&shared->catalogs[other].size, 70);
    cr_assert(kb_board_read_catalog(shared, &version, &size, &checksum));
    cr_assert_eq(version, 6);
    cr_assert_eq(size, 60);
    cr_assert_eq(checksum, 600);
    board_close(&board);
}

Test(board, no_reader_pairs_a_version_with_the_checksum_of_another, .timeout = 20) {
    uint64_t generation;
    struct board board = open_board(&generation);
    board_set_catalog(&board, 1, 3, 7, 0);
    pid_t child = fork_child();
    if (child == 0)
        for (uint64_t version = 2;; version++)
            board_set_catalog(&board, version, version * 3, version * 7, 0);
    unsigned long whole = 0, torn = 0;
    uint64_t version, size, checksum, last = 0, changes = 0;
    for (int i = 0; i < 20000000 && changes < 20000; i++) {
        if (!kb_board_read_catalog(board.shared, &version, &size, &checksum))
            continue;
        whole++;
        torn += size != version * 3 || checksum != version * 7;
        changes += version != last;
        last = version;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_assert_eq(torn, 0, "%lu of %lu torn", torn, whole);
    cr_assert_gt(changes, 1, "nothing changed while we looked");
    board_close(&board);
}
