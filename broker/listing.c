/* See listing.h. */
#include "listing.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "render.h"

enum { PIECE = 64 }; /* rows; ~0.5 ms */

struct listing *listing_new(const char *rows_name,
                            json_t *(*row)(const struct server *server, uint64_t id)) {
    struct listing *listing = mem_alloc(sizeof *listing);
    listing->head = json_object();
    listing->rows_name = rows_name;
    listing->row = row;
    return listing;
}

void listing_add(struct listing *listing, uint64_t id) {
    if ((listing->count & (listing->count - 1)) == 0) /* at every power of two */
        listing->ids =
            mem_resize(listing->ids, listing->count ? listing->count * 2 : 1, sizeof *listing->ids);
    listing->ids[listing->count++] = id;
}

struct listing *listing_free(struct listing *listing) {
    if (!listing)
        return NULL;
    json_decref(listing->head);
    free(listing->ids);
    free(listing);
    return NULL;
}

static void write_begin(struct listing *listing, bool json, struct buffer *out) {
    if (!json) {
        render_text(listing->head, out);
        return;
    }
    char *head = json_dumps(listing->head, JSON_COMPACT);
    size_t length = strlen(head);
    buffer_append(out, head, length - 1); /* without its closing brace */
    buffer_printf(out, "%s\"%s\":[", length > 2 ? "," : "", listing->rows_name);
    free(head);
}

bool listing_write(struct listing *listing, const struct server *server, bool json,
                   struct buffer *out) {
    json |= listing->always_json;
    if (!listing->begun)
        write_begin(listing, json, out);
    listing->begun = true;
    for (unsigned i = 0; i < PIECE && listing->next < listing->count; i++) {
        json_t *row = listing->row(server, listing->ids[listing->next++]);
        if (!row)
            continue;
        if (json) {
            char *text = json_dumps(row, JSON_COMPACT);
            buffer_printf(out, "%s%s", listing->wrote_row ? "," : "", text);
            mem_wipe_string(text); /* an export may have secrets */
        } else {
            render_row(row, out);
        }
        listing->wrote_row = true;
        json_decref(row);
    }
    if (listing->next < listing->count)
        return false;
    if (json)
        buffer_append_text(out, "]}\n");
    return true;
}
