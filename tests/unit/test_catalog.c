/*
 * The catalog's writer, seen through the library's reader: what was built is what workers get, what
 * was damaged is refused, and a failed build leaves nothing behind.
 */
#include "client/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <lmdb.h>

#include "broker/catalog_leaf.h"
#include "broker/vendor_rules.h"
#include "tests/support/fixture_pool.h"
#include "tests/support/seed.h"

static struct fixture_pool fixture;

static void teardown(void) {
    fixture_pool_deinit(&fixture);
}

TestSuite(catalog, .fini = teardown);

static struct catalog_source source_of(uint64_t version) {
    return (struct catalog_source){ .pool = fixture.pool,
                                    .keys = fixture.keys,
                                    .key_count = fixture.count,
                                    .slot_count = fixture.count,
                                    .version = version };
}

static int attach_and_open(struct attachment *attachment, struct catalog **catalog) {
    int error = kbi_attach_open(attachment, fixture.dir);
    cr_assert_eq(error, 0, "%s", kb_strerror(error));
    return kbi_catalog_open(catalog, attachment);
}

static void catalog_name(char *name, size_t size) {
    snprintf(name, size, KB_CATALOG_FILE_FORMAT, (unsigned long long)fixture.version);
}

static unsigned files_that_contain(const char *part) {
    unsigned count = 0;
    DIR *dir = opendir(fixture.dir);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += strstr(entry->d_name, part) != NULL;
    closedir(dir);
    return count;
}

Test(catalog, what_was_built_is_what_a_worker_gets) {
    fixture_pool_init(&fixture, 3, STRATEGY_PRIORITY, NULL);
    struct key_record *key = fixture.keys[1];
    key->weight = 17;
    key->expires_at_ms = INT64_C(4102444800000);
    record_set_string(&key->name, "zweiter Schlüssel");
    record_set_string(&key->account, "team-a");
    record_set_string(&key->config,
                      "{\"api_key\":\"sk-abc\",\"base_url\":\"https://example.test/v1\"}");
    fixture_pool_publish(&fixture);

    struct attachment attachment;
    struct catalog *catalog;
    cr_assert_eq(attach_and_open(&attachment, &catalog), 0);
    cr_assert_eq(catalog->count, 3);
    cr_assert_eq(catalog->version, fixture.version);
    cr_assert_eq(catalog->strategy, KB_CATALOG_PRIORITY);
    cr_assert_eq(catalog->entries[0].flags, KB_CATALOG_DEFAULT);
    cr_assert_eq(catalog->entries[0].account, 0);
    const struct kb_catalog_entry *entry = &catalog->entries[1];
    cr_assert_eq(entry->id, 2);
    cr_assert_eq(entry->slot, 1);
    cr_assert_eq(entry->weight, 17);
    cr_assert_eq(entry->flags, 0);
    cr_assert_eq(entry->expires_at_ms, INT64_C(4102444800000));
    cr_assert_eq(entry->account, kbi_account_hash("team-a"));
    cr_assert_neq(entry->endpoint, catalog->entries[0].endpoint);
    cr_assert_eq(catalog->entries[2].endpoint, catalog->entries[0].endpoint);

    kb_key got;
    cr_assert(kbi_catalog_fill(catalog, 2, &got));
    cr_assert_str_eq(got.name, "zweiter Schlüssel");
    cr_assert_str_eq(got.account, "team-a");
    cr_assert_str_eq(got.api_key, "sk-abc");
    cr_assert_str_eq(got.base_url, "https://example.test/v1");
    cr_assert_str_eq(got.auth_header, "Authorization: Bearer sk-abc");
    cr_assert_str_eq(got.config_json, key->config);
    cr_assert_str_eq(got.vendor, "openai");
    cr_assert_eq(strncmp(got.environment, "OPENAI_API_KEY=sk-abc", 21), 0);
    const char *second = got.environment + strlen(got.environment) + 1;
    cr_assert_str_eq(second, "OPENAI_BASE_URL=https://example.test/v1");
    cr_assert_eq(second[strlen(second) + 1], '\0');
    cr_assert_not(kbi_catalog_fill(catalog, 4, &got), "there is no key 4");
    cr_assert_not(kbi_catalog_fill(catalog, KB_CATALOG_ORDER, &got));
    kbi_catalog_unref(catalog);
    kbi_attach_close(&attachment);
}

