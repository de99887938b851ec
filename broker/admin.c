/* See admin.h. */
#include "admin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <keybroker_shared/board.h>

#include "bulletin.h"
#include "errand.h"
#include "event_list.h"
#include "identity.h"
#include "log.h"
#include "memory.h"
#include "runtime.h"
#include "server.h"
#include "session.h"

enum {
    SESSIONS_MAX = 512,
    SESSIONS_OF_VIEWERS = SESSIONS_MAX / 2, /* a viewer comes in while fewer are open */
    SESSIONS_OF_ONE = SESSIONS_MAX / 4,     /* of one user other than root and the broker's own */
    GROUPS_MAX = 65536,
    TURN_NS = 50 * 1000, /* of a turn of the event loop, for all sessions together */
    SHARE = 4,           /* one in so many: of a processor, for those who look */
    BURST_NS = 20 * 1000 * 1000,
    DEBT_NS = TURN_NS,
    FINISH_NS = 100 * 1000 * 1000,
    ASKED_MAX = 8, /* pages of events that the store reads at once */
};

struct admin_listener {
    struct loop_source source;
    struct admin *admin; /* NULL once replaced */
};

struct admin {
    struct server *server;
    struct admin_listener *listener;
    struct session *sessions;
    unsigned count;
    unsigned watchers;
    struct rota changing, looking;  /* sessions with work */
    int64_t credit_ns, credited_ns; /* how long lookers may work, and when that was reckoned last */
    struct bulletin bulletin;
    struct event_query *questions, **last_question; /* not asked yet */
    unsigned asked;                                 /* and not answered yet */
    gid_t admin_gid, viewer_gid;                    /* (gid_t)-1 = none */
};

/* ---- who may ---- */

static bool in_group(int fd, gid_t primary, gid_t wanted) {
    if (wanted == (gid_t)-1)
        return false;
    if (primary == wanted)
        return true;
    socklen_t size = 64 * sizeof(gid_t);
    gid_t *groups = mem_alloc(size);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0) {
        /* ERANGE: size now says how much it takes. */
        bool grow = errno == ERANGE && size <= GROUPS_MAX * sizeof(gid_t);
        free(groups);
        if (!grow)
            return false;
        groups = mem_alloc(size);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
            size = 0;
    }
    bool found = false;
    for (size_t i = 0; i < size / sizeof *groups; i++)
        found |= groups[i] == wanted;
    free(groups);
    return found;
}

static bool is_root_or_own(uid_t uid) {
    return uid == 0 || identity_is_own_user(uid);
}

/* SO_PEERCRED names who connected; the pid is for the events only, it proves nothing. */
static enum command_level level_of(const struct admin *admin, int fd, struct actor *ret_actor) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return LEVEL_NONE;
    *ret_actor = (struct actor){ .kind = ACTOR_ADMIN, .uid = peer.uid, .pid = (uint32_t)peer.pid };
    if (is_root_or_own(peer.uid) || in_group(fd, peer.gid, admin->admin_gid))
        return LEVEL_CHANGE;
    return in_group(fd, peer.gid, admin->viewer_gid) ? LEVEL_VIEW : LEVEL_NONE;
}

/* Nobody can keep others out by opening sessions, and viewers never keep out those who may change.
 */
static bool has_room(const struct admin *admin, const struct actor *actor,
                     enum command_level level) {
    if (admin->count >= (level == LEVEL_CHANGE ? SESSIONS_MAX : SESSIONS_OF_VIEWERS))
        return false;
    if (is_root_or_own(actor->uid))
        return true;
    return rota_places_of(&admin->looking, actor->uid) < SESSIONS_OF_ONE;
}

static void turn_away(struct admin *admin, int fd, const char *line) {
    admin->server->metrics.connections_refused++;
    ssize_t ignored = send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)ignored; /* a courtesy */
    close(fd);
}

