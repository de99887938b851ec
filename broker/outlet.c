/* See outlet.h. */
#include "outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <keybroker_shared/report.h>

#include "log.h"
#include "memory.h"
#include "runtime.h"
#include "server.h"

struct report_peer {
    struct loop_source source;
    struct outlet *outlet; /* NULL once the outlet is gone */
    struct report_user *user;
    struct actor actor;
    struct actor_names names; /* the actor's */
    TAILQ_ENTRY(report_peer) of_outlet, by_age, in_line;
    int64_t heard_mono_ms; /* the last millisecond in which it was heard … */
    uint64_t cost_ns;      /* … and what that cost */
    bool resting;
    bool ended; /* closed by its worker, with reports kept */
    STAILQ_HEAD(kept_reports, kept_report) kept;
};

/* A report that had come already when its connection was put to rest. */
struct kept_report {
    STAILQ_ENTRY(kept_report) next;
    struct kb_report_message message;
};

/* What one user may cost in a millisecond while there are others: thirty reports. One that reaches
 * ten thousand keys costs as much as thousands of others do; so work is counted, not messages, and
 * who is in debt rests until it is paid. Who is alone may have all there is, but what it costs more
 * than the loop's turns can bear waits as well: somebody may be about to connect. */
enum {
    SHARE_NS = 50 * 1000,
    SHARE_ALONE_NS = 4 * 1000 * 1000,
    LEAST_NS = 1600,               /* the loop's own work for a message */
    DEBT_MOST_NS = 250 * SHARE_NS, /* nobody rests for longer than a quarter of a second */
    /* Reports that are kept, 14 MB of one user, 28 MB of all: two hundred connections that flood
     * had up to 256 each under way when they were put to rest. */
    KEPT_MOST = 65536,
    KEPT_OF_ALL_MOST = 2 * KEPT_MOST,
};

/* One uid's connections, of all pools; there while it has any. */
struct report_user {
    uint32_t uid;
    uint32_t count;
    struct report_peers by_age;  /* the one that was heard least recently first */
    struct report_peers resting; /* not read until their turn comes, in this order */
    uint32_t kept;               /* reports, of all its connections */
    uint64_t debt_ns;            /* as of … */
    int64_t settled_mono_ms;
};

/* Apart from the outlet, because the loop lets go of it later. */
struct report_listener {
    struct loop_source source;
    struct outlet *outlet;
};

/* ---- peers ---- */

static void remember_peer(struct report_peer *peer, struct outlet *outlet) {
    struct server *server = outlet->server;
    struct report_user *user = map_get(&server->report_users, peer->actor.uid);
    if (!user) {
        user = mem_alloc(sizeof *user);
        user->uid = peer->actor.uid;
        TAILQ_INIT(&user->by_age);
        TAILQ_INIT(&user->resting);
        map_set(&server->report_users, user->uid, user);
    }
    user->count++;
    peer->user = user;
    peer->outlet = outlet;
    STAILQ_INIT(&peer->kept);
    TAILQ_INSERT_TAIL(&user->by_age, peer, by_age);
    TAILQ_INSERT_TAIL(&outlet->peers, peer, of_outlet);
    server->metrics.report_connections++;
}

static void end_rest(struct report_peer *peer) {
    TAILQ_REMOVE(&peer->user->resting, peer, in_line);
    peer->resting = false;
    peer->outlet->server->resting_peers--;
}

static struct kept_report *take_kept(struct report_peer *peer) {
    struct kept_report *kept = STAILQ_FIRST(&peer->kept);
    STAILQ_REMOVE_HEAD(&peer->kept, next);
    peer->user->kept--;
    peer->outlet->server->kept_reports--;
    return kept;
}

static void forget_peer(struct report_peer *peer) {
    if (!peer->outlet)
        return;
    struct server *server = peer->outlet->server;
    struct report_user *user = peer->user;
    TAILQ_REMOVE(&peer->outlet->peers, peer, of_outlet);
    TAILQ_REMOVE(&user->by_age, peer, by_age);
    if (peer->resting)
        end_rest(peer);
    while (!STAILQ_EMPTY(&peer->kept))
        free(take_kept(peer));
    if (--user->count == 0)
        free(map_remove(&server->report_users, user->uid));
    server->metrics.report_connections--;
    peer->user = NULL;
    peer->outlet = NULL;
}

static void peer_closed(struct loop_source *source) {
    free(source->owner);
}

static void drop_peer(struct report_peer *peer) {
    struct loop *loop = peer->outlet->server->loop;
    forget_peer(peer);
    loop_close(loop, &peer->source);
}

