/* See session.h. Input here: bytes → lines and payloads → commands. Output is session_output.c. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "log.h"
#include "memory.h"
#include "server.h"

enum {
    WIPE_PIECE = 128 * 1024,    /* bytes of a used payload in a step; ~20 µs */
    RESERVE_PIECE = 256 * 1024, /* what a payload of unknown length is expected to have more */
};

/* ---- input ---- */

static struct reply *owe(struct session *session) {
    struct reply *reply = mem_alloc(sizeof *reply);
    reply->admin = session->admin;
    reply->session = session;
    *session->last = reply;
    session->last = &reply->next;
    session->owed++;
    return reply;
}

static void run(struct session *session, char *line, const char *payload, size_t length) {
    session->server->metrics.commands++;
    command_run(session, line, payload, length, owe(session));
}

static void refuse_line(struct session *session, const struct refusal *refusal) {
    struct reply *reply = owe(session);
    reply->refusal = *refusal;
    reply->ready = true;
}

static char *take_line(struct session *session, size_t length) {
    char *line = mem_alloc(length + 1);
    memcpy(line, buffer_bytes(&session->input), length);
    buffer_consume(&session->input, length + 1);
    session->scanned = 0;
    /* It goes on as a C string: what stands behind a NUL must not vanish, but be refused. */
    for (char *nul = line; (nul = memchr(nul, '\0', length - (size_t)(nul - line)));)
        *nul = '\1';
    if (length && line[length - 1] == '\r')
        line[length - 1] = '\0';
    return line;
}

/* " <<" or " <<LENGTH" at the end of a line announces a payload. */
static bool announces_payload(char *line, bool *ret_counted, size_t *ret_length) {
    char *mark = strrchr(line, '<');
    if (!mark || mark < line + 2 || mark[-1] != '<' || mark[-2] != ' ')
        return false;
    char *end;
    unsigned long long length = strtoull(mark + 1, &end, 10);
    if (*end || (mark[1] && (mark[1] < '0' || mark[1] > '9')))
        return false;
    *ret_counted = mark[1] != '\0';
    *ret_length = (size_t)length;
    mark[-2] = '\0';
    return true;
}

static void give_back(struct session *session) {
    session->server->payload_bytes -= session->payload_reserved;
    session->payload_reserved = 0;
}

/* All sessions' payloads together are bounded too: this one is to hold `want` bytes. */
static bool reserve_payload(struct session *session, size_t want) {
    size_t others = session->server->payload_bytes - session->payload_reserved;
    if (others + want > SESSION_PAYLOADS_MAX) {
        give_back(session);
        refuse(&session->payload_refusal, REFUSED_UNAVAILABLE, "busy", "",
               "too many large payloads are on their way: try again");
        return false;
    }
    session->payload_reserved = want;
    session->server->payload_bytes = others + want;
    return true;
}

static void begin_payload(struct session *session, char *line) {
    session->in_payload = true;
    session->line = line;
    session->payload_limit = command_payload_limit(line);
    session->payload_refusal.code = 0;
    session->payload_dropped = 0;
    session->payload_end = (struct empty_line){ 0 };
    if (!session->payload_limit)
        session->payload_limit = SESSION_LINE_MAX; /* command_run says what is wrong */
    /* Every command with a payload changes something; nothing is kept of a viewer's. */
    if (session->level < LEVEL_CHANGE) {
        session->payload_limit = SESSION_LINE_MAX;
        refuse(&session->payload_refusal, REFUSED_FORBIDDEN, "viewer", "",
               "you may look, not change");
    } else if (session->payload_counted && session->payload_length > session->payload_limit) {
        refuse(&session->payload_refusal, REFUSED_TOO_LARGE, "payload-too-large", "",
               "the payload has %zu bytes, at most %zu are taken", session->payload_length,
               session->payload_limit);
    } else if (session->payload_counted && reserve_payload(session, session->payload_length)) {
        buffer_expect(&session->input, session->payload_length);
    }
}

static void end_payload(struct session *session, const char *payload, size_t length) {
    char *line = session->line;
    session->line = NULL;
    session->in_payload = false;
    session->scanned = 0;
    if (session->payload_refusal.code)
        refuse_line(session, &session->payload_refusal);
    else
        run(session, line, payload, length);
    free(line);
}

/* The payload is used where it lies, an import may have 64 MiB; `end` bytes belong to it in all. */
static void use_payload(struct session *session, size_t length, size_t end) {
    if (!end) { /* no bytes at all; the buffer may have no memory either */
        end_payload(session, "", 0);
        return;
    }
    char *payload = buffer_bytes(&session->input);
    char after = payload[length]; /* the next command's, or the spare byte */
    payload[length] = '\0';
    end_payload(session, payload, length);
    payload[length] = after;
    session->spent = end;
}

