/*
 * Responses, each with the headers that keep a browser from doing with it what nobody wants. All
 * answers of the console go through here, but for the few that libmicrohttpd gives by itself to
 * what is no HTTP; those are fixed texts.
 */
#ifndef CONSOLE_RESPOND_H
#define CONSOLE_RESPOND_H

#include <stdbool.h>
#include <stddef.h>

#include <microhttpd.h>

#include "../buffer.h"
#include "../refusal.h"
#include "asset.h"

/* Queue and give up `response` (NULL: no memory, the connection is closed). `cache` is the
 * Cache-Control, `type` the Content-Type; NULL = none. */
enum MHD_Result respond(struct MHD_Connection *connection, unsigned status,
                        struct MHD_Response *response, const char *type, const char *cache);

/* The text is copied. */
enum MHD_Result respond_text(struct MHD_Connection *connection, unsigned status, const char *type,
                             const char *text);
/* JSON that lies in a buffer, which is taken over. */
enum MHD_Result respond_buffer(struct MHD_Connection *connection, unsigned status,
                               struct buffer *owner, const char *body, size_t length);
/* {"code","reason","message","field"}, as the broker says it. */
enum MHD_Result respond_refusal(struct MHD_Connection *connection, const struct refusal *refusal);
/* The same, and the connection ends: where the request ends is not known for sure. */
enum MHD_Result respond_refusal_and_close(struct MHD_Connection *connection,
                                          const struct refusal *refusal);
enum MHD_Result respond_asset(struct MHD_Connection *connection, const struct asset *asset);
/* The page where one signs in, which says why. */
enum MHD_Result respond_sign_in(struct MHD_Connection *connection, unsigned status,
                                const char *why);
/* The page that the browser that was let in goes through: it sets the cookie and hands the page's
 * secret to the page's script, in what nobody logs or passes on. */
enum MHD_Result respond_welcome(struct MHD_Connection *connection, const char *cookie,
                                const char *page_secret);
/* 303 to the page, with a cookie. */
enum MHD_Result respond_with_cookie(struct MHD_Connection *connection, const char *cookie);

const char *respond_header(struct MHD_Connection *connection, const char *name); /* NULL = none */

#endif
