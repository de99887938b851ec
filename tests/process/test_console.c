/*
 * keybroker-console beside a real broker: who is let in, what they may do, and that no secret comes
 * out. What a browser would not let a page do is sent as raw bytes here.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/console.h"
#include "tests/support/peer.h"

static const char CANARY[] = "sk-test-CANARY0123456789canary";
static const char TOKEN[] = "0123456789abcdef0123456789abcdef";

/* A broker with a pool of a canary and two more keys, and a console that this test is let in to. */
static struct console *start(struct broker *b) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_must_with(peer, CANARY, "add pool main vendor=openai");
    peer_must_with(peer, scene_text("%s-2", CANARY), "add key main name=second");
    peer_must_with(peer, scene_text("%s-3", CANARY), "add key main name=third");
    struct console *console = console_start(b, NULL);
    console_sign_in(console);
    return console;
}

static const char *file_with(const char *content, mode_t mode) {
    const char *path = scene_text("%s/token-%u", scene_disk(), mode);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    fchmod(fd, mode);
    close(fd);
    return path;
}

/* ---- who is let in ---- */

TEST_CONSOLE(console, without_a_session_there_is_a_page_to_sign_in_and_nothing_else) {
    struct console *console = start(b);
    console_be(console, "", "");
    struct web_answer *page = web_ask(console, "GET", "/", "", NULL);
    cr_assert_eq(page->status, 401);
    cr_assert_not_null(strstr(page->body, "action=\"/login\""));
    cr_assert_null(strstr(page->body, "<script"));
    static const char *const PATHS[] = { "/api/session", "/api/stream" };
    for (size_t i = 0; i < 2; i++) {
        struct web_answer *answer = web_ask(console, "GET", PATHS[i], "", NULL);
        cr_assert_eq(answer->status, 401, "%s", PATHS[i]);
        cr_assert_not_null(strstr(answer->body, "\"no-session\""));
    }
    cr_assert_eq(web_command(console, "[\"show\",\"pools\"]", NULL)->status, 401);
    console_be(console, "keybroker=guessed", "guessed");
    cr_assert_eq(web_command(console, "[\"show\",\"pools\"]", NULL)->status, 401);
}

TEST_CONSOLE(console, a_token_lets_one_browser_in_and_then_there_is_another) {
    struct console *console = start(b);
    const char *cookie = console->cookie;
    const char *second = console_token(console);
    program_wait_output(console->program, "\nkeybroker-console: ");
    cr_assert_eq(web_ask(console, "GET", "/", "", NULL)->status, 200);
    console_be(console, "", "");
    EVENTUALLY(strcmp(second = console_token(console), "") != 0);
    struct web_answer *used =
        web_ask(console, "GET", scene_text("/?token=%.42sX", second), "", NULL);
    cr_assert_eq(used->status, 401);
    cr_assert_not_null(strstr(used->body, "wrong, or was used"));
    cr_assert_str_eq(web_header(used, "Set-Cookie"), "");
    console_sign_in(console);
    cr_assert_str_neq(console->cookie, cookie);
    struct web_answer *again = web_ask(console, "GET", scene_text("/?token=%s", second), "", NULL);
    cr_assert_eq(again->status, 401, "the token was used");
}

TEST_CONSOLE(console, the_cookie_is_for_this_console_alone_and_no_script_sees_it) {
    struct console *console = start(b);
    console_be(console, "", "");
    program_wait_output(console->program, "\nkeybroker-console: ");
    struct web_answer *answer =
        web_ask(console, "GET", scene_text("/?token=%s", console_token(console)), "", NULL);
    cr_assert_eq(answer->status, 200);
    const char *cookie = web_header(answer, "Set-Cookie");
    cr_assert_eq(
        strncmp(cookie, scene_text("keybroker_%s=", strchr(console->address, ':') + 1), 15), 0);
    cr_assert_not_null(strstr(cookie, "; HttpOnly"));
    cr_assert_not_null(strstr(cookie, "; SameSite=Strict"));
    cr_assert_not_null(strstr(cookie, "; Path=/"));
}

