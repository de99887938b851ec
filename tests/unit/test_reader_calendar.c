/*
 * A reader and a clock that is set under it, without a broker that could tell: expiries follow the
 * calendar within a second, and it costs next to nothing where nobody sets the clock. The clocks of
 * this program are moved, not the machine's.
 */
#include <keybroker.h>

#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/fixture_pool.h"

static const int64_t SECOND = 1000, HOUR = 3600 * SECOND;

static int64_t wall_offset_ms, mono_offset_ms;
static unsigned mono_reads, wall_reads;

/* In libc's place, for the library that this program is linked with. */
int clock_gettime(clockid_t id, struct timespec *ret_time) {
    bool is_wall = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE;
    int result = (int)syscall(SYS_clock_gettime, id, ret_time);
    if (result < 0)
        return result;
    *(is_wall ? &wall_reads : &mono_reads) += 1;
    int64_t ms = (int64_t)ret_time->tv_sec * 1000 + ret_time->tv_nsec / 1000000 + mono_offset_ms +
                 (is_wall ? wall_offset_ms : 0);
    ret_time->tv_nsec = (long)(ms % 1000) * 1000000 + ret_time->tv_nsec % 1000000;
    ret_time->tv_sec = ms / 1000;
    return 0;
}

/* Time passes, on all clocks. */
static void pass_ms(int64_t ms) {
    mono_offset_ms += ms;
}

static int64_t wall_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct fixture_pool fixture;
static kb_reader *reader;

static void teardown(void) {
    kb_close(reader);
    fixture_pool_deinit(&fixture);
}

TestSuite(calendar, .fini = teardown, .timeout = 60);

/* Three keys; the first one's life in milliseconds, 0 = it never ends. */
static void begin(uint32_t strategy, int64_t life_ms) {
    fixture_pool_init(&fixture, 3, strategy, NULL);
    fixture.keys[0]->expires_at_ms = life_ms ? wall_ms() + life_ms : 0;
    fixture_pool_publish(&fixture);
    reader = fixture_pool_reader(&fixture);
}

static bool hands_out(uint64_t id) {
    for (unsigned i = 0; i < 200; i++) /* by chance, where the pool is spread */
        if (kb_current(reader)->id == id)
            return true;
    return false;
}

static void expect_steps_to_be_followed(uint32_t strategy) {
    const int64_t steps[] = { HOUR + 1, 24 * HOUR, 3652 * 24 * HOUR };
    begin(strategy, HOUR);
    cr_assert(hands_out(1));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        for (unsigned second = 0; second < 3; second++) { /* looked at, found as it was */
            pass_ms(SECOND);
            cr_assert(hands_out(1));
        }
        wall_offset_ms = steps[i];
        pass_ms(SECOND);
        cr_assert_not(hands_out(1), "step %zu forward", i);
        wall_offset_ms = 0;
        pass_ms(SECOND);
        cr_assert(hands_out(1), "step %zu back", i);
    }
}

Test(calendar, a_step_of_the_clock_is_followed_within_a_second) {
    expect_steps_to_be_followed(STRATEGY_PRIORITY);
}

Test(calendar, a_step_of_the_clock_is_followed_within_a_second_by_who_spreads) {
    expect_steps_to_be_followed(STRATEGY_SPREAD);
}

Test(calendar, a_key_that_is_passed_over_follows_the_clock_too) {
    begin(STRATEGY_PRIORITY, HOUR);
    for (uint32_t i = 1; i < 3; i++)
        fixture_pool_set(&fixture, i, KB_STATUS_DISABLED, 0);
    wall_offset_ms = 2 * HOUR;
    pass_ms(SECOND);
    cr_assert_null(kb_current(reader));
    cr_assert_eq(kb_last_error(reader), KB_EEXHAUSTED);
    wall_offset_ms = 0;
    pass_ms(SECOND);
    cr_assert_eq(kb_current(reader)->id, 1);
}

/* Each too small to be noticed alone. */
Test(calendar, many_small_steps_add_up) {
    begin(STRATEGY_PRIORITY, 10 * SECOND);
    for (unsigned i = 0; i < 200; i++) {
        wall_offset_ms += 50;
        pass_ms(10);
        kb_current(reader);
    }
    pass_ms(SECOND);
    cr_assert_eq(kb_current(reader)->id, 2);
}

Test(calendar, a_sleeper_notices_too) {
    begin(STRATEGY_PRIORITY, HOUR);
    cr_assert_eq(kb_current(reader)->id, 1);
    wall_offset_ms = 2 * HOUR;
    uint64_t from_ms = fixture_now_ms();
    cr_assert_eq(kb_wait(reader, 5000), 1);
    cr_assert_leq(fixture_now_ms() - from_ms, 1000, "after %u ms",
                  (unsigned)(fixture_now_ms() - from_ms));
    cr_assert_eq(kb_current(reader)->id, 2);
}

/* A word that changes without a new generation shows to those who choose anew, and to nobody else.
 */
Test(calendar, a_clock_that_nobody_sets_makes_nobody_choose_anew) {
    begin(STRATEGY_PRIORITY, HOUR);
    cr_assert_eq(kb_current(reader)->id, 1);
    fixture_pool_set_silently(&fixture, 0, KB_STATUS_DISABLED, 0);
    wall_reads = 0;
    for (unsigned second = 0; second < 3000; second++) {
        pass_ms(SECOND);
        for (unsigned i = 0; i < 10; i++)
            cr_assert_eq(kb_current(reader)->id, 1, "second %u", second);
    }
    cr_assert_leq(wall_reads, 3000, "the calendar is looked at once a second, not %u times in 3000",
                  wall_reads);
    wall_offset_ms = SECOND;
    pass_ms(SECOND);
    cr_assert_eq(kb_current(reader)->id, 2);
}

Test(calendar, keys_without_an_expiry_need_no_clock) {
    begin(STRATEGY_PRIORITY, 0);
    cr_assert_eq(kb_current(reader)->id, 1);
    mono_reads = wall_reads = 0;
    for (unsigned second = 0; second < 100; second++) {
        pass_ms(SECOND);
        wall_offset_ms += HOUR;
        cr_assert_eq(kb_current(reader)->id, 1);
    }
    cr_assert_eq(mono_reads + wall_reads, 0);
}

/* What ends by itself still ends on time, whatever is looked at in between. */
Test(calendar, a_cooling_keys_return_and_an_expiry_both_come_on_time) {
    begin(STRATEGY_PRIORITY, 7 * SECOND);
    fixture_pool_set(&fixture, 1, KB_STATUS_COOLING, fixture_now_ms() + 9500);
    for (int64_t passed_ms = 0; passed_ms < 12000; passed_ms += 100) {
        uint64_t id = kb_current(reader)->id;
        if (passed_ms < 6900)
            cr_assert_eq(id, 1, "after %d ms", (int)passed_ms);
        if (passed_ms > 7000 && passed_ms < 9400)
            cr_assert_eq(id, 3, "after %d ms", (int)passed_ms);
        if (passed_ms > 9500)
            cr_assert_eq(id, 2, "after %d ms", (int)passed_ms);
        pass_ms(100);
    }
}
