/*
 * See read_peers.h. Every contestant hands out the same API key, in this one process, pinned to
 * CPU_WATCHING, with the servers on CPU_WORKING; Redis also in two other places. In each round all
 * of them have one turn, in an order that turns round from one to the next, in wall-clock time:
 * some of them wait for another process.
 */
#include "read_peers.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "memcache.h"
#include "peers.h"
#include "redis.h"
#include "reference.h"
#include "result.h"
#include "sample.h"

enum { ROUNDS = 15, WARM_UP_ROUNDS = 2, SECRET_BYTES = 128 };

static const char SECRET[] = "sk-bench-0123456789abcdef0123456789abcdef0123456789abcdef";

struct locked_key {
    pthread_rwlock_t lock;
    char secret[SECRET_BYTES];
};

/* What the contestants read from. */
static struct {
    kb_reader *reader;
    struct reference reference;
    struct redis *redis;
    struct memcache *memcache;
    MDB_env *env;
    MDB_txn *txn; /* reset between two reads */
    MDB_dbi dbi;
    struct locked_key *locked;
    char file[128];
} sources;

/* Every read copies or looks at the key, so that none can be left out. */
static uintptr_t sink;

/* ---- the contestants: read the key so many times ---- */

static __attribute__((noinline, aligned(64))) void read_keybroker(unsigned calls) {
    uintptr_t sum = 0;
    for (unsigned i = 0; i < calls; i++)
        sum += (uintptr_t)kb_current(sources.reader);
    sink += sum;
}

static __attribute__((noinline, aligned(64))) void read_reference(unsigned calls) {
    uintptr_t sum = 0;
    for (unsigned i = 0; i < calls; i++)
        sum += (uintptr_t)reference_current(&sources.reference);
    sink += sum;
}

static void read_redis(unsigned calls) {
    char secret[SECRET_BYTES];
    for (unsigned i = 0; i < calls; i++)
        sink += redis_get(sources.redis, "key", secret, sizeof secret);
}

static void read_memcached(unsigned calls) {
    char secret[SECRET_BYTES];
    for (unsigned i = 0; i < calls; i++)
        sink += memcache_get(sources.memcache, "key", secret, sizeof secret);
}

static void must(int result) {
    if (result != 0)
        sample_die("LMDB: %s", mdb_strerror(result));
}

static MDB_val lmdb_get(MDB_txn *txn) {
    MDB_val name = { 3, (void *)(uintptr_t) "key" }, value;
    must(mdb_get(txn, sources.dbi, &name, &value));
    return value;
}

static void read_lmdb_renewing(unsigned calls) {
    for (unsigned i = 0; i < calls; i++) {
        must(mdb_txn_renew(sources.txn));
        sink += *(const unsigned char *)lmdb_get(sources.txn).mv_data;
        mdb_txn_reset(sources.txn);
    }
}

static void read_lmdb_beginning(unsigned calls) {
    mdb_txn_abort(sources.txn); /* it holds this thread's place in the reader table */
    for (unsigned i = 0; i < calls; i++) {
        MDB_txn *txn;
        must(mdb_txn_begin(sources.env, NULL, MDB_RDONLY, &txn));
        sink += *(const unsigned char *)lmdb_get(txn).mv_data;
        mdb_txn_abort(txn);
    }
    must(mdb_txn_begin(sources.env, NULL, MDB_RDONLY, &sources.txn));
    mdb_txn_reset(sources.txn);
}

static void read_locked(unsigned calls) {
    char secret[SECRET_BYTES];
    for (unsigned i = 0; i < calls; i++) {
        pthread_rwlock_rdlock(&sources.locked->lock);
        memcpy(secret, sources.locked->secret, sizeof secret);
        pthread_rwlock_unlock(&sources.locked->lock);
        __asm__ volatile("" : : "r"(secret) : "memory"); /* the copy is used */
    }
}

