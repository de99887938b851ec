/*
 * The store's events as a listing, for `show events`: read page by page by the store thread, and
 * the next page only when the one before was taken, so that ten thousand events cost the memory of
 * one page, however slowly they are read.
 */
#ifndef BROKER_EVENT_LIST_H
#define BROKER_EVENT_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "listing.h"

struct event_query;

struct event_filter {
    uint64_t pool_id, key_id; /* 0 = all */
    bool has_since;           /* the oldest `limit` after it, else the newest `limit` */
    uint64_t since;
    uint64_t limit;
};

/* `last`: the newest event now; later ones are not shown. */
struct listing *event_list_new(const struct event_filter *filter, uint64_t last);
/* The answer to a query of this listing's; its events are taken over. */
void event_list_take(struct listing *listing, struct event_query *query);

#endif
