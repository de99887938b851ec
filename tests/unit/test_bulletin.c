/*
 * What watchers are told: one line for an event, however many watch; and no more memory than is
 * bounded, however many events there are.
 */
#include "broker/bulletin.h"

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

static struct bulletin bulletin;

static void setup(void) {
    bulletin_init(&bulletin, 100);
}

static void teardown(void) {
    bulletin_deinit(&bulletin);
}

TestSuite(bulletin, .init = setup, .fini = teardown);

static void happen(uint64_t seq, bool watched) {
    struct event event = { .seq = seq, .pool_id = 1 + seq % 2, .kind = EVENT_STATUS };
    snprintf(event.pool, sizeof event.pool, "pool");
    snprintf(event.key, sizeof event.key, "key%d", (int)seq);
    bulletin_add(&bulletin, &event, watched);
}

static void expect_from(uint64_t seq) {
    cr_assert(bulletin_covers(&bulletin, seq), "%d is covered", (int)seq);
    cr_assert_not(bulletin_covers(&bulletin, seq - 1), "%d is not", (int)seq - 1);
}

Test(bulletin, a_line_is_made_once_for_all_who_watch) {
    enum { WATCHERS = 128 };
    happen(101, true);
    for (unsigned i = 0; i < WATCHERS; i++) {
        struct notice *notice = bulletin_find(&bulletin, 101);
        cr_assert_not_null(notice);
        const struct line *line = bulletin_line(&bulletin, notice, true);
        cr_assert_not_null(strstr(line->text[true], "\"seq\":101"), "%s", line->text[true]);
        cr_assert_eq(line->length[true], strlen(line->text[true]));
        line = bulletin_line(&bulletin, notice, false);
        cr_assert_not_null(strstr(line->text[false], "key=key101"), "%s", line->text[false]);
    }
    cr_assert_eq(bulletin.made, 2, "one for each form");
}

Test(bulletin, nothing_is_kept_for_nobody) {
    for (uint64_t seq = 101; seq <= 110; seq++)
        happen(seq, false);
    cr_assert_eq(bulletin.count, 0);
    expect_from(111);
    happen(111, true);
    expect_from(111);
    happen(112, false);
    expect_from(113);
    cr_assert_null(bulletin_find(&bulletin, 113));
}

Test(bulletin, a_watcher_goes_on_where_it_was) {
    for (uint64_t seq = 101; seq <= 110; seq++)
        happen(seq, true);
    cr_assert(bulletin_read(&bulletin));
    cr_assert_not(bulletin_read(&bulletin), "it is no news any more");
    uint64_t next = 101;
    for (const struct notice *notice; (notice = bulletin_find(&bulletin, next)); next++)
        cr_assert_eq(notice->event.seq, next);
    cr_assert_eq(next, 111);
}

Test(bulletin, the_oldest_go_when_there_are_too_many) {
    for (uint64_t seq = 101; seq <= 100 + 3 * BULLETIN_NOTICES; seq++) {
        happen(seq, true);
        bulletin_read(&bulletin);
        bulletin_line(&bulletin, bulletin_find(&bulletin, seq), true);
        cr_assert_leq(bulletin.bytes, BULLETIN_BYTES + 2 * sizeof(struct notice) + 2000);
        cr_assert_leq(bulletin.count, BULLETIN_NOTICES);
    }
    cr_assert_gt(bulletin.count, 1000);
    uint64_t oldest = 101 + 3 * BULLETIN_NOTICES - bulletin.count;
    expect_from(oldest);
    cr_assert_eq(bulletin_find(&bulletin, 1)->event.seq, oldest);
}

Test(bulletin, more_than_fits_at_once_is_left_to_the_store) {
    for (uint64_t seq = 101; seq <= 100 + 10 * BULLETIN_NOTICES; seq++)
        happen(seq, true);
    cr_assert_eq(bulletin.count, 0);
    expect_from(101 + 10 * BULLETIN_NOTICES);
    cr_assert(bulletin_read(&bulletin), "watchers have to ask");
    happen(101 + 10 * BULLETIN_NOTICES, true);
    cr_assert_eq(bulletin.count, 1);
    expect_from(101 + 10 * BULLETIN_NOTICES);
}

Test(bulletin, a_heartbeat_names_the_newest_event) {
    bulletin_beat(&bulletin, 100, 1773576000000);
    cr_assert_str_eq(bulletin_beat_line(&bulletin, true)->text[true],
                     "{\"type\":\"heartbeat\",\"seq\":100,\"time\":\"2026-03-15T12:00:00Z\"}\n");
    bulletin_beat(&bulletin, 101, 1773576001000);
    cr_assert_not_null(strstr(bulletin_beat_line(&bulletin, false)->text[false], "seq=101"));
}
