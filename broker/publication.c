/* See publication.h. */
#include "publication.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"

enum {
    WAKE_PIECE = 64,       /* a piece takes ~150 µs; failovers go on between pieces */
    EXACT_RECOVERIES = 64, /* keys ranked above the choice that are looked at one by one */
};

int publication_open(struct publication *pub, uint64_t pool_id, int dir_fd,
                     uint64_t *ret_generation) {
    *pub = (struct publication){ .pool_id = pool_id,
                                 .dir_fd = dir_fd,
                                 .choice = KB_BOARD_NO_POSITION };
    int error = board_open(&pub->board, dir_fd, ret_generation);
    if (error)
        return error;
    pub->dir = descriptor_new(dir_fd);
    catalog_unlink_others(dir_fd, kb_board_catalog_version(pub->board.shared));
    return 0;
}

struct catalog_built publication_named_catalog(const struct publication *pub) {
    const struct kb_board *shared = pub->board.shared;
    struct catalog_built named = { 0 };
    if (!kb_board_read_catalog(shared, &named.version, &named.size, &named.checksum))
        named.version = 0;
    return named;
}

static void drop_order(struct publication *pub) {
    free(pub->order);
    free(pub->positions);
    free(pub->usable);
    free(pub->usable_words);
    pub->order = NULL;
    pub->positions = NULL;
    pub->usable = pub->usable_words = NULL;
    pub->count = 0;
    heap_clear(&pub->recoveries);
}

void publication_close(struct publication *pub) {
    drop_order(pub);
    heap_deinit(&pub->recoveries);
    board_close(&pub->board);
    pub->dir = descriptor_unref(pub->dir);
}

void publication_retire(struct publication *pub, uint64_t generation) {
    unlinkat(pub->dir_fd, KB_BOARD_FILE, 0);
    unlinkat(pub->dir_fd, KB_REPORT_SOCKET, 0);
    board_retire(&pub->board, generation);
    board_wake(&pub->board, generation, true, INT32_MAX);
    catalog_unlink_others(pub->dir_fd, 0);
    publication_close(pub);
}

/* ---- the usable keys ---- */

static void set_usable(struct publication *pub, uint32_t position, bool usable) {
    uint32_t word = position / 64;
    uint64_t bit = UINT64_C(1) << position % 64;
    if (usable)
        pub->usable[word] |= bit;
    else
        pub->usable[word] &= ~bit;
    uint64_t word_bit = UINT64_C(1) << word % 64;
    if (pub->usable[word])
        pub->usable_words[word / 64] |= word_bit;
    else
        pub->usable_words[word / 64] &= ~word_bit;
}

/* The bits of a word from this one on. */
static uint64_t bits_from(uint64_t word, uint32_t bit) {
    return bit < 64 ? word >> bit << bit : 0;
}

/* The first usable key at this position or after it. */
static uint32_t usable_from(const struct publication *pub, uint32_t position) {
    uint32_t words = (pub->count + 63) / 64, word = position / 64;
    if (word >= words)
        return KB_BOARD_NO_POSITION;
    uint64_t bits = bits_from(pub->usable[word], position % 64);
    if (bits)
        return word * 64 + (uint32_t)__builtin_ctzll(bits);
    uint32_t group = word / 64;
    uint64_t later = bits_from(pub->usable_words[group], word % 64 + 1);
    while (!later && ++group < (words + 63) / 64)
        later = pub->usable_words[group];
    if (!later)
        return KB_BOARD_NO_POSITION;
    word = group * 64 + (uint32_t)__builtin_ctzll(later);
    return word * 64 + (uint32_t)__builtin_ctzll(pub->usable[word]);
}

static uint64_t slot_word(const struct publication *pub, uint32_t slot) {
    return atomic_load_explicit(&pub->board.shared->slots[slot].status, memory_order_relaxed);
}

static int64_t slot_deadline(const struct publication *pub, uint32_t slot) {
    return (int64_t)atomic_load_explicit(&pub->board.shared->slots[slot].deadline_ms,
                                         memory_order_relaxed);
}

