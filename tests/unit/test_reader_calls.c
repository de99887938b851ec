/*
 * A reader while every call into the kernel fails in turn, over all of the library's calls: an
 * error that is one of the library's, a key all the time once it is open, no descriptor lost, and
 * the newest catalog when calls work again.
 */
#include "tests/support/failing_calls.h"

#include <keybroker.h>

#include "tests/support/fixture_pool.h"

enum { KEYS = 20 };

static struct fixture_pool fixture;
static kb_reader *reader;

static void init(uint32_t strategy) {
    fixture_pool_init(&fixture, KEYS, strategy, NULL);
    calls_memory_too = true;
}

static void teardown(void) {
    fixture_pool_deinit(&fixture);
}

TestSuite(reader_calls, .fini = teardown);

static int open_reader(void) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = fixture.runtime;
    reader = NULL;
    return kb_open(&reader, FIXTURE_POOL_NAME, &options);
}

static int count_key(const kb_list_entry *entry, void *userdata) {
    (void)entry;
    ++*(unsigned *)userdata;
    return 0;
}

static void expect_open_later(int error, const char *when) {
    if (error != 0) {
        cr_assert_null(reader, "%s", when);
        cr_assert_str_neq(kb_strerror(error), kb_strerror(-9999), "%s: unknown error %d", when,
                          error);
        cr_assert_eq(open_reader(), 0, "%s: and then it opens", when);
    }
    cr_assert_not_null(kb_current(reader), "%s", when);
    kb_close(reader);
}

static void sweep_opening(int error) {
    calls_sweep(&(struct calls_sweep){
        .work = open_reader, .check = expect_open_later, .least = 10, .error = error });
}

Test(reader_calls, opening_fails_with_a_reason_or_not_at_all, .timeout = 60) {
    init(STRATEGY_PRIORITY);
    sweep_opening(EMFILE);
    sweep_opening(EIO);
    sweep_opening(ENOMEM);
}

Test(reader_calls, a_spreading_pool_opens_as_well, .timeout = 60) {
    init(STRATEGY_SPREAD);
    sweep_opening(EMFILE);
    sweep_opening(ENOMEM);
}

/* ---- a reader that is open ---- */

static void open_and_publish(void) {
    cr_assert_eq(open_reader(), 0);
    fixture_pool_publish(&fixture);
}

static int use(void) {
    kb_attempt attempt = KB_ATTEMPT_INIT;
    kb_health_info health = KB_HEALTH_INFO_INIT;
    unsigned keys = 0;
    const kb_key *key = kb_current(reader);
    bool kept = key != NULL;
    kb_ticket ticket = kept ? key->ticket : (kb_ticket){ 0 };
    kept = kept && kb_next(reader, &attempt) && kb_list(reader, count_key, &keys) == 0 &&
           keys == KEYS && kb_health(reader, &health) == 0;
    kb_verdict verdict = kb_report(reader, ticket, KB_QUOTA, KB_NO_HINT);
    kb_wait(reader, 0);
    kept = kept && verdict == KB_NEXT_KEY && kb_current(reader);
    calls_work();
    cr_assert(kept, "call %s: it lost what it had", calls_failed ? calls_failed : "none");
    return 0;
}

static void expect_the_newest(int result, const char *when) {
    (void)result;
    fixture_sleep_ms(20);
    cr_assert_not_null(kb_current(reader), "%s", when);
    cr_assert_eq(kb_current(reader)->ticket.generation, fixture.generation,
                 "%s: it goes on with the newest catalog", when);
    kb_close(reader);
}

static void sweep_using(int error) {
    calls_sweep(&(struct calls_sweep){ .prepare = open_and_publish,
                                       .work = use,
                                       .check = expect_the_newest,
                                       .least = 8,
                                       .error = error });
}

static void use_with_and_without_a_broker(uint32_t strategy) {
    init(strategy);
    sweep_using(EMFILE);
    int fd = fixture_pool_listen(&fixture);
    sweep_using(EIO);
    sweep_using(ENOBUFS);
    close(fd);
}

Test(reader_calls, a_reader_that_is_open_never_loses_its_key, .timeout = 60) {
    use_with_and_without_a_broker(STRATEGY_PRIORITY);
}

Test(reader_calls, nor_does_one_that_spreads, .timeout = 60) {
    use_with_and_without_a_broker(STRATEGY_SPREAD);
}
