/*
 * Skips: keys that this reader has seen fail and leaves out by itself, without waiting for the
 * broker. Called by report.c (add) and choose.c (the rest). Bounded, never allocates; the worst
 * that a lost skip costs is one more failing request.
 */
#include "internal.h"

#include <string.h>

static uint64_t filter_bit(uint32_t slot) {
    return UINT64_C(1) << (slot & 63);
}

static uint32_t filter_word(uint32_t slot) {
    return slot % KBI_SKIP_FILTER_BITS / 64;
}

void kbi_skip_add(struct skips *skips, const struct skip *skip) {
    struct skip *to = NULL, *first_to_end = &skips->skips[0];
    for (uint32_t i = 0; i < skips->count && !to; i++) {
        struct skip *other = &skips->skips[i];
        if (other->id == skip->id)
            to = other;
        if (other->until_ms < first_to_end->until_ms)
            first_to_end = other;
    }
    if (!to)
        to = skips->count < KBI_SKIPS ? &skips->skips[skips->count++] : first_to_end;
    *to = *skip;
    skips->filter[filter_word(skip->slot)] |= filter_bit(skip->slot);
}

void kbi_skip_prune(struct skips *skips, const struct kb_board *board, uint64_t now_ms) {
    uint32_t kept = 0, slot_count = kbi_slot_count(board);
    if (skips->count == 0)
        return;
    bool guarded = atomic_load_explicit(&board->flags, memory_order_relaxed) & KB_BOARD_GUARDED;
    memset(skips->filter, 0, sizeof skips->filter);
    for (uint32_t i = 0; i < skips->count; i++) {
        struct skip *skip = &skips->skips[i];
        /* One that was reported before the guard came on ends as soon as those after. */
        if (guarded && !skip->hinted && skip->until_ms > now_ms + KBI_GUARD_SKIP_MS)
            skip->until_ms = now_ms + KBI_GUARD_SKIP_MS;
        if (skip->until_ms <= now_ms || skip->slot >= slot_count ||
            atomic_load_explicit(&board->slots[skip->slot].status, memory_order_acquire) !=
                skip->word)
            continue;
        skips->filter[filter_word(skip->slot)] |= filter_bit(skip->slot);
        skips->skips[kept++] = *skip;
    }
    skips->count = kept;
}

uint64_t kbi_skip_until(const struct skips *skips, uint64_t id, uint32_t slot) {
    if (skips->count == 0 || !(skips->filter[filter_word(slot)] & filter_bit(slot)))
        return 0;
    for (uint32_t i = 0; i < skips->count; i++)
        if (skips->skips[i].id == id)
            return skips->skips[i].until_ms;
    return 0;
}