TEST_CONSOLE(console, the_pages_secret_comes_in_what_nobody_logs_or_keeps) {
    broker_start(b, NULL);
    struct console *once = console_start(b, NULL);
    struct console *standing = console_start(b, "--token-file", file_with(TOKEN, 0600), NULL);
    struct web_answer *const answers[] = {
        web_ask(once, "GET", scene_text("/?token=%s", console_token(once)), "", NULL),
        web_ask(standing, "POST", "/login", scene_text("Origin: http://%s\r\n", standing->address),
                scene_text("token=%s", TOKEN)),
    };
    for (size_t i = 0; i < 2; i++) {
        static const char META[] = "<meta name=\"page-secret\" content=\"";
        cr_assert_eq(answers[i]->status, 200);
        const char *at = strstr(answers[i]->body, META);
        cr_assert_not_null(at, "%s", answers[i]->body);
        const char *secret = scene_text("%.43s", at + sizeof META - 1);
        cr_assert_eq(secret[42 + 1], '\0');
        cr_assert_eq(at[sizeof META - 1 + 43], '"');
        cr_assert_null(strstr(answers[i]->head, secret), "%s", answers[i]->head);
        cr_assert_str_eq(web_header(answers[i], "Location"), "");
        cr_assert_str_eq(web_header(answers[i], "Cache-Control"), "no-store");
        cr_assert_str_eq(web_header(answers[i], "Referrer-Policy"), "no-referrer");
        cr_assert_null(strstr(web_header(answers[i], "Set-Cookie"), secret));
    }
    console_stop(once);
    cr_assert_null(strstr(once->program->err, "page-secret"));
}

/* What a server at another port of this host gets: browsers send it every cookie of the host. */
TEST_CONSOLE(console, the_cookie_alone_or_with_another_visits_secret_is_nobodys) {
    struct console *console = start(b);
    const char *cookie = console->cookie, *secret = console->secret;
    program_wait_output(console->program, "\nkeybroker-console: ");
    console_be(console, "", "");
    EVENTUALLY(*console_token(console));
    console_sign_in(console);
    const char *foreign = console->secret;
    const char *const pairs[][2] = { { cookie, "" },
                                     { "", secret },
                                     { cookie, foreign },
                                     { cookie, "guessed" },
                                     { cookie, scene_text("%.42s", secret) },
                                     { cookie, scene_text("%sx", secret) },
                                     { cookie, scene_text("%0200u", 0u) } };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        console_be(console, pairs[i][0], pairs[i][1]);
        cr_assert_eq(
            web_command(console, "[\"disable\",\"key\",\"main\",\"second\"]", NULL)->status, 401,
            "%zu", i);
        cr_assert_eq(web_ask(console, "GET", "/api/session", "", NULL)->status, 401, "%zu", i);
        cr_assert_eq(web_ask(console, "GET", "/api/stream", "", NULL)->status, 401, "%zu", i);
        web_ask(console, "POST", "/logout", scene_text("Origin: http://%s\r\n", console->address),
                "");
    }
    cr_assert_str_eq(peer_key_status(peer_open(b), "main", "second"), "normal");
    console_be(console, cookie, secret);
    cr_assert_eq(web_command(console, "[\"show\",\"pools\"]", NULL)->status, 200,
                 "and could not sign anybody out");
    cr_assert_eq(web_ask(console, "GET", "/", "", NULL)->status, 200);
    struct web_answer *again = web_ask(console, "GET", "/?sign-in=again", "", NULL);
    cr_assert_eq(again->status, 401, "a page that lost its secret gets in again");
    cr_assert_not_null(strstr(again->body, "action=\"/login\""));
}

TEST_CONSOLE(console, signing_out_ends_the_session_and_its_streams) {
    struct console *console = start(b);
    struct web *stream = web_stream(console, "");
    cr_assert_not_null(web_message_of(stream, "beat", SCENE_PATIENCE_MS));
    struct web_answer *answer = web_ask(console, "POST", "/logout",
                                        scene_text("Origin: http://%s\r\n", console->address), "");
    cr_assert_eq(answer->status, 303);
    cr_assert_eq(web_command(console, "[\"show\",\"pools\"]", NULL)->status, 401);
    while (web_message(stream, SCENE_PATIENCE_MS))
        ;
    cr_assert(stream->ended);
}

