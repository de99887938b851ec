/*
 * export: a pool as one JSON document, for import on this host or another. Part of the commands
 * (command.h). Secrets are masked unless an admin asks for them.
 */
#include "command.h"

#include <stdio.h>
#include <string.h>

#include "import_document.h"
#include "key_list.h"
#include "keyconfig.h"
#include "log.h"
#include "rule_lines.h"
#include "server.h"
#include "session.h"
#include "view.h"

static json_t *export_key(const struct model_key *key, bool secrets) {
    const struct key_record *record = key->record;
    json_t *config = secrets ? json_loads(record->config, 0, NULL)
                             : keyconfig_masked(record->config, key->pool->vendor);
    json_t *object = json_pack("{s:s, s:o}", "name", record->name, "config", config);
    if (record->expires_at_ms)
        json_object_set_new(object, "expires_at", view_time(record->expires_at_ms));
    if (record->account[0])
        json_object_set_new(object, "account", json_string(record->account));
    if (record->weight != 1)
        json_object_set_new(object, "weight", json_integer(record->weight));
    if (record->note[0])
        json_object_set_new(object, "note", json_string(record->note));
    if (key->state.status == KB_STATUS_DISABLED)
        json_object_set_new(object, "disabled", json_true());
    if (model_is_default(key))
        json_object_set_new(object, "default", json_true());
    return object;
}

static json_t *export_row(const struct server *server, uint64_t key_id, bool secrets) {
    const struct model_key *key = model_key_by_id(server->model, key_id);
    return key ? export_key(key, secrets) : NULL;
}

static json_t *export_masked(const struct server *server, uint64_t key_id) {
    return export_row(server, key_id, false);
}

static json_t *export_whole(const struct server *server, uint64_t key_id) {
    return export_row(server, key_id, true);
}

/* Who took the secrets out is on the disk before they go. */
static void record_export(struct request *request, const struct model_pool *pool) {
    struct event event = model_event(&request->cause, EVENT_EXPORT, pool, NULL);
    snprintf(event.reason, sizeof event.reason, "%u keys with their secrets", pool->count);
    changeset_event(&request->set, &event);
    request->unrecorded = "nothing was exported: that it was could not be stored";
    log_info("uid %u exports pool %s with its secrets", request->session->actor.uid,
             pool->record->name);
}

int command_export(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    int refused = request_pool(request, &pool, refusal);
    const char *secrets = request_option(request, "secrets");
    bool whole = secrets && strcmp(secrets, "yes") == 0;
    if (!refused && secrets && !whole && strcmp(secrets, "no") != 0)
        refused = refuse(refusal, REFUSED_SYNTAX, "bad-option", "secrets", "secrets: yes or no");
    if (!refused && whole && request->session->level < LEVEL_CHANGE)
        refused = refuse(refusal, REFUSED_FORBIDDEN, "viewer", "secrets",
                         "a viewer is not shown secrets");
    if (!refused && whole && !request->server->store_ok)
        refused = refuse(refusal, REFUSED_UNAVAILABLE, "store-unavailable", "secrets",
                         "secrets go out only when that can be recorded, and nothing can be stored "
                         "now (%s)",
                         request->server->store_problem);
    if (refused)
        return refused;
    const struct pool_record *record = pool->record;
    struct listing *listing = key_list_new(request->server, pool, &(struct key_filter){ 0 },
                                           whole ? export_whole : export_masked, false);
    listing->always_json = true; /* so that what was printed can be sent back as it is */
    json_decref(listing->head);
    listing->head =
        json_pack("{s:i, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}}", "format", EXPORT_FORMAT,
                  "pool", "name", record->name, "vendor", record->vendor, "strategy",
                  model_strategy_name(record->strategy), "group", record->group,
                  "exceeded_recovery", record->exceeded_recovery, "error_recovery",
                  record->error_recovery, "base_url", record->base_url, "guard", record->guard);
    json_object_set_new(json_object_get(listing->head, "pool"), "rules",
                        rule_lines_json(record->rules));
    request->listing = listing;
    if (whole)
        record_export(request, pool);
    return 0;
}
