/* See session.h. Input here: bytes → lines and payloads → commands. Output is session_output.c. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "admin.h"
#include "log.h"
#include "memory.h"
#include "server.h"

/* ---- input ---- */

static struct reply *owe(struct session *session) {
    struct reply *reply = mem_alloc(sizeof *reply);
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

/* All sessions' payloads together are bounded too. */
static void reserve_payload(struct session *session) {
    size_t want = session->payload_counted ? session->payload_length : session->payload_limit;
    if (session->server->payload_bytes + want > SESSION_PAYLOADS_MAX) {
        refuse(&session->payload_refusal, REFUSED_UNAVAILABLE, "busy", "",
               "too many large payloads are on their way: try again");
        return;
    }
    session->payload_reserved = want;
    session->server->payload_bytes += want;
}

static void begin_payload(struct session *session, char *line) {
    session->in_payload = true;
    session->line = line;
    session->payload_limit = command_payload_limit(line);
    session->payload_refusal.code = 0;
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
    } else {
        reserve_payload(session);
    }
}

static void end_payload(struct session *session, const char *payload, size_t length) {
    give_back(session);
    char *line = session->line;
    session->line = NULL;
    session->in_payload = false;
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
    buffer_consume(&session->input, end);
}

/* True if progress was made. A payload that is refused is read to its end and dropped as it comes.
 */
static bool read_counted(struct session *session) {
    size_t have = buffer_length(&session->input);
    if (session->payload_refusal.code) {
        size_t dropped = have < session->payload_length ? have : session->payload_length;
        buffer_consume(&session->input, dropped);
        session->payload_length -= dropped;
        if (session->payload_length)
            return false;
        end_payload(session, NULL, 0);
        return true;
    }
    if (have < session->payload_length)
        return false;
    use_payload(session, session->payload_length, session->payload_length);
    return true;
}

/* Length of the text before the first empty line, and of that line's end; false = not there yet. */
static bool find_empty_line(struct session *session, size_t *ret_length, size_t *ret_end) {
    const char *data = buffer_bytes(&session->input);
    size_t have = buffer_length(&session->input);
    size_t at = session->scanned;
    for (const char *end; at < have && (end = memchr(data + at, '\n', have - at));) {
        size_t line_end = (size_t)(end - data), length = line_end - at;
        if (length == 0 || (length == 1 && data[at] == '\r')) {
            *ret_length = at;
            *ret_end = line_end + 1;
            return true;
        }
        at = line_end + 1;
    }
    session->scanned = at; /* the beginning of the line that is not whole yet */
    return false;
}

/* Where a line or a payload ends is not known any more: say why, then hang up. */
static void give_up(struct session *session, const char *what) {
    struct refusal refusal = { 0 };
    refuse(&refusal, REFUSED_TOO_LARGE, "too-large", "", "%s; the session ends here", what);
    log_warning("admin session of uid %u ends: %s", session->actor.uid, what);
    refuse_line(session, &refusal);
    buffer_deinit(&session->input);
    session->scanned = 0;
    session->quitting = true;
}

static bool read_uncounted(struct session *session) {
    size_t length, end;
    if (!find_empty_line(session, &length, &end)) {
        if (buffer_length(&session->input) > session->payload_limit)
            give_up(session, "a payload is too large and does not end");
        return false;
    }
    if (length > session->payload_limit)
        refuse(&session->payload_refusal, REFUSED_TOO_LARGE, "payload-too-large", "",
               "the payload has more than %zu bytes", session->payload_limit);
    use_payload(session, length, end);
    session->scanned = 0;
    return true;
}

static bool read_line(struct session *session) {
    const char *data = buffer_bytes(&session->input);
    size_t have = buffer_length(&session->input);
    const char *end = have > session->scanned
                          ? memchr(data + session->scanned, '\n', have - session->scanned)
                          : NULL;
    if (!end) {
        session->scanned = have;
        if (have > SESSION_LINE_MAX)
            give_up(session, "a line has more than 64 KiB");
        return false;
    }
    if ((size_t)(end - data) > SESSION_LINE_MAX) {
        give_up(session, "a line has more than 64 KiB");
        return false;
    }
    size_t length = (size_t)(end - data);
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

static bool may_read(const struct session *session) {
    return !session->closed && !session->quitting && session->owed < SESSION_PIPELINE_MAX &&
           buffer_length(&session->output) < SESSION_OUTPUT_HIGH;
}

bool session_may_resume(const struct session *session) {
    return session->paused && may_read(session);
}

/* Something to go on with: bytes, or a payload of none. */
static bool has_input(const struct session *session) {
    return buffer_length(&session->input) ||
           (session->in_payload && session->payload_counted && !session->payload_length);
}

static void consume_input(struct session *session) {
    while (may_read(session) && has_input(session)) {
        bool progress = !session->in_payload       ? read_line(session)
                        : session->payload_counted ? read_counted(session)
                                                   : read_uncounted(session);
        if (!progress)
            break;
    }
    if (session->ended && may_read(session) && !session->watch.on)
        session->quitting = true;
    bool pause = !may_read(session);
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
    if (!buffer_append(&session->input, data, length)) {
        session_drop(session, "no memory for its input");
        return;
    }
    consume_input(session);
    if (!session->closed)
        session_pump(session);
}

/* ---- its life ---- */

static void session_writable(struct loop_source *source) {
    struct session *session = source->owner;
    session->writing = false;
    if (session->closed)
        return;
    session_pump(session);
    if (!session->closed)
        consume_input(session);
    if (!session->closed)
        session_pump(session);
}

static void session_gone(struct loop_source *source) {
    struct session *session = source->owner;
    buffer_deinit(&session->input);
    buffer_deinit(&session->output);
    if (session->line)
        mem_wipe_string(session->line);
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
        if (reply->ready || !reply->staged)
            reply_free(reply);
    }
    session->last = &session->first;
    if (session->watch.asking)
        session->watch.asking->session = NULL;
    *session->link = session->next;
    if (session->next)
        session->next->link = session->link;
    admin_session_closed(session->admin);
    loop_close(session->server->loop, &session->source);
}
