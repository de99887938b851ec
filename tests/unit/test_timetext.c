/*
 * Times as text: what is read, what is refused, and that what was written is read back. The C
 * library's calendar is the independent witness.
 */
#include "timetext.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <criterion/criterion.h>

#include "../support/seed.h"

#define DAY_MS INT64_C(86400000)
#define NOW INT64_C(1795450652000) /* 2026-11-23T16:17:32Z */
#define LAST INT64_C(253402300799999)

/* The same moment by timegm. */
static int64_t moment(int year, int month, int day, int hour, int minute, int second) {
    struct tm tm = {
        .tm_year = year - 1900,
        .tm_mon = month - 1,
        .tm_mday = day,
        .tm_hour = hour,
        .tm_min = minute,
        .tm_sec = second,
    };
    return (int64_t)timegm(&tm) * 1000;
}

Test(timetext, reads_dates_and_times_as_people_write_them) {
    const struct {
        const char *text;
        int64_t wall_ms;
    } cases[] = {
        { "never", 0 },
        { "2026-11-23", moment(2026, 11, 23, 23, 59, 59) },
        { "2026-11-23 16:17", moment(2026, 11, 23, 16, 17, 0) },
        { "2026-11-23T16:17", moment(2026, 11, 23, 16, 17, 0) },
        { "2026-11-23 16:17:32", moment(2026, 11, 23, 16, 17, 32) },
        { "2026-11-23 16:17Z", moment(2026, 11, 23, 16, 17, 0) },
        { "2026-11-23 16:17:32+05:30", moment(2026, 11, 23, 10, 47, 32) },
        { "2026-11-23T16:17:32Z", moment(2026, 11, 23, 16, 17, 32) },
        { "2026-11-23t16:17:32z", moment(2026, 11, 23, 16, 17, 32) },
        { "2026-11-23T16:17:32+00:00", moment(2026, 11, 23, 16, 17, 32) },
        { "2026-11-23T16:17:32-00:00", moment(2026, 11, 23, 16, 17, 32) },
        { "2026-11-23T16:17:32+05:30", moment(2026, 11, 23, 10, 47, 32) },
        { "2026-11-23T16:17:32-09:45", moment(2026, 11, 24, 2, 2, 32) },
        { "2027-01-01T00:30:00+01:00", moment(2026, 12, 31, 23, 30, 0) },
        { "2026-11-23T16:17:32.1Z", moment(2026, 11, 23, 16, 17, 32) + 100 },
        { "2026-11-23T16:17:32.045Z", moment(2026, 11, 23, 16, 17, 32) + 45 },
        { "2026-11-23T16:17:32.123999999Z", moment(2026, 11, 23, 16, 17, 32) + 123 },
        { "2024-02-29", moment(2024, 2, 29, 23, 59, 59) },
        { "2000-02-29", moment(2000, 2, 29, 23, 59, 59) },
        { "1970-01-01", DAY_MS - 1000 },
        { "9999-12-31T23:59:59.999Z", LAST },
        { "+90s", NOW + 90000 },
        { "+15m", NOW + 15 * 60000 },
        { "+6h", NOW + 6 * 3600000 },
        { "+30d", NOW + 30 * DAY_MS },
        { "+3650d", NOW + 3650 * DAY_MS },
        { "+2w", NOW + 14 * DAY_MS },
        { "+0s", NOW },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t wall_ms = -1;
        cr_assert(timetext_parse(cases[i].text, NOW, &wall_ms), "'%s' was refused", cases[i].text);
        cr_assert_eq(wall_ms, cases[i].wall_ms, "'%s' became %" PRId64 ", expected %" PRId64,
                     cases[i].text, wall_ms, cases[i].wall_ms);
    }
}

static int64_t parsed(const char *text, int64_t now_ms) {
    int64_t wall_ms = -1;
    cr_assert(timetext_parse(text, now_ms, &wall_ms), "'%s' was refused", text);
    return wall_ms;
}

static void live_in(const char *zone) {
    setenv("TZ", zone, 1);
    tzset();
}

#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

Test(timetext, what_names_no_offset_is_meant_in_the_brokers_zone) {
    live_in(BERLIN);
    cr_assert_eq(parsed("2027-01-31", NOW), moment(2027, 1, 31, 22, 59, 59), "winter");
    cr_assert_eq(parsed("2027-07-31", NOW), moment(2027, 7, 31, 21, 59, 59), "summer");
    cr_assert_eq(parsed("2027-01-31 12:00", NOW), moment(2027, 1, 31, 11, 0, 0));
    cr_assert_eq(parsed("2027-01-31T12:00:00Z", NOW), moment(2027, 1, 31, 12, 0, 0));
    cr_assert_eq(parsed("2027-03-28", NOW), moment(2027, 3, 28, 21, 59, 59), "summer begins");
    cr_assert_eq(parsed("2027-10-31", NOW), moment(2027, 10, 31, 22, 59, 59), "and ends");
    cr_assert_eq(parsed("2027-03-28 02:30", NOW), moment(2027, 3, 28, 1, 30, 0),
                 "a time that is skipped");
    live_in("NZST-12NZDT,M9.5.0,M4.1.0/3");
    cr_assert_eq(parsed("2027-01-31", NOW), moment(2027, 1, 31, 10, 59, 59));
    live_in("HST10");
    cr_assert_eq(parsed("2027-01-31", NOW), moment(2027, 2, 1, 9, 59, 59));
}

