/*
 * Talking to the broker's admin socket; see admin_client.h. Called by command.c, watch.c and
 * complete.c. Prints nothing and gives replies no meaning beyond OK and ERR.
 */
#include "admin_client.h"
#include "cli.h"

#include <keybroker_shared/board.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SYSTEM_RUNTIME_DIR "/run/keybroker"
#define SEND_TIMEOUT_S 10u

char *cli_runtime_dir(const struct cli_context *context) {
    const char *dir = context->runtime_dir;
    if (!dir) {
        dir = secure_getenv("KEYBROKER_RUNTIME_DIR");
        if (dir && !*dir)
            dir = NULL;
    }
    if (dir)
        return cli_must(strdup(dir));

    const char *xdg = secure_getenv("XDG_RUNTIME_DIR");
    char *own = NULL;
    char *chosen = NULL;
    if (xdg && *xdg == '/' && asprintf(&own, "%s/keybroker", xdg) >= 0) {
        int dir_fd = open(own, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct stat info;
        if (dir_fd >= 0) {
            if (fstatat(dir_fd, KB_ADMIN_SOCKET, &info, 0) == 0)
                chosen = own;
            close(dir_fd);
        }
        if (!chosen)
            free(own);
    }
    return chosen ? chosen : cli_must(strdup(SYSTEM_RUNTIME_DIR));
}

static void explain(struct cli_text *ret_why, const char *dir, int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        cli_text_addf(ret_why,
                      "no broker at %s: is keybrokerd running? (--runtime-dir or "
                      "KEYBROKER_RUNTIME_DIR names another place)",
                      dir);
        break;
    case ECONNREFUSED:
        cli_text_addf(ret_why, "the broker at %s is not running: nobody answers on %s", dir,
                      KB_ADMIN_SOCKET);
        break;
    case EACCES:
        cli_text_addf(ret_why, "no access to %s/%s: %s", dir, KB_ADMIN_SOCKET, strerror(error));
        break;
    case EAGAIN:
        cli_text_addf(ret_why, "the broker at %s does not answer", dir);
        break;
    default:
        cli_text_addf(ret_why, "cannot reach the broker at %s: %s", dir, strerror(error));
    }
}

int cli_connect(const struct cli_context *context, unsigned timeout_s,
                struct cli_connection *ret_connection, struct cli_text *ret_why) {
    /* A socket address holds 108 bytes; through the directory's descriptor any name fits.
     * A chroot without /proc has only the name itself. */
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char *dir = cli_runtime_dir(context);
    int error = 0;
    int fd = -1;
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        error = errno;
        goto out;
    }
    int length =
        access("/proc/self/fd", X_OK) == 0
            ? snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd,
                       KB_ADMIN_SOCKET)
            : snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir, KB_ADMIN_SOCKET);
    if (length < 0 || (size_t)length >= sizeof(address.sun_path)) {
        error = ENAMETOOLONG;
        goto out;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        error = errno;
        goto out;
    }
    struct timeval send_timeout = { .tv_sec = SEND_TIMEOUT_S };
    if (timeout_s && timeout_s < SEND_TIMEOUT_S)
        send_timeout.tv_sec = (time_t)timeout_s;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send_timeout, sizeof(send_timeout));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        error = errno;
out:
    if (dir_fd >= 0)
        close(dir_fd);
    if (error) {
        explain(ret_why, dir, error);
        if (fd >= 0)
            close(fd);
    } else {
        *ret_connection = (struct cli_connection){ .fd = fd,
                                                   .timeout_s = timeout_s,
                                                   .bytes_left = CLI_REPLY_BYTES_MAX };
    }
    free(dir);
    return error ? -1 : 0;
}

void cli_disconnect(struct cli_connection *connection) {
    close(connection->fd);
    connection->fd = -1;
    cli_text_deinit(&connection->buffer);
}

static bool send_all(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR && !cli_interrupted())
                continue;
            return false;
        }
        bytes += sent;
        count -= (size_t)sent;
    }
    return true;
}

void cli_send(struct cli_connection *connection, const char *line, const struct cli_text *payload) {
    struct cli_text head = CLI_TEXT_INIT;
    cli_text_adds(&head, line);
    if (payload)
        cli_text_addf(&head, " <<%zu", payload->length);
    cli_text_add(&head, "\n", 1);
    if (send_all(connection->fd, head.data, head.length) && payload)
        (void)send_all(connection->fd, cli_text_string(payload), payload->length);
    cli_text_deinit(&head);
}

/* Sleep until something came. SIGINT is let in only while asleep: one that came a moment before
 * would set its flag and leave us sleeping. */
static enum cli_read wait_readable(const struct cli_connection *connection) {
    struct pollfd waiting = { .fd = connection->fd, .events = POLLIN };
    struct timespec timeout = { .tv_sec = (time_t)connection->timeout_s };
    sigset_t interrupt, before;
    int ready, error;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &before);
    do {
        ready = cli_interrupted()
                    ? -1
                    : ppoll(&waiting, 1, connection->timeout_s ? &timeout : NULL, &before);
        error = errno;
    } while (ready < 0 && error == EINTR && !cli_interrupted());
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (ready > 0)
        return CLI_READ_LINE;
    if (ready == 0)
        return CLI_READ_TIMEOUT;
    return cli_interrupted() ? CLI_READ_INTERRUPTED : CLI_READ_END;
}

