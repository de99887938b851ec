/*
 * See hint.h. Looks, in this order, at retry-after-ms, retry-after, Gemini's RetryInfo, and for a
 * rate limit at the headers that say when each limit is reset. Anything that is not exactly of its
 * format, and anything that is not in the future, is as good as absent.
 */
#include "hint.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#define HINT_MAX_MS (24.0 * 60 * 60 * 1000)

/* ---- numbers and durations ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Digits with at most one point; no sign, no exponent, whatever the locale. */
static bool take_decimal(const char **at, double *ret_number) {
    const char *next = *at;
    double number = 0, place = 1;
    if (!is_digit(*next))
        return false;
    for (; is_digit(*next); next++)
        number = number * 10 + (*next - '0');
    if (*next == '.' && is_digit(next[1]))
        for (next++; is_digit(*next); next++)
            number += (*next - '0') * (place /= 10);
    *ret_number = number;
    *at = next;
    return true;
}

static bool parse_decimal(const char *text, double *ret_number) {
    double number;
    if (!take_decimal(&text, &number) || *text)
        return false;
    *ret_number = number;
    return true;
}

/* "12ms", "6m0s", "1h2m3.5s", "1d2h": each unit smaller than the one before. */
static bool parse_duration(const char *text, double *ret_ms) {
    static const struct {
        const char *name;
        double ms;
    } UNITS[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
    enum { COUNT = sizeof UNITS / sizeof *UNITS };
    double sum = 0, number;
    int next = 0;
    do {
        if (!take_decimal(&text, &number))
            return false;
        size_t length = strspn(text, "dhms");
        if (length == 0 || (length == 2 && strncmp(text, "ms", 2) != 0) || length > 2)
            return false;
        while (next < COUNT &&
               (strlen(UNITS[next].name) != length || strncmp(UNITS[next].name, text, length) != 0))
            next++;
        if (next == COUNT)
            return false;
        sum += number * UNITS[next++].ms;
        text += length;
    } while (*text);
    *ret_ms = sum;
    return true;
}

/* ---- times of day ---- */

/* Exactly `count` digits. */
static bool take_digits(const char **at, int count, int *ret_number) {
    int number = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit((*at)[i]))
            return false;
        number = number * 10 + ((*at)[i] - '0');
    }
    *at += count;
    *ret_number = number;
    return true;
}

static bool take_text(const char **at, const char *text) {
    size_t length = strlen(text);
    if (strncmp(*at, text, length) != 0)
        return false;
    *at += length;
    return true;
}

static bool take_clock(const char **at, struct tm *moment) {
    return take_digits(at, 2, &moment->tm_hour) && take_text(at, ":") &&
           take_digits(at, 2, &moment->tm_min) && take_text(at, ":") &&
           take_digits(at, 2, &moment->tm_sec);
}

