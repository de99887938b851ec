/* See view.h. */
#include "view.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keyconfig.h"
#include "memory.h"
#include "server.h"
#include "timetext.h"
#include "vendor_rules.h"

json_t *view_time(int64_t wall_ms) {
    char text[TIMETEXT_SIZE];
    return wall_ms ? json_string(timetext_format(wall_ms, text)) : json_null();
}

/* "uid=0 pid=12", "report uid=0 pid=12" or "broker"; caller frees. */
static char *actor_text(const struct actor *actor) {
    if (actor->kind == ACTOR_BROKER)
        return mem_strdup("broker");
    return mem_printf("%suid=%u pid=%u", actor->kind == ACTOR_REPORT ? "report " : "", actor->uid,
                      actor->pid);
}

/* Null also for what is no UTF-8: one bad text must not cost the whole object. */
static json_t *text_or_null(const char *text) {
    json_t *string = text[0] ? json_string(text) : NULL;
    return string ? string : json_null();
}

static struct publication *publication_of(const struct server *server,
                                          const struct model_pool *pool) {
    struct outlet *outlet = map_get(&server->outlets, pool->record->id);
    return outlet ? &outlet->publication : NULL;
}

/* ---- pools ---- */

static json_t *counts(const struct model_pool *pool) {
    json_t *object = json_object();
    for (unsigned status = 1; status < KB_STATUS_COUNT; status++)
        json_object_set_new(object, model_status_name(status), json_integer(pool->counts[status]));
    return object;
}

/* off, on (it watches), or holding. */
static const char *guard_word(const struct model_pool *pool) {
    if (model_guard_is_on(pool))
        return "holding";
    return pool->guard_share ? "on" : "off";
}

/* The same in numbers: from which share of the pool on it holds, and until when it does. */
static void add_guard(json_t *object, const struct server *server, const struct model_pool *pool) {
    int64_t until = model_guard_until(pool);
    int64_t until_wall = until ? until - server->now.mono_ms + server->now.wall_ms : 0;
    json_object_set_new(object, "guard", json_string(guard_word(pool)));
    json_object_set_new(object, "guard_share", json_integer(pool->guard_share));
    json_object_set_new(object, "guard_until", view_time(until_wall));
    json_object_set_new(object, "guard_held", json_integer(model_guard_held(pool)));
}

static json_t *name_or_null(const struct model_key *key) {
    return key ? json_string(key->record->name) : json_null();
}

void view_add_outlook(json_t *object, const struct server *server, const struct model_pool *pool) {
    struct publication *pub = publication_of(server, pool);
    uint64_t current = pub ? pub->choice_id : 0, next = 0;
    if (pub && pool->record->strategy == STRATEGY_PRIORITY) /* else all of them are used */
        next = publication_next(pub, server->now.wall_ms);
    json_object_set_new(object, "current", name_or_null(model_key_by_id(server->model, current)));
    json_object_set_new(object, "next", name_or_null(model_key_by_id(server->model, next)));
    add_guard(object, server, pool);
    json_object_set_new(object, "recovers_at",
                        view_time(pub ? publication_recovers_at(pub, server->now) : 0));
}

json_t *view_pool(const struct server *server, uint64_t pool_id) {
    const struct model_pool *pool = model_pool_by_id(server->model, pool_id);
    if (!pool)
        return NULL;
    const struct pool_record *record = pool->record;
    const struct publication *pub = publication_of(server, pool);
    const struct model_key *default_key = model_key_by_id(server->model, record->default_key_id);
    json_t *object = json_pack("{s:s, s:s, s:s, s:o}", "name", record->name, "vendor",
                               record->vendor, "strategy", model_strategy_name(record->strategy),
                               "group", text_or_null(record->group));
    view_add_outlook(object, server, pool);
    json_t *rest = json_pack(
        "{s:I, s:I, s:o, s:I, s:o, s:I, s:o, s:s, s:s, s:o, s:o}", "usable",
        (json_int_t)pool->counts[KB_STATUS_NORMAL], "total", (json_int_t)pool->count, "counts",
        counts(pool), "revision", (json_int_t)record->revision, "last_failover",
        view_time(pub ? pub->last_failover_ms : 0), "failovers",
        (json_int_t)(pub ? pub->failovers : 0), "base_url", text_or_null(record->base_url),
        "exceeded_recovery", record->exceeded_recovery, "error_recovery", record->error_recovery,
        "created_at", view_time(record->created_at_ms), "default",
        text_or_null(default_key ? default_key->record->name : ""));
    json_object_update_new(object, rest);
    return object;
}