TEST_CONSOLE(console, the_token_of_a_file_lets_in_as_often_as_wanted) {
    broker_start(b, NULL);
    struct console *console = console_start(b, "--token-file", file_with(TOKEN, 0600), NULL);
    cr_assert_str_eq(console_token(console), "", "there is no other token");
    const char *origin = scene_text("Origin: http://%s\r\n", console->address);
    for (unsigned i = 0; i < 3; i++) {
        struct web_answer *answer =
            web_ask(console, "POST", "/login", origin, scene_text("token=%s", TOKEN));
        cr_assert_eq(answer->status, 200);
        cr_assert(*web_header(answer, "Set-Cookie"));
    }
    cr_assert_null(strstr(console->program->out, TOKEN));
}

static int try_token(const struct console *console, const char *token) {
    return web_ask(console, "POST", "/login", scene_text("Origin: http://%s\r\n", console->address),
                   scene_text("token=%s", token))
        ->status;
}

/* Wrong ones until there is no patience, then the right one at once, which is not looked at. The
 * clock may give a try back just between the two: then once more. */
static bool is_refused_unseen(const struct console *console) {
    for (unsigned i = 0; i < 5; i++) {
        unsigned tries = 0;
        while (try_token(console, "wrong") == 401)
            tries++;
        cr_assert_leq(tries, 30, "they are not slowed down");
        int status = try_token(console, TOKEN);
        if (status == 429)
            return true;
        cr_assert_eq(status, 200);
    }
    return false;
}

TEST_CONSOLE(console, wrong_tokens_are_slowed_down_before_they_are_looked_at) {
    broker_start(b, NULL);
    struct console *console = console_start(b, "--token-file", file_with(TOKEN, 0600),
                                            "--metrics-token-file", file_with(TOKEN, 0400), NULL);
    unsigned refused = 0, slowed = 0;
    for (unsigned i = 0; i < 40; i++) {
        int status = try_token(console, scene_text("wrong%u", i));
        refused += status == 401;
        slowed += status == 429;
    }
    cr_assert_eq(refused + slowed, 40);
    cr_assert_geq(refused, 10);
    cr_assert_gt(slowed, 0);
    cr_assert(is_refused_unseen(console));
    EVENTUALLY(try_token(console, TOKEN) == 200);
    unsigned slow = 0;
    for (unsigned i = 0; i < 40; i++)
        slow +=
            web_ask(console, "GET", "/metrics", "Authorization: Bearer wrong\r\n", NULL)->status ==
            429;
    cr_assert_gt(slow, 0);
    EVENTUALLY(
        web_ask(console, "GET", "/metrics", scene_text("Authorization: Bearer %s\r\n", TOKEN), NULL)
            ->status == 200);
}

TEST_CONSOLE(console, a_picture_on_another_sites_page_guesses_nothing) {
    broker_start(b, NULL);
    struct console *console = console_start(b, "--token-file", file_with(TOKEN, 0600), NULL);
    for (unsigned i = 0; i < 40; i++)
        cr_assert_eq(
            web_ask(console, "GET", "/?token=wrong", "Sec-Fetch-Dest: image\r\n", NULL)->status,
            401);
    cr_assert_eq(try_token(console, TOKEN), 200);
    cr_assert_eq(web_ask(console, "GET", scene_text("/?token=%s", TOKEN),
                         "Sec-Fetch-Dest: document\r\n", NULL)
                     ->status,
                 200);
}

TEST_CONSOLE(console, nobody_locks_another_user_out_by_guessing) {
    struct peer_identity stranger = { .uid = 65534, .gid = 65534 };
    if (geteuid() != 0) {
        cr_skip_test("only root can become somebody else");
        return;
    }
    broker_start(b, NULL);
    struct console *console = console_start(b, "--token-file", file_with(TOKEN, 0600), NULL);
    peer_become(&stranger);
    cr_assert(is_refused_unseen(console));
    peer_come_back();
    cr_assert_eq(try_token(console, TOKEN), 200);
}

