/*
 * A catalog whose checksum is right and whose records are not: a broker that is newer, broken or
 * taken over. The reader says so; it never follows an offset out of a record.
 */
#include <keybroker.h>

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <lmdb.h>

#include <keybroker_shared/catalog.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tests/support/fixture_pool.h"

enum { KEYS = 3, FILE_MAX = 1 << 20, RECORD_MAX = 4096 };

static struct fixture_pool fixture;

static void teardown(void) {
    fixture_pool_deinit(&fixture);
}

TestSuite(catalog_lies, .fini = teardown);

/* One field of one record. Those of strings are offsets. */
struct lie {
    const char *name;
    size_t at, size;
    uint64_t value;
    int error;
};

static void init(uint32_t strategy) {
    fixture_pool_init(&fixture, KEYS, strategy, NULL);
    record_set_string(&fixture.pool->rules, "429 code=quota quota");
    fixture_pool_publish(&fixture);
}

static void put_lie(const char *path, uint64_t id, const struct lie *lie) {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val key = { sizeof id, &id }, value;
    char record[RECORD_MAX];
    cr_assert_eq(mdb_env_create(&env), 0);
    cr_assert_eq(mdb_env_set_mapsize(env, FILE_MAX), 0);
    cr_assert_eq(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600), 0);
    cr_assert_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
    cr_assert_eq(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi), 0);
    cr_assert_eq(mdb_get(txn, dbi, &key, &value), 0);
    cr_assert_leq(value.mv_size, RECORD_MAX);
    memcpy(record, value.mv_data, value.mv_size);
    memcpy(record + lie->at, &lie->value, lie->size);
    value.mv_data = record;
    cr_assert_eq(mdb_put(txn, dbi, &key, &value, 0), 0);
    cr_assert_eq(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

/* A new catalog, whole but for the lie, announced with its true checksum. */
static void publish_with(uint64_t id, const struct lie *lie) {
    static unsigned char bytes[FILE_MAX];
    char path[512];
    uint64_t old = fixture.version;
    fixture_pool_build(&fixture);
    snprintf(path, sizeof path, "%s/" KB_CATALOG_FILE_FORMAT, fixture.dir,
             (unsigned long long)fixture.version);
    struct lie at_version = *lie;
    if (lie->value == UINT64_MAX - 7) /* one more than the truth */
        at_version.value = fixture.version + 1;
    put_lie(path, id, &at_version);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, bytes, sizeof bytes);
    cr_assert_gt(size, 0);
    close(fd);
    board_set_catalog(&fixture.board, fixture.version, (uint64_t)size,
                      XXH3_64bits(bytes, (size_t)size), KEYS);
    fixture_pool_announce(&fixture);
    catalog_unlink(fixture.dir_fd, old);
}

static int open_it(kb_reader **ret_reader) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = fixture.runtime;
    *ret_reader = NULL;
    return kb_open(ret_reader, FIXTURE_POOL_NAME, &options);
}

/* ---- the pool's record and the order ---- */

#define FIELD(type, field) offsetof(struct type, field), sizeof((struct type){ 0 }.field)
#define VERSION_AND_ONE (UINT64_MAX - 7)

static const struct lie POOL_LIES[] = {
    { "no strings", FIELD(kb_catalog_pool, size), sizeof(struct kb_catalog_pool), KB_ECORRUPT },
    { "longer than it is", FIELD(kb_catalog_pool, size), 1 << 20, KB_ECORRUPT },
    { "an end in a string", FIELD(kb_catalog_pool, size), sizeof(struct kb_catalog_pool) + 2,
      KB_ECORRUPT },
    { "another format", FIELD(kb_catalog_pool, format), KB_CATALOG_FORMAT + 1, KB_EVERSION },
    { "another version", FIELD(kb_catalog_pool, version), VERSION_AND_ONE, KB_ECORRUPT },
    { "more keys than slots", FIELD(kb_catalog_pool, key_count), UINT32_MAX, KB_ECORRUPT },
    { "fewer keys than in the order", FIELD(kb_catalog_pool, key_count), 1, KB_ECORRUPT },
    { "a vendor in the head", FIELD(kb_catalog_pool, vendor), 8, KB_ECORRUPT },
    { "a vendor behind the end", FIELD(kb_catalog_pool, vendor), UINT32_MAX, KB_ECORRUPT },
    { "rules in the head", FIELD(kb_catalog_pool, rules), 1, KB_ECORRUPT },
};

