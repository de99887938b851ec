/*
 * keybroker-console: parse, set up, wait for a signal. Everything else is in site.h's picture.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <jansson.h>
#include <sodium.h>

#include "../log.h"
#include "../memory.h"
#include "settings.h"
#include "site.h"

/* Keys that are added pass through jansson's memory. */
static void wiping_free(void *memory) {
    mem_wipe_free(memory, memory ? malloc_usable_size(memory) : 0);
}

/* Keys and tokens pass through this process: no core files, no debugger of the same user, no new
 * rights, nothing in the files that it makes for others (it makes none). */
static void protect_process(void) {
    struct rlimit none = { 0, 0 }, files;
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    umask(0077);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int main(int argc, char **argv) {
    struct settings settings;
    struct site site;
    log_open();
    int code = settings_parse(&settings, argc, argv);
    if (code >= 0) {
        settings_deinit(&settings);
        return code;
    }
    protect_process();
    mallopt(M_PERTURB, 0x5a); /* libmicrohttpd does not wipe what it frees; the allocator does */
    json_set_alloc_funcs(mem_alloc, wiping_free);
    if (sodium_init() < 0) {
        fputs("keybroker-console: libsodium cannot be used\n", stderr);
        return 1;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* in all threads: main alone waits for them */
    signal(SIGPIPE, SIG_IGN);
    int error = site_start(&site, &settings);
    if (!error) {
        int received;
        sigwait(&signals, &received);
    }
    site_stop(&site);
    settings_deinit(&settings);
    return error ? 1 : 0;
}
