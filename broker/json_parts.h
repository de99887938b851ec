/*
 * Cuts a JSON text into the parts of its outermost object or array, without building any of it: a
 * document of 64 MiB may hold anything, and built as a tree some of it takes a hundred times its
 * bytes. A part is cut by its quotes and brackets only; whoever uses one has it parsed, and only
 * then is it known to be sound. Pure; goes over the text once, with pauses.
 */
#ifndef BROKER_JSON_PARTS_H
#define BROKER_JSON_PARTS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "pause.h"

struct json_part {
    const char *at;
    size_t length;
};

struct json_parts {
    const char *at, *end; /* what is not read yet; after a mistake, where it is */
    const char *pause_at;
    const struct pause *pause;
    char close; /* the bracket that ends it */
    bool begun;
};

/* False: the text is no object ('{') or array ('['), whichever `open` says. `pause` stays the
 * caller's. */
bool json_parts_begin(struct json_parts *parts, struct json_part text, char open,
                      const struct pause *pause);

enum json_parts_next { JSON_PART, JSON_PARTS_END, JSON_PARTS_BROKEN };

/* The next member or element; *ret_name (of an object's member, with its quotes) may be NULL for an
 * array. JSON_PARTS_END: that was all, and nothing follows but blanks. */
enum json_parts_next json_parts_next(struct json_parts *parts, struct json_part *ret_name,
                                     struct json_part *ret_value);

/* Build one part; duplicate names are refused. NULL with *ret_error. */
json_t *json_part_load(struct json_part part, json_error_t *ret_error);

#endif