/* Wiping 64 MiB takes milliseconds. */
static void wipe_some(struct session *session) {
    size_t piece = session->spent < WIPE_PIECE ? session->spent : WIPE_PIECE;
    buffer_consume(&session->input, piece);
    session->spent -= piece;
    if (!session->spent)
        give_back(session);
}

/* A payload that is refused is read to its end and dropped as it comes. */
static void drop_payload(struct session *session, size_t length) {
    buffer_consume(&session->input, length);
    session->payload_dropped += length;
}

/* True if progress was made, here and below. */
static bool read_counted(struct session *session) {
    size_t have = buffer_length(&session->input);
    if (session->payload_refusal.code) {
        size_t dropped = have < session->payload_length ? have : session->payload_length;
        drop_payload(session, dropped);
        session->payload_length -= dropped;
        if (session->payload_length)
            return false;
        end_payload(session, NULL, 0);
        return true;
    }
    session->scanned = have;
    if (have < session->payload_length)
        return false;
    use_payload(session, session->payload_length, session->payload_length);
    return true;
}

/* Where a line or a payload ends is not known any more: say why, then hang up. */
static void give_up(struct session *session, const char *what) {
    struct refusal refusal = { 0 };
    refuse(&refusal, REFUSED_TOO_LARGE, "too-large", "", "%s; the session ends here", what);
    log_warning("admin session of uid %u ends: %s", session->actor.uid, what);
    refuse_line(session, &refusal);
    give_back(session);
    buffer_deinit(&session->input);
    session->scanned = 0;
    session->in_payload = false;
    session->quitting = true;
}

static bool keep_uncounted(struct session *session) {
    size_t have = buffer_length(&session->input);
    if (session->payload_refusal.code || have <= session->payload_reserved)
        return !session->payload_refusal.code;
    return reserve_payload(session, (have / RESERVE_PIECE + 1) * RESERVE_PIECE);
}

static bool read_uncounted(struct session *session) {
    struct empty_line *line = &session->payload_end;
    size_t length = 0, end = 0;
    bool kept = keep_uncounted(session);
    bool ends = empty_line_find(line, buffer_bytes(&session->input), buffer_length(&session->input),
                                &length, &end);
    if (ends && kept && length <= session->payload_limit) {
        use_payload(session, length, end);
        return true;
    }
    if (ends) {
        if (kept)
            refuse(&session->payload_refusal, REFUSED_TOO_LARGE, "payload-too-large", "",
                   "the payload has more than %zu bytes", session->payload_limit);
        give_back(session);
        drop_payload(session, end);
        end_payload(session, NULL, 0);
        return true;
    }
    if (!kept)
        drop_payload(session, empty_line_drop(line, buffer_bytes(&session->input)));
    session->scanned = line->scanned;
    if (session->payload_dropped + buffer_length(&session->input) > session->payload_limit) {
        give_up(session, "a payload is too large and does not end");
        return true;
    }
    return false;
}

/* What only looks is run when nothing is owed before it, and nothing behind it until it is
 * answered. */
static bool must_wait(const struct session *session, const char *line, size_t length) {
    if (!session->first)
        return false;
    return session->level < LEVEL_CHANGE || session->first->alone ||
           session->owed >= SESSION_PIPELINE_MAX || command_only_looks(line, length);
}

static bool read_line(struct session *session) {
    const char *data = buffer_bytes(&session->input);
    size_t have = buffer_length(&session->input);
    const char *end = have > session->scanned
                          ? memchr(data + session->scanned, '\n', have - session->scanned)
                          : NULL;
    size_t length = end ? (size_t)(end - data) : have;
    if (length > SESSION_LINE_MAX) {
        give_up(session, "a line has more than 64 KiB");
        return true;
    }
    if (!end) {
        session->scanned = have;
        return false;
    }
    if (must_wait(session, data, length))
        return false;
    char *line = take_line(session, length);
    if (announces_payload(line, &session->payload_counted, &session->payload_length)) {
        begin_payload(session, line);
        return true;
    }
    if (line[strspn(line, " \t")])
        run(session, line, NULL, 0);
    mem_wipe_free(line, length); /* a secret may have been put where a command should stand */
    return true;
}

static bool read_input(struct session *session) {
    if (session->quitting || session->server->stopping)
        return false;
    if (session->spent) {
        wipe_some(session);
        return true;
    }
    if (!session->in_payload)
        return buffer_length(&session->input) && read_line(session);
    return session->payload_counted ? read_counted(session) : read_uncounted(session);
}

