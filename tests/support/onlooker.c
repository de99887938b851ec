/* See onlooker.h. */
#include "onlooker.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keybroker.h>

#include "scene.h"

enum {
    POOLS_MAX = 8,
    PAUSE_US = 1000, /* leaves the processors to those who are watched */
};

struct view {
    const char *pool;
    kb_reader *reader;
    uint64_t generation;
    uint64_t last_id;
    ino_t inode; /* of the board at the start */
};

static bool __attribute__((format(printf, 2, 3)))
complain(struct onlooker *onlooker, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(onlooker->problem, sizeof onlooker->problem, format, arguments);
    va_end(arguments);
    atomic_store(&onlooker->failed, true);
    return false;
}

/* ---- checks ---- */

static bool generation_grows(struct onlooker *onlooker, struct view *view, uint64_t generation) {
    if (generation < view->generation)
        return complain(onlooker, "%s: generation %llx after %llx", view->pool,
                        (unsigned long long)generation, (unsigned long long)view->generation);
    view->generation = generation;
    return true;
}

static bool key_is_whole(struct onlooker *onlooker, const struct view *view, const kb_key *key) {
    char beginning[80];
    int length = snprintf(beginning, sizeof beginning, "sk-%s-", key->name);
    if (length >= (int)sizeof beginning || strncmp(key->api_key, beginning, (size_t)length) != 0)
        return complain(onlooker, "%s: key %s has the secret %s", view->pool, key->name,
                        key->api_key);
    if (!strstr(key->auth_header, key->api_key) || !strstr(key->config_json, key->api_key))
        return complain(onlooker, "%s: key %s has the secret %s, but the header %s and %s",
                        view->pool, key->name, key->api_key, key->auth_header, key->config_json);
    if (key->id == 0 || key->ticket.id != key->id)
        return complain(onlooker, "%s: key %s has a wrong ticket", view->pool, key->name);
    return true;
}

static bool look(struct onlooker *onlooker, struct view *view) {
    const kb_key *key = kb_current(view->reader);
    atomic_fetch_add(&onlooker->looks, 1);
    if (!key)
        return complain(onlooker, "%s: no key: %s", view->pool,
                        kb_strerror(kb_last_error(view->reader)));
    if (key->id != view->last_id)
        atomic_fetch_add(&onlooker->switches, 1);
    view->last_id = key->id;
    return key_is_whole(onlooker, view, key) &&
           generation_grows(onlooker, view, key->ticket.generation);
}

/* The other calls, now and then. */
static bool look_around(struct onlooker *onlooker, struct view *view) {
    kb_health_info health = KB_HEALTH_INFO_INIT;
    kb_attempt attempt = KB_ATTEMPT_INIT;
    int error = kb_health(view->reader, &health);
    if (error != 0 || health.keys == 0 || health.usable == 0)
        return complain(onlooker, "%s: health: %s, %u of %u keys", view->pool, kb_strerror(error),
                        health.usable, health.keys);
    if (!generation_grows(onlooker, view, health.generation))
        return false;
    const kb_key *first = kb_next(view->reader, &attempt);
    if (!first)
        return complain(onlooker, "%s: no key for an attempt: %s", view->pool,
                        kb_strerror(kb_last_error(view->reader)));
    uint64_t first_id = first->id;
    if (!key_is_whole(onlooker, view, first))
        return false;
    const kb_key *second = kb_next(view->reader, &attempt);
    if (second && second->id == first_id)
        return complain(onlooker, "%s: the second try is the first one again", view->pool);
    return !second || key_is_whole(onlooker, view, second);
}

static void report(struct onlooker *onlooker, struct view *view, uint64_t turn) {
    const kb_key *key = kb_current(view->reader);
    if (!key || strcmp(key->name, "default") == 0)
        return;
    static const kb_outcome OUTCOMES[] = { KB_RATE, KB_QUOTA, KB_RATE, KB_INVALID };
    kb_report(view->reader, key->ticket, OUTCOMES[turn % 4], 20);
    atomic_fetch_add(&onlooker->reports, 1);
}

/* ---- attaching ---- */