/* Note what a slot now says about the key at its position. */
static void index_slot(struct publication *pub, uint32_t position) {
    uint32_t slot = pub->order[position].slot;
    bool normal = kb_word_status(slot_word(pub, slot)) == KB_STATUS_NORMAL;
    set_usable(pub, position, normal);
    int64_t deadline = slot_deadline(pub, slot);
    if (normal || !deadline)
        return;
    if (pub->recoveries.count > (size_t)pub->count * 2 + 64) {
        heap_clear(&pub->recoveries);
        for (uint32_t i = 0; i < pub->count; i++)
            if (slot_deadline(pub, pub->order[i].slot))
                heap_push(&pub->recoveries, slot_deadline(pub, pub->order[i].slot),
                          pub->order[i].slot);
    } else {
        heap_push(&pub->recoveries, deadline, slot);
    }
}

/* ---- what changes ---- */

/* Slots whose key left the order, or belongs to another one now. A slot beyond the old count may
 * lie in a hole of the file that board_reserve has just filled. */
static void clear_strangers(struct publication *pub, uint32_t slots) {
    for (uint32_t slot = 0; slot < slots; slot++) {
        uint64_t word = slot_word(pub, slot);
        uint32_t position = pub->positions[slot];
        if (word && (position == UINT32_MAX || kb_word_id(word) != pub->order[position].id))
            board_set_slot(&pub->board, slot, &(struct board_entry){ 0 });
    }
}

/* What all slots say, 64 keys at a time: a large pool's must not hold a failover up. */
static void index_all(struct publication *pub) {
    for (uint32_t first = 0; first < pub->count; first += 64) {
        uint32_t left = pub->count - first;
        uint64_t bits = 0;
        for (uint32_t i = 0; i < (left < 64 ? left : 64); i++) {
            uint32_t slot = pub->order[first + i].slot;
            if (kb_word_status(slot_word(pub, slot)) == KB_STATUS_NORMAL)
                bits |= UINT64_C(1) << i;
            else if (slot_deadline(pub, slot))
                heap_push(&pub->recoveries, slot_deadline(pub, slot), slot);
        }
        uint32_t word = first / 64;
        pub->usable[word] = bits;
        if (bits)
            pub->usable_words[word / 64] |= UINT64_C(1) << word % 64;
    }
}

void publication_set_catalog(struct publication *pub, const struct catalog_built *built,
                             struct published_key *order, uint32_t count) {
    assert(built->slot_count <= KB_BOARD_SLOTS_MAX);
    uint32_t old_slots = pub->slot_count;
    drop_order(pub);
    pub->order = order;
    pub->count = count;
    pub->slot_count = built->slot_count;
    pub->catalog_version = built->version;
    pub->catalog_size = built->size;
    pub->catalog_checksum = built->checksum;
    uint32_t slots = old_slots > built->slot_count ? old_slots : built->slot_count;
    uint32_t words = (count + 63) / 64;
    pub->positions = mem_resize(NULL, slots, sizeof *pub->positions);
    memset(pub->positions, 0xff, slots * sizeof *pub->positions);
    pub->usable = mem_alloc(words * sizeof(uint64_t));
    pub->usable_words = mem_alloc((words + 63) / 64 * sizeof(uint64_t));
    for (uint32_t i = 0; i < count; i++)
        pub->positions[order[i].slot] = i;
    clear_strangers(pub, slots);
    index_all(pub);
}

static bool is_published(const struct publication *pub, uint32_t slot, uint64_t key_id) {
    if (slot >= pub->slot_count || !pub->positions || pub->positions[slot] == UINT32_MAX)
        return false;
    return pub->order[pub->positions[slot]].id == key_id;
}

void publication_expect(const struct publication *pub, uint32_t slot) {
    if (slot >= pub->slot_count || !pub->positions)
        return;
    __builtin_prefetch(&pub->board.shared->slots[slot], 1);
    __builtin_prefetch(&pub->positions[slot]);
}

static uint64_t next_word(const struct publication *pub, uint32_t slot, uint64_t key_id,
                          unsigned status) {
    uint64_t old = slot_word(pub, slot);
    uint32_t counter = (uint32_t)(old >> KB_WORD_COUNTER_SHIFT & KB_WORD_COUNTER_MASK);
    return kb_word_make(key_id, kb_word_id(old) == key_id ? counter + 1 : 0, status);
}

