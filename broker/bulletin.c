/* See bulletin.h. */
#include "bulletin.h"

#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "memory.h"
#include "render.h"
#include "view.h"

/* ---- lines ---- */

char *bulletin_make_line(json_t *object, bool json, size_t *ret_length) {
    char *text;
    if (json) {
        char *compact = json_dumps(object, JSON_COMPACT);
        text = mem_printf("%s\n", compact);
        free(compact);
    } else {
        struct buffer row = { 0 };
        render_row(object, &row);
        text = mem_printf("%.*s", (int)buffer_length(&row), buffer_bytes(&row));
        buffer_deinit(&row);
    }
    json_decref(object);
    *ret_length = strlen(text);
    return text;
}

json_t *bulletin_event(const struct event *event) {
    json_t *object = json_pack("{s:s}", "type", "event"), *fields = view_event(event);
    json_object_update(object, fields);
    json_decref(fields);
    return object;
}

static void free_line(struct line *line) {
    for (unsigned i = 0; i < 2; i++)
        free(line->text[i]);
    *line = (struct line){ 0 };
}

/* ---- notices ---- */

void bulletin_init(struct bulletin *bulletin, uint64_t last_event) {
    *bulletin = (struct bulletin){ .from = last_event + 1 };
}

static size_t size_of(const struct notice *notice) {
    return sizeof *notice + notice->line.length[0] + notice->line.length[1];
}

static void drop_first(struct bulletin *bulletin) {
    struct notice *notice = bulletin->notices[bulletin->first];
    bulletin->from = notice->event.seq + 1;
    bulletin->bytes -= size_of(notice);
    bulletin->first = (bulletin->first + 1) % BULLETIN_NOTICES;
    bulletin->count--;
    free_line(&notice->line);
    free(notice);
}

static void clear(struct bulletin *bulletin) {
    while (bulletin->count)
        drop_first(bulletin);
}

void bulletin_deinit(struct bulletin *bulletin) {
    clear(bulletin);
    free_line(&bulletin->beat);
}

/* More than fits, before anybody could read it (a large import): it is left to the store, instead
 * of passing through here event by event. */
static bool overflows(const struct bulletin *bulletin) {
    return bulletin->fresh >= BULLETIN_NOTICES ||
           bulletin->fresh * sizeof(struct notice) >= BULLETIN_BYTES;
}

void bulletin_add(struct bulletin *bulletin, const struct event *event, bool kept) {
    if (!kept || overflows(bulletin)) {
        clear(bulletin);
        bulletin->from = event->seq + 1;
        return;
    }
    while (bulletin->count == BULLETIN_NOTICES ||
           (bulletin->count && bulletin->bytes >= BULLETIN_BYTES))
        drop_first(bulletin);
    struct notice *notice = mem_alloc(sizeof *notice);
    notice->event = *event;
    bulletin->notices[(bulletin->first + bulletin->count++) % BULLETIN_NOTICES] = notice;
    bulletin->bytes += sizeof *notice;
    bulletin->fresh++;
}

bool bulletin_read(struct bulletin *bulletin) {
    bool news = bulletin->fresh;
    bulletin->fresh = 0;
    return news;
}

bool bulletin_covers(const struct bulletin *bulletin, uint64_t seq) {
    return seq >= bulletin->from;
}

struct notice *bulletin_find(const struct bulletin *bulletin, uint64_t seq) {
    size_t low = 0, high = bulletin->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bulletin->notices[(bulletin->first + middle) % BULLETIN_NOTICES]->event.seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < bulletin->count ? bulletin->notices[(bulletin->first + low) % BULLETIN_NOTICES]
                                 : NULL;
}

const struct line *bulletin_line(struct bulletin *bulletin, struct notice *notice, bool json) {
    struct line *line = &notice->line;
    if (!line->text[json]) {
        line->text[json] =
            bulletin_make_line(bulletin_event(&notice->event), json, &line->length[json]);
        bulletin->bytes += line->length[json];
        bulletin->made++;
    }
    return line;
}

/* ---- heartbeats ---- */

void bulletin_beat(struct bulletin *bulletin, uint64_t seq, int64_t wall_ms) {
    free_line(&bulletin->beat);
    bulletin->beat_seq = seq;
    bulletin->beat_ms = wall_ms;
}

const struct line *bulletin_beat_line(struct bulletin *bulletin, bool json) {
    struct line *line = &bulletin->beat;
    if (!line->text[json])
        line->text[json] = bulletin_make_line(json_pack("{s:s, s:I, s:o}", "type", "heartbeat",
                                                        "seq", (json_int_t)bulletin->beat_seq,
                                                        "time", view_time(bulletin->beat_ms)),
                                              json, &line->length[json]);
    return line;
}
