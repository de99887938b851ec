/*
 * Recovery policies: which texts are policies, and when a key comes back: across month ends, leap
 * years and offsets that cross midnight.
 */
#include "recovery.h"

#include <string.h>

#include <criterion/criterion.h>

#include "../support/seed.h"
#include "timetext.h"

#define DAY_MS INT64_C(86400000)

static int64_t moment(const char *text) {
    int64_t wall_ms = -1;
    char midnight[32];
    snprintf(midnight, sizeof midnight, "%sT00:00:00Z", text);
    cr_assert(timetext_parse(strchr(text, 'T') ? text : midnight, 0, &wall_ms),
              "the test's own time '%s' is none", text);
    return wall_ms;
}

static struct recovery policy(const char *text) {
    struct recovery recovery;
    cr_assert(recovery_parse(text, &recovery), "'%s' was refused", text);
    return recovery;
}

Test(recovery, texts_become_policies) {
    const struct {
        const char *text;
        struct recovery expected;
    } cases[] = {
        { "never", { .kind = RECOVERY_NEVER } },
        { "30s", { .kind = RECOVERY_AFTER, .after_ms = 30000 } },
        { "15m", { .kind = RECOVERY_AFTER, .after_ms = 900000 } },
        { "6h", { .kind = RECOVERY_AFTER, .after_ms = 21600000 } },
        { "2d", { .kind = RECOVERY_AFTER, .after_ms = 2 * DAY_MS } },
        { "366d", { .kind = RECOVERY_AFTER, .after_ms = 366 * DAY_MS } },
        { "daily@00:00", { .kind = RECOVERY_DAILY, .minute_utc = 0 } },
        { "daily@23:59", { .kind = RECOVERY_DAILY, .minute_utc = 1439 } },
        { "daily@00:00+08:00", { .kind = RECOVERY_DAILY, .minute_utc = 16 * 60 } },
        { "daily@00:00-08:00", { .kind = RECOVERY_DAILY, .minute_utc = 8 * 60 } },
        { "daily@20:30-05:30", { .kind = RECOVERY_DAILY, .minute_utc = 2 * 60 } },
        { "daily@12:00+00:00", { .kind = RECOVERY_DAILY, .minute_utc = 720 } },
        { "monthly@1", { .kind = RECOVERY_MONTHLY, .day = 1 } },
        { "monthly@09", { .kind = RECOVERY_MONTHLY, .day = 9 } },
        { "monthly@31", { .kind = RECOVERY_MONTHLY, .day = 31 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct recovery got = policy(cases[i].text);
        const struct recovery *expected = &cases[i].expected;
        cr_assert(got.kind == expected->kind && got.after_ms == expected->after_ms &&
                      got.minute_utc == expected->minute_utc && got.day == expected->day,
                  "'%s' became kind %d, %" PRId64 " ms, minute %d, day %d", cases[i].text,
                  (int)got.kind, got.after_ms, got.minute_utc, got.day);
    }
}

Test(recovery, other_texts_are_refused_and_the_output_stays) {
    const char *const cases[] = {
        "",
        "Never",
        "never ",
        "0s",
        "367d",
        "30",
        "+30s",
        "30s ",
        "daily",
        "daily@",
        "daily@24:00",
        "daily@12:60",
        "daily@9:00",
        "daily@09:00 ",
        "daily@09:00Z",
        "daily@09:00+1:00",
        "daily@09:00+24:00",
        "daily@09:00+01:00x",
        "Daily@09:00",
        "monthly",
        "monthly@",
        "monthly@0",
        "monthly@00",
        "monthly@32",
        "monthly@001",
        "monthly@-1",
        "monthly@+1",
        "monthly@1 ",
        "weekly@1",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct recovery recovery = { RECOVERY_DAILY, 4711, 815, 29 };
        cr_assert(!recovery_parse(cases[i], &recovery), "'%s' was taken", cases[i]);
        bool untouched = recovery.kind == RECOVERY_DAILY && recovery.after_ms == 4711 &&
                         recovery.minute_utc == 815 && recovery.day == 29;
        cr_assert(untouched, "'%s' touched the output", cases[i]);
    }
}

Test(recovery, the_calendar_says_when_a_key_comes_back) {
    const struct {
        const char *policy;
        const char *now;
        const char *at;
    } cases[] = {
        { "daily@09:30", "2026-11-23T08:00:00Z", "2026-11-23T09:30:00Z" },
        { "daily@09:30", "2026-11-23T09:29:59.999Z", "2026-11-23T09:30:00Z" },
        { "daily@09:30", "2026-11-23T09:30:00Z", "2026-11-24T09:30:00Z" },
        { "daily@00:00", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z" },
        { "daily@00:00", "2028-02-28T12:00:00Z", "2028-02-29T00:00:00Z" },
        /* Midnight in Shanghai is 16:00 UTC of the day before, in Los Angeles 08:00 of the day. */
        { "daily@00:00+08:00", "2026-11-23T15:59:00Z", "2026-11-23T16:00:00Z" },
        { "daily@00:00+08:00", "2026-11-23T16:00:00Z", "2026-11-24T16:00:00Z" },
        { "daily@00:00-08:00", "2026-11-30T08:00:00Z", "2026-12-01T08:00:00Z" },
        { "daily@23:30-05:30", "2026-11-23T04:00:00Z", "2026-11-23T05:00:00Z" },
        { "monthly@1", "2026-11-23T16:17:32Z", "2026-12-01" },
        { "monthly@1", "2026-12-01", "2027-01-01" },
        { "monthly@1", "2026-11-30T23:59:59.999Z", "2026-12-01" },
        { "monthly@23", "2026-11-23T00:00:00.001Z", "2026-12-23" },
        { "monthly@24", "2026-11-23T16:17:32Z", "2026-11-24" },
        { "monthly@31", "2026-11-23T16:17:32Z", "2026-11-30" },
        { "monthly@31", "2026-11-30", "2026-12-31" },
        { "monthly@31", "2026-12-31", "2027-01-31" },
        { "monthly@31", "2027-01-31", "2027-02-28" },
        { "monthly@31", "2028-01-31T12:00:00Z", "2028-02-29" },
        { "monthly@30", "2027-02-28", "2027-03-30" },
        { "monthly@29", "2028-02-28T23:00:00Z", "2028-02-29" },
        { "monthly@29", "2100-02-01", "2100-02-28" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct recovery recovery = policy(cases[i].policy);
        int64_t now_ms = moment(cases[i].now);
        int64_t at_ms = recovery_at_ms(&recovery, now_ms - 5000, now_ms);
        char text[TIMETEXT_SIZE];
        cr_assert_eq(at_ms, moment(cases[i].at), "%s at %s gave %s, expected %s", cases[i].policy,
                     cases[i].now, timetext_format(at_ms, text), cases[i].at);
    }
}

Test(recovery, a_duration_counts_from_the_change_of_status_even_into_the_past) {
    struct recovery recovery = policy("15m");
    cr_assert_eq(recovery_at_ms(&recovery, 1000000, 1000000), 1900000);
    cr_assert_eq(recovery_at_ms(&recovery, 1000000, 999999999), 1900000);
    cr_assert_eq(recovery_at_ms(&recovery, INT64_MAX - 5, 0), INT64_MAX);
}

Test(recovery, never_is_never) {
    struct recovery recovery = policy("never");
    cr_assert_eq(recovery_at_ms(&recovery, 1, 2), 0);
}

Test(recovery, a_daily_recovery_is_strictly_in_the_future_and_within_a_day) {
    struct seed seed = seed_begin("recovery, a_daily_recovery");
    for (int i = 0; i < 20000; i++) {
        struct recovery recovery = { .kind = RECOVERY_DAILY,
                                     .minute_utc = (int)seed_below(&seed, 1440) };
        int64_t now_ms = (int64_t)seed_below(&seed, UINT64_C(250000000000000));
        if (seed_below(&seed, 4) == 0)
            now_ms -= now_ms % 60000;
        int64_t at_ms = recovery_at_ms(&recovery, 0, now_ms);
        cr_assert(at_ms > now_ms && at_ms <= now_ms + DAY_MS, "now %" PRId64, now_ms);
        cr_assert_eq(at_ms % DAY_MS, recovery.minute_utc * INT64_C(60000));
    }
}

/* Walks the days one by one, the slow and obvious way. */
static int64_t monthly_by_walking(int wanted, int64_t now_ms) {
    for (int64_t day = now_ms / DAY_MS;; day++) {
        int64_t year;
        int month;
        int date;
        int64_t year_after;
        int month_after;
        int date_after;
        timetext_date(day, &year, &month, &date);
        timetext_date(day + 1, &year_after, &month_after, &date_after);
        bool last = month_after != month;
        if (day * DAY_MS > now_ms && (date == wanted || (last && date < wanted)))
            return day * DAY_MS;
    }
}

Test(recovery, a_monthly_recovery_is_the_next_such_day_or_the_month_s_last) {
    struct seed seed = seed_begin("recovery, a_monthly_recovery");
    for (int i = 0; i < 20000; i++) {
        struct recovery recovery = { .kind = RECOVERY_MONTHLY,
                                     .day = 1 + (int)seed_below(&seed, 31) };
        int64_t now_ms = (int64_t)seed_below(&seed, UINT64_C(250000000000000));
        if (seed_below(&seed, 4) == 0)
            now_ms -= now_ms % DAY_MS;
        int64_t at_ms = recovery_at_ms(&recovery, 0, now_ms);
        cr_assert(at_ms > now_ms);
        cr_assert_eq(at_ms, monthly_by_walking(recovery.day, now_ms),
                     "monthly@%d at %" PRId64 " gave %" PRId64, recovery.day, now_ms, at_ms);
    }
}
