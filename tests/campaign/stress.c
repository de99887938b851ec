/*
 * The real code at full speed: a publisher process writes board and catalogs with the broker's own
 * publication, board and catalog, and is killed at random and replaced by one that adopts the
 * board; a reader process reads through the library and checks every key that it is handed. Run by
 * tests/campaign/stress.sh. Exits 1 with a line on what is wrong.
 *
 * The publisher notes in memory that both share what it is about to make true, before it does. A
 * handed-out key must have been usable in the generation that stood on the board before the call,
 * or in a later one, or have come back by its deadline in one. Key 1 is always normal, so there is
 * always a key.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <keybroker.h>

#include "broker/memory.h"
#include "broker/publication.h"

enum {
    KEYS = 6, /* ids 1 … 6; slot = id − 1 */
    CATALOG_ONE_IN = 256,
    PAUSE_NS = 20000, /* at most, between two changes */
    LIFE_US = 20000,  /* at most, of a publisher */
    COOLING_MS = 30,  /* at most */
    EARLY_MS = 1000,
};

/* What the publisher intends. `start` and `secrets` stand for the store: they outlive a kill. */
struct shared {
    uint64_t start;
    _Atomic uint64_t secrets[KEYS + 1];      /* which secret the key has: a number in its api_key */
    _Atomic uint64_t secret_since[KEYS + 1]; /* announced with; UINT64_MAX while it is not */
    _Atomic uint64_t last_usable[KEYS + 1];  /* the newest generation in which the key was usable */
    _Atomic uint64_t deadline_ms[KEYS + 1];  /* on the board, or about to be; 0 = none */
    _Atomic uint64_t former_deadline_ms[KEYS + 1]; /* what stood there before … */
    _Atomic uint64_t former_until[KEYS + 1];       /* … until this generation */
    _Atomic uint64_t changes, catalogs, starts;
};

static struct shared *shared;
static char root[64], pool_dir[128];
static uint64_t random_state;
/* On purpose: statuses are written after the generation that announces them; deadlines on the board
 * are earlier than what was noted. */
static bool is_broken, is_early;

static uint64_t roll(uint64_t bound) { /* splitmix64 */
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (z ^ z >> 31) % bound;
}

static void must(bool held, const char *what) {
    if (held)
        return;
    perror(what);
    exit(2);
}

static void use_core(size_t core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set); /* better than nothing where it is refused */
}

static void pause_ns(uint64_t ns) {
    uint64_t until = moment_mono_ns() + ns;
    while (moment_mono_ns() < until)
        ;
}

/* ---- the publisher ---- */

struct publisher {
    struct publication pub;
    struct pool_record *pool;
    struct key_record *keys[KEYS]; /* in order */
    uint32_t status[KEYS + 1];
    uint64_t deadline_ms[KEYS + 1];
    uint64_t generation;
};

static void set_secret(struct key_record *key) {
    char *config = mem_printf("{\"api_key\":\"sk-%" PRIu64 "-%" PRIu64 "\"}", key->id,
                              atomic_load(&shared->secrets[key->id]));
    record_set_string(&key->config, config);
    free(config);
}

static void make_records(struct publisher *p) {
    p->pool = pool_record_new();
    p->pool->id = p->pool->default_key_id = 1;
    p->pool->strategy = STRATEGY_PRIORITY;
    record_set_string(&p->pool->name, "stress");
    record_set_string(&p->pool->vendor, "openai");
    for (uint32_t i = 0; i < KEYS; i++) {
        struct key_record *key = p->keys[i] = key_record_new();
        char *name = mem_printf("key%u", i + 1);
        key->id = i + 1;
        key->pool_id = 1;
        key->slot = i;
        key->weight = 1;
        record_set_string(&key->name, name);
        set_secret(key);
        free(name);
    }
}