void publication_set_state(struct publication *pub, uint32_t slot, uint64_t key_id,
                           const struct key_state *state) {
    if (!is_published(pub, slot, key_id))
        return;
    struct board_entry entry = {
        .word = next_word(pub, slot, key_id, state->status),
        .deadline_ms = (uint64_t)state->deadline_mono,
        .valid_since = state->valid_since,
        .backoff = state->backoff,
    };
    board_set_slot(&pub->board, slot, &entry);
    index_slot(pub, pub->positions[slot]);
}

void publication_forget(struct publication *pub, uint32_t slot, uint64_t key_id) {
    if (!is_published(pub, slot, key_id))
        return;
    board_set_slot(&pub->board, slot, &(struct board_entry){ 0 });
    index_slot(pub, pub->positions[slot]);
}

void publication_touch(struct publication *pub, uint32_t slot, uint64_t key_id) {
    if (!is_published(pub, slot, key_id))
        return;
    const struct kb_board_slot *shared = &pub->board.shared->slots[slot];
    uint64_t word = slot_word(pub, slot);
    struct board_entry entry = {
        .word = next_word(pub, slot, key_id, kb_word_status(word)),
        .deadline_ms = (uint64_t)slot_deadline(pub, slot),
        .valid_since = atomic_load_explicit(&shared->valid_since, memory_order_relaxed),
        .backoff = atomic_load_explicit(&shared->backoff, memory_order_relaxed),
    };
    board_set_slot(&pub->board, slot, &entry);
}

void publication_recheck_expiries(struct publication *pub) {
    for (uint32_t i = 0; i < pub->count; i++)
        index_slot(pub, i);
}

/* ---- announcing ---- */

/* The first key at this position or after it that is usable now. */
static uint32_t choose(struct publication *pub, uint32_t from, int64_t wall_ms) {
    for (;;) {
        uint32_t position = usable_from(pub, from);
        if (position == KB_BOARD_NO_POSITION)
            return position;
        int64_t expires = pub->order[position].expires_at_ms;
        if (!expires || wall_ms < expires)
            return position;
        set_usable(pub, position, false);
    }
}

/* Only recoveries that slots still speak of count. */
static int64_t first_recovery(struct publication *pub) {
    while (pub->recoveries.count &&
           slot_deadline(pub, (uint32_t)pub->recoveries.entries[0].key_id) !=
               pub->recoveries.entries[0].when)
        heap_pop(&pub->recoveries);
    return heap_first(&pub->recoveries);
}

/* The earliest moment at which a key ranked above the choice may come back. Exact while few are;
 * past many the earliest of all keys, which only makes readers look once too often. */
static uint64_t earliest_recovery(struct publication *pub, uint32_t choice) {
    uint32_t above = choice == KB_BOARD_NO_POSITION ? pub->count : choice;
    int64_t earliest = INT64_MAX;
    if (above <= EXACT_RECOVERIES) {
        for (uint32_t i = 0; i < above; i++) {
            int64_t deadline = slot_deadline(pub, pub->order[i].slot);
            if (deadline && deadline < earliest)
                earliest = deadline;
        }
    } else {
        earliest = first_recovery(pub);
    }
    return earliest == INT64_MAX ? UINT64_MAX : (uint64_t)earliest;
}

static bool is_usable(const struct publication *pub, uint32_t position) {
    return position < pub->count && pub->usable[position / 64] >> position % 64 & 1;
}

static void account_for_choice(struct publication *pub, uint32_t choice, struct moment now,
                               bool failover) {
    uint64_t id = choice == KB_BOARD_NO_POSITION ? 0 : pub->order[choice].id;
    if (id != pub->choice_id && pub->choice_id && failover && !is_usable(pub, pub->choice)) {
        pub->failovers++;
        pub->last_failover_ms = now.wall_ms;
        pub->moved_from = pub->choice_id;
    }
    if (!id && pub->count && !pub->exhausted_since_mono)
        pub->exhausted_since_mono = now.mono_ms ? now.mono_ms : 1;
    if (id && pub->exhausted_since_mono) {
        pub->exhausted_ms += now.mono_ms - pub->exhausted_since_mono;
        pub->exhausted_since_mono = 0;
    }
    pub->choice = choice;
    pub->choice_id = id;
}