static bool attach(struct onlooker *onlooker, struct view *view) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = onlooker->runtime_dir;
    int error = kb_open(&view->reader, view->pool, &options);
    if (error != 0)
        return complain(onlooker, "%s: cannot attach: %s", view->pool, kb_strerror(error));
    return true;
}

static bool board_inode(const struct onlooker *onlooker, struct view *view) {
    char path[512];
    struct stat status;
    snprintf(path, sizeof path, "%s/pools/%s/board.1", onlooker->runtime_dir, view->pool);
    if (stat(path, &status) < 0)
        return false;
    view->inode = status.st_ino;
    return true;
}

/* The board that is mapped now must be the one that was mapped at the start. */
static bool board_is_the_same(struct onlooker *onlooker, const struct view *view) {
    char line[768], wanted[128];
    unsigned found = 0;
    snprintf(wanted, sizeof wanted, "/pools/%s/board.1", view->pool);
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long inode = 0;
        if (!strstr(line, wanted))
            continue;
        sscanf(line, "%*s %*s %*s %*s %lu", &inode);
        if (inode != view->inode || strstr(line, "(deleted)")) {
            fclose(maps);
            return complain(onlooker, "%s: another board: %s", view->pool, line);
        }
        found++;
    }
    if (maps)
        fclose(maps);
    return found == 1 || complain(onlooker, "%s: %u boards are mapped", view->pool, found);
}

/* ---- the process ---- */

static bool take_a_turn(struct onlooker *onlooker, struct view *views, uint64_t turn) {
    for (struct view *view = views; view->pool; view++) {
        if (!look(onlooker, view) || (turn % 16 == 0 && !look_around(onlooker, view)))
            return false;
        if (onlooker->task == ONLOOKER_REPORTS && !view[1].pool && turn % 8 == 0)
            report(onlooker, view, turn / 8);
        if (onlooker->task == ONLOOKER_REOPENS) {
            view->reader = kb_close(view->reader);
            if (!attach(onlooker, view))
                return false;
        }
    }
    return true;
}

static void watch(struct onlooker *onlooker) {
    struct view views[POOLS_MAX + 1] = { 0 };
    for (unsigned i = 0; i < POOLS_MAX && onlooker->pools[i]; i++) {
        views[i].pool = onlooker->pools[i];
        if (!attach(onlooker, &views[i]))
            return;
        if (!board_inode(onlooker, &views[i])) {
            complain(onlooker, "%s: no board", views[i].pool);
            return;
        }
    }
    for (uint64_t turn = 1; !atomic_load(&onlooker->stop); turn++) {
        if (!take_a_turn(onlooker, views, turn))
            return;
        usleep(PAUSE_US);
    }
    for (struct view *view = views; view->pool; view++) {
        if (!board_is_the_same(onlooker, view))
            return;
        kb_close(view->reader);
    }
}

struct onlooker *onlooker_start(enum onlooker_task task, const char *runtime_dir,
                                const char *const *pools) {
    struct onlooker *onlooker =
        mmap(NULL, sizeof *onlooker, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (onlooker == MAP_FAILED)
        return NULL;
    onlooker->task = task;
    onlooker->runtime_dir = runtime_dir;
    onlooker->pools = pools;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        scene_become_child(parent);
        watch(onlooker);
        _exit(0);
    }
    onlooker->pid = pid;
    if (pid < 0) {
        munmap(onlooker, sizeof *onlooker);
        return NULL;
    }
    return onlooker;
}

bool onlooker_stop(struct onlooker *onlooker) {
    int status = 0;
    atomic_store(&onlooker->stop, true);
    if (waitpid(onlooker->pid, &status, 0) != onlooker->pid)
        return complain(onlooker, "the onlooker is lost");
    if (!atomic_load(&onlooker->failed) && status != 0)
        return complain(onlooker, "the onlooker ended with %s %d",
                        WIFSIGNALED(status) ? "signal" : "code",
                        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return !atomic_load(&onlooker->failed);
}

struct onlooker *onlooker_free(struct onlooker *onlooker) {
    if (onlooker)
        munmap(onlooker, sizeof *onlooker);
    return NULL;
}
