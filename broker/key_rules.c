/*
 * Rules for keys: add, set, delete, move, order. Part of the model (model.h): pure, called by the
 * commands. A refusal leaves no trace.
 *
 * A key's place is its rank, a number that ascends within the pool with room between neighbours, so
 * that a move stores one rank and not the whole order; where the room is used up the pool is ranked
 * anew.
 */
#include "model.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <keybroker_shared/board.h>

#include "keyconfig.h"
#include "memory.h"
#include "model_text.h"
#include "secret.h"

static const uint64_t RANK_FIRST = UINT64_C(1) << 62;
static const uint64_t RANK_STEP = UINT64_C(1) << 32;

/* ---- ranks ---- */

static void rank_anew(const struct model *model, struct model_pool *pool, struct changeset *set) {
    for (uint32_t i = 0; i < pool->count; i++) {
        pause_at(&model->pause, i);
        struct model_key *key = pool->order[i];
        uint64_t rank = RANK_FIRST + i * RANK_STEP;
        if (key->rank == rank)
            continue;
        changeset_rank(set, pool->record->id, key->record->id, key->rank, rank);
        key->rank = rank;
    }
}

/* A rank for a key that shall stand at `index` of the order without `moving` (NULL = a new key); 0
 * = no room between its neighbours. */
static uint64_t rank_between(const struct model_pool *pool, const struct model_key *moving,
                             uint32_t index) {
    uint32_t others = pool->count - (moving ? 1 : 0);
    uint32_t skip = moving ? moving->position : UINT32_MAX;
    if (!others)
        return RANK_FIRST;
    uint32_t next = index >= skip ? index + 1 : index;
    uint32_t previous = index == 0 ? 0 : (index - 1 >= skip ? index : index - 1);
    if (index == 0) {
        uint64_t rank = pool->order[next]->rank;
        return rank > RANK_STEP ? rank - RANK_STEP : rank / 2;
    }
    uint64_t low = pool->order[previous]->rank;
    if (index >= others)
        return low < UINT64_MAX - RANK_STEP ? low + RANK_STEP : 0;
    uint64_t high = pool->order[next]->rank;
    return high - low >= 2 ? low + (high - low) / 2 : 0;
}

/* ---- add ---- */

static int check_texts(const struct model_pool *pool, const struct key_spec *spec,
                       struct refusal *refusal) {
    int refused = spec->name ? model_check_label(spec->name, "name", refusal) : 0;
    if (!refused && spec->name)
        refused = secret_check_shown(pool->vendor, spec->name, "name", refusal);
    if (!refused && spec->account && spec->account[0])
        refused = model_check_label(spec->account, "account", refusal);
    if (!refused && spec->account)
        refused = secret_check_shown(NULL, spec->account, "account", refusal);
    if (!refused && spec->note)
        refused = model_check_note(spec->note, refusal);
    if (!refused && spec->note)
        refused = secret_check_shown(NULL, spec->note, "note", refusal);
    if (!refused && spec->weight > WEIGHT_MAX)
        refused = refuse(refusal, REFUSED_SYNTAX, "bad-weight", "weight",
                         "a weight is a whole number from 1 to %d", WEIGHT_MAX);
    return refused;
}

static int check_name_free(const struct model_pool *pool, const char *name,
                           const struct model_key *owner, struct refusal *refusal) {
    const struct model_key *other = map_get(&pool->names, map_hash(name));
    if (!other || other == owner)
        return 0;
    return refuse(refusal, REFUSED_RULE, "name-taken", "name", "pool %s has a key %s already",
                  pool->record->name, name);
}

static int check_expiry(const struct key_spec *spec, const struct cause *cause,
                        struct refusal *refusal) {
    if (!spec->has_expires || !spec->expires_at_ms || spec->past_expiry_is_fine ||
        spec->expires_at_ms > cause->now.wall_ms)
        return 0;
    return refuse(refusal, REFUSED_SYNTAX, "expiry-in-the-past", "expires",
                  "that time has passed already");
}

static bool is_taken(const struct model_pool *pool, const struct key_spec *spec, const char *name) {
    uint64_t hash = map_hash(name);
    return map_get(&pool->names, hash) || (spec->taken && map_get(spec->taken, hash));
}

/* The lowest key<N> that is free, counting up from the highest ever given here. */
static void name_key(struct model_pool *pool, const struct key_spec *spec, char name[32]) {
    do
        snprintf(name, 32, "key%llu", (unsigned long long)++pool->keys_named);
    while (is_taken(pool, spec, name));
}

