/*
 * Fuzz target: a catalog whose records are anything. Input: patches to the records of a sound
 * catalog, then what the worker does. A patch is a record (0 pool, 1 order, 2… a key), an offset, a
 * length, and the bytes; of length 0 it cuts the record there, of length 255 it leaves the record
 * out.
 *
 * The file is written by LMDB, and the board says its true size and checksum. What the file's pages
 * say is not fuzzed: LMDB itself reads pages that lie out of bounds, and the library can't check
 * them; that is why it verifies the checksum before LMDB sees the file, which the broker makes of
 * what it wrote (tests/unit/test_catalog.c flips every bit and finds each refused). So what is left
 * to judge are records of a broker that writes nonsense, or means something else by a field.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <keybroker_shared/catalog.h>
#include <lmdb.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "client/internal.h"
#include "tests/support/fixture_pool.h"

enum { KEYS = 4, RECORDS = 2 + KEYS, RECORD_MAX = 4096, FILE_MAX = 1 << 20, STEPS_MAX = 64 };

struct record {
    uint64_t id;
    size_t size;
    bool missing;
    unsigned char bytes[RECORD_MAX];
};

static struct fixture_pool pool;
static struct record sound[RECORDS], records[RECORDS];
static char file[PATH_MAX];
static unsigned char *whole; /* the file's bytes */

/* ---- the catalog's file ---- */

static MDB_env *open_file(unsigned flags) {
    MDB_env *env;
    must(mdb_env_create(&env) == 0 && mdb_env_set_mapsize(env, FILE_MAX) == 0);
    must(mdb_env_open(env, file, flags | MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600) == 0);
    return env;
}

/* As the broker wrote it. */
static void read_sound(void) {
    MDB_env *env = open_file(MDB_RDONLY);
    MDB_txn *txn;
    MDB_dbi dbi;
    must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0 && mdb_dbi_open(txn, NULL, 0, &dbi) == 0);
    for (size_t i = 0; i < RECORDS; i++) {
        struct record *record = &sound[i];
        record->id = i == 0 ? KB_CATALOG_POOL : i == 1 ? KB_CATALOG_ORDER : i - 1;
        MDB_val key = { sizeof record->id, &record->id }, value;
        must(mdb_get(txn, dbi, &key, &value) == 0 && value.mv_size <= RECORD_MAX);
        record->size = value.mv_size;
        memcpy(record->bytes, value.mv_data, value.mv_size);
    }
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

static void write_records(void) {
    MDB_txn *txn;
    MDB_dbi dbi;
    unlink(file);
    MDB_env *env = open_file(MDB_CREATE);
    must(mdb_txn_begin(env, NULL, 0, &txn) == 0);
    must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi) == 0);
    for (size_t i = 0; i < RECORDS; i++) {
        MDB_val key = { sizeof records[i].id, &records[i].id };
        MDB_val value = { records[i].size, records[i].bytes };
        must(records[i].missing || mdb_put(txn, dbi, &key, &value, 0) == 0);
    }
    must(mdb_txn_commit(txn) == 0);
    mdb_env_close(env);
}

static void publish(void) {
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    struct stat info;
    must(fd >= 0 && fstat(fd, &info) == 0 && info.st_size <= FILE_MAX);
    must(read(fd, whole, FILE_MAX) == info.st_size);
    close(fd);
    board_set_catalog(&pool.board, pool.version, (uint64_t)info.st_size,
                      XXH3_64bits(whole, (size_t)info.st_size), KEYS);
    fixture_pool_announce(&pool);
}

static void prepare(void) {
    if (whole)
        return;
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    fixture_pool_init(&pool, KEYS, KB_CATALOG_SPREAD, NULL);
    record_set_string(&pool.pool->rules, "429 code=quota quota\n4xx message=\"low*\" rate key");
    record_set_string(&pool.keys[1]->account, "acme");
    record_set_string(&pool.keys[2]->account, "acme");
    pool.keys[3]->expires_at_ms = INT64_C(4000000000000);
    fixture_pool_publish(&pool);
    snprintf(file, sizeof file, "%s/" KB_CATALOG_FILE_FORMAT, pool.dir,
             (unsigned long long)pool.version);
    whole = malloc(FILE_MAX);
    must(whole);
    read_sound();
}

