/*
 * keybrokerd: parse, set up, run. Everything else is in server.h's picture.
 */
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <jansson.h>
#include <sodium.h>

#include "log.h"
#include "memory.h"
#include "notify.h"
#include "options.h"
#include "server.h"

enum { FILE_BYTES_USUAL = 1 << 30 }; /* no store of usual size needs more */

/* jansson holds secrets while payloads are read and replies written. */
static void wiping_free(void *memory) {
    mem_wipe_free(memory, memory ? malloc_usable_size(memory) : 0);
}

/* A file that may not grow (ulimit -f) is an error that is told, where the signal would end the
 * broker without a word. */
static void allow_large_files(void) {
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    if (limit.rlim_max < FILE_BYTES_USUAL)
        log_warning("no file of this process may have more than %llu bytes: the store begins with "
                    "16 MiB and grows. Raise the limit (ulimit -f, systemd's LimitFSIZE=)",
                    (unsigned long long)limit.rlim_max);
}

int main(int argc, char **argv) {
    struct server server = { 0 };
    log_open();
    int code = options_parse(&server.options, argc, argv);
    if (code >= 0) {
        options_deinit(&server.options);
        return code;
    }
    log_set_level(server.options.log_level);
    json_set_alloc_funcs(mem_alloc, wiping_free);
    if (sodium_init() < 0) {
        log_error("libsodium cannot be used");
        return 1;
    }
    umask(0077);
    allow_large_files();
    if (server.options.restore_file) {
        code = server_restore(&server) ? 1 : 0;
        options_deinit(&server.options);
        return code;
    }
    notify_init();
    int error = server_start(&server);
    if (!error)
        error = server_run(&server);
    server_shut_down(&server);
    options_deinit(&server.options);
    notify_deinit();
    return error ? 1 : 0;
}
