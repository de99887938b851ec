/*
 * What the tests of the store share: a state directory of their own, records to put in it, and a
 * loader that collects what comes out. Header-only; included by test_store*.c.
 */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "memory.h"
#include "store.h"

#define UNUSED __attribute__((unused))

struct state_dir {
    char path[256];
    int fd;
};

static struct state_dir state_dir; /* of this test: Criterion runs each in a process of its own */
static char store_error[256];

static UNUSED void state_dir_init(void) {
    const char *base = getenv("TMPDIR");
    snprintf(state_dir.path, sizeof(state_dir.path), "%.200s/kb-store-XXXXXX",
             base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(state_dir.path));
    state_dir.fd = open(state_dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(state_dir.fd, 0);
}

static UNUSED void state_dir_deinit(void) {
    DIR *directory = opendir(state_dir.path);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        unlinkat(state_dir.fd, entry->d_name, 0);
    if (directory)
        closedir(directory);
    close(state_dir.fd);
    rmdir(state_dir.path);
}

/* Where tests put backups, beside the state directory: `.init = backup_dirs_init, .fini =
 * backup_dirs_deinit` instead of those above. */
static char backup_dir[300];
static char backup_path[320];

static UNUSED void backup_dirs_init(void) {
    state_dir_init();
    snprintf(backup_dir, sizeof(backup_dir), "%s.backups", state_dir.path);
    snprintf(backup_path, sizeof(backup_path), "%s/b", backup_dir);
    cr_assert_eq(mkdir(backup_dir, 0700), 0);
}

static UNUSED void backup_dirs_deinit(void) {
    unlink(backup_path);
    rmdir(backup_dir);
    state_dir_deinit();
}

/* ---- whole files ---- */

struct bytes {
    unsigned char *data;
    size_t size;
};

static UNUSED struct bytes file_read(const char *name) {
    struct bytes bytes = { 0 };
    struct stat st;
    int fd = openat(state_dir.fd, name, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0, "open %s", name);
    cr_assert_eq(fstat(fd, &st), 0);
    bytes.size = (size_t)st.st_size;
    bytes.data = mem_alloc(bytes.size + 1);
    for (size_t at = 0; at < bytes.size;) {
        ssize_t n = pread(fd, bytes.data + at, bytes.size - at, (off_t)at);
        cr_assert_gt(n, 0);
        at += (size_t)n;
    }
    close(fd);
    return bytes;
}

static UNUSED void file_write(const char *name, const void *data, size_t size) {
    int fd = openat(state_dir.fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, data, size), (ssize_t)size);
    close(fd);
}

static UNUSED bool file_exists(const char *name) {
    return faccessat(state_dir.fd, name, F_OK, 0) == 0;
}

static UNUSED bool file_is(const char *name, const struct bytes *expected) {
    struct bytes bytes = file_read(name);
    bool same = bytes.size == expected->size && memcmp(bytes.data, expected->data, bytes.size) == 0;
    free(bytes.data);
    return same;
}

/* ---- stores ---- */

static UNUSED struct store *open_store_with(const struct store_faults *faults, uint64_t events) {
    struct store *store = NULL;
    struct store_options options = { .state_dir_fd = state_dir.fd,
                                     .faults = faults,
                                     .events_kept = events };
    int rc = store_open(&store, &options, store_error);
    cr_assert_eq(rc, 0, "store_open: %d %s", rc, store_error);
    return store;
}

static UNUSED struct store *open_store(void) {
    return open_store_with(NULL, 0);
}

static UNUSED int try_open(void) {
    struct store *store = NULL;
    struct store_options options = { .state_dir_fd = state_dir.fd };
    memset(store_error, 0, sizeof(store_error));
    int rc = store_open(&store, &options, store_error);
    if (rc == 0)
        store_close(store);
    else
        cr_expect_null(store);
    return rc;
}

/* One group of one changeset, which is freed. */
static UNUSED int commit_set(struct store *store, struct changeset *set, uint64_t next_id) {
    int rc = store_begin(store);
    if (rc == 0)
        rc = store_apply(store, set);
    if (rc == 0)
        rc = store_commit(store, next_id);
    changeset_deinit(set);
    return rc;
}

/* ---- records ---- */

