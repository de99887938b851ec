/* See session.h. Output here: replies in order, listings piece by piece, watched events. */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "admin.h"
#include "bulletin.h"
#include "listing.h"
#include "memory.h"
#include "printable.h"
#include "render.h"
#include "server.h"

enum {
    WATCH_BATCH = 64,       /* events that are asked for at once */
    NEWS_PIECE = 16,        /* events in a step */
    SEND_PIECE = 32 * 1024, /* bytes in a call: the kernel copies them */
};

void reply_free(struct reply *reply) {
    json_decref(reply->body);
    mem_wipe_string(reply->text);
    listing_free(reply->listing);
    free(reply);
}

/* ---- one reply ---- */

static void write_refusal(struct reply *reply, struct buffer *out) {
    struct refusal *refusal = &reply->refusal;
    printable_replace(refusal->message); /* it quotes what the peer sent */
    printable_replace(refusal->field);
    buffer_printf(out, "ERR %d %s\n", refusal->code, refusal->message);
    if (!reply->json)
        return;
    json_t *body = json_pack("{s:i, s:s, s:s, s:s}", "code", refusal->code, "reason",
                             refusal->reason, "message", refusal->message, "field", refusal->field);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    buffer_printf(out, "%s\n", text ? text : "{}");
    free(text);
    json_decref(body);
}

static void write_body(const struct reply *reply, struct buffer *out) {
    if (reply->json && reply->text) {
        json_t *body = json_pack("{s:s}", "text", reply->text);
        char *text = json_dumps(body, JSON_COMPACT);
        buffer_printf(out, "%s\n", text);
        mem_wipe_string(text);
        json_decref(body);
    } else if (reply->text) {
        buffer_append_text(out, reply->text);
    } else if (reply->json) {
        char *text = reply->body ? json_dumps(reply->body, JSON_COMPACT) : NULL;
        buffer_printf(out, "%s\n", text ? text : "{}");
        mem_wipe_string(text);
    } else if (reply->body) {
        render_text(reply->body, out);
    }
}

/* The first reply is in the output, whole. */
static void end_reply(struct session *session) {
    struct reply *reply = session->first;
    if (!reply->watch)
        buffer_append_text(&session->output, "\n");
    session->first = reply->next;
    if (!session->first)
        session->last = &session->first;
    session->owed--;
    reply_free(reply);
}

static void write_whole(struct session *session, struct reply *reply) {
    struct buffer *out = &session->output;
    if (reply->refusal.code) {
        session->server->metrics.refused++;
        write_refusal(reply, out);
    } else {
        buffer_append_text(out, "OK\n");
        if (reply->watch)
            session->watch.begun = true;
        else
            write_body(reply, out);
    }
}

/* A list that ends in the middle must not be taken for a whole one. */
static void fail_listing(struct session *session, struct reply *reply) {
    if (reply->listing->begun) {
        session_drop(session, "what it was shown can't be read any more");
        return;
    }
    refuse(&reply->refusal, REFUSED_UNAVAILABLE, "store-unavailable", "",
           "the events can't be read now");
    write_whole(session, reply);
    end_reply(session);
}

static bool write_listed(struct session *session, struct reply *reply) {
    json_t *row = NULL;
    switch (reply->listing->step(reply->listing, session->server, &row)) {
    case LISTING_WAITS:
        reply->staged = true;
        return false;
    case LISTING_FAILED:
        fail_listing(session, reply);
        return true;
    case LISTING_WORKED:
        return true;
    case LISTING_ROW:
    case LISTING_END:
        break;
    }
    if (!reply->listing->begun)
        buffer_append_text(&session->output, "OK\n");
    listing_write(reply->listing, row, reply->json, &session->output);
    if (!row)
        end_reply(session);
    return true;
}

bool session_write_reply(struct session *session) {
    struct reply *reply = session->first;
    if (!reply || !reply->ready || reply->staged)
        return false;
    if (reply->listing && !reply->refusal.code)
        return write_listed(session, reply);
    write_whole(session, reply);
    end_reply(session);
    return true;
}

/* ---- sending ---- */

bool session_flush(struct session *session) {
    struct buffer *out = &session->output;
    while (buffer_length(out) && !session->writing) {
        size_t piece = buffer_length(out) < SEND_PIECE ? buffer_length(out) : SEND_PIECE;
        ssize_t sent =
            send(session->source.fd, buffer_bytes(out), piece, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            buffer_consume(out, (size_t)sent);
            session->watch.deaf = 0;
        } else if (errno == EAGAIN) {
            session->writing = true;
            loop_want_write(session->server->loop, &session->source);
        } else if (errno != EINTR) {
            session_drop(session, NULL);
            return false;
        }
    }
    return !buffer_length(out);
}

