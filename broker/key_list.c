/* See key_list.h. Called by command_show.c and command_export.c; the session steps it. */
#include "key_list.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "roll.h"
#include "server.h"

enum { PIECE = 16 }; /* keys looked at in a step; ~10 µs */

struct key_list {
    struct listing listing;
    struct roll *roll;
    struct key_filter filter;
    char *match;
    bool counting;
    uint32_t next;    /* in the roll */
    uint64_t matched; /* of those before it */
    json_t *(*row)(const struct server *server, uint64_t key_id);
};

static bool contains(const char *text, const char *match) {
    return strcasestr(text, match) != NULL;
}

static bool matches(const struct key_list *list, const struct model_key *key, int64_t wall_ms) {
    const struct key_record *record = key->record;
    if (list->filter.status && model_status(key, wall_ms) != list->filter.status)
        return false;
    return !list->match || contains(record->name, list->match) ||
           contains(record->account, list->match) || contains(record->note, list->match);
}

/* The next key that matches, 0 after some that don't. */
static uint64_t find(struct key_list *list, const struct server *server) {
    for (unsigned i = 0; i < PIECE && list->next < list->roll->count; i++) {
        uint64_t id = list->roll->ids[list->next++];
        const struct model_key *key = model_key_by_id(server->model, id);
        if (key && matches(list, key, server->now.wall_ms)) {
            list->matched++;
            return id;
        }
    }
    return 0;
}

static bool wants_all(const struct key_list *list) {
    return !list->match && !list->filter.status;
}

static void count_some(struct key_list *list, const struct server *server) {
    uint32_t count = list->roll->count;
    if (wants_all(list))
        list->matched = list->next = count;
    else
        find(list, server);
    if (list->next < count)
        return;
    json_object_set_new(list->listing.head, "total", json_integer((json_int_t)list->matched));
    list->counting = false;
    list->next = 0;
    if (wants_all(list)) /* no need to pass over one by one */
        list->next = list->filter.offset < count ? (uint32_t)list->filter.offset : count;
    list->matched = list->next;
}

static bool is_past_window(const struct key_list *list) {
    const struct key_filter *filter = &list->filter;
    return filter->limit && list->matched >= filter->offset &&
           list->matched - filter->offset >= filter->limit;
}

static enum listing_step step(struct listing *listing, struct server *server, json_t **ret_row) {
    struct key_list *list = (struct key_list *)listing;
    if (!roll_fill(list->roll, server->model))
        return LISTING_WORKED;
    if (list->counting) {
        count_some(list, server);
        return LISTING_WORKED;
    }
    if (list->next == list->roll->count || is_past_window(list))
        return LISTING_END;
    uint64_t id = find(list, server);
    if (!id || list->matched <= list->filter.offset)
        return LISTING_WORKED;
    *ret_row = list->row(server, id);
    return LISTING_ROW;
}

static void deinit(struct listing *listing) {
    struct key_list *list = (struct key_list *)listing;
    roll_unref(list->roll);
    free(list->match);
}

struct listing *key_list_new(struct server *server, struct model_pool *pool,
                             const struct key_filter *filter,
                             json_t *(*row)(const struct server *server, uint64_t key_id),
                             bool counts) {
    struct key_list *list = listing_new(sizeof *list, "keys", step, deinit);
    list->roll = roll_of(&server->rolls, pool);
    list->filter = *filter;
    list->match = filter->match ? mem_strdup(filter->match) : NULL;
    list->counting = counts;
    list->row = row;
    return &list->listing;
}
