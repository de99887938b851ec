/*
 * See recovery.h. The pool model asks when a key comes back; `set pool` asks whether a policy's
 * text is one. No clock is read here.
 */
#include "recovery.h"

#include <string.h>

#include "timetext.h"

#define MINUTE_MS INT64_C(60000)
#define DAY_MS INT64_C(86400000)
enum { DAY_MINUTES = 1440 };

/* The rest of "daily@": HH:MM, and an offset whose UTC minute may lie on a neighbouring day. */
static bool parse_daily(const char *text, struct recovery *ret) {
    int minute;
    int offset = 0;
    if (!timetext_read_minute(&text, &minute))
        return false;
    if (*text && !timetext_read_offset(&text, &offset))
        return false;
    if (*text)
        return false;
    *ret = (struct recovery){
        .kind = RECOVERY_DAILY,
        .minute_utc = (minute - offset + DAY_MINUTES) % DAY_MINUTES,
    };
    return true;
}

static bool parse_monthly(const char *text, struct recovery *ret) {
    size_t length = strlen(text);
    if (length < 1 || length > 2 || strspn(text, "0123456789") != length)
        return false;
    int day = text[0] - '0';
    if (length == 2)
        day = day * 10 + (text[1] - '0');
    if (day < 1 || day > 31)
        return false;
    *ret = (struct recovery){ .kind = RECOVERY_MONTHLY, .day = day };
    return true;
}

bool recovery_parse(const char *text, struct recovery *ret) {
    if (strcmp(text, "never") == 0) {
        *ret = (struct recovery){ .kind = RECOVERY_NEVER };
        return true;
    }
    if (strncmp(text, "daily@", 6) == 0)
        return parse_daily(text + 6, ret);
    if (strncmp(text, "monthly@", 8) == 0)
        return parse_monthly(text + 8, ret);
    int64_t after_ms;
    if (!timetext_parse_duration(text, &after_ms))
        return false;
    *ret = (struct recovery){ .kind = RECOVERY_AFTER, .after_ms = after_ms };
    return true;
}

static int64_t day_of(int64_t ms) {
    return ms >= 0 ? ms / DAY_MS : -((-(ms + 1)) / DAY_MS) - 1;
}

static int64_t next_daily(int minute_utc, int64_t now_ms) {
    int64_t at_ms = day_of(now_ms) * DAY_MS + minute_utc * MINUTE_MS;
    return at_ms > now_ms ? at_ms : at_ms + DAY_MS;
}

/* 00:00 UTC of `wanted` in a month, or of its last day if it is shorter. */
static int64_t monthly_at(int64_t year, int month, int wanted) {
    int64_t first = timetext_days(year, month, 1);
    int64_t next = month == 12 ? timetext_days(year + 1, 1, 1) : timetext_days(year, month + 1, 1);
    int64_t day = first + wanted - 1;
    return (day < next ? day : next - 1) * DAY_MS;
}

static int64_t next_monthly(int wanted, int64_t now_ms) {
    int64_t year;
    int month;
    int day;
    timetext_date(day_of(now_ms), &year, &month, &day);
    int64_t at_ms = monthly_at(year, month, wanted);
    if (at_ms > now_ms)
        return at_ms;
    return month == 12 ? monthly_at(year + 1, 1, wanted) : monthly_at(year, month + 1, wanted);
}

int64_t recovery_at_ms(const struct recovery *recovery, int64_t since_ms, int64_t now_ms) {
    int64_t at_ms;
    switch (recovery->kind) {
    case RECOVERY_NEVER:
        return 0;
    case RECOVERY_AFTER:
        return __builtin_add_overflow(since_ms, recovery->after_ms, &at_ms) ? INT64_MAX : at_ms;
    case RECOVERY_DAILY:
        return next_daily(recovery->minute_utc, now_ms);
    case RECOVERY_MONTHLY:
        return next_monthly(recovery->day, now_ms);
    }
    return 0;
}
