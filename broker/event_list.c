/* See event_list.h. Called by command_show.c and admin.c; the session steps it. */
#include "event_list.h"

#include <assert.h>
#include <stdlib.h>

#include "admin.h"
#include "committer.h"
#include "memory.h"
#include "server.h"
#include "view.h"

enum { PAGE = 64 }; /* events; 70 KB, and a fraction of a millisecond of the store thread's */

/* The newest so many that match can't be found from the end: everything that is kept is looked
 * through first, and where the newest matching ones lie is remembered, in a ring. */
struct event_list {
    struct listing listing;
    struct event_filter filter;
    uint64_t last;  /* none after it */
    uint64_t after; /* what was asked for last came up to here */
    uint64_t left;  /* to be shown */
    uint64_t *newest;
    uint64_t found;
    bool seeking;  /* filling the ring */
    bool from_end; /* the first page begins where the newest `limit` do: numbers have holes */
    bool ended;    /* there are no more than in the page */
    bool failed;
    struct event *page;
    int count, next; /* in the page */
};

static bool matches(const struct event_list *list, const struct event *event) {
    const struct event_filter *filter = &list->filter;
    return event->seq <= list->last && (!filter->pool_id || filter->pool_id == event->pool_id) &&
           (!filter->key_id || filter->key_id == event->key_id);
}

static void ask(struct event_list *list, struct server *server) {
    struct event_query *query = mem_alloc(sizeof *query);
    query->after = list->after;
    query->limit = PAGE;
    query->newest_count = list->from_end ? (size_t)list->filter.limit : 0;
    query->last = list->last;
    list->from_end = false;
    query->owner = list->listing.owner;
    admin_ask(server->admin, query);
}

void event_list_take(struct listing *listing, struct event_query *query) {
    struct event_list *list = (struct event_list *)listing;
    assert(!list->page);
    list->failed = query->result < 0;
    if (list->failed)
        return;
    list->page = query->events;
    query->events = NULL;
    list->count = query->result;
    list->next = 0;
    if (list->count)
        list->after = list->page[list->count - 1].seq;
    list->ended = list->count < PAGE || list->after >= list->last;
    if (json_object_size(list->listing.head))
        return;
    json_object_set_new(list->listing.head, "first", json_integer((json_int_t)query->oldest));
    json_object_set_new(list->listing.head, "last", json_integer((json_int_t)query->newest));
}

static void drop_page(struct event_list *list) {
    free(list->page);
    list->page = NULL;
}

/* Where the newest matching ones begin is known: show from there. */
static void begin_showing(struct event_list *list) {
    uint64_t limit = list->filter.limit;
    list->seeking = list->ended = false;
    if (!list->found)
        list->left = 0;
    else
        list->after = list->newest[list->found > limit ? list->found % limit : 0] - 1;
}

static enum listing_step seek(struct event_list *list) {
    for (; list->next < list->count; list->next++)
        if (matches(list, &list->page[list->next]))
            list->newest[list->found++ % list->filter.limit] = list->page[list->next].seq;
    drop_page(list);
    if (list->ended)
        begin_showing(list);
    return LISTING_WORKED;
}

static enum listing_step step(struct listing *listing, struct server *server, json_t **ret_row) {
    struct event_list *list = (struct event_list *)listing;
    if (list->failed)
        return LISTING_FAILED;
    if (!list->left && json_object_size(listing->head))
        return LISTING_END;
    if (!list->page && list->ended)
        return LISTING_END;
    if (!list->page) {
        ask(list, server);
        return LISTING_WAITS;
    }
    if (list->seeking)
        return seek(list);
    while (list->next < list->count && !matches(list, &list->page[list->next]))
        list->next++;
    if (list->next == list->count) {
        drop_page(list);
        return LISTING_WORKED;
    }
    *ret_row = view_event(&list->page[list->next++]);
    list->left--;
    return LISTING_ROW;
}

static void deinit(struct listing *listing) {
    struct event_list *list = (struct event_list *)listing;
    free(list->newest);
    drop_page(list);
}

struct listing *event_list_new(const struct event_filter *filter, uint64_t last) {
    struct event_list *list = listing_new(sizeof *list, "events", step, deinit);
    list->filter = *filter;
    list->last = last;
    list->left = filter->limit;
    if (filter->has_since) {
        list->after = filter->since;
    } else if (filter->pool_id) {
        list->seeking = true;
        list->newest = mem_resize(NULL, filter->limit, sizeof *list->newest);
    } else {
        list->from_end = true;
    }
    return &list->listing;
}
