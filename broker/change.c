/* See change.h. */
#include "change.h"

#include <assert.h>
#include <stdlib.h>

#include "memory.h"

static struct change *append(struct changeset *set, enum change_kind kind, uint64_t pool_id,
                             uint64_t key_id) {
    if (set->count == set->capacity) {
        set->capacity = set->capacity ? set->capacity * 2 : 4;
        set->items = mem_resize(set->items, set->capacity, sizeof *set->items);
    }
    struct change *change = &set->items[set->count++];
    *change = (struct change){ .kind = kind, .pool_id = pool_id, .key_id = key_id };
    return change;
}

static struct key_state *copy_state(const struct key_state *state) {
    if (!state)
        return NULL;
    struct key_state *copy = mem_alloc(sizeof *copy);
    *copy = *state;
    return copy;
}

static void drop(struct change *change) {
    switch (change->kind) {
    case CHANGE_POOL:
        pool_record_unref(change->pool.before);
        pool_record_unref(change->pool.after);
        break;
    case CHANGE_KEY:
        key_record_unref(change->key.before);
        key_record_unref(change->key.after);
        break;
    case CHANGE_RANK:
        break;
    case CHANGE_STATE:
        free(change->state.before);
        free(change->state.after);
        break;
    case CHANGE_EVENT:
        free(change->event);
        break;
    case CHANGE_HAPPENED:
        break;
    }
}

void changeset_truncate(struct changeset *set, size_t count) {
    while (set->count > count)
        drop(&set->items[--set->count]);
    if (!count)
        set->bumped = 0;
}

void changeset_deinit(struct changeset *set) {
    changeset_truncate(set, 0);
    free(set->items);
    *set = (struct changeset){ 0 };
}

void changeset_pool(struct changeset *set, struct pool_record *before, struct pool_record *after) {
    struct change *change = append(set, CHANGE_POOL, before ? before->id : after->id, 0);
    change->pool.before = before ? pool_record_ref(before) : NULL;
    change->pool.after = after ? pool_record_ref(after) : NULL;
}

void changeset_key(struct changeset *set, struct key_record *before, struct key_record *after) {
    const struct key_record *either = before ? before : after;
    struct change *change = append(set, CHANGE_KEY, either->pool_id, either->id);
    change->key.before = before ? key_record_ref(before) : NULL;
    change->key.after = after ? key_record_ref(after) : NULL;
}

void changeset_rank(struct changeset *set, uint64_t pool_id, uint64_t key_id, uint64_t before,
                    uint64_t after) {
    struct change *change = append(set, CHANGE_RANK, pool_id, key_id);
    change->rank.before = before;
    change->rank.after = after;
}

void changeset_state(struct changeset *set, uint64_t pool_id, uint64_t key_id,
                     const struct key_state *before, const struct key_state *after) {
    assert(!set->live);
    struct change *change = append(set, CHANGE_STATE, pool_id, key_id);
    change->state.before = copy_state(before);
    change->state.after = copy_state(after);
}

void changeset_happened(struct changeset *set, uint64_t pool_id, uint64_t key_id,
                        const struct change *change) {
    assert(set->live);
    append(set, CHANGE_HAPPENED, pool_id, key_id)->happened = change->happened;
}

void changeset_move_event(struct changeset *set, struct change *change) {
    struct change *moved = append(set, CHANGE_EVENT, change->pool_id, change->key_id);
    moved->event = change->event;
    change->event = NULL;
}

void changeset_split_states(struct changeset *set, uint64_t pool_id, struct changeset *ret_states) {
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct change *change = &set->items[i];
        if (change->kind == CHANGE_STATE && change->pool_id == pool_id)
            *append(ret_states, CHANGE_STATE, pool_id, change->key_id) = *change;
        else
            set->items[kept++] = *change;
    }
    set->count = kept;
}

struct event *changeset_event(struct changeset *set, const struct event *event) {
    struct change *change = append(set, CHANGE_EVENT, event->pool_id, event->key_id);
    change->event = mem_alloc(sizeof *change->event);
    *change->event = *event;
    return change->event;
}

bool changeset_is_events(const struct changeset *set) {
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].kind != CHANGE_EVENT)
            return false;
    return true;
}

bool changeset_needs_catalog(const struct changeset *set) {
    for (size_t i = 0; i < set->count; i++) {
        const struct change *change = &set->items[i];
        if ((change->kind == CHANGE_KEY && change->key.after) ||
            (change->kind == CHANGE_RANK && change->rank.after))
            return true;
        if (change->kind == CHANGE_POOL && change->pool.after &&
            (!change->pool.before || pool_record_differs(change->pool.before, change->pool.after)))
            return true;
    }
    return false;
}
