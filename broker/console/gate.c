/* See gate.h. */
#include "gate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static void add(struct gate *gate, const char *name, uint16_t port) {
    if (gate->count == GATE_NAMES_MAX)
        return;
    char *place = gate->names[gate->count];
    int length = port ? snprintf(place, GATE_NAME_SIZE, "%s:%u", name, port)
                      : snprintf(place, GATE_NAME_SIZE, "%s", name);
    if (length > 0 && length < GATE_NAME_SIZE)
        gate->count++;
}

/* "name:443" and "[::1]:443" have a port, "name" and "[::1]" have none. */
static bool has_port(const char *name) {
    const char *bracket = strrchr(name, ']');
    return strchr(bracket ? bracket : name, ':') != NULL;
}

void gate_init(struct gate *gate, const char *address, uint16_t port, const char *const *hosts) {
    const char *const names[] = { address, "localhost", "127.0.0.1", "[::1]" };
    gate->count = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        add(gate, names[i], port);
        if (port == 80)
            add(gate, names[i], 0); /* browsers leave the port out where it is the usual one */
    }
    for (; *hosts; hosts++) {
        add(gate, *hosts, 0);
        if (!has_port(*hosts))
            add(gate, *hosts, port);
    }
}

bool gate_knows_host(const struct gate *gate, const char *host) {
    for (size_t i = 0; host && i < gate->count; i++)
        if (strcasecmp(gate->names[i], host) == 0)
            return true;
    return false;
}

/* TLS may end in front of the console, so the page's scheme is not known here. */
static bool names_host(const char *origin, const char *host) {
    static const char *const SCHEMES[] = { "http://", "https://" };
    for (size_t i = 0; origin && host && i < sizeof SCHEMES / sizeof *SCHEMES; i++) {
        size_t length = strlen(SCHEMES[i]);
        if (strncasecmp(origin, SCHEMES[i], length) == 0)
            return strcasecmp(origin + length, host) == 0;
    }
    return false;
}

bool gate_is_own_origin(const char *host, const char *origin, const char *fetch_site) {
    return names_host(origin, host) && (!fetch_site || strcmp(fetch_site, "same-origin") == 0);
}

bool gate_is_own_form(const char *host, const char *origin, const char *fetch_site) {
    if (origin && strcmp(origin, "null") == 0)
        return fetch_site && strcmp(fetch_site, "same-origin") == 0;
    return gate_is_own_origin(host, origin, fetch_site);
}

bool gate_is_own_fetch(const char *fetch_site) {
    return !fetch_site || strcmp(fetch_site, "same-origin") == 0 || strcmp(fetch_site, "none") == 0;
}

/* ---- framing ---- */

static bool is_one_of(const char *characters, const char *text) {
    return *text && !text[strspn(text, characters)];
}

void gate_look_at(struct gate_framing *framing, const char *name, const char *value) {
    static const char NAME[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "!#$%&'*+-.^_`|~";
    framing->malformed |= !is_one_of(NAME, name);
    framing->hosts += strcasecmp(name, "Host") == 0;
    framing->codings += strcasecmp(name, "Transfer-Encoding") == 0;
    if (strcasecmp(name, "Content-Length") == 0) {
        framing->lengths++;
        framing->malformed |= !value || !is_one_of("0123456789", value);
    }
}

bool gate_has_one_meaning(const struct gate_framing *framing) {
    return !framing->malformed && framing->hosts <= 1 && framing->lengths + framing->codings <= 1;
}

bool gate_split_target(const char *target, const char *host, char ret_host[GATE_NAME_SIZE],
                       const char **ret_path) {
    size_t length = host ? strlen(host) : 0;
    if (*target != '/') {
        const char *scheme = strncasecmp(target, "https://", 8) == 0 ? "https://" : "http://";
        if (strncasecmp(target, scheme, strlen(scheme)) != 0)
            return false;
        host = target + strlen(scheme);
        length = strcspn(host, "/");
        target = host[length] ? host + length : "/";
    }
    if (length >= GATE_NAME_SIZE)
        return false;
    memcpy(ret_host, host ? host : "", length);
    ret_host[length] = '\0';
    *ret_path = target;
    return true;
}

/* ---- content ---- */

bool gate_is_json(const char *content_type) {
    static const char JSON[] = "application/json";
    size_t length = sizeof JSON - 1;
    if (!content_type || strncasecmp(content_type, JSON, length) != 0)
        return false;
    const char *rest = content_type + length + strspn(content_type + length, " \t");
    return *rest == '\0' || *rest == ';';
}

/* "gzip;q=0" refuses it; any other weight takes it. */
bool gate_takes_gzip(const char *accept_encoding) {
    for (const char *at = accept_encoding; at && *at;) {
        at += strspn(at, ", \t");
        size_t length = strcspn(at, ",");
        size_t name = strcspn(at, ";, \t");
        if (name == 4 && strncasecmp(at, "gzip", 4) == 0) {
            const char *weight = memchr(at, '=', length);
            return !weight || strspn(weight + 1, "0.") != (size_t)(at + length - weight - 1);
        }
        at += length;
    }
    return false;
}
