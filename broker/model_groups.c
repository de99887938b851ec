/*
 * What keys have in common: vendor accounts, over all pools of a vendor, and endpoints (base URLs)
 * within a pool. Part of the model (model.h): pure; called by model.c when keys come, change and
 * go. Both count their usable keys as these change (model_begin_change), so that a report about
 * one of ten thousand keys that share an account need not look at them to be judged.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "model_text.h"

/* ---- accounts ---- */

static uint64_t account_hash(const struct model_key *key) {
    char text[32 + NAME_MAX_CHARS * 4 + 2];
    snprintf(text, sizeof text, "%s\n%s", key->pool->record->vendor, key->record->account);
    return map_hash(text);
}

static struct model_account *account_in_pool(struct model *model, const struct model_key *key) {
    uint64_t hash = account_hash(key);
    struct model_account *first = map_get(&model->accounts, hash), *account = first;
    while (account && account->pool != key->pool)
        account = account->next;
    if (account)
        return account;
    account = mem_alloc(sizeof *account);
    *account =
        (struct model_account){ .pool = key->pool, .next = first, .failed_mono = TROUBLE_NEVER };
    map_set(&model->accounts, hash, account);
    return account;
}

static void free_account(struct model *model, const struct model_key *key) {
    uint64_t hash = account_hash(key);
    struct model_account *first = map_get(&model->accounts, hash), **link = &first;
    while (*link != key->account)
        link = &(*link)->next;
    *link = key->account->next;
    if (first)
        map_set(&model->accounts, hash, first);
    else
        map_remove(&model->accounts, hash);
    free(key->account);
}

static void link_account(struct model *model, struct model_key *key) {
    bool labelled = key->record->account[0];
    key->own_account = (struct model_account){ .pool = key->pool, .failed_mono = TROUBLE_NEVER };
    struct model_account *account = labelled ? account_in_pool(model, key) : &key->own_account;
    key->account = account;
    key->account_next = account->first;
    key->account_link = &account->first;
    if (account->first)
        account->first->account_link = &key->account_next;
    account->first = key;
    account->changes++;
}

static void unlink_account(struct model *model, struct model_key *key) {
    struct model_account *account = key->account;
    *key->account_link = key->account_next;
    if (key->account_next)
        key->account_next->account_link = key->account_link;
    account->changes++;
    if (!account->first && account != &key->own_account)
        free_account(model, key);
    key->account = NULL;
}

struct model_account *model_account_first(const struct model *model, const struct model_key *key) {
    if (key->account == &key->own_account)
        return key->account;
    return map_get(&model->accounts, account_hash(key));
}

/* ---- endpoints ---- */

/* Most configs name no base_url, and then none is parsed. */
static uint64_t endpoint_hash(const struct model_key *key) {
    const struct model_pool *pool = key->pool;
    const char *url = pool->vendor ? pool->vendor->base_url : "";
    if (pool->record->base_url[0])
        url = pool->record->base_url;
    json_t *config = strstr(key->record->config, "\"base_url\"")
                         ? json_loads(key->record->config, 0, NULL)
                         : NULL;
    const char *own = json_string_value(json_object_get(config, "base_url"));
    uint64_t hash = map_hash(own && *own ? own : url);
    json_decref(config);
    return hash;
}

static void link_endpoint(struct model_key *key) {
    uint64_t hash = endpoint_hash(key);
    struct model_endpoint *endpoint = map_get(&key->pool->endpoints, hash);
    if (!endpoint) {
        endpoint = mem_alloc(sizeof *endpoint);
        *endpoint = (struct model_endpoint){ .hash = hash, .worked_mono = TROUBLE_NEVER };
        map_set(&key->pool->endpoints, hash, endpoint);
    }
    endpoint->keys++;
    key->endpoint = endpoint;
}

static void unlink_endpoint(struct model_key *key) {
    struct model_endpoint *endpoint = key->endpoint;
    key->endpoint = NULL;
    if (--endpoint->keys)
        return;
    map_remove(&key->pool->endpoints, endpoint->hash);
    free(endpoint);
}

/* ---- both ---- */

void model_link_groups(struct model *model, struct model_key *key) {
    link_account(model, key);
    link_endpoint(key);
}

void model_unlink_groups(struct model *model, struct model_key *key) {
    unlink_account(model, key);
    unlink_endpoint(key);
}

void model_move_endpoint(struct model_key *key) {
    model_begin_change(key);
    unlink_endpoint(key);
    link_endpoint(key);
    model_end_change(key);
}

void model_free_accounts(struct model *model) {
    size_t i = 0;
    for (struct model_account *account; (account = map_next(&model->accounts, &i));)
        for (struct model_account *next; account; account = next) {
            next = account->next;
            free(account);
        }
    map_deinit(&model->accounts);
}

void model_free_endpoints(struct model_pool *pool) {
    size_t i = 0;
    for (struct model_endpoint *endpoint; (endpoint = map_next(&pool->endpoints, &i));)
        free(endpoint);
    map_deinit(&pool->endpoints);
}
