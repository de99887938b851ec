/*
 * Choosing: which key to use, and until when that answer holds. Called by reader.c when something
 * changed, by attempt.c and the queries for single keys. Works on the board and the attached
 * catalog only: no allocation, no system call, no change to either.
 */
#include "internal.h"

uint32_t kbi_slot_count(const struct kb_board *board) {
    uint32_t count = atomic_load_explicit(&board->slot_count, memory_order_acquire);
    return count < KB_BOARD_SLOTS_MAX ? count : KB_BOARD_SLOTS_MAX;
}

/* Does the key live long enough to see `mono_ms`? */
static bool expires_before(const struct kb_catalog_entry *entry, uint64_t mono_ms,
                           const struct now *now) {
    return entry->expires_at_ms != 0 &&
           (uint64_t)(entry->expires_at_ms - now->wall_ms) <= mono_ms - now->mono_ms;
}

struct standing kbi_standing(const struct kb_board *board, uint32_t slot_count,
                             const struct kb_catalog_entry *entry, const struct now *now) {
    if (entry->expires_at_ms != 0 && entry->expires_at_ms <= now->wall_ms)
        return (struct standing){ KB_STATUS_EXPIRED, KBI_NEVER };
    if (entry->slot >= slot_count)
        return (struct standing){ KB_STATUS_DISABLED, KBI_NEVER };
    const struct kb_board_slot *slot = &board->slots[entry->slot];
    uint64_t word = atomic_load_explicit(&slot->status, memory_order_acquire);
    if (kb_word_id(word) != entry->id)
        return (struct standing){ KB_STATUS_DISABLED, KBI_NEVER };
    unsigned status = kb_word_status(word);
    if (status == KB_STATUS_NORMAL)
        return (struct standing){ KB_STATUS_NORMAL, 0 };
    if (status != KB_STATUS_COOLING && status != KB_STATUS_EXCEEDED && status != KB_STATUS_ERROR)
        return (struct standing){ KB_STATUS_DISABLED, KBI_NEVER };
    uint64_t deadline_ms = atomic_load_explicit(&slot->deadline_ms, memory_order_relaxed);
    if (deadline_ms != 0 && deadline_ms <= now->mono_ms)
        return (struct standing){ KB_STATUS_NORMAL, 0 };
    if (deadline_ms == 0 || expires_before(entry, deadline_ms, now))
        deadline_ms = KBI_NEVER;
    return (struct standing){ (kb_status)status, deadline_ms };
}

uint64_t kbi_usable_from(const kb_reader *reader, uint32_t slot_count,
                         const struct kb_catalog_entry *entry, const struct now *now) {
    uint64_t from_ms =
        kbi_standing(reader->attachment.board, slot_count, entry, now).usable_from_ms;
    if (from_ms == 0)
        from_ms = kbi_skip_until(&reader->skips, entry->id, entry->slot);
    return from_ms;
}

uint64_t kbi_avoided_until(const kb_reader *reader, const struct kb_catalog_entry *entry,
                           uint64_t now_ms) {
    if (!reader->catalog->endpoints_differ)
        return 0;
    return kbi_trouble_until(&reader->troubles, entry->endpoint, now_ms);
}

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* When a usable key ends, unless the calendar is set meanwhile. Both clocks are cut to
 * milliseconds, hence one less: rather look twice than a moment late. */
static uint64_t end_ms(const struct kb_catalog_entry *entry, const struct now *now) {
    if (entry->expires_at_ms == 0)
        return KBI_NEVER;
    return now->mono_ms + (uint64_t)(entry->expires_at_ms - now->wall_ms) - 1;
}

/* The broker's own choice, verified. False when it is torn, late, of another catalog or wrong. */
static bool take_hint(kb_reader *reader, uint64_t generation, const struct now *now) {
    const struct kb_board *board = reader->attachment.board;
    const struct catalog *catalog = reader->catalog;

    if (atomic_load_explicit(&board->hint_generation, memory_order_acquire) != generation)
        return false;
    uint64_t version = atomic_load_explicit(&board->hint_catalog, memory_order_acquire);
    uint64_t until_ms = atomic_load_explicit(&board->hint_until_ms, memory_order_acquire);
    uint32_t position = atomic_load_explicit(&board->hint_position, memory_order_acquire);
    if (atomic_load_explicit(&board->hint_generation, memory_order_relaxed) != generation)
        return false;
    if (version != catalog->version || position >= catalog->count || until_ms <= now->mono_ms)
        return false;
    const struct kb_catalog_entry *entry = &catalog->entries[position];
    if (kbi_usable_from(reader, kbi_slot_count(board), entry, now) != 0)
        return false;
    reader->choice_position = position;
    reader->deadline_ms = sooner(until_ms, end_ms(entry, now));
    reader->calendar = entry->expires_at_ms != 0;
    return true;
}

