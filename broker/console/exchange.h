/*
 * An exchange: one request to the broker and its answer, on a connection of its own, so that one
 * that is stuck holds up no other. Never blocks; the link (link.h) steps it when its socket is
 * ready, and ends it when its time is over. Link's thread only, but for what its maker fills in.
 */
#ifndef CONSOLE_EXCHANGE_H
#define CONSOLE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../buffer.h"

enum {
    EXCHANGE_TIME_MS = 5000,
    EXCHANGE_BYTES_PER_MS = 256, /* more time for a request of many keys */
    EXCHANGE_NO_BROKER = 502,
    EXCHANGE_REPLY_MAX = 64 * 1024 * 1024,
};

struct exchange {
    struct exchange *next;
    struct buffer request;                   /* line and payload; filled in before link_send */
    int64_t patience_ms;                     /* likewise */
    void (*done)(struct exchange *exchange); /* likewise; called in the link's thread */
    void *owner;                             /* likewise */

    int fd; /* -1 = not connected */
    int64_t deadline_ms;
    struct buffer reply;

    /* What came of it: 0 = OK, the code of a refusal, or EXCHANGE_NO_BROKER. */
    int code;
    bool sent;           /* the whole request: it may have been carried out, whatever `code` says */
    const char *message; /* of a refusal, or why there is no answer */
    const char *body;    /* NUL-terminated, in `reply`; "" = none */
    size_t body_length;
};

/* Connect. True if it goes on; false: it is over, with `code` and `message`. */
bool exchange_begin(struct exchange *exchange, const char *runtime_dir, int64_t mono_ms);
/* What to poll its descriptor for. */
short exchange_events(const struct exchange *exchange);
/* Its socket is ready: send, receive. False: it is over. */
bool exchange_step(struct exchange *exchange);
void exchange_fail(struct exchange *exchange, const char *message);
void exchange_deinit(struct exchange *exchange);

/* A connection to the broker's admin socket that never blocks, or -errno. */
int exchange_dial(const char *runtime_dir);
/* Send what the buffer holds, as far as it goes. False: the connection is broken. */
bool exchange_send(int fd, struct buffer *out);
/* Receive what is there, until the buffer has `most` bytes or a piece more. False: nothing more
 * comes. */
bool exchange_receive(int fd, struct buffer *in, size_t most);

#endif
