/*
 * See timetext.h. Parsers read strictly and to the end: a time that was meant otherwise must not
 * pass as another one. The calendar counts days from 0001-01-01, where 400-, 100-, 4- and 1-year
 * cycles begin together.
 */
#include "timetext.h"

#include <stdio.h>
#include <string.h>

#include "zone.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

/* 9999-12-31T23:59:59.999Z */
#define WALL_MAX_MS INT64_C(253402300799999)

enum {
    DAYS_TO_1970 = 719162, /* from 0001-01-01 */
    DAYS_400_YEARS = 146097,
    DAYS_100_YEARS = 36524,
    DAYS_4_YEARS = 1461,
    DURATION_MAX_DAYS = 366,
};

/* ---- the calendar ---- */

static int64_t floor_div(int64_t dividend, int64_t divisor) {
    int64_t quotient = dividend / divisor;
    return dividend % divisor < 0 ? quotient - 1 : quotient;
}

static bool is_leap(int64_t year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int month_length(int64_t year, int month) {
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return month == 2 && is_leap(year) ? 29 : lengths[month - 1];
}

int64_t timetext_days(int64_t year, int month, int day) {
    int64_t past = year - 1;
    int64_t days = past * 365 + floor_div(past, 4) - floor_div(past, 100) + floor_div(past, 400);
    for (int m = 1; m < month; m++)
        days += month_length(year, m);
    return days + day - 1 - DAYS_TO_1970;
}

void timetext_date(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day) {
    int64_t since = days + DAYS_TO_1970;
    int64_t cycles = floor_div(since, DAYS_400_YEARS);
    int64_t rest = since - cycles * DAYS_400_YEARS;
    /* The last century of a cycle and the last year of four have one day more than the others; it
     * must not begin a fifth. */
    int64_t centuries = rest / DAYS_100_YEARS < 4 ? rest / DAYS_100_YEARS : 3;
    rest -= centuries * DAYS_100_YEARS;
    int64_t fours = rest / DAYS_4_YEARS;
    rest -= fours * DAYS_4_YEARS;
    int64_t years = rest / 365 < 4 ? rest / 365 : 3;
    rest -= years * 365;
    int64_t year = cycles * 400 + centuries * 100 + fours * 4 + years + 1;
    int month = 1;
    while (rest >= month_length(year, month))
        rest -= month_length(year, month++);
    *ret_year = year;
    *ret_month = month;
    *ret_day = (int)rest + 1;
}

/* ---- writing ---- */

char *timetext_format(int64_t wall_ms, char buffer[TIMETEXT_SIZE]) {
    if (wall_ms < 0)
        wall_ms = 0;
    if (wall_ms > WALL_MAX_MS)
        wall_ms = WALL_MAX_MS;
    int64_t year;
    int month;
    int day;
    timetext_date(wall_ms / DAY_MS, &year, &month, &day);
    unsigned rest = (unsigned)(wall_ms % DAY_MS);
    unsigned seconds = rest / 1000 % 60;
    unsigned millis = rest % 1000;
    int length = snprintf(buffer, TIMETEXT_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u",
                          (unsigned)year % 10000, (unsigned)month % 100, (unsigned)day % 100,
                          rest / 3600000 % 24, rest / 60000 % 60, seconds);
    char *end = buffer + length;
    size_t room = TIMETEXT_SIZE - (size_t)length;
    if (millis)
        snprintf(end, room, ".%03uZ", millis);
    else
        snprintf(end, room, "Z");
    return buffer;
}

char *timetext_tell(int64_t wall_ms, int64_t now_ms, char buffer[TIMETEXT_TOLD_SIZE]) {
    static const struct {
        const char *name;
        int64_t ms;
    } UNITS[] = { { "d", DAY_MS }, { "h", HOUR_MS }, { "min", MINUTE_MS }, { "s", SECOND_MS } };
    char at[ZONE_TEXT_SIZE];
    if (!wall_ms) {
        snprintf(buffer, TIMETEXT_TOLD_SIZE, "never");
        return buffer;
    }
    int64_t distance = wall_ms < now_ms ? now_ms - wall_ms : wall_ms - now_ms;
    unsigned unit = 0;
    while (unit < 3 && distance < 2 * UNITS[unit].ms) /* "in 36 h" rather than "in 1 d" */
        unit++;
    snprintf(buffer, TIMETEXT_TOLD_SIZE, "%s, %s%lld %s%s", zone_format(wall_ms, at),
             wall_ms < now_ms ? "" : "in ", (long long)(distance / UNITS[unit].ms),
             UNITS[unit].name, wall_ms < now_ms ? " ago" : "");
    return buffer;
}

/* ---- reading ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Exactly `count` digits at *at within low–high; *at moves past them. */
static bool read_number(const char **at, int count, int low, int high, int *ret_number) {
    int number = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit((*at)[i]))
            return false;
        number = number * 10 + ((*at)[i] - '0');
    }
    if (number < low || number > high)
        return false;
    *at += count;
    *ret_number = number;
    return true;
}

static bool read_char(const char **at, char wanted) {
    if (**at != wanted)
        return false;
    (*at)++;
    return true;
}

static bool read_date(const char **at, int64_t *ret_days) {
    int year;
    int month;
    int day;
    if (!read_number(at, 4, 1970, 9999, &year) || !read_char(at, '-') ||
        !read_number(at, 2, 1, 12, &month) || !read_char(at, '-') ||
        !read_number(at, 2, 1, month_length(year, month), &day))
        return false;
    *ret_days = timetext_days(year, month, day);
    return true;
}

