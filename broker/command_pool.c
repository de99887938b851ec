/* add, set and delete pool. Part of the commands (command.h): arguments in, rules applied, messages
 * out. */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyconfig.h"
#include "memory.h"
#include "server.h"

static int read_strategy(const char *text, uint32_t *ret, struct refusal *refusal) {
    *ret = text ? model_strategy_parse(text) : 0;
    if (!text || *ret)
        return 0;
    return refuse(refusal, REFUSED_SYNTAX, "bad-strategy", "strategy",
                  "strategy: priority or spread");
}

static int check_group(const char *group, struct refusal *refusal) {
    gid_t gid;
    return group ? server_find_group(group, &gid, refusal) : 0;
}

static int read_spec(struct request *request, struct pool_spec *spec, struct refusal *refusal) {
    *spec = (struct pool_spec){
        .name = request->arguments[0],
        .vendor = request_option(request, "vendor"),
        .group = request_option(request, "group"),
        .exceeded_recovery = request_option(request, "exceeded-recovery"),
        .error_recovery = request_option(request, "error-recovery"),
        .base_url = request_option(request, "base_url"),
        .guard = request_option(request, "guard"),
        .rule = request_option(request, "rule"),
        .rules = request_option(request, "rules"),
    };
    if (spec->rules && strcmp(spec->rules, "default") != 0)
        return refuse(refusal, REFUSED_SYNTAX, "bad-rules", "rules",
                      "rules=default removes the pool's own; rule= adds one");
    if (spec->rules)
        spec->rules = "";
    int refused = read_strategy(request_option(request, "strategy"), &spec->strategy, refusal);
    return refused ? refused : check_group(spec->group, refusal);
}

int command_add_pool(struct request *request, struct refusal *refusal) {
    struct pool_spec spec;
    int refused = read_spec(request, &spec, refusal);
    if (refused)
        return refused;
    if (!spec.vendor)
        return refuse(refusal, REFUSED_SYNTAX, "missing-option", "vendor",
                      "say vendor=NAME; \"show vendors\" lists them");
    struct key_spec key = { 0 };
    refused = request_config(request, &key.config, refusal);
    if (refused)
        return refused;
    refused = model_add_pool(request->server->model, &request->cause, &spec, &key, &request->set,
                             refusal);
    json_decref(key.config);
    if (refused)
        return refused;
    const struct model_pool *pool = model_find_pool(request->server->model, spec.name);
    refused = server_open_outlet(request->server, pool, refusal);
    if (refused) {
        model_undo(request->server->model, &request->set);
        return refused;
    }
    const struct key_record *record = pool->order[0]->record;
    request->body =
        request_message("added pool %s (%s) with its default key %s (#%llu)", spec.name,
                        pool->vendor->title, record->name, (unsigned long long)record->id);
    json_object_set_new(request->body, "key", json_string(record->name));
    json_object_set_new(request->body, "id", json_integer((json_int_t)record->id));
    json_object_set_new(request->body, "revision",
                        json_integer((json_int_t)pool->record->revision));
    return 0;
}

/* ": guard 30%, strategy spread": what was given, as it is kept. The caller frees. */
static char *tell_settings(const struct model_pool *pool, const struct pool_spec *spec) {
    const struct pool_record *record = pool->record;
    char guard[16] = "off";
    if (pool->guard_share)
        snprintf(guard, sizeof guard, "%u%%", pool->guard_share);
    const struct {
        const char *name, *value;
        bool given;
    } SETTINGS[] = {
        { "strategy", model_strategy_name(record->strategy), spec->strategy != 0 },
        { "group", record->group[0] ? record->group : "the broker's", spec->group != NULL },
        { "exceeded-recovery", record->exceeded_recovery, spec->exceeded_recovery != NULL },
        { "error-recovery", record->error_recovery, spec->error_recovery != NULL },
        { "base_url", record->base_url[0] ? record->base_url : "the vendor's",
          spec->base_url != NULL },
        { "guard", guard, spec->guard != NULL },
    };
    char *text = mem_strdup("");
    for (size_t i = 0; i < sizeof SETTINGS / sizeof *SETTINGS; i++) {
        if (!SETTINGS[i].given)
            continue;
        char *more = mem_printf("%s%s%s %s", text, text[0] ? ", " : ": ", SETTINGS[i].name,
                                SETTINGS[i].value);
        free(text);
        text = more;
    }
    return text;
}

int command_set_pool(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    struct pool_spec spec;
    int refused = request_pool(request, &pool, refusal);
    if (!refused)
        refused = read_spec(request, &spec, refusal);
    if (refused)
        return refused;
    if (!spec.group && !spec.strategy && !spec.exceeded_recovery && !spec.error_recovery &&
        !spec.base_url && !spec.guard && !spec.rule && !spec.rules)
        return refuse(refusal, REFUSED_SYNTAX, "missing-option", "", "nothing to set; usage: %s %s",
                      request->command->words, request->command->usage);
    refused = model_set_pool(request->server->model, &request->cause, pool, &spec, &request->set,
                             refusal);
    if (!refused && spec.group) {
        refused = server_check_group(request->server, spec.group, refusal);
        if (refused)
            model_undo(request->server->model, &request->set);
    }
    if (refused)
        return refused;
    char *settings = tell_settings(pool, &spec);
    request->body = request_message("pool %s is at revision %llu%s", pool->record->name,
                                    (unsigned long long)pool->record->revision, settings);
    free(settings);
    json_object_set_new(request->body, "revision",
                        json_integer((json_int_t)pool->record->revision));
    return 0;
}

int command_delete_pool(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    int refused = request_pool(request, &pool, refusal);
    if (refused)
        return refused;
    const char *confirm = request_option(request, "confirm");
    if (!confirm || strcmp(confirm, pool->record->name) != 0)
        return refuse(refusal, REFUSED_RULE, "not-confirmed", "confirm",
                      "this deletes %u keys for good: say confirm=%s", pool->count,
                      pool->record->name);
    request->body =
        request_message("deleted pool %s with %u keys", pool->record->name, pool->count);
    return model_delete_pool(request->server->model, &request->cause, pool, &request->set, refusal);
}
