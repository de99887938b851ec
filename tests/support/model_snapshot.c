/* See model_fixture.h: the model's consistency with itself, and its snapshot as text. */
#include "model_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

/* ---- consistency ---- */

static void check_slots(const struct model_pool *pool) {
    uint64_t *seen = calloc(pool->slot_words ? pool->slot_words : 1, sizeof *seen);
    for (uint32_t i = 0; i < pool->count; i++) {
        uint32_t slot = pool->order[i]->record->slot;
        uint64_t bit = UINT64_C(1) << slot % 64;
        cr_assert_lt(slot / 64, pool->slot_words);
        cr_assert_not(seen[slot / 64] & bit, "two keys in slot %u", slot);
        seen[slot / 64] |= bit;
    }
    for (uint32_t word = 0; word < pool->slot_words; word++)
        cr_assert_eq(seen[word], pool->slots[word], "slots in use are those of keys");
    free(seen);
}

/* What the guard holds is of normal keys. */
static void check_guard(const struct model_pool *pool) {
    uint32_t held = 0, of_endpoints = 0;
    size_t i = 0;
    for (const struct model_key *key = pool->trouble.held; key; key = key->held_next) {
        cr_assert_eq(key->pool, pool);
        cr_assert_eq(key->state.status, KB_STATUS_NORMAL);
        cr_assert_not_null(key->held_link);
        cr_assert_leq(++held, pool->count);
    }
    for (const struct model_endpoint *endpoint; (endpoint = map_next(&pool->endpoints, &i));)
        of_endpoints += endpoint->held;
    cr_assert_eq(pool->trouble.held_count, held);
    cr_assert_eq(of_endpoints, held);
    cr_assert(!held || model_guard_is_on(pool));
}

/* Keys and normal keys by endpoint, and how many accounts have a normal key. */
static void check_groups(const struct model_pool *pool) {
    uint32_t keys = 0, normal = 0, accounts = 0;
    size_t i = 0;
    for (const struct model_endpoint *endpoint; (endpoint = map_next(&pool->endpoints, &i));) {
        uint32_t here = 0, usable = 0;
        for (uint32_t k = 0; k < pool->count; k++) {
            const struct model_key *key = pool->order[k];
            here += key->endpoint == endpoint;
            usable += key->endpoint == endpoint && !key->expiry_seen &&
                      key->state.status == KB_STATUS_NORMAL;
        }
        cr_assert_eq(endpoint->keys, here);
        cr_assert_eq(endpoint->normal, usable, "counted as they change");
        keys += here;
        normal += usable;
    }
    cr_assert_eq(keys, pool->count, "every key has its endpoint");
    cr_assert_eq(normal, pool->counts[KB_STATUS_NORMAL]);
    for (uint32_t k = 0; k < pool->count; k++)
        accounts +=
            pool->order[k]->account->first == pool->order[k] && pool->order[k]->account->normal > 0;
    cr_assert_eq(pool->accounts_normal, accounts);
}

static void check_pool(const struct model *model, const struct model_pool *pool) {
    cr_assert_eq(model_pool_by_id(model, pool->record->id), pool);
    cr_assert_eq(model_find_pool(model, pool->record->name), pool);
    cr_assert_eq(pool->names.count, pool->count, "as many names as keys");
    unsigned defaults = 0, counts[KB_STATUS_COUNT] = { 0 };
    for (uint32_t i = 0; i < pool->count; i++) {
        struct model_key *key = pool->order[i];
        cr_assert_eq(key->position, i);
        cr_assert_eq(key->pool, pool);
        cr_assert_eq(key->record->pool_id, pool->record->id);
        cr_assert(key->rank > 0);
        if (i)
            cr_assert_lt(pool->order[i - 1]->rank, key->rank, "ranks ascend");
        cr_assert_eq(model_key_by_id(model, key->record->id), key);
        cr_assert_eq(model_find_key(model, pool, key->record->name), key);
        defaults += model_is_default(key);
        counts[key->expiry_seen ? KB_STATUS_EXPIRED : key->state.status]++;
    }
    cr_assert_eq(memcmp(pool->counts, counts, sizeof counts), 0, "counted as they change");
    cr_assert_eq(defaults, 1, "a pool has its default key");
    check_slots(pool);
    check_groups(pool);
    check_guard(pool);
}

static bool same_account(const struct model_key *a, const struct model_key *b) {
    return strcmp(a->record->account, b->record->account) == 0 &&
           strcmp(a->pool->record->vendor, b->pool->record->vendor) == 0;
}

