/* See session.h. Output here: replies in order, listings piece by piece, watched events. */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "admin.h"
#include "listing.h"
#include "memory.h"
#include "printable.h"
#include "render.h"
#include "server.h"
#include "view.h"

enum { WATCH_BATCH = 256 };

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

/* True when the whole reply is in the output. */
static bool write_reply(struct session *session, struct reply *reply) {
    struct buffer *out = &session->output;
    if (reply->refusal.code) {
        session->server->metrics.refused++;
        write_refusal(reply, out);
    } else if (reply->listing) {
        if (!reply->listing->begun)
            buffer_append_text(out, "OK\n");
        if (!listing_write(reply->listing, session->server, reply->json, out))
            return false;
    } else {
        buffer_append_text(out, "OK\n");
        if (reply->watch)
            session->watch.begun = true;
        else
            write_body(reply, out);
    }
    if (!reply->watch)
        buffer_append_text(out, "\n");
    return true;
}

static void ask_for_events(struct session *session) {
    struct event_query *query = mem_alloc(sizeof *query);
    query->after = session->watch.next - 1;
    query->limit = WATCH_BATCH;
    struct reply *owner = mem_alloc(sizeof *owner);
    owner->session = session;
    owner->watch = true;
    owner->staged = true;
    query->owner = owner;
    session->watch.asking = owner;
    server_query_events(session->server, query);
}

/* ---- sending ---- */

static bool flush_output(struct session *session) {
    struct buffer *out = &session->output;
    while (buffer_length(out)) {
        ssize_t sent = send(session->source.fd, buffer_bytes(out), buffer_length(out),
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            buffer_consume(out, (size_t)sent);
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            session_drop(session, NULL);
        else if (!session->writing) {
            session->writing = true;
            loop_want_write(session->server->loop, &session->source);
        }
        return false;
    }
    return true;
}

/* Move ready replies to the output. True if a listing has more to give. */
static bool write_replies(struct session *session) {
    while (session->first && session->first->ready &&
           buffer_length(&session->output) < SESSION_OUTPUT_HIGH) {
        struct reply *reply = session->first;
        if (!write_reply(session, reply))
            return true;
        session->first = reply->next;
        if (!session->first)
            session->last = &session->first;
        session->owed--;
        reply_free(reply);
    }
    return session->first && session->first->ready;
}

void session_pump(struct session *session) {
    bool more = write_replies(session);
    if (!flush_output(session))
        return;
    if ((more || session_may_resume(session)) && !session->writing) {
        /* The next piece in the next turn: others come first. So do commands that were held back:
         * this may be called while a group of commands is being settled. */
        session->writing = true;
        loop_want_write(session->server->loop, &session->source);
    }
    const struct watch *watch = &session->watch;
    if (watch->begun && !watch->live && !watch->asking && !watch->stuck)
        ask_for_events(session);
    if (session->quitting && !session->first)
        session_drop(session, NULL);
}

/* ---- watching ---- */

static void watch_line(struct session *session, json_t *object) {
    if (session->watch.json) {
        char *text = json_dumps(object, JSON_COMPACT);
        buffer_printf(&session->output, "%s\n", text);
        free(text);
    } else {
        render_row(object, &session->output);
    }
    json_decref(object);
}

static void write_event(struct session *session, const struct event *event) {
    session->watch.next = event->seq + 1;
    if (session->watch.pool_id && session->watch.pool_id != event->pool_id)
        return;
    json_t *object = json_pack("{s:s}", "type", "event"), *fields = view_event(event);
    json_object_update(object, fields);
    json_decref(fields);
    watch_line(session, object);
}

static void push_watch(struct session *session) {
    if (buffer_length(&session->output) > SESSION_OUTPUT_MAX) {
        session_drop(session, "it watches and does not read");
        return;
    }
    session_pump(session);
}

void session_watch_event(struct session *session, const struct event *event) {
    if (!session->watch.live || event->seq < session->watch.next)
        return;
    write_event(session, event);
    push_watch(session);
}

void session_watch_heartbeat(struct session *session, uint64_t last_event, int64_t wall_ms) {
    if (session->watch.stuck) {
        session->watch.stuck = false;
        session_pump(session);
        return;
    }
    if (!session->watch.live)
        return;
    watch_line(session, json_pack("{s:s, s:I, s:o}", "type", "heartbeat", "seq",
                                  (json_int_t)last_event, "time", view_time(wall_ms)));
    push_watch(session);
}

/* Events between the one that comes next and `seq` are not kept any more. */
static void tell_gap(struct session *session, uint64_t seq) {
    if (seq <= session->watch.next)
        return;
    watch_line(session, json_pack("{s:s, s:I, s:I}", "type", "gap", "from",
                                  (json_int_t)session->watch.next, "to", (json_int_t)seq - 1));
    session->watch.next = seq;
}

void session_watch_answer(struct session *session, const struct event *events, int count,
                          uint64_t oldest, uint64_t newest) {
    session->watch.asking = NULL;
    if (count >= 0)
        tell_gap(session, oldest);
    for (int i = 0; i < count; i++) {
        tell_gap(session, events[i].seq);
        write_event(session, &events[i]);
    }
    if (count >= 0 && count < WATCH_BATCH)
        tell_gap(session, newest + 1);
    /* Groups and queries come back in order: what was committed after this answer has yet to
     * arrive. */
    session->watch.stuck = count < 0;
    session->watch.live = count >= 0 && session->watch.next > newest;
    push_watch(session);
}
