/*
 * import: what export printed, back in, all or nothing. Part of the commands (command.h). Carried
 * out by the same rules as single commands; what it changes is told line by line, and a dry run is
 * undone after the telling.
 */
#include "command.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyconfig.h"
#include "memory.h"
#include "rule_lines.h"
#include "server.h"
#include "session.h"
#include "timetext.h"

/* What may be done before reports are let in: some tens of microseconds each. */
enum { KEYS_AT_A_TIME = 2, NAMES_AT_A_TIME = 64, BYTES_AT_A_TIME = 4 * 1024 };

enum import_mode { IMPORT_CREATE, IMPORT_MERGE, IMPORT_REPLACE };

struct import {
    struct request *request;
    enum import_mode mode;
    bool dry_run;
    json_t *document;
    const json_t *keys;
    struct model_pool *pool;
    bool added_pool;
    char *rules;        /* the document's, joined; NULL = none given */
    struct map named;   /* key id → model_key: those that the document names */
    struct map unnamed; /* the same: those that it adds without a name */
    struct map entered; /* the same: those whose secret is new to them */
    bool twins_are_fine;
    json_t *changes; /* lines */
    struct refusal *refusal;
};

static void tell(struct import *import, const char *sign, const char *name, const char *what) {
    char *line =
        mem_printf("%s %s%s%s%s", sign, name, what[0] ? " (" : "", what, what[0] ? ")" : "");
    json_array_append_new(import->changes, json_string(line));
    free(line);
}

static int refuse_import(struct import *import, const char *field, const char *message) {
    return refuse(import->refusal, REFUSED_SYNTAX, "bad-import", field, "%s", message);
}

/* NULL if it is absent or no string. */
static const char *text_of(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

/* The payload on its way into the parser. */
struct feed {
    struct server *server;
    const char *at;
    size_t left;
    size_t since; /* bytes since reports were let in */
};

static size_t feed_parser(void *buffer, size_t room, void *data) {
    struct feed *feed = data;
    size_t length = feed->left < room ? feed->left : room;
    feed->since += length;
    if (feed->since > BYTES_AT_A_TIME) {
        feed->since = 0;
        server_pause(feed->server);
    }
    memcpy(buffer, feed->at, length);
    feed->at += length;
    feed->left -= length;
    return length;
}

static int read_document(struct import *import) {
    json_error_t error;
    struct feed feed = { .server = import->request->server,
                         .at = import->request->payload,
                         .left = import->request->payload_length };
    import->document = json_load_callback(feed_parser, &feed, JSON_REJECT_DUPLICATES, &error);
    if (!import->document)
        return refuse(import->refusal, REFUSED_SYNTAX, "bad-json", "",
                      "the payload is no JSON: line %d, column %d", error.line, error.column);
    import->keys = json_object_get(import->document, "keys");
    json_int_t format = json_integer_value(json_object_get(import->document, "format"));
    if (!json_is_array(import->keys) || (format != 0 && format != EXPORT_FORMAT))
        return refuse_import(import, "", "the payload is not what export prints");
    if (import->mode != IMPORT_MERGE && !json_array_size(import->keys))
        return refuse_import(import, "keys", "no keys: a pool has at least its default key");
    return 0;
}

static int read_mode(struct import *import) {
    static const char *const NAMES[] = { "create", "merge", "replace" };
    const char *mode = request_option(import->request, "mode");
    import->mode = IMPORT_CREATE;
    for (unsigned i = 0; mode && i < 3; i++)
        if (strcmp(mode, NAMES[i]) == 0) {
            import->mode = (enum import_mode)i;
            mode = NULL;
        }
    if (mode)
        return refuse(import->refusal, REFUSED_SYNTAX, "bad-mode", "mode",
                      "mode: create, merge or replace");
    if (import->request->argument_count == 2) {
        if (strcmp(import->request->arguments[1], "dry-run") != 0)
            return refuse(import->refusal, REFUSED_SYNTAX, "wrong-arguments", "", "usage: %s %s",
                          import->request->command->words, import->request->command->usage);
        import->dry_run = true;
    }
    return request_duplicate(import->request, &import->twins_are_fine, import->refusal);
}

/* Where export shows a secret, it shows nothing but this (of an api_key a little more). */
static const char MASK[] = "\xe2\x80\xa6";

static bool is_masked(const json_t *value) {
    const char *text = json_string_value(value), *name;
    json_t *item;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (is_masked(json_array_get(value, i)))
            return true;
    if (json_is_object(value))
        json_object_foreach((json_t *)(uintptr_t)value, name, item) {
            if (is_masked(item))
                return true;
        }
    /* cppcheck-suppress missingReturn ; it takes jansson's loop for a function */
    return text && strcmp(text, MASK) == 0;
}

/* Leave out what export masked, so that it stays what it is. */
static void drop_masked(json_t *config) {
    const char *name, *secret = text_of(config, "api_key");
    json_t *value;
    void *next;
    if (secret && strstr(secret, MASK))
        json_object_del(config, "api_key");
    json_object_foreach_safe(config, next, name, value) {
        if (json_is_object(value))
            drop_masked(value);
        else if (is_masked(value))
            json_object_del(config, name);
    }
}

static int check_types(struct import *import, const json_t *object) {
    static const char *const TEXTS[] = { "name", "account", "note", "expires_at" };
    static const char *const SWITCHES[] = { "disabled", "default" };
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        const json_t *value = json_object_get(object, TEXTS[i]);
        if (value && !json_is_string(value) && !json_is_null(value))
            return refuse_import(import, TEXTS[i], "a text or a time is a JSON string");
    }
    for (size_t i = 0; i < sizeof SWITCHES / sizeof *SWITCHES; i++) {
        const json_t *value = json_object_get(object, SWITCHES[i]);
        if (value && !json_is_boolean(value))
            return refuse_import(import, SWITCHES[i], "disabled and default are true or false");
    }
    const json_t *weight = json_object_get(object, "weight");
    json_int_t number = json_integer_value(weight);
    if (weight && (!json_is_integer(weight) || number < 1 || number > WEIGHT_MAX))
        return refuse_import(import, "weight", "a weight is a whole number from 1 to 1000");
    return 0;
}

