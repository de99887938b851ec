/* See watcher.h. */
#include "watcher.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "../log.h"
#include "../memory.h"
#include "exchange.h"

enum {
    PAUSE_FIRST_MS = 50,
    PAUSE_MOST_MS = 1000,
    PAUSE_REFUSED_MS = 10 * 1000,
    PAUSE_LOGGED_MS = 800, /* away for about a second: longer than a restart takes */
    SILENCE_MS = 3500,     /* the broker's heart beats once a second */
    INPUT_MAX = 1024 * 1024,
};

void watcher_init(struct watcher *watcher, const char *runtime_dir, struct feed *feed) {
    *watcher = (struct watcher){
        .runtime_dir = runtime_dir, .feed = feed, .fd = -1, .pause_ms = PAUSE_FIRST_MS
    };
}

static void hang_up(struct watcher *watcher) {
    if (watcher->fd >= 0)
        close(watcher->fd);
    watcher->fd = -1;
    watcher->state = WATCHER_AWAY;
    watcher->heard = false;
    buffer_deinit(&watcher->in);
    buffer_deinit(&watcher->out);
}

void watcher_deinit(struct watcher *watcher) {
    hang_up(watcher);
}

short watcher_events(const struct watcher *watcher) {
    return buffer_length(&watcher->out) ? POLLIN | POLLOUT : POLLIN;
}

/* ---- coming and going ---- */

static void lose(struct watcher *watcher, const char *why, int64_t mono_ms) {
    int64_t most = watcher->refused ? PAUSE_REFUSED_MS : PAUSE_MOST_MS;
    hang_up(watcher);
    if (!watcher->refused)
        feed_connected(watcher->feed, false, NULL);
    if (!watcher->complained && watcher->pause_ms >= PAUSE_LOGGED_MS) {
        log_warning("not connected to the broker in %s: %s", watcher->runtime_dir, why);
        watcher->complained = true;
    }
    watcher->refused = false;
    if (watcher->pause_ms > most)
        watcher->pause_ms = most;
    watcher->due_ms = mono_ms + watcher->pause_ms;
    watcher->pause_ms = watcher->pause_ms * 2 < most ? watcher->pause_ms * 2 : most;
}

/* "ERR 403 why". A process has the groups that its user was in when it began. */
static void be_refused(struct watcher *watcher, const char *line) {
    char *why = NULL;
    long code = strncmp(line, "ERR ", 4) == 0 ? strtol(line + 4, &why, 10) : 0;
    char *text =
        code == 403
            ? mem_printf("its user (uid %u) is in neither the broker's --admin-group nor its "
                         "--viewer-group: add it to one of them, then start the console again",
                         (unsigned)geteuid())
            : mem_strdup(why ? why + strspn(why, " ") : line);
    json_t *string = json_string(text);
    char *json = json_dumps(string, JSON_ENCODE_ANY);
    feed_connected(watcher->feed, false, json);
    if (!watcher->complained)
        log_warning("the broker in %s refuses this console: %s", watcher->runtime_dir, text);
    watcher->complained = watcher->refused = true;
    free(json);
    json_decref(string);
    free(text);
}

static void try_again(struct watcher *watcher, int64_t mono_ms) {
    watcher->fd = exchange_dial(watcher->runtime_dir);
    if (watcher->fd < 0) {
        watcher->fd = -1;
        lose(watcher, "it is not running", mono_ms);
        return;
    }
    watcher->state = WATCHER_ASKING;
    watcher->due_ms = mono_ms + SILENCE_MS;
    buffer_append_text(&watcher->out, "json show info\n");
}

/* ---- which broker it is ---- */

static int64_t number(const json_t *object, const char *name) {
    return json_integer_value(json_object_get(object, name));
}

/* Each start of a broker on one store has a higher number, and events only grow. */
static bool is_same_life(const struct watcher *watcher, const json_t *info) {
    if (!watcher->begun || (uint64_t)number(info, "last_event") + 1 < watcher->next_seq)
        return false;
    int64_t start = number(info, "start");
    return start > watcher->start ||
           (start == watcher->start && number(info, "pid") == watcher->pid);
}