static void refuses(const struct broker *b, const char *expected, const char *one, const char *two,
                    const char *three, const char *four) {
    struct program *program =
        program_run(NULL, NULL,
                    (const char *const[]){ scene_program("keybroker-console"), "--runtime-dir",
                                           b->runtime_dir, one, two, three, four, NULL });
    cr_assert_neq(program->code, 0, "%s %s", one, two);
    cr_assert_lt(program->code, 128);
    cr_assert_not_null(strstr(program->err, expected), "%s", program->err);
}

TEST_CONSOLE(console, what_would_let_others_in_is_refused_at_the_start) {
    broker_start(b, NULL);
    refuses(b, "mode 0600", "--listen", "127.0.0.1:0", "--token-file", file_with(TOKEN, 0644));
    refuses(b, "mode 0600", "--listen", "127.0.0.1:0", "--metrics-token-file",
            file_with(TOKEN, 0640));
    refuses(b, "32", "--listen", "127.0.0.1:0", "--token-file", file_with("short", 0600));
    refuses(b, "No such file", "--listen", "127.0.0.1:0", "--token-file", "/nowhere/at/all");
    refuses(b, "--token-file", "--listen", "0.0.0.0:0", NULL, NULL);
    refuses(b, "--token-file", "--listen", "[::]:0", NULL, NULL);
    refuses(b, "--listen", "--listen", "nonsense", NULL, NULL);
    struct console *console = console_start(b, NULL);
    refuses(b, "cannot listen", "--listen", console->address, NULL, NULL);
    console_sign_in(console);
}

TEST_CONSOLE(console, where_others_reach_it_it_says_that_tls_belongs_in_front) {
    broker_start(b, NULL);
    struct console *console =
        console_start(b, "--listen", "0.0.0.0:0", "--token-file", file_with(TOKEN, 0600), NULL);
    console_stop(console);
    cr_assert_not_null(strstr(console->program->err, "TLS"));
}

/* ---- where a request comes from ---- */

static int command_from(const struct console *console, const char *headers) {
    return web_ask(console, "POST", "/api/command", headers, "{\"words\":[\"show\",\"pools\"]}")
        ->status;
}

TEST_CONSOLE(console, only_its_own_page_may_send_commands) {
    struct console *console = start(b);
    static const char JSON[] = "Content-Type: application/json\r\n";
    const char *own = scene_text("Origin: http://%s\r\n", console->address);
    cr_assert_eq(command_from(console, scene_text("%s%s", own, JSON)), 200);
    cr_assert_eq(
        command_from(console, scene_text("%s%sSec-Fetch-Site: same-origin\r\n", own, JSON)), 200);
    cr_assert_eq(command_from(console, JSON), 403, "no origin");
    cr_assert_eq(command_from(console, scene_text("Origin: http://evil.example\r\n%s", JSON)), 403);
    cr_assert_eq(command_from(console, scene_text("Origin: null\r\n%s", JSON)), 403);
    cr_assert_eq(command_from(console, scene_text("%s%sSec-Fetch-Site: cross-site\r\n", own, JSON)),
                 403);
    cr_assert_eq(command_from(console, own), 415, "no type");
    cr_assert_eq(command_from(console, scene_text("%sContent-Type: text/plain\r\n", own)), 415);
    cr_assert_eq(command_from(console, scene_text("%sContent-Type: application/"
                                                  "x-www-form-urlencoded\r\n",
                                                  own)),
                 415);
    cr_assert_eq(
        web_ask(console, "GET", "/api/stream", "Sec-Fetch-Site: cross-site\r\n", NULL)->status,
        403);
    cr_assert_eq(
        web_ask(console, "GET", "/api/session", "Sec-Fetch-Site: same-site\r\n", NULL)->status,
        403);
}

TEST_CONSOLE(console, another_sites_form_signs_nobody_in_or_out) {
    struct console *console = start(b);
    static const char FORM[] = "Content-Type: application/x-www-form-urlencoded\r\n";
    const char *foreign = scene_text("Origin: http://evil.example\r\n%s", FORM);
    const char *hidden = scene_text("Origin: null\r\nSec-Fetch-Site: cross-site\r\n%s", FORM);
    cr_assert_eq(web_ask(console, "POST", "/login", foreign, "token=x")->status, 403);
    cr_assert_eq(web_ask(console, "POST", "/logout", foreign, "")->status, 403);
    cr_assert_eq(web_ask(console, "POST", "/logout", hidden, "")->status, 403);
    cr_assert_eq(web_ask(console, "POST", "/logout", FORM, "")->status, 403);
    cr_assert_eq(web_command(console, "[\"show\",\"pools\"]", NULL)->status, 200,
                 "still signed in");
}

