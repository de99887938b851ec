/* See load.h. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sample.h"

enum { IMPORTED_KEYS = 10000, PUBLISHED_KEYS = 65535 /* and the default key */ };

static const char POOL[] = "load";

struct shared {
    _Atomic uint32_t wanted, busy, done;
};

struct load {
    struct rig *rig;
    struct shared *shared;
    pid_t pid;
    void (*work)(struct rig_admin *admin, unsigned serial);
    void (*rest)(void); /* NULL = nothing to do */
};

static void import(struct rig_admin *admin, unsigned serial) {
    char *text;
    size_t length;
    FILE *stream = open_memstream(&text, &length);
    if (!stream)
        sample_die("no memory");
    fputs("{\"format\":1,\"keys\":[", stream);
    for (unsigned i = 2; i <= IMPORTED_KEYS; i++)
        fprintf(stream,
                "%s{\"name\":\"key%u\",\"weight\":%u,\"config\":{\"api_key\":\"sk-bench-%08u\"}}",
                i > 2 ? "," : "", i, 2 + serial % 2, i);
    fputs("]}", stream);
    if (fclose(stream) != 0)
        sample_die("no memory");
    rig_admin_send(admin, "import %s mode=merge <<%zu\n%s", POOL, length, text);
    rig_admin_take(admin, NULL, 0);
    free(text);
}

static void publish(struct rig_admin *admin, unsigned serial) {
    rig_admin_send(admin, "set key %s key%u weight=%u\n", POOL, 2 + serial / 2 % 1000,
                   2 + serial % 2);
    rig_admin_take(admin, NULL, 0);
}

/* Ends with the bench. */
__attribute__((noreturn)) static void be_load(struct load *load) {
    struct shared *shared = load->shared;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sample_pin(CPU_WORKING);
    struct rig_admin admin = rig_admin_open(load->rig);
    for (unsigned serial = 0;;) {
        if (!atomic_load(&shared->wanted)) {
            if (load->rest)
                load->rest();
            atomic_store(&shared->busy, 0);
            sample_sleep_us(1000);
            continue;
        }
        atomic_store(&shared->busy, 1);
        load->work(&admin, serial++);
        atomic_store(&shared->done, serial);
    }
}

/* ---- viewers ---- */

enum { VIEWERS = 20, AHEAD = 256 };
static int viewers[VIEWERS]; /* 0 = not connected */
static const struct rig *viewed;

static int view_open(void) {
    static const char *const LINES[] = { "show metrics\n", "show pools\n",
                                         "json show keys load match=nothing\n",
                                         "json show events limit=10000\n",
                                         "json show keys load\n" };
    static char all[AHEAD * 64];
    size_t length = 0;
    for (unsigned i = 0; i < AHEAD; i++)
        length += (size_t)sprintf(all + length, "%s", LINES[i % (sizeof LINES / sizeof *LINES)]);
    struct rig_admin admin = rig_admin_open(viewed);
    rig_admin_send(&admin, "%s", all);
    int fd = dup(admin.fd);
    rig_admin_close(&admin);
    return fd;
}

static void view(struct rig_admin *admin, unsigned serial) {
    static char ignored[1 << 16];
    bool came = false;
    (void)admin, (void)serial;
    for (unsigned i = 0; i < VIEWERS; i++) {
        if (!viewers[i])
            viewers[i] = view_open();
        came |= recv(viewers[i], ignored, sizeof ignored, MSG_DONTWAIT) > 0;
    }
    if (!came)
        sample_sleep_us(100);
}

static void stop_viewing(void) {
    for (unsigned i = 0; i < VIEWERS; i++)
        if (viewers[i])
            close(viewers[i]);
    memset(viewers, 0, sizeof viewers);
}

/* ---- their life ---- */

static struct load *load_new(struct rig *rig, unsigned keys,
                             void (*work)(struct rig_admin *admin, unsigned serial),
                             void (*rest)(void)) {
    struct load *load = calloc(1, sizeof *load);
    if (!load)
        sample_die("no memory");
    load->rig = rig;
    load->work = work;
    load->rest = rest;
    load->shared = sample_shared(sizeof *load->shared);
    rig_make_pool(rig, POOL, "priority", keys, "");
    load->pid = fork();
    if (load->pid < 0)
        sample_die("fork: %s", strerror(errno));
    if (load->pid == 0)
        be_load(load);
    return load;
}

struct load *load_importing_new(struct rig *rig) {
    return load_new(rig, IMPORTED_KEYS, import, NULL);
}

struct load *load_publishing_new(struct rig *rig) {
    return load_new(rig, PUBLISHED_KEYS, publish, NULL);
}

struct load *load_viewing_new(struct rig *rig) {
    viewed = rig;
    return load_new(rig, PUBLISHED_KEYS, view, stop_viewing);
}

void load_begin(struct load *load) {
    atomic_store(&load->shared->wanted, 1);
    while (!atomic_load(&load->shared->busy)) {
        if (waitpid(load->pid, NULL, WNOHANG) == load->pid)
            sample_die("the load has ended");
        sample_sleep_us(200);
    }
}

void load_end(struct load *load) {
    atomic_store(&load->shared->wanted, 0);
    while (atomic_load(&load->shared->busy)) {
        if (waitpid(load->pid, NULL, WNOHANG) == load->pid)
            sample_die("the load has ended");
        sample_sleep_us(200);
    }
}

unsigned load_done(const struct load *load) {
    return atomic_load(&load->shared->done);
}

struct load *load_free(struct load *load) {
    kill(load->pid, SIGKILL);
    waitpid(load->pid, NULL, 0);
    munmap(load->shared, sizeof *load->shared);
    free(load);
    return NULL;
}
