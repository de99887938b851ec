/* See listing.h. */
#include "listing.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "render.h"

void *listing_new(size_t size, const char *rows_name,
                  enum listing_step (*step)(struct listing *, struct server *, json_t **),
                  void (*deinit)(struct listing *)) {
    struct listing *listing = mem_alloc(size);
    listing->head = json_object();
    listing->rows_name = rows_name;
    listing->step = step;
    listing->deinit = deinit;
    return listing;
}

struct listing *listing_free(struct listing *listing) {
    if (!listing)
        return NULL;
    if (listing->deinit)
        listing->deinit(listing);
    json_decref(listing->head);
    free(listing);
    return NULL;
}

/* ---- the frame ---- */

/* JSON: {"total":7,"keys":[row,row]} or {"text":"piece…"}. */
static void write_begin(struct listing *listing, bool json, struct buffer *out) {
    if (listing->is_text) {
        if (json)
            buffer_printf(out, "{\"%s\":\"", listing->rows_name);
    } else if (!json) {
        render_text(listing->head, out);
    } else {
        char *head = json_dumps(listing->head, JSON_COMPACT);
        size_t length = strlen(head);
        buffer_append(out, head, length - 1); /* without its closing brace */
        buffer_printf(out, "%s\"%s\":[", length > 2 ? "," : "", listing->rows_name);
        free(head);
    }
}

static void write_end(const struct listing *listing, bool json, struct buffer *out) {
    if (json)
        buffer_append_text(out, listing->is_text ? "\"}\n" : "]}\n");
}

static void write_json(const struct listing *listing, const json_t *row, struct buffer *out) {
    char *text = json_dumps(row, JSON_COMPACT | JSON_ENCODE_ANY);
    if (listing->is_text) /* without its quotes */
        buffer_append(out, text + 1, strlen(text) - 2);
    else
        buffer_printf(out, "%s%s", listing->wrote_row ? "," : "", text);
    mem_wipe_string(text); /* an export may have secrets */
}

void listing_write(struct listing *listing, json_t *row, bool json, struct buffer *out) {
    json |= listing->always_json;
    if (!listing->begun)
        write_begin(listing, json, out);
    listing->begun = true;
    if (!row) {
        write_end(listing, json, out);
        return;
    }
    if (json)
        write_json(listing, row, out);
    else if (listing->is_text)
        buffer_append_text(out, json_string_value(row));
    else
        render_row(row, out);
    listing->wrote_row = true;
    json_decref(row);
}

/* ---- rows of remembered ids ---- */

struct id_list {
    struct listing listing;
    uint64_t *ids;
    size_t count, next;
    json_t *(*row)(const struct server *server, uint64_t id);
};

static enum listing_step next_id(struct listing *listing, struct server *server, json_t **ret_row) {
    struct id_list *list = (struct id_list *)listing;
    if (list->next == list->count)
        return LISTING_END;
    *ret_row = list->row(server, list->ids[list->next++]);
    return *ret_row ? LISTING_ROW : LISTING_WORKED;
}

static void free_ids(struct listing *listing) {
    free(((struct id_list *)listing)->ids);
}

struct listing *listing_of_ids(const char *rows_name,
                               json_t *(*row)(const struct server *server, uint64_t id)) {
    struct id_list *list = listing_new(sizeof *list, rows_name, next_id, free_ids);
    list->row = row;
    return &list->listing;
}

void listing_add(struct listing *listing, uint64_t id) {
    struct id_list *list = (struct id_list *)listing;
    if ((list->count & (list->count - 1)) == 0) /* at every power of two */
        list->ids = mem_resize(list->ids, list->count ? list->count * 2 : 1, sizeof *list->ids);
    list->ids[list->count++] = id;
}
