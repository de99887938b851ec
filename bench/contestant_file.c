/* See contestant.h: a file that is watched. */
#include "contestant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "sample.h"

struct file {
    struct contestant contestant;
    char directory[128], path[160], fresh[160];
    unsigned serial;
    int watch;     /* the observer's */
    char last[64]; /* the observer's: the key */
};

static void file_attach(struct contestant *contestant) {
    struct file *file = (struct file *)contestant;
    file->watch = inotify_init1(IN_CLOEXEC);
    if (file->watch < 0 || inotify_add_watch(file->watch, file->directory, IN_MOVED_TO) < 0)
        sample_die("inotify on %s: %s", file->directory, strerror(errno));
}

static void file_look(struct contestant *contestant) {
    struct file *file = (struct file *)contestant;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, file->last, sizeof file->last - 1);
    if (length < 0)
        sample_die("%s: %s", file->path, strerror(errno));
    file->last[length] = '\0';
    close(fd);
}

static void file_await(struct contestant *contestant) {
    struct file *file = (struct file *)contestant;
    _Alignas(struct inotify_event) char events[1024];
    char before[sizeof file->last];
    memcpy(before, file->last, sizeof before);
    do {
        if (read(file->watch, events, sizeof events) < 0)
            sample_die("inotify: %s", strerror(errno));
        file_look(contestant);
    } while (strcmp(before, file->last) == 0);
}

static uint64_t file_report(struct contestant *contestant) {
    struct file *file = (struct file *)contestant;
    char key[64];
    int length = snprintf(key, sizeof key, "sk-bench-%08u\n", ++file->serial);
    uint64_t sent_ns = sample_now_ns();
    int fd = open(file->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, key, (size_t)length) != length || close(fd) < 0 ||
        rename(file->fresh, file->path) < 0)
        sample_die("%s: %s", file->path, strerror(errno));
    return sent_ns;
}

static struct contestant *file_free(struct contestant *contestant) {
    struct file *file = (struct file *)contestant;
    unlink(file->path);
    rmdir(file->directory);
    free(file);
    return NULL;
}

struct contestant *contestant_file_new(const char *directory) {
    struct file *file = calloc(1, sizeof *file);
    if (!file)
        sample_die("no memory");
    file->contestant = (struct contestant){ .attach = file_attach,
                                            .look = file_look,
                                            .await = file_await,
                                            .report = file_report,
                                            .free = file_free };
    file->watch = -1;
    snprintf(file->directory, sizeof file->directory, "%s/watched.XXXXXX", directory);
    if (!mkdtemp(file->directory))
        sample_die("%s: %s", file->directory, strerror(errno));
    snprintf(file->path, sizeof file->path, "%s/key", file->directory);
    snprintf(file->fresh, sizeof file->fresh, "%s/key.new", file->directory);
    file_report(&file->contestant); /* so that there is a key to look at */
    return &file->contestant;
}