static const struct lie ORDER_LIES[] = {
    { "a key without an id", FIELD(kb_catalog_entry, id), 0, KB_ECORRUPT },
    { "a key with an id too large", FIELD(kb_catalog_entry, id), KB_CATALOG_POOL, KB_ECORRUPT },
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void expect_refused(uint64_t id, const struct lie *lies, size_t count) {
    init(STRATEGY_PRIORITY);
    for (size_t i = 0; i < count; i++) {
        kb_reader *attached, *fresh;
        cr_assert_eq(open_it(&attached), 0, "a sound one before: %s", lies[i].name);
        const char *secret = kb_current(attached)->api_key;
        publish_with(id, &lies[i]);
        cr_expect_eq(open_it(&fresh), lies[i].error, "%s", lies[i].name);
        cr_expect_null(fresh);
        cr_expect_str_eq(kb_current(attached)->api_key, secret, "%s: the old one is still good",
                         lies[i].name);
        kb_close(attached);
        fixture_pool_publish(&fixture);
    }
}

Test(catalog_lies, a_pools_record_that_lies_is_refused) {
    expect_refused(KB_CATALOG_POOL, POOL_LIES, COUNT(POOL_LIES));
}

Test(catalog_lies, an_order_that_lies_is_refused) {
    expect_refused(KB_CATALOG_ORDER, ORDER_LIES, COUNT(ORDER_LIES));
}

/* ---- a key's record ---- */

static const struct lie KEY_LIES[] = {
    { "no strings", FIELD(kb_catalog_key, size), sizeof(struct kb_catalog_key), 0 },
    { "longer than it is", FIELD(kb_catalog_key, size), 1 << 20, 0 },
    { "an end in a string", FIELD(kb_catalog_key, size), sizeof(struct kb_catalog_key) + 2, 0 },
    { "another key", FIELD(kb_catalog_key, id), 2, 0 },
    { "a name in the head", FIELD(kb_catalog_key, name), 8, 0 },
    { "an account in the head", FIELD(kb_catalog_key, account), 8, 0 },
    { "a secret behind the end", FIELD(kb_catalog_key, api_key), 4000, 0 },
    { "a URL behind the end", FIELD(kb_catalog_key, base_url), UINT32_MAX, 0 },
    { "a header in the head", FIELD(kb_catalog_key, auth_header), 0, 0 },
    { "a config behind the end", FIELD(kb_catalog_key, config_json), 4000, 0 },
    { "variables in the head", FIELD(kb_catalog_key, environment), 60, 0 },
};

static int ignore(const kb_list_entry *entry, void *userdata) {
    (void)entry, (void)userdata;
    return 0;
}

static void expect_no_key(uint32_t strategy) {
    init(strategy);
    for (size_t i = 0; i < COUNT(KEY_LIES); i++) {
        kb_reader *reader;
        kb_attempt attempt = KB_ATTEMPT_INIT;
        fixture_pool_set_silently(&fixture, 1, KB_STATUS_DISABLED, 0);
        fixture_pool_set_silently(&fixture, 2, KB_STATUS_DISABLED, 0);
        publish_with(1, &KEY_LIES[i]);
        cr_assert_eq(open_it(&reader), 0, "%s", KEY_LIES[i].name);
        cr_expect_null(kb_current(reader), "%s", KEY_LIES[i].name);
        cr_expect_eq(kb_last_error(reader), KB_ECORRUPT, "%s: %s", KEY_LIES[i].name,
                     kb_strerror(kb_last_error(reader)));
        cr_expect_null(kb_next(reader, &attempt), "%s", KEY_LIES[i].name);
        cr_expect_eq(kb_last_error(reader), KB_ECORRUPT, "%s: %s", KEY_LIES[i].name,
                     kb_strerror(kb_last_error(reader)));
        cr_expect_eq(kb_list(reader, ignore, NULL), KB_ECORRUPT, "%s", KEY_LIES[i].name);
        kb_close(reader);
        fixture_pool_publish(&fixture);
    }
}

Test(catalog_lies, a_key_whose_record_lies_is_not_handed_out) {
    expect_no_key(STRATEGY_PRIORITY);
}

Test(catalog_lies, nor_is_it_by_a_pool_that_spreads) {
    expect_no_key(STRATEGY_SPREAD);
}
