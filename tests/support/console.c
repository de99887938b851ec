/* See console.h. */
#include "console.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "foreign.h"

enum { ARGUMENTS_MAX = 24 };

static struct console *consoles;
static struct web *webs;

/* Everything that was received. */
static struct {
    char *data;
    size_t length, room;
} seen;

static void *grown(void *memory, size_t size) {
    void *more = realloc(memory, size);
    if (!more)
        abort();
    return more;
}

static void append(char **data, size_t *length, size_t *room, const char *bytes, size_t count) {
    if (*length + count + 1 > *room) {
        *room = (*length + count + 1) * 2;
        *data = grown(*data, *room);
    }
    memcpy(*data + *length, bytes, count);
    *length += count;
    (*data)[*length] = '\0';
}

/* ---- the process ---- */

static const char *last_address(const struct console *console) {
    const char *last = "", *at = console->program->out;
    while ((at = strstr(at, "http://")))
        last = at += strlen("http://");
    return last;
}

void console_be(struct console *console, const char *cookie, const char *secret) {
    console->cookie = scene_text("%s", cookie);
    console->secret = scene_text("%s", secret);
    const char *first = *cookie ? scene_text("Cookie: %s\r\n", cookie) : "";
    const char *second = *secret ? scene_text("Keybroker-Page-Secret: %s\r\n", secret) : "";
    console->session = scene_text("%s%s", first, second);
}

struct console *console_start(const struct broker *broker, ...) {
    const char *name = "keybroker-console";
    const char *program = geteuid() == getuid() ? scene_program(name) : foreign_program(name);
    const char *argv[ARGUMENTS_MAX] = { program, "--listen", "127.0.0.1:0", "--runtime-dir",
                                        broker->runtime_dir };
    size_t count = 5;
    va_list arguments;
    va_start(arguments, broker);
    for (const char *word; count < ARGUMENTS_MAX - 1 && (word = va_arg(arguments, const char *));)
        argv[count++] = word;
    va_end(arguments);
    struct console *console = calloc(1, sizeof *console);
    if (!console)
        abort();
    console_be(console, "", "");
    console->next = consoles;
    consoles = console;
    /* LeakSanitizer traces the process that it looks at, and only root may trace this one. */
    static const char *const NO_LEAKS[] = { "ASAN_OPTIONS=detect_leaks=0", NULL };
    console->program = program_start(NULL, geteuid() == 0 ? NULL : NO_LEAKS, argv);
    program_wait_output(console->program, "/");
    program_wait_output(console->program, "\n");
    const char *address = last_address(console);
    snprintf(console->address, sizeof console->address, "%.*s", (int)strcspn(address, "/"),
             address);
    return console;
}

const char *console_token(struct console *console) {
    const char *address = last_address(console);
    const char *token = strstr(address, "?token=");
    return token ? scene_text("%.*s", (int)strcspn(token + 7, "\n"), token + 7) : "";
}

void console_sign_in(struct console *console) {
    static const char META[] = "<meta name=\"page-secret\" content=\"";
    const char *token = console_token(console);
    struct web_answer *answer = web_ask(console, "GET", scene_text("/?token=%s", token), "", NULL);
    const char *cookie = answer ? web_header(answer, "Set-Cookie") : "";
    const char *secret = answer ? strstr(answer->body, META) : NULL;
    if (!*cookie || !secret)
        scene_fail("the console lets nobody in: %s", answer ? answer->head : "no answer");
    secret += sizeof META - 1;
    console_be(console, scene_text("%.*s", (int)strcspn(cookie, ";"), cookie),
               scene_text("%.*s", (int)strcspn(secret, "\""), secret));
}

int console_stop(struct console *console) {
    kill(console->program->pid, SIGTERM);
    program_finish(console->program);
    return console->program->code;
}

void consoles_stop(void) {
    for (struct console *console = consoles; console; console = console->next) {
        if (!console->program->pid)
            continue;
        int code = console_stop(console);
        if (code)
            scene_fail("the test's body passed, but its console ended with %d", code);
    }
}

