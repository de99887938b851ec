/*
 * The reader: kb_open, kb_current, kb_close, and keeping up with the board. kb_current is the hot
 * path; everything unusual (deadlines, spreading, a moved generation, no key) is in kbi_reader_look
 * and below, so that it stays a load, a compare and a return.
 *
 * Keys that the caller holds point into `held`. A query may bring in a newer catalog, but only
 * calls that the header names let `held` go.
 */
#include "internal.h"

#include <stdlib.h>

/* What a reader watches that must look closer: 0, and fast_generation is KBI_NEVER then. */
static const _Atomic uint64_t detached_generation;

static uint64_t generation_of(const kb_reader *reader) {
    return atomic_load_explicit(reader->generation, memory_order_acquire);
}

void kbi_reader_watch(kb_reader *reader, uint64_t generation) {
    reader->watched = generation == KBI_NEVER ? &detached_generation : reader->generation;
    reader->fast_generation = generation;
}

void kbi_reader_stir(kb_reader *reader) {
    kbi_reader_watch(reader, KBI_NEVER);
    reader->dirty = true;
}

static void detach(kb_reader *reader) {
    kbi_report_disconnect(&reader->reporter);
    kbi_attach_close(&reader->attachment);
    reader->catalog = kbi_catalog_unref(reader->catalog);
    reader->generation = &detached_generation;
    reader->misplaced = false;
    kbi_reader_stir(reader);
}

/* Board and catalog are exchanged together or not at all: versions of two boards of one name do not
 * compare. */
static int attach(kb_reader *reader) {
    struct attachment fresh;
    struct catalog *catalog;
    int error = kbi_attach_open(&fresh, reader->pool_path);
    if (error != 0)
        return error;
    error = kbi_catalog_open(&catalog, &fresh);
    if (error != 0) {
        kbi_attach_close(&fresh);
        return error;
    }
    detach(reader);
    reader->attachment = fresh;
    reader->catalog = catalog;
    reader->generation = &fresh.board->generation;
    return 0;
}

/*
 * The board is dead, or another stands at its name. Keep what we have while the new one is being
 * made or cannot be opened for want of something; let go when there is nothing to come back to.
 */
static int attach_anew(kb_reader *reader, bool dead) {
    int error = attach(reader);
    bool gone = error == KB_ENOENT || error == KB_EACCES || error == KB_EVERSION;
    reader->misplaced = false;
    if (!dead || error == 0)
        return 0;
    if (gone)
        detach(reader);
    if (error == KB_ENOENT || (error == KBI_NOT_READY && !reader->attachment.board))
        error = KB_EDELETED;
    return error;
}

static bool board_is_dead(const kb_reader *reader) {
    const struct kb_board *board = reader->attachment.board;
    return !board || atomic_load_explicit(&board->replaced, memory_order_acquire) != 0;
}

/* 0 when the board's catalog is the attached one, or none can be had at the moment. */
static int follow_catalog(kb_reader *reader) {
    const struct attachment *attachment = &reader->attachment;
    uint64_t version = kb_board_catalog_version(attachment->board);
    struct catalog *catalog;

    if (version == reader->catalog->version)
        return 0;
    if (version == 0) /* size and checksum are being changed */
        return KBI_NOT_READY;
    int error = kbi_catalog_open(&catalog, attachment);
    if (error != 0)
        return error;
    kbi_catalog_unref(reader->catalog);
    reader->catalog = catalog;
    kbi_reader_stir(reader);
    return 0;
}

int kbi_reader_sync(kb_reader *reader, const struct now *now, uint64_t *ret_generation) {
    bool may_try = now->mono_ms >= reader->retry_ms;
    bool dead = board_is_dead(reader);

    if (may_try && (dead || reader->misplaced)) {
        reader->sync_error = attach_anew(reader, dead);
        reader->retry_ms = reader->sync_error ? now->mono_ms + KBI_RETRY_MS : 0;
        dead = board_is_dead(reader);
    }
    *ret_generation = generation_of(reader);
    if (!reader->attachment.board)
        return reader->sync_error;
    if (may_try && !dead) {
        reader->sync_error = follow_catalog(reader);
        reader->retry_ms = reader->sync_error ? now->mono_ms + KBI_RETRY_MS : 0;
    }
    return 0;
}

static int64_t wall_ahead_ms(const struct now *now) {
    return now->wall_ms - (int64_t)now->mono_ms;
}

/* Readers that chose together must not all look at the calendar together ever after: each has a
 * pace of its own. Not by a throw of the dice, whose first one in a forked child is a system call.
 */
static void set_valid_until(kb_reader *reader, const struct now *now) {
    reader->valid_until_ms = reader->deadline_ms;
    if (!reader->calendar)
        return;
    uint64_t check_ms =
        now->mono_ms + KBI_CALENDAR_MS + (reader->dice.state & KBI_CALENDAR_SPREAD_MS);
    if (check_ms < reader->valid_until_ms)
        reader->valid_until_ms = check_ms;
}