/* A key's object as a spec; config is borrowed from the document. */
static int key_spec(struct import *import, const json_t *object, struct key_spec *spec) {
    *spec = (struct key_spec){ .name = text_of(object, "name"),
                               .account = text_of(object, "account"),
                               .note = text_of(object, "note"),
                               .config = json_object_get(object, "config"),
                               .past_expiry_is_fine = true,
                               .twin_is_fine = true }; /* judged when all are there */
    if (!json_is_object(object) || !json_is_object(spec->config))
        return refuse_import(import, "keys", "every key is an object with a config object");
    int refused = check_types(import, object);
    if (refused)
        return refused;
    const json_t *expires = json_object_get(object, "expires_at");
    const char *time = json_string_value(expires);
    if (time && !timetext_parse(time, import->request->cause.now.wall_ms, &spec->expires_at_ms))
        return refuse_import(import, "expires_at", "expires_at: an RFC 3339 time or null");
    spec->has_expires = expires != NULL;
    spec->weight = (uint32_t)json_integer_value(json_object_get(object, "weight"));
    drop_masked(spec->config);
    return 0;
}

static int set_disabled(struct import *import, struct model_key *key, const json_t *object) {
    struct request *request = import->request;
    const json_t *disabled = json_object_get(object, "disabled");
    bool is = key->state.status == KB_STATUS_DISABLED, want = json_is_true(disabled);
    if (!want && (!disabled || !is))
        return 0;
    if (is == want || model_status(key, request->cause.now.wall_ms) == KB_STATUS_EXPIRED)
        return 0;
    tell(import, "~", key->record->name, want ? "disabled" : "enabled");
    return want ? model_disable_key(request->server->model, &request->cause, key, &request->set,
                                    import->refusal)
                : model_enable_key(request->server->model, &request->cause, key, &request->set,
                                   import->refusal);
}

static int import_new_key(struct import *import, struct key_spec *spec, const json_t *object) {
    struct request *request = import->request;
    int refused = model_add_key(request->server->model, &request->cause, import->pool, spec,
                                &request->set, import->refusal);
    if (refused)
        return refused;
    struct model_key *key = import->pool->order[import->pool->count - 1];
    map_set(spec->name ? &import->named : &import->unnamed, key->record->id, key);
    map_set(&import->entered, key->record->id, key);
    tell(import, "+", key->record->name, "");
    return set_disabled(import, key, object);
}

/* Would the key have another configuration? Judged by what it would be stored as; one that would be
 * refused is left to the rules. */
