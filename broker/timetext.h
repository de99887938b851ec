/*
 * Times as people type and read them: RFC 3339, dates, durations. Pure but for the zone (zone.h) in
 * which what names none is meant; no locale.
 */
#ifndef BROKER_TIMETEXT_H
#define BROKER_TIMETEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TIMETEXT_SIZE = 32, TIMETEXT_TOLD_SIZE = 80 };

/* "2026-11-23T16:17:32Z" (with .mmm when not zero) into buffer; returns buffer. Moments before 1970
 * or after 9999 are written as the nearest moment within. */
char *timetext_format(int64_t wall_ms, char buffer[TIMETEXT_SIZE]);

/* "2027-01-31 23:59:59 CET, in 61 d", "…, 3 h ago", or "never", into buffer; returns buffer: how an
 * answer echoes a time that it was given. */
char *timetext_tell(int64_t wall_ms, int64_t now_ms, char buffer[TIMETEXT_TOLD_SIZE]);

/* `never` (0), RFC 3339, YYYY-MM-DD (the end of that day), "YYYY-MM-DD HH:MM" (T for the blank,
 * seconds and an offset where wanted), +N followed by s, m, h, d, w or y (from now; a year on is
 * the same day). What names no offset is meant in the broker's zone. False if it is none of these,
 * no real date, not after 1970-01-01T00:00:00Z (0 means never) or beyond the year 9999. */
bool timetext_parse(const char *text, int64_t now_ms, int64_t *ret_wall_ms);

/* "90s", "15m", "6h", "2d", "1w" → ms; digits, then one unit; 1 s – 366 d. */
bool timetext_parse_duration(const char *text, int64_t *ret_ms);

/* Parts of longer texts: HH:MM as a minute of the day, ±HH:MM as minutes. *at moves past what was
 * read; on false it stays. */
bool timetext_read_minute(const char **at, int *ret_minute);
bool timetext_read_offset(const char **at, int *ret_minutes);

/* Days since 1970-01-01 of a proleptic Gregorian date, and back. */
int64_t timetext_days(int64_t year, int month, int day);
void timetext_date(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day);

#endif