/* A secret that is new to the key. `owner` NULL = the key is new. */
static int check_secret(const struct model *model, const struct model_pool *pool,
                        const struct model_key *owner, const struct key_spec *spec,
                        const json_t *config, struct refusal *refusal) {
    const char *api_key = json_string_value(json_object_get(config, "api_key"));
    if (!api_key) /* keyconfig says what is wrong */
        return 0;
    int refused = secret_check(api_key, refusal);
    if (refused || spec->twin_is_fine)
        return refused;
    const struct model_key *twin = model_find_secret(model, pool, api_key);
    if (!twin || twin == owner)
        return 0;
    return refuse(refusal, REFUSED_RULE, "duplicate-secret", "api_key",
                  "%.100s has this API key already, and where one fails so does the other; "
                  "duplicate=allow takes it nevertheless",
                  twin->record->name);
}

static int config_text(const struct model_pool *pool, json_t *config, char **ret_text,
                       struct refusal *refusal) {
    /* A vendor that this version does not know was written by a newer one. */
    const struct vendor *vendor = pool->vendor ? pool->vendor : vendor_find("generic");
    int refused = keyconfig_check(config, vendor, pool->record->base_url, refusal);
    if (refused)
        return refused;
    char *text = keyconfig_text(config);
    if (!text || strlen(text) > KEYCONFIG_MAX_BYTES) {
        mem_wipe_string(text);
        return refuse(refusal, REFUSED_TOO_LARGE, "config-too-large", "config",
                      "a key's configuration has at most %d bytes", KEYCONFIG_MAX_BYTES);
    }
    assert(text);
    *ret_text = text;
    return 0;
}

static struct key_record *new_record(struct model *model, const struct cause *cause,
                                     struct model_pool *pool, const struct key_spec *spec,
                                     uint32_t slot, const char *config) {
    char generated[32];
    if (!spec->name)
        name_key(pool, spec, generated);
    struct key_record *record = key_record_new();
    record->id = model->next_id++;
    record->pool_id = pool->record->id;
    record->slot = slot;
    record->weight = spec->weight ? spec->weight : 1;
    record->expires_at_ms = spec->has_expires ? spec->expires_at_ms : 0;
    record->created_at_ms = record->updated_at_ms = cause->now.wall_ms;
    record_set_string(&record->name, spec->name ? spec->name : generated);
    record_set_string(&record->account, spec->account ? spec->account : "");
    record_set_string(&record->note, spec->note ? spec->note : "");
    record_set_string(&record->config, config);
    return record;
}

int model_add_key(struct model *model, const struct cause *cause, struct model_pool *pool,
                  const struct key_spec *spec, struct changeset *set, struct refusal *refusal) {
    int refused = check_texts(pool, spec, refusal);
    if (!refused && spec->name)
        refused = check_name_free(pool, spec->name, NULL, refusal);
    if (!refused)
        refused = check_expiry(spec, cause, refusal);
    uint32_t slot = model_free_slot(pool);
    if (!refused && slot == KB_BOARD_SLOTS_MAX)
        refused = refuse(refusal, REFUSED_RULE, "pool-full", "POOL", "a pool holds at most %u keys",
                         KB_BOARD_SLOTS_MAX);
    char *config = NULL;
    if (!refused)
        refused = check_secret(model, pool, NULL, spec, spec->config, refusal);
    if (!refused)
        refused = config_text(pool, spec->config, &config, refusal);
    if (refused)
        return refused;

    uint64_t keys_named = pool->keys_named;
    struct key_record *record = new_record(model, cause, pool, spec, slot, config);
    mem_wipe_string(config);
    uint64_t rank = rank_between(pool, NULL, pool->count);
    if (!rank) {
        rank_anew(model, pool, set);
        rank = rank_between(pool, NULL, pool->count);
    }
    struct key_state state = { .status = KB_STATUS_NORMAL,
                               .status_since_ms = cause->now.wall_ms,
                               .normal_since_mono = cause->now.mono_ms,
                               /* a late report about its account is not about this key */
                               .valid_since = VALID_SINCE_PENDING };
    struct model_key *key = model_insert_key(model, pool, record, rank, &state);
    key->pending++;
    changeset_key(set, NULL, record);
    set->items[set->count - 1].key.keys_named = keys_named;
    changeset_rank(set, pool->record->id, record->id, 0, rank);
    changeset_state(set, pool->record->id, record->id, NULL, &state);
    key_record_unref(record);
    model_schedule(model, key);
    if (pool->count > 1)
        model_bump_revision(pool, set);
    struct event event = model_event(cause, EVENT_ADD_KEY, pool, key);
    changeset_event(set, &event);
    return 0;
}