static bool changes_config(const struct model_key *key, const json_t *patch) {
    const struct model_pool *pool = key->pool;
    const struct vendor *vendor = pool->vendor ? pool->vendor : vendor_find("generic");
    struct refusal ignored;
    json_t *old = json_loads(key->record->config, 0, NULL), *merged = json_deep_copy(old);
    keyconfig_merge(merged, patch);
    bool changes = !json_equal(old, merged) &&
                   (keyconfig_check(merged, vendor, pool->record->base_url, &ignored) ||
                    !json_equal(old, merged));
    json_decref(merged);
    json_decref(old);
    return changes;
}

/* Leave only what differs in the spec, so that an import of what is there changes nothing. */
static bool reduce(const struct model_key *key, struct key_spec *spec, char what[REASON_MAX]) {
    const struct key_record *record = key->record;
    if (spec->account && strcmp(spec->account, record->account) == 0)
        spec->account = NULL;
    if (spec->note && strcmp(spec->note, record->note) == 0)
        spec->note = NULL;
    if (spec->weight == record->weight)
        spec->weight = 0;
    if (spec->has_expires && spec->expires_at_ms == record->expires_at_ms)
        spec->has_expires = false;
    if (!changes_config(key, spec->config))
        spec->config = NULL;
    snprintf(what, REASON_MAX, "%s%s%s%s%s", spec->account ? "account " : "",
             spec->note ? "note " : "", spec->weight ? "weight " : "",
             spec->has_expires ? "expires " : "", spec->config ? "config " : "");
    size_t length = strlen(what);
    if (length)
        what[length - 1] = '\0';
    spec->name = NULL;
    return length > 0;
}

static bool is_documents(const struct import *import, const struct model_key *key) {
    return map_get(&import->named, key->record->id) || map_get(&import->unnamed, key->record->id);
}

static int import_key(struct import *import, const json_t *object) {
    struct request *request = import->request;
    struct key_spec spec;
    int refused = key_spec(import, object, &spec);
    if (refused)
        return refused;
    struct model_key *key =
        spec.name ? model_find_key(request->server->model, import->pool, spec.name) : NULL;
    if (!key)
        return import_new_key(import, &spec, object);
    if (is_documents(import, key))
        return refuse(import->refusal, REFUSED_SYNTAX, "duplicate-key", "keys",
                      "the document names %.100s twice", spec.name);
    map_set(&import->named, key->record->id, key);
    uint64_t secret = key->digest;
    char what[REASON_MAX];
    if (reduce(key, &spec, what)) {
        tell(import, "~", key->record->name, what);
        refused = model_set_key(request->server->model, &request->cause, key, &spec, &request->set,
                                import->refusal);
    }
    if (key->digest != secret)
        map_set(&import->entered, key->record->id, key);
    return refused ? refused : set_disabled(import, key, object);
}

static const json_t *default_key_of(const struct import *import) {
    for (size_t i = 0; i < json_array_size(import->keys); i++)
        if (json_is_true(json_object_get(json_array_get(import->keys, i), "default")))
            return json_array_get(import->keys, i);
    return json_array_get(import->keys, 0);
}

/* The document's rules as a pool keeps them; whether they are rules is judged with the rest. */
static int read_rules(struct import *import) {
    const json_t *rules = json_object_get(json_object_get(import->document, "pool"), "rules");
    if (!rules || json_is_null(rules))
        return 0;
    import->rules = rule_lines_from_json(rules);
    return import->rules ? 0 : refuse_import(import, "rules", "rules: an array of rule lines");
}

