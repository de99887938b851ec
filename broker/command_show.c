/* show …: what there is, as the views say it. Part of the commands (command.h). */
#include "command.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "event_list.h"
#include "key_list.h"
#include "memory.h"
#include "metrics.h"
#include "rule_lines.h"
#include "server.h"
#include "session.h"
#include "view.h"

enum { EVENTS_SHOWN = 100, EVENTS_SHOWN_MAX = 10000 };

/* ---- one thing ---- */

static int show_pool(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    int refused = request_pool(request, &pool, refusal);
    if (refused)
        return refused;
    request->body = view_pool(request->server, pool->record->id);
    json_object_set_new(request->body, "rules", rule_lines_json(pool->record->rules));
    return 0;
}

static int show_key(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    struct model_key *key;
    int refused = request_key(request, &pool, &key, refusal);
    if (refused)
        return refused;
    request->body = view_key(request->server, key->record->id);
    json_object_set_new(request->body, "pool", json_string(pool->record->name));
    return 0;
}

static int show_vendor(struct request *request, struct refusal *refusal) {
    const struct vendor *vendor = vendor_find(request->arguments[0]);
    if (!vendor)
        return refuse(refusal, REFUSED_NOT_FOUND, "no-such-vendor", "NAME",
                      "no vendor %.48s; \"show vendors\" lists them", request->arguments[0]);
    request->body = view_vendor_whole(vendor);
    return 0;
}

static int show_info(struct request *request, struct refusal *refusal) {
    (void)refusal;
    bool may_change = request->session->level == LEVEL_CHANGE;
    request->body = view_info(request->server);
    json_object_set_new(request->body, "access", json_string(may_change ? "admin" : "viewer"));
    return 0;
}

static int show_metrics(struct request *request, struct refusal *refusal) {
    (void)refusal;
    request->listing = metrics_list(request->server);
    return 0;
}

int command_show(struct request *request, struct refusal *refusal) {
    static const struct {
        const char *noun;
        size_t arguments;
        command_handler show;
    } NOUNS[] = { { "info", 0, show_info },
                  { "pool", 1, show_pool },
                  { "key", 2, show_key },
                  { "vendor", 1, show_vendor },
                  { "metrics", 0, show_metrics } };
    const char *noun = request->arguments[0];
    for (size_t i = 0; i < sizeof NOUNS / sizeof *NOUNS; i++) {
        if (strcmp(NOUNS[i].noun, noun) != 0 || NOUNS[i].arguments + 1 != request->argument_count)
            continue;
        request->arguments++;
        request->argument_count--;
        return NOUNS[i].show(request, refusal);
    }
    return refuse(refusal, REFUSED_SYNTAX, "wrong-arguments", "",
                  "usage: show %s, or show pools | keys POOL | vendors | events",
                  request->command->usage);
}

/* ---- lists ---- */

static int read_filter(struct request *request, struct key_filter *filter,
                       struct refusal *refusal) {
    *filter = (struct key_filter){ .match = request_option(request, "match") };
    const char *status = request_option(request, "status");
    if (status && !(filter->status = model_status_parse(status)))
        return refuse(refusal, REFUSED_SYNTAX, "bad-status", "status",
                      "status: normal, cooling, exceeded, error, disabled or expired");
    int refused = request_number(request, "offset", 0, INT64_MAX, &filter->offset, refusal);
    return refused ? refused
                   : request_number(request, "limit", 1, INT64_MAX, &filter->limit, refusal);
}

static int list_keys(struct request *request, struct refusal *refusal) {
    struct model_pool *pool;
    struct key_filter filter;
    int refused = request_pool(request, &pool, refusal);
    if (!refused)
        refused = read_filter(request, &filter, refusal);
    if (refused)
        return refused;
    struct listing *listing = key_list_new(request->server, pool, &filter, view_key, true);
    json_t *head = listing->head;
    json_object_set_new(head, "pool", json_string(pool->record->name));
    json_object_set_new(head, "vendor", json_string(pool->record->vendor));
    json_object_set_new(head, "strategy", json_string(model_strategy_name(pool->record->strategy)));
    json_object_set_new(head, "revision", json_integer((json_int_t)pool->record->revision));
    json_object_set_new(head, "total", json_null()); /* its place; known when all were looked at */
    view_add_outlook(head, request->server, pool);
    json_object_set_new(head, "usable", json_integer(pool->counts[KB_STATUS_NORMAL]));
    json_object_set_new(head, "pool_total", json_integer((json_int_t)pool->count));
    request->listing = listing;
    return 0;
}