/* ---- set ---- */

/* The new config's text, or NULL where nothing about it changes. */
static int changed_config(const struct model *model, const struct model_key *key,
                          const struct key_spec *spec, char **ret_text, bool *ret_new_secret,
                          struct refusal *refusal) {
    *ret_text = NULL;
    *ret_new_secret = false;
    if (!spec->config)
        return 0;
    json_t *old = json_loads(key->record->config, 0, NULL);
    json_t *config = spec->replace_config ? json_incref(spec->config) : json_deep_copy(old);
    if (!spec->replace_config)
        keyconfig_merge(config, spec->config);
    bool new_secret =
        !json_equal(json_object_get(old, "api_key"), json_object_get(config, "api_key"));
    int refused = new_secret ? check_secret(model, key->pool, key, spec, config, refusal) : 0;
    if (!refused)
        refused = config_text(key->pool, config, ret_text, refusal);
    if (!refused) {
        assert(*ret_text);
        *ret_new_secret = new_secret;
        if (strcmp(*ret_text, key->record->config) == 0) {
            mem_wipe_string(*ret_text);
            *ret_text = NULL;
        }
    }
    json_decref(config);
    json_decref(old);
    return refused;
}

static void describe_set(char reason[REASON_MAX], const struct key_spec *spec, bool config) {
    snprintf(reason, REASON_MAX, "%s%s%s%s%s%s", spec->name ? "name " : "",
             spec->has_expires ? "expires " : "", spec->account ? "account " : "",
             spec->weight ? "weight " : "", spec->note ? "note " : "", config ? "config" : "");
}

/* Reports about the old secret or account say nothing about the new one; an error heals with a new
 * secret. */
static void renew_state(const struct cause *cause, struct model_key *key, bool new_secret,
                        struct changeset *set) {
    struct key_state before = key->state;
    key->state.valid_since = VALID_SINCE_PENDING;
    if (new_secret && before.status == KB_STATUS_ERROR) {
        model_begin_change(key);
        key->state.status = KB_STATUS_NORMAL;
        model_end_change(key);
        key->state.status_since_ms = cause->now.wall_ms;
        key->state.normal_since_mono = cause->now.mono_ms;
        key->state.deadline_mono = key->state.deadline_wall = 0;
        key->state.backoff = 0;
        key->state.last_outcome = 0;
        snprintf(key->state.reason, sizeof key->state.reason, "new API key");
        struct event event = model_event(cause, EVENT_STATUS, key->pool, key);
        event.from = KB_STATUS_ERROR;
        event.to = KB_STATUS_NORMAL;
        snprintf(event.reason, sizeof event.reason, "new API key");
        changeset_event(set, &event);
    }
    changeset_state(set, key->pool->record->id, key->record->id, &before, &key->state);
    key->pending++;
}

int model_set_key(struct model *model, const struct cause *cause, struct model_key *key,
                  const struct key_spec *spec, struct changeset *set, struct refusal *refusal) {
    if (model_status(key, cause->now.wall_ms) == KB_STATUS_EXPIRED && !model_is_default(key))
        return refuse(refusal, REFUSED_RULE, "key-expired", "KEY",
                      "%s has expired: it can be shown, moved and deleted, nothing else",
                      key->record->name);
    int refused = check_texts(key->pool, spec, refusal);
    if (!refused && spec->name)
        refused = check_name_free(key->pool, spec->name, key, refusal);
    if (!refused)
        refused = check_expiry(spec, cause, refusal);
    char *config = NULL;
    bool new_secret = false;
    if (!refused)
        refused = changed_config(model, key, spec, &config, &new_secret, refusal);
    if (refused)
        return refused;

    struct key_record *record = key_record_copy(key->record);
    bool new_account = spec->account && strcmp(spec->account, record->account) != 0;
    record->updated_at_ms = cause->now.wall_ms;
    if (spec->name)
        record_set_string(&record->name, spec->name);
    if (spec->account)
        record_set_string(&record->account, spec->account);
    if (spec->note)
        record_set_string(&record->note, spec->note);
    if (spec->weight)
        record->weight = spec->weight;
    if (spec->has_expires)
        record->expires_at_ms = spec->expires_at_ms;
    if (config)
        record_set_string(&record->config, config);
    changeset_key(set, key->record, record);
    set->items[set->count - 1].key.expiry_seen = key->expiry_seen;
    model_set_key_record(model, key, record);
    key_record_unref(record);
    if (config || new_account)
        renew_state(cause, key, new_secret, set);
    model_bump_revision(key->pool, set);
    struct event event = model_event(cause, EVENT_SET_KEY, key->pool, key);
    describe_set(event.reason, spec, config != NULL);
    changeset_event(set, &event);
    mem_wipe_string(config);
    return 0;
}

