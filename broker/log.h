/*
 * The log of broker and console: one line per call on stderr. The journal gets "<6>" priorities,
 * any other reader the time. Never a secret: callers pass names, ids and numbers, not configs.
 */
#ifndef BROKER_LOG_H
#define BROKER_LOG_H

enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

/* First thing in a program, before it opens anything: where stdin, stdout or stderr are closed,
 * /dev/null is opened there, so that no line ever lands in a file that took the number. Finds out
 * who reads stderr. */
void log_open(void);
void log_set_level(enum log_level level); /* lines above it are dropped; INFO at first */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