/* What the pool's record in the published file says about rules. */
static char *published_rules(void) {
    char path[512], name[64];
    catalog_name(name, sizeof name);
    snprintf(path, sizeof path, "%s/%s", fixture.dir, name);
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    cr_assert_eq(mdb_env_create(&env), 0);
    cr_assert_eq(mdb_env_open(env, path, MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR, 0), 0);
    cr_assert_eq(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    cr_assert_eq(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi), 0);
    uint64_t id = KB_CATALOG_POOL;
    MDB_val key = { sizeof id, &id }, value;
    cr_assert_eq(mdb_get(txn, dbi, &key, &value), 0);
    const struct kb_catalog_pool *record = value.mv_data;
    cr_assert_lt(record->rules, record->size);
    char *rules = strdup((const char *)record + record->rules);
    cr_assert_eq(record->rules + strlen(rules) + 1, record->size);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return rules;
}

/* `own`, then the vendor's lines and nothing else. */
static void expect_rules(const char *own, const char *vendor) {
    char *rules = published_rules(), *at = rules;
    cr_assert_eq(strncmp(at, own, strlen(own)), 0, "%s", rules);
    at += strlen(own);
    const char *const *lines = vendor_rules(vendor_find(vendor));
    for (size_t i = 0; lines[i]; i++) {
        size_t length = strlen(lines[i]);
        cr_assert_eq(strncmp(at, lines[i], length), 0, "%s instead of %s", at, lines[i]);
        cr_assert_eq(at[length], lines[i + 1] ? '\n' : '\0');
        at += length + 1;
    }
    free(rules);
}

Test(catalog, it_carries_the_pools_own_rules_and_then_the_vendors) {
    fixture_pool_init(&fixture, 1, STRATEGY_PRIORITY, NULL);
    expect_rules("", "openai");
    record_set_string(&fixture.pool->rules, "429 any=mine quota\n5xx rate");
    fixture_pool_publish(&fixture);
    expect_rules("429 any=mine quota\n5xx rate\n", "openai");
    record_set_string(&fixture.pool->vendor, "a-newer-brokers");
    fixture_pool_publish(&fixture);
    expect_rules("429 any=mine quota\n5xx rate\n", "generic");
}

Test(catalog, it_has_room_for_the_longest_rules_there_can_be) {
    fixture_pool_init(&fixture, 1, STRATEGY_PRIORITY, NULL);
    char rules[32 * 256] = "";
    for (unsigned i = 0; i < 32; i++) {
        char line[256];
        snprintf(line, sizeof line, "4%02u message=%090d quota account %*s", i, 7, 120, "");
        strcat(strcat(rules, i ? "\n" : ""), line);
    }
    record_set_string(&fixture.pool->rules, rules);
    fixture_pool_publish(&fixture);
    char *published = published_rules();
    cr_assert_eq(strncmp(published, rules, strlen(rules)), 0);
    free(published);
}

Test(catalog, the_order_is_the_pools_whatever_the_ids) {
    fixture_pool_init(&fixture, 200, STRATEGY_PRIORITY, NULL);
    struct seed seed = seed_begin("the_order_is_the_pools_whatever_the_ids");
    for (uint32_t i = fixture.count - 1; i > 0; i--) {
        uint32_t other = (uint32_t)seed_below(&seed, i + 1);
        struct key_record *key = fixture.keys[i];
        fixture.keys[i] = fixture.keys[other];
        fixture.keys[other] = key;
    }
    fixture_pool_publish(&fixture);
    struct attachment attachment;
    struct catalog *catalog;
    cr_assert_eq(attach_and_open(&attachment, &catalog), 0);
    for (uint32_t i = 0; i < fixture.count; i++) {
        kb_key key;
        cr_assert_eq(catalog->entries[i].id, fixture.keys[i]->id);
        cr_assert(kbi_catalog_fill(catalog, fixture.keys[i]->id, &key));
        cr_assert_str_eq(key.name, fixture.keys[i]->name);
    }
    kbi_catalog_unref(catalog);
    kbi_attach_close(&attachment);
}