/* A private copy is checked, not the buffer: and every string is ended. */
static bool decode(const void *data, size_t length, struct kb_report_message *message) {
    if (length != sizeof *message)
        return false;
    memcpy(message, data, sizeof *message);
    message->vendor_code[sizeof message->vendor_code - 1] = '\0';
    message->model[sizeof message->model - 1] = '\0';
    for (char *at = message->vendor_code; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    return message->size == sizeof *message && message->type == KB_REPORT_OUTCOME &&
           message->scope <= KB_SCOPE_ENDPOINT && message->count >= 1 &&
           message->count <= KB_REPORT_COUNT_MAX;
}

/* ---- what it costs ---- */

static uint64_t share_ns(const struct server *server) {
    return server->report_users.count < 2 ? SHARE_ALONE_NS : SHARE_NS;
}

/* Is the user in debt? What time has paid of it is taken off first. */
static bool is_in_debt(const struct server *server, struct report_user *user, uint64_t now_ns) {
    int64_t mono_ms = (int64_t)(now_ns / 1000000);
    if (mono_ms > user->settled_mono_ms) {
        uint64_t paid = (uint64_t)(mono_ms - user->settled_mono_ms) * share_ns(server);
        user->debt_ns -= paid < user->debt_ns ? paid : user->debt_ns;
        user->settled_mono_ms = mono_ms;
    }
    return user->debt_ns >= share_ns(server);
}

static void charge(struct report_peer *peer, uint64_t received_ns) {
    struct report_user *user = peer->user;
    int64_t mono_ms = (int64_t)(received_ns / 1000000);
    uint64_t cost_ns = moment_mono_ns() - received_ns + LEAST_NS;
    TAILQ_REMOVE(&user->by_age, peer, by_age);
    TAILQ_INSERT_TAIL(&user->by_age, peer, by_age);
    user->debt_ns += cost_ns;
    if (user->debt_ns > DEBT_MOST_NS)
        user->debt_ns = DEBT_MOST_NS;
    if (peer->heard_mono_ms != mono_ms)
        peer->cost_ns = 0;
    peer->heard_mono_ms = mono_ms;
    peer->cost_ns += cost_ns;
}

/* A connection whose user has had its share rests, so that a flood leaves room for what others say;
 * what it sends meanwhile waits in its socket. */
static void rest(struct report_peer *peer) {
    struct server *server = peer->outlet->server;
    if (peer->resting)
        return;
    peer->resting = true;
    TAILQ_INSERT_TAIL(&peer->user->resting, peer, in_line);
    server->resting_peers++;
    loop_pause(server->loop, &peer->source);
}

static void judge(struct report_peer *peer, const struct kb_report_message *message,
                  uint64_t received_ns) {
    struct report report = { .key_id = message->key_id,
                             .generation = message->generation,
                             .hint_ms = message->hint_ms,
                             .outcome = message->outcome,
                             .scope = message->scope,
                             .http_status = message->http_status,
                             .count = message->count,
                             .vendor_code = message->vendor_code };
    server_report(peer->outlet->server, peer->outlet, &peer->actor, &report, received_ns);
    charge(peer, received_ns);
}

/* False: there are too many. Only a flood over very many connections comes to that. */
static bool keep(struct report_peer *peer, const struct kb_report_message *message) {
    struct server *server = peer->outlet->server;
    if (peer->user->kept == KEPT_MOST || server->kept_reports == KEPT_OF_ALL_MOST)
        return false;
    struct kept_report *kept = mem_alloc(sizeof *kept);
    kept->message = *message;
    STAILQ_INSERT_TAIL(&peer->kept, kept, next);
    peer->user->kept++;
    server->kept_reports++;
    return true;
}

static void judge_kept(struct report_peer *peer) {
    struct kept_report *kept = take_kept(peer);
    judge(peer, &kept->message, moment_mono_ns());
    free(kept);
}

/* First what was kept; then those connections are read again that are expected to fit, each costing
 * as much as the last time. Returns one that has ended, and has nothing left to say. */
static struct report_peer *wake_user(struct server *server, struct report_user *user) {
    uint64_t expected_ns = 0;
    for (struct report_peer *peer; !is_in_debt(server, user, moment_mono_ns()) &&
                                   (peer = TAILQ_FIRST(&user->resting)) &&
                                   user->debt_ns + expected_ns < share_ns(server);) {
        if (!STAILQ_EMPTY(&peer->kept)) {
            judge_kept(peer);
            continue;
        }
        if (peer->ended)
            return peer;
        expected_ns += peer->cost_ns;
        end_rest(peer);
        loop_resume(server->loop, &peer->source);
    }
    return NULL;
}

void outlets_wake_peers(struct server *server) {
    size_t i = 0;
    for (struct report_user *user; (user = map_next(&server->report_users, &i));) {
        struct report_peer *ended = wake_user(server, user);
        if (!ended)
            continue;
        drop_peer(ended); /* and with it the user, perhaps: begin again */
        i = 0;
    }
}

static void peer_data(struct loop_source *source, const void *data, size_t length, bool truncated,
                      int error) {
    struct report_peer *peer = source->owner;
    if (!peer->outlet)
        return;
    if (length == 0 || error) {
        peer->ended = true;
        if (STAILQ_EMPTY(&peer->kept))
            drop_peer(peer);
        return;
    }
    struct server *server = peer->outlet->server;
    uint64_t received_ns = moment_mono_ns();
    struct kb_report_message message;
    bool sound = !truncated && decode(data, length, &message);
    if (!sound) {
        /* Counted, and the connection goes on: a newer library may send kinds we don't know. */
        server->metrics.bad_messages++;
        charge(peer, received_ns);
    } else if (!STAILQ_EMPTY(&peer->kept) || is_in_debt(server, peer->user, received_ns)) {
        if (!keep(peer, &message)) {
            drop_peer(peer);
            return;
        }
    } else {
        judge(peer, &message, received_ns);
    }
    if (!STAILQ_EMPTY(&peer->kept) || is_in_debt(server, peer->user, received_ns))
        rest(peer);
}

static const struct loop_callbacks PEER_CALLBACKS = { .on_data = peer_data,
                                                      .on_closed = peer_closed };

/* Over the limit one that is open makes room: a library that finds its connection closed connects
 * anew, but one that is turned away believes that it has reported. It belongs to the user with the
 * most connections, the new one counted, and is the one that was silent for the longest: so nobody
 * can push out others by having more. */
static void make_room(struct server *server, uint32_t uid) {
    struct report_user *own = map_get(&server->report_users, uid), *most = own;
    size_t i = 0;
    for (struct report_user *user; (user = map_next(&server->report_users, &i));)
        if (!most || user->count > most->count + (most == own))
            most = user;
    if (most)
        drop_peer(TAILQ_FIRST(&most->by_age));
}

static void accept_peer(struct loop_source *source, int fd) {
    struct outlet *outlet = ((struct report_listener *)source->owner)->outlet;
    if (!outlet) {
        close(fd);
        return;
    }
    struct server *server = outlet->server;
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) {
        server->metrics.connections_refused++;
        close(fd);
        return;
    }
    if (server->metrics.report_connections >= server->report_connections) {
        server->metrics.connections_refused++;
        make_room(server, credentials.uid);
    }
    struct report_peer *peer = mem_alloc(sizeof *peer);
    peer->actor = (struct actor){ .kind = ACTOR_REPORT,
                                  .uid = credentials.uid,
                                  .pid = (uint32_t)credentials.pid,
                                  .names = &peer->names };
    names_look_up(&server->names, &peer->actor, server->now.mono_ms, &peer->names);
    peer->source = (struct loop_source){
        .fd = fd, .mode = LOOP_PACKETS, .callbacks = &PEER_CALLBACKS, .owner = peer
    };
    remember_peer(peer, outlet);
    if (loop_add(server->loop, &peer->source) < 0)
        drop_peer(peer);
}

