/* See link.h. */
#include "link.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../memory.h"
#include "../moment.h"
#include "watcher.h"

enum { TICK_MS = 1000, OWN_DESCRIPTORS = 2 };

struct link {
    const char *runtime_dir;
    struct feed *feed;
    void (*tick)(void *userdata);
    void *userdata;
    pthread_t thread;
    int wake_fd;
    pthread_mutex_t lock; /* guards what follows, up to `stopping` */
    struct exchange *arrived;
    unsigned count; /* arrived and under way */
    bool stopping;
    /* The thread's own: */
    struct exchange *under_way;
    struct watcher watcher;
    int64_t next_tick_ms;
};

static int64_t now_ms(void) {
    return moment_now().mono_ms;
}

static void give_back(struct link *link, struct exchange *exchange) {
    pthread_mutex_lock(&link->lock);
    link->count--;
    pthread_mutex_unlock(&link->lock);
    exchange->done(exchange);
}

static bool take_arrived(struct link *link) {
    uint64_t ignored;
    ssize_t got = read(link->wake_fd, &ignored, sizeof ignored);
    (void)got; /* nothing to read is fine */
    pthread_mutex_lock(&link->lock);
    struct exchange *arrived = link->arrived;
    link->arrived = NULL;
    bool stopping = link->stopping;
    pthread_mutex_unlock(&link->lock);
    while (arrived) {
        struct exchange *exchange = arrived;
        arrived = exchange->next;
        if (!exchange_begin(exchange, link->runtime_dir, now_ms())) {
            give_back(link, exchange);
            continue;
        }
        exchange->next = link->under_way;
        link->under_way = exchange;
    }
    return !stopping;
}

/* `ready` has an entry for each exchange, in their order. */
static void step_exchanges(struct link *link, const struct pollfd *ready) {
    int64_t now = now_ms();
    for (struct exchange **place = &link->under_way; *place; ready++) {
        struct exchange *exchange = *place;
        bool goes_on = !ready->revents || exchange_step(exchange);
        if (goes_on && now >= exchange->deadline_ms) {
            exchange_fail(exchange, "the broker does not answer");
            goes_on = false;
        }
        if (goes_on) {
            place = &exchange->next;
            continue;
        }
        *place = exchange->next;
        give_back(link, exchange);
    }
}

/* Fills `fds`; how long to wait in *ret_ms. */
static nfds_t prepare(struct link *link, struct pollfd *fds, int *ret_ms) {
    struct watcher *watcher = &link->watcher;
    int64_t due = link->next_tick_ms < watcher->due_ms ? link->next_tick_ms : watcher->due_ms;
    fds[0] = (struct pollfd){ .fd = link->wake_fd, .events = POLLIN };
    fds[1] = (struct pollfd){ .fd = watcher->fd, .events = watcher_events(watcher) };
    nfds_t count = OWN_DESCRIPTORS;
    for (struct exchange *exchange = link->under_way; exchange; exchange = exchange->next) {
        fds[count++] = (struct pollfd){ .fd = exchange->fd, .events = exchange_events(exchange) };
        if (exchange->deadline_ms < due)
            due = exchange->deadline_ms;
    }
    int64_t wait = due - now_ms();
    *ret_ms = wait > 0 ? (int)wait + 1 : 0;
    return count;
}

static void turn(struct link *link) {
    struct pollfd fds[OWN_DESCRIPTORS + LINK_EXCHANGES_MAX];
    int wait_ms;
    nfds_t count = prepare(link, fds, &wait_ms);
    if (poll(fds, count, wait_ms) < 0)
        for (nfds_t i = 0; i < count; i++)
            fds[i].revents = 0;
    watcher_step(&link->watcher, fds[1].revents != 0, now_ms());
    step_exchanges(link, fds + OWN_DESCRIPTORS);
    if (now_ms() >= link->next_tick_ms) {
        feed_tick(link->feed);
        link->tick(link->userdata);
        link->next_tick_ms = now_ms() + TICK_MS;
    }
}

static void *run(void *argument) {
    struct link *link = argument;
    while (take_arrived(link))
        turn(link);
    while (link->under_way) {
        struct exchange *exchange = link->under_way;
        link->under_way = exchange->next;
        exchange_fail(exchange, "the console is stopping");
        give_back(link, exchange);
    }
    return NULL;
}

int link_start(struct link **ret_link, const char *runtime_dir, struct feed *feed,
               void (*tick)(void *userdata), void *userdata) {
    struct link *link = mem_alloc(sizeof *link);
    link->runtime_dir = runtime_dir;
    link->feed = feed;
    link->tick = tick;
    link->userdata = userdata;
    link->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (link->wake_fd < 0) {
        int error = errno;
        free(link);
        return -error;
    }
    pthread_mutex_init(&link->lock, NULL);
    watcher_init(&link->watcher, runtime_dir, feed);
    int error = pthread_create(&link->thread, NULL, run, link);
    if (error) {
        close(link->wake_fd);
        pthread_mutex_destroy(&link->lock);
        free(link);
        return -error;
    }
    *ret_link = link;
    return 0;
}

static void wake(struct link *link) {
    ssize_t put = write(link->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    (void)put; /* a full counter wakes as well */
}

bool link_send(struct link *link, struct exchange *exchange) {
    pthread_mutex_lock(&link->lock);
    bool taken = link->count < LINK_EXCHANGES_MAX && !link->stopping;
    if (taken) {
        exchange->fd = -1;
        exchange->next = link->arrived;
        link->arrived = exchange;
        link->count++;
    }
    pthread_mutex_unlock(&link->lock);
    if (taken)
        wake(link);
    return taken;
}

void link_stop(struct link *link) {
    pthread_mutex_lock(&link->lock);
    link->stopping = true;
    pthread_mutex_unlock(&link->lock);
    wake(link);
    pthread_join(link->thread, NULL);
}

struct link *link_free(struct link *link) {
    if (!link)
        return NULL;
    watcher_deinit(&link->watcher);
    close(link->wake_fd);
    pthread_mutex_destroy(&link->lock);
    free(link);
    return NULL;
}