static int import_new_pool(struct import *import) {
    struct request *request = import->request;
    const json_t *settings = json_object_get(import->document, "pool");
    const char *strategy = text_of(settings, "strategy"), *vendor = text_of(settings, "vendor");
    if (!strategy)
        strategy = "priority";
    struct pool_spec spec = { .name = request->arguments[0],
                              .vendor = vendor,
                              .group = text_of(settings, "group"),
                              .exceeded_recovery = text_of(settings, "exceeded_recovery"),
                              .error_recovery = text_of(settings, "error_recovery"),
                              .base_url = text_of(settings, "base_url"),
                              .guard = text_of(settings, "guard"),
                              .rules = import->rules,
                              .strategy = model_strategy_parse(strategy) };
    if (!vendor)
        return refuse_import(import, "pool", "a new pool needs pool.vendor");
    if (!spec.strategy || (json_object_get(settings, "strategy") && !text_of(settings, "strategy")))
        return refuse_import(import, "strategy", "strategy: priority or spread");
    struct key_spec key;
    const json_t *first = default_key_of(import);
    if (!first)
        return refuse_import(import, "keys", "no keys: a pool has at least its default key");
    int refused = key_spec(import, first, &key);
    if (!refused)
        refused = model_add_pool(request->server->model, &request->cause, &spec, &key,
                                 &request->set, import->refusal);
    if (refused)
        return refused;
    import->pool = model_find_pool(request->server->model, spec.name);
    assert(import->pool);
    import->added_pool = true;
    if (key.name)
        map_set(&import->named, import->pool->order[0]->record->id, import->pool->order[0]);
    map_set(&import->entered, import->pool->order[0]->record->id, import->pool->order[0]);
    tell(import, "+ pool", spec.name, vendor);
    tell(import, "+", import->pool->order[0]->record->name, "default key");
    if (import->dry_run)
        return 0;
    refused = server_open_outlet(request->server, import->pool, import->refusal);
    if (!refused)
        request->opened_pool = import->pool->record->id;
    return refused;
}

/* replace: what the document does not have goes, except the default key, and the order is the
 * document's. */
static int import_rest(struct import *import) {
    struct request *request = import->request;
    struct model_pool *pool = import->pool;
    int refused = 0;
    model_loosen(pool);
    for (uint32_t i = pool->count; i-- > 0 && !refused;) { /* the last one fills a gap */
        pause_at(&request->server->model->pause, i);
        struct model_key *key = pool->order[i];
        if (model_is_default(key) || is_documents(import, key))
            continue;
        tell(import, "-", key->record->name, "");
        refused = model_delete_key(request->server->model, &request->cause, key, &request->set,
                                   import->refusal);
    }
    model_tidy(request->server->model, pool);
    struct model_key **order = mem_resize(NULL, pool->count, sizeof(struct model_key *));
    uint32_t count = 0;
    for (size_t i = 0; i < json_array_size(import->keys) && !refused; i++) {
        if (i % NAMES_AT_A_TIME == 0)
            server_pause(request->server);
        const char *name = text_of(json_array_get(import->keys, i), "name");
        struct model_key *key = name ? model_find_key(request->server->model, pool, name) : NULL;
        if (key && count < pool->count)
            order[count++] = key;
    }
    /* What has no name in the document stands behind, in the order that it has. */
    for (uint32_t i = 0; i < pool->count && count < pool->count; i++)
        if (!map_get(&import->named, pool->order[i]->record->id))
            order[count++] = pool->order[i];
    size_t before = request->set.count;
    if (!refused)
        refused = model_order_keys(request->server->model, &request->cause, pool, order, count,
                                   &request->set, import->refusal);
    if (!refused && request->set.count > before)
        tell(import, "~", "order", "");
    free(order);
    return refused;
}

static bool differs(const json_t *settings, const char *name, const char *now, const char **ret) {
    const char *text = text_of(settings, name);
    *ret = text && strcmp(text, now) != 0 ? text : NULL;
    return *ret != NULL;
}

/* Is the address, once tidied, what the pool has? */
static bool same_address(const char *text, const char *now) {
    struct refusal ignored;
    char *tidy;
    if (keyconfig_check_base_url(text, &tidy, &ignored))
        return false;
    bool same = strcmp(tidy, now) == 0;
    free(tidy);
    return same;
}

