/* add, set, enable, disable, delete, move and order keys. Part of the commands (command.h). */
#include "command.h"

#include <stdlib.h>
#include <string.h>

#include "json_parts.h"
#include "memory.h"
#include "server.h"
#include "timetext.h"
#include "view.h"

enum { NAME_TEXT_MAX = 1024 }; /* bytes of a key's name in JSON, with escapes */

/* ---- add and set ---- */

static int read_key_spec(struct request *request, struct key_spec *spec, struct refusal *refusal) {
    *spec = (struct key_spec){ .name = request_option(request, "name"),
                               .account = request_option(request, "account"),
                               .note = request_option(request, "note") };
    const char *expires = request_option(request, "expires");
    spec->has_expires = expires != NULL;
    if (expires && !timetext_parse(expires, request->cause.now.wall_ms, &spec->expires_at_ms))
        return refuse(refusal, REFUSED_SYNTAX, "bad-time", "expires",
                      "expires: never, 2027-01-31 (to its end), '2027-01-31 12:00', "
                      "2027-01-31T12:00:00Z, or from now +30d, +2w, +1y");
    uint64_t weight = 0;
    int refused = request_number(request, "weight", 1, WEIGHT_MAX, &weight, refusal);
    spec->weight = (uint32_t)weight;
    if (!refused)
        refused = request_duplicate(request, &spec->twin_is_fine, refusal);
    return refused;
}

/* With `expires`, also when the key does: a time that was given is told as it was understood. */
static void say_key_expiring(struct request *request, const struct model_key *key, const char *what,
                             bool expires) {
    const struct pool_record *pool = key->pool->record;
    char told[TIMETEXT_TOLD_SIZE];
    timetext_tell(key->record->expires_at_ms, request->cause.now.wall_ms, told);
    request->body = request_message("%s %s (#%llu) in pool %s%s%s", what, key->record->name,
                                    (unsigned long long)key->record->id, pool->name,
                                    expires ? ", expires " : "", expires ? told : "");
    json_object_set_new(request->body, "key", json_string(key->record->name));
    json_object_set_new(request->body, "id", json_integer((json_int_t)key->record->id));
    json_object_set_new(request->body, "priority", json_integer((json_int_t)key->position + 1));
    json_object_set_new(request->body, "revision", json_integer((json_int_t)pool->revision));
    json_object_set_new(request->body, "expires_at", view_time(key->record->expires_at_ms));
}

static void say_key(struct request *request, const struct model_key *key, const char *what) {
    say_key_expiring(request, key, what, false);
}

int command_add_key(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    struct key_spec spec;
    int refused = request_pool(request, &pool, refusal);
    if (!refused)
        refused = read_key_spec(request, &spec, refusal);
    if (!refused)
        refused = request_config(request, &spec.config, refusal);
    if (refused)
        return refused;
    refused =
        model_add_key(request->server->model, &request->cause, pool, &spec, &request->set, refusal);
    json_decref(spec.config);
    if (!refused)
        say_key_expiring(request, pool->order[pool->count - 1], "added", spec.has_expires);
    return refused;
}

static int read_config(struct request *request, struct key_spec *spec, struct refusal *refusal) {
    const char *how = request_option(request, "config");
    if (!how && !request->payload)
        return 0;
    if (!how || (strcmp(how, "merge") != 0 && strcmp(how, "replace") != 0))
        return refuse(refusal, REFUSED_SYNTAX, "bad-option", "config",
                      "a payload needs config=merge or config=replace");
    if (!request->payload)
        return refuse(refusal, REFUSED_SYNTAX, "missing-payload", "config",
                      "config=%s needs the config as payload", how);
    spec->replace_config = strcmp(how, "replace") == 0;
    return request_config(request, &spec->config, refusal);
}

int command_set_key(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    struct model_key *key;
    struct key_spec spec;
    int refused = request_key(request, &pool, &key, refusal);
    if (!refused)
        refused = read_key_spec(request, &spec, refusal);
    if (!refused)
        refused = read_config(request, &spec, refusal);
    if (refused)
        return refused;
    if (!spec.name && !spec.account && !spec.note && !spec.has_expires && !spec.weight &&
        !spec.config)
        return refuse(refusal, REFUSED_SYNTAX, "missing-option", "", "nothing to set; usage: %s %s",
                      request->command->words, request->command->usage);
    refused =
        model_set_key(request->server->model, &request->cause, key, &spec, &request->set, refusal);
    json_decref(spec.config);
    if (!refused)
        say_key_expiring(request, key, "changed", spec.has_expires);
    return refused;
}

/* ---- status, delete ---- */

int command_enable_key(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    struct model_key *key;
    int refused = request_key(request, &pool, &key, refusal);
    if (!refused)
        refused =
            model_enable_key(request->server->model, &request->cause, key, &request->set, refusal);
    if (!refused)
        say_key(request, key, request->set.count ? "enabled" : "already normal:");
    return refused;
}

int command_disable_key(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    struct model_key *key;
    int refused = request_key(request, &pool, &key, refusal);
    if (!refused)
        refused =
            model_disable_key(request->server->model, &request->cause, key, &request->set, refusal);
    if (!refused)
        say_key(request, key, request->set.count ? "disabled" : "already disabled:");
    return refused;
}

int command_delete_key(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    struct model_key *key;
    int refused = request_key(request, &pool, &key, refusal);
    if (refused)
        return refused;
    struct key_record *record = key_record_ref(key->record);
    refused =
        model_delete_key(request->server->model, &request->cause, key, &request->set, refusal);
    if (!refused) {
        request->body = request_message("deleted %s (#%llu) from pool %s", record->name,
                                        (unsigned long long)record->id, pool->record->name);
        json_object_set_new(request->body, "revision",
                            json_integer((json_int_t)pool->record->revision));
    }
    key_record_unref(record);
    return refused;
}

