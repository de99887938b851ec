/*
 * The command line and the environment of keybrokerd, read once at start.
 */
#ifndef BROKER_OPTIONS_H
#define BROKER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "log.h"
#include "loop.h"

struct options {
    char *state_dir;             /* owned */
    char *runtime_dir;           /* owned */
    const char *master_key_file; /* NULL = by itself (store.h) */
    const char *restore_file;    /* NULL = serve */
    const char *admin_group;     /* NULL = none besides root and the broker's own user */
    const char *viewer_group;
    enum loop_kind loop;
    enum log_level log_level;
    uint64_t events_kept; /* 0 = default */
    bool allow_disk_runtime;
};

/* Fill *ret from argv and the environment. Returns -1 to go on, else the exit code: 0 after --help
 * or
 * --version, 2 after a mistake (explained on stderr). */
int options_parse(struct options *ret, int argc, char **argv);
void options_deinit(struct options *options);

#endif