/* A pool that is there takes the document's settings, where it has any. */
static int import_settings(struct import *import) {
    struct request *request = import->request;
    const json_t *settings = json_object_get(import->document, "pool");
    assert(import->pool);
    const struct pool_record *record = import->pool->record;
    struct pool_spec spec = { 0 };
    const char *strategy, *vendor;
    if (differs(settings, "vendor", record->vendor, &vendor))
        return refuse(import->refusal, REFUSED_RULE, "other-vendor", "vendor",
                      "pool %s belongs to vendor %s", record->name, record->vendor);
    bool changed =
        differs(settings, "exceeded_recovery", record->exceeded_recovery, &spec.exceeded_recovery);
    changed |= differs(settings, "error_recovery", record->error_recovery, &spec.error_recovery);
    if (differs(settings, "base_url", record->base_url, &spec.base_url) &&
        same_address(spec.base_url, record->base_url))
        spec.base_url = NULL;
    changed |= spec.base_url != NULL;
    changed |= differs(settings, "guard", record->guard, &spec.guard);
    changed |= differs(settings, "group", record->group, &spec.group);
    if (differs(settings, "strategy", model_strategy_name(record->strategy), &strategy)) {
        changed = true;
        spec.strategy = model_strategy_parse(strategy);
        if (!spec.strategy)
            return refuse_import(import, "strategy", "strategy: priority or spread");
    }
    if (import->rules && strcmp(import->rules, record->rules) != 0) {
        changed = true;
        spec.rules = import->rules;
    }
    if (!changed)
        return 0;
    tell(import, "~ pool", record->name, "settings");
    int refused = model_set_pool(request->server->model, &request->cause, import->pool, &spec,
                                 &request->set, import->refusal);
    if (!refused && spec.group && !import->dry_run)
        refused = server_regroup_outlet(request->server, import->pool, spec.group, import->refusal);
    return refused;
}

/* Judged by what the pool is in the end: a document may give one key's secret to another. */
static int check_twins(struct import *import) {
    size_t i = 0;
    for (const struct model_key *key; (key = map_next(&import->entered, &i));) {
        const struct model_key *twin = model_twin(key);
        if (twin)
            return refuse(import->refusal, REFUSED_RULE, "duplicate-secret", "keys",
                          "%.80s and %.80s would have the same API key, and where one fails so "
                          "does the other; duplicate=allow takes it nevertheless",
                          key->record->name, twin->record->name);
    }
    return 0;
}

static int carry_out(struct import *import) {
    struct request *request = import->request;
    import->pool = model_find_pool(request->server->model, request->arguments[0]);
    int refused = 0;
    if (import->pool && import->mode == IMPORT_CREATE)
        refused = refuse(import->refusal, REFUSED_RULE, "pool-exists", "POOL",
                         "there is a pool %.48s already: mode=merge or mode=replace",
                         request->arguments[0]);
    else if (import->pool)
        refused = request_pool(request, &import->pool, import->refusal); /* its revision */
    else
        refused = import_new_pool(import);
    if (!refused && !import->added_pool)
        refused = import_settings(import);
    assert(refused || import->pool);
    const json_t *done = import->added_pool ? default_key_of(import) : NULL;
    for (size_t i = 0; i < json_array_size(import->keys) && !refused; i++) {
        const json_t *object = json_array_get(import->keys, i);
        if (i % KEYS_AT_A_TIME == 0)
            server_pause(request->server);
        refused = object == done ? set_disabled(import, import->pool->order[0], object)
                                 : import_key(import, object);
    }
    if (!refused && (import->mode == IMPORT_REPLACE || import->added_pool))
        refused = import_rest(import);
    if (!refused && !import->twins_are_fine)
        refused = check_twins(import);
    return refused;
}

/* Ten thousand objects take milliseconds to free, too. */
static void free_document(struct import *import) {
    for (size_t i = json_array_size(import->keys); i-- > 0;) {
        if (i % NAMES_AT_A_TIME == 0)
            server_pause(import->request->server);
        json_array_remove((json_t *)(uintptr_t)import->keys, i);
    }
    json_decref(import->document);
}

int command_import(struct request *request, struct refusal *refusal) {
    struct import import = { .request = request, .refusal = refusal, .changes = json_array() };
    int refused = read_mode(&import);
    if (!refused)
        refused = read_document(&import);
    if (!refused)
        refused = read_rules(&import);
    if (!refused)
        refused = carry_out(&import);
    uint64_t revision = import.pool && !refused ? import.pool->record->revision : 0;
    if (refused || import.dry_run) {
        model_undo(request->server->model, &request->set);
        changeset_deinit(&request->set);
    }
    if (!refused) {
        size_t count = json_array_size(import.changes);
        request->body =
            request_message("%s: %zu change%s%s", request->arguments[0], count,
                            count == 1 ? "" : "s", import.dry_run ? " would be made" : " made");
        json_object_set(request->body, "changes", import.changes);
        json_object_set_new(request->body, "applied", json_boolean(!import.dry_run));
        json_object_set_new(request->body, "revision", json_integer((json_int_t)revision));
    }
    map_deinit(&import.named);
    map_deinit(&import.unnamed);
    map_deinit(&import.entered);
    free(import.rules);
    json_decref(import.changes);
    free_document(&import);
    return refused;
}