/* Reading pauses while there is enough that waits for its turn. */
static void steer_reading(struct session *session) {
    size_t looked_at = session->scanned > session->spent ? session->scanned : session->spent;
    bool pause = session->quitting || buffer_length(&session->input) - looked_at > SESSION_LINE_MAX;
    if (session->closed || session->ended || pause == session->paused)
        return;
    session->paused = pause;
    if (pause)
        loop_pause(session->server->loop, &session->source);
    else
        loop_resume(session->server->loop, &session->source);
}

static void session_data(struct loop_source *source, const void *data, size_t length,
                         bool truncated, int error) {
    (void)truncated; /* streams are not */
    struct session *session = source->owner;
    if (session->closed)
        return;
    if (error) {
        session_drop(session, NULL);
        return;
    }
    session->ended |= length == 0;
    if (!session->quitting && !buffer_append(&session->input, data, length)) {
        session_drop(session, "no memory for its input");
        return;
    }
    steer_reading(session);
    session_wake(session);
}

/* ---- its turn ---- */

void session_wake(struct session *session) {
    bool looks = session->level < LEVEL_CHANGE || session->watch.on ||
                 (session->first && session->first->alone);
    if (!session->closed)
        admin_wake(session->admin, session, looks);
}

static bool step(struct session *session) {
    if (buffer_length(&session->output) >= SESSION_OUTPUT_HIGH)
        return session_flush(session);
    return session_write_reply(session) || read_input(session) || session_write_watch(session);
}

/* May a step do something? Who has nothing to do must not stand in the line before others who have:
 * commands of two sessions are run in the order in which they came, as far as turns allow. */
static bool may_step(const struct session *session) {
    const struct reply *first = session->first;
    return (first && first->ready && !first->staged) || session->watch.begun || session->spent ||
           session->in_payload || buffer_length(&session->input) > session->scanned;
}

bool session_work(struct session *session, uint64_t until_mono_ns) {
    bool more = true;
    do {
        more = step(session);
    } while (more && !session->closed && moment_mono_ns() < until_mono_ns);
    if (session->closed)
        return false;
    more = more && may_step(session);
    bool idle = !more && buffer_length(&session->output) < SESSION_OUTPUT_HIGH;
    if (idle && session->ended && !session->first && !session->watch.on)
        session->quitting = true; /* what is left of its input is no whole command */
    bool sent = session_flush(session);
    if (!session->closed && sent && session->quitting && !session->first)
        session_drop(session, NULL);
    if (session->closed)
        return false;
    steer_reading(session);
    return more;
}

/* ---- its life ---- */

static void session_writable(struct loop_source *source) {
    struct session *session = source->owner;
    session->writing = false;
    session_wake(session);
}

static void session_gone(struct loop_source *source) {
    struct session *session = source->owner;
    buffer_deinit(&session->input);
    buffer_deinit(&session->output);
    if (session->line)
        mem_wipe_string(session->line);
    event_query_free(session->watch.page);
    free(session);
}

static const struct loop_callbacks SESSION_CALLBACKS = { .on_data = session_data,
                                                         .on_writable = session_writable,
                                                         .on_closed = session_gone };

struct session *session_new(struct admin *admin, struct server *server, int fd,
                            const struct actor *actor, enum command_level level) {
    struct session *session = mem_alloc(sizeof *session);
    session->admin = admin;
    session->server = server;
    session->actor = *actor;
    names_look_up(&server->names, actor, server->now.mono_ms, &session->names);
    session->actor.names = &session->names;
    session->level = level;
    session->last = &session->first;
    session->source = (struct loop_source){
        .fd = fd, .mode = LOOP_STREAM, .callbacks = &SESSION_CALLBACKS, .owner = session
    };
    if (loop_add(server->loop, &session->source) < 0) {
        free(session);
        return NULL;
    }
    struct session **head = admin_sessions(admin);
    session->next = *head;
    session->link = head;
    if (session->next)
        session->next->link = &session->next;
    *head = session;
    return session;
}

void session_drop(struct session *session, const char *why) {
    if (session->closed)
        return;
    session->closed = true;
    give_back(session);
    if (why)
        log_warning("admin session of uid %u dropped: %s", session->actor.uid, why);
    while (session->first) {
        struct reply *reply = session->first;
        session->first = reply->next;
        reply->session = NULL;
        if (!reply->staged)
            reply_free(reply);
    }
    session->last = &session->first;
    if (session->watch.asking)
        session->watch.asking->session = NULL;
    *session->link = session->next;
    if (session->next)
        session->next->link = session->link;
    admin_session_closed(session->admin, session);
    loop_close(session->server->loop, &session->source);
}
