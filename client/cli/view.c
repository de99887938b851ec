/*
 * How single values read; see view.h. Called by tables, fields, events and the local commands.
 * Does no I/O.
 */
#include "view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t cli_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *cli_json_string(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

int64_t cli_json_integer(const json_t *object, const char *name, int64_t otherwise) {
    const json_t *value = json_object_get(object, name);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

static void view_object(struct cli_text *text, const json_t *object) {
    const char *name;
    json_t *value;
    const char *separator = "";
    json_object_foreach((json_t *)object, name, value) {
        cli_text_adds(text, separator);
        cli_text_add_printable(text, name);
        cli_text_add(text, "=", 1);
        cli_view_value(text, value);
        separator = ", ";
    }
    if (json_object_size(object) == 0)
        cli_text_adds(text, CLI_ABSENT);
}

void cli_view_value(struct cli_text *text, const json_t *value) {
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING:
        cli_text_add_printable(text,
                               *json_string_value(value) ? json_string_value(value) : CLI_ABSENT);
        break;
    case JSON_INTEGER:
        cli_text_addf(text, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        cli_text_addf(text, "%g", json_real_value(value));
        break;
    case JSON_TRUE:
        cli_text_adds(text, "yes");
        break;
    case JSON_FALSE:
        cli_text_adds(text, "no");
        break;
    case JSON_ARRAY:
        for (size_t i = 0; i < json_array_size(value); i++) {
            cli_text_adds(text, i ? ", " : "");
            cli_view_value(text, json_array_get(value, i));
        }
        if (json_array_size(value) == 0)
            cli_text_adds(text, CLI_ABSENT);
        break;
    case JSON_OBJECT:
        view_object(text, value);
        break;
    default:
        cli_text_adds(text, CLI_ABSENT);
    }
}

void cli_view_counts(struct cli_text *text, const json_t *counts, const char *except) {
    const char *name;
    json_t *count;
    bool any = false;
    json_object_foreach((json_t *)counts, name, count) {
        if (json_integer_value(count) <= 0 || (except && strcmp(name, except) == 0))
            continue;
        cli_text_addf(text, "%s%lld ", any ? ", " : "", (long long)json_integer_value(count));
        cli_text_add_printable(text, name);
        any = true;
    }
    if (!any)
        cli_text_adds(text, CLI_ABSENT);
}

/* The offset at the end of an RFC 3339 time, in seconds east of UTC. */
static bool parse_offset(const char *string, long *ret_offset_s) {
    int hours, minutes, used = 0;
    if ((*string == 'Z' || *string == 'z') && !string[1]) {
        *ret_offset_s = 0;
        return true;
    }
    if (*string != '+' && *string != '-')
        return false;
    if (sscanf(string + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || used != 5 || string[6])
        return false;
    *ret_offset_s = (*string == '-' ? -1L : 1L) * (hours * 3600L + minutes * 60L);
    return true;
}

bool cli_parse_time(const char *string, int64_t *ret_ms) {
    struct tm parts = { 0 };
    int used = 0;
    if (sscanf(string, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &parts.tm_year, &parts.tm_mon,
               &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &used) != 6 ||
        used < 19)
        return false;
    int64_t fraction_ms = 0;
    const char *at = string + used;
    if (*at == '.') {
        int64_t unit_ms = 100;
        for (at++; *at >= '0' && *at <= '9'; at++, unit_ms /= 10)
            fraction_ms += unit_ms * (*at - '0');
    }
    long offset_s;
    if (!parse_offset(at, &offset_s))
        return false;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    *ret_ms = ((int64_t)timegm(&parts) - offset_s) * 1000 + fraction_ms;
    return true;
}

void cli_view_duration(struct cli_text *text, int64_t duration_ms) {
    /* Rounded up: "in 0s" would be a lie. */
    int64_t s = duration_ms > 0 ? duration_ms / 1000 + (duration_ms % 1000 != 0) : 0;
    if (s < 60)
        cli_text_addf(text, "%llds", (long long)s);
    else if (s < 3600)
        cli_text_addf(text, "%lldm%02llds", (long long)(s / 60), (long long)(s % 60));
    else if (s < 86400)
        cli_text_addf(text, "%lldh%02lldm", (long long)(s / 3600), (long long)(s % 3600 / 60));
    else if (s < 10 * 86400)
        cli_text_addf(text, "%lldd%lldh", (long long)(s / 86400), (long long)(s % 86400 / 3600));
    else
        cli_text_addf(text, "%lldd", (long long)(s / 86400));
}

static void view_calendar(struct cli_text *text, int64_t time_ms, enum cli_time_style style) {
    char buffer[64];
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    size_t length = 0;
    if (localtime_r(&seconds, &parts)) {
        if (style == CLI_TIME_CLOCK)
            length = strftime(buffer, sizeof(buffer), "%H:%M:%S", &parts);
        else if (style == CLI_TIME_SHORT)
            length = strftime(buffer, sizeof(buffer), "%Y-%m-%d %H:%M", &parts);
        else if (style == CLI_TIME_SECOND)
            length = strftime(buffer, sizeof(buffer), "%Y-%m-%d %H:%M:%S", &parts);
        else
            length = strftime(buffer, sizeof(buffer), "%Y-%m-%d %H:%M:%S %z", &parts);
    }
    if (length)
        cli_text_add(text, buffer, length);
    else
        cli_text_addf(text, "%lld ms", (long long)time_ms);
}

static void view_distance(struct cli_text *text, int64_t time_ms, int64_t now_ms) {
    bool ahead = time_ms > now_ms;
    cli_text_adds(text, ahead ? "in " : "");
    cli_view_duration(text, ahead ? time_ms - now_ms : now_ms - time_ms);
    cli_text_adds(text, ahead ? "" : " ago");
}

void cli_view_ms(struct cli_text *text, int64_t time_ms, enum cli_time_style style,
                 int64_t now_ms) {
    switch (style) {
    case CLI_TIME_SHORT:
    case CLI_TIME_SECOND:
    case CLI_TIME_CLOCK:
        view_calendar(text, time_ms, style);
        break;
    case CLI_TIME_LONG:
        view_calendar(text, time_ms, style);
        cli_text_adds(text, " (");
        view_distance(text, time_ms, now_ms);
        cli_text_adds(text, ")");
        break;
    case CLI_TIME_IN:
        if (time_ms <= now_ms)
            cli_text_adds(text, "now");
        else
            view_distance(text, time_ms, now_ms);
        break;
    case CLI_TIME_AGO:
        view_distance(text, time_ms, now_ms);
        break;
    }
}

void cli_view_time(struct cli_text *text, const json_t *value, enum cli_time_style style,
                   int64_t now_ms) {
    const char *string = json_string_value(value);
    int64_t time_ms;
    if (string && cli_parse_time(string, &time_ms))
        cli_view_ms(text, time_ms, style, now_ms);
    else
        cli_view_value(text, value);
}

static const struct {
    const char *status, *color, *sequence;
} status_colors[] = {
    { "normal", "green", "\033[32m" },      { "cooling", "yellow", "\033[33m" },
    { "exceeded", "magenta", "\033[35m" },  { "error", "red", "\033[31m" },
    { "disabled", "darkgray", "\033[90m" }, { "expired", "red", "\033[31m" },
};

const char *cli_status_color(const char *status) {
    for (size_t i = 0; status && i < sizeof(status_colors) / sizeof(status_colors[0]); i++) {
        if (strcmp(status, status_colors[i].status) == 0)
            return status_colors[i].color;
    }
    return NULL;
}

void cli_view_status(struct cli_text *text, const char *status, bool color) {
    const char *sequence = NULL;
    for (size_t i = 0; color && i < sizeof(status_colors) / sizeof(status_colors[0]); i++) {
        if (strcmp(status, status_colors[i].status) == 0)
            sequence = status_colors[i].sequence;
    }
    cli_text_adds(text, sequence ? sequence : "");
    cli_text_add_printable(text, status);
    cli_text_adds(text, sequence ? "\033[0m" : "");
}

void cli_view_masked(struct cli_text *text, const char *secret) {
    size_t length = strlen(secret);
    cli_text_adds(text, "…");
    if (length >= 12)
        cli_text_add_printable(text, secret + length - 4);
}
