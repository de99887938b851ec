/*
 * keybroker-console and bad HTTP: what is too large, too slow, malformed or out of order is refused
 * or dropped, and those who ask properly are answered meanwhile. And a broker that does not answer.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <criterion/criterion.h>

#include "tests/support/console.h"
#include "tests/support/peer.h"

static struct console *start(struct broker *b) {
    broker_start(b, NULL);
    peer_make_pool(peer_open(b), "main", "openai", 3);
    struct console *console = console_start(b, NULL);
    console_sign_in(console);
    return console;
}

static void still_works(const struct console *console) {
    cr_assert_eq(web_command(console, "[\"show\",\"pools\"]", NULL)->status, 200);
}

/* What comes back to raw bytes: a status, or 0 when the connection was closed without one. */
static int status_of(const struct console *console, const char *bytes) {
    struct web *web = web_open(console);
    web_send_bytes(web, bytes, strlen(bytes));
    struct web_answer *answer = web_read(web);
    int status = answer ? answer->status : 0;
    web_close(web);
    return status;
}

static bool is_refusal(int status) {
    return status == 0 || (status >= 400 && status < 500) || status == 505;
}

TEST_CONSOLE(console_http, unknown_addresses_and_wrong_methods_are_told_apart) {
    static const char *const UNKNOWN[] = { "/nothing",    "/api",    "/api/command/",
                                           "/index.html", "/../",    "/app.js/",
                                           "/%2e%2e/etc", "/APP.JS", "//",
                                           "/api/stream2" };
    static const struct {
        const char *method, *path, *allow;
    } WRONG[] = { { "POST", "/", "GET" },
                  { "DELETE", "/app.js", "GET" },
                  { "GET", "/api/command", "POST" },
                  { "PUT", "/api/command", "POST" },
                  { "POST", "/api/stream", "GET" },
                  { "HEAD", "/api/stream", "GET" },
                  { "GET", "/login", "POST" },
                  { "GET", "/logout", "POST" },
                  { "OPTIONS", "/", "GET" },
                  { "TRACE", "/", "GET" } };
    struct console *console = start(b);
    for (size_t i = 0; i < sizeof UNKNOWN / sizeof *UNKNOWN; i++)
        cr_assert_eq(web_ask(console, "GET", UNKNOWN[i], "", NULL)->status, 404, "%s", UNKNOWN[i]);
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        struct web *web = web_open(console);
        web_send(web, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", WRONG[i].method, WRONG[i].path,
                 console->address, console->session);
        /* A HEAD's answer has a length and no body. */
        char head[16] = "";
        EVENTUALLY(web->fd < 0 || recv(web->fd, head, 15, MSG_PEEK | MSG_DONTWAIT) == 15);
        cr_assert_eq(atoi(head + 9), 405, "%s %s: %s", WRONG[i].method, WRONG[i].path, head);
    }
    still_works(console);
}

TEST_CONSOLE(console_http, what_is_no_http_is_refused_or_dropped) {
    static const char *const BAD[] = {
        "\r\n\r\n\r\n\r\nnonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "POST /api/command HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /api/command HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        "POST /api/command HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /api/command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "\x16\x03\x01\x02\x01\x01\xfc\x03\x03 a TLS hello\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    };
    struct console *console = start(b);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        int status = status_of(console, BAD[i]);
        cr_assert(is_refusal(status), "%s: %d", BAD[i], status);
    }
    still_works(console);
}

/* A proxy in front may take the other one of two. */
TEST_CONSOLE(console_http, what_has_two_meanings_is_refused_and_nothing_behind_it_is_read) {
    static const char *const TWICE[] = {
        "Content-Length: 26\r\nContent-Length: 0\r\n",
        "Content-Length: 0\r\nContent-Length: 26\r\n",
        "Content-Length: 26\r\ncontent-length: 26\r\n",
        "Content-Length: 26\r\nHost: other\r\n",
        "Content-Length : 26\r\n",
        "Content-Length: 26\r\nX y: z\r\n",
        "Content-Length: 26, 26\r\n",
        "Content-Length: +26\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 26\r\n",
    };
    struct console *console = start(b);
    for (size_t i = 0; i < sizeof TWICE / sizeof *TWICE; i++) {
        struct web *web = web_open(console);
        web_send(web,
                 "POST /api/command HTTP/1.1\r\nHost: %s\r\n%sOrigin: http://%s\r\n"
                 "Content-Type: application/json\r\n%s\r\n{\"words\":[\"show\",\"pools\"]}"
                 "GET /icon.svg HTTP/1.1\r\nHost: %s\r\n\r\n",
                 console->address, console->session, console->address, TWICE[i], console->address);
        struct web_answer *answer = web_read(web);
        cr_assert(!answer || answer->status == 400, "%s: %s", TWICE[i], answer->head);
        cr_assert_null(web_read(web), "%s: the connection ends", TWICE[i]);
    }
    struct web *web = web_open(console);
    web_send(web, "GET /icon.svg HTTP/1.1\r\nHost: %s\r\nHost: %s\r\n\r\n", console->address,
             console->address);
    cr_assert_eq(web_read(web)->status, 400);
    still_works(console);
}

