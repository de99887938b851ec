/*
 * A keybroker-console as a process of its own, and what talks to it: connections over which a test
 * sends what no browser would send, and reads answers and streams as they come. Whatever any of
 * them received is kept to the end of the test, so that a secret can be looked for in all of it.
 * Everything here ends the test with a message when it cannot do its work.
 */
#ifndef TESTS_CONSOLE_H
#define TESTS_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "program.h"

struct console {
    struct console *next;
    struct program *program;
    char address[64]; /* "127.0.0.1:40123" */
    /* After console_sign_in; "" before: */
    const char *cookie;  /* "keybroker_40123=…", */
    const char *secret;  /* the page's, */
    const char *session; /* and both as lines of a request's headers */
};

/* On the broker's runtime directory, at a port of its own, with further options (NULL at the end);
 * waits for its address. */
struct console *console_start(const struct broker *broker, ...) __attribute__((sentinel));
/* The token in the address that it printed last; "" = none. */
const char *console_token(struct console *console);
/* Let this test in: console->cookie, ->secret and ->session. */
void console_sign_in(struct console *console);
/* Be somebody with this cookie and this secret of the page ("" = without). */
void console_be(struct console *console, const char *cookie, const char *secret);
/* SIGTERM, and wait: its exit code, or 128 + the signal that ended it. */
int console_stop(struct console *console);

/* ---- connections ---- */

struct web_answer {
    struct web_answer *next;
    int status;
    char *head; /* status line and headers, NUL-terminated */
    char *body; /* likewise */
    size_t length;
};

struct web {
    struct web *next;
    int fd; /* -1 = closed */
    char *input;
    size_t have, room;
    char *text; /* of a stream, without its chunks */
    size_t text_length, text_room;
    bool ended; /* the stream, by its last chunk */
    struct web_answer *answers;
};

struct web *web_open(const struct console *console);
void web_close(struct web *web);
/* False: it was closed by the other side. */
bool web_send_bytes(struct web *web, const void *bytes, size_t length);
bool web_send(struct web *web, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A whole answer; NULL when the connection was closed before one came. */
struct web_answer *web_read(struct web *web);
/* True if the console closes the connection within this time; what it sends is read and dropped. */
bool web_is_closed_within(struct web *web, int timeout_ms);
/* A header's value, "" = none. */
const char *web_header(const struct web_answer *answer, const char *name);

/* ---- asking, on a connection of its own ---- */

/* `headers`: further lines, each ended by "\r\n". */
struct web_answer *web_ask(const struct console *console, const char *method, const char *path,
                           const char *headers, const char *body);
/* A command as the page sends it; `payload` is JSON text or NULL. */
struct web_answer *web_command(const struct console *console, const char *words,
                               const char *payload);

/* ---- streams ---- */

/* Open one, with further header lines; it was answered 200. */
struct web *web_stream(const struct console *console, const char *headers);
/* The next message without its end ("event: change\ndata: …"), comments left out. NULL: none came
 * within this time, or it ended. Lives as long as the test. */
const char *web_message(struct web *web, int timeout_ms);
/* The same of this kind ("change"), others skipped. */
const char *web_message_of(struct web *web, const char *kind, int timeout_ms);

/* ---- the end ---- */

/* A test of a console: `b` is a broker that was not started yet. */
#define TEST_CONSOLE(suite, name)                                                                  \
    static void suite##_##name(struct broker *b);                                                  \
    static void suite##_##name##_end(void) {                                                       \
        consoles_end();                                                                            \
        scene_end();                                                                               \
    }                                                                                              \
    Test(suite, name, .fini = suite##_##name##_end, .timeout = 180) {                              \
        suite##_##name(scene_begin(NULL));                                                         \
        consoles_stop();                                                                           \
        scene_passed();                                                                            \
    }                                                                                              \
    static void suite##_##name(struct broker *b)

/* SIGTERM to all that run; ends the test if one of them ends badly. */
void consoles_stop(void);
/* Did any answer or stream so far hold this text? */
bool web_has_received(const char *text);
/* Forget everything; consoles that run are killed with the other programs. Before scene_end. */
void consoles_end(void);

#endif
