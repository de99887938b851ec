/*
 * The admin socket as the command sees it: find the runtime directory, connect, send one request,
 * read one reply, line by line and within a bound. What the lines mean is other files' business.
 */
#ifndef KEYBROKER_CLI_ADMIN_CLIENT_H
#define KEYBROKER_CLI_ADMIN_CLIENT_H

#include "text.h"

#include <stdbool.h>
#include <stddef.h>

struct cli_context;

/* The longest reply that is taken: an import may have 64 MiB, so an export must have more. */
#define CLI_REPLY_BYTES_MAX ((size_t)256 << 20)

enum cli_read {
    CLI_READ_LINE = 1,
    CLI_READ_END = 0,          /* the broker closed the connection, or it was reset */
    CLI_READ_TOO_LONG = -1,    /* more than bytes_max */
    CLI_READ_TIMEOUT = -2,     /* nothing came for too long */
    CLI_READ_INTERRUPTED = -3, /* the operator pressed Ctrl-C at the prompt */
};

struct cli_connection {
    int fd;
    unsigned timeout_s;     /* of each wait; 0 = none */
    struct cli_text buffer; /* bytes received; taken ones are before `taken` */
    size_t taken;
    size_t bytes_left; /* that may still be received in this reply */
};

struct cli_reply {
    bool ok;
    bool sent; /* the request left, so it may have taken effect, even without a reply */
    int code;  /* of ERR; 0 with ok */
    struct cli_text status; /* ERR's message */
    struct cli_text body;   /* lines, separated by line feeds */
};
#define CLI_REPLY_INIT                                                                             \
    { 0 }

/* The directory that would be asked, whether or not a broker is there; caller frees. */
char *cli_runtime_dir(const struct cli_context *context);

/* Connect; `timeout_s` bounds each later wait (0 = none). 0, or -1 with ret_why set. */
int cli_connect(const struct cli_context *context, unsigned timeout_s,
                struct cli_connection *ret_connection, struct cli_text *ret_why);
void cli_disconnect(struct cli_connection *connection);

/* Send a request line (without its line feed) and the payload that goes with it. A broker that
 * hangs up early may have answered already, so that is not an error here; read the reply. */
void cli_send(struct cli_connection *connection, const char *line, const struct cli_text *payload);

/* The next line without its line feed, replacing what `line` held. */
enum cli_read cli_read_line(struct cli_connection *connection, struct cli_text *line);

/* A whole reply: status line, body, empty line. */
enum cli_read cli_read_reply(struct cli_connection *connection, struct cli_reply *reply);

/* Only the status line (watch); the body's lines follow with cli_read_line. */
enum cli_read cli_read_status(struct cli_connection *connection, struct cli_reply *reply);

void cli_reply_deinit(struct cli_reply *reply);

/* Connect, send, read. CLI_OK (whatever the reply says) or CLI_UNREACHABLE with ret_why set; the
 * reply is to be deinited either way. */
int cli_request(const struct cli_context *context, const char *line, const struct cli_text *payload,
                unsigned timeout_s, struct cli_reply *reply, struct cli_text *ret_why);

#endif
