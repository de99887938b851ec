/*
 * Waiting: kb_wait, the only call that sleeps. Sleeps on the board's generation, on a bit that
 * names the generation this reader has seen (broker/board.c wakes all others), and gets up for the
 * choice's deadline, for reports that are still to be sent, and once a second to see whether the
 * board is still the pool's.
 */
#include "internal.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PLACE_CHECK_MS = 1000, /* and up to PLACE_SPREAD_MS more, by chance: a thousand waiters that */
    PLACE_SPREAD_MS = 255, /* were woken together must not all get up together ever after */
    RESEND_MS = 100,
    ATTACH_MS = 100, /* between tries to find a deleted pool again */
    COARSE_MS = 10,  /* how late a coarse clock may be, at worst */
};

static uint64_t exact_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* What the caller would notice of a choice. */
struct glimpse {
    uint64_t key_id;
    uint32_t usable;
    int error;
};

static struct glimpse glimpse_of(const kb_reader *reader) {
    return (struct glimpse){
        .key_id = reader->choice ? reader->choice->id : 0,
        .usable = reader->catalog && reader->catalog->spread
                      ? kbi_spread_usable(reader->catalog->spread)
                      : 0,
        .error = reader->choice_error,
    };
}

/* Look, and say whether there is news. A deadline that changed nothing (the calendar was looked at
 * again, a catalog still cannot be opened) is none. */
static bool news(kb_reader *reader) {
    uint64_t seen = reader->seen_generation;
    bool attached = reader->attachment.board;
    struct glimpse before = glimpse_of(reader);
    kbi_reader_look(reader);
    struct glimpse after = glimpse_of(reader);
    return reader->seen_generation != seen || (bool)reader->attachment.board != attached ||
           before.key_id != after.key_id || before.usable != after.usable ||
           before.error != after.error;
}

/* Until when to sleep if nothing happens. The choice's deadline is judged by a coarse clock, which
 * must have passed it too. */
static uint64_t alarm_ms(const kb_reader *reader, uint64_t now_ms, uint64_t until_ms) {
    until_ms = sooner(until_ms, reader->place_check_ms);
    if (reader->valid_until_ms != KBI_NEVER)
        until_ms = sooner(until_ms, reader->valid_until_ms + COARSE_MS);
    if (reader->reporter.count > 0)
        until_ms = sooner(until_ms, now_ms + RESEND_MS);
    if (!reader->attachment.board)
        until_ms = sooner(until_ms, now_ms + ATTACH_MS);
    return until_ms;
}

/* False when a signal handler ran. Without a deadline the kernel would restart the call behind our
 * back, hence always one. Where a sandbox forbids futexes, look again every few milliseconds. */
static bool doze(const kb_reader *reader, uint64_t until_ms) {
    struct timespec time = { .tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000 };
    uint32_t expected = (uint32_t)reader->seen_generation;
    uint32_t bit = UINT32_C(1) << (reader->seen_generation & 31);
    if (syscall(SYS_futex, reader->generation, FUTEX_WAIT_BITSET, expected, &time, NULL, bit) == 0)
        return true;
    if (errno == EAGAIN || errno == ETIMEDOUT || errno == EINTR)
        return errno != EINTR;
    struct timespec pause = { .tv_nsec = COARSE_MS * 1000000 };
    return nanosleep(&pause, NULL) == 0;
}

/* Is the board still the pool's? That costs system calls, so not at each wake-up. */
static bool place_is_due(kb_reader *reader, uint64_t now_ms) {
    if (now_ms < reader->place_check_ms)
        return false;
    reader->place_check_ms =
        now_ms + PLACE_CHECK_MS + (kbi_dice_roll(&reader->dice) & PLACE_SPREAD_MS);
    kbi_reader_check_place(reader);
    return reader->misplaced;
}

int kb_wait(kb_reader *reader, int timeout_ms) {
    if (!reader)
        return KB_EINVAL;
    uint64_t until_ms =
        timeout_ms < 0 ? KBI_NEVER : exact_ms() + (uint64_t)timeout_ms + (timeout_ms > 0);
    int result = 0;

    if (reader->dirty &&
        atomic_load_explicit(reader->generation, memory_order_acquire) == reader->seen_generation)
        kbi_reader_refresh(reader);
    for (;;) {
        kbi_report_flush(reader);
        uint64_t now_ms = exact_ms();
        if (news(reader) || (place_is_due(reader, now_ms) && news(reader))) {
            result = 1;
            break;
        }
        if (now_ms >= until_ms || !doze(reader, alarm_ms(reader, now_ms, until_ms)))
            break;
    }
    reader->error = reader->choice_error;
    return result;
}