static void clean_up(void) {
    fixture_pool_deinit(&pool);
    free(whole);
}

/* ---- patches ---- */

static void patch(struct input *input) {
    struct record *record = &records[input_byte(input) % RECORDS];
    size_t offset = input_number(input, 2) % RECORD_MAX, length = input_byte(input);
    record->missing |= length == 255;
    if (length == 0)
        record->size = offset;
    if (length == 0 || length == 255)
        return;
    if (length > RECORD_MAX - offset)
        length = RECORD_MAX - offset;
    for (size_t i = 0; i < length; i++)
        record->bytes[offset + i] = input_byte(input);
    if (offset + length > record->size)
        record->size = offset + length;
}

/* ---- the worker ---- */

/* Everything that a key has lies in its record, and ends there. */
static void check_key(const struct catalog *catalog, const kb_key *key) {
    const struct kb_catalog_key *record = kbi_catalog_record(catalog, key->id);
    must(record && record->id == key->id);
    const char *strings[] = { key->name,        key->account,     key->api_key,    key->base_url,
                              key->auth_header, key->config_json, key->environment };
    const char *first = (const char *)(record + 1), *end = (const char *)record + record->size;
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        must(strings[i] >= first && strings[i] + strlen(strings[i]) < end);
    const char *at = key->environment;
    while (*at)
        at += strlen(at) + 1;
    must(at < end);
    kb_key *copy = kb_key_dup(key);
    must(copy && strcmp(copy->config_json, key->config_json) == 0);
    kb_key_free(copy);
}

static int look(const kb_list_entry *entry, void *userdata) {
    size_t *total = userdata;
    *total += strlen(entry->name) + strlen(entry->account) + strlen(entry->base_url);
    return 0;
}

static void report(kb_reader *reader, const kb_key *key, uint8_t which) {
    static const char body[] = "{\"error\":{\"code\":\"quota\",\"message\":\"low on balance\"}}";
    kb_http_response response = KB_HTTP_RESPONSE_INIT;
    response.status = 400 + which % 100;
    response.body = body;
    response.body_len = sizeof body - 1;
    kb_report_http(reader, key->ticket, &response, NULL);
    kb_report(reader, key->ticket, (kb_outcome)(which % 10), which * 100u);
}

static void work(kb_reader *reader, struct input *input) {
    kb_attempt attempt = KB_ATTEMPT_INIT;
    kb_health_info health = KB_HEALTH_INFO_INIT;
    size_t total = 0;
    for (int steps = 0; steps < STEPS_MAX && input->left; steps++) {
        uint8_t step = input_byte(input);
        const kb_key *key = step & 1 ? kb_next(reader, &attempt) : kb_current(reader);
        if (!key) {
            must(kb_last_error(reader) < 0);
            continue;
        }
        check_key(reader->held, key);
        if (step & 2)
            report(reader, key, step);
    }
    must(kb_list(reader, look, &total) <= 0 && kb_health(reader, &health) == 0);
    must(health.keys <= KB_BOARD_SLOTS_MAX && health.usable <= health.keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool registered;
    struct input input = { data, size };
    kb_options options = KB_OPTIONS_INIT;
    kb_reader *reader = NULL;
    prepare();
    registered = registered || atexit(clean_up) == 0;
    memcpy(records, sound, sizeof records);
    for (uint8_t patches = input_byte(&input) % 16; patches > 0; patches--)
        patch(&input);
    write_records();
    publish();
    options.runtime_dir = pool.runtime;
    if (kb_open(&reader, FIXTURE_POOL_NAME, &options) == 0) {
        work(reader, &input);
        kb_close(reader);
    }
    return 0;
}
