/* See worker.h. */
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"

kb_reader *worker_open(const struct broker *broker, const char *pool) {
    kb_options options = KB_OPTIONS_INIT;
    kb_reader *reader;
    options.runtime_dir = broker->runtime_dir;
    int error = kb_open(&reader, pool, &options);
    if (error != 0)
        scene_fail("cannot attach to pool %s: %s", pool, kb_strerror(error));
    return reader;
}

void worker_make_pool(struct peer *peer, const char *pool, unsigned count) {
    peer_must_with(peer, scene_text("sk-k0-%s", pool), "add pool %s vendor=openai guard=off", pool);
    struct answer *shown = peer_must(peer, "json show keys %s", pool);
    peer_must(peer, "set key %s %s name=k0", pool, answer_string(shown, "keys.0.name"));
    for (unsigned i = 1; i < count; i++)
        peer_must_with(peer, scene_text("sk-k%u-%s", i, pool), "add key %s name=k%u", pool, i);
}

uint64_t worker_key_id(struct peer *peer, const char *pool, const char *key) {
    struct answer *shown = peer_must(peer, "json show key %s %s", pool, key);
    return (uint64_t)answer_number(shown, "id");
}

const char *worker_current(kb_reader *reader) {
    const kb_key *key = kb_current(reader);
    return key ? scene_text("%s", key->name) : "";
}

double worker_metric(struct peer *peer, const char *name) {
    const char *text = peer_must(peer, "show metrics")->body;
    const char *wanted = scene_text("\n%s ", name);
    const char *found = strstr(text, wanted);
    return found ? strtod(found + strlen(wanted), NULL) : 0;
}

/* ---- processes ---- */

void *worker_share(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        scene_fail("mmap: %s", strerror(errno));
    return memory;
}

pid_t worker_fork(int (*run)(void *), void *argument) {
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        scene_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        scene_become_child(parent);
        _exit(run(argument));
    }
    return pid;
}

int worker_wait(pid_t pid) {
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    int status;
    pid_t ended;
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
        if (scene_now_ms() > until) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            scene_fail("a worker has not ended after %d ms", SCENE_PATIENCE_MS);
        }
        scene_sleep_ms(1);
    }
    if (ended < 0)
        scene_fail("a worker is lost: %s", strerror(errno));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- mirrors ---- */

static int reflect(void *argument) {
    struct mirror *mirror = argument;
    kb_reader *reader = worker_open(mirror->broker, mirror->pool);
    while (!atomic_load(&mirror->stop)) {
        const kb_key *key = kb_current(reader);
        atomic_store(&mirror->error, key ? 0 : kb_last_error(reader));
        atomic_store(&mirror->generation, key ? key->ticket.generation : 0);
        atomic_store(&mirror->id, key ? key->id : 0);
        atomic_fetch_add(&mirror->looks, 1);
        usleep(50);
    }
    kb_close(reader);
    return 0;
}

struct mirror *mirror_start(const struct broker *broker, const char *pool) {
    struct mirror *mirror = worker_share(sizeof *mirror);
    mirror->broker = broker;
    mirror->pool = pool;
    mirror->pid = worker_fork(reflect, mirror);
    EVENTUALLY(atomic_load(&mirror->looks) > 0);
    return mirror;
}

void mirror_stop(struct mirror *mirror) {
    atomic_store(&mirror->stop, true);
    int code = worker_wait(mirror->pid);
    if (code != 0)
        scene_fail("a mirror ended with %d", code);
    munmap(mirror, sizeof *mirror);
}
