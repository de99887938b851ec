/*
 * Taking back what was staged: exactly, so that a command that was refused, tried or not stored
 * leaves no trace, the numbers that it drew included. Part of the model (model.h).
 */
#include "model.h"

#include "model_text.h"

enum { MANY = 256 }; /* changes: beyond, a pool's order is put right once and not for each */

/* Nobody has seen it. Where another pool's later command stays and has the next one, it is gone. */
static void give_back_id(struct model *model, uint64_t id) {
    if (id == model->next_id - 1)
        model->next_id = id;
}

static void show_expiry(struct model_key *key, bool seen) {
    model_begin_change(key);
    key->expiry_seen = seen;
    model_end_change(key);
}

/* `older` is the change before it, NULL if there is none. */
static void undo_key(struct model *model, const struct change *change, const struct change *older) {
    struct model_key *key = model_key_by_id(model, change->key_id);
    if (!change->key.before) {
        key->pool->keys_named = change->key.keys_named;
        model_remove_key(model, key);
        give_back_id(model, change->key_id);
    } else if (!change->key.after) {
        /* State and rank follow from the changes that were made before this one. The rank is looked
         * up now, so that a big pool's keys come back at their places and need no sorting. */
        struct key_state state = { .status = KB_STATUS_NORMAL };
        struct model_pool *pool = model_pool_by_id(model, change->pool_id);
        bool ranked = older && older->kind == CHANGE_RANK && older->key_id == change->key_id;
        model_insert_key(model, pool, change->key.before, ranked ? older->rank.before : 1, &state);
    } else {
        model_set_key_record(model, key, change->key.before);
        if (change->key.before->expires_at_ms != change->key.after->expires_at_ms)
            show_expiry(key, change->key.expiry_seen);
    }
}

static void undo_pool(struct model *model, const struct change *change) {
    struct model_pool *pool = model_pool_by_id(model, change->pool_id);
    if (!change->pool.before) {
        model_remove_pool(model, pool);
        give_back_id(model, change->pool_id);
    } else if (!change->pool.after) {
        model_load_pool(model, pool_record_ref(change->pool.before));
        model_pool_by_id(model, change->pool_id)->keys_named = change->pool.keys_named;
    } else {
        model_set_pool_record(pool, change->pool.before);
    }
}

static void undo_rank(const struct model *model, struct model_key *key, const struct change *change,
                      const struct change *older) {
    if (key->rank == change->rank.before) /* it came back to its place */
        return;
    key->rank = change->rank.before;
    /* A run of ranks is sorted once, at its end. */
    bool last = !older || older->kind != CHANGE_RANK || older->pool_id != change->pool_id;
    if (last && !key->pool->loose)
        model_sort(model, key->pool);
}

static void undo_state(struct model *model, struct model_key *key, const struct change *change) {
    model_begin_change(key);
    key->state = *change->state.before;
    model_end_change(key);
    if (!change->state.after) {
        show_expiry(key, change->state.expiry_seen);
        key->pending = change->state.pending;
        model_mark_dirty(model, key); /* a deletion forgot whether it was */
    } else if (key->pending) {
        key->pending--;
    }
    model_schedule(model, key);
}

static void undo_change(struct model *model, const struct change *change,
                        const struct change *older) {
    struct model_key *key = change->key_id ? model_key_by_id(model, change->key_id) : NULL;
    switch (change->kind) {
    case CHANGE_POOL:
        undo_pool(model, change);
        break;
    case CHANGE_KEY:
        undo_key(model, change, older);
        break;
    case CHANGE_RANK:
        if (key && change->rank.before)
            undo_rank(model, key, change, older);
        break;
    case CHANGE_STATE:
        if (key && change->state.before)
            undo_state(model, key, change);
        break;
    case CHANGE_EVENT:
    case CHANGE_HAPPENED:
        break;
    }
}

/* Of many changes, those that touch a pool's order loosen it first. */
static void loosen(struct model *model, const struct change *change) {
    bool touches = change->kind == CHANGE_KEY || change->kind == CHANGE_RANK;
    struct model_pool *pool = touches ? model_pool_by_id(model, change->pool_id) : NULL;
    if (pool)
        model_loosen(pool);
}

void model_undo(struct model *model, const struct changeset *set) {
    bool many = set->count > MANY;
    for (size_t i = set->count, whole = 0; i-- > 0;) {
        const struct change *change = &set->items[i];
        if (many)
            loosen(model, change);
        /* An event is the last that a rule says of a key, and in a pool's deletion that the key
         * goes: what comes after it is taken back, and whole. */
        if (change->kind == CHANGE_EVENT || (change->kind == CHANGE_KEY && !change->key.after))
            pause_at(&model->pause, whole++);
        undo_change(model, change, i ? &set->items[i - 1] : NULL);
    }
    struct model_pool *pool = NULL;
    for (size_t i = 0; many && i < set->count; i++) {
        if (!pool || pool->record->id != set->items[i].pool_id)
            pool = model_pool_by_id(model, set->items[i].pool_id);
        if (pool)
            model_tidy(model, pool);
    }
}