/* Receive more into the buffer. CLI_READ_LINE when something came. */
static enum cli_read receive(struct cli_connection *connection) {
    char chunk[65536];
    ssize_t got;
    while ((got = recv(connection->fd, chunk, sizeof(chunk), MSG_DONTWAIT)) < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return CLI_READ_END;
        enum cli_read waited = wait_readable(connection);
        if (waited != CLI_READ_LINE)
            return waited;
    }
    if (got == 0)
        return CLI_READ_END;
    enum cli_read result = CLI_READ_LINE;
    if ((size_t)got > connection->bytes_left) {
        result = CLI_READ_TOO_LONG;
    } else {
        connection->bytes_left -= (size_t)got;
        cli_text_add(&connection->buffer, chunk, (size_t)got);
    }
    explicit_bzero(chunk, (size_t)got);
    return result;
}

enum cli_read cli_read_line(struct cli_connection *connection, struct cli_text *line) {
    struct cli_text *buffer = &connection->buffer;
    size_t scanned = connection->taken;
    for (;;) {
        size_t fresh = buffer->length - scanned;
        char *end = fresh ? memchr(buffer->data + scanned, '\n', fresh) : NULL;
        if (end) {
            char *begin = buffer->data + connection->taken;
            cli_text_clear(line);
            cli_text_add(line, begin, (size_t)(end - begin));
            connection->taken += line->length + 1;
            return CLI_READ_LINE;
        }
        /* Before more comes, drop what was taken: a watch must not grow for ever. */
        if (connection->taken > 0) {
            size_t rest = buffer->length - connection->taken;
            memmove(buffer->data, buffer->data + connection->taken, rest);
            buffer->length = rest;
            buffer->data[rest] = '\0';
            connection->taken = 0;
        }
        scanned = buffer->length;
        enum cli_read result = receive(connection);
        if (result != CLI_READ_LINE)
            return result;
    }
}

enum cli_read cli_read_status(struct cli_connection *connection, struct cli_reply *reply) {
    struct cli_text line = CLI_TEXT_INIT;
    enum cli_read result = cli_read_line(connection, &line);
    if (result == CLI_READ_LINE) {
        const char *text = cli_text_string(&line);
        reply->ok = strcmp(text, "OK") == 0 || strncmp(text, "OK ", 3) == 0;
        reply->code = 0;
        cli_text_clear(&reply->status);
        if (!reply->ok && strncmp(text, "ERR ", 4) == 0) {
            char *end;
            long code = strtol(text + 4, &end, 10);
            reply->code = code > 0 && code < 1000 ? (int)code : 0;
            cli_text_adds(&reply->status, end + (*end == ' '));
        } else if (!reply->ok) {
            cli_text_addf(&reply->status, "this is no broker's answer: %.60s", text);
        }
    }
    cli_text_deinit(&line);
    return result;
}

enum cli_read cli_read_reply(struct cli_connection *connection, struct cli_reply *reply) {
    struct cli_text line = CLI_TEXT_INIT;
    enum cli_read result = cli_read_status(connection, reply);
    cli_text_clear(&reply->body);
    while (result == CLI_READ_LINE) {
        result = cli_read_line(connection, &line);
        if (result != CLI_READ_LINE || line.length == 0)
            break;
        if (reply->body.length)
            cli_text_add(&reply->body, "\n", 1);
        cli_text_add(&reply->body, line.data, line.length);
    }
    cli_text_deinit(&line);
    return result;
}

void cli_reply_deinit(struct cli_reply *reply) {
    cli_text_deinit(&reply->status);
    cli_text_deinit(&reply->body);
}

static const char *read_failure(enum cli_read result) {
    switch (result) {
    case CLI_READ_TOO_LONG:
        return "the broker's answer is too long to be one";
    case CLI_READ_TIMEOUT:
        return "the broker does not answer";
    case CLI_READ_INTERRUPTED:
        return "interrupted before the broker answered";
    default:
        return "the broker went away before its answer was complete";
    }
}

int cli_request(const struct cli_context *context, const char *line, const struct cli_text *payload,
                unsigned timeout_s, struct cli_reply *reply, struct cli_text *ret_why) {
    struct cli_connection connection;
    if (cli_connect(context, timeout_s, &connection, ret_why) < 0)
        return CLI_UNREACHABLE;
    reply->sent = true;
    cli_send(&connection, line, payload);
    enum cli_read result = cli_read_reply(&connection, reply);
    cli_disconnect(&connection);
    if (result != CLI_READ_LINE) {
        cli_text_adds(ret_why, read_failure(result));
        return CLI_UNREACHABLE;
    }
    return CLI_OK;
}