bool timetext_read_minute(const char **at, int *ret_minute) {
    const char *p = *at;
    int hour;
    int minute;
    if (!read_number(&p, 2, 0, 23, &hour) || !read_char(&p, ':') ||
        !read_number(&p, 2, 0, 59, &minute))
        return false;
    *at = p;
    *ret_minute = hour * 60 + minute;
    return true;
}

bool timetext_read_offset(const char **at, int *ret_minutes) {
    const char *p = *at;
    if (*p != '+' && *p != '-')
        return false;
    int sign = *p++ == '-' ? -1 : 1;
    int minutes;
    if (!timetext_read_minute(&p, &minutes))
        return false;
    *at = p;
    *ret_minutes = sign * minutes;
    return true;
}

/* One to nine digits after the point; finer than a millisecond is cut. */
static bool read_fraction(const char **at, int *ret_millis) {
    int digits = 0;
    int millis = 0;
    for (; is_digit(**at); (*at)++, digits++) {
        if (digits < 3)
            millis = millis * 10 + (**at - '0');
    }
    for (int i = digits; i < 3; i++)
        millis *= 10;
    *ret_millis = millis;
    return digits >= 1 && digits <= 9;
}

/* What follows the T: HH:MM[:SS[.fraction]][Z|±HH:MM]; *ret_local: without the last. A leap second
 * has no moment of its own in the time that computers keep, so :60 is refused. */
static bool read_clock(const char **at, int64_t *ret_ms, bool *ret_local) {
    int minute;
    int second = 0;
    int millis = 0;
    int offset = 0;
    if (!timetext_read_minute(at, &minute))
        return false;
    if (read_char(at, ':')) {
        if (!read_number(at, 2, 0, 59, &second))
            return false;
        if (read_char(at, '.') && !read_fraction(at, &millis))
            return false;
    }
    *ret_local = !**at;
    if (!*ret_local && !read_char(at, 'Z') && !read_char(at, 'z') &&
        !timetext_read_offset(at, &offset))
        return false;
    *ret_ms = (minute - offset) * MINUTE_MS + second * SECOND_MS + millis;
    return true;
}

/* Digits, one unit, the end. */
static bool read_amount(const char *text, int64_t *ret_ms) {
    int64_t number = 0;
    size_t digits = 0;
    for (; is_digit(text[digits]); digits++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, text[digits] - '0', &number))
            return false;
    }
    int64_t unit;
    switch (text[digits]) {
    case 's':
        unit = SECOND_MS;
        break;
    case 'm':
        unit = MINUTE_MS;
        break;
    case 'h':
        unit = HOUR_MS;
        break;
    case 'd':
        unit = DAY_MS;
        break;
    case 'w':
        unit = 7 * DAY_MS;
        break;
    default:
        return false;
    }
    int64_t ms;
    if (digits == 0 || text[digits + 1] != '\0' || __builtin_mul_overflow(number, unit, &ms))
        return false;
    *ret_ms = ms;
    return true;
}

/* N years on, at the same time of the same day there; of the 28th where a year has no 29th. */
static bool add_years(const char *text, int64_t now_ms, int64_t *ret_wall_ms) {
    int64_t years = 0;
    size_t digits = 0;
    for (; digits < 5 && is_digit(text[digits]); digits++)
        years = years * 10 + (text[digits] - '0');
    if (digits == 0 || strcmp(text + digits, "y") != 0)
        return false;
    int64_t local_ms = zone_to_local(now_ms), year;
    int month;
    int day;
    timetext_date(floor_div(local_ms, DAY_MS), &year, &month, &day);
    year += years;
    if (day > month_length(year, month))
        day = month_length(year, month);
    int64_t clock_ms = local_ms - floor_div(local_ms, DAY_MS) * DAY_MS;
    *ret_wall_ms = zone_from_local(timetext_days(year, month, day) * DAY_MS + clock_ms);
    return true;
}

static bool add_amount(const char *text, int64_t now_ms, int64_t *ret_wall_ms) {
    int64_t amount;
    return add_years(text, now_ms, ret_wall_ms) ||
           (read_amount(text, &amount) && !__builtin_add_overflow(now_ms, amount, ret_wall_ms));
}

static bool read_moment(const char *at, int64_t *ret_wall_ms) {
    int64_t days;
    int64_t clock_ms = DAY_MS - SECOND_MS; /* a day that something expires on is its last */
    bool local = true;
    if (!read_date(&at, &days))
        return false;
    bool clock = read_char(&at, 'T') || read_char(&at, 't') || read_char(&at, ' ');
    if ((clock && !read_clock(&at, &clock_ms, &local)) || *at)
        return false;
    int64_t moment_ms = days * DAY_MS + clock_ms;
    *ret_wall_ms = local ? zone_from_local(moment_ms) : moment_ms;
    return true;
}

bool timetext_parse(const char *text, int64_t now_ms, int64_t *ret_wall_ms) {
    if (strcmp(text, "never") == 0) {
        *ret_wall_ms = 0;
        return true;
    }
    int64_t wall_ms = 0;
    bool read = *text == '+' ? add_amount(text + 1, now_ms, &wall_ms) : read_moment(text, &wall_ms);
    if (!read || wall_ms <= 0 || wall_ms > WALL_MAX_MS)
        return false;
    *ret_wall_ms = wall_ms;
    return true;
}

bool timetext_parse_duration(const char *text, int64_t *ret_ms) {
    int64_t ms;
    if (!read_amount(text, &ms) || ms < SECOND_MS || ms > DURATION_MAX_DAYS * DAY_MS)
        return false;
    *ret_ms = ms;
    return true;
}
