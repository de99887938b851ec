/*
 * Attempts: kb_next, the key for one request's next try. All of an attempt's state is the caller's,
 * so that many requests may be in flight on one reader.
 */
#include "internal.h"

#include <string.h>

enum { THROWS = 16 }; /* at the spread table before every key is looked at */

static bool was_tried(const kb_attempt *attempt, uint64_t id) {
    for (uint32_t i = 0; i < attempt->tried_count; i++)
        if (attempt->tried[i] == id)
            return true;
    return false;
}

/* What an attempt may use, with its account looked up once. */
struct permit {
    const kb_attempt *attempt;
    uint64_t account;
    bool met_tried; /* a usable and permitted key was passed over because it was tried */
};

static bool permits(struct permit *permit, const struct kb_catalog_entry *entry) {
    if (permit->attempt->pin_account && entry->account != permit->account)
        return false;
    if (was_tried(permit->attempt, entry->id)) {
        permit->met_tried = true;
        return false;
    }
    return true;
}

static const kb_key *hand_out(kb_reader *reader, uint64_t id) {
    if (!kbi_catalog_fill(reader->catalog, id, &reader->next_key)) {
        reader->error = KB_ECORRUPT;
        return NULL;
    }
    reader->next_key.ticket.generation = reader->ticket_generation;
    return &reader->next_key;
}

/* The record says all about a single key that its entry does but the account's hash. */
static const kb_key *next_pinned(kb_reader *reader, struct permit *permit) {
    const kb_attempt *attempt = permit->attempt;
    const struct kb_catalog_key *record = kbi_catalog_record(reader->catalog, attempt->pin_key);
    if (!record)
        return NULL;
    struct kb_catalog_entry entry = { .id = record->id,
                                      .expires_at_ms = record->expires_at_ms,
                                      .slot = record->slot };
    struct now now = kbi_now();
    uint32_t slot_count = kbi_slot_count(reader->attachment.board);
    if (kbi_usable_from(reader, slot_count, &entry, &now) != 0)
        return NULL;
    if (was_tried(attempt, entry.id)) {
        permit->met_tried = true;
        return NULL;
    }
    const kb_key *key = hand_out(reader, entry.id);
    bool other = key && attempt->pin_account && kbi_account_hash(key->account) != permit->account;
    return other ? NULL : key;
}

/* Nothing above the current choice is usable, unless its endpoint is in trouble, so that is where
 * to begin. */
static const kb_key *next_by_priority(kb_reader *reader, struct permit *permit) {
    const struct catalog *catalog = reader->catalog;
    if (!reader->choice)
        return NULL;
    if (permits(permit, &catalog->entries[reader->choice_position]))
        return reader->choice;
    struct now now = kbi_now();
    uint32_t slot_count = kbi_slot_count(reader->attachment.board);
    for (uint32_t i = reader->choice_position + 1; i < catalog->count; i++) {
        const struct kb_catalog_entry *entry = &catalog->entries[i];
        if (kbi_usable_from(reader, slot_count, entry, &now) == 0 &&
            kbi_avoided_until(reader, entry, now.mono_ms) == 0 && permits(permit, entry))
            return hand_out(reader, entry->id);
    }
    return NULL;
}

/* Choosing among any number in one pass: does this one replace those before it, whose weights add
 * up to *weights? With the odds that its own weight gives it. */
static bool is_drawn(kb_reader *reader, const struct kb_catalog_entry *entry, uint64_t *weights) {
    uint64_t weight = entry->weight ? entry->weight : 1;
    *weights += weight;
    return kbi_dice_roll(&reader->dice) % *weights < weight;
}

static const kb_key *hand_out_shared(kb_reader *reader, uint32_t position) {
    const kb_key *key = kbi_spread_key(reader, position);
    if (!key)
        reader->error = KB_ECORRUPT;
    return key;
}

/* Throw until a permitted key comes up; when that is rare, choose among all permitted ones. */
static const kb_key *next_by_share(kb_reader *reader, struct permit *permit) {
    const struct catalog *catalog = reader->catalog;
    uint32_t usable = kbi_spread_usable(catalog->spread), chosen = 0;
    uint64_t weights = 0;

    for (int i = 0; i < THROWS && usable > 0; i++) {
        uint32_t position = kbi_spread_throw(reader);
        if (permits(permit, &catalog->entries[position]))
            return hand_out_shared(reader, position);
    }
    for (uint32_t i = 0; i < usable; i++) {
        uint32_t position = kbi_spread_position(catalog->spread, i);
        const struct kb_catalog_entry *entry = &catalog->entries[position];
        if (!permits(permit, entry))
            continue;
        if (is_drawn(reader, entry, &weights))
            chosen = position;
    }
    return weights > 0 ? hand_out_shared(reader, chosen) : NULL;
}

/* All usable keys, also those that the choice has left out because of their endpoints. */
static const kb_key *next_in_trouble(kb_reader *reader, struct permit *permit) {
    const struct catalog *catalog = reader->catalog;
    struct now now = kbi_now();
    uint32_t slot_count = kbi_slot_count(reader->attachment.board), chosen = 0;
    uint64_t weights = 0;

    for (uint32_t i = 0; i < catalog->count; i++) {
        const struct kb_catalog_entry *entry = &catalog->entries[i];
        if (kbi_usable_from(reader, slot_count, entry, &now) != 0 || !permits(permit, entry))
            continue;
        if (!catalog->spread)
            return hand_out(reader, entry->id);
        if (is_drawn(reader, entry, &weights))
            chosen = i;
    }
    return weights > 0 ? hand_out_shared(reader, chosen) : NULL;
}

/* By the pool's strategy; endpoints in trouble come last. */
static const kb_key *next_unpinned(kb_reader *reader, struct permit *permit) {
    bool spread = reader->catalog->spread != NULL;
    const kb_key *key = spread ? next_by_share(reader, permit) : next_by_priority(reader, permit);
    if (key || !reader->catalog->endpoints_differ || kbi_mono_ms() >= reader->troubles.until_ms)
        return key;
    return next_in_trouble(reader, permit);
}

/* Whatever this call found, kb_current must speak for itself again. */
static const kb_key *fail(kb_reader *reader, int error) {
    reader->error = error;
    kbi_reader_watch(reader, KBI_NEVER);
    return NULL;
}

const kb_key *kb_next(kb_reader *reader, kb_attempt *attempt) {
    if (!reader)
        return NULL;
    if (!attempt || attempt->size < sizeof *attempt || attempt->tried_count > KB_ATTEMPT_TRIES)
        return fail(reader, KB_EINVAL);
    /* A key without a label is an account of its own, which only its id names. */
    if (attempt->pin_account && !*attempt->pin_account && attempt->pin_key == 0)
        return fail(reader, KB_EINVAL);
    /* The label may point into the catalog that looking lets go of. */
    struct permit permit = { .attempt = attempt };
    if (attempt->pin_account)
        permit.account = kbi_account_hash(attempt->pin_account);
    kbi_reader_look(reader);
    if (reader->choice_error != 0)
        return fail(reader, reader->choice_error);
    if (attempt->tried_count == KB_ATTEMPT_TRIES)
        return fail(reader, KB_ETRIED);

    reader->error = 0;
    const kb_key *key =
        attempt->pin_key != 0 ? next_pinned(reader, &permit) : next_unpinned(reader, &permit);
    if (!key && reader->error == 0)
        reader->error = permit.met_tried ? KB_ETRIED : kbi_why_none(reader);
    if (!key)
        return fail(reader, reader->error);
    attempt->tried[attempt->tried_count++] = key->id;
    return key;
}
