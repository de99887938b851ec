/*
 * See hint.h. Looks, in this order, at retry-after-ms, retry-after, Gemini's RetryInfo, and for a
 * rate limit at what says when each limit is reset. Anything that is not exactly of its format, and
 * anything that is not in the future, is as good as absent. Of a header that comes several times
 * the longest wait counts: nonsense hides nothing, and nobody is sent back too early.
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

static bool take_month(const char **at, struct tm *moment) {
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    while (moment->tm_mon < 12 && strncmp(*at, MONTHS + 3 * (ptrdiff_t)moment->tm_mon, 3) != 0)
        moment->tm_mon++;
    *at += moment->tm_mon < 12 ? 3 : 0;
    return moment->tm_mon < 12;
}

/* Two digits of a year mean the one that is nearest, at most 50 years ahead (RFC 9110, 5.6.7). */
static int whole_year(int two_digits, double now_ms) {
    time_t now = (time_t)(now_ms / 1000);
    struct tm today;
    int this_year = gmtime_r(&now, &today) ? today.tm_year + 1900 : 2000;
    int year = this_year - this_year % 100 + two_digits;
    return year > this_year + 50 ? year - 100 : year <= this_year - 50 ? year + 100 : year;
}

/* "06 Nov 1994 08:49:37 GMT", or with dashes and a short year "06-Nov-94 08:49:37 GMT" */
static bool take_date(const char **at, bool dashes, double now_ms, struct tm *moment) {
    const char *between = dashes ? "-" : " ";
    int year;
    if (!take_digits(at, 2, &moment->tm_mday) || !take_text(at, between) ||
        !take_month(at, moment) || !take_text(at, between) ||
        !take_digits(at, dashes ? 2 : 4, &year) || !take_text(at, " ") || !take_clock(at, moment) ||
        !take_text(at, " GMT"))
        return false;
    moment->tm_year = (dashes ? whole_year(year, now_ms) : year) - 1900;
    return true;
}

/* "Nov  6 08:49:37 1994", whose two blanks unfolding made one */
static bool take_asctime(const char **at, struct tm *moment) {
    int year;
    if (!take_month(at, moment) || !take_text(at, " ") ||
        !take_digits(at, is_digit(**at) && is_digit((*at)[1]) ? 2 : 1, &moment->tm_mday) ||
        !take_text(at, " ") || !take_clock(at, moment) || !take_text(at, " ") ||
        !take_digits(at, 4, &year))
        return false;
    moment->tm_year = year - 1900;
    return true;
}

/* One of HTTP's three: "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
 * "Sun Nov  6 08:49:37 1994". */
static bool parse_http_date(const char *text, double now_ms, double *ret_ms) {
    struct tm moment = { 0 };
    size_t day = strspn(text, "SunMoTesWdhrFiaty");
    bool is_long = day > 3;
    text += day;
    if (day < 3)
        return false;
    if (!is_long && take_text(&text, " ")) {
        if (!take_asctime(&text, &moment))
            return false;
    } else if (!take_text(&text, ", ") || !take_date(&text, is_long, now_ms, &moment)) {
        return false;
    }
    return !*text && moment_ms(moment, ret_ms);
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

static double ahead(double then_ms, double now_ms) {
    return then_ms > now_ms ? then_ms - now_ms : 0;
}

static double read_ms(const char *text, double now_ms) {
    double number;
    (void)now_ms;
    return parse_decimal(text, &number) ? number : 0;
}

static double read_retry_after(const char *text, double now_ms) {
    double number;
    if (parse_decimal(text, &number))
        return number * 1000;
    return parse_http_date(text, now_ms, &number) ? ahead(number, now_ms) : 0;
}

/* Number of seconds, or, when that would be more than a month, of a moment since 1970, then in
 * seconds or milliseconds by its size, and again not more than a month ahead. */
static double read_number(double number, double now_ms) {
    static const double MONTH_S = 31.0 * 86400, SECONDS_END = 1e11;
    if (number < MONTH_S)
        return number * 1000;
    double ms = ahead(number < SECONDS_END ? number * 1000 : number, now_ms);
    return ms < MONTH_S * 1000 ? ms : 0;
}

/* A duration, a number, or a moment. */
static double read_reset(const char *text, double now_ms) {
    double number;
    if (parse_duration(text, &number))
        return number;
    if (parse_decimal(text, &number))
        return read_number(number, now_ms);
    return parse_rfc3339(text, &number) ? ahead(number, now_ms) : 0;
}

static double longer(double a, double b) {
    return a > b ? a : b;
}

static double longest(const struct kbi_response *response, const char *name,
                      double (*read)(const char *, double), double now_ms) {
    char value[KBI_HEADER_VALUE_MAX];
    double ms = 0;
    for (uint32_t at = 0; kbi_response_header(response, name, &at, value);)
        ms = longer(ms, read(value, now_ms));
    return ms;
}

static double base_ms(const struct kbi_response *response, int64_t wall_ms) {
    char value[KBI_HEADER_VALUE_MAX];
    double date_ms;
    for (uint32_t at = 0; kbi_response_header(response, "date", &at, value);)
        if (parse_http_date(value, (double)wall_ms, &date_ms))
            return date_ms;
    return (double)wall_ms;
}

static double retry_info(const struct kbi_response *response) {
    double ms;
    const char *delay = response->error.retry_delay;
    return delay && parse_duration(delay, &ms) ? ms : 0;
}

static bool is_used_up(const struct kbi_response *response, const char *remaining) {
    char value[KBI_HEADER_VALUE_MAX];
    double left;
    for (uint32_t at = 0; kbi_response_header(response, remaining, &at, value);)
        if (parse_decimal(value, &left) && left == 0)
            return true;
    return false;
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
        { "x-ratelimit-reset", "x-ratelimit-remaining" },
    };
    double of_all = 0, of_used_up = 0;
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
        double ms = longest(response, LIMITS[i].reset, read_reset, now_ms);
        of_all = longer(of_all, ms);
        if (ms > 0 && is_used_up(response, LIMITS[i].remaining))
            of_used_up = longer(of_used_up, ms);
    }
    if (!(of_all > 0) && response->error.limit_reset)
        return read_reset(response->error.limit_reset, now_ms);
    return of_used_up > 0 ? of_used_up : of_all;
}

uint64_t kbi_hint(const struct kbi_response *response, kb_outcome outcome, int64_t wall_ms) {
    double now_ms = base_ms(response, wall_ms);
    double ms = longest(response, "retry-after-ms", read_ms, now_ms);
    if (!(ms > 0))
        ms = longest(response, "retry-after", read_retry_after, now_ms);
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
