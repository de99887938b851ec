/*
 * Every allocation of the library failing in turn, over all of its calls: no crash, no leak of
 * memory or descriptors, a plain answer, and a reader that goes on when memory is there again.
 * This program stands in front of libc's allocator; under sanitizers, which do the same, there is
 * nothing to fail.
 */
#include <keybroker.h>

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/fixture_pool.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static unsigned long fail_at; /* this allocation from now fails; 0 = none does */
static bool armed, failed;
static size_t bytes_in_use;

#ifdef SANITIZED
enum { FAILING = false };
#else
enum { FAILING = true };

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void __libc_free(void *memory);

static bool is_short(void) {
    if (!armed || fail_at == 0 || --fail_at != 0)
        return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

static void *counted(void *memory) {
    bytes_in_use += malloc_usable_size(memory);
    return memory;
}

void *malloc(size_t size) {
    return is_short() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size) {
    return is_short() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *memory, size_t size) {
    if (is_short())
        return NULL;
    bytes_in_use -= malloc_usable_size(memory);
    return counted(__libc_realloc(memory, size));
}

void free(void *memory) {
    bytes_in_use -= malloc_usable_size(memory);
    __libc_free(memory);
}
#endif

static unsigned open_descriptors(void) {
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += dup2(fd, fd) == fd;
    return count;
}

static int count_key(const kb_list_entry *entry, void *userdata) {
    (void)entry;
    ++*(unsigned *)userdata;
    return 0;
}

static const char BODY[] = "{\"error\":{\"message\":\"Rate limit reached\",\"type\":\"requests\","
                           "\"param\":null,\"code\":\"rate_limit_exceeded\"}}";

/* Every call once, on a reader that is open. */
static void call_everything(kb_reader *reader) {
    kb_http_response response = { .size = sizeof response,
                                  .status = 429,
                                  .headers = "HTTP/1.1 429\r\nretry-after: 1\r\n\r\n",
                                  .body = BODY,
                                  .body_len = sizeof BODY - 1 };
    kb_report_info info = { .size = sizeof info };
    kb_health_info health = { .size = sizeof health };
    kb_attempt attempt = KB_ATTEMPT_INIT;
    unsigned keys = 0;
    const kb_key *key = kb_current(reader);
    cr_assert_not_null(key, "it had a key before");
    kb_key *copy = kb_key_dup(key);
    if (copy)
        cr_assert_str_eq(copy->api_key, key->api_key);
    kb_key_free(copy);
    cr_assert_not_null(kb_next(reader, &attempt));
    cr_assert_eq(kb_list(reader, count_key, &keys), 0);
    cr_assert_eq(keys, 20);
    cr_assert_eq(kb_health(reader, &health), 0);
    kb_verdict verdict = kb_report_http(reader, kb_current(reader)->ticket, &response, &info);
    cr_assert(verdict == KB_NEXT_KEY || verdict == KB_RETRY_LATER, "a 429 was taken for %d",
              (int)verdict);
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    kb_recovers_in_ms(reader);
    kb_wait(reader, 0);
    cr_assert_not_null(kb_current(reader));
}

/* One life of a reader with the n-th allocation failing; false when it had fewer. */
static bool live_with(struct fixture_pool *fixture, unsigned long n) {
    kb_options options = KB_OPTIONS_INIT;
    kb_reader *reader = NULL;
    options.runtime_dir = fixture->runtime;
    fail_at = n;
    failed = false;
    armed = true;
    int error = kb_open(&reader, FIXTURE_POOL_NAME, &options);
    if (error) {
        armed = false;
        cr_assert(failed, "allocation %lu: %s without a reason", n, kb_strerror(error));
        cr_assert_null(reader);
        return true;
    }
    call_everything(reader);
    armed = false;
    fixture_pool_publish(fixture);
    armed = true;
    cr_assert_not_null(kb_current(reader), "allocation %lu: the old catalog is still good", n);
    call_everything(reader);
    armed = false;
    fixture_sleep_ms(20);
    cr_assert_not_null(kb_current(reader));
    cr_assert_eq(kb_current(reader)->ticket.generation, fixture->generation,
                 "allocation %lu: it goes on with the newest catalog", n);
    kb_close(reader);
    return failed;
}

static void fail_each(uint32_t strategy) {
    if (!FAILING)
        cr_skip_test("a sanitizer has the allocator");
    struct fixture_pool fixture;
    fixture_pool_init(&fixture, 20, strategy, NULL);
    live_with(&fixture, 0); /* what libraries keep for good is there now */
    fixture_pool_publish(&fixture);
    unsigned descriptors = open_descriptors();
    unsigned long n = 1;
    for (;; n++) {
        size_t before = bytes_in_use;
        bool more = live_with(&fixture, n);
        cr_assert_leq(bytes_in_use, before, "allocation %lu: %zu bytes are lost", n,
                      bytes_in_use - before);
        cr_assert_eq(open_descriptors(), descriptors, "allocation %lu: a descriptor is lost", n);
        if (!more)
            break;
    }
    cr_assert_gt(n, 30, "only %lu allocations: the scenario is too small", n);
    fixture_pool_deinit(&fixture);
}

Test(memory_short, every_allocation_of_a_reader_may_fail, .timeout = 60) {
    fail_each(STRATEGY_PRIORITY);
}

Test(memory_short, every_allocation_of_a_spreading_reader_may_fail, .timeout = 60) {
    fail_each(STRATEGY_SPREAD);
}