static void begin_watch(struct watcher *watcher, const json_t *info) {
    uint64_t last = (uint64_t)number(info, "last_event");
    if (!is_same_life(watcher, info)) {
        uint64_t after = last > RING_EVENTS_MAX ? last - RING_EVENTS_MAX : 0;
        feed_begin(watcher->feed, after, last);
        watcher->next_seq = after + 1;
    }
    watcher->begun = true;
    watcher->start = number(info, "start");
    watcher->pid = number(info, "pid");
    watcher->state = WATCHER_WATCHING;
    buffer_printf(&watcher->out, "json watch since=%" PRIu64 "\n", watcher->next_seq - 1);
}

/* ---- what it hears ---- */

static void hear_beat(struct watcher *watcher, const json_t *beat) {
    const char *time = json_string_value(json_object_get(beat, "time"));
    json_t *data = json_pack("{s:I, s:s}", "seq", number(beat, "seq"), "now", time ? time : "");
    char *text = json_dumps(data, JSON_COMPACT);
    if (text)
        feed_beat(watcher->feed, text);
    free(text);
    json_decref(data);
}

/* A gap needs no word of its own: the event behind it leaves a hole in the ring. */
static bool hear_news(struct watcher *watcher, const char *line, const json_t *object) {
    const char *type = json_string_value(json_object_get(object, "type"));
    if (!type)
        return false;
    if (strcmp(type, "heartbeat") == 0) {
        hear_beat(watcher, object);
    } else if (strcmp(type, "event") == 0) {
        uint64_t seq = (uint64_t)number(object, "seq");
        feed_event(watcher->feed, seq, line);
        if (seq >= watcher->next_seq)
            watcher->next_seq = seq + 1;
    }
    return true;
}

static bool hear_ok(struct watcher *watcher, const char *line, int64_t mono_ms) {
    if (strcmp(line, "OK") != 0) {
        be_refused(watcher, line);
        return false;
    }
    watcher->heard = true;
    if (watcher->state == WATCHER_ASKING)
        return true;
    feed_connected(watcher->feed, true, NULL);
    if (watcher->complained)
        log_info("connected to the broker in %s", watcher->runtime_dir);
    watcher->complained = false;
    watcher->pause_ms = PAUSE_FIRST_MS;
    watcher->due_ms = mono_ms + SILENCE_MS;
    return true;
}

/* False: this is no broker that one can watch. */
static bool hear(struct watcher *watcher, const char *line, int64_t mono_ms) {
    if (!*line)
        return true;
    if (!watcher->heard)
        return hear_ok(watcher, line, mono_ms);
    json_t *object = json_loads(line, 0, NULL);
    bool fine = json_is_object(object);
    if (fine && watcher->state == WATCHER_ASKING) {
        begin_watch(watcher, object);
        watcher->heard = false;
    } else if (fine) {
        fine = hear_news(watcher, line, object);
        watcher->due_ms = mono_ms + SILENCE_MS;
    }
    json_decref(object);
    return fine;
}

static bool hear_all(struct watcher *watcher, int64_t mono_ms) {
    struct buffer *in = &watcher->in;
    for (char *end;
         buffer_length(in) && (end = memchr(buffer_bytes(in), '\n', buffer_length(in)));) {
        size_t length = (size_t)(end - buffer_bytes(in));
        *end = '\0';
        if (!hear(watcher, buffer_bytes(in), mono_ms))
            return false;
        buffer_consume(in, length + 1);
    }
    return true;
}

void watcher_step(struct watcher *watcher, bool ready, int64_t mono_ms) {
    if (watcher->state == WATCHER_AWAY) {
        if (mono_ms >= watcher->due_ms)
            try_again(watcher, mono_ms);
        return;
    }
    if (ready) {
        bool more = exchange_receive(watcher->fd, &watcher->in, INPUT_MAX);
        if (!hear_all(watcher, mono_ms) || !more || buffer_length(&watcher->in) >= INPUT_MAX ||
            !exchange_send(watcher->fd, &watcher->out)) {
            lose(watcher, "it hung up", mono_ms);
            return;
        }
    }
    if (mono_ms >= watcher->due_ms)
        lose(watcher, "it does not answer", mono_ms);
}
