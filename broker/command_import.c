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

#include "import_document.h"
#include "keyconfig.h"
#include "memory.h"
#include "rule_lines.h"
#include "server.h"
#include "session.h"
#include "timetext.h"

enum {
    KEYS_AT_A_TIME = 2, /* before a pause: some tens of microseconds each */
    FREED_AT_A_TIME = 64,
    CHANGE_MAX = 128, /* of a line that tells what changes of a key */
};

enum import_mode { IMPORT_CREATE, IMPORT_MERGE, IMPORT_REPLACE };

struct import {
    struct request *request;
    enum import_mode mode;
    bool dry_run, twins_are_fine;
    struct import_document document;
    struct map names;       /* map_hash(name) → anything: those that the document uses */
    struct map mine;        /* key id → model_key: the pool's keys that the document names */
    size_t default_index;   /* in the document */
    struct model_key **key; /* by the index in the document; NULL = not there yet */
    bool *entered;          /* … and whether its secret is new to it */
    struct model_pool *pool;
    bool added_pool;
    char *rules;     /* the document's, joined; NULL = none given */
    size_t masked;   /* keys that show masks in place of secrets */
    json_t *changes; /* lines */
    struct refusal *refusal;
};

static const struct pause *pause_of(const struct import *import) {
    return &import->request->server->model->pause;
}

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

/* ---- what the document says, before anything is changed ---- */

static int check_mask(struct import *import, const struct model_key *key, const json_t *config) {
    const char *shown = json_string_value(json_object_get(config, "api_key"));
    char *mask = NULL;
    if (key && shown && strstr(shown, "\xe2\x80\xa6")) {
        json_t *own = keyconfig_masked(key->record->config, key->pool->vendor);
        mask = mem_strdup(json_string_value(json_object_get(own, "api_key")));
        json_decref(own);
    }
    bool other = key ? mask && strcmp(mask, shown) != 0 : keyconfig_has_masks(config);
    free(mask);
    if (!other)
        return 0;
    return refuse(import->refusal, REFUSED_RULE, "masked-secret", "keys",
                  "the document shows only a mask of a secret that %s not have: make it with "
                  "export POOL secrets=yes",
                  key ? "the pool's key does" : "the pool does");
}

static int survey_key(struct import *import, size_t index) {
    json_t *object = import_document_key(&import->document, index, import->refusal);
    if (!object)
        return import->refusal->code;
    int refused = 0;
    const char *name = text_of(object, "name");
    struct model_key *key = NULL;
    if (name && import->pool)
        key = model_find_key(import->request->server->model, import->pool, name);
    if (name && (map_get(&import->names, map_hash(name)) ||
                 (key && map_get(&import->mine, key->record->id))))
        refused = refuse(import->refusal, REFUSED_SYNTAX, "duplicate-key", "keys",
                         "the document names %.100s twice", name);
    if (!refused)
        refused = check_mask(import, key, json_object_get(object, "config"));
    if (name)
        map_set(&import->names, map_hash(name), import);
    if (key)
        map_set(&import->mine, key->record->id, key);
    import->key[index] = key;
    import->masked += keyconfig_has_masks(json_object_get(object, "config"));
    if (json_is_true(json_object_get(object, "default")) &&
        import->default_index == import->document.count)
        import->default_index = index;
    json_decref(object);
    return refused;
}

static int survey(struct import *import) {
    int refused = 0;
    size_t count = import->document.count;
    import->default_index = count;
    import->key = mem_resize(NULL, count + 1, sizeof(struct model_key *));
    memset(import->key, 0, (count + 1) * sizeof(struct model_key *));
    import->entered = mem_alloc(count + 1);
    map_reserve(&import->names, count);
    map_reserve(&import->mine, count);
    for (size_t i = 0; i < count && !refused; i++) {
        if (i % KEYS_AT_A_TIME == 0)
            pause_take(pause_of(import));
        refused = survey_key(import, i);
    }
    if (import->default_index == count)
        import->default_index = 0;
    return refused;
}

/* ---- keys ---- */

