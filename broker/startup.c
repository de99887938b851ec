/*
 * How the broker comes up and goes down (server.h). Order at start: locks, store, boards (their
 * generations are a floor for ours), a durable new start, catalogs, statuses, sockets, giving up
 * what serving does not need, readiness.
 * Nothing is published before the new start counter is on the disk.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "admin.h"
#include "identity.h"
#include "log.h"
#include "memory.h"
#include "notify.h"
#include "runtime.h"
#include "sandbox.h"

/* ---- directories ---- */

static int explain_dir(const char *what, const char *path, int error) {
    if (error == -EMEDIUMTYPE)
        log_error("%s %s is not on tmpfs: plaintext keys would reach a disk. Choose one below /run "
                  "or /dev/shm, or say --allow-disk-runtime",
                  what, path);
    else if (error == -EPERM)
        log_error(
            "%s %s is open to too many: chmod %s it, or name a directory below it, which will "
            "be made (as in a Kubernetes emptyDir, whose mode is 0777)",
            what, path, strcmp(what, "state directory") == 0 ? "700" : "755");
    else if (error == -EBUSY)
        log_error("another broker has the %s %s", what, path);
    else if (error == -EACCES)
        log_error("%s %s belongs to another user, or lies where this one may not go: name a "
                  "directory below it, which will be made, or chown it",
                  what, path);
    else
        log_error("%s %s: %s", what, path, strerror(-error));
    return error;
}

