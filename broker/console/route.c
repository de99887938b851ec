/*
 * Which request is whose, decided by its headers, before a byte of its body is looked at. Part of
 * the site (site.h).
 */
#include <stdlib.h>
#include <string.h>

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

static uint64_t find_visit(struct call *call) {
    const char *cookie =
        MHD_lookup_connection_value(call->connection, MHD_COOKIE_KIND, call->site->cookie);
    return cookie ? visits_find(&call->site->visits, cookie, moment_now().mono_ms) : 0;
}

/* Where it comes from. */
static int check_origin(struct call *call, const struct route *route) {
    struct MHD_Connection *connection = call->connection;
    const char *host = respond_header(connection, "Host");
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

void route_call(struct call *call, const char *url, const char *method) {
    struct refusal *refusal = &call->refusal;
    if (!gate_knows_host(&call->site->gate, respond_header(call->connection, "Host"))) {
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
    call->visit = find_visit(call);
    if (route->needs_visit && !call->visit) {
        refuse(refusal, MHD_HTTP_UNAUTHORIZED, "no-session", "", "sign in first");
        return;
    }
    call->route = route;
}
