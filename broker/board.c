/*
 * The board's writer. Owns the board's file and its read-write mapping; called by the publisher
 * from the event loop (board_reserve also from the store thread). It fixes the order of stores that
 * keybroker_shared/board.h promises to readers and decides nothing else. It never follows symbolic
 * links and never truncates a file that a reader may have mapped.
 */
#include "board.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime.h"

#define BOARD_FILE_ASIDE "." KB_BOARD_FILE ".new"

enum { BOARD_MODE = 0640 };

/* No broker starts so often (eight million times) that it comes here: what shows more is damaged,
 * and to go on behind it would use up all the starts that there can be. */
#define GENERATION_MOST (UINT64_MAX >> 1)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "waiters sleep on the first four bytes of the generation");

static int allocate(int fd, off_t offset, off_t length) {
    int error;
    do
        error = posix_fallocate(fd, offset, length);
    while (error == EINTR);
    return -error;
}

static int map(struct board *board, int fd) {
    struct stat info;
    if (fstat(fd, &info) < 0)
        return -errno;
    void *memory = mmap(NULL, KB_BOARD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    board->shared = memory;
    board->fd = fd;
    board->device = info.st_dev;
    board->inode = info.st_ino;
    return 0;
}

static void wake_everybody(struct kb_board *shared) {
    syscall(SYS_futex, &shared->generation, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

/*
 * A file that cannot be adopted but shows a board's line 0, which is the same in every layout: tell
 * its readers to attach anew. The line is read with pread first, because touching a hole of a file
 * on a full tmpfs through a mapping is a SIGBUS.
 */
static uint64_t retire_unsound(int fd, const struct kb_board_head *head) {
    void *memory = mmap(NULL, KB_BOARD_SLOTS_OFFSET, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return head->generation;
    struct kb_board *shared = memory;
    uint64_t generation = atomic_load_explicit(&shared->generation, memory_order_relaxed);
    if (generation < UINT64_MAX)
        generation++;
    atomic_store_explicit(&shared->replaced, 1, memory_order_release);
    atomic_store_explicit(&shared->generation, generation, memory_order_release);
    wake_everybody(shared);
    munmap(memory, KB_BOARD_SLOTS_OFFSET);
    return generation;
}

/* A board may be there that workers follow: it is not replaced unseen. */
static bool cannot_look(int error) {
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == EIO;
}

/*
 * 1: adopted. 0: there is nothing to adopt, *ret_generation says what a replaced board had reached.
 * Or -errno.
 */
static int adopt(struct board *board, int pool_dir_fd, uint64_t *ret_generation) {
    struct kb_board_head head;
    struct stat info;
    int result = 0;

    int fd = openat(pool_dir_fd, KB_BOARD_FILE, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return cannot_look(errno) ? -errno : 0;
    ssize_t length = 0;
    bool known = fstat(fd, &info) == 0;
    bool ours = known && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
                info.st_size >= (off_t)KB_BOARD_SLOTS_OFFSET;
    if (ours)
        length = pread(fd, &head, sizeof head, 0);
    if (!known || length < 0) {
        result = -errno;
        goto out;
    }
    if (length != sizeof head || head.magic != KB_BOARD_MAGIC)
        goto out;
    if (head.layout != KB_BOARD_LAYOUT || head.size != KB_BOARD_SIZE ||
        info.st_size != (off_t)KB_BOARD_SIZE || head.replaced != 0 ||
        head.generation > GENERATION_MOST) {
        uint64_t generation = retire_unsound(fd, &head);
        if (generation <= GENERATION_MOST)
            *ret_generation = generation;
        goto out;
    }
    result = allocate(fd, 0, KB_BOARD_SLOTS_OFFSET);
    if (result < 0)
        goto out;
    result = runtime_share_file(fd, pool_dir_fd, BOARD_MODE);
    if (result < 0)
        goto out;
    result = map(board, fd);
    if (result < 0)
        goto out;
    *ret_generation = atomic_load_explicit(&board->shared->generation, memory_order_relaxed);
    return 1;
out:
    close(fd);
    return result;
}

static int make(struct board *board, int pool_dir_fd) {
    if (unlinkat(pool_dir_fd, BOARD_FILE_ASIDE, 0) < 0 && errno != ENOENT)
        return -errno;
    int fd = openat(pool_dir_fd, BOARD_FILE_ASIDE,
                    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    struct board made = { .fd = -1 };
    int result = ftruncate(fd, KB_BOARD_SIZE) < 0 ? -errno : 0;
    if (result == 0)
        result = allocate(fd, 0, KB_BOARD_SLOTS_OFFSET);
    if (result == 0)
        result = runtime_share_file(fd, pool_dir_fd, BOARD_MODE);
    if (result == 0)
        result = map(&made, fd);
    if (result < 0)
        goto fail;
    assert(made.shared);
    made.shared->layout = KB_BOARD_LAYOUT;
    made.shared->size = KB_BOARD_SIZE;
    atomic_store_explicit(&made.shared->hint_position, KB_BOARD_NO_POSITION, memory_order_relaxed);
    atomic_store_explicit(&made.shared->hint_until_ms, UINT64_MAX, memory_order_relaxed);
    atomic_store_explicit(&made.shared->magic, KB_BOARD_MAGIC, memory_order_release);
    if (renameat(pool_dir_fd, BOARD_FILE_ASIDE, pool_dir_fd, KB_BOARD_FILE) < 0) {
        result = -errno;
        munmap(made.shared, KB_BOARD_SIZE);
        goto fail;
    }
    *board = made;
    return 0;
fail:
    close(fd);
    unlinkat(pool_dir_fd, BOARD_FILE_ASIDE, 0);
    return result;
}

int board_open(struct board *board, int pool_dir_fd, uint64_t *ret_generation) {
    uint64_t generation = 0;
    int result = adopt(board, pool_dir_fd, &generation);
    if (result == 0)
        result = make(board, pool_dir_fd);
    if (result < 0)
        return result;
    *ret_generation = generation;
    return 0;
}

void board_close(struct board *board) {
    if (!board->shared)
        return;
    munmap(board->shared, KB_BOARD_SIZE);
    close(board->fd);
    board->shared = NULL;
    board->fd = -1;
}

int board_reserve(const struct board *board, uint32_t count) {
    assert(count <= KB_BOARD_SLOTS_MAX);
    if (count == 0)
        return 0;
    return allocate(board->fd, KB_BOARD_SLOTS_OFFSET,
                    (off_t)count * (off_t)sizeof(struct kb_board_slot));
}

bool board_is_in_place(const struct board *board, int pool_dir_fd) {
    struct stat info;
    if (fstatat(pool_dir_fd, KB_BOARD_FILE, &info, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    return info.st_dev == board->device && info.st_ino == board->inode;
}

void board_set_broker(struct board *board, uint64_t start, uint32_t pid) {
    atomic_store_explicit(&board->shared->broker_start, start, memory_order_relaxed);
    atomic_store_explicit(&board->shared->broker_pid, pid, memory_order_relaxed);
}

void board_beat(struct board *board, int64_t mono_ms) {
    assert(mono_ms >= 0);
    atomic_store_explicit(&board->shared->heartbeat_ms, (uint64_t)mono_ms, memory_order_relaxed);
}

void board_set_flags(struct board *board, uint32_t flags) {
    atomic_store_explicit(&board->shared->flags, flags, memory_order_relaxed);
}

void board_set_slot(struct board *board, uint32_t slot, const struct board_entry *entry) {
    assert(slot < KB_BOARD_SLOTS_MAX);
    struct kb_board_slot *to = &board->shared->slots[slot];
    atomic_store_explicit(&to->deadline_ms, entry->deadline_ms, memory_order_relaxed);
    atomic_store_explicit(&to->valid_since, entry->valid_since, memory_order_relaxed);
    atomic_store_explicit(&to->backoff, entry->backoff, memory_order_relaxed);
    atomic_store_explicit(&to->status, entry->word, memory_order_release);
}

/* Each store after the first is a release, so that a reader that sees a new size or checksum also
 * sees that the version is no longer the one they used to belong to. */
void board_set_catalog(struct board *board, uint64_t version, uint64_t size, uint64_t checksum,
                       uint32_t slot_count) {
    assert(version != 0);
    assert(slot_count <= KB_BOARD_SLOTS_MAX);
    struct kb_board *shared = board->shared;
    uint32_t other = 1 - (atomic_load_explicit(&shared->catalog_index, memory_order_relaxed) & 1);
    struct kb_board_catalog *catalog = &shared->catalogs[other];
    atomic_store_explicit(&shared->slot_count, slot_count, memory_order_release);
    atomic_store_explicit(&catalog->version, 0, memory_order_relaxed);
    atomic_store_explicit(&catalog->size, size, memory_order_release);
    atomic_store_explicit(&catalog->checksum, checksum, memory_order_release);
    atomic_store_explicit(&catalog->version, version, memory_order_release);
    atomic_store_explicit(&shared->catalog_index, other, memory_order_release);
}

void board_announce(struct board *board, uint64_t generation, const struct board_hint *hint) {
    struct kb_board *shared = board->shared;
    assert(generation > atomic_load_explicit(&shared->generation, memory_order_relaxed));
    atomic_store_explicit(&shared->hint_generation, 0, memory_order_relaxed);
    atomic_store_explicit(&shared->hint_catalog, hint->catalog_version, memory_order_release);
    atomic_store_explicit(&shared->hint_until_ms, hint->until_ms, memory_order_release);
    atomic_store_explicit(&shared->hint_position, hint->position, memory_order_release);
    atomic_store_explicit(&shared->hint_generation, generation, memory_order_release);
    atomic_store_explicit(&shared->generation, generation, memory_order_release);
}

void board_retire(struct board *board, uint64_t generation) {
    struct kb_board *shared = board->shared;
    assert(generation > atomic_load_explicit(&shared->generation, memory_order_relaxed));
    atomic_store_explicit(&shared->replaced, 1, memory_order_release);
    atomic_store_explicit(&shared->generation, generation, memory_order_release);
}

int board_wake(struct board *board, uint64_t generation, bool everybody, int limit) {
    uint32_t bits = everybody ? FUTEX_BITSET_MATCH_ANY : ~(UINT32_C(1) << (generation & 31));
    long woken =
        syscall(SYS_futex, &board->shared->generation, FUTEX_WAKE_BITSET, limit, NULL, NULL, bits);
    return woken < 0 ? 0 : (int)woken;
}

void board_wake_own(struct board *board, uint64_t generation) {
    syscall(SYS_futex, &board->shared->generation, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL,
            UINT32_C(1) << (generation & 31));
}