/* The first usable key; one at an endpoint in trouble only if there is no other. When there is none
 * the calendar may still bring one back. */
static bool scan(kb_reader *reader, const struct now *now) {
    const struct catalog *catalog = reader->catalog;
    uint32_t slot_count = kbi_slot_count(reader->attachment.board);
    uint32_t chosen = catalog->count; /* none */
    uint64_t until_ms = KBI_NEVER;
    bool calendar = false, settled = false;

    for (uint32_t i = 0; i < catalog->count && !settled; i++) {
        const struct kb_catalog_entry *entry = &catalog->entries[i];
        uint64_t from_ms = kbi_usable_from(reader, slot_count, entry, now);
        if (from_ms == 0) {
            from_ms = kbi_avoided_until(reader, entry, now->mono_ms);
            settled = from_ms == 0;
            if (settled || chosen == catalog->count)
                chosen = i;
        }
        if (!settled) {
            until_ms = sooner(until_ms, from_ms);
            calendar = calendar || entry->expires_at_ms != 0;
        }
    }
    reader->deadline_ms = until_ms;
    reader->calendar = calendar; /* one that expired may come back: the calendar can be set */
    if (chosen == catalog->count)
        return false;
    reader->choice_position = chosen;
    reader->deadline_ms = sooner(until_ms, end_ms(&catalog->entries[chosen], now));
    reader->calendar = calendar || catalog->entries[chosen].expires_at_ms != 0;
    return true;
}

/* One pass over all keys; any recovery or expiry among them, or an end of trouble, changes the
 * shares. `avoid`: leave out those at endpoints in trouble. True if any is left. */
static bool share_among(kb_reader *reader, bool avoid, const struct now *now) {
    const struct catalog *catalog = reader->catalog;
    uint32_t slot_count = kbi_slot_count(reader->attachment.board);
    uint64_t until_ms = KBI_NEVER;
    bool calendar = false;

    kbi_spread_clear(catalog->spread);
    for (uint32_t i = 0; i < catalog->count; i++) {
        const struct kb_catalog_entry *entry = &catalog->entries[i];
        uint64_t from_ms = kbi_usable_from(reader, slot_count, entry, now);
        if (from_ms == 0) {
            uint64_t avoided_ms = kbi_avoided_until(reader, entry, now->mono_ms);
            if (!avoid || avoided_ms == 0)
                kbi_spread_add(catalog->spread, i, entry->weight);
            from_ms = sooner(end_ms(entry, now), avoided_ms ? avoided_ms : KBI_NEVER);
        }
        until_ms = sooner(until_ms, from_ms);
        calendar = calendar || entry->expires_at_ms != 0;
    }
    kbi_spread_finish(catalog->spread);
    reader->deadline_ms = until_ms;
    reader->calendar = calendar;
    return kbi_spread_usable(catalog->spread) > 0;
}

/* All usable keys; those at endpoints in trouble only if there are no others. */
static bool share_out(kb_reader *reader, const struct now *now) {
    return share_among(reader, true, now) ||
           (now->mono_ms < reader->troubles.until_ms && share_among(reader, false, now));
}

/* Make choice_key the key at choice_position; its strings stay if it is the same one. */
static const kb_key *hand_out(kb_reader *reader) {
    uint64_t id = reader->catalog->entries[reader->choice_position].id;
    if (reader->choice_catalog != reader->catalog || reader->choice_key.id != id) {
        reader->choice_catalog = NULL;
        if (!kbi_catalog_fill(reader->catalog, id, &reader->choice_key))
            return NULL;
        reader->choice_catalog = reader->catalog;
    }
    reader->choice_key.ticket.generation = reader->ticket_generation;
    return &reader->choice_key;
}

int kbi_why_none(const kb_reader *reader) {
    uint32_t flags = atomic_load_explicit(&reader->attachment.board->flags, memory_order_relaxed);
    return flags & KB_BOARD_GUARDED ? KB_EGUARDED : KB_EEXHAUSTED;
}

void kbi_choose(kb_reader *reader, uint64_t generation, bool moved, const struct now *now) {
    bool spread = reader->catalog->spread != NULL;
    bool found;

    kbi_skip_prune(&reader->skips, reader->attachment.board, now->mono_ms);
    /* The broker's own choice knows nothing of what this reader has seen. */
    bool own_view = reader->skips.count != 0 || now->mono_ms < reader->troubles.until_ms;
    if (spread)
        found = share_out(reader, now);
    else
        found = (moved && !own_view && take_hint(reader, generation, now)) || scan(reader, now);
    reader->choice = NULL;
    reader->choice_error = found ? 0 : kbi_why_none(reader);
    if (!found || spread)
        return;
    reader->choice = hand_out(reader);
    if (!reader->choice)
        reader->choice_error = KB_ECORRUPT;
}
