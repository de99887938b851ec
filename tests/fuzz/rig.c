/*
 * See rig.h. The committer's source is taken in whole, because its thread's work is this file's to
 * do; the functions of loop.c, store.c and moment.c that the broker's other files call stand here
 * instead (the store's in rig_store.c), so that the linker takes none of those.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "broker/admin.h"
#include "broker/catalog_leaf.h"
#include "broker/log.h"
#include "broker/model_text.h"
#include "broker/store_codec.h"
#include "tests/support/model_fixture.h"

#include "broker/committer.c" // NOLINT(bugprone-suspicious-include)

enum {
    TURNS_MAX = 10000,
    GROUPS_MAX = 100,
    PEERS_MAX = 4,
};

struct rig rig;

static struct rig_peer *peers[PEERS_MAX]; /* NULL = a free place */
static struct loop_source *admin_listener;
static char directory[64];
static int runtime_fd, pools_fd;
static struct admin *the_admin;

/* ---- time ---- */

struct moment moment_now(void) {
    return rig.now;
}

struct moment moment_at(uint64_t mono_ns) {
    (void)mono_ns; /* moment_mono_ns's */
    return rig.now;
}

/* Only differences of it matter, and nothing takes time here. */
uint64_t moment_mono_ns(void) {
    return (uint64_t)FIXTURE_MONO_MS * 1000000;
}

uint64_t server_next_generation(struct server *server) {
    return server->start << KB_GENERATION_START_SHIFT | ++server->changes;
}

int server_share_descriptors(struct server *server, size_t pools) {
    (void)server, (void)pools;
    return 0;
}

/* ---- the loop ---- */

struct loop {
    struct loop_source *first;
    struct loop_source *newest;
};

static struct loop the_loop;

int loop_add(struct loop *loop, struct loop_source *source) {
    memset(&source->internal, 0, sizeof source->internal);
    source->internal.next = loop->first;
    loop->first = loop->newest = source;
    return 0;
}

void loop_pause(struct loop *loop, struct loop_source *source) {
    (void)loop;
    source->internal.paused = true;
}

void loop_resume(struct loop *loop, struct loop_source *source) {
    (void)loop;
    source->internal.paused = false;
}

void loop_want_write(struct loop *loop, struct loop_source *source) {
    (void)loop;
    source->internal.write_wanted = true;
}

void loop_close(struct loop *loop, struct loop_source *source) {
    (void)loop;
    must(!source->internal.closing);
    source->internal.closing = true;
}

void server_pause(void *owner) {
    (void)owner;
    if (rig.let_in)
        rig.let_in();
}

const struct loop_stats *loop_stats(const struct loop *loop) {
    static const struct loop_stats stats = { .name = "fuzz" };
    (void)loop;
    return &stats;
}

/* One callback that is owed; false if there is none. */
static bool serve_one(void) {
    for (struct loop_source **at = &the_loop.first; *at; at = &(*at)->internal.next) {
        struct loop_source *source = *at;
        if (source->internal.closing) {
            *at = source->internal.next;
            close(source->fd);
            source->fd = -1;
            source->callbacks->on_closed(source);
            return true;
        }
        if (source->internal.write_wanted) {
            source->internal.write_wanted = false;
            source->callbacks->on_writable(source);
            return true;
        }
    }
    return admin_work(the_admin) == 0;
}

/* ---- consistency ---- */

static bool is_settled(const struct server *server) {
    return !server->committing && !server->gathering->count && server->store_ok &&
           TAILQ_EMPTY(&server->due);
}

static void check_copy(const struct model_key *key) {
    struct replica_pool *pool = map_get(&rig.server.committer->replica.pools, key->record->pool_id);
    const struct replica_key *copy = pool ? map_get(&pool->keys, key->record->id) : NULL;
    must(copy && copy->record == key->record && copy->rank == key->rank);
    must(pool->record == key->pool->record && pool->keys.count == key->pool->count);
}