Test(catalog, records_of_any_length_stay_aligned_and_whole) {
    fixture_pool_init(&fixture, 64, STRATEGY_PRIORITY, NULL);
    for (uint32_t i = 0; i < fixture.count; i++) {
        int length = (int)(i * i * 15 + i);
        char *config = NULL;
        cr_assert_gt(asprintf(&config, "{\"api_key\":\"sk-%u\",\"x\":\"%0*d\"}", i, length, 1), 0);
        record_set_string(&fixture.keys[i]->config, config);
        free(config);
    }
    fixture_pool_publish(&fixture);
    struct attachment attachment;
    struct catalog *catalog;
    cr_assert_eq(attach_and_open(&attachment, &catalog), 0);
    for (uint32_t i = 0; i < fixture.count; i++) {
        kb_key key;
        const struct kb_catalog_key *record = kbi_catalog_record(catalog, i + 1);
        cr_assert_not_null(record, "record %u", i + 1);
        cr_assert_eq((uintptr_t)record % 8, 0);
        cr_assert(kbi_catalog_fill(catalog, i + 1, &key));
        cr_assert_str_eq(key.config_json, fixture.keys[i]->config);
    }
    kbi_catalog_unref(catalog);
    kbi_attach_close(&attachment);
}

Test(catalog, a_published_file_is_for_the_group_to_read_and_nobody_to_inherit) {
    fixture_pool_init(&fixture, 2, STRATEGY_PRIORITY, NULL);
    char name[64];
    struct stat info, dir;
    catalog_name(name, sizeof name);
    cr_assert_eq(fstatat(fixture.dir_fd, name, &info, AT_SYMLINK_NOFOLLOW), 0);
    cr_assert_eq(fstat(fixture.dir_fd, &dir), 0);
    cr_assert_eq(info.st_mode & 07777, 0640);
    cr_assert_eq(info.st_gid, dir.st_gid);
    cr_assert_eq((uint64_t)info.st_size, fixture.built.size);

    kb_reader *reader = fixture_pool_reader(&fixture);
    for (int fd = 3; fd < 256; fd++) {
        char path[64], target[512];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        if (strstr(target, "catalog.") || strstr(target, FIXTURE_POOL_NAME))
            cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC, "%s would be inherited", target);
    }
    kb_close(reader);
}

Test(catalog, a_build_that_fails_leaves_nothing_behind) {
    fixture_pool_init(&fixture, 500, STRATEGY_PRIORITY, NULL);
    struct catalog_source source = source_of(fixture.version + 1);
    struct catalog_built built = { .version = 42 };
    struct rlimit limit = { 40000, RLIM_INFINITY };
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int result = catalog_build(&source, fixture.dir_fd, &built);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_lt(result, 0);
    cr_assert_eq(built.version, 42);
    cr_assert_eq(files_that_contain(".new"), 0);
    cr_assert_eq(files_that_contain("catalog."), 1, "the published one stays");
    cr_assert_eq(catalog_build(&source, fixture.dir_fd, &built), 0, "and it works afterwards");
    catalog_discard(fixture.dir_fd, source.version);
    cr_assert_eq(files_that_contain(".new"), 0);
}

Test(catalog, a_left_over_or_a_link_at_the_name_aside_is_no_obstacle) {
    fixture_pool_init(&fixture, 2, STRATEGY_PRIORITY, NULL);
    struct catalog_source source = source_of(fixture.version + 1);
    struct catalog_built built;
    char name[64];
    snprintf(name, sizeof name, ".catalog.%016llx.new", (unsigned long long)source.version);
    cr_assert_eq(symlinkat("elsewhere", fixture.dir_fd, name), 0);
    cr_assert_eq(catalog_build(&source, fixture.dir_fd, &built), 0);
    cr_assert_eq(files_that_contain("elsewhere"), 0);
    cr_assert_eq(catalog_build(&source, fixture.dir_fd, &built), 0);
    cr_assert_eq(catalog_publish(fixture.dir_fd, source.version), 0);
}

