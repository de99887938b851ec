/*
 * Views: pools, keys, events and vendors as the JSON that `show` prints and the console reads.
 * Fields are only ever added. Secrets are masked here and nowhere else.
 */
#ifndef BROKER_VIEW_H
#define BROKER_VIEW_H

#include <jansson.h>

#include "event.h"
#include "model.h"

struct server;

json_t *view_pool(const struct server *server, uint64_t pool_id); /* NULL = no such pool */
json_t *view_key(const struct server *server, uint64_t key_id);   /* NULL = no such key */
json_t *view_event(const struct event *event);
json_t *view_vendor(const struct vendor *vendor);
/* With its fields and rules, which are too long for a list. */
json_t *view_vendor_whole(const struct vendor *vendor);
json_t *view_info(const struct server *server);
/* What every object about a whole pool says: the `current` key (that workers are handed now, by
 * priority), the `next`, the `guard` with its share and its end, and when an exhausted pool has a
 * key again. */
void view_add_outlook(json_t *object, const struct server *server, const struct model_pool *pool);
/* RFC 3339, or null for 0. */
json_t *view_time(int64_t wall_ms);

#endif