static void read_file(unsigned calls) {
    char secret[SECRET_BYTES];
    for (unsigned i = 0; i < calls; i++) {
        int fd = open(sources.file, O_RDONLY | O_CLOEXEC);
        ssize_t length = read(fd, secret, sizeof secret);
        close(fd);
        if (length <= 0)
            sample_die("%s: %s", sources.file, strerror(errno));
        sink += (uintptr_t)secret[0];
    }
}

static void read_environment(unsigned calls) {
    for (unsigned i = 0; i < calls; i++)
        sink += (uintptr_t)getenv("BENCH_API_KEY");
}

/* ---- making them ready ---- */

static bool prepare_redis(const char **ret_why) {
    const char *socket = peers_redis(ret_why);
    if (!socket || sources.redis)
        return socket;
    sources.redis = redis_connect(socket);
    redis_set(sources.redis, "key", SECRET);
    return true;
}

static bool prepare_memcached(const char **ret_why) {
    const char *socket = peers_memcached(ret_why);
    if (!socket)
        return false;
    sources.memcache = memcache_connect(socket);
    memcache_set(sources.memcache, "key", SECRET);
    return true;
}

static void prepare_lmdb(const struct rig *rig) {
    char path[128];
    MDB_val name = { 3, (void *)(uintptr_t) "key" };
    MDB_val value = { sizeof SECRET, (void *)(uintptr_t)SECRET };
    snprintf(path, sizeof path, "%s/lmdb", rig->runtime);
    if (mkdir(path, 0700) < 0)
        sample_die("%s: %s", path, strerror(errno));
    must(mdb_env_create(&sources.env));
    must(mdb_env_open(sources.env, path, 0, 0600));
    must(mdb_txn_begin(sources.env, NULL, 0, &sources.txn));
    must(mdb_dbi_open(sources.txn, NULL, 0, &sources.dbi));
    must(mdb_put(sources.txn, sources.dbi, &name, &value, 0));
    must(mdb_txn_commit(sources.txn));
    must(mdb_txn_begin(sources.env, NULL, MDB_RDONLY, &sources.txn));
    mdb_txn_reset(sources.txn);
}

static void prepare_memory(const struct rig *rig) {
    pthread_rwlockattr_t shared;
    _Atomic uint64_t *generation = sample_shared(4096);
    atomic_store(generation, 1);
    sources.reference = (struct reference){ .generation = generation, .seen = 1, .choice = SECRET };
    sources.locked = sample_shared(sizeof *sources.locked);
    memcpy(sources.locked->secret, SECRET, sizeof SECRET);
    pthread_rwlockattr_init(&shared);
    pthread_rwlockattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_rwlock_init(&sources.locked->lock, &shared);
    setenv("BENCH_API_KEY", SECRET, 1);
    snprintf(sources.file, sizeof sources.file, "%s/key", rig->runtime);
    FILE *file = fopen(sources.file, "we");
    if (!file || fputs(SECRET, file) < 0 || fclose(file) != 0)
        sample_die("%s: %s", sources.file, strerror(errno));
}

static void release(void) {
    sources.redis = redis_close(sources.redis);
    sources.memcache = memcache_close(sources.memcache);
    mdb_txn_abort(sources.txn);
    mdb_env_close(sources.env);
    kb_close(sources.reader);
    peers_stop();
}

/* ---- the contest ---- */

enum { KEYBROKER, REFERENCE };

/* Of this process and the servers. */
enum place { APART, TOGETHER, ANYWHERE };

struct contestant {
    const char *id, *name;
    void (*read)(unsigned calls);
    unsigned calls; /* in a turn */
    enum place place;
    bool (*prepare)(const char **ret_why);
    double target;   /* at least so many times what kb_current takes; 0 = only to know */
    const char *why; /* not to be had */
    double ns[ROUNDS];
};