TEST_CONSOLE(console, a_name_that_somebody_made_point_here_is_foreign) {
    static const char *const PATHS[] = { "/", "/app.js", "/api/session", "/nothing", "/metrics" };
    struct console *console = start(b);
    for (size_t i = 0; i < sizeof PATHS / sizeof *PATHS; i++) {
        struct web *web = web_open(console);
        web_send(web, "GET %s HTTP/1.1\r\nHost: evil.example:%s\r\n%s\r\n", PATHS[i],
                 strchr(console->address, ':') + 1, console->session);
        struct web_answer *answer = web_read(web);
        cr_assert_eq(answer->status, 403, "%s", PATHS[i]);
        cr_assert_not_null(strstr(answer->body, "foreign-host"));
    }
    struct web *web = web_open(console);
    web_send(web, "GET / HTTP/1.1\r\nHost: localhost:%s\r\n%s\r\n",
             strchr(console->address, ':') + 1, console->session);
    cr_assert_eq(web_read(web)->status, 200);
}

TEST_CONSOLE(console, a_name_that_was_given_is_known) {
    broker_start(b, NULL);
    struct console *console = console_start(b, "--host", "console.example.org", NULL);
    struct web *web = web_open(console);
    web_send(web, "GET /icon.svg HTTP/1.1\r\nHost: console.example.org\r\n\r\n");
    cr_assert_eq(web_read(web)->status, 200);
    console_sign_in(console);
    web = web_open(console);
    web_send(web,
             "POST /api/command HTTP/1.1\r\nHost: console.example.org\r\n%s"
             "Origin: https://console.example.org\r\nContent-Type: application/json\r\n"
             "Content-Length: 26\r\n\r\n{\"words\":[\"show\",\"info\"]}\n",
             console->session);
    cr_assert_eq(web_read(web)->status, 200, "TLS may end in front");
}

