/*
 * Names: what users and processes are called, so that events and log lines say who it was. Looked
 * up when somebody connects, because a process may be gone when its event is shown.
 *
 * From files only: /etc/passwd, and /proc/PID. A directory service may take seconds to answer, and
 * whoever is called otherwise there keeps the number (the command looks it up when it shows it).
 * What a process is called it chooses itself: names are told, never asked for rights.
 */
#ifndef BROKER_NAMES_H
#define BROKER_NAMES_H

#include <stdint.h>
#include <time.h>

#include "event.h"
#include "map.h"

struct names {
    const char *passwd_path;  /* NULL = /etc/passwd */
    struct map users;         /* uid → name */
    struct timespec modified; /* the file, when it was read */
    int64_t size;
    int64_t looked_mono; /* whether it changed is asked once a second */
    int64_t second_mono; /* processes were looked up in this second … */
    unsigned looked_up;  /* … so many */
};

void names_deinit(struct names *names);
/* What is known of the actor's uid and pid. A crowd that connects at once stays without programs'
 * names beyond 256 a second. */
void names_look_up(struct names *names, const struct actor *actor, int64_t now_mono,
                   struct actor_names *ret);

/* The unit that a cgroup file's text names, "" = none. */
void names_unit(const char *cgroup, char ret[ACTOR_NAME_MAX]);

#endif