static struct contestant contestants[] = {
    [KEYBROKER] = { .id = "keybroker",
                    .name = "kb_current",
                    .read = read_keybroker,
                    .calls = 5000000 },
    [REFERENCE] = { .id = "limit",
                    .name = "load, compare, return",
                    .read = read_reference,
                    .calls = 5000000 },
    { .id = "getenv", .name = "getenv", .read = read_environment, .calls = 200000 },
    { .id = "rwlock",
      .name = "process-shared pthread rwlock, 128 bytes copied",
      .read = read_locked,
      .calls = 200000 },
    { .id = "lmdb_renew",
      .name = "LMDB with its reader table: renew, get, reset",
      .read = read_lmdb_renewing,
      .calls = 100000 },
    { .id = "lmdb_begin",
      .name = "LMDB with its reader table: begin, get, abort",
      .read = read_lmdb_beginning,
      .calls = 100000 },
    { .id = "file",
      .name = "a file on tmpfs: open, read, close",
      .read = read_file,
      .calls = 10000 },
    { .id = "memcached",
      .name = "memcached get, Unix socket, libmemcached",
      .read = read_memcached,
      .calls = 600,
      .prepare = prepare_memcached },
    { .id = "redis",
      .name = "Redis GET, Unix socket, hiredis, not pinned",
      .read = read_redis,
      .calls = 600,
      .place = ANYWHERE,
      .prepare = prepare_redis,
      .target = 20000 },
    { .id = "redis_apart",
      .name = "Redis GET, client and server on a processor each",
      .read = read_redis,
      .calls = 600,
      .prepare = prepare_redis },
    { .id = "redis_together",
      .name = "Redis GET, client and server on one processor",
      .read = read_redis,
      .calls = 600,
      .place = TOGETHER,
      .prepare = prepare_redis },
};
enum { CONTESTANTS = sizeof contestants / sizeof *contestants };

static void take_turn(struct contestant *contestant, unsigned at) {
    if (contestant->why)
        return;
    static const int OWN[] = { CPU_WATCHING, CPU_WORKING, CPU_ANY };
    sample_place(0, OWN[contestant->place]);
    peers_place_redis(contestant->place == ANYWHERE ? CPU_ANY : CPU_WORKING);
    uint64_t begun_ns = sample_now_ns();
    contestant->read(contestant->calls);
    contestant->ns[at] = (double)(sample_now_ns() - begun_ns) / contestant->calls;
}

static void tell(const struct contestant *contestant, unsigned index) {
    char id[96];
    snprintf(id, sizeof id, "read.peers.%s", contestant->id);
    const char *name = contestant->name;
    if (contestant->why) {
        result_skip(id, name, contestant->why);
        return;
    }
    const double *references = contestants[index == KEYBROKER ? REFERENCE : KEYBROKER].ns;
    struct result result = result_against(id, name, "ns", contestant->ns, references, ROUNDS);
    result.target = index == KEYBROKER ? 1.3 : contestant->target;
    result.at_least = index != KEYBROKER;
    result_add(&result);
}

void read_peers_measure(struct rig *rig, bool quick) {
    (void)quick;
    result_section("the same key by other means (reference: kb_current; its own: the limit)");
    rig_start(rig, "io_uring");
    rig_make_pool(rig, "peers", "priority", 100, "");
    sources.reader = rig_reader(rig, "peers");
    prepare_memory(rig);
    prepare_lmdb(rig);
    for (unsigned i = 0; i < CONTESTANTS; i++)
        if (contestants[i].prepare)
            contestants[i].prepare(&contestants[i].why);
    for (unsigned round = 0; round < ROUNDS + WARM_UP_ROUNDS; round++)
        for (unsigned i = 0; i < CONTESTANTS; i++)
            take_turn(&contestants[round % 2 ? CONTESTANTS - 1 - i : i],
                      round < WARM_UP_ROUNDS ? 0 : round - WARM_UP_ROUNDS);
    for (unsigned i = 0; i < CONTESTANTS; i++)
        tell(&contestants[i], i);
    release();
    rig_stop(rig);
}