/* timegm would carry the thirtieth of February over into March. */
static bool moment_ms(struct tm moment, double *ret_ms) {
    struct tm carried = moment;
    time_t time = timegm(&carried);
    if (carried.tm_mon != moment.tm_mon || carried.tm_mday != moment.tm_mday ||
        moment.tm_hour > 23 || moment.tm_min > 59 || moment.tm_sec > 60)
        return false;
    *ret_ms = (double)time * 1000;
    return true;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool parse_http_date(const char *text, double *ret_ms) {
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm moment = { 0 };
    int year;
    const char *comma = strchr(text, ',');
    if (!comma || comma - text != 3)
        return false;
    text = comma + 1;
    if (!take_text(&text, " ") || !take_digits(&text, 2, &moment.tm_mday) || !take_text(&text, " "))
        return false;
    while (moment.tm_mon < 12 && strncmp(text, MONTHS + 3 * (ptrdiff_t)moment.tm_mon, 3) != 0)
        moment.tm_mon++;
    if (moment.tm_mon == 12)
        return false;
    text += 3;
    if (!take_text(&text, " ") || !take_digits(&text, 4, &year) || !take_text(&text, " ") ||
        !take_clock(&text, &moment) || !take_text(&text, " GMT") || *text)
        return false;
    moment.tm_year = year - 1900;
    return moment_ms(moment, ret_ms);
}

/* "2026-11-23T18:05:00Z", "…00.25+01:00" */
static bool parse_rfc3339(const char *text, double *ret_ms) {
    struct tm moment = { 0 };
    int year, month, hours = 0, minutes = 0;
    double fraction = 0, ms;
    if (!take_digits(&text, 4, &year) || !take_text(&text, "-") || !take_digits(&text, 2, &month) ||
        !take_text(&text, "-") || !take_digits(&text, 2, &moment.tm_mday) ||
        (*text != 'T' && *text != 't' && *text != ' '))
        return false;
    text++;
    if (!take_clock(&text, &moment))
        return false;
    if (*text == '.') {
        double place = 1;
        if (!is_digit(text[1]))
            return false;
        for (text++; is_digit(*text); text++)
            fraction += (*text - '0') * (place /= 10);
    }
    char sign = *text;
    if (sign != 'Z' && sign != 'z' && sign != '+' && sign != '-')
        return false;
    text++;
    if ((sign == '+' || sign == '-') &&
        (!take_digits(&text, 2, &hours) || !take_text(&text, ":") ||
         !take_digits(&text, 2, &minutes) || hours > 23 || minutes > 59))
        return false;
    moment.tm_year = year - 1900;
    moment.tm_mon = month - 1;
    if (*text || !moment_ms(moment, &ms))
        return false;
    double offset_ms = (hours * 60 + minutes) * 60000.0;
    *ret_ms = ms + fraction * 1000 + (sign == '-' ? offset_ms : -offset_ms);
    return true;
}

/* ---- what the answer says; all in milliseconds, 0 = nothing ---- */

static double base_ms(const struct kbi_response *response, int64_t wall_ms) {
    char value[KBI_HEADER_VALUE_MAX];
    double date_ms;
    if (kbi_response_header(response, "date", value) && parse_http_date(value, &date_ms))
        return date_ms;
    return (double)wall_ms;
}

static double retry_after(const struct kbi_response *response, double now_ms) {
    char value[KBI_HEADER_VALUE_MAX];
    double number;
    if (kbi_response_header(response, "retry-after-ms", value) && parse_decimal(value, &number) &&
        number > 0)
        return number;
    if (!kbi_response_header(response, "retry-after", value))
        return 0;
    if (parse_decimal(value, &number))
        return number * 1000;
    return parse_http_date(value, &number) && number > now_ms ? number - now_ms : 0;
}

static double retry_info(const struct kbi_response *response) {
    double ms;
    const char *delay = response->error.retry_delay;
    return delay && parse_duration(delay, &ms) ? ms : 0;
}

/* A duration, seconds, or a moment. Seconds of more than a month are a moment in disguise, whose
 * epoch nobody knows. */
static double reset_of(const char *text, double now_ms) {
    double number;
    if (parse_duration(text, &number))
        return number;
    if (parse_decimal(text, &number))
        return number < 31.0 * 86400 ? number * 1000 : 0;
    return parse_rfc3339(text, &number) && number > now_ms ? number - now_ms : 0;
}

/* The reset of the limit that is used up; of several the longest. Where none says that it is, a
 * limit may still have been too small for this request: then the longest of all. */
static double limit_reset(const struct kbi_response *response, double now_ms) {
    static const struct {
        const char *reset, *remaining;
    } LIMITS[] = {
        { "x-ratelimit-reset-requests", "x-ratelimit-remaining-requests" },
        { "x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens" },
        { "anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining" },
        { "anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining" },
        { "anthropic-ratelimit-input-tokens-reset", "anthropic-ratelimit-input-tokens-remaining" },
        { "anthropic-ratelimit-output-tokens-reset",
          "anthropic-ratelimit-output-tokens-remaining" },
    };
    char value[KBI_HEADER_VALUE_MAX];
    double longest = 0, longest_used_up = 0, left;
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
        if (!kbi_response_header(response, LIMITS[i].reset, value))
            continue;
        double ms = reset_of(value, now_ms);
        longest = longest > ms ? longest : ms;
        if (kbi_response_header(response, LIMITS[i].remaining, value) &&
            parse_decimal(value, &left) && left == 0)
            longest_used_up = longest_used_up > ms ? longest_used_up : ms;
    }
    return longest_used_up > 0 ? longest_used_up : longest;
}

uint64_t kbi_hint(const struct kbi_response *response, kb_outcome outcome, int64_t wall_ms) {
    double now_ms = base_ms(response, wall_ms);
    double ms = retry_after(response, now_ms);
    if (!(ms > 0))
        ms = retry_info(response);
    if (!(ms > 0) && outcome == KB_RATE)
        ms = limit_reset(response, now_ms);
    if (!(ms > 0))
        return KB_NO_HINT;
    if (ms >= HINT_MAX_MS)
        return (uint64_t)HINT_MAX_MS;
    uint64_t whole_ms = (uint64_t)ms;
    return whole_ms + ((double)whole_ms < ms);
}