static void check_board(const struct model_pool *pool) {
    const struct outlet *outlet = map_get(&rig.server.outlets, pool->record->id);
    must(outlet);
    const struct publication *pub = &outlet->publication;
    const struct kb_board *board = pub->board.shared;
    must(pub->count == pool->count);
    for (uint32_t i = 0; i < pool->count; i++) {
        const struct model_key *key = pool->order[i];
        must(!key->pending);
        must(pub->order[i].id == key->record->id && pub->order[i].slot == key->record->slot);
        uint64_t word = atomic_load(&board->slots[key->record->slot].status);
        must(kb_word_id(word) == key->record->id);
        must(kb_word_status(word) == key->state.status);
        must(atomic_load(&board->slots[key->record->slot].deadline_ms) ==
             (uint64_t)key->state.deadline_mono);
        check_copy(key);
    }
}

void rig_check(void) {
    struct server *server = &rig.server;
    model_fixture_check(server->model);
    if (!is_settled(server))
        return;
    size_t i = 0;
    for (const struct model_pool *pool; (pool = map_next(&server->model->pools, &i));)
        check_board(pool);
    must(server->outlets.count == server->model->pools.count);
    must(server->committer->replica.pools.count == server->model->pools.count);
}

/* The generation at which a key was last valid anew is written before it is known; what a report
 * that changed nothing else left (counters, the last failure) is written with the next change. */
static void copy_details(struct model *to, const struct model *from) {
    size_t i = 0;
    for (struct model_key *key; (key = map_next(&to->keys, &i));) {
        const struct model_key *same = model_key_by_id(from, key->record->id);
        must(same);
        const struct key_state *state = &same->state;
        key->state.valid_since = state->valid_since;
        memcpy(key->state.reports, state->reports, sizeof state->reports);
        memcpy(key->state.vendor_code, state->vendor_code, sizeof state->vendor_code);
        key->state.last_failure_ms = state->last_failure_ms;
        key->state.last_outcome = state->last_outcome;
        key->state.http_status = state->http_status;
        model_begin_change(key);
        key->expiry_seen = same->expiry_seen;
        model_end_change(key);
        key->pool->keys_named = same->pool->keys_named;
    }
}

/* A broker that starts now has, of what was committed, the same model. */
static void check_restart(void) {
    const struct model *model = rig.server.model;
    struct model *loaded = model_new();
    size_t i = 0;
    for (struct replica_pool *pool; (pool = map_next(&rig.server.committer->replica.pools, &i));) {
        size_t j = 0;
        model_load_pool(loaded, pool_record_ref(pool->record));
        for (struct replica_key *key; (key = map_next(&pool->keys, &j));) {
            const struct key_state *state = rig_store_state(key->record->id);
            must(state);
            model_load_key(loaded, key_record_ref(key->record), key->rank, state);
        }
    }
    must(rig_store_states() == model->keys.count);
    model_loaded(loaded, model->next_id, true, 1, rig.now);
    model_fixture_check(loaded);
    copy_details(loaded, model);
    char *before = model_fixture_snapshot(model), *after = model_fixture_snapshot(loaded);
    if (strcmp(before, after) != 0)
        fprintf(stderr, "before a restart:\n%safter it:\n%s", before, after);
    must(strcmp(before, after) == 0);
    free(before);
    free(after);
    model_free(loaded);
}

/* ---- turns ---- */

static bool is_open(const struct rig_peer *peer) {
    const struct session *session = *admin_sessions(the_admin);
    while (session && session != peer->session)
        session = session->next;
    return session && peer->session;
}