/* ---- connections ---- */

struct web *web_open(const struct console *console) {
    struct web *web = calloc(1, sizeof *web);
    if (!web)
        abort();
    const char *colon = strrchr(console->address, ':');
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(colon + 1)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    web->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (web->fd < 0 || connect(web->fd, (struct sockaddr *)&address, sizeof address) < 0)
        scene_fail("cannot connect to the console at %s: %s", console->address, strerror(errno));
    web->next = webs;
    webs = web;
    return web;
}

void web_close(struct web *web) {
    if (web->fd >= 0)
        close(web->fd);
    web->fd = -1;
}

bool web_send_bytes(struct web *web, const void *bytes, size_t length) {
    for (const char *at = bytes; length && web->fd >= 0;) {
        struct pollfd ready = { .fd = web->fd, .events = POLLOUT };
        if (poll(&ready, 1, SCENE_PATIENCE_MS) <= 0)
            scene_fail("the console does not read");
        ssize_t sent = send(web->fd, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (sent > 0) {
            at += sent;
            length -= (size_t)sent;
        }
    }
    return web->fd >= 0;
}

bool web_send(struct web *web, const char *format, ...) {
    char *text;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        abort();
    bool sent = web_send_bytes(web, text, (size_t)length);
    free(text);
    return sent;
}

/* False: nothing came within this time, or the connection was closed. */
static bool receive(struct web *web, int timeout_ms) {
    char piece[65536];
    struct pollfd ready = { .fd = web->fd, .events = POLLIN };
    if (web->fd < 0 || poll(&ready, 1, timeout_ms) <= 0)
        return false;
    ssize_t got = recv(web->fd, piece, sizeof piece, 0);
    if (got <= 0) {
        web_close(web);
        return false;
    }
    append(&web->input, &web->have, &web->room, piece, (size_t)got);
    append(&seen.data, &seen.length, &seen.room, piece, (size_t)got);
    return true;
}

static void consume(struct web *web, size_t length) {
    web->have -= length;
    memmove(web->input, web->input + length, web->have + 1);
}

bool web_is_closed_within(struct web *web, int timeout_ms) {
    int64_t until = scene_now_ms() + timeout_ms;
    while (web->fd >= 0 && scene_now_ms() < until)
        receive(web, (int)(until - scene_now_ms()));
    return web->fd < 0;
}

const char *web_header(const struct web_answer *answer, const char *name) {
    size_t length = strlen(name);
    for (const char *line = answer->head; (line = strstr(line, "\r\n"));) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            const char *value = line + length + 1 + strspn(line + length + 1, " ");
            return scene_text("%.*s", (int)strcspn(value, "\r"), value);
        }
    }
    return "";
}

/* The head of an answer; its body has yet to be read. NULL: the connection was closed before. */
static struct web_answer *read_head(struct web *web) {
    char *end = NULL;
    while (!web->have || !(end = strstr(web->input, "\r\n\r\n")))
        if (!receive(web, SCENE_PATIENCE_MS)) {
            if (web->fd >= 0)
                scene_fail("the console does not answer: %s", web->have ? web->input : "");
            return NULL;
        }
    struct web_answer *answer = calloc(1, sizeof *answer);
    if (!answer)
        abort();
    size_t length = (size_t)(end - web->input) + 2;
    answer->head = strndup(web->input, length);
    answer->body = strdup("");
    answer->next = web->answers;
    web->answers = answer;
    consume(web, length + 2);
    if (sscanf(answer->head, "HTTP/1.%*d %d", &answer->status) != 1)
        scene_fail("this is no answer: %s", answer->head);
    return answer;
}