static void write_status(struct publisher *p, uint64_t id) {
    int64_t deadline_ms = (int64_t)p->deadline_ms[id];
    struct key_state state = { .status = p->status[id],
                               .deadline_mono =
                                   deadline_ms && is_early ? deadline_ms - EARLY_MS : deadline_ms,
                               .valid_since = p->generation };
    publication_set_state(&p->pub, (uint32_t)id - 1, id, &state);
}

/* What a reader may still find on the board, or have found since its call began, is kept: the
 * soonest of what stood there in one generation. */
static void note_deadline(struct publisher *p, uint64_t id) {
    uint64_t old_ms = atomic_load(&shared->deadline_ms[id]);
    uint64_t former_ms = atomic_load(&shared->former_deadline_ms[id]);
    bool same = atomic_load(&shared->former_until[id]) == p->generation;
    if (old_ms && !(same && former_ms && former_ms < old_ms))
        atomic_store(&shared->former_deadline_ms[id], old_ms);
    if (old_ms)
        atomic_store(&shared->former_until[id], p->generation);
    atomic_store(&shared->deadline_ms[id], p->deadline_ms[id]);
}

static void set_status(struct publisher *p, uint64_t id, uint32_t status) {
    p->status[id] = status;
    p->deadline_ms[id] = status == KB_STATUS_COOLING || (status == KB_STATUS_EXCEEDED && roll(2))
                             ? (uint64_t)moment_now().mono_ms + 1 + roll(COOLING_MS)
                             : 0;
    note_deadline(p, id);
    if (status == KB_STATUS_NORMAL)
        atomic_store(&shared->last_usable[id], p->generation);
    if (!is_broken)
        write_status(p, id);
}

static void announce(struct publisher *p) {
    p->generation++;
    for (uint64_t id = 1; id <= KEYS; id++)
        if (p->status[id] == KB_STATUS_NORMAL)
            atomic_store(&shared->last_usable[id], p->generation);
    publication_announce(&p->pub, p->generation, moment_now(), true);
    for (uint64_t id = 1; is_broken && id <= KEYS; id++)
        write_status(p, id);
}

/* Another order, and another secret for one key. */
static void publish(struct publisher *p) {
    size_t from = roll(KEYS), to = roll(KEYS);
    struct key_record *moved = p->keys[from];
    p->keys[from] = p->keys[to];
    p->keys[to] = moved;
    /* A new record, as a command makes: the old one keeps what was derived from its config. */
    struct key_record *key = key_record_copy(moved);
    key_record_unref(moved);
    p->keys[to] = key;
    atomic_store(&shared->secret_since[key->id], UINT64_MAX);
    atomic_fetch_add(&shared->secrets[key->id], 1);
    set_secret(key);

    struct catalog_source source = { .pool = p->pool,
                                     .keys = p->keys,
                                     .key_count = KEYS,
                                     .slot_count = KEYS,
                                     .version = ++p->generation };
    struct catalog_built built;
    struct published_key *order = mem_resize(NULL, KEYS, sizeof *order);
    for (uint32_t i = 0; i < KEYS; i++)
        order[i] = (struct published_key){ .id = p->keys[i]->id, .slot = p->keys[i]->slot };
    must(board_reserve(&p->pub.board, KEYS) == 0, "board_reserve");
    must(catalog_build(&source, p->pub.dir_fd, &built) == 0, "catalog_build");
    must(catalog_publish(p->pub.dir_fd, source.version) == 0, "catalog_publish");
    publication_set_catalog(&p->pub, &built, order, KEYS);
    bool is_first = p->status[1] != KB_STATUS_NORMAL; /* the board may show a former life's */
    for (uint64_t id = 1; is_first && id <= KEYS; id++)
        set_status(p, id, id == 1 || roll(2) ? KB_STATUS_NORMAL : KB_STATUS_EXCEEDED);
    announce(p);
    for (uint64_t id = 1; id <= KEYS; id++) /* also those of a publisher that was killed before */
        if (atomic_load(&shared->secret_since[id]) == UINT64_MAX)
            atomic_store(&shared->secret_since[id], p->generation);
    atomic_fetch_add(&shared->catalogs, 1);
}