Test(catalog, only_the_kept_version_survives_a_cleaning) {
    fixture_pool_init(&fixture, 2, STRATEGY_PRIORITY, NULL);
    uint64_t kept = fixture.version;
    fixture_pool_build(&fixture);
    fixture_pool_build(&fixture);
    struct catalog_source source = source_of(fixture.version + 1);
    struct catalog_built built;
    cr_assert_eq(catalog_build(&source, fixture.dir_fd, &built), 0);
    cr_assert_eq(files_that_contain("catalog."), 4);
    catalog_unlink_others(fixture.dir_fd, kept);
    cr_assert_eq(files_that_contain("catalog."), 1);
    fixture.version = kept;
    char name[64];
    catalog_name(name, sizeof name);
    cr_assert_eq(faccessat(fixture.dir_fd, name, F_OK, 0), 0);
    cr_assert_eq(files_that_contain("board."), 1);
}

static bool is_published(void) {
    struct catalog_source source = source_of(fixture.version);
    return catalog_is(&source, fixture.dir_fd, &fixture.built);
}

static void forget_leaf(uint32_t key) {
    fixture.keys[key]->leaf = catalog_leaf_free(fixture.keys[key]->leaf);
}

/* A broker that starts takes over what is there only if it is what the store says. */
Test(catalog, what_is_published_is_known_again_and_any_difference_is_seen) {
    fixture_pool_init(&fixture, 300, STRATEGY_PRIORITY, NULL);
    cr_assert(is_published());
    struct key_record *first = fixture.keys[0], *key = fixture.keys[7];
    fixture.keys[0] = key, fixture.keys[7] = first;
    cr_assert_not(is_published(), "another order");
    fixture.keys[0] = first, fixture.keys[7] = key;
    key->weight++;
    forget_leaf(7);
    cr_assert_not(is_published(), "another weight");
    key->weight--;
    key->config[strlen(key->config) - 3]++;
    forget_leaf(7);
    cr_assert_not(is_published(), "another secret");
    key->config[strlen(key->config) - 3]--;
    forget_leaf(7);
    fixture.pool->default_key_id = key->id;
    cr_assert_not(is_published(), "another default key");
    fixture.pool->default_key_id = first->id;
    fixture.pool->strategy = STRATEGY_SPREAD;
    cr_assert_not(is_published(), "another strategy");
    fixture.pool->strategy = STRATEGY_PRIORITY;
    fixture.count--;
    cr_assert_not(is_published(), "one key less");
    fixture.count++;
    cr_assert(is_published());
}

Test(catalog, a_published_file_that_is_damaged_or_open_to_others_is_not_known_again) {
    fixture_pool_init(&fixture, 300, STRATEGY_PRIORITY, NULL);
    char name[64], byte;
    catalog_name(name, sizeof name);
    int fd = openat(fixture.dir_fd, name, O_RDWR | O_CLOEXEC);
    off_t middle = (off_t)fixture.built.size / 2;
    cr_assert_eq(pread(fd, &byte, 1, middle), 1);
    byte ^= 1;
    cr_assert_eq(pwrite(fd, &byte, 1, middle), 1);
    cr_assert_not(is_published(), "a flipped bit");
    byte ^= 1;
    cr_assert_eq(pwrite(fd, &byte, 1, middle), 1);
    cr_assert(is_published());
    cr_assert_eq(fchmod(fd, 0644), 0);
    cr_assert_not(is_published(), "everybody could read it");
    cr_assert_eq(fchmod(fd, 0640), 0);
    cr_assert(is_published());
    cr_assert_eq(ftruncate(fd, middle), 0);
    cr_assert_not(is_published(), "its end is missing");
    close(fd);
    cr_assert_eq(unlinkat(fixture.dir_fd, name, 0), 0);
    cr_assert_not(is_published(), "it is gone");
}