/* What the broker sent; a peer that does not read is another test's. */
static void drain(struct rig_peer *peer) {
    char chunk[65536];
    for (ssize_t got; (got = recv(peer->fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0;) {
        peer->output = mem_resize(peer->output, peer->length + (size_t)got + 1, 1);
        memcpy(peer->output + peer->length, chunk, (size_t)got);
        peer->length += (size_t)got;
        peer->output[peer->length] = '\0';
    }
}

static void drain_all(void) {
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (peers[i])
            drain(peers[i]);
}

static void note_watching(void) {
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (peers[i] && is_open(peers[i]))
            peers[i]->watched |= peers[i]->session->watch.on;
}

void rig_turn(void) {
    int turns = 0;
    do {
        must(++turns < TURNS_MAX);
        drain_all();
        note_watching();
    } while (serve_one());
}

static void be_the_thread(struct committer *committer) {
    struct group *group = committer->todo;
    must(group);
    rig.built = 0;
    process(committer, group);
    hand_back(committer, group);
    free_discarded(committer);
}

void rig_commit(void) {
    struct server *server = &rig.server;
    server_flush(server);
    for (int groups = 0; server->committing; groups++) {
        must(groups < GROUPS_MAX);
        be_the_thread(server->committer);
        server_group_done(server);
        rig_turn();
        rig_check();
        server_flush(server);
    }
    rig_turn();
}

void rig_pass(int64_t ms) {
    size_t i = 0;
    rig.now.mono_ms += ms;
    rig.now.wall_ms += ms;
    rig.server.now = rig.now;
    server_tick(&rig.server);
    rig_commit();
    for (struct outlet *outlet; (outlet = map_next(&rig.server.outlets, &i));)
        while (publication_wake(&outlet->publication))
            ;
}

/* ---- admin sessions ---- */

void rig_connect(struct rig_peer *peer, enum command_level level) {
    int fds[2];
    size_t place = 0;
    while (peers[place])
        must(++place < PEERS_MAX);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    admin_listener->callbacks->on_accept(admin_listener, fds[0]);
    *peer = (struct rig_peer){ .session = *admin_sessions(the_admin), .fd = fds[1] };
    must(peer->session);
    peer->session->level = level;
    peers[place] = peer;
}

static void deliver(struct rig_peer *peer, const void *bytes, size_t length) {
    if (!is_open(peer) || peer->session->source.internal.closing)
        return;
    void *copy = fuzz_copy(bytes, length);
    peer->session->source.callbacks->on_data(&peer->session->source, copy, length, false, 0);
    free(copy);
    rig_turn();
}

void rig_send(struct rig_peer *peer, const void *bytes, size_t length) {
    if (length)
        deliver(peer, bytes, length);
}

void rig_half_close(struct rig_peer *peer) {
    deliver(peer, "", 0);
}

void rig_clear_output(struct rig_peer *peer) {
    free(peer->output);
    peer->output = NULL;
    peer->length = 0;
}

void rig_hang_up(struct rig_peer *peer) {
    if (is_open(peer))
        session_drop(peer->session, NULL);
    rig_turn();
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (peers[i] == peer)
            peers[i] = NULL;
    close(peer->fd);
    rig_clear_output(peer);
    peer->session = NULL;
}

/* ---- workers ---- */

struct loop_source *rig_worker(const char *name) {
    const struct model_pool *pool = model_find_pool(rig.server.model, name);
    struct outlet *outlet = pool ? map_get(&rig.server.outlets, pool->record->id) : NULL;
    if (!outlet || !outlet->listener)
        return NULL;
    struct loop_source *listener = (struct loop_source *)(void *)outlet->listener;
    int fds[2];
    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    close(fds[1]);
    listener->callbacks->on_accept(listener, fds[0]);
    return the_loop.newest;
}

bool rig_is_connected(const struct loop_source *worker) {
    const struct loop_source *source = the_loop.first;
    while (source && source != worker)
        source = source->internal.next;
    return source && !source->internal.closing;
}

void rig_report(struct loop_source *worker, const void *bytes, size_t length, bool truncated) {
    void *copy = fuzz_copy(bytes, length);
    worker->callbacks->on_data(worker, copy, length, truncated, 0);
    free(copy);
}

void rig_report_outcome(const char *pool_name, const char *key_name, kb_outcome outcome) {
    static const struct actor worker = { .kind = ACTOR_REPORT, .uid = 2000, .pid = 77 };
    struct server *server = &rig.server;
    const struct model_pool *pool = model_find_pool(server->model, pool_name);
    const struct model_key *key = pool ? model_find_key(server->model, pool, key_name) : NULL;
    struct outlet *outlet = pool ? map_get(&server->outlets, pool->record->id) : NULL;
    if (!key || !outlet)
        return;
    struct report report = { .key_id = key->record->id,
                             .generation = outlet->publication.generation,
                             .hint_ms = KB_NO_HINT,
                             .outcome = outcome,
                             .count = 1,
                             .vendor_code = "fuzz" };
    server_report(server, outlet, &worker, &report, moment_mono_ns());
}

/* ---- beginning and end ---- */

/* In memory, where there is a file system of it; removed when the fuzzer ends by itself. */
static void remove_directory(void) {
    unlinkat(runtime_fd, KB_ADMIN_SOCKET, 0);
    unlinkat(runtime_fd, KB_POOLS_DIR, AT_REMOVEDIR);
    rmdir(directory);
}

static void make_directory(void) {
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(directory, sizeof directory, "%s/keybroker-fuzz-XXXXXX", parent);
    must(mkdtemp(directory));
    runtime_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(runtime_fd >= 0 && mkdirat(runtime_fd, KB_POOLS_DIR, 0755) == 0);
    pools_fd = openat(runtime_fd, KB_POOLS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(pools_fd >= 0);
    must(atexit(remove_directory) == 0);
}

static void prepare(void) {
    if (the_admin)
        return;
    must(sodium_init() >= 0);
    log_set_level((enum log_level)0);
    make_directory();
    rig.server = (struct server){ .runtime_fd = runtime_fd, .loop = &the_loop };
    must(admin_open(&the_admin, &rig.server) == 0);
    admin_listener = the_loop.newest;
}

static void make_pools(void) {
    static const char commands[] =
        "add pool p vendor=openai exceeded-recovery=6h guard=50% <<\n" RIG_SECRET "\n\n"
        "set pool p rule='429 message=\"slow down*\" rate'\n"
        "add key p name=b account=acme weight=7 note=second <<\n"
        "{\"api_key\":\"sk-0123456789bb\",\"organization\":\"org\"}\n\n"
        "add key p name=c account=acme expires=+30d <<\n"
        "{\"api_key\":\"sk-0123456789cc\",\"base_url\":\"https://eu.example/v1\"}\n\n"
        "add pool q vendor=openai strategy=spread <<\nsk-0123456789qq\n\n"
        "set key q key1 account=acme\n";
    struct rig_peer peer;
    rig_connect(&peer, LEVEL_CHANGE);
    rig_send(&peer, commands, sizeof commands - 1);
    rig_commit();
    must(!strstr(peer.output, "ERR"));
    rig_hang_up(&peer);
}

void rig_begin(void) {
    prepare();
    rig.now = (struct moment){ .mono_ms = FIXTURE_MONO_MS, .wall_ms = FIXTURE_WALL_MS };
    rig.failure = RIG_SOUND;
    rig.let_in = NULL;
    rig.server = (struct server){
        .options = { .runtime_dir = directory, .state_dir = directory },
        .state_fd = -1,
        .runtime_fd = runtime_fd,
        .pools_fd = pools_fd,
        .loop = &the_loop,
        .admin = the_admin,
        .model = model_new(),
        .committer = committer_new(rig_store_begin()),
        .gathering = group_new(),
        .now = rig.now,
        .started = rig.now,
        .start = 7,
        .store_ok = true,
        .report_connections = 8,
    };
    TAILQ_INIT(&rig.server.touched);
    TAILQ_INIT(&rig.server.waking);
    TAILQ_INIT(&rig.server.due);
    rig.server.model->pause = (struct pause){ server_pause, &rig.server };
    model_loaded(rig.server.model, 1, true, server_next_generation(&rig.server), rig.now);
    make_pools();
}

static void close_outlets(void) {
    for (;;) {
        size_t i = 0;
        const struct outlet *outlet = map_next(&rig.server.outlets, &i);
        if (!outlet)
            return;
        server_close_outlet(&rig.server, outlet->pool_id, true);
    }
}

void rig_end(void) {
    struct server *server = &rig.server;
    rig.failure = RIG_SOUND;
    rig.let_in = NULL;
    rig_commit();
    rig_pass(2000); /* what nobody waits for; and a store that failed is tried again */
    must(is_settled(server) && !server->model->dirty);
    rig_check();
    check_restart();
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (peers[i])
            rig_hang_up(peers[i]);
    must(!*admin_sessions(the_admin) && !server->payload_bytes);
    must(!server->metrics.admin_connections);
    close_outlets();
    rig_turn();
    must(!server->metrics.report_connections && the_loop.first == admin_listener);
    server->model = model_free(server->model);
    server->committer = committer_free(server->committer);
    server->gathering = group_free(server->gathering);
    map_deinit(&server->outlets);
    map_deinit(&server->report_users);
    names_deinit(&server->names);
    changeset_deinit(&server->happening);
}
