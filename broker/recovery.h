/*
 * Recovery policies: when a key that is exceeded or in error comes back by itself. Pure.
 *
 *   never | 30s | 15m | 6h | 2d | daily@HH:MM[±HH:MM] | monthly@DAY
 *
 * A duration counts from the change of status; daily and monthly are the calendar's, UTC without an
 * offset; monthly@31 means the last day of a shorter month, at 00:00 UTC.
 */
#ifndef BROKER_RECOVERY_H
#define BROKER_RECOVERY_H

#include <stdbool.h>
#include <stdint.h>

enum recovery_kind { RECOVERY_NEVER, RECOVERY_AFTER, RECOVERY_DAILY, RECOVERY_MONTHLY };

struct recovery {
    enum recovery_kind kind;
    int64_t after_ms; /* AFTER: 1 s – 366 d */
    int minute_utc;   /* DAILY: minute of the UTC day, 0–1439 */
    int day;          /* MONTHLY: 1–31 */
};

/* False if the text is none of the above; *ret is then untouched. */
bool recovery_parse(const char *text, struct recovery *ret);

/* The wall-clock moment (ms) of recovery for a status that began at `since_ms`, strictly after
 * `now_ms` for calendars, `since_ms + after_ms` (which may lie in the past) for durations; 0 =
 * never. */
int64_t recovery_at_ms(const struct recovery *recovery, int64_t since_ms, int64_t now_ms);

#endif