/* ---- keys ---- */

static json_t *last_failure(const struct key_state *state) {
    if (!state->last_failure_ms)
        return json_null();
    return json_pack("{s:o, s:s, s:o, s:o}", "at", view_time(state->last_failure_ms), "class",
                     model_outcome_name(state->last_outcome), "http_status",
                     state->http_status ? json_integer(state->http_status) : json_null(),
                     "vendor_code", text_or_null(state->vendor_code));
}

static json_t *counters(const struct key_state *state) {
    json_t *object = json_object();
    for (unsigned outcome = KB_SUCCESS; outcome <= KB_NETWORK; outcome++)
        json_object_set_new(object, model_outcome_name(outcome),
                            json_integer((json_int_t)state->reports[outcome]));
    return object;
}

static const char *base_url_of(const struct model_key *key, const json_t *config) {
    const char *own = json_string_value(json_object_get(config, "base_url"));
    if (own)
        return own;
    if (key->pool->record->base_url[0])
        return key->pool->record->base_url;
    return key->pool->vendor ? key->pool->vendor->base_url : "";
}

/* When the key comes back by itself; 0 = it does not, or need not. */
static int64_t recovers_at(const struct model_key *key, struct moment now) {
    if (!key->state.deadline_mono || model_status(key, now.wall_ms) == KB_STATUS_EXPIRED)
        return 0;
    return now.wall_ms + key->state.deadline_mono - now.mono_ms;
}

json_t *view_key(const struct server *server, uint64_t key_id) {
    const struct model_key *key = model_key_by_id(server->model, key_id);
    if (!key)
        return NULL;
    const struct key_record *record = key->record;
    const struct key_state *state = &key->state;
    const struct publication *pub = publication_of(server, key->pool);
    kb_status status = model_status(key, server->now.wall_ms);
    json_t *config = keyconfig_masked(record->config, key->pool->vendor);
    json_t *base_url = text_or_null(base_url_of(key, config));
    json_t *masked = json_incref(json_object_get(config, "api_key"));
    return json_pack(
        "{s:I, s:s, s:s, s:I, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o,"
        " s:o, s:o}",
        "id", (json_int_t)record->id, "name", record->name, "status", model_status_name(status),
        "priority", (json_int_t)key->position + 1, "default", (int)model_is_default(key), "current",
        (int)(pub && pub->choice_id == record->id), "masked", masked, "base_url", base_url,
        "config", config, "expires_at", view_time(record->expires_at_ms), "account",
        text_or_null(record->account), "weight", (json_int_t)record->weight, "note",
        text_or_null(record->note), "reason",
        text_or_null(status == KB_STATUS_EXPIRED ? "its time passed" : state->reason),
        "status_since",
        view_time(status == KB_STATUS_EXPIRED ? record->expires_at_ms : state->status_since_ms),
        "recovers_at", view_time(recovers_at(key, server->now)), "last_failure",
        last_failure(state), "counters", counters(state), "created_at",
        view_time(record->created_at_ms), "updated_at", view_time(record->updated_at_ms));
}

/* ---- the rest ---- */

/* What `who` says as one text, and names. */
static void add_actor(json_t *object, const struct event *event) {
    const struct actor *actor = &event->actor;
    bool peer = actor->kind != ACTOR_BROKER;
    json_object_set_new(object, "uid", peer ? json_integer(actor->uid) : json_null());
    json_object_set_new(object, "pid", peer ? json_integer(actor->pid) : json_null());
    json_object_set_new(object, "user", text_or_null(event->names.user));
    json_object_set_new(object, "program", text_or_null(event->names.program));
}

