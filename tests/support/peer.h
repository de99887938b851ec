/*
 * A peer of a broker's admin socket: sends commands and payloads as they are, takes replies apart.
 * Replies live until peers_close; a test frees nothing. Everything here ends the test with a
 * message when the broker does not answer in time.
 */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <jansson.h>

#include "broker.h"

struct answer {
    struct answer *next;
    int code;            /* 0 = OK, else 400 …; -1 = the first line is neither OK nor ERR */
    const char *status;  /* the first line, whole */
    const char *message; /* of an ERR, behind the code */
    const char *body;    /* the lines between the first and the empty one; "" = none */
    size_t length;       /* of the body */
    json_t *json;        /* the body, if it is one JSON value */
};

struct peer {
    struct peer *next;
    int fd; /* -1 = closed */
    char *input;
    size_t have, room;
    struct answer *answers;
};

/* Credentials to come with. */
struct peer_identity {
    uid_t uid;
    gid_t gid;
    size_t group_count; /* supplementary ones */
    gid_t groups[512];
};

struct peer *peer_open(const struct broker *broker);
/* As somebody else; the test must run as root. */
struct peer *peer_open_as(const struct broker *broker, const struct peer_identity *who);
/* NULL if the broker does not take the connection. */
struct peer *peer_try_open(const struct broker *broker);
void peer_close(struct peer *peer);

/* Take on an identity for what is called next, and come back from it. */
void peer_become(const struct peer_identity *who);
void peer_come_back(void);

/* ---- sending; all of them wait until everything is sent ---- */

void peer_send_bytes(struct peer *peer, const void *bytes, size_t length);
/* One line; the newline is added. */
void peer_send(struct peer *peer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line with a counted payload. */
void peer_send_payload(struct peer *peer, const char *payload, size_t length, const char *format,
                       ...) __attribute__((format(printf, 4, 5)));
/* What fits into the socket now, without waiting; what was sent, 0 = nothing, -1 = closed. */
ssize_t peer_try_send(struct peer *peer, const void *bytes, size_t length);

/* ---- receiving ---- */

/* A whole reply, in order. */
struct answer *peer_read(struct peer *peer);
/* One line without its newline, or NULL when the broker closed the connection. */
const char *peer_read_line(struct peer *peer);
/* The same, or NULL when none came within this time. */
const char *peer_wait_line(struct peer *peer, int timeout_ms);
/* Read everything until the broker closes; true if it did in time. */
bool peer_read_to_end(struct peer *peer);

/* ---- asking: send and read ---- */

struct answer *peer_ask(struct peer *peer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct answer *peer_ask_with(struct peer *peer, const char *payload, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same when only OK will do: ends the test with the broker's message otherwise. */
struct answer *peer_must(struct peer *peer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct answer *peer_must_with(struct peer *peer, const char *payload, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A pool with `keys` keys key1, key2 … (secrets PEER_SECRET), added and committed together. */
#define PEER_SECRET "sk-test-%06u-abcdefghijklmnop"
void peer_make_pool(struct peer *peer, const char *pool, const char *vendor, unsigned keys);
/* What most tests begin with: the broker started, a session with it, a pool "main" of OpenAI's. */
struct peer *peer_start(struct broker *broker, unsigned keys);
/* The same by an import, for thousands; names are "PREFIX00001" …. */
void peer_make_large_pool(struct peer *peer, const char *pool, const char *prefix, unsigned keys);

/* ---- taking JSON apart; a path is "keys.0.name" ---- */

const json_t *answer_at(const struct answer *answer, const char *path);
const char *answer_string(const struct answer *answer, const char *path); /* "" = none */
long long answer_number(const struct answer *answer, const char *path);   /* -1 = none */
const json_t *json_at(const json_t *json, const char *path);
const char *json_text(const json_t *json, const char *path);

/* A key's object in `show keys`, by name; NULL = none. */
const json_t *answer_key(const struct answer *answer, const char *name);
/* What `show key POOL KEY` says of its status. */
const char *peer_key_status(struct peer *peer, const char *pool, const char *key);

/* Close all of them. For scene_end. */
void peers_close(void);

#endif
