/*
 * Times as people type and read them: RFC 3339, dates, durations. Pure; no locale, no time zone
 * database.
 */
#ifndef BROKER_TIMETEXT_H
#define BROKER_TIMETEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TIMETEXT_SIZE = 32 };

/* "2026-11-23T16:17:32Z" (with .mmm when not zero) into buffer; returns buffer. Moments before 1970
 * or after 9999 are written as the nearest moment within. */
char *timetext_format(int64_t wall_ms, char buffer[TIMETEXT_SIZE]);

/* `never` (0), RFC 3339 with offset, YYYY-MM-DD (that day's 00:00 UTC), +N followed by s, m, h or d
 * (from now). False if it is none of these, no real date, not after 1970-01-01T00:00:00Z (0 means
 * never) or beyond the year 9999. */
bool timetext_parse(const char *text, int64_t now_ms, int64_t *ret_wall_ms);

/* "90s", "15m", "6h", "2d" → ms; digits, then one unit; 1 s – 366 d. */
bool timetext_parse_duration(const char *text, int64_t *ret_ms);

/* Parts of longer texts: HH:MM as a minute of the day, ±HH:MM as minutes. *at moves past what was
 * read; on false it stays. */
bool timetext_read_minute(const char **at, int *ret_minute);
bool timetext_read_offset(const char **at, int *ret_minutes);

/* Days since 1970-01-01 of a proleptic Gregorian date, and back. */
int64_t timetext_days(int64_t year, int month, int day);
void timetext_date(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day);

#endif
