/* What the page asks for, and /metrics. Part of the site (site.h). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <jansson.h>
#include <keybroker.h>

#include "../memory.h"
#include "../moment.h"
#include "../timetext.h"
#include "phrase.h"
#include "respond.h"
#include "site.h"

enum { STREAM_SOCKET_BYTES = 32 * 1024 }; /* that one who does not read may leave lying */

/* ---- commands ---- */

enum MHD_Result api_command(struct call *call) {
    struct phrase phrase;
    if (phrase_read(&phrase, buffer_bytes(&call->body), buffer_length(&call->body), &call->refusal))
        return respond_refusal(call->connection, &call->refusal);
    buffer_deinit(&call->body);
    call->exchange.request = phrase.bytes;
    call->changes = phrase.changes;
    return site_ask_broker(call);
}

/* No answer came, or one that is no JSON (who may not come in is told so in text). */
static enum MHD_Result say_why(struct call *call) {
    const struct exchange *exchange = &call->exchange;
    if (exchange->code == EXCHANGE_NO_BROKER)
        refuse(&call->refusal, EXCHANGE_NO_BROKER, "no-broker", "", "%s%s", exchange->message,
               exchange->sent && call->changes ? "; what was asked may have been done" : "");
    else
        refuse(&call->refusal, exchange->code, "refused", "", "%s", exchange->message);
    return respond_refusal(call->connection, &call->refusal);
}

enum MHD_Result api_pass(struct call *call) {
    struct exchange *exchange = &call->exchange;
    if (exchange->code == EXCHANGE_NO_BROKER || exchange->body[0] != '{')
        return say_why(call);
    unsigned status = exchange->code ? (unsigned)exchange->code : MHD_HTTP_OK;
    return respond_buffer(call->connection, status, &exchange->reply, exchange->body,
                          exchange->body_length);
}

/* ---- the session ---- */

enum MHD_Result api_session(struct call *call) {
    buffer_append_text(&call->exchange.request, "json show info\n");
    return site_ask_broker(call);
}

enum MHD_Result api_session_answer(struct call *call) {
    if (call->exchange.code)
        return api_pass(call);
    json_t *info = json_loads(call->exchange.body, 0, NULL);
    const char *access = json_string_value(json_object_get(info, "access"));
    char now[TIMETEXT_SIZE];
    json_t *body = json_pack("{s:s, s:s, s:s}", "access", access ? access : "viewer", "version",
                             KB_VERSION, "now", timetext_format(moment_now().wall_ms, now));
    char *text = json_dumps(body, JSON_COMPACT);
    enum MHD_Result result =
        respond_text(call->connection, MHD_HTTP_OK, "application/json", text ? text : "{}");
    free(text);
    json_decref(body);
    json_decref(info);
    return result;
}

/* ---- the stream ---- */

/* Last-Event-ID is newer than the address, which stays the same when a browser connects again. */
static bool read_since(struct MHD_Connection *connection, uint64_t *ret_since) {
    const char *text = respond_header(connection, "Last-Event-ID");
    if (!text)
        text = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "since");
    char *end;
    if (!text || *text < '0' || *text > '9' || strlen(text) > 18)
        return false;
    *ret_since = strtoull(text, &end, 10);
    return *end == '\0';
}

enum MHD_Result api_stream(struct call *call) {
    struct MHD_Connection *connection = call->connection;
    uint64_t since = 0;
    bool resumes = read_since(connection, &since);
    struct MHD_Response *response =
        feed_open(&call->site->feed, connection, call->visit, resumes, since);
    if (!response) {
        refuse(&call->refusal, REFUSED_UNAVAILABLE, "too-many-streams", "",
               "too many pages are open: close some");
        return respond_refusal(connection, &call->refusal);
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &(int){ STREAM_SOCKET_BYTES }, sizeof(int));
    MHD_add_response_header(response, "X-Accel-Buffering", "no"); /* a proxy must pass it on */
    return respond(connection, MHD_HTTP_OK, response, "text/event-stream", NULL);
}

/* ---- metrics ---- */

static bool may_have_metrics(struct call *call) {
    static const char SCHEME[] = "Bearer ";
    const char *given = respond_header(call->connection, "Authorization");
    if (!given || strncasecmp(given, SCHEME, sizeof SCHEME - 1) != 0) {
        refuse(&call->refusal, MHD_HTTP_UNAUTHORIZED, "wrong-token", "Authorization",
               "the token of --metrics-token-file is expected");
        return false;
    }
    struct patience *patience = &call->site->metrics_patience;
    struct caller caller = site_caller(call);
    int64_t now = moment_now().mono_ms;
    if (!patience_has(patience, &caller, now)) {
        refuse(&call->refusal, MHD_HTTP_TOO_MANY_REQUESTS, "too-often", "Authorization",
               "too many wrong tokens came from where you are: wait a second");
        return false;
    }
    if (token_matches(&call->site->metrics, given + sizeof SCHEME - 1))
        return true;
    patience_spend(patience, &caller, now);
    refuse(&call->refusal, MHD_HTTP_UNAUTHORIZED, "wrong-token", "Authorization",
           "that is not the token of --metrics-token-file");
    return false;
}

enum MHD_Result api_metrics(struct call *call) {
    if (!may_have_metrics(call))
        return respond_refusal(call->connection, &call->refusal);
    site_note_caller(call, true);
    buffer_append_text(&call->exchange.request, "json show metrics\n");
    return site_ask_broker(call);
}

enum MHD_Result api_metrics_answer(struct call *call) {
    json_t *body = call->exchange.code ? NULL : json_loads(call->exchange.body, 0, NULL);
    const char *text = json_string_value(json_object_get(body, "text"));
    enum MHD_Result result = text ? respond_text(call->connection, MHD_HTTP_OK,
                                                 "text/plain; version=0.0.4; charset=utf-8", text)
                                  : api_pass(call);
    json_decref(body);
    return result;
}