/* ---- watching ---- */

void session_begin_watch(struct session *session, bool json, uint64_t next, uint64_t pool_id) {
    session->watch = (struct watch){ .on = true, .json = json, .next = next, .pool_id = pool_id };
    admin_begin_watch(session->admin);
}

static void ask_for_events(struct session *session) {
    struct event_query *query = mem_alloc(sizeof *query);
    query->after = session->watch.next - 1;
    query->limit = WATCH_BATCH;
    struct reply *owner = mem_alloc(sizeof *owner);
    owner->admin = session->admin;
    owner->session = session;
    owner->watch = true;
    owner->staged = true;
    query->owner = owner;
    session->watch.asking = owner;
    admin_ask(session->admin, query);
}

static void write_object(struct session *session, json_t *object) {
    size_t length;
    char *text = bulletin_make_line(object, session->watch.json, &length);
    buffer_append(&session->output, text, length);
    free(text);
}

static void write_line(struct session *session, const struct line *line) {
    buffer_append(&session->output, line->text[session->watch.json],
                  line->length[session->watch.json]);
}

static bool is_watched(const struct watch *watch, const struct event *event) {
    return !watch->pool_id || watch->pool_id == event->pool_id;
}

/* Some of what happened since; true if there was any. */
static bool write_news(struct session *session, struct bulletin *bulletin) {
    struct watch *watch = &session->watch;
    struct notice *notice;
    unsigned written = 0;
    while (written < NEWS_PIECE && (notice = bulletin_find(bulletin, watch->next))) {
        if (is_watched(watch, &notice->event))
            write_line(session, bulletin_line(bulletin, notice, watch->json));
        watch->next = notice->event.seq + 1;
        written++;
    }
    return written;
}

/* Events between the one that comes next and `seq` are not kept any more. */
static void tell_gap(struct session *session, uint64_t seq) {
    if (seq <= session->watch.next)
        return;
    write_object(session, json_pack("{s:s, s:I, s:I}", "type", "gap", "from",
                                    (json_int_t)session->watch.next, "to", (json_int_t)seq - 1));
    session->watch.next = seq;
}

/* The next event of what the store answered. */
static void write_past(struct session *session) {
    struct watch *watch = &session->watch;
    struct event_query *page = watch->page;
    tell_gap(session, page->oldest);
    if (watch->page_next < page->result) {
        const struct event *event = &page->events[watch->page_next++];
        tell_gap(session, event->seq);
        if (is_watched(watch, event))
            write_object(session, bulletin_event(event));
        watch->next = event->seq + 1;
        return;
    }
    if (page->result < WATCH_BATCH)
        tell_gap(session, page->newest + 1);
    watch->page = event_query_free(page);
}

bool session_write_watch(struct session *session) {
    struct watch *watch = &session->watch;
    struct bulletin *bulletin = admin_bulletin(session->admin);
    if (!watch->begun || session->first || session->quitting || watch->asking || watch->stuck)
        return false;
    if (watch->page) {
        write_past(session);
        return true;
    }
    if (!bulletin_covers(bulletin, watch->next)) {
        ask_for_events(session);
        return false;
    }
    if (write_news(session, bulletin))
        return true;
    if (!watch->beat_due)
        return false;
    watch->beat_due = false;
    write_line(session, bulletin_beat_line(bulletin, watch->json));
    return true;
}

void session_watch_heartbeat(struct session *session) {
    struct watch *watch = &session->watch;
    if (!watch->begun)
        return;
    bool behind = !bulletin_covers(admin_bulletin(session->admin), watch->next);
    if (session->writing && behind && ++watch->deaf > SESSION_DEAF_BEATS) {
        session_drop(session, "it watches and does not read");
        return;
    }
    watch->stuck = false;
    watch->beat_due = true;
    session_wake(session);
}

void session_watch_answer(struct session *session, struct event_query *query) {
    struct watch *watch = &session->watch;
    watch->asking = NULL;
    watch->stuck = query->result < 0;
    watch->page_next = 0;
    watch->page = watch->stuck ? event_query_free(query) : query;
    session_wake(session);
}