Test(catalog, any_flipped_bit_is_refused) {
    fixture_pool_init(&fixture, 20, STRATEGY_PRIORITY, NULL);
    struct seed seed = seed_begin("any_flipped_bit_is_refused");
    char name[64];
    catalog_name(name, sizeof name);
    cr_assert_eq(fchmodat(fixture.dir_fd, name, 0600, 0), 0);
    int fd = openat(fixture.dir_fd, name, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    for (int i = 0; i < 400; i++) {
        struct attachment attachment;
        struct catalog *catalog = NULL;
        uint64_t bit = seed_below(&seed, fixture.built.size * 8);
        unsigned char byte, flipped;
        cr_assert_eq(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
        flipped = (unsigned char)(byte ^ (1u << bit % 8));
        cr_assert_eq(pwrite(fd, &flipped, 1, (off_t)(bit / 8)), 1);
        cr_assert_eq(attach_and_open(&attachment, &catalog), KB_ECORRUPT, "bit %lu", bit);
        cr_assert_null(catalog);
        kbi_attach_close(&attachment);
        cr_assert_eq(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
    }
    close(fd);
    kb_close(fixture_pool_reader(&fixture));
}

Test(catalog, any_truncation_is_refused) {
    fixture_pool_init(&fixture, 20, STRATEGY_PRIORITY, NULL);
    char name[64];
    catalog_name(name, sizeof name);
    cr_assert_eq(fchmodat(fixture.dir_fd, name, 0600, 0), 0);
    int fd = openat(fixture.dir_fd, name, O_RDWR | O_CLOEXEC);
    for (uint64_t size = fixture.built.size; size > 0;) {
        struct attachment attachment;
        struct catalog *catalog = NULL;
        size = size > 997 ? size - 997 : 0;
        cr_assert_eq(ftruncate(fd, (off_t)size), 0);
        cr_assert_eq(attach_and_open(&attachment, &catalog), KB_ECORRUPT, "size %lu", size);
        /* Even when the board agrees with the size, the checksum does not. */
        board_set_catalog(&fixture.board, fixture.version, size, fixture.built.checksum, 20);
        cr_assert_eq(kbi_catalog_open(&catalog, &attachment), KB_ECORRUPT, "size %lu", size);
        kbi_attach_close(&attachment);
    }
    close(fd);
}

Test(catalog, ten_thousand_keys_are_built_and_read_back) {
    fixture_pool_init(&fixture, 10000, STRATEGY_SPREAD, NULL);
    struct attachment attachment;
    struct catalog *catalog;
    cr_assert_eq(attach_and_open(&attachment, &catalog), 0);
    cr_assert_eq(catalog->count, 10000);
    for (uint64_t id = 1; id <= 10000; id++) {
        kb_key key;
        char expected[32];
        snprintf(expected, sizeof expected, "sk-test-%lu", id);
        cr_assert(kbi_catalog_fill(catalog, id, &key));
        cr_assert_str_eq(key.api_key, expected);
    }
    kbi_catalog_unref(catalog);
    kbi_attach_close(&attachment);
}

/* The file is allocated before it is written: too little is a build that fails. */
Test(catalog, what_is_allocated_has_room_for_records_of_any_length) {
    fixture_pool_init(&fixture, 3000, STRATEGY_PRIORITY, NULL);
    struct catalog_built built;
    for (int length = 1; length < 4096; length += length < 800 || length > 2400 ? 397 : 11) {
        char *config = NULL;
        cr_assert_gt(asprintf(&config, "{\"api_key\":\"sk\",\"x\":\"%0*d\"}", length, 1), 0);
        for (uint32_t i = 0; i < fixture.count; i++) /* long and short ones in turn, or all long */
            record_set_string(&fixture.keys[i]->config,
                              length % 2 && i % 3 ? "{\"api_key\":\"sk\"}" : config);
        free(config);
        struct catalog_source source = source_of(++fixture.version);
        cr_assert_eq(catalog_build(&source, fixture.dir_fd, &built), 0, "length %d", length);
        catalog_discard(fixture.dir_fd, fixture.version);
    }
}
