/* See peer.h. */
#include "peer.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct peer *peers;

/* ---- connections ---- */

struct peer *peer_try_open(const struct broker *broker) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if ((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s/admin.sock",
                         broker->runtime_dir) >= sizeof address.sun_path)
        scene_fail("the path of the admin socket is too long");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        scene_fail("socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return NULL;
    }
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        abort();
    peer->fd = fd;
    peer->next = peers;
    peers = peer;
    return peer;
}

struct peer *peer_open(const struct broker *broker) {
    struct peer *peer = peer_try_open(broker);
    if (!peer)
        scene_fail("cannot connect to %s/admin.sock: %s", broker->runtime_dir, strerror(errno));
    return peer;
}

void peer_become(const struct peer_identity *who) {
    if (setgroups(who->group_count, who->groups) < 0 || setresgid((gid_t)-1, who->gid, 0) < 0 ||
        setresuid((uid_t)-1, who->uid, 0) < 0)
        scene_fail("cannot become uid %u: %s", who->uid, strerror(errno));
}

void peer_come_back(void) {
    if (setresuid((uid_t)-1, 0, 0) < 0 || setresgid((gid_t)-1, 0, 0) < 0 || setgroups(0, NULL) < 0)
        scene_fail("cannot become root again: %s", strerror(errno));
}

struct peer *peer_open_as(const struct broker *broker, const struct peer_identity *who) {
    peer_become(who); /* the kernel notes who connects, not who sends */
    struct peer *peer = peer_try_open(broker);
    int error = errno;
    peer_come_back();
    if (!peer)
        scene_fail("uid %u cannot connect to the admin socket: %s", who->uid, strerror(error));
    return peer;
}

void peer_close(struct peer *peer) {
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
}

void peers_close(void) {
    while (peers) {
        struct peer *peer = peers;
        peers = peer->next;
        peer_close(peer);
        while (peer->answers) {
            struct answer *answer = peer->answers;
            peer->answers = answer->next;
            json_decref(answer->json);
            free((void *)(uintptr_t)answer->status);
            free((void *)(uintptr_t)answer->body);
            free(answer);
        }
        free(peer->input);
        free(peer);
    }
}

/* ---- sending ---- */