TEST_CONSOLE(console_http, a_target_with_a_name_is_answered_for_that_name) {
    struct console *console = start(b);
    const struct {
        const char *target, *host;
        int status;
    } ASKED[] = {
        { scene_text("http://%s/icon.svg", console->address), console->address, 200 },
        { scene_text("HTTP://%s/icon.svg?x=1", console->address), "foreign.example", 200 },
        { scene_text("https://%s/icon.svg", console->address), console->address, 200 },
        { scene_text("http://%s", console->address), console->address, 200 },
        { scene_text("http://%s/nothing", console->address), console->address, 404 },
        { "http://foreign.example/icon.svg", console->address, 403 },
        { scene_text("http://user@%s/icon.svg", console->address), console->address, 403 },
        { "ftp://x/icon.svg", console->address, 404 },
        { "icon.svg", console->address, 404 },
        { "*", console->address, 404 },
    };
    for (size_t i = 0; i < sizeof ASKED / sizeof *ASKED; i++) {
        struct web *web = web_open(console);
        web_send(web, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", ASKED[i].target, ASKED[i].host,
                 console->session);
        struct web_answer *answer = web_read(web);
        cr_assert_eq(answer->status, ASKED[i].status, "%s: %s", ASKED[i].target, answer->head);
    }
    struct web *web = web_open(console);
    web_send(web,
             "POST http://%s/api/command HTTP/1.1\r\nHost: %s\r\n%sOrigin: http://%s\r\n"
             "Content-Type: application/json\r\nContent-Length: 27\r\n\r\n"
             "{\"words\":[\"show\",\"pools\"]}\n",
             console->address, console->address, console->session, console->address);
    cr_assert_eq(web_read(web)->status, 200);
}

TEST_CONSOLE(console_http, a_body_whose_length_nobody_said_is_not_read) {
    struct console *console = start(b);
    struct web *web = web_open(console);
    web_send(web,
             "POST /api/command HTTP/1.1\r\nHost: %s\r\n%sOrigin: http://%s\r\n"
             "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
             "1a\r\n{\"words\":[\"show\",\"pools\"]}\r\n0\r\n\r\n",
             console->address, console->session, console->address);
    cr_assert_eq(web_read(web)->status, 411);
    still_works(console);
}

TEST_CONSOLE(console_http, headers_that_do_not_end_are_refused) {
    struct console *console = start(b);
    struct web *web = web_open(console);
    web_send(web, "GET / HTTP/1.1\r\nHost: %s\r\n", console->address);
    bool open = true;
    for (unsigned i = 0; open && i < 4000; i++)
        open = web_send(web, "X-More-%u: %0100u\r\n", i, i);
    web_send(web, "\r\n");
    struct web_answer *answer = web_read(web);
    cr_assert(!answer || answer->status == 431 || answer->status == 413, "%s", answer->head);
    char *long_path = calloc(1, 100001);
    memset(long_path, 'a', 100000);
    int status = status_of(console, scene_text("GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", long_path));
    free(long_path);
    cr_assert(is_refusal(status), "%d", status);
    still_works(console);
}

/* A command with a payload of this many bytes. */
static struct web_answer *send_large(const struct console *console, const char *words,
                                     size_t bytes) {
    char *text = malloc(bytes + 3);
    memset(text, 'a', bytes + 2);
    text[0] = text[bytes + 1] = '"';
    text[bytes + 2] = '\0';
    struct web_answer *answer = web_command(console, words, text);
    free(text);
    return answer;
}