/* Does the choice stand because only the time of looking at the calendar came, and nobody has set
 * it? It is compared with the choice's own, so that many small steps add up. */
static bool calendar_holds(kb_reader *reader) {
    struct now now = kbi_now();
    int64_t step_ms = wall_ahead_ms(&now) - reader->wall_ahead_ms;
    if (now.mono_ms >= reader->deadline_ms || step_ms > KBI_CALENDAR_STEP_MS ||
        step_ms < -KBI_CALENDAR_STEP_MS)
        return false;
    set_valid_until(reader, &now);
    return true;
}

void kbi_reader_refresh(kb_reader *reader) {
    struct now now = kbi_now();
    uint64_t generation;
    int error = kbi_reader_sync(reader, &now, &generation);
    bool moved = generation != reader->seen_generation || reader->held != reader->catalog;

    if (reader->held != reader->catalog) {
        kbi_catalog_unref(reader->held);
        reader->held = kbi_catalog_ref(reader->catalog);
        reader->choice_catalog = NULL;
    }
    if (reader->sync_error == 0)
        reader->ticket_generation = generation;
    if (error == 0) {
        kbi_choose(reader, generation, moved, &now);
    } else {
        reader->choice = NULL;
        reader->choice_error = error;
        reader->deadline_ms = KBI_NEVER;
        reader->calendar = false;
    }
    if (reader->retry_ms != 0 && reader->retry_ms < reader->deadline_ms)
        reader->deadline_ms = reader->retry_ms;
    reader->wall_ahead_ms = wall_ahead_ms(&now);
    set_valid_until(reader, &now);
    reader->seen_generation = generation;
    reader->dirty = false;
    kbi_reader_watch(reader, reader->choice && reader->valid_until_ms == KBI_NEVER ? generation
                                                                                   : KBI_NEVER);
}

void kbi_reader_look(kb_reader *reader) {
    if (generation_of(reader) != reader->seen_generation || reader->dirty ||
        (reader->valid_until_ms != KBI_NEVER && kbi_mono_ms() >= reader->valid_until_ms &&
         !calendar_holds(reader)))
        kbi_reader_refresh(reader);
}

void kbi_reader_check_place(kb_reader *reader) {
    if (!reader->attachment.board || reader->misplaced ||
        kbi_attach_is_in_place(&reader->attachment, reader->pool_path))
        return;
    reader->misplaced = true;
    kbi_reader_stir(reader);
}

static __attribute__((noinline)) const kb_key *look_closer(kb_reader *reader) {
    kbi_reader_look(reader);
    reader->error = reader->choice_error;
    if (reader->choice_error != 0)
        return NULL;
    if (reader->choice) {
        if (reader->valid_until_ms == KBI_NEVER)
            kbi_reader_watch(reader, reader->seen_generation);
        return reader->choice;
    }
    const kb_key *key = kbi_spread_pick(reader);
    if (!key)
        reader->error = KB_ECORRUPT;
    return key;
}

/* The hot path in one cache line, wherever it is linked: across two it took 1.3 times as long. */
__attribute__((aligned(64))) const kb_key *kb_current(kb_reader *reader) {
    uint64_t watched = atomic_load_explicit(reader->watched, memory_order_acquire);
    if (__builtin_expect(watched == reader->fast_generation, 1))
        return reader->choice;
    return look_closer(reader);
}

int kb_open(kb_reader **ret_reader, const char *pool, const kb_options *options) {
    if (!ret_reader || !pool || !kbi_pool_name_is_valid(pool) ||
        (options && options->size < sizeof *options))
        return KB_EINVAL;
    kb_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return KB_ENOMEM;
    reader->generation = &detached_generation;
    reader->attachment.dir_fd = KBI_NO_FD;
    kbi_report_init(&reader->reporter);
    kbi_dice_init(&reader->dice);
    kbi_reader_stir(reader);
    int error = kbi_attach_find(pool, options, &reader->pool_path);
    if (error == 0)
        error = attach(reader);
    if (error != 0) {
        kb_close(reader);
        return error == KBI_NOT_READY ? KB_ENOENT : error;
    }
    kbi_reader_refresh(reader);
    *ret_reader = reader;
    return 0;
}

kb_reader *kb_close(kb_reader *reader) {
    if (!reader)
        return NULL;
    detach(reader);
    kbi_catalog_unref(reader->held);
    kbi_dice_deinit(&reader->dice);
    free(reader->pool_path);
    free(reader);
    return NULL;
}

int kb_last_error(const kb_reader *reader) {
    return reader ? reader->error : KB_EINVAL;
}
