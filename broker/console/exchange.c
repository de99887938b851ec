/* See exchange.h. */
#include "exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <keybroker_shared/board.h>

/* ---- sockets ---- */

int exchange_dial(const char *runtime_dir) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int dir_fd = open(runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    /* Through the descriptor, so that directories with long names work. */
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dir_fd,
             KB_ADMIN_SOCKET);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
    close(dir_fd);
    if (error && fd >= 0)
        close(fd);
    return error ? -error : fd;
}

bool exchange_send(int fd, struct buffer *out) {
    while (buffer_length(out)) {
        ssize_t sent = send(fd, buffer_bytes(out), buffer_length(out), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN;
        buffer_consume(out, (size_t)sent);
    }
    return true;
}

bool exchange_receive(int fd, struct buffer *in, size_t most) {
    char piece[64 * 1024];
    while (buffer_length(in) < most) {
        ssize_t got = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN;
        if (!got || !buffer_append(in, piece, (size_t)got))
            return false;
    }
    return true;
}

/* ---- one exchange ---- */

static void hang_up(struct exchange *exchange) {
    if (exchange->fd >= 0)
        close(exchange->fd);
    exchange->fd = -1;
    buffer_deinit(&exchange->request);
}

void exchange_fail(struct exchange *exchange, const char *message) {
    exchange->sent = exchange->fd >= 0 && !buffer_length(&exchange->request);
    hang_up(exchange);
    exchange->code = EXCHANGE_NO_BROKER;
    exchange->message = message;
    exchange->body = "";
    exchange->body_length = 0;
}

void exchange_deinit(struct exchange *exchange) {
    hang_up(exchange);
    buffer_deinit(&exchange->reply);
}

bool exchange_begin(struct exchange *exchange, const char *runtime_dir, int64_t mono_ms) {
    size_t length = buffer_length(&exchange->request);
    exchange->deadline_ms = mono_ms + EXCHANGE_TIME_MS + (int64_t)length / EXCHANGE_BYTES_PER_MS;
    exchange->fd = exchange_dial(runtime_dir);
    if (exchange->fd >= 0)
        return true;
    exchange_fail(exchange, exchange->fd == -EAGAIN ? "the broker does not take connections"
                                                    : "the broker is not running");
    return false;
}

short exchange_events(const struct exchange *exchange) {
    return buffer_length(&exchange->request) ? POLLIN | POLLOUT : POLLIN;
}

/* "OK" or "ERR code message", a body in which no line is empty, an empty line. False: not whole. */
static bool take_apart(struct exchange *exchange) {
    struct buffer *reply = &exchange->reply;
    size_t length = buffer_length(reply);
    char *text = buffer_bytes(reply);
    if (length < 4 || text[length - 1] != '\n' || text[length - 2] != '\n')
        return false;
    text[length - 2] = '\0';
    char *end = strchr(text, '\n');
    exchange->body = end ? end + 1 : "";
    exchange->body_length = strlen(exchange->body);
    if (end)
        *end = '\0';
    exchange->sent = true;
    if (strcmp(text, "OK") == 0) {
        exchange->code = 0;
        exchange->message = "";
        return true;
    }
    char *message = text;
    long code = strncmp(text, "ERR ", 4) == 0 ? strtol(text + 4, &message, 10) : 0;
    exchange->code = code >= 400 && code <= 599 ? (int)code : EXCHANGE_NO_BROKER;
    exchange->message = message + strspn(message, " ");
    return true;
}

bool exchange_step(struct exchange *exchange) {
    bool sending = exchange_send(exchange->fd, &exchange->request);
    bool more = exchange_receive(exchange->fd, &exchange->reply, EXCHANGE_REPLY_MAX);
    if (take_apart(exchange)) {
        hang_up(exchange);
        return false;
    }
    bool fits = buffer_length(&exchange->reply) < EXCHANGE_REPLY_MAX;
    if (sending && more && fits)
        return true;
    exchange_fail(exchange, fits ? "the broker hung up" : "the broker's answer is too long");
    return false;
}