static void accept_session(struct loop_source *source, int fd) {
    struct admin *admin = ((struct admin_listener *)source->owner)->admin;
    struct actor actor = { 0 };
    if (!admin) {
        close(fd);
        return;
    }
    enum command_level level = level_of(admin, fd, &actor);
    if (level == LEVEL_NONE) {
        turn_away(admin, fd,
                  "ERR 403 you may not use this broker: ask for membership in its admin "
                  "or viewer group\n\n");
        return;
    }
    if (!has_room(admin, &actor, level)) {
        turn_away(admin, fd, "ERR 503 too many admin sessions are open\n\n");
        return;
    }
    struct session *session = session_new(admin, admin->server, fd, &actor, level);
    if (!session) {
        close(fd);
        return;
    }
    rota_join(&admin->changing, &session->changing, actor.uid, session);
    rota_join(&admin->looking, &session->looking, actor.uid, session);
    admin->count++;
    admin->server->metrics.admin_connections++;
}

/* ---- listening ---- */

static void listener_gone(struct loop_source *source) {
    free(source->owner);
}

static const struct loop_callbacks LISTENER_CALLBACKS = { .on_accept = accept_session,
                                                          .on_closed = listener_gone };

static void stop_listening(struct admin *admin) {
    if (!admin->listener)
        return;
    admin->listener->admin = NULL;
    loop_close(admin->server->loop, &admin->listener->source);
    admin->listener = NULL;
}

static int start_listening(struct admin *admin) {
    int fd =
        runtime_listen(admin->server->runtime_fd, KB_ADMIN_SOCKET, SOCK_STREAM, 0666, (gid_t)-1);
    if (fd < 0)
        return fd;
    stop_listening(admin);
    struct admin_listener *listener = mem_alloc(sizeof *listener);
    listener->admin = admin;
    listener->source = (struct loop_source){
        .fd = fd, .mode = LOOP_ACCEPT, .callbacks = &LISTENER_CALLBACKS, .owner = listener
    };
    int error = loop_add(admin->server->loop, &listener->source);
    if (error) {
        close(fd);
        free(listener);
        return error;
    }
    admin->listener = listener;
    return 0;
}

static int find_group(const char *option, const char *name, gid_t *ret_gid) {
    int error = identity_find_group(name ? name : "", ret_gid);
    if (error == -ENOENT)
        log_error("--%s: there is no group %s", option, name);
    else if (error)
        log_error("--%s: group %s can't be looked up: %s", option, name, strerror(-error));
    else if (name && !identity_group_is_known(*ret_gid)) {
        log_error("--%s: in this user namespace group %s is everybody whose group is not mapped: "
                  "name another",
                  option, name);
        error = -EINVAL;
    }
    return error;
}

int admin_open(struct admin **ret_admin, struct server *server) {
    struct admin *admin = mem_alloc(sizeof *admin);
    admin->server = server;
    admin->last_question = &admin->questions;
    rota_init(&admin->changing);
    rota_init(&admin->looking);
    bulletin_init(&admin->bulletin, server->last_event);
    int error = find_group("admin-group", server->options.admin_group, &admin->admin_gid);
    if (!error)
        error = find_group("viewer-group", server->options.viewer_group, &admin->viewer_gid);
    if (!error)
        error = start_listening(admin);
    if (error) {
        free(admin);
        return error;
    }
    *ret_admin = admin;
    return 0;
}

struct admin *admin_close(struct admin *admin) {
    if (!admin)
        return NULL;
    stop_listening(admin);
    while (admin->sessions)
        session_drop(admin->sessions, NULL);
    while (admin->questions) {
        struct event_query *query = admin->questions;
        admin->questions = query->next;
        reply_free(query->owner);
        event_query_free(query);
    }
    bulletin_deinit(&admin->bulletin);
    rota_deinit(&admin->changing);
    rota_deinit(&admin->looking);
    free(admin);
    return NULL;
}