static UNUSED struct pool_record *new_pool(uint64_t id, const char *name) {
    struct pool_record *pool = pool_record_new();
    pool->id = id;
    pool->default_key_id = id + 1;
    pool->revision = id * 7;
    pool->created_at_ms = 1700000000000 + (int64_t)id;
    pool->strategy = STRATEGY_SPREAD;
    record_set_string(&pool->name, name);
    record_set_string(&pool->vendor, "openai");
    record_set_string(&pool->group, "staff");
    record_set_string(&pool->exceeded_recovery, "daily@00:00");
    record_set_string(&pool->error_recovery, "never");
    record_set_string(&pool->base_url, "https://pool.example/v1");
    record_set_string(&pool->guard, "33%");
    record_set_string(&pool->rules, "429 any=mine quota account\n5xx overload");
    return pool;
}

static UNUSED struct key_record *new_key(uint64_t pool_id, uint64_t id, const char *config) {
    struct key_record *key = key_record_new();
    char name[32];
    snprintf(name, sizeof(name), "key%llu", (unsigned long long)id);
    key->id = id;
    key->pool_id = pool_id;
    key->slot = (uint32_t)id;
    key->weight = 5;
    key->expires_at_ms = 1900000000000;
    key->created_at_ms = 1700000000001;
    key->updated_at_ms = 1700000000002;
    record_set_string(&key->name, name);
    record_set_string(&key->account, "team-a");
    record_set_string(&key->note, "a note, with ümlauts");
    record_set_string(&key->config, config);
    return key;
}

static UNUSED struct key_state new_state(uint64_t seed) {
    struct key_state state = { .status = KB_STATUS_COOLING,
                               .backoff = 3,
                               .deadline_mono = (int64_t)(seed * 11),
                               .deadline_wall = (int64_t)(seed * 13),
                               .cooling_ms = 60000,
                               .normal_since_mono = -5,
                               .status_since_ms = 1700000000003,
                               .valid_since = VALID_SINCE_PENDING,
                               .last_failure_ms = 1700000000004,
                               .last_outcome = KB_RATE,
                               .http_status = 429 };
    for (size_t i = 0; i < 9; i++)
        state.reports[i] = seed + i;
    snprintf(state.vendor_code, sizeof(state.vendor_code), "rate_limit_%llu",
             (unsigned long long)seed);
    snprintf(state.reason, sizeof(state.reason), "too many requests");
    return state;
}

static UNUSED struct event new_event(uint64_t pool_id, uint64_t key_id) {
    struct event event = { .time_ms = 1700000000005,
                           .pool_id = pool_id,
                           .key_id = key_id,
                           .kind = EVENT_STATUS,
                           .from = KB_STATUS_NORMAL,
                           .to = KB_STATUS_ERROR,
                           .outcome = KB_INVALID,
                           .http_status = 401,
                           .actor = { .kind = ACTOR_REPORT, .uid = 1000, .pid = 4242 },
                           .pool = "main",
                           .key = "käy",
                           .vendor_code = "invalid_api_key",
                           .reason = "the vendor refuses the key" };
    return event;
}

static UNUSED void add_pool(struct changeset *set, uint64_t id, const char *name) {
    struct pool_record *pool = new_pool(id, name);
    changeset_pool(set, NULL, pool);
    pool_record_unref(pool);
}

static UNUSED void add_key(struct changeset *set, uint64_t pool_id, uint64_t id,
                           const char *config) {
    struct key_record *key = new_key(pool_id, id, config);
    struct key_state state = new_state(id);
    changeset_key(set, NULL, key);
    changeset_rank(set, pool_id, id, 0, id << 20);
    changeset_state(set, pool_id, id, NULL, &state);
    key_record_unref(key);
}

static UNUSED void add_event(struct changeset *set, uint64_t pool_id, uint64_t key_id) {
    struct event event = new_event(pool_id, key_id);
    changeset_event(set, &event);
}

/* ---- loading ---- */

struct loaded_key {
    struct key_record *record;
    uint64_t rank;
    struct key_state state;
};
struct loaded {
    struct pool_record **pools;
    size_t pool_count;
    struct loaded_key *keys;
    size_t key_count;
    size_t key_capacity;
    uint64_t next_id;
    uint64_t last_event;
    bool same_boot;
};

static void collect_pool(void *userdata, struct pool_record *record) {
    struct loaded *loaded = userdata;
    loaded->pools = mem_resize(loaded->pools, loaded->pool_count + 1, sizeof(*loaded->pools));
    loaded->pools[loaded->pool_count++] = record;
}

