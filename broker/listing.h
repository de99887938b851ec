/*
 * A listing: a reply of many rows that is produced one by one, each when its turn comes, so that
 * showing 65,536 keys neither holds up the event loop nor fills memory. This is the frame; where
 * the rows come from is each kind's: ids that are remembered (below), a pool's keys (key_list.h),
 * the store's events (event_list.h), metrics (metrics.h).
 */
#ifndef BROKER_LISTING_H
#define BROKER_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "buffer.h"

struct server;
struct listing;

/* What came of a step, which takes some microseconds. */
enum listing_step {
    LISTING_ROW,    /* *ret_row is the next one, the caller's */
    LISTING_WORKED, /* nothing to show yet: go on */
    LISTING_WAITS,  /* for somebody who will call: nothing may be done before */
    LISTING_END,
    LISTING_FAILED, /* what it lists can't be read; the rows that were shown are not all */
};

struct listing {
    json_t *head;          /* fields before the rows; owned; complete with the first row */
    const char *rows_name; /* "keys" */
    void *owner;           /* the reply that it is the body of */
    bool always_json;      /* JSON also where text was asked for */
    bool is_text;          /* its rows are strings, pieces of one text, and there is no head */
    bool begun;
    bool wrote_row;
    enum listing_step (*step)(struct listing *listing, struct server *server, json_t **ret_row);
    void (*deinit)(struct listing *listing); /* of what its kind has besides; NULL = nothing */
};

/* `size`: of the kind's struct, which begins with this one; zeroed but for the arguments. */
void *listing_new(size_t size, const char *rows_name,
                  enum listing_step (*step)(struct listing *, struct server *, json_t **),
                  void (*deinit)(struct listing *));
struct listing *listing_free(struct listing *listing);

/* Append the next row (taken over; NULL = the end) to `out`, behind the head if it is the first. */
void listing_write(struct listing *listing, json_t *row, bool json, struct buffer *out);

/* ---- a kind: rows of remembered ids ---- */

/* `row` makes the row of an id, or NULL if what it was about has gone. */
struct listing *listing_of_ids(const char *rows_name,
                               json_t *(*row)(const struct server *server, uint64_t id));
void listing_add(struct listing *listing, uint64_t id);

#endif