static void check_account(const struct model *model, const struct model_key *key) {
    size_t listed = 0, expected = 0, i = 0;
    bool found = false;
    for (const struct model_account *account = model_account_first(model, key); account;
         account = account->next) {
        uint32_t normal = 0;
        cr_assert_not_null(account->first, "no account stays without keys");
        for (const struct model_key *mate = account->first; mate; mate = mate->account_next) {
            cr_assert(same_account(mate, key), "%s is in the account of %s", mate->record->name,
                      key->record->name);
            cr_assert_eq(mate->account, account);
            cr_assert_eq(mate->pool, account->pool);
            normal += !mate->expiry_seen && mate->state.status == KB_STATUS_NORMAL;
            found = found || mate == key;
            cr_assert_leq(++listed, model->keys.count);
        }
        cr_assert_eq(account->normal, normal, "counted as they change");
    }
    bool labelled = key->record->account[0];
    for (const struct model_key *other; (other = map_next(&model->keys, &i));)
        expected += other == key || (labelled && same_account(other, key));
    cr_assert(found);
    cr_assert_eq(listed, expected, "the account's list has all its keys");
}

static bool same_secret(const struct model_key *a, const struct model_key *b) {
    json_t *left = json_loads(a->record->config, 0, NULL);
    json_t *right = json_loads(b->record->config, 0, NULL);
    const char *one = json_string_value(json_object_get(left, "api_key"));
    const char *other = json_string_value(json_object_get(right, "api_key"));
    bool same = one && other && strcmp(one, other) == 0;
    json_decref(left);
    json_decref(right);
    return same;
}

/* Twins know of each other, from whichever one asks, and nobody else is among them. */
static void check_twins(struct model_key *key) {
    const struct model_key *first = key;
    size_t listed = 0, expected = 0;
    for (; first->twin_previous; first = first->twin_previous)
        cr_assert_eq(first->twin_previous->twin_next, first);
    cr_assert_eq(map_get(&key->pool->secrets, key->digest), first);
    for (const struct model_key *twin = first; twin; twin = twin->twin_next, listed++)
        cr_assert_eq(twin->digest, key->digest);
    for (uint32_t i = 0; i < key->pool->count; i++)
        expected += same_secret(key, key->pool->order[i]);
    cr_assert_eq(listed, expected, "%s has its twins", key->record->name);
}

static bool heap_has(const struct heap *heap, int64_t when, uint64_t key_id) {
    for (size_t i = 0; i < heap->count; i++)
        if (heap->entries[i].when == when && heap->entries[i].key_id == key_id)
            return true;
    return false;
}

static void check_heap(const struct heap *heap) {
    for (size_t i = 1; i < heap->count; i++)
        cr_assert_leq(heap->entries[(i - 1) / 2].when, heap->entries[i].when);
}

static void check_key(const struct model *model, struct model_key *key) {
    const struct key_state *state = &key->state;
    uint64_t id = key->record->id;
    cr_assert(state->status >= KB_STATUS_NORMAL && state->status <= KB_STATUS_DISABLED,
              "expired is never stored");
    cr_assert_eq(state->deadline_mono != 0, state->deadline_wall != 0);
    if (state->status == KB_STATUS_COOLING)
        cr_assert(state->deadline_mono > 0);
    if (state->status == KB_STATUS_NORMAL || state->status == KB_STATUS_DISABLED)
        cr_assert_eq(state->deadline_mono, 0);
    if (state->deadline_mono && !key->pending)
        cr_assert(heap_has(&model->recoveries, state->deadline_mono, id), "%s would wait for ever",
                  key->record->name);
    if (key->record->expires_at_ms && !key->expiry_seen)
        cr_assert(heap_has(&model->expiries, key->record->expires_at_ms, id));
    check_account(model, key);
    if (key->pool->count <= 100)
        check_twins(key);
}

void model_fixture_check(const struct model *model) {
    size_t i = 0, keys = 0;
    for (const struct model_pool *pool; (pool = map_next(&model->pools, &i));) {
        check_pool(model, pool);
        keys += pool->count;
    }
    cr_assert_eq(model->pool_names.count, model->pools.count);
    cr_assert_eq(model->keys.count, keys);
    /* A comparison of every key with every other: what big pools do is seen in small ones. */
    i = 0;
    for (struct model_key *key; keys <= 2000 && (key = map_next(&model->keys, &i));)
        check_key(model, key);
    check_heap(&model->recoveries);
    check_heap(&model->expiries);
    for (struct model_key *key = model->dirty; key; key = key->dirty_next)
        cr_assert(key->dirty && *key->dirty_link == key &&
                  model_key_by_id(model, key->record->id) == key);
}

