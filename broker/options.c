/* See options.h. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <keybroker.h>

#include "memory.h"

static const char HELP[] =
    "keybrokerd: a pool of API keys for the processes of this host\n"
    "\n"
    "usage: keybrokerd [OPTION...]\n"
    "\n"
    "  --state-dir DIR        where the store lives (mode 0700)\n"
    "  --runtime-dir DIR      where sockets and boards live (tmpfs)\n"
    "  --master-key-file FILE the key that unlocks the store (64 hex digits, mode 0600); "
    "otherwise\n"
    "                         $CREDENTIALS_DIRECTORY/master.key, else master.key in the state dir\n"
    "  --restore FILE         make the store of a backup, where none is yet, and end; the master "
    "key\n"
    "                         that the backup was made under must be in place\n"
    "  --admin-group GROUP    members may change pools, besides root and the broker's own user\n"
    "  --viewer-group GROUP   members may look\n"
    "  --keep-events N        events that are kept (100000): half for what operators did, the "
    "rest\n"
    "                         shared by the pools, the newest of each\n"
    "  --loop KIND            auto, io_uring or epoll\n"
    "  --allow-disk-runtime   accept a runtime dir that is not on tmpfs: plaintext keys reach a "
    "disk\n"
    "  --log-level LEVEL      error, warning, info or debug\n"
    "  --version, --help\n"
    "\n"
    "Directories: option, else $KEYBROKER_STATE_DIR and $KEYBROKER_RUNTIME_DIR, else systemd's\n"
    "$STATE_DIRECTORY and $RUNTIME_DIRECTORY, else /var/lib/keybroker and /run/keybroker for "
    "root,\n"
    "$XDG_STATE_HOME/keybroker (~/.local/state) and $XDG_RUNTIME_DIR/keybroker for anyone else.\n";

static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static char *default_state_dir(void) {
    const char *given = environment("KEYBROKER_STATE_DIR");
    if (!given)
        given = environment("STATE_DIRECTORY");
    if (given)
        return mem_strdup(given);
    if (geteuid() == 0)
        return mem_strdup("/var/lib/keybroker");
    if (environment("XDG_STATE_HOME"))
        return mem_printf("%s/keybroker", environment("XDG_STATE_HOME"));
    if (environment("HOME"))
        return mem_printf("%s/.local/state/keybroker", environment("HOME"));
    return NULL;
}

static char *default_runtime_dir(void) {
    const char *given = environment("KEYBROKER_RUNTIME_DIR");
    if (!given)
        given = environment("RUNTIME_DIRECTORY");
    if (given)
        return mem_strdup(given);
    if (geteuid() == 0)
        return mem_strdup("/run/keybroker");
    if (environment("XDG_RUNTIME_DIR"))
        return mem_printf("%s/keybroker", environment("XDG_RUNTIME_DIR"));
    return NULL;
}

static bool parse_loop(const char *text, enum loop_kind *ret) {
    static const char *const NAMES[] = {
        [LOOP_AUTO] = "auto", [LOOP_URING] = "io_uring", [LOOP_EPOLL] = "epoll"
    };
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strcmp(text, NAMES[i]) == 0) {
            *ret = (enum loop_kind)i;
            return true;
        }
    return false;
}

static bool parse_level(const char *text, enum log_level *ret) {
    static const struct {
        const char *name;
        enum log_level level;
    } LEVELS[] = { { "error", LOG_LEVEL_ERROR },
                   { "warning", LOG_LEVEL_WARNING },
                   { "info", LOG_LEVEL_INFO },
                   { "debug", LOG_LEVEL_DEBUG } };
    for (unsigned i = 0; i < sizeof LEVELS / sizeof *LEVELS; i++)
        if (strcmp(text, LEVELS[i].name) == 0) {
            *ret = LEVELS[i].level;
            return true;
        }
    return false;
}

static bool parse_count(const char *text, uint64_t *ret) {
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '1' || *text > '9' || *end || number > 100000000)
        return false;
    *ret = number;
    return true;
}

enum {
    OPT_STATE = 256,
    OPT_RUNTIME,
    OPT_MASTER,
    OPT_RESTORE,
    OPT_ADMIN,
    OPT_VIEWER,
    OPT_EVENTS,
    OPT_LOOP,
    OPT_DISK,
    OPT_LEVEL,
    OPT_VERSION,
    OPT_HELP
};

static const struct option OPTIONS[] = {
    { "state-dir", required_argument, NULL, OPT_STATE },
    { "runtime-dir", required_argument, NULL, OPT_RUNTIME },
    { "master-key-file", required_argument, NULL, OPT_MASTER },
    { "restore", required_argument, NULL, OPT_RESTORE },
    { "admin-group", required_argument, NULL, OPT_ADMIN },
    { "viewer-group", required_argument, NULL, OPT_VIEWER },
    { "keep-events", required_argument, NULL, OPT_EVENTS },
    { "loop", required_argument, NULL, OPT_LOOP },
    { "allow-disk-runtime", no_argument, NULL, OPT_DISK },
    { "log-level", required_argument, NULL, OPT_LEVEL },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, OPT_HELP },
    { 0 },
};

static int complain(const char *format, const char *what) {
    fprintf(stderr, format, what);
    fputs("keybrokerd: see keybrokerd --help\n", stderr);
    return 2;
}

static int take(struct options *ret, int option) {
    switch (option) {
    case OPT_STATE:
        free(ret->state_dir);
        ret->state_dir = mem_strdup(optarg);
        return -1;
    case OPT_RUNTIME:
        free(ret->runtime_dir);
        ret->runtime_dir = mem_strdup(optarg);
        return -1;
    case OPT_MASTER:
        ret->master_key_file = optarg;
        return -1;
    case OPT_RESTORE:
        ret->restore_file = optarg;
        return -1;
    case OPT_ADMIN:
        ret->admin_group = optarg;
        return -1;
    case OPT_VIEWER:
        ret->viewer_group = optarg;
        return -1;
    case OPT_DISK:
        ret->allow_disk_runtime = true;
        return -1;
    case OPT_EVENTS:
        return parse_count(optarg, &ret->events_kept)
                   ? -1
                   : complain("keybrokerd: --keep-events %s: not a count\n", optarg);
    case OPT_LOOP:
        return parse_loop(optarg, &ret->loop)
                   ? -1
                   : complain("keybrokerd: --loop %s: auto, io_uring or epoll\n", optarg);
    case OPT_LEVEL:
        return parse_level(optarg, &ret->log_level)
                   ? -1
                   : complain("keybrokerd: --log-level %s: error, warning, info or debug\n",
                              optarg);
    case OPT_VERSION:
        printf("keybrokerd %s\n", KB_VERSION);
        return 0;
    case OPT_HELP:
        fputs(HELP, stdout);
        return 0;
    default:
        return complain("%s", "");
    }
}

int options_parse(struct options *ret, int argc, char **argv) {
    *ret = (struct options){ .loop = LOOP_AUTO, .log_level = LOG_LEVEL_INFO };
    for (int option; (option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        int code = take(ret, option);
        if (code >= 0)
            return code;
    }
    if (optind < argc)
        return complain("keybrokerd: %s: no arguments are taken\n", argv[optind]);
    if (!ret->state_dir)
        ret->state_dir = default_state_dir();
    if (!ret->runtime_dir)
        ret->runtime_dir = default_runtime_dir();
    if (!ret->state_dir || !*ret->state_dir)
        return complain("keybrokerd: no state directory: give --state-dir%s\n", "");
    if (!ret->restore_file && (!ret->runtime_dir || !*ret->runtime_dir))
        return complain("keybrokerd: no runtime directory ($XDG_RUNTIME_DIR is not set): "
                        "give --runtime-dir%s\n",
                        "");
    return -1;
}

void options_deinit(struct options *options) {
    free(options->state_dir);
    free(options->runtime_dir);
}
