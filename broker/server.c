/* See server.h: the loop's turns and the heartbeat. */
#include "server.h"

#include <errno.h>
#include <string.h>

#include "admin.h"
#include "chronicle.h"
#include "log.h"
#include "notify.h"

enum {
    BEAT_MS = 1000,
    CHECK_PIECE = 16,    /* pools' directories a turn: some system calls each */
    CLOCK_STEP_MS = 500, /* wall and monotonic clock drift apart by more: somebody set it */
};

uint64_t server_next_generation(struct server *server) {
    return server->start << KB_GENERATION_START_SHIFT | ++server->changes;
}

/* ---- the heartbeat ---- */

/* Somebody gave the directory away: its group is who may use the pool. */
static void check_group(struct outlet *outlet) {
    if (outlet_has_its_group(outlet))
        return;
    int error = outlet_regroup(outlet, outlet->gid, outlet->group);
    if (error)
        log_error("pool %s: its directory belongs to another group than the pool's, and can't be "
                  "given back: %s",
                  outlet->name, strerror(-error));
    else
        log_warning("pool %s: its directory belonged to another group than the pool's; given back",
                    outlet->name);
}

static void check_outlet(struct outlet *outlet) {
    check_group(outlet);
    if (outlet_is_in_place(outlet))
        return;
    log_warning("pool %s: its runtime directory, or a file in it, was wiped; publishing it again",
                outlet->name);
    int error = outlet_restore(outlet);
    if (error)
        log_error("pool %s: cannot restore its runtime directory: %s", outlet->name,
                  strerror(-error));
    else
        outlet_set_due(outlet, DUE_CATALOG);
}

static void check_runtime(struct server *server) {
    if (!server_runtime_is_in_place(server)) {
        log_warning("the runtime directory %s was wiped; making it anew",
                    server->options.runtime_dir);
        int error = server_open_runtime(server);
        if (error) {
            log_error("cannot make the runtime directory: %s", strerror(-error));
            return;
        }
    }
    server->checking = true;
    server->check_next = 0;
    admin_check(server->admin);
}

/* That the broker lives: to the workers, and to whoever supervises it. */
static void show_life(struct server *server, int64_t now_mono) {
    size_t i = 0;
    for (struct outlet *outlet; (outlet = map_next(&server->outlets, &i));)
        board_beat(&outlet->publication.board, now_mono);
    if (notify_watchdog_interval_ms() > 0)
        notify_send("WATCHDOG=1");
    server->shown_life_mono = now_mono;
}

void server_pause(void *owner) {
    struct server *server = owner;
    loop_let_packets_in(server->loop);
    int64_t now_mono = (int64_t)(moment_mono_ns() / 1000000);
    if (now_mono >= server->shown_life_mono + BEAT_MS)
        show_life(server, now_mono);
}

/* A piece a turn, so that a failover never waits for a thousand pools. Not while a group is under
 * way, which has the boards. */
static void check_some_outlets(struct server *server) {
    for (int i = 0; i < CHECK_PIECE && server->checking; i++) {
        struct outlet *outlet = map_next(&server->outlets, &server->check_next);
        if (!outlet)
            server->checking = false;
        else if (outlet->listener)
            check_outlet(outlet);
        else if (outlet->publication.catalog_version) /* published, but without a socket yet */
            outlet_listen(outlet);
    }
}

static void beat(struct server *server) {
    show_life(server, server->now.mono_ms);
    if (!server->committing) /* a group that is under way has the directories' descriptors */
        check_runtime(server);
    chronicle_beat(server);
    admin_heartbeat(server->admin);
    int64_t watchdog = notify_watchdog_interval_ms();
    int64_t interval = watchdog > 0 && watchdog < BEAT_MS ? watchdog : BEAT_MS;
    server->next_beat_mono = server->now.mono_ms + interval;
}

static void check_clock(struct server *server) {
    int64_t offset = server->now.wall_ms - server->now.mono_ms;
    int64_t step = offset - server->wall_offset_ms;
    server->wall_offset_ms = offset;
    if (step > CLOCK_STEP_MS || step < -CLOCK_STEP_MS) {
        log_warning("the clock was set by %lld ms: expiries and calendars are judged anew",
                    (long long)step);
        model_clock_stepped(server->model, server->now);
        server_show_all(server);
    }
}

/* ---- turns ---- */

static bool wake_readers(struct server *server) {
    for (struct outlet *outlet = TAILQ_FIRST(&server->waking), *next; outlet; outlet = next) {
        next = TAILQ_NEXT(outlet, in_waking);
        outlet->waking = publication_wake(&outlet->publication);
        if (!outlet->waking)
            TAILQ_REMOVE(&server->waking, outlet, in_waking);
    }
    return !TAILQ_EMPTY(&server->waking);
}

static int64_t next_deadline(const struct server *server, bool busy) {
    if (busy)
        return 0;
    int64_t until = server->next_beat_mono, tick = model_next_tick(server->model, server->now);
    int64_t background = server_background_due(server);
    if (tick < until)
        until = tick;
    if (background < until)
        until = background;
    if (server->resting_peers && server->now.mono_ms + 1 < until)
        until = server->now.mono_ms + 1;
    if (server->committing)
        return until;
    if (server->checking)
        return 0;
    int64_t retry = server->store_ok ? server_publication_due(server) : server->retry_mono;
    return retry < until ? retry : until;
}

int server_run(struct server *server) {
    bool busy = false;
    server->model->pause = (struct pause){ server_pause, server };
    int64_t work_ns = INT64_MAX; /* when sessions have their turn again */
    while (!server->stopping) {
        server->now = moment_now();
        int64_t until_ns = next_deadline(server, busy) * 1000000;
        int error = loop_turn_until(server->loop, work_ns < until_ns ? work_ns : until_ns);
        if (error) {
            log_error("the event loop failed: %s", strerror(-error));
            return error;
        }
        server->now = moment_now();
        check_clock(server);
        server_tick(server);
        if (server->resting_peers)
            outlets_wake_peers(server);
        if (server->now.mono_ms >= server->next_beat_mono)
            beat(server);
        if (!server->committing)
            check_some_outlets(server);
        busy = wake_readers(server); /* before the store is given work: they have waited longer */
        work_ns = admin_work(server->admin);
        server_flush(server);
    }
    server->model->pause = (struct pause){ 0 };
    return server->failed ? -EIO : 0;
}