static int open_state(struct server *server) {
    const char *path = server->options.state_dir;
    int fd = runtime_open_dir(path, 0700, false);
    if (fd < 0)
        return explain_dir("state directory", path, fd);
    server->state_fd = fd;
    int lock = runtime_lock(fd);
    if (lock < 0)
        return explain_dir("state directory", path, lock);
    server->state_lock_fd = lock;
    return 0;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static bool is_our_lock(const struct server *server, int dir_fd) {
    struct stat ours, there;
    return server->runtime_lock_fd >= 0 && fstat(server->runtime_lock_fd, &ours) == 0 &&
           fstatat(dir_fd, RUNTIME_LOCK_FILE, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           same_file(&ours, &there);
}

int server_open_runtime(struct server *server) {
    const char *path = server->options.runtime_dir;
    int fd = runtime_open_dir(path, 0755, !server->options.allow_disk_runtime);
    if (fd < 0)
        return explain_dir("runtime directory", path, fd);
    int lock = runtime_lock(fd);
    if (lock == -EBUSY && is_our_lock(server, fd)) {
        /* Only a part of it was wiped, and the lock is our own. */
        lock = server->runtime_lock_fd;
        server->runtime_lock_fd = -1;
    }
    if (lock < 0) {
        close(fd);
        return explain_dir("runtime directory", path, lock);
    }
    int pools = runtime_open_subdir(fd, KB_POOLS_DIR, 0755, (gid_t)-1);
    if (pools < 0) {
        close(fd);
        close(lock);
        return explain_dir("pools directory below", path, pools);
    }
    close_fd(&server->runtime_fd);
    close_fd(&server->pools_fd);
    close_fd(&server->runtime_lock_fd);
    server->runtime_fd = fd;
    server->pools_fd = pools;
    server->runtime_lock_fd = lock;
    return 0;
}

bool server_runtime_is_in_place(const struct server *server) {
    struct stat ours, theirs;
    if (stat(server->options.runtime_dir, &theirs) < 0 || fstat(server->runtime_fd, &ours) < 0 ||
        !same_file(&ours, &theirs))
        return false;
    return fstatat(server->runtime_fd, KB_POOLS_DIR, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstat(server->pools_fd, &ours) == 0 && same_file(&ours, &theirs);
}

/* ---- the store ---- */

static void load_pool(void *userdata, struct pool_record *record) {
    struct server *server = userdata;
    committer_load_pool(server->committer, record);
    model_load_pool(server->model, record);
}

static void load_key(void *userdata, struct key_record *record, uint64_t rank,
                     const struct key_state *state) {
    struct server *server = userdata;
    committer_load_key(server->committer, record, rank);
    model_load_key(server->model, record, rank, state);
}

static int load(struct server *server) {
    char problem[256] = "";
    struct store_options options = { .state_dir_fd = server->state_fd,
                                     .master_key_file = server->options.master_key_file,
                                     .events_kept = server->options.events_kept };
    struct store *store;
    int error = store_open(&store, &options, problem);
    if (error) {
        log_error("the store cannot be opened: %s", problem);
        return error;
    }
    server->model = model_new();
    server->committer = committer_new(store);
    struct store_loader loader = { .userdata = server, .pool = load_pool, .key = load_key };
    uint64_t next_id;
    bool same_boot;
    error = store_load(store, &loader, &next_id, &server->last_event, &same_boot, problem);
    if (error) {
        log_error("the store cannot be read: %s", problem);
        return error;
    }
    if (store_events_were_changed(store))
        log_error("events were put back or taken away since the last commit, by somebody who can "
                  "write the state directory: show events may lack some");
    if (next_id == 1 && server_has_foreign_pools(server)) {
        log_error(
            "the store in %s is new, but workers use pools in %s that are not in it: is this "
            "the right state directory, and is it mounted? To begin anew remove %s/" KB_POOLS_DIR,
            server->options.state_dir, server->options.runtime_dir, server->options.runtime_dir);
        return -EEXIST;
    }
    uint64_t floor = 0;
    error = server_open_outlets(server, &floor);
    if (error)
        return error;
    if (server_share_descriptors(server, server->outlets.count))
        log_warning("%zu pools leave few of %llu descriptors for workers: raise RLIMIT_NOFILE "
                    "(LimitNOFILE=, ulimit -n)",
                    server->outlets.count, (unsigned long long)server->descriptors);
    error = store_begin_start(store, floor, &server->start);
    if (error) {
        log_error("the store cannot be written: %s", strerror(-error));
        return error;
    }
    size_t i = 0;
    for (struct outlet *outlet; (outlet = map_next(&server->outlets, &i));) {
        board_set_broker(&outlet->publication.board, server->start, (uint32_t)getpid());
        board_beat(&outlet->publication.board, server->now.mono_ms);
    }
    model_loaded(server->model, next_id, same_boot, server_next_generation(server), server->now);
    return 0;
}

/* ---- the process ---- */

enum {
    REPORT_CONNECTIONS_MAX = 50000, /* all pools together; each costs ~450 bytes */
    KEPT_DESCRIPTORS = 1024,        /* for admin sessions, a catalog and the store */
    POOL_DESCRIPTORS = 3,           /* directory, board, report socket */
    SLICE_NS = 100 * 1000,          /* the least there is */
};

/* Keys are in this process's memory: no core files, no debugger of the same user, and as many
 * descriptors as the system allows. */
static void protect_process(struct server *server) {
    struct rlimit none = { 0, 0 }, files = { 0 };
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    server->descriptors = files.rlim_cur;
}

/* A small limit is shared in the same proportions as a large one. */
int server_share_descriptors(struct server *server, size_t pools) {
    uint64_t kept = server->descriptors / 4;
    if (kept > KEPT_DESCRIPTORS)
        kept = KEPT_DESCRIPTORS;
    uint64_t shared = server->descriptors - kept, taken = (uint64_t)pools * POOL_DESCRIPTORS;
    uint64_t reports = taken < shared ? shared - taken : 1;
    server->report_connections =
        reports < REPORT_CONNECTIONS_MAX ? (uint32_t)reports : REPORT_CONNECTIONS_MAX;
    server->pools_most = shared * 3 / 4 / POOL_DESCRIPTORS;
    return pools > server->pools_most ? -EMFILE : 0;
}

/* The kernel's struct sched_attr, which libc does not declare. */
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

/* Ask for short slices: from Linux 6.12 on, a thread that has them is let in at once when it wakes
 * on a processor that others use. Needs no privilege; elsewhere it does nothing. The committer's
 * thread, which was started before, keeps the usual ones. */
static void be_prompt(void) {
    struct scheduling scheduling;
    if (syscall(SYS_sched_getattr, 0, &scheduling, sizeof scheduling, 0) < 0 ||
        scheduling.policy != SCHED_OTHER)
        return;
    scheduling.runtime_ns = SLICE_NS;
    syscall(SYS_sched_setattr, 0, &scheduling, 0);
}

/* Where its uid stands for strangers too, it is no proof of being the broker's own user. */
static void warn_of_shared_uid(void) {
    uid_t uid = geteuid();
    if (uid && !identity_is_own_user(uid))
        log_warning("in this user namespace uid %u is everybody who is not mapped: only root and "
                    "--admin-group may change pools. Run the broker as another user",
                    uid);
}

static int drop_privileges(void) {
    int error = sandbox_drop_privileges();
    if (error)
        log_error("privileges cannot be dropped: %s", strerror(-error));
    return error;
}

/* A kernel without filters, or one that refuses them, is no reason not to serve. */
static void enter_sandbox(void) {
    int error = sandbox_enter();
    if (error == -EOPNOTSUPP)
        log_debug("no system call filter: this is built with a sanitizer");
    else if (error)
        log_warning("no system call filter here: %s", strerror(-error));
}

static void on_signal(struct loop_source *source) {
    struct server *server = source->owner;
    struct signalfd_siginfo info;
    while (read(source->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            server_reload(server);
        else
            server->stopping = true;
    }
}

static void on_commit(struct loop_source *source) {
    server_group_done(source->owner);
}

static void source_closed(struct loop_source *source) {
    (void)source; /* embedded in the server */
}

static const struct loop_callbacks SIGNAL_CALLBACKS = { .on_ready = on_signal,
                                                        .on_closed = source_closed };
static const struct loop_callbacks COMMIT_CALLBACKS = { .on_ready = on_commit,
                                                        .on_closed = source_closed };

static int watch_signals(struct server *server) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    server->signal_source = (struct loop_source){
        .fd = fd, .mode = LOOP_READABLE, .callbacks = &SIGNAL_CALLBACKS, .owner = server
    };
    return loop_add(server->loop, &server->signal_source);
}

static int start_committer(struct server *server) {
    int fd;
    int error = committer_start(server->committer, &fd);
    if (error)
        return error;
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* the loop closes what it watched */
    if (fd < 0)
        return -errno;
    server->commit_source = (struct loop_source){
        .fd = fd, .mode = LOOP_READABLE, .callbacks = &COMMIT_CALLBACKS, .owner = server
    };
    return 0;
}

static bool is_untried(const struct server *server) {
    const struct outlet *outlet;
    TAILQ_FOREACH(outlet, &server->due, in_due)
    if (outlet->due != DUE_RETRY)
        return true;
    return false;
}

/* The first publication of every pool, before anybody is served: what lies there and is what the
 * store says stays, so that a runtime directory that is nearly full is enough. A pool for which it
 * is not is served by what is published, and tried again. */
static int publish_first(struct server *server) {
    size_t i = 0;
    for (struct outlet *outlet; (outlet = map_next(&server->outlets, &i));)
        outlet_set_due(outlet, DUE_PROOF);
    server->store_ok = true;
    do {
        server_flush(server);
        while (server->committing) {
            struct pollfd ready = { .fd = server->commit_source.fd, .events = POLLIN };
            if (poll(&ready, 1, -1) < 0 && errno != EINTR)
                return -errno;
            server_group_done(server);
        }
    } while (server->store_ok && is_untried(server));
    if (!server->store_ok) {
        log_error("nothing can be published: %s", server->store_problem);
        return -EIO;
    }
    return 0;
}

int server_start(struct server *server) {
    server->state_fd = server->runtime_fd = server->pools_fd = -1;
    server->state_lock_fd = server->runtime_lock_fd = -1;
    server->now = server->started = moment_now();
    server->wall_offset_ms = server->now.wall_ms - server->now.mono_ms;
    server->next_beat_mono = server->now.mono_ms;
    server->gathering = group_new();
    TAILQ_INIT(&server->touched);
    TAILQ_INIT(&server->waking);
    TAILQ_INIT(&server->due);
    protect_process(server);
    int error = open_state(server);
    if (!error)
        error = server_open_runtime(server);
    if (!error)
        error = load(server);
    if (!error)
        error = loop_new(&server->loop, server->options.loop);
    if (!error)
        error = drop_privileges();
    if (!error)
        error = watch_signals(server);
    if (!error)
        error = start_committer(server);
    if (!error)
        error = publish_first(server);
    if (!error)
        error = loop_add(server->loop, &server->commit_source);
    if (!error)
        error = admin_open(&server->admin, server);
    if (error == -ENOMEM) /* of which not every call says so itself */
        log_error("not started: %s", strerror(-error));
    if (error)
        return error;
    warn_of_shared_uid();
    be_prompt();
    enter_sandbox();
    log_info("serving %zu pools with %zu keys, start %llu, %s loop", server->model->pools.count,
             server->model->keys.count, (unsigned long long)server->start,
             loop_stats(server->loop)->name);
    notify_send("READY=1");
    return 0;
}

int server_restore(struct server *server) {
    const char *path = server->options.restore_file;
    char problem[256] = "";
    server->state_fd = server->state_lock_fd = -1;
    protect_process(server);
    /* O_NONBLOCK: a FIFO in the file's place must not hang it. */
    int backup = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int error = backup < 0 ? -errno : open_state(server);
    if (backup < 0)
        log_error("cannot open the backup %s: %s", path, strerror(-error));
    if (!error) {
        struct store_options options = { .state_dir_fd = server->state_fd,
                                         .master_key_file = server->options.master_key_file };
        error = store_restore(&options, backup, problem);
        if (error)
            log_error("nothing was restored: %s", problem);
        else
            log_info("restored %s into %s", path, server->options.state_dir);
    }
    close_fd(&backup);
    close_fd(&server->state_lock_fd);
    close_fd(&server->state_fd);
    return error;
}

void server_reload(struct server *server) {
    log_info("SIGHUP: comparing what is published with the store");
    server->reload = true; /* the committer has the store: it checks the master key */
    size_t i = 0;
    for (struct outlet *outlet; (outlet = map_next(&server->outlets, &i));)
        if (!outlet->due)
            outlet_set_due(outlet, DUE_PROOF);
}

enum { LAST_COMMIT_MS = 10000, LAST_TURNS = 2000 };

static void wait_for_committer(struct server *server) {
    struct pollfd ready = { .fd = server->commit_source.fd, .events = POLLIN };
    if (poll(&ready, 1, LAST_COMMIT_MS) == 0) {
        log_error("the disk does not answer; ending without its answer");
        _exit(1); /* a thread that sits in fsync can't be joined */
    }
    server_group_done(server);
}

static void finish_commits(struct server *server) {
    /* What is already true (statuses that reports changed) and what was asked for goes to the disk.
     */
    for (int round = 0; round < 2 && server->committer && server->store_ok; round++) {
        while (server->committing)
            wait_for_committer(server);
        if (round == 0)
            server_flush(server);
    }
    while (server->errands) {
        server_flush(server);
        wait_for_committer(server);
    }
    server_flush(server); /* the record of what they did */
    while (server->committing)
        wait_for_committer(server);
}

void server_shut_down(struct server *server) {
    notify_send("STOPPING=1");
    if (server->admin) { /* it came up whole */
        finish_commits(server);
        admin_finish(server->admin);
    }
    if (server->committer) {
        group_free(committer_stop(server->committer));
        committer_free(server->committer);
    }
    server->admin = admin_close(server->admin);
    size_t i = 0;
    for (struct outlet *outlet; (outlet = map_next(&server->outlets, &i));)
        outlet_close(outlet, false);
    map_deinit(&server->outlets);
    map_deinit(&server->report_users);
    names_deinit(&server->names);
    if (server->loop) {
        if (server->signal_source.owner)
            loop_close(server->loop, &server->signal_source);
        if (server->commit_source.owner)
            loop_close(server->loop, &server->commit_source);
        /* Until it has let go of everything that was closed; it may need some turns for thousands.
         */
        for (int turn = 0; turn < LAST_TURNS && loop_stats(server->loop)->sources; turn++)
            loop_turn(server->loop, moment_now().mono_ms + 1);
        loop_free(server->loop);
    }
    server->gathering = group_free(server->gathering);
    changeset_deinit(&server->happening);
    model_free(server->model);
    close_fd(&server->pools_fd);
    close_fd(&server->runtime_lock_fd);
    close_fd(&server->runtime_fd);
    close_fd(&server->state_lock_fd);
    close_fd(&server->state_fd);
}
