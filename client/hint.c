/*
 * See hint.h. Looks, in this order, at retry-after-ms, retry-after, Gemini's RetryInfo, and for a
 * rate limit at what says when each limit is reset. Headers are known by the pattern of their
 * names, because each vendor spells its own, and what a number counts by how the name ends.
 * Anything that is not exactly of its format, and anything that is not in the future, is as good as
 * absent. Of a header that comes several times, apart or joined, the longest wait counts: nonsense
 * hides nothing, and nobody is sent back too early.
 */
#include "hint.h"

#include <stdbool.h>
#include <stdio.h>
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

static bool is_exact(const char *text, double now_ms) {
    double number;
    return parse_decimal(text, &number) || parse_http_date(text, now_ms, &number);
}

/* A value, or the longest of several that a client joined ("12, 12", as fetch and urllib3 do). A
 * date has such a comma of its own. One that makes no sense makes all of them nonsense: who knows
 * what was cut. */
static double read_all(const char *value, double (*read)(const char *, double), double now_ms) {
    char part[KBI_HEADER_VALUE_MAX];
    double ms = read(value, now_ms), longest = 0;
    if (ms > 0 || !strstr(value, ", "))
        return ms;
    for (const char *at = value; at;) {
        const char *comma = at;
        bool exact = false;
        for (int commas = 0; !exact && commas < 2 && comma; commas++) {
            comma = strstr(comma + (commas ? 2 : 0), ", ");
            size_t length = comma ? (size_t)(comma - at) : strlen(at);
            memcpy(part, at, length);
            part[length] = '\0';
            ms = read(part, now_ms);
            exact = ms > 0 || is_exact(part, now_ms);
        }
        if (!exact)
            return 0;
        longest = longer(longest, ms);
        at = comma ? comma + 2 : NULL;
    }
    return longest;
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

/* ---- headers by their names ---- */

enum { NAME_MAX_LENGTH = 80 };
#define HOUR_MS 3600000.0

/* In lower case; "" when it is too long to be one that is looked for. */
static void lower_name(const struct kbi_header *header, char ret_name[NAME_MAX_LENGTH]) {
    uint32_t length = header->name_length < NAME_MAX_LENGTH ? header->name_length : 0;
    for (uint32_t i = 0; i < length; i++)
        ret_name[i] = kbi_lower(header->name[i]);
    ret_name[length] = '\0';
}

/* `word` in the name, with nothing or a hyphen before and behind it. */
static const char *word_in(const char *name, const char *word) {
    size_t length = strlen(word);
    for (const char *at = name; (at = strstr(at, word)); at++)
        if ((at == name || at[-1] == '-') && (!at[length] || at[length] == '-'))
            return at;
    return NULL;
}

static bool ends_in_ms(const char *name) {
    const char *last = strrchr(name, '-');
    return last && strcmp(last, "-ms") == 0;
}

/* "retry-after", "retry-after-ms", "x-ms-retry-after-ms": the unit stands behind it. */
static double retry_after(const struct kbi_response *response, bool in_ms, double now_ms) {
    char name[NAME_MAX_LENGTH], value[KBI_HEADER_VALUE_MAX];
    double ms = 0;
    for (uint32_t i = 0; i < response->header_count; i++) {
        lower_name(&response->headers[i], name);
        const char *found = word_in(name, "retry-after");
        const char *unit = found ? found + strlen("retry-after") : "?";
        if (strcmp(unit, in_ms ? "-ms" : "") == 0 && kbi_header_value(&response->headers[i], value))
            ms = longer(ms, read_all(value, in_ms ? read_ms : read_retry_after, now_ms));
    }
    return ms;
}

/* The name of a limit's header that says `what` ("reset", "remaining"), with where it says so:
 * "x-ratelimit-reset-requests-day", "x-rate-limit-reset-tokens",
 * "anthropic-ratelimit-input-tokens-reset", "x-tokenlimit-reset". */
static const char *limit_word(const struct kbi_header *header, const char *what,
                              char ret_name[NAME_MAX_LENGTH]) {
    lower_name(header, ret_name);
    if (!strstr(ret_name, "ratelimit") && !strstr(ret_name, "rate-limit") &&
        !strstr(ret_name, "tokenlimit"))
        return NULL;
    return word_in(ret_name, what);
}

/* How long the limit's window is, by its name; 0 = it does not say. Also "5h", "7d". */
static double window_ms(const char *name) {
    static const struct {
        const char *word;
        double ms;
    } WINDOWS[] = {
        { "minute", 60000 },
        { "hour", HOUR_MS },
        { "day", 24 * HOUR_MS },
        { "week", 7 * 24 * HOUR_MS },
        { "month", 30 * 24 * HOUR_MS },
    };
    for (size_t i = 0; i < sizeof WINDOWS / sizeof *WINDOWS; i++)
        if (word_in(name, WINDOWS[i].word))
            return WINDOWS[i].ms;
    for (const char *at = name; (at = strchr(at, '-')); at++) {
        size_t digits = strspn(at + 1, "0123456789");
        char unit = digits ? at[1 + digits] : '\0';
        if ((unit == 'h' || unit == 'd') && (!at[2 + digits] || at[2 + digits] == '-'))
            return unit == 'h' ? HOUR_MS : 24 * HOUR_MS;
    }
    return 0;
}

/* What the header of the same limit that says `instead` of the word at `at` is called. */
static void sister(const char *name, const char *at, const char *word, const char *instead,
                   char ret_name[2 * NAME_MAX_LENGTH]) {
    snprintf(ret_name, (size_t)2 * NAME_MAX_LENGTH, "%.*s%s%s", (int)(at - name), name, instead,
             at + strlen(word));
}

static double read_zero(const char *text, double now_ms) {
    double left;
    (void)now_ms;
    return parse_decimal(text, &left) && !(left > 0) ? 1 : 0;
}

static bool is_used_up(const struct kbi_response *response, const char *remaining) {
    char value[KBI_HEADER_VALUE_MAX];
    for (uint32_t at = 0; kbi_response_header(response, remaining, &at, value);)
        if (read_all(value, read_zero, 0) > 0)
            return true;
    return false;
}

/* A limit that is used up and does not say until when: until its window's end, if that is near.
 * Where a day or a month ends depends on where the vendor is: it is tried once an hour. */
static double window_rest(const struct kbi_response *response, double now_ms) {
    char name[NAME_MAX_LENGTH], reset[2 * NAME_MAX_LENGTH], value[KBI_HEADER_VALUE_MAX];
    double ms = 0;
    for (uint32_t i = 0; i < response->header_count; i++) {
        const char *at = limit_word(&response->headers[i], "remaining", name);
        double window = at ? window_ms(name) : 0;
        uint32_t begin = 0;
        if (!(window > 0) || !is_used_up(response, name))
            continue;
        sister(name, at, "remaining", "reset", reset);
        if (!kbi_response_header(response, reset, &begin, value))
            ms =
                longer(ms, window > HOUR_MS ? HOUR_MS
                                            : window - (double)((int64_t)now_ms % (int64_t)window));
    }
    return ms;
}

/* RateLimit: "api";r=0;t=55 */
static double rate_limit_field(const struct kbi_response *response) {
    char value[KBI_HEADER_VALUE_MAX];
    double ms = 0, seconds, left;
    for (uint32_t at = 0; kbi_response_header(response, "ratelimit", &at, value);) {
        const char *rest = strstr(value, ";r="), *time = strstr(value, ";t=");
        if (!rest || !time)
            continue;
        rest += 3;
        time += 3;
        if (take_decimal(&rest, &left) && left == 0 && take_decimal(&time, &seconds))
            ms = longer(ms, seconds * 1000);
    }
    return ms;
}

/* The reset of the limit that is used up; of several the longest. Where none says that it is, a
 * limit may still have been too small for this request: then the longest, but of the short windows
 * only, for a day's is always told and mostly far from used up. */
static double limit_reset(const struct kbi_response *response, double now_ms) {
    char name[NAME_MAX_LENGTH], remaining[2 * NAME_MAX_LENGTH], value[KBI_HEADER_VALUE_MAX];
    double of_all = 0, of_used_up = rate_limit_field(response);
    for (uint32_t i = 0; i < response->header_count; i++) {
        const char *at = limit_word(&response->headers[i], "reset", name);
        if (!at || !kbi_header_value(&response->headers[i], value))
            continue;
        double ms = read_all(value, ends_in_ms(name) ? read_ms : read_reset, now_ms);
        sister(name, at, "reset", "remaining", remaining);
        if (ms > 0 && is_used_up(response, remaining))
            of_used_up = longer(of_used_up, ms);
        else if (window_ms(name) < HOUR_MS)
            of_all = longer(of_all, ms);
    }
    if (!(of_used_up > 0))
        of_used_up = window_rest(response, now_ms);
    if (!(of_used_up > 0) && !(of_all > 0) && response->error.limit_reset)
        return read_reset(response->error.limit_reset, now_ms);
    return of_used_up > 0 ? of_used_up : of_all;
}

uint64_t kbi_hint(const struct kbi_response *response, kb_outcome outcome, int64_t wall_ms) {
    double now_ms = base_ms(response, wall_ms);
    double ms = retry_after(response, true, now_ms);
    if (!(ms > 0))
        ms = retry_after(response, false, now_ms);
    if (!(ms > 0))
        ms = retry_info(response);
    if (!(ms > 0) && outcome == KB_RATE)
        ms = limit_reset(response, now_ms);
    /* A day's share is used up, and the vendor's hint is about the minute's: with a hint the
     * back-off does not double, so the key would be tried all day. Once an hour is enough. */
    if (response->error.is_daily && (outcome == KB_RATE || outcome == KB_QUOTA))
        ms = longer(ms, HOUR_MS);
    if (!(ms > 0))
        return KB_NO_HINT;
    if (ms >= HINT_MAX_MS)
        return (uint64_t)HINT_MAX_MS;
    uint64_t whole_ms = (uint64_t)ms;
    return whole_ms + ((double)whole_ms < ms);
}