/* By the console; what the broker says of a key that long is another matter. */
static bool is_too_large(const struct web_answer *answer) {
    return answer->status == 413 && strstr(answer->body, "bytes are taken");
}

TEST_CONSOLE(console_http, bodies_are_bounded_by_what_they_are_for) {
    enum { KIB = 1024, MIB = 1024 * KIB };
    static const char ADD[] = "[\"add\",\"key\",\"main\"]", IMPORT[] = "[\"import\",\"main\"]";
    struct console *console = start(b);
    cr_assert_not(is_too_large(send_large(console, ADD, 63 * KIB)));
    cr_assert(is_too_large(send_large(console, ADD, 64 * KIB)));
    cr_assert_not(is_too_large(send_large(console, IMPORT, 8 * MIB - KIB)));
    cr_assert(is_too_large(send_large(console, IMPORT, 8 * MIB)));
    cr_assert_eq(web_ask(console, "POST", "/login",
                         scene_text("Origin: http://%s\r\n", console->address),
                         scene_text("token=%05000d", 0))
                     ->status,
                 413);
    struct web *web = web_open(console);
    web_send(web,
             "POST /api/command HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\n"
             "Content-Length: 1000000000000\r\n\r\n",
             console->address, console->address);
    cr_assert_eq(web_read(web)->status, 413, "before a byte of it came");
    still_works(console);
}

TEST_CONSOLE(console_http, requests_that_follow_each_other_at_once_are_answered_in_order) {
    struct console *console = start(b);
    struct web *web = web_open(console);
    const char *head = scene_text("Host: %s\r\n%s", console->address, console->session);
    for (unsigned i = 0; i < 20; i++)
        web_send(web, "GET /api/session HTTP/1.1\r\n%s\r\nGET /nothing HTTP/1.1\r\n%s\r\n", head,
                 head);
    web_send(web, "garbage that is no request\r\n\r\n");
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(web_read(web)->status, 200);
        cr_assert_eq(web_read(web)->status, 404);
    }
    struct web_answer *last = web_read(web);
    cr_assert(!last || last->status == 400, "%s", last->head);
    still_works(console);
}

TEST_CONSOLE(console_http, who_is_slow_is_dropped_and_holds_nobody_up) {
    enum { IDLE_MS = 10000, SLACK_MS = 5000 };
    struct console *console = start(b);
    struct web *silent = web_open(console), *half = web_open(console), *body = web_open(console);
    web_send(half, "GET / HTTP/1.1\r\nHost: %s\r\nX-Half", console->address);
    web_send(body,
             "POST /api/command HTTP/1.1\r\nHost: %s\r\n%sOrigin: http://%s\r\n"
             "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"words\"",
             console->address, console->session, console->address);
    int64_t begun = scene_now_ms();
    still_works(console);
    cr_assert(web_is_closed_within(silent, IDLE_MS + SLACK_MS));
    cr_assert(web_is_closed_within(half, SLACK_MS));
    cr_assert(web_is_closed_within(body, SLACK_MS));
    cr_assert_geq(scene_now_ms() - begun, IDLE_MS - 1000);
    still_works(console);
}

TEST_CONSOLE(console_http, a_strangers_thousand_slow_connections_leave_others_answered) {
    enum { SLOW = 1000, ROUNDS = 5 };
    struct console *console = start(b);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct web *stream = web_stream(console, "");
    struct web *kept = web_open(console);
    const char *session = scene_text("GET /api/session HTTP/1.1\r\nHost: %s\r\n%s\r\n",
                                     console->address, console->session);
    web_send(kept, "%s", session);
    cr_assert_eq(web_read(kept)->status, 200);
    struct web **slow = calloc(SLOW, sizeof(struct web *));
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < SLOW; i++) {
            if (!slow[i] || !web_send(slow[i], "X")) { /* it was ended: the stranger comes anew */
                if (slow[i])
                    web_close(slow[i]);
                slow[i] = web_open(console);
                web_send(slow[i], "GET / HTTP/1.1\r\nX-Slow: ");
            }
        }
        still_works(console);
        web_send(kept, "%s", session);
        struct web_answer *answer = web_read(kept);
        cr_assert_not_null(answer, "a connection that is signed in was ended");
        cr_assert_eq(answer->status, 200);
        cr_assert_not_null(web_message_of(stream, "beat", SCENE_PATIENCE_MS));
        cr_assert_eq(web_ask(console, "GET", "/?token=wrong", "", NULL)->status, 401,
                     "who wants to sign in is answered");
    }
    free(slow);
}

