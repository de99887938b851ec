/*
 * The example worker's feed: see feed.h. Two threads print; each line is one write() of less than
 * PIPE_BUF bytes, so lines never mix.
 */
#include "feed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct feed_watcher {
    kb_reader *reader;
    pthread_t thread;
    atomic_bool stopping;
};

uint64_t feed_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void feed_print(json_t *line) {
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    if (!text)
        return;
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of the NUL: one write, one line */
    if (write(STDOUT_FILENO, text, length + 1) < 0) {
        /* Whoever watched is gone; the requests go on. */
    }
    free(text);
}

void feed_report(uint64_t at_ns, const char *key, const char *outcome, const kb_report_info *info) {
    json_int_t wait_ms = info->wait_ms == KB_NO_HINT ? -1 : (json_int_t)info->wait_ms;
    feed_print(json_pack("{s:s, s:I, s:s, s:s, s:s, s:I}", "type", "report", "at_ns",
                         (json_int_t)at_ns, "key", key, "outcome", outcome, "code", info->code,
                         "wait_ms", wait_ms));
}

struct curl_slist *feed_stamp(struct curl_slist *list) {
    char stamp[48];
    snprintf(stamp, sizeof(stamp), "X-Begun-Ns: %llu", (unsigned long long)feed_now_ns());
    return curl_slist_append(list, stamp);
}

static void *watch(void *argument) {
    struct feed_watcher *watcher = argument;
    uint64_t id = 0;
    char name[65] = "";
    while (!watcher->stopping) {
        const kb_key *key = kb_current(watcher->reader);
        uint64_t now_ns = feed_now_ns();
        if ((key ? key->id : 0) != id) {
            const char *next = key ? key->name : "";
            feed_print(json_pack("{s:s, s:I, s:s, s:s}", "type", "switch", "at_ns",
                                 (json_int_t)now_ns, "from", name, "to", next));
            id = key ? key->id : 0;
            strncpy(name, next, sizeof(name) - 1);
        }
        kb_wait(watcher->reader, 100);
    }
    return NULL;
}

int feed_watcher_start(struct feed_watcher **ret_watcher, const char *pool,
                       const kb_options *options) {
    struct feed_watcher *watcher = calloc(1, sizeof(*watcher));
    if (!watcher)
        return KB_ENOMEM;
    int error = kb_open(&watcher->reader, pool, options);
    if (error == 0 && pthread_create(&watcher->thread, NULL, watch, watcher) != 0)
        error = KB_ESYSTEM;
    if (error != 0) {
        kb_close(watcher->reader);
        free(watcher);
        return error;
    }
    *ret_watcher = watcher;
    return 0;
}

struct feed_watcher *feed_watcher_stop(struct feed_watcher *watcher) {
    if (!watcher)
        return NULL;
    watcher->stopping = true;
    pthread_join(watcher->thread, NULL);
    kb_close(watcher->reader);
    free(watcher);
    return NULL;
}
