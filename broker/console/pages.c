/* The page's files, signing in and out. Part of the site (site.h). */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "../log.h"
#include "../moment.h"
#include "respond.h"
#include "site.h"

static const char ASK[] = "Open the address that keybroker-console printed, or paste its token.";
static const char WRONG[] = "That token is wrong, or was used already. keybroker-console prints a "
                            "new address each time one was used.";
static const char TOO_OFTEN[] =
    "Too many wrong tokens came from where you are. Wait a second, then "
    "try again.";

enum MHD_Result pages_asset(struct call *call) {
    return respond_asset(call->connection, asset_find(call->route->path));
}

/* ---- signing in ---- */

static bool is_right(struct site *site, const char *token) {
    if (token_matches(&site->standing, token))
        return true;
    if (!token_matches(&site->once, token))
        return false;
    site_print_address(site);
    return true;
}

static enum MHD_Result let_in(struct call *call) {
    struct site *site = call->site;
    struct visit_secrets secrets;
    char cookie[160];
    visits_begin(&site->visits, moment_now().mono_ms, &secrets);
    const char *scheme = respond_header(call->connection, "X-Forwarded-Proto");
    bool secure = scheme && strcmp(scheme, "https") == 0;
    snprintf(cookie, sizeof cookie, "%s=%s; HttpOnly; SameSite=Strict; Path=/%s", site->cookie,
             secrets.cookie, secure ? "; Secure" : "");
    log_info("a browser signed in");
    enum MHD_Result result = respond_welcome(call->connection, cookie, secrets.page);
    sodium_memzero(&secrets, sizeof secrets);
    sodium_memzero(cookie, sizeof cookie);
    return result;
}

/* Looked at only while there is patience: guessing is slow, however it is done. */
static enum MHD_Result sign_in(struct call *call, const char *token) {
    struct patience *patience = &call->site->patience;
    struct caller caller = site_caller(call);
    int64_t now = moment_now().mono_ms;
    if (!patience_has(patience, &caller, now))
        return respond_sign_in(call->connection, MHD_HTTP_TOO_MANY_REQUESTS, TOO_OFTEN);
    if (is_right(call->site, token))
        return let_in(call);
    patience_spend(patience, &caller, now);
    log_warning("a wrong token came");
    return respond_sign_in(call->connection, MHD_HTTP_UNAUTHORIZED, WRONG);
}

/* A token in the address is for the address bar. As a picture or a script of another site's page it
 * would spend the tries of whoever looks at that page. */
static bool is_embedded(const struct call *call) {
    const char *wanted = respond_header(call->connection, "Sec-Fetch-Dest");
    return wanted && strcmp(wanted, "document") != 0;
}

enum MHD_Result pages_root(struct call *call) {
    const char *token =
        MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, "token");
    if (token && !call->head && !is_embedded(call))
        return sign_in(call, token);
    /* A page that has lost its secret, or whose visit is over, comes with "sign-in". */
    bool again = MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, "sign-in");
    if (!call->has_cookie || again)
        return respond_sign_in(call->connection, MHD_HTTP_UNAUTHORIZED, ASK);
    return pages_asset(call);
}

enum MHD_Result pages_login(struct call *call) {
    static const char FIELD[] = "token=";
    char form[TOKEN_MOST_CHARACTERS * 3 + sizeof FIELD] = "";
    size_t length = buffer_length(&call->body);
    if (length < sizeof FIELD - 1 || length >= sizeof form ||
        memcmp(buffer_bytes(&call->body), FIELD, sizeof FIELD - 1) != 0)
        return respond_sign_in(call->connection, MHD_HTTP_UNAUTHORIZED, WRONG);
    memcpy(form, buffer_bytes(&call->body), length);
    form[strcspn(form, "&")] = '\0';
    MHD_http_unescape(form);
    enum MHD_Result result = sign_in(call, form + sizeof FIELD - 1);
    sodium_memzero(form, sizeof form);
    return result;
}

enum MHD_Result pages_logout(struct call *call) {
    struct site *site = call->site;
    char cookie[96];
    visits_end(&site->visits, call->visit);
    feed_wake(&site->feed); /* its streams end */
    snprintf(cookie, sizeof cookie, "%s=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0",
             site->cookie);
    return respond_with_cookie(call->connection, cookie);
}