/* ---- snapshot ---- */

static void print_state(FILE *out, const struct key_state *state) {
    fprintf(out,
            " status %u backoff %u deadline %" PRId64 "/%" PRId64 " cooling %" PRId64
            " normal since %" PRId64 " since %" PRId64 " valid since %" PRIu64 " failure %" PRId64
            " %u %u '%s' reason '%s' reports",
            state->status, state->backoff, state->deadline_mono, state->deadline_wall,
            state->cooling_ms, state->normal_since_mono, state->status_since_ms, state->valid_since,
            state->last_failure_ms, state->last_outcome, state->http_status, state->vendor_code,
            state->reason);
    for (size_t i = 0; i < sizeof state->reports / sizeof *state->reports; i++)
        fprintf(out, " %" PRIu64, state->reports[i]);
    fputc('\n', out);
}

static void print_account(FILE *out, const struct model *model, const struct model_key *key) {
    /* The list's own order means nothing: members are printed by what the map of keys says. */
    fprintf(out, "  account '%s':", key->record->account);
    const struct model_account *account = model_account_first(model, key);
    for (uint64_t id = 1; id < model->next_id && key->record->account[0]; id++) {
        const struct model_key *mate = model_key_by_id(model, id);
        for (const struct model_account *at = account; mate && at; at = at->next)
            if (mate->account == at)
                fprintf(out, " %" PRIu64, id);
    }
    fputc('\n', out);
}

static void print_key(FILE *out, const struct model *model, struct model_key *key) {
    const struct key_record *record = key->record;
    fprintf(out,
            " key %" PRIu64 " '%s' position %u rank %" PRIu64 " slot %u weight %u expires %" PRId64
            " created %" PRId64 " updated %" PRId64
            " note '%s' config %s pending %u seen expire %d\n ",
            record->id, record->name, key->position, key->rank, record->slot, record->weight,
            record->expires_at_ms, record->created_at_ms, record->updated_at_ms, record->note,
            record->config, key->pending, key->expiry_seen);
    print_state(out, &key->state);
    print_account(out, model, key);
}

static void print_pool(FILE *out, const struct model *model, const struct model_pool *pool) {
    const struct pool_record *record = pool->record;
    fprintf(out,
            "pool %" PRIu64 " '%s' vendor %s default %" PRIu64 " revision %" PRIu64
            " strategy %u group '%s' recovery %s %s base_url '%s' guard '%s' created %" PRId64
            " named %" PRIu64 "\n",
            record->id, record->name, record->vendor, record->default_key_id, record->revision,
            record->strategy, record->group, record->exceeded_recovery, record->error_recovery,
            record->base_url, record->guard, record->created_at_ms, pool->keys_named);
    fprintf(out, " keys %u names %zu slots", pool->count, pool->names.count);
    for (uint32_t slot = 0; slot < pool->slot_words * 64; slot++)
        if (pool->slots[slot / 64] >> slot % 64 & 1)
            fprintf(out, " %u", slot);
    fprintf(out, " policies %d/%" PRId64 " %d/%" PRId64 "\n", pool->exceeded_recovery.kind,
            pool->exceeded_recovery.after_ms, pool->error_recovery.kind,
            pool->error_recovery.after_ms);
    for (uint32_t i = 0; i < pool->count; i++)
        print_key(out, model, pool->order[i]);
}

char *model_fixture_snapshot(const struct model *model) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cr_assert_not_null(out);
    fprintf(out, "pools %zu keys %zu next id %" PRIu64 "\n", model->pools.count, model->keys.count,
            model->next_id);
    for (uint64_t id = 1; id < model->next_id; id++) {
        const struct model_pool *pool = model_pool_by_id(model, id);
        if (pool)
            print_pool(out, model, pool);
    }
    cr_assert_eq(fclose(out), 0);
    return text;
}

void model_fixture_expect_same(const char *before, const char *after, const char *what) {
    while (*before && strcmp(before, after) != 0) {
        size_t old_length = strcspn(before, "\n"), new_length = strcspn(after, "\n");
        if (old_length != new_length || memcmp(before, after, old_length) != 0)
            cr_assert_fail("%s:\nwas %.*s\nis  %.*s", what, (int)old_length, before,
                           (int)new_length, after);
        before += old_length + (before[old_length] != '\0');
        after += new_length + (after[new_length] != '\0');
    }
    cr_assert_str_eq(before, after, "%s", what);
}