/* Also where the board of a former broker names it already, but lost its count of slots. */
static void name_catalog(struct publication *pub) {
    const struct kb_board *shared = pub->board.shared;
    if (kb_board_catalog_version(shared) != pub->catalog_version) {
        struct catalog_built old = publication_named_catalog(pub);
        pub->retired_catalog = old.version;
        pub->retired_size = old.size;
    } else if (atomic_load_explicit(&shared->slot_count, memory_order_relaxed) == pub->slot_count) {
        return;
    }
    board_set_catalog(&pub->board, pub->catalog_version, pub->catalog_size, pub->catalog_checksum,
                      pub->slot_count);
}

void publication_announce(struct publication *pub, uint64_t generation, struct moment now,
                          bool failover) {
    assert(generation > pub->generation);
    uint32_t choice = choose(pub, 0, now.wall_ms);
    struct board_hint hint = { .catalog_version = pub->catalog_version,
                               .position = choice,
                               .until_ms = earliest_recovery(pub, choice) };
    name_catalog(pub);
    board_announce(&pub->board, generation, &hint);
    pub->generation = generation;
    pub->wake_due = true;
    pub->wake_collided |= generation - pub->woken_generation > 31;
    account_for_choice(pub, choice, now, failover);
}

/* ---- for those who look ---- */

uint64_t publication_next(struct publication *pub, int64_t wall_ms) {
    if (pub->choice == KB_BOARD_NO_POSITION)
        return 0;
    uint32_t next = choose(pub, 0, wall_ms);
    if (next == pub->choice)
        next = choose(pub, pub->choice + 1, wall_ms);
    return next == KB_BOARD_NO_POSITION ? 0 : pub->order[next].id;
}

/* A key that will have expired by then does not come back; its entry is of no use to anybody. */
int64_t publication_recovers_at(struct publication *pub, struct moment now) {
    if (choose(pub, 0, now.wall_ms) != KB_BOARD_NO_POSITION)
        return 0;
    for (int64_t at_mono; (at_mono = first_recovery(pub)) != INT64_MAX;
         heap_pop(&pub->recoveries)) {
        uint32_t slot = (uint32_t)pub->recoveries.entries[0].key_id;
        int64_t expires = pub->order[pub->positions[slot]].expires_at_ms;
        int64_t at = now.wall_ms + at_mono - now.mono_ms;
        if (!expires || expires > at)
            return at;
    }
    return 0;
}

/* ---- waking ---- */

bool publication_wake(struct publication *pub) {
    if (!pub->wake_due)
        return false;
    /* Who has seen the newest generation sleeps on: it waits on one of 32 bits, and the rest are
     * woken. Where so many generations passed since the last complete round that its bit may stand
     * for an older one too, that bit's waiters are woken once, and not in pieces: those who sleep
     * again would be woken again for ever. */
    if (pub->wake_collided)
        board_wake_own(&pub->board, pub->generation);
    pub->wake_collided = false;
    if (board_wake(&pub->board, pub->generation, false, WAKE_PIECE) == WAKE_PIECE)
        return true;
    pub->wake_due = false;
    pub->woken_generation = pub->generation;
    return false;
}

int publication_rebuild(struct publication *pub, int dir_fd, uint64_t generation) {
    struct board fresh;
    uint64_t ignored;
    int error = board_open(&fresh, dir_fd, &ignored);
    if (error)
        return error;
    error = board_reserve(&fresh, pub->slot_count);
    if (error) {
        board_close(&fresh);
        return error;
    }
    for (uint32_t slot = 0; slot < pub->slot_count; slot++) {
        const struct kb_board_slot *old = &pub->board.shared->slots[slot];
        struct board_entry entry = {
            .word = slot_word(pub, slot),
            .deadline_ms = (uint64_t)slot_deadline(pub, slot),
            .valid_since = atomic_load_explicit(&old->valid_since, memory_order_relaxed),
            .backoff = atomic_load_explicit(&old->backoff, memory_order_relaxed),
        };
        board_set_slot(&fresh, slot, &entry);
    }
    board_retire(&pub->board, generation);
    board_wake(&pub->board, generation, true, INT32_MAX);
    board_close(&pub->board);
    descriptor_unref(pub->dir);
    pub->board = fresh;
    pub->dir = descriptor_new(dir_fd);
    pub->dir_fd = dir_fd;
    catalog_unlink_others(dir_fd, pub->catalog_version);
    return 0;
}