void admin_check(struct admin *admin) {
    if (faccessat(admin->server->runtime_fd, KB_ADMIN_SOCKET, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return;
    int error = start_listening(admin);
    if (error)
        log_error("cannot open the admin socket again: %s", strerror(-error));
}

struct session **admin_sessions(struct admin *admin) {
    return &admin->sessions;
}

void admin_wake(struct admin *admin, struct session *session, bool looks) {
    if (looks)
        rota_wait(&admin->looking, &session->looking);
    else
        rota_wait(&admin->changing, &session->changing);
}

struct bulletin *admin_bulletin(struct admin *admin) {
    return &admin->bulletin;
}

void admin_begin_watch(struct admin *admin) {
    admin->watchers++;
}

void admin_session_closed(struct admin *admin, struct session *session) {
    rota_leave(&admin->changing, &session->changing);
    rota_leave(&admin->looking, &session->looking);
    admin->watchers -= session->watch.on;
    admin->count--;
    admin->server->metrics.admin_connections--;
}

/* ---- telling ---- */

void admin_event(struct admin *admin, const struct event *event) {
    bulletin_add(&admin->bulletin, event, admin->watchers);
}

static void wake_watchers(struct admin *admin) {
    for (struct session *session = admin->sessions; session; session = session->next)
        if (session->watch.begun)
            session_wake(session);
}

void admin_heartbeat(struct admin *admin) {
    bulletin_beat(&admin->bulletin, admin->server->last_event, admin->server->now.wall_ms);
    for (struct session *session = admin->sessions, *next; session; session = next) {
        next = session->next;
        session_watch_heartbeat(session);
    }
}

/* For so long, and a step more at most. The moment at which it ended. */
static int64_t work(struct rota *rota, int64_t begun_ns, int64_t turn_ns) {
    int64_t until_ns = begun_ns + turn_ns, now_ns = begun_ns;
    for (struct session *session; now_ns < until_ns && (session = rota_next(rota));) {
        if (session_work(session, (uint64_t)until_ns))
            session_wake(session);
        now_ns = (int64_t)moment_mono_ns();
    }
    return now_ns;
}

/* Credit grows while time passes and is spent by work; one long step makes no long rest. */
static void look(struct admin *admin, int64_t now_ns) {
    admin->credit_ns += (now_ns - admin->credited_ns) / SHARE;
    admin->credited_ns = now_ns;
    if (admin->credit_ns > BURST_NS)
        admin->credit_ns = BURST_NS;
    if (admin->credit_ns > 0)
        admin->credit_ns -= work(&admin->looking, now_ns, TURN_NS) - now_ns;
    if (admin->credit_ns < -DEBT_NS)
        admin->credit_ns = -DEBT_NS;
}

int64_t admin_work(struct admin *admin) {
    if (bulletin_read(&admin->bulletin))
        wake_watchers(admin);
    int64_t now_ns = (int64_t)moment_mono_ns();
    if (rota_has_work(&admin->changing))
        now_ns = work(&admin->changing, now_ns, TURN_NS);
    if (rota_has_work(&admin->looking))
        look(admin, now_ns);
    if (rota_has_work(&admin->changing))
        return 0;
    if (!rota_has_work(&admin->looking))
        return INT64_MAX;
    return admin->credit_ns > 0 ? 0 : admin->credited_ns + (1 - admin->credit_ns) * SHARE;
}

void admin_finish(struct admin *admin) {
    if (bulletin_read(&admin->bulletin))
        wake_watchers(admin);
    work(&admin->changing, (int64_t)moment_mono_ns(), FINISH_NS);
    work(&admin->looking, (int64_t)moment_mono_ns(), FINISH_NS);
}

static void settle(struct reply *reply) {
    reply->ready = true;
    reply->staged = false;
    if (reply->session)
        session_wake(reply->session);
    else
        reply_free(reply);
}

void admin_committed(void *owner) {
    settle(owner);
}

void admin_refused(void *owner, const char *problem) {
    struct reply *reply = owner;
    refuse(&reply->refusal, REFUSED_UNAVAILABLE, "not-stored", "", "%s (%s)",
           reply->unrecorded ? reply->unrecorded
                             : "nothing was changed: the change could not be stored",
           problem);
    settle(reply);
}

void admin_unpublishable(void *owner, const char *problem) {
    struct reply *reply = owner;
    refuse(&reply->refusal, REFUSED_UNAVAILABLE, "cannot-publish", "", "nothing was changed: %s",
           problem);
    settle(reply);
}

void admin_unpublished(void *owner) {
    struct reply *reply = owner;
    refuse(&reply->refusal, REFUSED_UNAVAILABLE, "not-published", "",
           "the change is stored, but the workers can't be told yet; that is tried every second");
    settle(reply);
}

/* ---- asking the store for events ---- */

/* The store thread answers all questions of a group at once, and commits wait meanwhile. */
static void ask_next(struct admin *admin) {
    while (admin->asked < ASKED_MAX && admin->questions && !admin->server->stopping) {
        struct event_query *query = admin->questions;
        admin->questions = query->next;
        if (!admin->questions)
            admin->last_question = &admin->questions;
        admin->asked++;
        server_query_events(admin->server, query);
    }
}

void admin_ask(struct admin *admin, struct event_query *query) {
    query->next = NULL;
    *admin->last_question = query;
    admin->last_question = &query->next;
    ask_next(admin);
}

void admin_events(struct event_query *query) {
    struct reply *reply = query->owner;
    struct session *session = reply->session;
    struct admin *admin = reply->admin;
    admin->asked--;
    ask_next(admin);
    reply->staged = false;
    if (session && reply->watch) {
        session_watch_answer(session, query);
        reply_free(reply);
    } else if (session) {
        event_list_take(reply->listing, query);
        event_query_free(query);
        session_wake(session);
    } else {
        event_query_free(query);
        reply_free(reply);
    }
}

static json_t *errand_message(const struct errand *errand) {
    if (errand->kind == ERRAND_BACKUP)
        return json_pack("{s:s, s:s, s:I}", "message",
                         "backed up; it opens with the master key only: keep that too, elsewhere",
                         "file", errand->path, "bytes", (json_int_t)errand->bytes);
    return json_pack(
        "{s:s}", "message",
        errand->given ? "both keys open the store now: put the new one in place, then restart, or "
                        "SIGHUP where its file may be read at any time; the old one goes then"
                      : "a new master key is in place; backups made before need the old one");
}

static const char *errand_unrecorded(const struct errand *errand) {
    if (errand->kind == ERRAND_BACKUP)
        return "the backup is written, but the event that says so could not be stored";
    return "the master key is rotated, but the event that says so could not be stored";
}

/* What it did is not undone if that can't be recorded, and the operator has to know both. */
static void record_errand(struct server *server, const struct errand *errand, struct reply *reply) {
    struct changeset set = { 0 };
    struct cause cause = { .now = server->now, .actor = errand->actor };
    bool backup = errand->kind == ERRAND_BACKUP;
    struct event event = model_event(&cause, backup ? EVENT_BACKUP : EVENT_ROTATE, NULL, NULL);
    snprintf(event.reason, sizeof event.reason, "%.*s", REASON_MAX - 1,
             backup          ? errand->path
             : errand->given ? "a new key was given and waits to be put in place"
                             : "a new key is in place");
    changeset_event(&set, &event);
    reply->unrecorded = errand_unrecorded(errand);
    server_stage(server, &set, reply);
}

void admin_errand(struct server *server, struct errand *errand) {
    struct reply *reply = errand->owner;
    reply->refusal = errand->refusal;
    if (errand->refusal.code)
        log_warning("uid %u: %s: %s", errand->actor.uid,
                    errand->kind == ERRAND_BACKUP ? "no backup" : "no other master key",
                    errand->refusal.message);
    else if (errand->kind == ERRAND_BACKUP)
        log_info("uid %u made a backup: %s", errand->actor.uid, errand->path);
    else
        log_info("uid %u has %s the master key", errand->actor.uid,
                 errand->given ? "begun to rotate" : "rotated");
    if (errand->refusal.code) {
        settle(reply);
    } else {
        reply->body = errand_message(errand);
        record_errand(server, errand, reply);
    }
    errand_free(errand);
}
