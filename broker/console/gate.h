/*
 * The gate: what a request's headers say about where it comes from. A page of another site can
 * make a browser send requests here (with a name that it made point to this host, or with a form),
 * so nothing is believed before Host, Origin and Content-Type are as this console's own page sends
 * them. Pure.
 */
#ifndef CONSOLE_GATE_H
#define CONSOLE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GATE_NAMES_MAX = 24, GATE_NAME_SIZE = 264 };

/* The values that a Host header may have. */
struct gate {
    char names[GATE_NAMES_MAX][GATE_NAME_SIZE];
    size_t count;
};

/* `address`: as it stands in a URL, without the port; the names of the loopback count too. `hosts`
 * (NULL at the end): further names, with or without a port. */
void gate_init(struct gate *gate, const char *address, uint16_t port, const char *const *hosts);

/* Header values may be NULL: not sent. */
bool gate_knows_host(const struct gate *gate, const char *host);

/* A change: Origin must name the host that was asked; a browser that says more (Sec-Fetch-Site)
 * must say the same. */
bool gate_is_own_origin(const char *host, const char *origin, const char *fetch_site);

/* A form of our own page: the same, but a browser that hides the origin ("null") is believed when
 * it says that the form was ours, which no page can make it say. */
bool gate_is_own_form(const char *host, const char *origin, const char *fetch_site);

/* Reading: not at the wish of another site's page. "none": a person typed the address. */
bool gate_is_own_fetch(const char *fetch_site);

/* What of a request's headers bounds it or says whom it is for. Proxies in front read some of it
 * otherwise than the HTTP library here, so what has two meanings is refused (RFC 9112, 3.2, 5.1,
 * 6.3): a second Host or Content-Length, one that is no number, a length beside a transfer coding,
 * a name with a blank in it. */
struct gate_framing {
    unsigned hosts, lengths, codings;
    bool malformed;
};
void gate_look_at(struct gate_framing *framing, const char *name, const char *value);
bool gate_has_one_meaning(const struct gate_framing *framing);

/* A request's target: "/path", or "http://name/path", whose name counts instead of the Host header
 * (RFC 9112, 3.2.2). Fills *ret_path, and `ret_host` from the target or from `host` (may be NULL).
 * False: it is neither, or the name is too long for one of ours. */
bool gate_split_target(const char *target, const char *host, char ret_host[GATE_NAME_SIZE],
                       const char **ret_path);

bool gate_is_json(const char *content_type);
bool gate_takes_gzip(const char *accept_encoding);

#endif