/* ---- delete ---- */

void model_drop_key(struct model *model, struct model_key *key, struct changeset *set) {
    uint64_t pool_id = key->pool->record->id, key_id = key->record->id;
    changeset_state(set, pool_id, key_id, &key->state, NULL);
    set->items[set->count - 1].state.pending = key->pending;
    set->items[set->count - 1].state.expiry_seen = key->expiry_seen;
    changeset_rank(set, pool_id, key_id, key->rank, 0);
    changeset_key(set, key->record, NULL);
    model_remove_key(model, key);
}

int model_delete_key(struct model *model, const struct cause *cause, struct model_key *key,
                     struct changeset *set, struct refusal *refusal) {
    if (model_is_default(key))
        return refuse(refusal, REFUSED_RULE, "default-key", "KEY",
                      "%s is the pool's default key: it can be edited, reordered and disabled, "
                      "never deleted",
                      key->record->name);
    struct model_pool *pool = key->pool;
    struct event event = model_event(cause, EVENT_DELETE_KEY, pool, key);
    model_drop_key(model, key, set);
    model_bump_revision(pool, set);
    changeset_event(set, &event);
    return 0;
}

/* ---- order ---- */

int model_move_key(struct model *model, const struct cause *cause, struct model_key *key,
                   uint32_t index, struct changeset *set, struct refusal *refusal) {
    (void)refusal; /* every place is allowed, also for the default key and expired ones */
    struct model_pool *pool = key->pool;
    if (index >= pool->count)
        index = pool->count - 1;
    if (index == key->position)
        return 0;
    uint64_t rank = rank_between(pool, key, index);
    if (!rank) {
        rank_anew(model, pool, set);
        rank = rank_between(pool, key, index);
    }
    uint32_t from = key->position;
    changeset_rank(set, pool->record->id, key->record->id, key->rank, rank);
    model_place(key, rank, index);
    model_bump_revision(pool, set);
    struct event event = model_event(cause, EVENT_MOVE_KEY, pool, key);
    snprintf(event.reason, sizeof event.reason, "from %u to %u", from + 1, index + 1);
    changeset_event(set, &event);
    return 0;
}

static int check_order(const struct model *model, const struct model_pool *pool,
                       struct model_key *const *order, uint32_t count, struct refusal *refusal) {
    if (count != pool->count)
        return refuse(refusal, REFUSED_RULE, "incomplete-order", "KEY",
                      "the order names %u keys, the pool has %u: name every key once", count,
                      pool->count);
    struct map seen = { 0 };
    int refused = 0;
    map_reserve(&seen, count);
    for (uint32_t i = 0; i < count && !refused; i++) {
        if (map_get(&seen, order[i]->record->id))
            refused = refuse(refusal, REFUSED_RULE, "duplicate-key", "KEY", "%s is named twice",
                             order[i]->record->name);
        map_set(&seen, order[i]->record->id, order[i]);
        pause_at(&model->pause, i);
    }
    map_deinit(&seen);
    return refused;
}

int model_order_keys(struct model *model, const struct cause *cause, struct model_pool *pool,
                     struct model_key *const *order, uint32_t count, struct changeset *set,
                     struct refusal *refusal) {
    int refused = check_order(model, pool, order, count, refusal);
    if (refused)
        return refused;
    if (memcmp(order, pool->order, count * sizeof *order) == 0)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t rank = RANK_FIRST + i * RANK_STEP;
        pause_at(&model->pause, i);
        if (order[i]->rank == rank)
            continue;
        changeset_rank(set, pool->record->id, order[i]->record->id, order[i]->rank, rank);
        order[i]->rank = rank;
    }
    memcpy(pool->order, order, count * sizeof *order);
    for (uint32_t i = 0; i < count; i++) {
        pause_at(&model->pause, i);
        order[i]->position = i;
    }
    model_bump_revision(pool, set);
    struct event event = model_event(cause, EVENT_ORDER_KEYS, pool, pool->order[0]);
    snprintf(event.reason, sizeof event.reason, "first now");
    changeset_event(set, &event);
    return 0;
}