/* ---- order ---- */

static int other_position(struct request *request, const struct model_key *key, uint32_t *ret,
                          struct refusal *refusal) {
    struct model_key *other =
        model_find_key(request->server->model, key->pool, request->arguments[3]);
    if (!other || other == key)
        return refuse(refusal, REFUSED_NOT_FOUND, "no-such-key", "OTHER",
                      "pool %s has no other key %.100s", key->pool->record->name,
                      request->arguments[3]);
    /* Counted in the order without the key that moves. */
    *ret = other->position - (other->position > key->position ? 1 : 0);
    return 0;
}

static int read_place(struct request *request, const struct model_key *key, uint32_t *ret_index,
                      struct refusal *refusal) {
    const char *place = request->arguments[2];
    bool two = request->argument_count == 4;
    if (!two && strcmp(place, "first") == 0)
        *ret_index = 0;
    else if (!two && strcmp(place, "last") == 0)
        *ret_index = key->pool->count - 1;
    else if (!two && strcmp(place, "up") == 0)
        *ret_index = key->position ? key->position - 1 : 0;
    else if (!two && strcmp(place, "down") == 0)
        *ret_index = key->position + 1;
    else if (two && strcmp(place, "before") == 0)
        return other_position(request, key, ret_index, refusal);
    else if (two && strcmp(place, "after") == 0) {
        int refused = other_position(request, key, ret_index, refusal);
        *ret_index += refused ? 0 : 1;
        return refused;
    } else if (two && strcmp(place, "to") == 0) {
        char *end;
        unsigned long position = strtoul(request->arguments[3], &end, 10);
        if (*end || position < 1 || position > key->pool->count)
            return refuse(refusal, REFUSED_SYNTAX, "bad-position", "N", "a position from 1 to %u",
                          key->pool->count);
        *ret_index = (uint32_t)position - 1;
    } else {
        return refuse(refusal, REFUSED_SYNTAX, "wrong-arguments", "", "usage: %s %s",
                      request->command->words, request->command->usage);
    }
    return 0;
}

int command_move_key(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    struct model_key *key;
    uint32_t index = 0;
    int refused = request_key(request, &pool, &key, refusal);
    if (!refused)
        refused = read_place(request, key, &index, refusal);
    if (!refused)
        refused = model_move_key(request->server->model, &request->cause, key, index, &request->set,
                                 refusal);
    if (!refused)
        say_key(request, key, request->set.count ? "moved" : "already there:");
    return refused;
}

/* An order as it is read: it ends as soon as it can't be one. */
struct order {
    struct request *request;
    struct model_pool *pool;
    struct model_key **keys;
    uint32_t count;
    struct refusal *refusal;
};

static int take_name(struct order *order, const char *name) {
    struct model_key *key =
        name ? model_find_key(order->request->server->model, order->pool, name) : NULL;
    if (!key)
        return refuse(order->refusal, REFUSED_NOT_FOUND, "no-such-key", "KEY",
                      "pool %s has no key %.100s", order->pool->record->name,
                      name ? name : "of that kind");
    if (order->count == order->pool->count)
        return refuse(order->refusal, REFUSED_RULE, "incomplete-order", "KEY",
                      "the order names more than the %u keys that the pool has: name every key "
                      "once",
                      order->pool->count);
    order->keys[order->count++] = key;
    return 0;
}

static int refuse_payload(struct order *order) {
    return refuse(order->refusal, REFUSED_SYNTAX, "bad-payload", "",
                  "the payload is a JSON array of key names, and replaces them in the line");
}

static int read_payload(struct order *order) {
    const struct pause *pause = &order->request->server->model->pause;
    struct json_part text = { order->request->payload, order->request->payload_length }, part;
    struct json_parts parts;
    enum json_parts_next next;
    if (order->request->argument_count > 1 || !json_parts_begin(&parts, text, '[', pause))
        return refuse_payload(order);
    while ((next = json_parts_next(&parts, NULL, &part)) == JSON_PART) {
        json_error_t error;
        bool is_name = *part.at == '"' && part.length <= NAME_TEXT_MAX;
        json_t *name = is_name ? json_part_load(part, &error) : NULL;
        int refused =
            is_name && !name ? refuse_payload(order) : take_name(order, json_string_value(name));
        json_decref(name);
        if (refused)
            return refused;
        pause_at(pause, order->count);
    }
    return next == JSON_PARTS_END ? 0 : refuse_payload(order);
}

/* The order's names come as words or as a JSON array. */
static int read_order(struct order *order) {
    int refused = 0;
    if (order->request->payload)
        return read_payload(order);
    for (size_t i = 1; i < order->request->argument_count && !refused; i++)
        refused = take_name(order, order->request->arguments[i]);
    return refused;
}

int command_order_keys(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    int refused = request_pool(request, &pool, refusal);
    if (refused)
        return refused;
    struct order order = { .request = request, .pool = pool, .refusal = refusal };
    order.keys = mem_resize(NULL, pool->count, sizeof(struct model_key *));
    refused = read_order(&order);
    if (!refused)
        refused = model_order_keys(request->server->model, &request->cause, pool, order.keys,
                                   order.count, &request->set, refusal);
    free(order.keys);
    if (!refused) {
        request->body = request_message("pool %s is ordered, at revision %llu", pool->record->name,
                                        (unsigned long long)pool->record->revision);
        json_object_set_new(request->body, "revision",
                            json_integer((json_int_t)pool->record->revision));
    }
    return refused;
}
