/*
 * Which request is whose, decided by its headers, before a byte of its body is looked at. Part of
 * the site (site.h).
 */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "../moment.h"
#include "phrase.h"
#include "respond.h"
#include "site.h"

enum { FORM_MAX = 4096 };

static const struct route ROUTES[] = {
    { .path = "/", .method = "GET", .handler = pages_root },
    { .path = "/app.js", .method = "GET", .handler = pages_asset },
    { .path = "/app.css", .method = "GET", .handler = pages_asset },
    { .path = "/icon.svg", .method = "GET", .handler = pages_asset },
    { .path = "/login", .method = "POST", .body_max = FORM_MAX, .handler = pages_login },
    { .path = "/logout", .method = "POST", .body_max = FORM_MAX, .handler = pages_logout },
    { .path = "/api/command",
      .method = "POST",
      .needs_visit = true,
      .is_command = true,
      .body_max = PHRASE_LARGE_BODY_MAX,
      .handler = api_command,
      .answer = api_pass },
    { .path = "/api/session",
      .method = "GET",
      .needs_visit = true,
      .handler = api_session,
      .answer = api_session_answer },
    { .path = "/api/stream", .method = "GET", .needs_visit = true, .handler = api_stream },
    { .path = "/metrics", .method = "GET", .handler = api_metrics, .answer = api_metrics_answer },
};

static const struct route *find(const char *path) {
    for (size_t i = 0; i < sizeof ROUTES / sizeof *ROUTES; i++)
        if (strcmp(ROUTES[i].path, path) == 0)
            return &ROUTES[i];
    return NULL;
}

/* The cookie alone shows the page; it takes the page's secret too to be somebody who signed in. */
static void find_visit(struct call *call) {
    struct visits *visits = &call->site->visits;
    int64_t now = moment_now().mono_ms;
    const char *cookie =
        MHD_lookup_connection_value(call->connection, MHD_COOKIE_KIND, call->site->cookie);
    const char *page = respond_header(call->connection, "Keybroker-Page-Secret");
    struct visit_secrets secrets;
    if (!cookie || strlen(cookie) >= sizeof secrets.cookie)
        return;
    call->has_cookie = visits_know(visits, cookie, now);
    if (!page || strlen(page) >= sizeof secrets.page)
        return;
    strcpy(secrets.cookie, cookie);
    strcpy(secrets.page, page);
    call->visit = visits_find(visits, &secrets, now);
    sodium_memzero(&secrets, sizeof secrets);
}

/* Where it comes from. */
static int check_origin(struct call *call, const struct route *route) {
    struct MHD_Connection *connection = call->connection;
    const char *host = call->host;
    const char *origin = respond_header(connection, "Origin");
    const char *site = respond_header(connection, "Sec-Fetch-Site");
    bool own = true;
    if (route->is_command)
        own = gate_is_own_origin(host, origin, site);
    else if (route->body_max)
        own = gate_is_own_form(host, origin, site);
    else if (route->needs_visit)
        own = gate_is_own_fetch(site);
    return own ? 0
               : refuse(&call->refusal, REFUSED_FORBIDDEN, "foreign-origin", "Origin",
                        "only the console's own page may ask that");
}

/* How much comes. Browsers say it in advance; what doesn't is not read. */
static int check_body(struct call *call, const struct route *route) {
    const char *length = respond_header(call->connection, "Content-Length");
    if (respond_header(call->connection, "Transfer-Encoding"))
        return refuse(&call->refusal, MHD_HTTP_LENGTH_REQUIRED, "length-required", "Content-Length",
                      "say how long the body is");
    unsigned long long bytes = length ? strtoull(length, NULL, 10) : 0;
    call->early = bytes > 2 * PHRASE_LARGE_BODY_MAX;
    if (bytes > route->body_max)
        return refuse(&call->refusal, REFUSED_TOO_LARGE, "too-large", "",
                      "at most %zu bytes are taken", route->body_max);
    if (route->is_command && !gate_is_json(respond_header(call->connection, "Content-Type")))
        return refuse(&call->refusal, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "wrong-type", "Content-Type",
                      "application/json is expected");
    return 0;
}

static enum MHD_Result look_at_header(void *userdata, enum MHD_ValueKind kind, const char *name,
                                      const char *value) {
    (void)kind;
    gate_look_at(userdata, name, value);
    return MHD_YES;
}

static bool is_ambiguous(struct call *call) {
    struct gate_framing framing = { 0 };
    MHD_get_connection_values(call->connection, MHD_HEADER_KIND, look_at_header, &framing);
    call->ambiguous = call->early = !gate_has_one_meaning(&framing);
    return call->ambiguous;
}

void route_call(struct call *call, const char *url, const char *method) {
    struct refusal *refusal = &call->refusal;
    if (is_ambiguous(call)) {
        refuse(refusal, REFUSED_SYNTAX, "ambiguous", "", "the headers have more than one meaning");
        return;
    }
    const char *host = respond_header(call->connection, "Host");
    if (!gate_split_target(url, host, call->host, &url)) {
        refuse(refusal, REFUSED_NOT_FOUND, "no-such-page", "", "there is nothing at that address");
        return;
    }
    if (!gate_knows_host(&call->site->gate, call->host)) {
        refuse(refusal, REFUSED_FORBIDDEN, "foreign-host", "Host",
               "the console is not known by that name: --host NAME makes it");
        return;
    }
    const struct route *route = find(url);
    if (!route || (route->handler == api_metrics && !call->site->metrics.set)) {
        refuse(refusal, REFUSED_NOT_FOUND, "no-such-page", "", "there is nothing at that address");
        return;
    }
    call->head = strcmp(method, "HEAD") == 0;
    if (strcmp(method, route->method) != 0 &&
        !(call->head && strcmp(route->method, "GET") == 0 && !route->needs_visit)) {
        call->allow = route->method;
        refuse(refusal, MHD_HTTP_METHOD_NOT_ALLOWED, "wrong-method", "", "use %s", route->method);
        return;
    }
    if (check_origin(call, route) || check_body(call, route))
        return;
    find_visit(call);
    site_note_caller(call, call->visit != 0);
    if (route->needs_visit && !call->visit) {
        refuse(refusal, MHD_HTTP_UNAUTHORIZED, "no-session", "", "sign in first");
        return;
    }
    call->route = route;
}