Test(timetext, a_year_on_is_the_same_time_of_the_same_day) {
    live_in(BERLIN);
    cr_assert_eq(parsed("+1y", moment(2026, 11, 23, 16, 17, 32) + 5),
                 moment(2027, 11, 23, 16, 17, 32) + 5);
    cr_assert_eq(parsed("+1y", moment(2028, 2, 29, 12, 0, 0)), moment(2029, 2, 28, 12, 0, 0));
    cr_assert_eq(parsed("+4y", moment(2028, 2, 29, 12, 0, 0)), moment(2032, 2, 29, 12, 0, 0));
    cr_assert_eq(parsed("+0y", NOW), NOW);
}

Test(timetext, an_answer_tells_what_was_understood) {
    static const struct {
        int64_t ahead_ms;
        const char *told;
    } CASES[] = {
        { 61 * DAY_MS, "2027-01-31 12:00:00 CET, in 61 d" },
        { 36 * 3600000, "2026-12-03 00:00:00 CET, in 36 h" },
        { 119 * 60000, "2026-12-01 13:59:00 CET, in 119 min" },
        { 90 * 1000, "2026-12-01 12:01:30 CET, in 90 s" },
        { -3 * DAY_MS, "2026-11-28 12:00:00 CET, 3 d ago" },
        { 230 * DAY_MS, "2027-07-19 13:00:00 CEST, in 230 d" },
    };
    int64_t now_ms = moment(2026, 12, 1, 11, 0, 0);
    char told[TIMETEXT_TOLD_SIZE];
    live_in(BERLIN);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        cr_expect_str_eq(timetext_tell(now_ms + CASES[i].ahead_ms, now_ms, told), CASES[i].told,
                         "%s", told);
    cr_expect_str_eq(timetext_tell(0, now_ms, told), "never");
}

Test(timetext, refuses_what_is_no_moment_and_leaves_the_output_alone) {
    const char *const cases[] = {
        "",
        " ",
        "Never",
        "never ",
        " 2026-11-23",
        "2026-11-23 ",
        "2026-11-23T",
        "2026-11-23Z",
        "2026-11-23 16",
        "2026-11-23  16:17",
        "2026-11-23 16:17:",
        "2026-11-23 16:17.5",
        "2026-11-23 4:17",
        "2026-11-23 16:17 Z",
        "2026-11-23T16:17:32Zx",
        "2026-11-23T16:17:32.Z",
        "2026-11-23T16:17:32.1234567890Z",
        "2026-11-23T16:17:60Z",
        "2026-11-23T16:60:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T16:17:32+5:30",
        "2026-11-23T16:17:32+0530",
        "2026-11-23T16:17:32+24:00",
        "2026-11-23T16:17:32+05:60",
        "2026-11-23T16:17:32+05:30Z",
        "2026-02-30",
        "2026-02-29",
        "2100-02-29",
        "2026-04-31",
        "2026-00-10",
        "2026-13-10",
        "2026-11-00",
        "2026-11-32",
        "2026-1-2",
        "26-11-23",
        "+2026-11-23",
        "1969-12-31",
        "1970-01-01T00:59:59+01:00",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01",
        "+",
        "+s",
        "+5",
        "+5y6",
        "+y",
        "+5 y",
        "+99999y",
        "+9000y",
        "+5M",
        "+5dd",
        "+5d ",
        "+-5d",
        "+ 5d",
        "+5.5d",
        "5d",
        "+9999999d",
        "+9223372036854775807s",
        "+99999999999999999999s",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t wall_ms = 4711;
        cr_assert(!timetext_parse(cases[i], NOW, &wall_ms), "'%s' was read as %" PRId64, cases[i],
                  wall_ms);
        cr_assert_eq(wall_ms, 4711, "'%s' touched the output", cases[i]);
    }
}