/* Until it is killed. */
static _Noreturn void run_publisher(void) {
    static const uint32_t STATUSES[] = { KB_STATUS_NORMAL,   KB_STATUS_NORMAL, KB_STATUS_COOLING,
                                         KB_STATUS_EXCEEDED, KB_STATUS_ERROR,  KB_STATUS_DISABLED };
    struct publisher p = { 0 };
    uint64_t floor = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    use_core(1);
    int dir_fd = open(pool_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(dir_fd >= 0, pool_dir);
    must(publication_open(&p.pub, 1, dir_fd, &floor) == 0, "publication_open");
    if (shared->start < floor >> KB_GENERATION_START_SHIFT)
        shared->start = floor >> KB_GENERATION_START_SHIFT;
    p.generation = ++shared->start << KB_GENERATION_START_SHIFT;
    p.status[1] = KB_STATUS_DISABLED; /* nothing was said yet */
    make_records(&p);
    publish(&p);
    atomic_fetch_add(&shared->starts, 1);
    for (;;) {
        if (roll(CATALOG_ONE_IN) == 0)
            publish(&p);
        for (uint64_t changes = 1 + roll(3); changes > 0; changes--)
            set_status(&p, 2 + roll(KEYS - 1), STATUSES[roll(sizeof STATUSES / sizeof *STATUSES)]);
        announce(&p);
        atomic_fetch_add(&shared->changes, 1);
        if (roll(4))
            pause_ns(roll(PAUSE_NS));
    }
}

/* ---- the reader ---- */

static const struct kb_board *map_board(void) {
    char path[160];
    snprintf(path, sizeof path, "%s/" KB_BOARD_FILE, pool_dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    must(fd >= 0, path);
    void *memory = mmap(NULL, KB_BOARD_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    must(memory != MAP_FAILED, "mmap");
    close(fd);
    return memory;
}

static _Noreturn void wrong(uint64_t reads, uint64_t generation, const kb_key *key,
                            const char *what) {
    printf("FOUND after %" PRIu64 " reads, generation %#" PRIx64 ": %s (key %" PRIu64
           " \"%s\" \"%s\", ticket %#" PRIx64 ")\n",
           reads, generation, what, key ? key->id : 0, key ? key->name : "",
           key ? key->api_key : "", key ? key->ticket.generation : 0);
    exit(1);
}

/* Strings belong to the id, and the secret is not older than the ticket says. */
static void check_strings(uint64_t reads, uint64_t generation, const kb_key *key) {
    uint64_t name_id = 0, secret_id = 0, secret = 0;
    if (key->id < 1 || key->id > KEYS || sscanf(key->name, "key%" SCNu64, &name_id) != 1 ||
        sscanf(key->api_key, "sk-%" SCNu64 "-%" SCNu64, &secret_id, &secret) != 2 ||
        name_id != key->id || secret_id != key->id)
        wrong(reads, generation, key, "strings of another key");
    uint64_t since = atomic_load(&shared->secret_since[key->id]);
    uint64_t newest = atomic_load(&shared->secrets[key->id]);
    if (since == atomic_load(&shared->secret_since[key->id]) && since <= key->ticket.generation &&
        secret < newest)
        wrong(reads, generation, key, "a secret older than its ticket");
}

static bool has_passed(uint64_t deadline_ms) {
    return deadline_ms != 0 && deadline_ms <= (uint64_t)moment_now().mono_ms;
}

/* Was it normal in this generation or a later one, or did its deadline pass in one? In the opposite
 * order to that in which the publisher notes it. */
static bool was_usable(uint64_t id, uint64_t generation, uint64_t *back) {
    if (atomic_load_explicit(&shared->last_usable[id], memory_order_acquire) >= generation)
        return true;
    if (has_passed(atomic_load(&shared->deadline_ms[id])) ||
        (atomic_load(&shared->former_until[id]) >= generation &&
         has_passed(atomic_load(&shared->former_deadline_ms[id])))) {
        ++*back;
        return true;
    }
    return atomic_load(&shared->last_usable[id]) >= generation;
}

static int run_reader(uint64_t total) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = root;
    kb_reader *reader = NULL;
    use_core(0);
    for (int tries = 0; kb_open(&reader, "stress", &options) != 0; tries++) {
        must(tries < 5000, "kb_open");
        usleep(1000);
    }
    const struct kb_board *board = map_board();
    uint64_t last_ticket = 0, last_generation = 0, refreshed = 0, back = 0;
    for (uint64_t reads = 1; reads <= total; reads++) {
        uint64_t generation = atomic_load_explicit(&board->generation, memory_order_acquire);
        if (generation < last_generation)
            wrong(reads, generation, NULL, "the generation went back");
        last_generation = generation;
        const kb_key *key = kb_current(reader);
        if (!key)
            wrong(reads, generation, key, kb_strerror(kb_last_error(reader)));
        if (key->ticket.generation != last_ticket) {
            if (key->ticket.generation < last_ticket)
                wrong(reads, generation, key, "the ticket's generation went back");
            last_ticket = key->ticket.generation;
            check_strings(reads, generation, key);
            refreshed++;
        }
        if (!was_usable(key->id, generation, &back))
            wrong(reads, generation, key, "not usable since the call began");
    }
    printf("  %" PRIu64 " reads, %" PRIu64 " with a new ticket, %" PRIu64
           " with a key that came back by itself; %" PRIu64 " announcements, %" PRIu64
           " catalogs, %" PRIu64 " publishers\n",
           total, refreshed, back, atomic_load(&shared->changes), atomic_load(&shared->catalogs),
           atomic_load(&shared->starts));
    kb_close(reader);
    return 0;
}

/* ---- the two, and the kills ---- */

static pid_t start(uint64_t reads) { /* 0: a publisher */
    uint64_t seed = roll(UINT64_MAX);
    fflush(stdout);
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid != 0)
        return pid;
    random_state = seed;
    if (reads == 0)
        run_publisher();
    exit(run_reader(reads));
}

int main(int argc, char **argv) {
    must(argc == 4 || argc == 5, "usage: stress READS SEED DIRECTORY [broken|early]");
    is_broken = argc == 5 && strcmp(argv[4], "broken") == 0;
    is_early = argc == 5 && !is_broken;
    uint64_t reads = strtoull(argv[1], NULL, 10);
    random_state = strtoull(argv[2], NULL, 10);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(shared != MAP_FAILED && reads > 0, "mmap");
    snprintf(root, sizeof root, "%s", argv[3]);
    snprintf(pool_dir, sizeof pool_dir, "%s/pools", root);
    must(mkdir(pool_dir, 0755) == 0, pool_dir);
    snprintf(pool_dir, sizeof pool_dir, "%s/pools/stress", root);
    must(mkdir(pool_dir, 0750) == 0, pool_dir);

    pid_t publisher = start(0), reader = start(reads);
    int status;
    while (waitpid(reader, &status, WNOHANG) == 0) {
        usleep((useconds_t)roll(LIFE_US));
        kill(publisher, SIGKILL);
        int how;
        must(waitpid(publisher, &how, 0) == publisher, "waitpid");
        if (!WIFSIGNALED(how) || WTERMSIG(how) != SIGKILL) {
            printf("FOUND: a publisher ended by itself (status %d)\n", how);
            kill(reader, SIGKILL);
            return 1;
        }
        publisher = start(0);
    }
    kill(publisher, SIGKILL);
    waitpid(publisher, NULL, 0);
    if (!WIFEXITED(status))
        printf("FOUND: the reader ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
