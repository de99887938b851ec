/*
 * See fixture_pool.h. Plays the publisher's part: who calls the board's and the catalog's writers
 * in which order.
 */
#include "fixture_pool.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "broker/catalog_leaf.h"
#include "broker/memory.h"

static void must(bool held, const char *what) {
    if (held)
        return;
    perror(what);
    abort();
}

uint64_t fixture_now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

void fixture_sleep_ms(unsigned ms) {
    struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };
    nanosleep(&time, NULL);
}

/* mkdir -p */
static void make_directories(const char *path) {
    char *copy = mem_strdup(path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(copy, 0755);
        *slash = '/';
    }
    mkdir(copy, 0755);
    free(copy);
}

static void make_keys(struct fixture_pool *fixture, uint32_t strategy) {
    fixture->pool = pool_record_new();
    fixture->pool->id = 1;
    fixture->pool->default_key_id = 1;
    fixture->pool->strategy = strategy;
    record_set_string(&fixture->pool->name, FIXTURE_POOL_NAME);
    record_set_string(&fixture->pool->vendor, "openai");
    fixture->keys = mem_resize(NULL, fixture->count, sizeof(struct key_record *));
    fixture->entries = mem_alloc(fixture->count * sizeof *fixture->entries);
    for (uint32_t i = 0; i < fixture->count; i++) {
        struct key_record *key = fixture->keys[i] = key_record_new();
        char *name = mem_printf("key%u", i + 1);
        char *config = mem_printf("{\"api_key\":\"sk-test-%u\"}", i + 1);
        key->id = i + 1;
        key->pool_id = 1;
        key->slot = i;
        key->weight = 1;
        record_set_string(&key->name, name);
        record_set_string(&key->config, config);
        free(name);
        free(config);
    }
}

void fixture_pool_init(struct fixture_pool *fixture, uint32_t count, uint32_t strategy,
                       const char *below) {
    const char *tmp = getenv("TMPDIR");
    uint64_t generation;
    *fixture = (struct fixture_pool){ .count = count,
                                      .generation = UINT64_C(1) << KB_GENERATION_START_SHIFT };
    fixture->version = fixture->generation;
    fixture->root = mem_printf("%s/keybroker-pool-XXXXXX", tmp ? tmp : "/tmp");
    must(mkdtemp(fixture->root) != NULL, "mkdtemp");
    fixture->runtime =
        below ? mem_printf("%s/%s", fixture->root, below) : mem_strdup(fixture->root);
    fixture->dir = mem_printf("%s/" KB_POOLS_DIR "/" FIXTURE_POOL_NAME, fixture->runtime);
    make_directories(fixture->dir);
    fixture->dir_fd = open(fixture->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    must(fixture->dir_fd >= 0, "open");
    must(board_open(&fixture->board, fixture->dir_fd, &generation) == 0, "board_open");
    make_keys(fixture, strategy);
    must(board_reserve(&fixture->board, count) == 0, "board_reserve");
    for (uint32_t i = 0; i < count; i++)
        fixture_pool_set_silently(fixture, i, KB_STATUS_NORMAL, 0);
    board_set_broker(&fixture->board, 1, (uint32_t)getpid());
    board_beat(&fixture->board, (int64_t)fixture_now_ms());
    fixture_pool_publish(fixture);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw) {
    (void)info, (void)type, (void)ftw;
    return remove(path);
}

void fixture_pool_deinit(struct fixture_pool *fixture) {
    board_close(&fixture->board);
    close(fixture->dir_fd);
    nftw(fixture->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    for (uint32_t i = 0; i < fixture->count; i++)
        key_record_unref(fixture->keys[i]);
    pool_record_unref(fixture->pool);
    free(fixture->keys);
    free(fixture->entries);
    free(fixture->root);
    free(fixture->runtime);
    free(fixture->dir);
}

kb_reader *fixture_pool_reader(const struct fixture_pool *fixture) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = fixture->runtime;
    kb_reader *reader = NULL;
    int error = kb_open(&reader, FIXTURE_POOL_NAME, &options);
    if (error < 0)
        fprintf(stderr, "kb_open: %s\n", kb_strerror(error));
    must(error == 0, "kb_open");
    return reader;
}

void fixture_pool_build(struct fixture_pool *fixture) {
    struct catalog_source source = { .pool = fixture->pool,
                                     .keys = fixture->keys,
                                     .key_count = fixture->count,
                                     .slot_count = fixture->count,
                                     .version = ++fixture->version };
    must(catalog_build(&source, fixture->dir_fd, &fixture->built) == 0, "catalog_build");
    must(catalog_publish(fixture->dir_fd, fixture->version) == 0, "catalog_publish");
    /* Records are immutable in the broker; here tests change them, so what was made of them goes.
     */
    for (uint32_t i = 0; i < fixture->count; i++)
        fixture->keys[i]->leaf = catalog_leaf_free(fixture->keys[i]->leaf);
}

void fixture_pool_publish(struct fixture_pool *fixture) {
    uint64_t old = fixture->version;
    fixture_pool_build(fixture);
    board_set_catalog(&fixture->board, fixture->built.version, fixture->built.size,
                      fixture->built.checksum, fixture->built.slot_count);
    fixture_pool_announce(fixture);
    catalog_unlink(fixture->dir_fd, old);
}

void fixture_pool_set_silently(struct fixture_pool *fixture, uint32_t slot, unsigned status,
                               uint64_t deadline_ms) {
    struct board_entry *entry = &fixture->entries[slot];
    uint32_t counter = (uint32_t)(entry->word >> KB_WORD_COUNTER_SHIFT) + 1;
    entry->word = kb_word_make(slot + 1, counter, status);
    entry->deadline_ms = deadline_ms;
    board_set_slot(&fixture->board, slot, entry);
}

void fixture_pool_set(struct fixture_pool *fixture, uint32_t slot, unsigned status,
                      uint64_t deadline_ms) {
    fixture_pool_set_silently(fixture, slot, status, deadline_ms);
    fixture_pool_announce(fixture);
}

static int64_t wall_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME_COARSE, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

void fixture_pool_announce(struct fixture_pool *fixture) {
    struct board_hint hint = { fixture->version, UINT64_MAX, KB_BOARD_NO_POSITION };
    int64_t now_ms = wall_ms();
    for (uint32_t i = fixture->count; i-- > 0;) {
        const struct key_record *key = fixture->keys[i];
        const struct board_entry *entry = &fixture->entries[key->slot];
        bool expired = key->expires_at_ms != 0 && key->expires_at_ms <= now_ms;
        if (!expired && kb_word_status(entry->word) == KB_STATUS_NORMAL)
            hint.position = i;
        else if (entry->deadline_ms != 0 && entry->deadline_ms < hint.until_ms)
            hint.until_ms = entry->deadline_ms;
    }
    fixture_pool_announce_hint(fixture, &hint);
}

void fixture_pool_announce_hint(struct fixture_pool *fixture, const struct board_hint *hint) {
    board_announce(&fixture->board, ++fixture->generation, hint);
}

int fixture_pool_listen(const struct fixture_pool *fixture) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" KB_REPORT_SOCKET,
             fixture->dir_fd);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    unlinkat(fixture->dir_fd, KB_REPORT_SOCKET, 0);
    must(bind(fd, (const struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(fd, 16) == 0, "listen");
    return fd;
}
