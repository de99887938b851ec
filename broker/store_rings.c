/*
 * Which events are kept. Called by the store's other files only; reading events is store_load.c's.
 *
 * Events stand in one table, in the order in which they happened. Beside it the table of rings says
 * to whom each belongs: what operators did is one ring, what workers and the clock brought about in
 * a pool is one ring for each pool. Within its ring an event has a number, counting up; the record
 * at (ring, number) holds its sequence number. So a ring's oldest event and how many it has are
 * found without reading the events themselves.
 *
 * When more are kept than wanted, the oldest of the ring with the most events goes. So a pool with
 * a storm of events pushes out its own, never another's while that has fewer, and the operators'
 * ring gives way only beyond half of all. Hence the sequence numbers that are kept may have holes.
 */
#include "store_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* Pools' ids begin with 1. Events that do not authenticate are UNREADABLE's until they are old. */
enum { RING_OPERATORS = 0 };
static const uint64_t RING_UNREADABLE = UINT64_MAX;

static uint64_t ring_of(const struct event *event) {
    return event->actor.kind == ACTOR_ADMIN ? RING_OPERATORS : event->pool_id;
}

/* ---- what the table says, remembered ---- */

static size_t place_of(const struct store_rings *rings, uint64_t id) {
    size_t low = 0, high = rings->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rings->items[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The ring, made empty if there is none. */
static struct store_ring *ring_at(struct store_rings *rings, uint64_t id) {
    size_t place = place_of(rings, id);
    if (place < rings->count && rings->items[place].id == id)
        return &rings->items[place];
    if (rings->count == rings->capacity) {
        rings->capacity = rings->capacity ? rings->capacity * 2 : 16;
        rings->items = mem_resize(rings->items, rings->capacity, sizeof(*rings->items));
    }
    memmove(&rings->items[place + 1], &rings->items[place],
            (rings->count - place) * sizeof(*rings->items));
    rings->count++;
    rings->items[place] = (struct store_ring){ .id = id, .first = 1, .next = 1 };
    return &rings->items[place];
}

static void remove_ring(struct store_rings *rings, struct store_ring *ring) {
    size_t place = (size_t)(ring - rings->items);
    memmove(ring, ring + 1, (--rings->count - place) * sizeof(*ring));
}

/* The last entry of the ring at which the cursor stands. LMDB's return code. */
static int find_last(MDB_cursor *cursor, uint64_t id, MDB_val *key, MDB_val *value) {
    unsigned char bytes[16];
    if (id == UINT64_MAX)
        return mdb_cursor_get(cursor, key, value, MDB_LAST);
    *key =
        (MDB_val){ .mv_size = store_record_key(TABLE_RINGS, id + 1, 0, bytes), .mv_data = bytes };
    int rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (rc == MDB_NOTFOUND)
        return mdb_cursor_get(cursor, key, value, MDB_LAST);
    return rc == 0 ? mdb_cursor_get(cursor, key, value, MDB_PREV) : rc;
}

static int read_rings(struct store_rings *rings, MDB_cursor *cursor) {
    MDB_val key, value;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (rc == 0) {
        if (key.mv_size != 16)
            return MDB_CORRUPTED;
        uint64_t id = store_big_endian(key.mv_data);
        uint64_t first = store_big_endian((const unsigned char *)key.mv_data + 8);
        rc = find_last(cursor, id, &key, &value);
        if (rc != 0)
            return rc;
        uint64_t last =
            key.mv_size == 16 ? store_big_endian((const unsigned char *)key.mv_data + 8) : 0;
        if (last < first || last == UINT64_MAX)
            return MDB_CORRUPTED;
        *ring_at(rings, id) = (struct store_ring){ .id = id, .first = first, .next = last + 1 };
        rings->events += last + 1 - first;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* In the write transaction, once until one is aborted. */
static int know_rings(struct store *store) {
    struct store_rings *rings = &store->rings;
    if (rings->known)
        return 0;
    MDB_cursor *cursor;
    rings->count = 0;
    rings->events = 0;
    int rc = mdb_cursor_open(store->txn, store->tables[TABLE_RINGS], &cursor);
    if (rc != 0)
        return rc;
    rc = read_rings(rings, cursor);
    mdb_cursor_close(cursor);
    rings->known = rc == 0;
    return rc;
}

void store_rings_forget(struct store *store) {
    store->rings.known = false;
}

void store_rings_deinit(struct store *store) {
    free(store->rings.items);
    store->rings = (struct store_rings){ 0 };
}

/* ---- taking in ---- */

static int add_to_ring(struct store *store, uint64_t id, uint64_t seq) {
    struct store_ring *ring = ring_at(&store->rings, id);
    store_encode_rank(&store->plain, seq);
    int rc = store_put(store, TABLE_RINGS, id, ring->next);
    if (rc == 0) {
        ring->next++;
        store->rings.events++;
    }
    return rc;
}

int store_put_event(struct store *store, struct event *event) {
    int rc = know_rings(store);
    if (rc != 0)
        return rc;
    event->seq = ++store->staged.last_event;
    store_encode_event(&store->plain, event);
    rc = store_put(store, TABLE_EVENTS, event->seq, 0);
    return rc == 0 ? add_to_ring(store, ring_of(event), event->seq) : rc;
}

/* ---- giving up ---- */

static uint64_t length_of(const struct store_ring *ring) {
    return ring->next - ring->first;
}

/* Of more events than are wanted, whose oldest goes? */
static struct store_ring *choose(struct store *store) {
    struct store_rings *rings = &store->rings;
    uint64_t operators_share = store->events_kept > 1 ? store->events_kept / 2 : 1;
    struct store_ring *longest = NULL, *operators = NULL;
    for (size_t i = 0; i < rings->count; i++) {
        struct store_ring *ring = &rings->items[i];
        if (ring->id == RING_OPERATORS)
            operators = ring;
        else if (!longest || length_of(ring) > length_of(longest))
            longest = ring;
    }
    return !longest || (operators && length_of(operators) > operators_share) ? operators : longest;
}

/* An entry that does not say which event it is (damage) goes alone. */
static int drop_oldest(struct store *store, struct store_ring *ring) {
    assert(ring); /* there are events, and each is in a ring */
    uint64_t seq = 0;
    int rc = store_get(store, store->txn, TABLE_RINGS, ring->id, ring->first);
    bool readable = rc == 0 && store_decode_rank(store->plain.data, store->plain.length, &seq);
    store_buffer_clear(&store->plain);
    if (rc < 0 && rc != -ENOENT && rc != -EBADMSG)
        return -rc;
    rc = readable ? store_delete(store, TABLE_EVENTS, seq, 0) : 0;
    if (rc == 0)
        rc = store_delete(store, TABLE_RINGS, ring->id, ring->first);
    if (rc != 0)
        return rc;
    store->rings.events--;
    ring->first++;
    if (ring->first == ring->next)
        remove_ring(&store->rings, ring);
    return 0;
}

int store_trim_events(struct store *store) {
    int rc = know_rings(store);
    while (rc == 0 && store->rings.events > store->events_kept)
        rc = drop_oldest(store, choose(store));
    return rc;
}

/* ---- a store that had no rings ---- */

static int index_event(struct store *store, const MDB_val *key, const MDB_val *value) {
    struct event event;
    uint64_t seq = key->mv_size == 8 ? store_big_endian(key->mv_data) : 0;
    if (seq == 0)
        return MDB_CORRUPTED;
    bool readable = store_unseal(store, TABLE_EVENTS, seq, 0, value) &&
                    store_decode_event(store->plain.data, store->plain.length, &event);
    store_buffer_clear(&store->plain);
    return add_to_ring(store, readable ? ring_of(&event) : RING_UNREADABLE, seq);
}

int store_index_events(struct store *store) {
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_dbi_open(store->txn, STORE_RINGS_NAME, MDB_CREATE, &store->tables[TABLE_RINGS]);
    if (rc == 0)
        rc = know_rings(store);
    if (rc == 0)
        rc = mdb_cursor_open(store->txn, store->tables[TABLE_EVENTS], &cursor);
    if (rc != 0)
        return store_errno(rc);
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        rc = index_event(store, &key, &value);
        if (rc != 0)
            break;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : store_errno(rc);
}