static void collect_key(void *userdata, struct key_record *record, uint64_t rank,
                        const struct key_state *state) {
    struct loaded *loaded = userdata;
    if (loaded->key_count == loaded->key_capacity) {
        loaded->key_capacity = loaded->key_capacity ? loaded->key_capacity * 2 : 64;
        loaded->keys = mem_resize(loaded->keys, loaded->key_capacity, sizeof(*loaded->keys));
    }
    loaded->keys[loaded->key_count++] = (struct loaded_key){ record, rank, *state };
}

static UNUSED int load_all(struct store *store, struct loaded *loaded) {
    struct store_loader loader = { .userdata = loaded, .pool = collect_pool, .key = collect_key };
    *loaded = (struct loaded){ 0 };
    store_error[0] = '\0';
    return store_load(store, &loader, &loaded->next_id, &loaded->last_event, &loaded->same_boot,
                      store_error);
}

static UNUSED void loaded_deinit(struct loaded *loaded) {
    for (size_t i = 0; i < loaded->pool_count; i++)
        pool_record_unref(loaded->pools[i]);
    for (size_t i = 0; i < loaded->key_count; i++)
        key_record_unref(loaded->keys[i].record);
    free(loaded->pools);
    free(loaded->keys);
}

/* ---- comparing ---- */

static UNUSED bool pools_equal(const struct pool_record *a, const struct pool_record *b) {
    return a->id == b->id && a->default_key_id == b->default_key_id && a->revision == b->revision &&
           a->created_at_ms == b->created_at_ms && a->strategy == b->strategy &&
           strcmp(a->name, b->name) == 0 && strcmp(a->vendor, b->vendor) == 0 &&
           strcmp(a->group, b->group) == 0 &&
           strcmp(a->exceeded_recovery, b->exceeded_recovery) == 0 &&
           strcmp(a->error_recovery, b->error_recovery) == 0 &&
           strcmp(a->base_url, b->base_url) == 0 && strcmp(a->rules, b->rules) == 0 &&
           strcmp(a->guard, b->guard) == 0;
}

static UNUSED bool keys_equal(const struct key_record *a, const struct key_record *b) {
    return a->id == b->id && a->pool_id == b->pool_id && a->slot == b->slot &&
           a->weight == b->weight && a->expires_at_ms == b->expires_at_ms &&
           a->created_at_ms == b->created_at_ms && a->updated_at_ms == b->updated_at_ms &&
           strcmp(a->name, b->name) == 0 && strcmp(a->account, b->account) == 0 &&
           strcmp(a->note, b->note) == 0 && strcmp(a->config, b->config) == 0;
}

static UNUSED bool states_equal(const struct key_state *a, const struct key_state *b) {
    return a->status == b->status && a->backoff == b->backoff &&
           a->deadline_mono == b->deadline_mono && a->deadline_wall == b->deadline_wall &&
           a->cooling_ms == b->cooling_ms && a->normal_since_mono == b->normal_since_mono &&
           a->status_since_ms == b->status_since_ms && a->valid_since == b->valid_since &&
           memcmp(a->reports, b->reports, sizeof(a->reports)) == 0 &&
           a->last_failure_ms == b->last_failure_ms && a->last_outcome == b->last_outcome &&
           a->http_status == b->http_status && strcmp(a->vendor_code, b->vendor_code) == 0 &&
           strcmp(a->reason, b->reason) == 0;
}

static UNUSED bool events_equal(const struct event *a, const struct event *b) {
    return a->seq == b->seq && a->time_ms == b->time_ms && a->pool_id == b->pool_id &&
           a->key_id == b->key_id && a->kind == b->kind && a->from == b->from && a->to == b->to &&
           a->outcome == b->outcome && a->http_status == b->http_status && a->count == b->count &&
           strcmp(a->to_key, b->to_key) == 0 && strcmp(a->names.user, b->names.user) == 0 &&
           strcmp(a->names.program, b->names.program) == 0 && a->actor.kind == b->actor.kind &&
           a->actor.uid == b->actor.uid && a->actor.pid == b->actor.pid &&
           strcmp(a->pool, b->pool) == 0 && strcmp(a->key, b->key) == 0 &&
           strcmp(a->vendor_code, b->vendor_code) == 0 && strcmp(a->reason, b->reason) == 0;
}

#endif