/* ---- the outlet ---- */

static void listener_closed(struct loop_source *source) {
    free(source->owner);
}

static const struct loop_callbacks LISTENER_CALLBACKS = { .on_accept = accept_peer,
                                                          .on_closed = listener_closed };

int outlet_open(struct outlet *outlet, struct server *server, const struct pool_record *pool,
                gid_t gid, uint64_t *ret_generation) {
    TAILQ_INIT(&outlet->peers);
    outlet->server = server;
    outlet->pool_id = pool->id;
    outlet->gid = gid == (gid_t)-1 ? getegid() : gid;
    snprintf(outlet->name, sizeof outlet->name, "%s", pool->name);
    int dir_fd = runtime_open_subdir(server->pools_fd, pool->name, 0750, outlet->gid);
    if (dir_fd < 0)
        return dir_fd;
    int error = publication_open(&outlet->publication, pool->id, dir_fd, ret_generation);
    if (error) {
        close(dir_fd);
        return error;
    }
    board_set_flags(&outlet->publication.board, 0); /* of a former broker's making */
    outlet->group = mem_strdup(pool->group);
    return 0;
}

static void stop_listening(struct outlet *outlet) {
    if (!outlet->listener)
        return;
    outlet->listener->outlet = NULL;
    loop_close(outlet->server->loop, &outlet->listener->source);
    outlet->listener = NULL;
}

