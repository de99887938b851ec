/* See respond.h. */
#include "respond.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "../memory.h"
#include "gate.h"

#define NO_STORE "no-store"

static const struct {
    const char *name, *value;
} SECURITY[] = {
    { "Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src "
                                 "'self'; connect-src 'self'; "
                                 "form-action 'self'; base-uri 'none'; frame-ancestors 'none'" },
    { "X-Content-Type-Options", "nosniff" },
    { "Referrer-Policy", "no-referrer" },
    { "Cross-Origin-Opener-Policy", "same-origin" },
    { "Cross-Origin-Resource-Policy", "same-origin" },
};

#define PAGE_BEGIN(title)                                                                          \
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"                      \
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"                   \
    "<title>" title " · keybroker</title>\n"                                                      \
    "<link rel=\"icon\" href=\"/icon.svg\">\n<link rel=\"stylesheet\" href=\"/app.css\">\n"
#define PAGE_BODY "</head>\n<body class=\"sign-in\">\n<main>\n<h1>keybroker</h1>\n"
#define PAGE_END "</main>\n</body>\n</html>\n"

/* $1 is the reason. Nothing in it comes from a request. */
static const char SIGN_IN[] = PAGE_BEGIN("Sign in") PAGE_BODY
    "<p>%s</p>\n"
    "<form method=\"post\" action=\"/login\">\n"
    "<label for=\"token\">Token</label>\n"
    "<input id=\"token\" name=\"token\" type=\"password\" required autofocus "
    "autocomplete=\"off\" spellcheck=\"false\">\n"
    "<button type=\"submit\">Sign in</button>\n</form>\n" PAGE_END;

/* $1 is the page's secret, which is URL-safe base64. */
static const char WELCOME[] =
    PAGE_BEGIN("Signing in") "<meta name=\"page-secret\" content=\"%s\">\n<script src=\"/app.js\" "
                             "defer></script>\n" PAGE_BODY
                             "<p>Signing in … If this stays, allow scripts and site data for this "
                             "page, then sign in "
                             "again.</p>\n" PAGE_END;

const char *respond_header(struct MHD_Connection *connection, const char *name) {
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

enum MHD_Result respond(struct MHD_Connection *connection, unsigned status,
                        struct MHD_Response *response, const char *type, const char *cache) {
    if (!response)
        return MHD_NO;
    for (size_t i = 0; i < sizeof SECURITY / sizeof *SECURITY; i++)
        if (!MHD_get_response_header(response, SECURITY[i].name))
            MHD_add_response_header(response, SECURITY[i].name, SECURITY[i].value);
    if (type)
        MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", cache ? cache : NO_STORE);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result respond_text(struct MHD_Connection *connection, unsigned status, const char *type,
                             const char *text) {
    return respond(
        connection, status,
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY), type,
        NULL);
}

static void free_buffer(void *owner) {
    buffer_deinit(owner);
    free(owner);
}

enum MHD_Result respond_buffer(struct MHD_Connection *connection, unsigned status,
                               struct buffer *owner, const char *body, size_t length) {
    struct buffer *kept = mem_alloc(sizeof *kept);
    *kept = *owner;
    *owner = (struct buffer){ 0 };
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
        length, (void *)body, free_buffer, kept);
    if (!response)
        free_buffer(kept);
    return respond(connection, status, response, "application/json", NULL);
}

static struct MHD_Response *refusal_response(const struct refusal *refusal) {
    json_t *body = json_pack("{s:i, s:s, s:s, s:s}", "code", refusal->code, "reason",
                             refusal->reason, "message", refusal->message, "field", refusal->field);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    const char *shown = text ? text : "{}";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(shown), (void *)shown, MHD_RESPMEM_MUST_COPY);
    free(text);
    json_decref(body);
    return response;
}

enum MHD_Result respond_refusal(struct MHD_Connection *connection, const struct refusal *refusal) {
    return respond(connection, (unsigned)refusal->code, refusal_response(refusal),
                   "application/json", NULL);
}

enum MHD_Result respond_refusal_and_close(struct MHD_Connection *connection,
                                          const struct refusal *refusal) {
    struct MHD_Response *response = refusal_response(refusal);
    if (response)
        MHD_add_response_header(response, "Connection", "close");
    return respond(connection, (unsigned)refusal->code, response, "application/json", NULL);
}

enum MHD_Result respond_asset(struct MHD_Connection *connection, const struct asset *asset) {
    static const char CACHE[] = "no-cache"; /* kept, but asked for each time */
    const char *known = respond_header(connection, "If-None-Match");
    bool same = known && strstr(known, asset->tag);
    bool gzip = gate_takes_gzip(respond_header(connection, "Accept-Encoding"));
    const unsigned char *from = gzip ? asset->gzip : asset->plain;
    const unsigned char *to = gzip ? asset->gzip_end : asset->plain_end;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        same ? 0 : (size_t)(to - from), (void *)from, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "ETag", asset->tag);
    MHD_add_response_header(response, "Vary", "Accept-Encoding");
    if (gzip && !same)
        MHD_add_response_header(response, "Content-Encoding", "gzip");
    return respond(connection, same ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK, response, asset->type,
                   CACHE);
}

static void wipe_page(void *page) {
    mem_wipe_string(page);
}

/* The text was made for it, and may hold a secret. */
static struct MHD_Response *page_response(char *page) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(strlen(page), page, wipe_page);
    if (!response)
        mem_wipe_string(page);
    return response;
}

enum MHD_Result respond_sign_in(struct MHD_Connection *connection, unsigned status,
                                const char *why) {
    struct MHD_Response *response = page_response(mem_printf(SIGN_IN, why));
    if (!response)
        return MHD_NO;
    if (status == MHD_HTTP_TOO_MANY_REQUESTS)
        MHD_add_response_header(response, "Retry-After", "1");
    /* Under no-referrer a browser sends its form without an origin, which /login asks for. */
    MHD_add_response_header(response, "Referrer-Policy", "same-origin");
    return respond(connection, status, response, "text/html; charset=utf-8", NULL);
}

enum MHD_Result respond_welcome(struct MHD_Connection *connection, const char *cookie,
                                const char *page_secret) {
    struct MHD_Response *response = page_response(mem_printf(WELCOME, page_secret));
    if (response)
        MHD_add_response_header(response, "Set-Cookie", cookie);
    return respond(connection, MHD_HTTP_OK, response, "text/html; charset=utf-8", NULL);
}

enum MHD_Result respond_with_cookie(struct MHD_Connection *connection, const char *cookie) {
    static char nothing[] = "";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Set-Cookie", cookie);
    MHD_add_response_header(response, "Location", "/");
    return respond(connection, MHD_HTTP_SEE_OTHER, response, NULL, NULL);
}