ssize_t peer_try_send(struct peer *peer, const void *bytes, size_t length) {
    ssize_t sent = send(peer->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return sent;
}

void peer_send_bytes(struct peer *peer, const void *bytes, size_t length) {
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    for (size_t at = 0; at < length;) {
        ssize_t sent = peer_try_send(peer, (const char *)bytes + at, length - at);
        if (sent < 0)
            return; /* it hung up; what it said before is there to be read */
        at += (size_t)sent;
        struct pollfd waiting = { .fd = peer->fd, .events = POLLOUT };
        if (sent == 0)
            poll(&waiting, 1, 100);
        if (scene_now_ms() > until)
            scene_fail("the broker takes no more than %zu of %zu bytes", at, length);
    }
}

static char *format_line(const char *format, va_list arguments) {
    char *line = NULL;
    if (vasprintf(&line, format, arguments) < 0)
        abort();
    return line;
}

static void send_line(struct peer *peer, const char *line, const char *end) {
    char *whole = NULL;
    int length = asprintf(&whole, "%s%s\n", line, end);
    if (length < 0)
        abort();
    peer_send_bytes(peer, whole, (size_t)length);
    free(whole);
}

static void send_formatted(struct peer *peer, const char *payload, size_t payload_length,
                           const char *format, va_list arguments) {
    char *line = format_line(format, arguments), end[32] = "";
    if (payload)
        snprintf(end, sizeof end, " <<%zu", payload_length);
    send_line(peer, line, end);
    if (payload)
        peer_send_bytes(peer, payload, payload_length);
    free(line);
}

void peer_send(struct peer *peer, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    send_formatted(peer, NULL, 0, format, arguments);
    va_end(arguments);
}

void peer_send_payload(struct peer *peer, const char *payload, size_t length, const char *format,
                       ...) {
    va_list arguments;
    va_start(arguments, format);
    send_formatted(peer, payload, length, format, arguments);
    va_end(arguments);
}

/* ---- receiving ---- */

/* More bytes: how many, 0 = the broker hung up, -1 = none came in time. */
static ssize_t receive(struct peer *peer, int timeout_ms) {
    struct pollfd waiting = { .fd = peer->fd, .events = POLLIN };
    if (peer->room - peer->have < 65536) {
        peer->room = peer->room * 2 + 131072;
        peer->input = realloc(peer->input, peer->room);
        if (!peer->input)
            abort();
    }
    if (poll(&waiting, 1, timeout_ms) <= 0)
        return -1;
    ssize_t got = recv(peer->fd, peer->input + peer->have, peer->room - peer->have, 0);
    if (got < 0)
        return errno == EINTR || errno == EAGAIN ? -1 : 0;
    peer->have += (size_t)got;
    return got;
}

static void consume(struct peer *peer, size_t length) {
    peer->have -= length;
    memmove(peer->input, peer->input + length, peer->have);
}

/* `*ret` NULL and true = the broker hung up. */
static bool wait_line(struct peer *peer, int timeout_ms, const char **ret) {
    int64_t until = scene_now_ms() + timeout_ms;
    size_t seen = 0;
    for (;;) {
        char *end = peer->have > seen ? memchr(peer->input + seen, '\n', peer->have - seen) : NULL;
        if (end) {
            *ret = scene_text("%.*s", (int)(end - peer->input), peer->input);
            consume(peer, (size_t)(end - peer->input) + 1);
            return true;
        }
        seen = peer->have;
        int64_t left = until - scene_now_ms();
        ssize_t got = receive(peer, left > 0 ? (int)left : 0);
        if (got == 0) {
            *ret = NULL;
            return true;
        }
        if (got < 0 && left <= 0)
            return false;
    }
}

const char *peer_read_line(struct peer *peer) {
    const char *line;
    if (!wait_line(peer, SCENE_PATIENCE_MS, &line))
        scene_fail("the broker has not sent a line within %d ms", SCENE_PATIENCE_MS);
    return line;
}

const char *peer_wait_line(struct peer *peer, int timeout_ms) {
    const char *line;
    return wait_line(peer, timeout_ms, &line) ? line : NULL;
}

bool peer_read_to_end(struct peer *peer) {
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    for (;;) {
        ssize_t got = receive(peer, 100);
        if (got == 0)
            return true;
        if (scene_now_ms() > until)
            return false;
        if (peer->have > 4 << 20)
            peer->have = 0;
    }
}

static char *take(const char *text, size_t length) {
    char *copy = malloc(length + 1);
    if (!copy)
        abort();
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

static void take_status(struct answer *answer) {
    answer->message = "";
    answer->code = strcmp(answer->status, "OK") == 0 ? 0 : -1;
    if (strncmp(answer->status, "ERR ", 4) == 0) {
        char *end;
        answer->code = (int)strtol(answer->status + 4, &end, 10);
        answer->message = *end == ' ' ? end + 1 : end;
    }
}

/* Where a whole reply ends, or NULL: behind the empty line. */
static const char *find_end(const char *bytes, size_t length, size_t *scanned) {
    size_t from = *scanned ? *scanned - 1 : 0;
    const char *end = length > from ? memmem(bytes + from, length - from, "\n\n", 2) : NULL;
    *scanned = length;
    return end;
}

struct answer *peer_read(struct peer *peer) {
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    size_t scanned = 0;
    const char *end;
    while (!(end = find_end(peer->input, peer->have, &scanned))) {
        ssize_t got = receive(peer, 100);
        if (got == 0)
            scene_fail("the broker hung up in place of a reply; before that: %.*s", (int)peer->have,
                       peer->have ? peer->input : "");
        if (scene_now_ms() > until)
            scene_fail("no whole reply within %d ms; so far: %.*s", SCENE_PATIENCE_MS,
                       (int)(peer->have < 2000 ? peer->have : 2000), peer->have ? peer->input : "");
    }
    struct answer *answer = calloc(1, sizeof *answer);
    if (!answer)
        abort();
    size_t length = (size_t)(end - peer->input);
    const char *line_end = memchr(peer->input, '\n', length + 1);
    size_t first = (size_t)(line_end - peer->input);
    answer->status = take(peer->input, first);
    answer->length = length > first ? length - first - 1 : 0;
    answer->body = take(peer->input + first + 1, answer->length);
    answer->json = json_loadb(answer->body, answer->length, 0, NULL);
    take_status(answer);
    consume(peer, length + 2);
    answer->next = peer->answers;
    peer->answers = answer;
    return answer;
}

/* ---- asking ---- */

static struct answer *ask(struct peer *peer, bool must, const char *payload, const char *format,
                          va_list arguments) {
    char *line = format_line(format, arguments), end[32] = "";
    if (payload)
        snprintf(end, sizeof end, " <<%zu", strlen(payload));
    send_line(peer, line, end);
    if (payload)
        peer_send_bytes(peer, payload, strlen(payload));
    struct answer *answer = peer_read(peer);
    if (must && answer->code != 0)
        scene_fail("\"%.200s\" was answered: %s", line, answer->status);
    free(line);
    return answer;
}

#define ASK(must, payload)                                                                         \
    do {                                                                                           \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        struct answer *answer = ask(peer, must, payload, format, arguments);                       \
        va_end(arguments);                                                                         \
        return answer;                                                                             \
    } while (0)

struct answer *peer_ask(struct peer *peer, const char *format, ...) {
    ASK(false, NULL);
}

struct answer *peer_ask_with(struct peer *peer, const char *payload, const char *format, ...) {
    ASK(false, payload);
}

struct answer *peer_must(struct peer *peer, const char *format, ...) {
    ASK(true, NULL);
}

struct answer *peer_must_with(struct peer *peer, const char *payload, const char *format, ...) {
    ASK(true, payload);
}

/* ---- pools ---- */

static void send_secret(struct peer *peer, unsigned number, const char *line) {
    char secret[64];
    snprintf(secret, sizeof secret, PEER_SECRET, number);
    peer_send_payload(peer, secret, strlen(secret), "%s", line);
}

void peer_make_pool(struct peer *peer, const char *pool, const char *vendor, unsigned keys) {
    send_secret(peer, 1, scene_text("add pool %s vendor=%s guard=off", pool, vendor));
    for (unsigned i = 2; i <= keys; i++)
        send_secret(peer, i, scene_text("add key %s", pool));
    for (unsigned i = 0; i < keys; i++) {
        struct answer *answer = peer_read(peer);
        if (answer->code != 0)
            scene_fail("pool %s, key %u: %s", pool, i + 1, answer->status);
    }
}

struct peer *peer_start(struct broker *broker, unsigned keys) {
    broker_start(broker, NULL);
    struct peer *peer = peer_open(broker);
    peer_make_pool(peer, "main", "openai", keys);
    return peer;
}

void peer_make_large_pool(struct peer *peer, const char *pool, const char *prefix, unsigned keys) {
    json_t *rows = json_array();
    char secret[64];
    for (unsigned i = 1; i <= keys; i++) {
        snprintf(secret, sizeof secret, PEER_SECRET, i);
        json_array_append_new(rows,
                              json_pack("{s:s, s:{s:s}}", "name", scene_text("%s%05u", prefix, i),
                                        "config", "api_key", secret));
    }
    json_t *document = json_pack("{s:i, s:{s:s, s:s}, s:o}", "format", 1, "pool", "vendor",
                                 "openai", "guard", "off", "keys", rows);
    char *text = json_dumps(document, JSON_COMPACT);
    peer_must_with(peer, text, "import %s", pool);
    free(text);
    json_decref(document);
}

/* ---- JSON ---- */

const json_t *json_at(const json_t *json, const char *path) {
    char name[64];
    while (json && *path) {
        size_t length = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)length, path);
        json = json_is_array(json) ? json_array_get(json, strtoul(name, NULL, 10))
                                   : json_object_get(json, name);
        path += length + (path[length] == '.');
    }
    return json;
}

const char *json_text(const json_t *json, const char *path) {
    const char *text = json_string_value(json_at(json, path));
    return text ? text : "";
}

const json_t *answer_at(const struct answer *answer, const char *path) {
    return json_at(answer->json, path);
}

const char *answer_string(const struct answer *answer, const char *path) {
    return json_text(answer->json, path);
}

long long answer_number(const struct answer *answer, const char *path) {
    const json_t *number = answer_at(answer, path);
    return json_is_integer(number) ? json_integer_value(number) : -1;
}

const json_t *answer_key(const struct answer *answer, const char *name) {
    const json_t *keys = answer_at(answer, "keys");
    for (size_t i = 0; i < json_array_size(keys); i++)
        if (strcmp(json_text(json_array_get(keys, i), "name"), name) == 0)
            return json_array_get(keys, i);
    return NULL;
}

const char *peer_key_status(struct peer *peer, const char *pool, const char *key) {
    struct answer *answer = peer_must(peer, "json show key %s %s", pool, key);
    return answer_string(answer, "status");
}