struct web_answer *web_read(struct web *web) {
    struct web_answer *answer = read_head(web);
    if (!answer)
        return NULL;
    size_t length = strtoul(web_header(answer, "Content-Length"), NULL, 10);
    while (web->have < length)
        if (!receive(web, SCENE_PATIENCE_MS))
            scene_fail("an answer was cut short: %s", answer->head);
    answer->body = grown(answer->body, length + 1);
    memcpy(answer->body, web->input ? web->input : "", length);
    answer->body[length] = '\0';
    answer->length = length;
    if (length)
        consume(web, length);
    return answer;
}

/* ---- asking ---- */

struct web_answer *web_ask(const struct console *console, const char *method, const char *path,
                           const char *headers, const char *body) {
    struct web *web = web_open(console);
    web_send(web, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s", method, path, console->address,
             console->session, headers);
    if (body)
        web_send(web, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    else
        web_send(web, "\r\n");
    struct web_answer *answer = web_read(web);
    web_close(web);
    return answer;
}

struct web_answer *web_command(const struct console *console, const char *words,
                               const char *payload) {
    return web_ask(
        console, "POST", "/api/command",
        scene_text("Origin: http://%s\r\nContent-Type: application/json\r\n", console->address),
        scene_text("{\"words\":%s,\"payload\":%s}", words, payload ? payload : "null"));
}

/* ---- streams ---- */

struct web *web_stream(const struct console *console, const char *headers) {
    struct web *web = web_open(console);
    web_send(web, "GET /api/stream HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", console->address,
             console->session, headers);
    struct web_answer *answer = read_head(web);
    if (!answer || answer->status != 200)
        scene_fail("no stream: %s", answer ? answer->head : "closed");
    return web;
}

/* Move whole chunks from `input` to `text`. */
static void unchunk(struct web *web) {
    for (char *end; web->have && (end = strstr(web->input, "\r\n"));) {
        size_t length = strtoul(web->input, NULL, 16), head = (size_t)(end - web->input) + 2;
        if (web->have < head + length + 2)
            return;
        append(&web->text, &web->text_length, &web->text_room, web->input + head, length);
        consume(web, head + length + 2);
        web->ended |= length == 0;
    }
}

static const char *take_message(struct web *web) {
    for (char *end; web->text_length && (end = strstr(web->text, "\n\n"));) {
        size_t length = (size_t)(end - web->text);
        const char *message = scene_text("%.*s", (int)length, web->text);
        web->text_length -= length + 2;
        memmove(web->text, end + 2, web->text_length + 1);
        if (*message != ':')
            return message;
    }
    return NULL;
}

const char *web_message(struct web *web, int timeout_ms) {
    int64_t until = scene_now_ms() + timeout_ms;
    for (;;) {
        const char *message = take_message(web);
        if (message)
            return message;
        int64_t left = until - scene_now_ms();
        if (left <= 0 || web->ended || !receive(web, (int)left))
            return NULL;
        unchunk(web);
    }
}

const char *web_message_of(struct web *web, const char *kind, int timeout_ms) {
    int64_t until = scene_now_ms() + timeout_ms;
    const char *event = scene_text("event: %s\n", kind), *message;
    do {
        int64_t left = until - scene_now_ms();
        message = web_message(web, left > 0 ? (int)left : 0);
    } while (message && !strstr(message, event));
    return message;
}

/* ---- the end ---- */

bool web_has_received(const char *text) {
    return seen.length && memmem(seen.data, seen.length, text, strlen(text)) != NULL;
}

static void free_web(struct web *web) {
    web_close(web);
    while (web->answers) {
        struct web_answer *answer = web->answers;
        web->answers = answer->next;
        free(answer->head);
        free(answer->body);
        free(answer);
    }
    free(web->input);
    free(web->text);
    free(web);
}

void consoles_end(void) {
    while (webs) {
        struct web *web = webs;
        webs = web->next;
        free_web(web);
    }
    while (consoles) {
        struct console *console = consoles;
        consoles = console->next;
        free(console);
    }
    free(seen.data);
    seen.data = NULL;
    seen.length = seen.room = 0;
}