TEST_CONSOLE(console, every_answer_has_the_headers_that_bind_a_browser) {
    struct console *console = start(b);
    const char *const NAMES[] = {
        "Content-Security-Policy",    "X-Content-Type-Options",       "Referrer-Policy",
        "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Cache-Control"
    };
    struct web_answer *const answers[] = {
        web_ask(console, "GET", "/", "", NULL),
        web_ask(console, "GET", "/app.js", "", NULL),
        web_ask(console, "GET", "/app.css", "Accept-Encoding: gzip\r\n", NULL),
        web_ask(console, "GET", "/nothing", "", NULL),
        web_ask(console, "PUT", "/", "", ""),
        web_ask(console, "GET", "/?token=wrong", "", NULL),
        web_ask(console, "GET", "/api/session", "", NULL),
        web_command(console, "[\"show\",\"pools\"]", NULL),
        web_command(console, "[\"export\",\"main\"]", NULL),
        web_command(console, "[\"show\",\"pool\",\"none\"]", NULL),
        web_ask(console, "POST", "/api/command", "", "{}"),
        web_ask(console, "POST", "/logout", scene_text("Origin: http://%s\r\n", console->address),
                ""),
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        for (size_t n = 0; n < sizeof NAMES / sizeof *NAMES; n++)
            cr_assert(*web_header(answers[i], NAMES[n]), "%s lacks %s", answers[i]->head, NAMES[n]);
    const char *policy = web_header(answers[0], "Content-Security-Policy");
    cr_assert_eq(strncmp(policy, "default-src 'none'; script-src 'self';", 38), 0);
    cr_assert_null(strstr(policy, "unsafe"));
}

/* ---- what may be done ---- */

TEST_CONSOLE(console, commands_reach_the_broker_and_its_answers_come_back_as_they_are) {
    struct console *console = start(b);
    struct peer *peer = peer_open(b);
    struct web_answer *moved =
        web_command(console, "[\"move\",\"key\",\"main\",\"third\",\"first\"]", NULL);
    cr_assert_eq(moved->status, 200, "%s", moved->body);
    cr_assert_str_eq(answer_string(peer_must(peer, "json show keys main"), "keys.0.name"), "third");
    struct web_answer *added = web_command(
        console, "[\"add\",\"key\",\"main\",\"name=it's a \\\"name\\\" << 5\",\"note=a\\\\b\"]",
        "{\"api_key\":\"sk-added-0123456789\",\"organization\":\"o\"}");
    cr_assert_eq(added->status, 200, "%s", added->body);
    const json_t *key = answer_key(peer_must(peer, "json show keys main"), "it's a \"name\" << 5");
    cr_assert_not_null(key);
    cr_assert_str_eq(json_text(key, "note"), "a\\b");
    cr_assert_eq(web_command(console, "[\"order\",\"keys\",\"main\"]",
                             "[\"key1\",\"second\",\"third\",\"it's a \\\"name\\\" << 5\"]")
                     ->status,
                 200);
    struct web_answer *vendor = web_command(console, "[\"show\",\"vendor\",\"openai\"]", NULL);
    cr_assert_not_null(strstr(vendor->body, "\"key_prefixes\":[\"sk-"), "%s", vendor->body);
    struct web_answer *shown = web_command(console, "[\"show\",\"keys\",\"main\"]", NULL);
    cr_assert_str_eq(web_header(shown, "Content-Type"), "application/json");
    struct answer *same = peer_must(peer, "json show keys main");
    cr_assert_str_eq(shown->body, scene_text("%.*s", (int)strcspn(same->body, "\n"), same->body));
}

TEST_CONSOLE(console, refusals_come_back_with_the_brokers_code_and_reason) {
    static const struct {
        const char *words, *reason;
        int status;
    } REFUSED[] = {
        { "[\"show\",\"pool\",\"none\"]", "no-such-pool", 404 },
        { "[\"delete\",\"key\",\"main\",\"key1\"]", NULL, 409 },
        { "[\"move\",\"key\",\"main\",\"second\",\"first\",\"if-revision=1\"]", "outdated-revision",
          409 },
        { "[\"move\",\"key\",\"main\"]", NULL, 400 },
        { "[\"add\",\"key\",\"main\"]", NULL, 400 },
        { "[\"export\",\"main\"]", "not-here", 403 },
        { "[\"export\",\"main\",\"secrets=yes\"]", "not-here", 403 },
        { "[\"backup\",\"/tmp/stolen\"]", "not-here", 403 },
        { "[\"rotate\",\"master-key\"]", "not-here", 403 },
        { "[\"watch\"]", "not-here", 403 },
        { "[\"show\",\"metrics\"]", "not-here", 403 },
    };
    struct console *console = start(b);
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        struct web_answer *answer = web_command(console, REFUSED[i].words, NULL);
        cr_assert_eq(answer->status, REFUSED[i].status, "%s: %s", REFUSED[i].words, answer->body);
        json_t *body = json_loads(answer->body, 0, NULL);
        cr_assert_eq(json_integer_value(json_object_get(body, "code")), REFUSED[i].status);
        if (REFUSED[i].reason)
            cr_assert_str_eq(json_text(body, "reason"), REFUSED[i].reason);
        cr_assert(*json_text(body, "message"));
        json_decref(body);
    }
}

