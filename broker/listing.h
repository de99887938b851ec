/*
 * A listing: a reply of many rows that is produced in pieces, so that showing 65,536 keys neither
 * holds up the event loop nor fills memory. It remembers ids, and formats each row when its turn
 * comes.
 */
#ifndef BROKER_LISTING_H
#define BROKER_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "buffer.h"

struct server;

struct listing {
    json_t *head;          /* fields around the rows; owned */
    const char *rows_name; /* "keys" */
    uint64_t *ids;
    size_t count;
    size_t next;
    bool begun;
    bool wrote_row;
    bool always_json; /* JSON also where text was asked for */
    /* A row, or NULL if what it was about has gone. */
    json_t *(*row)(const struct server *server, uint64_t id);
};

struct listing *listing_new(const char *rows_name,
                            json_t *(*row)(const struct server *server, uint64_t id));
void listing_add(struct listing *listing, uint64_t id);
struct listing *listing_free(struct listing *listing);

/* Append the next piece of the body to `out`. True when that was the last; false: call again. */
bool listing_write(struct listing *listing, const struct server *server, bool json,
                   struct buffer *out);

#endif