int outlet_listen(struct outlet *outlet) {
    int fd = runtime_listen(outlet->publication.dir_fd, KB_REPORT_SOCKET, SOCK_SEQPACKET, 0660,
                            outlet->gid);
    if (fd < 0)
        return fd;
    stop_listening(outlet);
    struct report_listener *listener = mem_alloc(sizeof *listener);
    listener->outlet = outlet;
    listener->source = (struct loop_source){
        .fd = fd, .mode = LOOP_ACCEPT, .callbacks = &LISTENER_CALLBACKS, .owner = listener
    };
    int error = loop_add(outlet->server->loop, &listener->source);
    if (error) {
        close(fd);
        free(listener);
        return error;
    }
    outlet->listener = listener;
    return 0;
}

int outlet_regroup(struct outlet *outlet, gid_t gid, const char *name) {
    int dir_fd = outlet->publication.dir_fd;
    if (fchown(outlet->publication.board.fd, (uid_t)-1, gid) < 0)
        return -errno;
    if (fchownat(dir_fd, KB_REPORT_SOCKET, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) < 0 &&
        errno != ENOENT)
        return -errno;
    if (fchown(dir_fd, (uid_t)-1, gid) < 0)
        return -errno;
    outlet->gid = gid;
    if (name != outlet->group) {
        free(outlet->group);
        outlet->group = mem_strdup(name);
    }
    return 0;
}

bool outlet_has_its_group(const struct outlet *outlet) {
    struct stat dir;
    return fstat(outlet->publication.dir_fd, &dir) < 0 || dir.st_gid == outlet->gid;
}

void outlet_touch(struct outlet *outlet) {
    if (!outlet->touched)
        TAILQ_INSERT_TAIL(&outlet->server->touched, outlet, in_touched);
    outlet->touched = true;
}

void outlet_set_due(struct outlet *outlet, enum due due) {
    if (outlet->due)
        TAILQ_REMOVE(&outlet->server->due, outlet, in_due);
    outlet->due = due;
    if (due)
        TAILQ_INSERT_TAIL(&outlet->server->due, outlet, in_due);
}

static bool has_file(const struct outlet *outlet, const char *name) {
    return faccessat(outlet->publication.dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool outlet_is_in_place(const struct outlet *outlet) {
    char catalog[64];
    snprintf(catalog, sizeof catalog, KB_CATALOG_FILE_FORMAT,
             (unsigned long long)outlet->publication.catalog_version);
    return board_is_in_place(&outlet->publication.board, outlet->publication.dir_fd) &&
           has_file(outlet, KB_REPORT_SOCKET) && has_file(outlet, catalog);
}

int outlet_restore(struct outlet *outlet) {
    /* Attached workers need not move if their board is where it was. */
    if (board_is_in_place(&outlet->publication.board, outlet->publication.dir_fd))
        return has_file(outlet, KB_REPORT_SOCKET) ? 0 : outlet_listen(outlet);
    int dir_fd = runtime_open_subdir(outlet->server->pools_fd, outlet->name, 0750, outlet->gid);
    if (dir_fd < 0)
        return dir_fd;
    int error =
        publication_rebuild(&outlet->publication, dir_fd, server_next_generation(outlet->server));
    if (error) {
        close(dir_fd);
        return error;
    }
    outlet->shown = false;
    outlet->flags = 0;
    board_set_broker(&outlet->publication.board, outlet->server->start, (uint32_t)getpid());
    board_beat(&outlet->publication.board, outlet->server->now.mono_ms);
    return outlet_listen(outlet);
}

void outlet_close(struct outlet *outlet, bool retire) {
    struct server *server = outlet->server;
    while (!TAILQ_EMPTY(&outlet->peers))
        drop_peer(TAILQ_FIRST(&outlet->peers));
    if (outlet->touched)
        TAILQ_REMOVE(&server->touched, outlet, in_touched);
    if (outlet->waking)
        TAILQ_REMOVE(&server->waking, outlet, in_waking);
    outlet_set_due(outlet, DUE_NOTHING);
    if (retire) {
        publication_retire(&outlet->publication, server_next_generation(server));
        unlinkat(server->pools_fd, outlet->name, AT_REMOVEDIR);
    } else {
        publication_close(&outlet->publication);
    }
    stop_listening(outlet);
    free(outlet->group);
    free(outlet->failover_held);
    free(outlet);
}