/* A key's object as a spec, which borrows from it. */
static int key_spec(struct import *import, const json_t *object, struct key_spec *spec) {
    *spec = (struct key_spec){ .name = text_of(object, "name"),
                               .account = text_of(object, "account"),
                               .note = text_of(object, "note"),
                               .config = json_object_get(object, "config"),
                               .taken = &import->names,
                               .past_expiry_is_fine = true,
                               .twin_is_fine = true }; /* judged when all are there */
    const json_t *expires = json_object_get(object, "expires_at");
    const char *time = json_string_value(expires);
    if (time && !timetext_parse(time, import->request->cause.now.wall_ms, &spec->expires_at_ms))
        return refuse_import(import, "expires_at", "expires_at: an RFC 3339 time or null");
    spec->has_expires = expires != NULL;
    spec->weight = (uint32_t)json_integer_value(json_object_get(object, "weight"));
    keyconfig_drop_masks(spec->config);
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

static int import_new_key(struct import *import, size_t index, struct key_spec *spec,
                          const json_t *object) {
    struct request *request = import->request;
    int refused = model_add_key(request->server->model, &request->cause, import->pool, spec,
                                &request->set, import->refusal);
    if (refused)
        return refused;
    struct model_key *key = import->pool->order[import->pool->count - 1];
    import->key[index] = key;
    import->entered[index] = true;
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
static bool reduce(const struct import *import, const struct model_key *key, struct key_spec *spec,
                   char what[CHANGE_MAX]) {
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
    char told[TIMETEXT_TOLD_SIZE];
    timetext_tell(spec->expires_at_ms, import->request->cause.now.wall_ms, told);
    snprintf(what, CHANGE_MAX, "%s%s%s%s%s%s", spec->account ? ", account" : "",
             spec->note ? ", note" : "", spec->weight ? ", weight" : "",
             spec->config ? ", config" : "", spec->has_expires ? ", expires " : "",
             spec->has_expires ? told : "");
    size_t length = strlen(what);
    if (length)
        memmove(what, what + 2, length - 1);
    spec->name = NULL;
    return length > 0;
}

static int import_known_key(struct import *import, size_t index, struct key_spec *spec,
                            const json_t *object) {
    struct request *request = import->request;
    struct model_key *key = import->key[index];
    uint64_t secret = key->digest;
    char what[CHANGE_MAX];
    int refused = 0;
    if (reduce(import, key, spec, what)) {
        tell(import, "~", key->record->name, what);
        refused = model_set_key(request->server->model, &request->cause, key, spec, &request->set,
                                import->refusal);
    }
    import->entered[index] = key->digest != secret;
    return refused ? refused : set_disabled(import, key, object);
}

static int import_key(struct import *import, size_t index) {
    struct key_spec spec;
    json_t *object = import_document_key(&import->document, index, import->refusal);
    if (!object)
        return import->refusal->code;
    int refused = key_spec(import, object, &spec);
    if (!refused && import->added_pool && index == import->default_index) {
        refused = set_disabled(import, import->key[index], object); /* came with the pool */
    } else if (!refused) {
        refused = import->key[index] ? import_known_key(import, index, &spec, object)
                                     : import_new_key(import, index, &spec, object);
    }
    json_decref(object);
    return refused;
}

/* ---- the pool ---- */

/* The document's rules as a pool keeps them; whether they are rules is judged with the rest. */
static int read_rules(struct import *import) {
    const json_t *rules = json_object_get(import->document.settings, "rules");
    if (!rules || json_is_null(rules))
        return 0;
    import->rules = rule_lines_from_json(rules);
    return import->rules ? 0 : refuse_import(import, "rules", "rules: an array of rule lines");
}

/* With the document's default key. */
static int add_pool(struct import *import, const struct pool_spec *spec) {
    struct request *request = import->request;
    struct key_spec key;
    size_t index = import->default_index;
    json_t *object = import_document_key(&import->document, index, import->refusal);
    if (!object)
        return import->refusal->code;
    int refused = key_spec(import, object, &key);
    if (!refused)
        refused = model_add_pool(request->server->model, &request->cause, spec, &key, &request->set,
                                 import->refusal);
    json_decref(object);
    if (refused)
        return refused;
    import->pool = model_find_pool(request->server->model, spec->name);
    assert(import->pool);
    import->added_pool = true;
    import->key[index] = import->pool->order[0];
    import->entered[index] = true;
    tell(import, "+ pool", spec->name, spec->vendor);
    tell(import, "+", import->pool->order[0]->record->name, "default key");
    return 0;
}

static int import_new_pool(struct import *import) {
    struct request *request = import->request;
    const json_t *settings = import->document.settings;
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
    if (!import->document.count)
        return refuse_import(import, "keys", "no keys: a pool has at least its default key");
    int refused = add_pool(import, &spec);
    if (refused)
        return refused;
    if (import->dry_run)
        return 0;
    refused = server_open_outlet(request->server, import->pool, import->refusal);
    if (!refused)
        request->opened_pool = import->pool->record->id;
    return refused;
}

/* replace: what the document does not have goes, except the default key. */
static int delete_others(struct import *import) {
    struct request *request = import->request;
    struct model_pool *pool = import->pool;
    int refused = 0;
    model_loosen(pool);
    for (uint32_t i = pool->count; i-- > 0 && !refused;) { /* the last one fills a gap */
        pause_at(pause_of(import), i);
        struct model_key *key = pool->order[i];
        if (model_is_default(key) || map_get(&import->mine, key->record->id))
            continue;
        tell(import, "-", key->record->name, "");
        refused = model_delete_key(request->server->model, &request->cause, key, &request->set,
                                   import->refusal);
    }
    model_tidy(request->server->model, pool);
    return refused;
}

/* The order is the document's; what it does not have stands behind. */
static int take_order(struct import *import) {
    struct request *request = import->request;
    struct model_pool *pool = import->pool;
    struct model_key **order = mem_resize(NULL, pool->count, sizeof(struct model_key *));
    struct map placed = { 0 };
    uint32_t count = 0;
    map_reserve(&placed, pool->count);
    for (size_t i = 0; i < import->document.count; i++) {
        pause_at(pause_of(import), i);
        order[count++] = import->key[i];
        map_set(&placed, import->key[i]->record->id, import->key[i]);
    }
    for (uint32_t i = 0; i < pool->count; i++) {
        pause_at(pause_of(import), i);
        if (!map_get(&placed, pool->order[i]->record->id))
            order[count++] = pool->order[i];
    }
    map_deinit(&placed);
    size_t before = request->set.count;
    int refused = model_order_keys(request->server->model, &request->cause, pool, order, count,
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
    const json_t *settings = import->document.settings;
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
    if (!refused && spec.group)
        refused = server_check_group(request->server, spec.group, import->refusal);
    return refused;
}

/* ---- all of it ---- */

/* Judged by what the pool is in the end: a document may give one key's secret to another. */
static int check_twins(struct import *import) {
    for (size_t i = 0; i < import->document.count; i++) {
        pause_at(pause_of(import), i);
        const struct model_key *key = import->key[i], *twin = model_twin(key);
        if (import->entered[i] && twin)
            return refuse(import->refusal, REFUSED_RULE, "duplicate-secret", "keys",
                          "%.80s and %.80s would have the same API key, and where one fails so "
                          "does the other; duplicate=allow takes it nevertheless",
                          key->record->name, twin->record->name);
    }
    return 0;
}

/* The pool as the document has it, but for its keys. */
static int prepare_pool(struct import *import) {
    struct request *request = import->request;
    if (!import->pool)
        return import_new_pool(import);
    if (import->mode == IMPORT_CREATE)
        return refuse(import->refusal, REFUSED_RULE, "pool-exists", "POOL",
                      "there is a pool %.48s already: mode=merge or mode=replace",
                      request->arguments[0]);
    int refused = request_pool(request, &import->pool, import->refusal); /* its revision */
    if (!refused)
        refused = import_settings(import);
    if (!refused && import->mode == IMPORT_REPLACE)
        refused = delete_others(import);
    return refused;
}

static int carry_out(struct import *import) {
    int refused = prepare_pool(import);
    assert(refused || import->pool);
    if (!refused)
        model_expect(import->request->server->model, import->pool, import->document.count);
    for (size_t i = 0; i < import->document.count && !refused; i++) {
        if (i % KEYS_AT_A_TIME == 0)
            pause_take(pause_of(import));
        refused = import_key(import, i);
    }
    if (!refused && (import->mode == IMPORT_REPLACE || import->added_pool))
        refused = take_order(import);
    if (!refused && !import->twins_are_fine)
        refused = check_twins(import);
    return refused;
}

static int read_document(struct import *import) {
    struct request *request = import->request;
    struct json_part text = { request->payload, request->payload_length };
    int refused = import_document_read(&import->document, text, pause_of(import), import->refusal);
    if (!refused && import->mode != IMPORT_MERGE && !import->document.count)
        refused = refuse_import(import, "keys", "no keys: a pool has at least its default key");
    if (!refused)
        refused = read_rules(import);
    return refused;
}

static json_t *report(const struct import *import) {
    const struct request *request = import->request;
    size_t count = json_array_size(import->changes);
    const char *masked =
        import->masked ? "; the document's secrets are masked: the keys keep what they have" : "";
    json_t *body =
        request_message("%s: %zu change%s %s%s", request->arguments[0], count,
                        count == 1 ? "" : "s", import->dry_run ? "would be made" : "made", masked);
    json_object_set(body, "changes", import->changes);
    json_object_set_new(body, "applied", json_boolean(!import->dry_run));
    json_object_set_new(body, "masked", json_integer((json_int_t)import->masked));
    json_object_set_new(body, "revision", json_integer((json_int_t)import->pool->record->revision));
    return body;
}

/* What was tried, and what was told of it: ten thousand of them take milliseconds to free. */
static void take_back(struct import *import) {
    struct changeset *set = &import->request->set;
    model_undo(import->request->server->model, set);
    while (set->count > FREED_AT_A_TIME) {
        pause_take(pause_of(import));
        changeset_truncate(set, set->count - FREED_AT_A_TIME);
    }
    changeset_deinit(set);
    for (size_t i = json_array_size(import->changes); !import->request->body && i-- > 0;) {
        pause_at(pause_of(import), i);
        json_array_remove(import->changes, i);
    }
}

int command_import(struct request *request, struct refusal *refusal) {
    struct import import = { .request = request,
                             .refusal = refusal,
                             .pool = model_find_pool(request->server->model, request->arguments[0]),
                             .changes = json_array() };
    int refused = read_mode(&import);
    if (!refused)
        refused = read_document(&import);
    if (!refused)
        refused = survey(&import);
    if (!refused)
        refused = carry_out(&import);
    if (!refused)
        request->body = report(&import);
    if (refused || import.dry_run)
        take_back(&import);
    map_deinit(&import.names);
    map_deinit(&import.mine);
    free(import.key);
    free(import.entered);
    free(import.rules);
    json_decref(import.changes);
    import_document_deinit(&import.document);
    return refused;
}
