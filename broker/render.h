/*
 * Replies as text: the same JSON that programs get, as lines that hands at the socket can read. One
 * row per line, fields as NAME=VALUE, values quoted where needed; an object as one field per line.
 */
#ifndef BROKER_RENDER_H
#define BROKER_RENDER_H

#include <jansson.h>

#include "buffer.h"

/* An object: its `message` alone if it has one; else a line per field, arrays of objects as rows.
 */
void render_text(const json_t *object, struct buffer *out);
/* One line for one object. */
void render_row(const json_t *object, struct buffer *out);

#endif
