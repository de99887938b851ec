/*
 * See contestant.h: a Redis server. Its protocol is spoken by hand, with one write for both
 * commands and no reply waited for, which is the least that a client could do.
 */
#include "contestant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sample.h"

enum { POLL_US = 100000, REPLY_MAX = 512 };

struct redis {
    struct contestant contestant;
    const char *path;
    int fd;          /* the reporter's; in the observer its own */
    unsigned serial; /* of the key that the reporter names next */
    char last[64];   /* the observer's: the key */
};

static int connect_to(const char *path) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        sample_die("redis at %s: %s", path, strerror(errno));
    return fd;
}

static void say(int fd, const char *text, size_t length) {
    if (send(fd, text, length, MSG_NOSIGNAL) != (ssize_t)length)
        sample_die("redis: %s", strerror(errno));
}

/* One reply or message. They are short and answer one question: they arrive whole. */
static size_t hear(int fd, char text[static REPLY_MAX]) {
    ssize_t length = recv(fd, text, REPLY_MAX - 1, 0);
    if (length <= 0 || text[0] == '-')
        sample_die("redis: %s", length > 0 ? text : "it hung up");
    text[length] = '\0';
    return (size_t)length;
}

/* The last bulk string of what was heard: the key. */
static void take_key(struct redis *redis, char *text, size_t length) {
    if (length < 2 || memcmp(text + length - 2, "\r\n", 2) != 0)
        sample_die("redis: cut short: %s", text);
    text[length - 2] = '\0';
    const char *word = strrchr(text, '\n');
    snprintf(redis->last, sizeof redis->last, "%s", word ? word + 1 : text);
}

static void subscriber_attach(struct contestant *contestant) {
    static const char SUBSCRIBE[] = "*2\r\n$9\r\nSUBSCRIBE\r\n$8\r\nkeybench\r\n";
    struct redis *redis = (struct redis *)contestant;
    char text[REPLY_MAX];
    redis->fd = connect_to(redis->path);
    say(redis->fd, SUBSCRIBE, sizeof SUBSCRIBE - 1);
    hear(redis->fd, text);
}

static void subscriber_look(struct contestant *contestant) {
    (void)contestant; /* news comes by itself */
}

static void subscriber_await(struct contestant *contestant) {
    struct redis *redis = (struct redis *)contestant;
    char text[REPLY_MAX];
    take_key(redis, text, hear(redis->fd, text));
}

static void poller_attach(struct contestant *contestant) {
    struct redis *redis = (struct redis *)contestant;
    redis->fd = connect_to(redis->path);
}

static void poller_look(struct contestant *contestant) {
    static const char GET[] = "*2\r\n$3\r\nGET\r\n$7\r\ncurrent\r\n";
    struct redis *redis = (struct redis *)contestant;
    char text[REPLY_MAX];
    say(redis->fd, GET, sizeof GET - 1);
    take_key(redis, text, hear(redis->fd, text));
}

static void poller_await(struct contestant *contestant) {
    struct redis *redis = (struct redis *)contestant;
    char before[sizeof redis->last];
    memcpy(before, redis->last, sizeof before);
    for (;;) {
        poller_look(contestant);
        if (strcmp(before, redis->last) != 0)
            return;
        sample_sleep_us(POLL_US);
    }
}

static uint64_t redis_report(struct contestant *contestant) {
    struct redis *redis = (struct redis *)contestant;
    char key[64], text[REPLY_MAX], replies[REPLY_MAX];
    while (recv(redis->fd, replies, sizeof replies, MSG_DONTWAIT) > 0) /* to the last report */
        continue;
    int key_length = snprintf(key, sizeof key, "sk-bench-%08u", ++redis->serial);
    int length = snprintf(text, sizeof text,
                          "*3\r\n$3\r\nSET\r\n$7\r\ncurrent\r\n$%d\r\n%s\r\n"
                          "*3\r\n$7\r\nPUBLISH\r\n$8\r\nkeybench\r\n$%d\r\n%s\r\n",
                          key_length, key, key_length, key);
    uint64_t sent_ns = sample_now_ns();
    say(redis->fd, text, (size_t)length);
    return sent_ns;
}

static struct contestant *redis_free(struct contestant *contestant) {
    struct redis *redis = (struct redis *)contestant;
    close(redis->fd);
    free(redis);
    return NULL;
}

struct contestant *contestant_redis_new(const char *socket_path, bool polls) {
    struct redis *redis = calloc(1, sizeof *redis);
    if (!redis)
        sample_die("no memory");
    redis->contestant = (struct contestant){ .attach = polls ? poller_attach : subscriber_attach,
                                             .look = polls ? poller_look : subscriber_look,
                                             .await = polls ? poller_await : subscriber_await,
                                             .report = redis_report,
                                             .free = redis_free };
    redis->path = socket_path;
    redis->fd = connect_to(socket_path);
    redis_report(&redis->contestant); /* so that there is a key to look at */
    return &redis->contestant;
}
