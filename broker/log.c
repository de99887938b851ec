/* See log.h. One write per line, so that lines of several threads do not mix. */
#include "log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "printable.h"

static _Atomic int log_limit = LOG_LEVEL_INFO;
static bool read_by_journal; /* written by log_open alone, before there are threads */

/* systemd names the device and inode that it has connected to the journal: only if stderr still is
 * that one (and no file or pipe that a user has redirected it to) are priorities understood. */
static bool is_journal(const char *stream) {
    unsigned long long device, inode;
    struct stat st;
    char end;
    return stream && sscanf(stream, "%llu:%llu%c", &device, &inode, &end) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) != fd)
            _exit(1); /* the lowest free number was another one: somebody else opens files */
    read_by_journal = is_journal(getenv("JOURNAL_STREAM"));
    tzset(); /* reads a file: not in the middle of serving */
}

void log_set_level(enum log_level level) {
    atomic_store_explicit(&log_limit, (int)level, memory_order_relaxed);
}

static const char *level_name(enum log_level level) {
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_DEBUG:
        return "debug";
    }
    return "?";
}

/* "2026-11-23T17:17:32+01:00", local. */
static int write_time(char *text, size_t size) {
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!localtime_r(&now.tv_sec, &parts))
        return 0;
    long minutes = parts.tm_gmtoff / 60, distance = minutes < 0 ? -minutes : minutes;
    return snprintf(text, size, "%04d-%02d-%02dT%02d:%02d:%02d%c%02ld:%02ld ", parts.tm_year + 1900,
                    parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                    minutes < 0 ? '-' : '+', distance / 60, distance % 60);
}

void log_line(enum log_level level, const char *format, ...) {
    if ((int)level > atomic_load_explicit(&log_limit, memory_order_relaxed))
        return;
    char line[1024];
    int length = read_by_journal ? snprintf(line, sizeof line, "<%d>", (int)level)
                                 : write_time(line, sizeof line);
    length += snprintf(line + length, sizeof line - (size_t)length, "%s: ", level_name(level));
    char *text = line + length;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof line - (size_t)length - 1, format, arguments);
    va_end(arguments);
    printable_replace(text); /* a line is one line: what a peer chose must not forge another */
    size_t end = strlen(line);
    line[end++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, end); /* nowhere to say that it failed */
    (void)ignored;
}