TEST_CONSOLE(console_http, who_hangs_up_in_the_middle_does_no_harm) {
    struct console *console = start(b);
    for (unsigned i = 0; i < 200; i++) {
        struct web *web = web_open(console);
        web_send(web, "POST /api/command HTTP/1.1\r\nHost: %s\r\n%sOrigin: http://%s\r\n",
                 console->address, console->session, console->address);
        if (i % 4 > 0)
            web_send(web, "Content-Type: application/json\r\nContent-Length: 27\r\n\r\n");
        if (i % 4 > 1)
            web_send(web, "{\"words\":[\"show\",");
        if (i % 4 > 2)
            web_send(web, "\"pools\"]}\n");
        web_close(web);
    }
    still_works(console);
}

TEST_CONSOLE(console_http,
             a_broker_that_stands_still_costs_a_command_five_seconds_and_others_nothing) {
    struct console *console = start(b);
    broker_pause(b);
    enum { COMMANDS = 20 };
    struct web *waiting[COMMANDS];
    int64_t begun = scene_now_ms();
    for (unsigned i = 0; i < COMMANDS; i++) {
        waiting[i] = web_open(console);
        web_send(waiting[i],
                 "POST /api/command HTTP/1.1\r\nHost: %s\r\n%sOrigin: http://%s\r\n"
                 "Content-Type: application/json\r\nContent-Length: 27\r\n\r\n"
                 "{\"words\":[\"show\",\"pools\"]}\n",
                 console->address, console->session, console->address);
    }
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(web_ask(console, "GET", "/", "", NULL)->status, 200);
    cr_assert_lt(scene_now_ms() - begun, 4000, "the page waits for the broker");
    for (unsigned i = 0; i < COMMANDS; i++) {
        struct web_answer *answer = web_read(waiting[i]);
        cr_assert_eq(answer->status, 502, "%s", answer->body);
        cr_assert_not_null(strstr(answer->body, "\"no-broker\""));
    }
    int64_t took = scene_now_ms() - begun;
    cr_assert(took >= 4500 && took < 9000, "%lld ms", (long long)took);
    broker_continue(b);
    EVENTUALLY(web_command(console, "[\"show\",\"pools\"]", NULL)->status == 200);
}

TEST_CONSOLE(console_http, a_change_that_was_not_answered_may_have_been_done_and_that_is_said) {
    struct console *console = start(b);
    broker_pause(b);
    struct web_answer *answer =
        web_command(console, "[\"disable\",\"key\",\"main\",\"key2\"]", NULL);
    cr_assert_eq(answer->status, 502);
    cr_assert_not_null(strstr(answer->body, "may have been done"), "%s", answer->body);
    broker_continue(b);
}

TEST_CONSOLE(console_http, without_a_broker_the_page_is_there_and_commands_say_so_at_once) {
    struct console *console = start(b);
    broker_kill(b);
    int64_t begun = scene_now_ms();
    struct web_answer *answer = web_command(console, "[\"show\",\"pools\"]", NULL);
    cr_assert_eq(answer->status, 502);
    cr_assert_not_null(strstr(answer->body, "\"no-broker\""));
    cr_assert_eq(web_ask(console, "GET", "/api/session", "", NULL)->status, 502);
    cr_assert_eq(web_ask(console, "GET", "/", "", NULL)->status, 200);
    cr_assert_lt(scene_now_ms() - begun, 3000);
    broker_restart(b);
    still_works(console);
}

TEST_CONSOLE(console_http, it_ends_at_once_also_while_requests_wait_and_streams_are_open) {
    struct console *console = start(b);
    web_stream(console, "");
    broker_pause(b);
    struct web *web = web_open(console);
    web_send(web, "GET /api/session HTTP/1.1\r\nHost: %s\r\n%s\r\n", console->address,
             console->session);
    scene_sleep_ms(200);
    int64_t begun = scene_now_ms();
    cr_assert_eq(console_stop(console), 0);
    cr_assert_lt(scene_now_ms() - begun, 3000);
    broker_continue(b);
}