TEST_CONSOLE(console, no_answer_ever_holds_a_secret) {
    static const char *const SHOWN[] = {
        "[\"show\",\"pools\"]",
        "[\"show\",\"pool\",\"main\"]",
        "[\"show\",\"keys\",\"main\"]",
        "[\"show\",\"key\",\"main\",\"key1\"]",
        "[\"show\",\"events\"]",
        "[\"show\",\"info\"]",
        "[\"show\",\"vendors\"]",
        "[\"export\",\"main\",\"secrets=yes\"]",
        "[\"show\",\"key\",\"main\",\"key1\",\"secrets=yes\"]",
    };
    static const char CONFIG[] = "{\"api_key\":\"sk-test-CANARY0123456789canary\"}";
    static const char BROKEN[] = "{\"api_key\":\"sk-test-CANARY0123456789canary\",\"base_url\":7}";
    struct console *console = start(b);
    struct web *stream = web_stream(console, "");
    for (size_t i = 0; i < sizeof SHOWN / sizeof *SHOWN; i++)
        cr_assert_not_null(web_command(console, SHOWN[i], NULL));
    web_command(console, "[\"add\",\"key\",\"main\",\"name=more\"]", CONFIG);
    web_command(console, "[\"add\",\"key\",\"main\",\"name=more\"]", CONFIG);
    web_command(console, "[\"add\",\"key\",\"main\"]", BROKEN);
    web_command(console, "[\"add\",\"key\",\"nowhere\"]", CONFIG);
    web_command(console, "[\"add\",\"key\",\"main\"]", "\"sk-test-CANARY0123456789canary x\"");
    web_command(console, "[\"set\",\"key\",\"main\",\"second\",\"config=merge\"]", CONFIG);
    web_command(console, "[\"enable\",\"key\",\"main\",\"second\"]", CONFIG);
    web_command(console, "[\"import\",\"main\",\"mode=merge\",\"dry-run\"]",
                scene_text("{\"keys\":[{\"name\":\"n\",\"config\":%s}]}", CONFIG));
    web_command(console, "[\"import\",\"main\",\"mode=merge\"]",
                scene_text("{\"keys\":[{\"name\":\"n\",\"config\":%s},{\"name\":7}]}", CONFIG));
    web_command(console, "[\"import\",\"main\",\"mode=merge\",\"duplicate=allow\"]",
                scene_text("{\"keys\":[{\"name\":\"n\",\"config\":%s}]}", CONFIG));
    cr_assert_not_null(web_message_of(stream, "change", SCENE_PATIENCE_MS));
    web_message_of(stream, "never", 1500);
    cr_assert(web_has_received("\"masked\""), "nothing was looked at");
    cr_assert_not(web_has_received("CANARY"));
    console_stop(console);
    cr_assert_null(strstr(console->program->err, "CANARY"));
    cr_assert_null(strstr(console->program->out, "CANARY"));
}

TEST_CONSOLE(console, a_console_that_may_only_view_shows_and_changes_nothing) {
    enum { VIEWERS = 54322, NOBODY = 65534 };
    struct peer_identity viewer = { .uid = NOBODY, .gid = VIEWERS };
    if (geteuid() != 0) {
        cr_skip_test("only root can become somebody else");
        return;
    }
    broker_start(b, "--viewer-group=54322", NULL);
    struct peer *peer = peer_open(b);
    peer_must_with(peer, CANARY, "add pool main vendor=openai");
    peer_become(&viewer);
    struct console *console = console_start(b, NULL);
    peer_come_back();
    console_sign_in(console);
    struct web_answer *session = web_ask(console, "GET", "/api/session", "", NULL);
    cr_assert_eq(session->status, 200, "%s", session->body);
    cr_assert_not_null(strstr(session->body, "\"access\":\"viewer\""), "%s", session->body);
    cr_assert_eq(web_command(console, "[\"show\",\"keys\",\"main\"]", NULL)->status, 200);
    cr_assert_eq(web_command(console, "[\"disable\",\"key\",\"main\",\"key1\"]", NULL)->status,
                 403);
    cr_assert_eq(web_command(console, "[\"add\",\"key\",\"main\"]", "\"sk-1234567890\"")->status,
                 403);
    cr_assert_str_eq(peer_key_status(peer, "main", "key1"), "normal");
    cr_assert_not(web_has_received("CANARY"));
}

static unsigned times_in(const char *text, const char *what) {
    unsigned count = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        count++;
    return count;
}

static long times_refused(struct peer *peer) {
    static const char NAME[] = "keybroker_connections_refused_total ";
    const char *line = strstr(peer_must(peer, "show metrics")->body, scene_text("\n%s", NAME));
    return line ? strtol(line + sizeof NAME, NULL, 10) : 0;
}