static bool matches(const struct key_filter *filter, const char *text) {
    return !filter->match || strcasestr(text, filter->match) != NULL;
}

/* Count one that matches; true if it lies in the window. */
static bool in_window(const struct key_filter *filter, uint64_t *total) {
    uint64_t index = (*total)++;
    return index >= filter->offset && (!filter->limit || index - filter->offset < filter->limit);
}

static int by_name(const void *left, const void *right) {
    const struct model_pool *a = *(struct model_pool *const *)left;
    const struct model_pool *b = *(struct model_pool *const *)right;
    return strcmp(a->record->name, b->record->name);
}

static int list_pools(struct request *request, struct refusal *refusal) {
    const struct model *model = request->server->model;
    struct key_filter filter;
    uint64_t total = 0;
    int refused = read_filter(request, &filter, refusal);
    if (refused)
        return refused;
    struct model_pool **pools = mem_resize(NULL, model->pools.count, sizeof(struct model_pool *));
    size_t count = 0, i = 0;
    for (struct model_pool *pool; (pool = map_next(&model->pools, &i));)
        pools[count++] = pool;
    qsort(pools, count, sizeof(struct model_pool *), by_name);
    struct listing *listing = listing_of_ids("pools", view_pool);
    for (i = 0; i < count; i++)
        if ((matches(&filter, pools[i]->record->name) ||
             matches(&filter, pools[i]->record->vendor)) &&
            in_window(&filter, &total))
            listing_add(listing, pools[i]->record->id);
    free(pools);
    json_object_set_new(listing->head, "total", json_integer((json_int_t)total));
    request->listing = listing;
    return 0;
}

static int list_vendors(struct request *request, struct refusal *refusal) {
    struct key_filter filter;
    uint64_t total = 0;
    int refused = read_filter(request, &filter, refusal);
    if (refused)
        return refused;
    json_t *rows = json_array();
    for (size_t i = 0; vendor_at(i); i++)
        if ((matches(&filter, vendor_at(i)->name) || matches(&filter, vendor_at(i)->title)) &&
            in_window(&filter, &total))
            json_array_append_new(rows, view_vendor(vendor_at(i)));
    request->body = json_pack("{s:o, s:I}", "vendors", rows, "total", (json_int_t)total);
    return 0;
}

static int events_filter(struct request *request, struct event_filter *filter,
                         struct refusal *refusal) {
    const char *pool_name = request_option(request, "pool");
    const char *key_name = request_option(request, "key");
    if (!pool_name && key_name)
        return refuse(refusal, REFUSED_SYNTAX, "missing-option", "pool", "key= needs pool=");
    if (!pool_name)
        return 0;
    const struct model *model = request->server->model;
    const struct model_pool *pool = model_find_pool(model, pool_name);
    if (!pool)
        return refuse(refusal, REFUSED_NOT_FOUND, "no-such-pool", "pool", "no pool %.48s",
                      pool_name);
    const struct model_key *key = key_name ? model_find_key(model, pool, key_name) : NULL;
    if (key_name && !key)
        return refuse(refusal, REFUSED_NOT_FOUND, "no-such-key", "key", "pool %s has no key %.100s",
                      pool_name, key_name);
    filter->pool_id = pool->record->id;
    filter->key_id = key ? key->record->id : 0;
    return 0;
}

static int list_events(struct request *request, struct refusal *refusal) {
    struct event_filter filter = { .limit = EVENTS_SHOWN,
                                   .has_since = request_option(request, "since") };
    int refused = request_number(request, "limit", 1, EVENTS_SHOWN_MAX, &filter.limit, refusal);
    if (!refused)
        refused = request_number(request, "since", 0, INT64_MAX, &filter.since, refusal);
    if (!refused)
        refused = events_filter(request, &filter, refusal);
    if (refused)
        return refused;
    request->listing = event_list_new(&filter, request->server->last_event);
    return 0;
}

int command_show_list(struct request *request, struct refusal *refusal) {
    static const struct {
        const char *words;
        command_handler list;
    } LISTS[] = { { "show pools", list_pools },
                  { "show keys", list_keys },
                  { "show vendors", list_vendors },
                  { "show events", list_events } };
    for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++)
        if (strcmp(request->command->words, LISTS[i].words) == 0)
            return LISTS[i].list(request, refusal);
    return refuse(refusal, REFUSED_SYNTAX, "unknown-command", "", "no such list");
}
