/*
 * A keybrokerd as a process of its own, with directories of its own, started, killed and started
 * again by process tests and benches. It inherits nothing of the caller's settings. What it logs is
 * kept in a file and shown when the test fails. Everything here ends the test with a message when
 * it cannot do its work.
 */
#ifndef TESTS_BROKER_H
#define TESTS_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "scene.h"

enum { BROKER_ARGUMENTS_MAX = 24 };

struct broker {
    struct broker *next;
    const char *loop;        /* "io_uring", "epoll", NULL = the broker chooses */
    const char *state_dir;   /* may be changed before a start */
    const char *runtime_dir; /* likewise */
    const char *log_path;    /* of all starts, one after the other */
    const char *notify_path;
    const char *const *environment; /* "NAME=VALUE" …, NULL; set before a start */
    /* Called in the child before it becomes the broker, NULL = nothing: to be somebody else, say.
     */
    void (*prepare)(void);
    const char *arguments[BROKER_ARGUMENTS_MAX + 1]; /* of the last start, for broker_restart */
    int notify_fd;
    pid_t pid;     /* 0 = not running */
    int exit_code; /* of its last life, or 128 + the signal that ended it */
    bool stopping; /* it has said STOPPING=1 */
    bool paused;
};

/* Not started. Freed at the end of the test, which also ends the process. */
struct broker *broker_new(const char *loop);
/* One more broker on the same directories, with a log of its own. */
struct broker *broker_new_beside(const struct broker *broker);

/* Start with extra arguments (NULL at the end) and wait until it is ready. */
void broker_start(struct broker *broker, ...) __attribute__((sentinel));
/* The same without waiting. */
void broker_spawn(struct broker *broker, ...) __attribute__((sentinel));
void broker_wait_ready(struct broker *broker);
/* Once more with the arguments of the last start; kills it first if it runs. */
void broker_restart(struct broker *broker);

/* kill -9, and wait for the end. */
void broker_kill(struct broker *broker);
/* SIGTERM, and wait: its exit code, or 128 + the signal that ended it. */
int broker_stop(struct broker *broker);
/* Wait until it ends by itself: likewise. */
int broker_wait_exit(struct broker *broker);
/* False if it has ended (and then broker->pid is 0). */
bool broker_is_running(struct broker *broker);
void broker_signal(const struct broker *broker, int signal_number);
void broker_pause(struct broker *broker);
void broker_continue(struct broker *broker);

/* What it has logged so far; freed by the caller. */
char *broker_log(const struct broker *broker);
bool broker_log_has(const struct broker *broker, const char *text);

/* A number of its /proc/PID/status, in KiB: "VmRSS", "RssAnon" …. */
long broker_memory_kib(const struct broker *broker, const char *field);
/* How many descriptors it has open. */
unsigned broker_descriptors(const struct broker *broker);

/* SIGTERM to all that run, in whatever state the test left them: only then does a sanitizer look
 * for leaks. False if one of them ended badly. */
bool brokers_stop(void);
/* Kill and forget all of them; prints the logs if asked. For scene_end. */
void brokers_end(bool show_logs);

#endif