TEST_CONSOLE(console, a_console_that_the_broker_does_not_know_says_so_once_and_what_to_do) {
    struct peer_identity nobody = { .uid = 65534, .gid = 65534 };
    if (geteuid() != 0) {
        cr_skip_test("only root can become somebody else");
        return;
    }
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    peer_become(&nobody);
    struct console *console = console_start(b, NULL);
    peer_come_back();
    console_sign_in(console);
    struct web *stream = web_stream(console, "");
    const char *said = web_message_of(stream, "broker", SCENE_PATIENCE_MS);
    if (said && strstr(said, "\"refused\":null")) /* before the first try */
        said = web_message_of(stream, "broker", SCENE_PATIENCE_MS);
    cr_assert_not_null(strstr(said, "\"connected\":false"), "%s", said);
    cr_assert_not_null(strstr(said, "group"), "%s", said);
    cr_assert_not_null(strstr(said, "uid 65534"), "%s", said);
    EVENTUALLY(times_refused(peer) >= 4);
    struct web_answer *answer = web_command(console, "[\"show\",\"pools\"]", NULL);
    cr_assert_eq(answer->status, 403, "%s", answer->body);
    cr_assert_not_null(strstr(answer->body, "group"), "%s", answer->body);
    console_stop(console);
    cr_assert_eq(times_in(console->program->err, "refuses this console"), 1, "%s",
                 console->program->err);
    cr_assert_eq(times_in(console->program->err, "not connected"), 0, "%s", console->program->err);
}

TEST_CONSOLE(console, an_admins_session_says_who_and_when) {
    struct console *console = start(b);
    struct web_answer *session = web_ask(console, "GET", "/api/session", "", NULL);
    cr_assert_eq(session->status, 200);
    json_t *body = json_loads(session->body, 0, NULL);
    cr_assert_str_eq(json_text(body, "access"), "admin");
    cr_assert(*json_text(body, "version"));
    cr_assert_eq(strlen(json_text(body, "now")), strlen("2026-11-28T05:31:18.099Z"));
    json_decref(body);
}

TEST_CONSOLE(console, metrics_are_for_those_with_their_token) {
    struct console *console = start(b);
    cr_assert_eq(web_ask(console, "GET", "/metrics", "", NULL)->status, 404, "not asked for");
    struct console *second = console_start(b, "--metrics-token-file", file_with(TOKEN, 0400), NULL);
    cr_assert_eq(web_ask(second, "GET", "/metrics", "", NULL)->status, 401);
    cr_assert_eq(
        web_ask(second, "GET", "/metrics", "Authorization: Bearer wrong\r\n", NULL)->status, 401);
    cr_assert_eq(
        web_ask(second, "GET", "/metrics", scene_text("Authorization: Basic %s\r\n", TOKEN), NULL)
            ->status,
        401);
    struct web_answer *answer =
        web_ask(second, "GET", "/metrics", scene_text("Authorization: Bearer %s\r\n", TOKEN), NULL);
    cr_assert_eq(answer->status, 200);
    cr_assert_eq(strncmp(web_header(answer, "Content-Type"), "text/plain", 10), 0);
    cr_assert_not_null(strstr(answer->body, "# TYPE keybroker_"), "%s", answer->body);
}

TEST_CONSOLE(
    console,
    the_pages_files_are_compressed_for_those_who_take_it_and_kept_while_they_are_the_same) {
    static const char *const PATHS[] = { "/", "/app.js", "/app.css", "/icon.svg" };
    struct console *console = start(b);
    for (size_t i = 0; i < 4; i++) {
        struct web_answer *plain = web_ask(console, "GET", PATHS[i], "", NULL);
        struct web_answer *gzip =
            web_ask(console, "GET", PATHS[i], "Accept-Encoding: br, gzip\r\n", NULL);
        cr_assert_eq(plain->status, 200);
        cr_assert_str_eq(web_header(plain, "Content-Encoding"), "");
        cr_assert_str_eq(web_header(plain, "Cache-Control"), "no-cache");
        cr_assert_str_eq(web_header(gzip, "Content-Encoding"), "gzip");
        cr_assert_eq((unsigned char)gzip->body[0], 0x1f);
        cr_assert_str_eq(web_header(plain, "ETag"), web_header(gzip, "ETag"));
        struct web_answer *same =
            web_ask(console, "GET", PATHS[i],
                    scene_text("If-None-Match: %s\r\n", web_header(plain, "ETag")), NULL);
        cr_assert_eq(same->status, 304);
        cr_assert_eq(
            web_ask(console, "GET", PATHS[i], "If-None-Match: \"other\"\r\n", NULL)->status, 200);
    }
}