json_t *view_event(const struct event *event) {
    char *who = actor_text(&event->actor);
    json_t *object = json_pack(
        "{s:I, s:o, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:I}", "seq",
        (json_int_t)event->seq, "time", view_time(event->time_ms), "pool", event->pool, "key",
        text_or_null(event->key), "kind", event_kind_name(event->kind), "from",
        text_or_null(model_status_name(event->from)), "to",
        text_or_null(model_status_name(event->to)), "class",
        text_or_null(model_outcome_name(event->outcome)), "reason", text_or_null(event->reason),
        "http_status", event->http_status ? json_integer(event->http_status) : json_null(),
        "vendor_code", text_or_null(event->vendor_code), "who", who, "to_key",
        text_or_null(event->to_key), "count", (json_int_t)(event->count ? event->count : 1));
    add_actor(object, event);
    free(who);
    return object;
}

static json_t *words_of(const char *text) {
    json_t *words = json_array();
    while (*text) {
        size_t length = strcspn(text, " ");
        json_array_append_new(words, json_stringn(text, length));
        text += length + strspn(text + length, " ");
    }
    return words;
}

json_t *view_vendor(const struct vendor *vendor) {
    json_t *environment = json_pack("[s]", vendor->env_key);
    if (vendor->env_base_url[0])
        json_array_append_new(environment, json_string(vendor->env_base_url));
    json_t *object = json_pack("{s:s, s:s, s:o, s:s, s:o, s:b, s:s}", "name", vendor->name, "title",
                               vendor->title, "base_url", text_or_null(vendor->base_url), "auth",
                               vendor->auth_format, "environment", environment, "base_url_required",
                               (int)vendor->base_url_required, "rate_scope",
                               vendor->rate_is_account ? "account" : "key");
    json_object_set_new(object, "key_prefixes", words_of(vendor->key_prefixes));
    if (vendor->url_form)
        json_object_set_new(object, "base_url_form", json_string(vendor->url_form));
    return object;
}

static json_t *field_row(const char *name, const char *title, bool required, bool secret) {
    return json_pack("{s:s, s:s, s:b, s:b}", "name", name, "title", title, "required",
                     (int)required, "secret", (int)secret);
}

json_t *view_vendor_whole(const struct vendor *vendor) {
    json_t *object = view_vendor(vendor), *fields = json_array(), *rules = json_array();
    json_array_append_new(fields, field_row("api_key", "API key", true, true));
    json_array_append_new(fields,
                          field_row("base_url", "Base URL", vendor->base_url_required, false));
    for (const struct vendor_field *field = vendor->fields; field && field->name; field++)
        json_array_append_new(fields,
                              field_row(field->name, field->title, field->required, field->secret));
    const char *const *lines = vendor_rules(vendor);
    for (size_t i = 0; lines[i]; i++)
        json_array_append_new(rules, json_string(lines[i]));
    json_object_set_new(object, "fields", fields);
    json_object_set_new(object, "rules", rules);
    return object;
}

json_t *view_info(const struct server *server) {
    return json_pack(
        "{s:s, s:I, s:I, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:I, s:I}", "version",
        KB_VERSION, "pid", (json_int_t)getpid(), "uptime_s",
        (json_int_t)((server->now.mono_ms - server->started.mono_ms) / 1000), "loop",
        loop_stats(server->loop)->name, "state_dir", server->options.state_dir, "runtime_dir",
        server->options.runtime_dir, "start", (json_int_t)server->start, "pools",
        (json_int_t)server->model->pools.count, "keys", (json_int_t)server->model->keys.count,
        "report_connections", (json_int_t)server->metrics.report_connections, "admin_connections",
        (json_int_t)server->metrics.admin_connections, "store_ok", (int)server->store_ok,
        "store_problem", text_or_null(server->store_ok ? "" : server->store_problem), "last_event",
        (json_int_t)server->last_event, "events_dropped", (json_int_t)server->events_dropped);
}
