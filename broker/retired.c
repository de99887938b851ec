/* See retired.h. */
#include "retired.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <keybroker_shared/board.h>

#include "catalog.h"
#include "map.h"
#include "memory.h"

struct held {
    uint64_t pool_id, bytes;
};

struct retired {
    int inotify_fd;  /* -1 = there is none */
    struct map held; /* watch descriptor → held */
};

struct retired *retired_new(void) {
    struct retired *retired = mem_alloc(sizeof *retired);
    retired->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    return retired;
}

static void forget_all(struct retired *retired) {
    size_t i = 0;
    for (struct held *held; (held = map_next(&retired->held, &i));)
        free(held);
    map_deinit(&retired->held);
    retired->held = (struct map){ 0 };
}

struct retired *retired_free(struct retired *retired) {
    if (!retired)
        return NULL;
    forget_all(retired);
    if (retired->inotify_fd >= 0)
        close(retired->inotify_fd);
    free(retired);
    return NULL;
}

/* IN_DELETE_SELF comes when the file is gone, which is after its last name and its last holder. */
static void hear(struct retired *retired) {
    _Alignas(struct inotify_event) char buffer[4096];
    ssize_t length;
    while (retired->held.count && (length = read(retired->inotify_fd, buffer, sizeof buffer)) > 0) {
        const struct inotify_event *event;
        for (char *at = buffer; at < buffer + length; at += sizeof *event + event->len) {
            event = (const struct inotify_event *)(const void *)at;
            if (event->mask & IN_Q_OVERFLOW)
                forget_all(retired); /* too little is known: nobody is refused for it */
            else if (event->mask & (IN_DELETE_SELF | IN_IGNORED))
                free(map_remove(&retired->held, (uint64_t)event->wd));
        }
    }
}

void retired_unlink(struct retired *retired, uint64_t pool_id, int pool_dir_fd, uint64_t version,
                    uint64_t bytes) {
    char path[96];
    snprintf(path, sizeof path, "/proc/self/fd/%d/" KB_CATALOG_FILE_FORMAT, pool_dir_fd,
             (unsigned long long)version);
    hear(retired);
    int watch = retired->inotify_fd < 0
                    ? -1
                    : inotify_add_watch(retired->inotify_fd, path, IN_DELETE_SELF | IN_DONT_FOLLOW);
    catalog_unlink(pool_dir_fd, version);
    if (watch < 0)
        return;
    struct held *held = mem_alloc(sizeof *held);
    *held = (struct held){ .pool_id = pool_id, .bytes = bytes };
    free(map_remove(&retired->held, (uint64_t)watch));
    map_set(&retired->held, (uint64_t)watch, held);
}

uint64_t retired_bytes(struct retired *retired, uint64_t pool_id) {
    hear(retired);
    uint64_t bytes = 0;
    size_t i = 0;
    for (const struct held *held; (held = map_next(&retired->held, &i));)
        if (held->pool_id == pool_id)
            bytes += held->bytes;
    return bytes;
}
