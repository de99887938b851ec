/* See log.h. One write per line, so that lines of several threads do not mix. */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "moment.h"
#include "printable.h"
#include "timetext.h"

static _Atomic int log_limit = LOG_LEVEL_INFO;

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

void log_line(enum log_level level, const char *format, ...) {
    if ((int)level > atomic_load_explicit(&log_limit, memory_order_relaxed))
        return;
    char line[1024], time[TIMETEXT_SIZE];
    int length;
    if (isatty(STDERR_FILENO))
        length = snprintf(line, sizeof line, "%s %-7s ",
                          timetext_format(moment_now().wall_ms, time), level_name(level));
    else
        length = snprintf(line, sizeof line, "<%d>%s: ", (int)level, level_name(level));
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
