/*
 * Memory: a refresh allocates nothing, and a reader stays small. This program counts allocations by
 * standing in front of libc's; under sanitizers, which do the same, there is nothing to count.
 */
#include <keybroker.h>

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

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

#ifdef SANITIZED
enum { COUNTING = false };
static unsigned long allocations;
static size_t bytes_in_use;
#else
enum { COUNTING = true };
static _Atomic unsigned long allocations;
static _Atomic size_t bytes_in_use;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void __libc_free(void *memory);

static void *counted(void *memory) {
    allocations++;
    bytes_in_use += malloc_usable_size(memory);
    return memory;
}

void *malloc(size_t size) {
    return counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size) {
    return counted(__libc_calloc(count, size));
}

void *realloc(void *memory, size_t size) {
    bytes_in_use -= malloc_usable_size(memory);
    return counted(__libc_realloc(memory, size));
}

void free(void *memory) {
    bytes_in_use -= malloc_usable_size(memory);
    __libc_free(memory);
}
#endif

static void refresh_all_ways(uint32_t strategy) {
    struct fixture_pool fixture;
    fixture_pool_init(&fixture, 200, strategy, NULL);
    kb_reader *reader = fixture_pool_reader(&fixture);
    unsigned long before = allocations;
    for (uint32_t i = 0; i < 199; i++) {
        kb_attempt attempt = KB_ATTEMPT_INIT;
        fixture_pool_set(&fixture, i, KB_STATUS_COOLING, fixture_now_ms() + i % 3);
        cr_expect_not_null(kb_current(reader));
        fixture_pool_announce_hint(&fixture, &(struct board_hint){ 0, 0, 0 });
        cr_expect_not_null(kb_current(reader));
        cr_expect_not_null(kb_next(reader, &attempt));
        kb_report(reader, (kb_ticket){ 200 - i, fixture.generation }, KB_RATE, 1);
        kb_recovers_in_ms(reader);
    }
    unsigned long after = allocations;
    cr_assert_eq(after, before, "%lu allocations", after - before);
    kb_close(reader);
    fixture_pool_deinit(&fixture);
}

Test(memory, a_refresh_allocates_nothing) {
    refresh_all_ways(STRATEGY_PRIORITY);
    refresh_all_ways(STRATEGY_SPREAD);
}

Test(memory, a_reader_of_ten_thousand_keys_stays_within_256_kib) {
    struct fixture_pool fixture;
    fixture_pool_init(&fixture, 10000, STRATEGY_SPREAD, NULL);
    size_t before = bytes_in_use;
    kb_reader *reader = fixture_pool_reader(&fixture);
    for (int i = 0; i < 20000; i++)
        cr_expect_not_null(kb_current(reader));
    size_t after = bytes_in_use;
    cr_assert_leq(after - before, 256 * 1024, "%zu bytes", after - before);
    if (COUNTING)
        cr_assert_gt(after, before, "nothing was counted");
    kb_close(reader);
    cr_assert_eq(bytes_in_use, before, "not all was given back");
    fixture_pool_deinit(&fixture);
}