Test(timetext, a_duration_is_digits_and_one_unit_from_a_second_to_a_year) {
    const struct {
        const char *text;
        int64_t ms; /* 0 = refused */
    } cases[] = {
        { "1s", 1000 },
        { "90s", 90000 },
        { "015m", 900000 },
        { "6h", 21600000 },
        { "2d", 2 * DAY_MS },
        { "366d", 366 * DAY_MS },
        { "31622400s", 366 * DAY_MS },
        { "0s", 0 },
        { "0d", 0 },
        { "367d", 0 },
        { "31622401s", 0 },
        { "", 0 },
        { "s", 0 },
        { "5", 0 },
        { "5S", 0 },
        { "5 s", 0 },
        { " 5s", 0 },
        { "+5s", 0 },
        { "-5s", 0 },
        { "1h30m", 0 },
        { "5ms", 0 },
        { "18446744073709551617s", 0 },
        { "213503982335d", 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = -1;
        bool read = timetext_parse_duration(cases[i].text, &ms);
        cr_assert_eq(read, cases[i].ms != 0, "'%s'", cases[i].text);
        cr_assert_eq(ms, read ? cases[i].ms : -1, "'%s' became %" PRId64, cases[i].text, ms);
    }
}

Test(timetext, milliseconds_are_written_only_when_there_are_some) {
    const struct {
        int64_t wall_ms;
        const char *text;
    } cases[] = {
        { NOW, "2026-11-23T16:17:32Z" },
        { NOW + 7, "2026-11-23T16:17:32.007Z" },
        { 0, "1970-01-01T00:00:00Z" },
        { LAST, "9999-12-31T23:59:59.999Z" },
        { LAST + 1, "9999-12-31T23:59:59.999Z" },
        { INT64_MAX, "9999-12-31T23:59:59.999Z" },
        { INT64_MIN, "1970-01-01T00:00:00Z" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char buffer[TIMETEXT_SIZE];
        char *text = timetext_format(cases[i].wall_ms, buffer);
        cr_assert_eq(text, buffer);
        cr_assert_str_eq(text, cases[i].text);
    }
}

Test(timetext, every_day_from_year_one_to_ten_thousand_follows_the_day_before) {
    int64_t year;
    int month;
    int day;
    timetext_date(timetext_days(1, 1, 1), &year, &month, &day);
    cr_assert(year == 1 && month == 1 && day == 1);
    cr_assert_eq(timetext_days(1970, 1, 1), 0);
    int64_t last = timetext_days(10000, 1, 1);
    int64_t year_before = 1;
    int month_before = 1;
    int day_before = 1;
    for (int64_t days = timetext_days(1, 1, 2); days <= last; days++) {
        timetext_date(days, &year, &month, &day);
        bool next_day = year == year_before && month == month_before && day == day_before + 1;
        bool next_month = year == year_before && month == month_before + 1 && day == 1;
        bool next_year =
            year == year_before + 1 && month_before == 12 && day_before == 31 && month == 1;
        cr_assert(next_day || (next_month && day_before >= 28) || (next_year && day == 1),
                  "day %" PRId64 " is %" PRId64 "-%d-%d", days, year, month, day);
        cr_assert_eq(timetext_days(year, month, day), days);
        year_before = year;
        month_before = month;
        day_before = day;
    }
    cr_assert(year == 10000 && month == 1 && day == 1);
}

Test(timetext, agrees_with_the_c_library_at_random_moments) {
    struct seed seed = seed_begin("timetext, agrees_with_the_c_library");
    for (int i = 0; i < 20000; i++) {
        int64_t wall_ms = 1 + (int64_t)seed_below(&seed, (uint64_t)LAST);
        time_t seconds = (time_t)(wall_ms / 1000);
        struct tm tm;
        cr_assert_not_null(gmtime_r(&seconds, &tm));
        char expected[64];
        size_t length = strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", &tm);
        if (wall_ms % 1000)
            snprintf(expected + length, sizeof expected - length, ".%03dZ", (int)(wall_ms % 1000));
        else
            snprintf(expected + length, sizeof expected - length, "Z");
        char buffer[TIMETEXT_SIZE];
        cr_assert_str_eq(timetext_format(wall_ms, buffer), expected);
        int64_t again = -1;
        cr_assert(timetext_parse(buffer, 0, &again), "'%s' was refused", buffer);
        cr_assert_eq(again, wall_ms, "'%s'", buffer);
    }
}

Test(timetext, an_offset_moves_the_moment_by_exactly_that_much) {
    struct seed seed = seed_begin("timetext, an_offset_moves_the_moment");
    for (int i = 0; i < 20000; i++) {
        int64_t local = 2 * DAY_MS + (int64_t)seed_below(&seed, (uint64_t)(LAST - 4 * DAY_MS));
        int minutes = (int)seed_below(&seed, 1440);
        bool west = seed_below(&seed, 2);
        char text[TIMETEXT_SIZE + 8];
        timetext_format(local, text);
        snprintf(strchr(text, 'Z'), 8, "%c%02d:%02d", west ? '-' : '+', minutes / 60, minutes % 60);
        int64_t wall_ms = -1;
        cr_assert(timetext_parse(text, 0, &wall_ms), "'%s' was refused", text);
        cr_assert_eq(wall_ms, local + (west ? minutes : -minutes) * INT64_C(60000), "'%s'", text);
    }
}
