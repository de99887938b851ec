/* See crowd.h. */
#include "crowd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* ---- connections ---- */

static void hang_up(struct crowd_client *client) {
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    client->input_length = client->output_length = client->output_done = 0;
}

bool crowd_connect(struct crowd *crowd, const char *runtime_dir) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s/admin.sock", runtime_dir);
    if (length >= (int)sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (unsigned i = 0; i < crowd->count; i++)
        crowd->clients[i].fd = -1;
    for (unsigned i = 0; i < crowd->count; i++) {
        struct crowd_client *client = &crowd->clients[i];
        client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (client->fd < 0 ||
            connect(client->fd, (struct sockaddr *)&address, sizeof address) < 0) {
            hang_up(client);
            return false;
        }
    }
    return true;
}

/* ---- answers ---- */

/* Whole answers only: they end with an empty line. */
static void take_answers(struct crowd *crowd, struct crowd_client *client) {
    size_t done = 0;
    for (;;) {
        char *answer = client->input + done;
        char *end = memmem(answer, client->input_length - done, "\n\n", 2);
        if (!end)
            break;
        if (strncmp(answer, "OK", 2) != 0 || client->oracle.sent == 0) {
            if (!crowd->problem[0])
                snprintf(crowd->problem, sizeof crowd->problem, "%s: %.*s", client->oracle.name,
                         (int)(end - answer), answer);
        } else {
            oracle_acknowledge(&client->oracle);
            crowd->acknowledged++;
        }
        done += (size_t)(end + 2 - answer);
    }
    client->input_length -= done;
    memmove(client->input, client->input + done, client->input_length);
}

/* False when there is nothing to read now; hangs up when there never will be. */
static bool receive(struct crowd *crowd, struct crowd_client *client) {
    ssize_t got = recv(client->fd, client->input + client->input_length,
                       sizeof client->input - client->input_length, MSG_DONTWAIT);
    if (got > 0) {
        client->input_length += (size_t)got;
        take_answers(crowd, client);
        return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        hang_up(client);
    return false;
}

/* ---- commands ---- */

static void invent_some(struct crowd *crowd, struct crowd_client *client) {
    char command[ORACLE_COMMAND];
    uint64_t some = seed_below(&crowd->seed, ORACLE_AHEAD);
    while (some-- > 0 && oracle_invent(&client->oracle, command)) {
        size_t length = strlen(command);
        memcpy(client->output + client->output_length, command, length);
        client->output_length += length;
    }
}

static void send_some(struct crowd_client *client) {
    ssize_t sent = send(client->fd, client->output + client->output_done,
                        client->output_length - client->output_done, MSG_DONTWAIT | MSG_NOSIGNAL);
    client->output_done += sent > 0 ? (size_t)sent : 0;
    if (client->output_done == client->output_length)
        client->output_done = client->output_length = 0;
}

bool crowd_work(struct crowd *crowd, uint64_t us) {
    uint64_t end = now_us() + us;
    for (uint64_t now; (now = now_us()) < end && !crowd->problem[0];) {
        struct pollfd ready[CROWD_SIZE];
        for (unsigned i = 0; i < crowd->count; i++) {
            struct crowd_client *client = &crowd->clients[i];
            if (client->fd >= 0 && client->output_length == 0)
                invent_some(crowd, client);
            ready[i] =
                (struct pollfd){ .fd = client->fd,
                                 .events = client->output_length ? POLLIN | POLLOUT : POLLIN };
        }
        struct timespec pause = { .tv_nsec =
                                      (long)(end - now < 900000 ? end - now : 900000) * 1000 };
        if (ppoll(ready, crowd->count, &pause, NULL) < 0)
            continue;
        for (unsigned i = 0; i < crowd->count; i++) {
            struct crowd_client *client = &crowd->clients[i];
            if (client->fd >= 0 && ready[i].revents & POLLIN)
                receive(crowd, client);
            if (client->fd >= 0 && ready[i].revents & POLLOUT)
                send_some(client);
            if (client->fd >= 0 && ready[i].revents & (POLLHUP | POLLERR))
                while (receive(crowd, client))
                    continue;
        }
    }
    return !crowd->problem[0];
}

bool crowd_disconnect(struct crowd *crowd) {
    for (unsigned i = 0; i < crowd->count; i++) {
        struct crowd_client *client = &crowd->clients[i];
        while (client->fd >= 0 && receive(crowd, client))
            continue;
        hang_up(client);
    }
    return !crowd->problem[0];
}
