/*
 * Events as an operator reads them, in a table (show events) and as lines (watch). Called by
 * render.c and watch.c.
 */
#include "cli.h"
#include "render.h"
#include "table.h"
#include "text.h"
#include "view.h"
#include "who.h"

#include <string.h>

/* The string at `name`, NULL also when empty. */
static const char *filled(const json_t *object, const char *name) {
    const char *string = cli_json_string(object, name);
    return string && *string ? string : NULL;
}

/* "normal → cooling", or what kind of event it is. */
static void add_change(struct cli_text *text, const json_t *event, bool color) {
    const char *from = filled(event, "from");
    const char *to = filled(event, "to");
    const char *kind = filled(event, "kind");
    int64_t count = cli_json_integer(event, "count", 1);
    if (kind && strcmp(kind, "failover") == 0) {
        const char *next = filled(event, "to_key");
        cli_text_adds(text, "failover → ");
        cli_text_add_printable(text, next ? next : "no key");
    } else if (from && to) {
        cli_view_status(text, from, color);
        cli_text_adds(text, " → ");
        cli_view_status(text, to, color);
    } else {
        cli_text_add_printable(text, kind ? kind : "event");
        if (to) {
            cli_text_adds(text, " → ");
            cli_view_status(text, to, color);
        }
    }
    if (count > 1)
        cli_text_addf(text, " (%lld times)", (long long)count);
}

static void separate(struct cli_text *text, size_t begin) {
    if (text->length > begin && text->data[text->length - 1] != ' ')
        cli_text_add(text, " ", 1);
}

/* "rate (429 slow_down) too many requests, reported by app-3 (inference)", as much of it as there
 * is. */
static void add_cause(struct cli_text *text, const json_t *event) {
    size_t begin = text->length;
    const char *class = filled(event, "class");
    const char *code = filled(event, "vendor_code");
    const char *reason = filled(event, "reason");
    int64_t http_status = cli_json_integer(event, "http_status", 0);
    if (class)
        cli_text_add_printable(text, class);
    if (http_status || code) {
        separate(text, begin);
        cli_text_add(text, "(", 1);
        if (http_status)
            cli_text_addf(text, "%lld%s", (long long)http_status, code ? " " : "");
        if (code)
            cli_text_add_printable(text, code);
        cli_text_add(text, ")", 1);
    }
    if (reason && !(class && strcmp(class, reason) == 0) && !(code && strcmp(code, reason) == 0)) {
        separate(text, begin);
        cli_text_add_printable(text, reason);
    }
    const char *who = filled(event, "who");
    if (who) {
        if (text->length > begin)
            cli_text_adds(text, strncmp(who, "report", 6) == 0 ? ", " : " ");
        cli_add_who(text, event);
    }
}

void cli_event_line(struct cli_text *text, const json_t *event, bool color) {
    const char *type = cli_json_string(event, "type");
    if (type && strcmp(type, "gap") == 0) {
        cli_text_adds(text, "(events ");
        cli_view_value(text, json_object_get(event, "from"));
        cli_text_adds(text, " to ");
        cli_view_value(text, json_object_get(event, "to"));
        cli_text_adds(text, " are not kept any more)");
        return;
    }
    if (type && strcmp(type, "event") != 0)
        return;
    const char *key = filled(event, "key");
    cli_view_time(text, json_object_get(event, "time"), CLI_TIME_CLOCK, 0);
    cli_text_add(text, " ", 1);
    cli_view_value(text, json_object_get(event, "pool"));
    if (key) {
        cli_text_add(text, "/", 1);
        cli_text_add_printable(text, key);
    }
    cli_text_add(text, " ", 1);
    add_change(text, event, color);
    cli_text_adds(text, "  ");
    add_cause(text, event);
    while (text->length && text->data[text->length - 1] == ' ')
        text->data[--text->length] = '\0';
}

static void events_row(struct cli_table *table, const json_t *event, int64_t now_ms) {
    struct cli_text text = CLI_TEXT_INIT;
    cli_table_row(table);
    cli_view_value(&text, json_object_get(event, "seq"));
    cli_table_cell(table, &text, NULL);
    cli_view_time(&text, json_object_get(event, "time"), CLI_TIME_SECOND, now_ms);
    cli_table_cell(table, &text, NULL);
    cli_view_value(&text, json_object_get(event, "pool"));
    cli_table_cell(table, &text, NULL);
    cli_text_add_printable(&text, filled(event, "key") ? filled(event, "key") : "");
    cli_table_cell(table, &text, NULL);
    add_change(&text, event, false);
    cli_table_cell(table, &text, cli_status_color(cli_json_string(event, "to")));
    add_cause(&text, event);
    cli_table_cell(table, &text, NULL);
    cli_text_deinit(&text);
}

void cli_render_events(const struct cli_context *context, const json_t *body, int64_t now_ms) {
    static const struct cli_column columns[] = {
        { "SEQ", 6, 0, CLI_COLUMN_RIGHT },
        { "TIME", 4, 0, 0 },
        { "POOL", 5, 8, 0 },
        { "KEY", 2, 12, 0 },
        { "CHANGE", 1, 20, 0 },
        { "CAUSE", 3, 20, 0 },
    };
    const json_t *events = json_object_get(body, "events");
    struct cli_text line = CLI_TEXT_INIT;
    struct cli_table *table = NULL;
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        const char *type = cli_json_string(event, "type");
        if (type && strcmp(type, "gap") == 0) {
            cli_text_clear(&line);
            cli_event_line(&line, event, false);
            fprintf(context->out, "%s\n", cli_text_string(&line));
            continue;
        }
        if (!table)
            table = cli_table_new(context, columns, sizeof(columns) / sizeof(columns[0]));
        events_row(table, event, now_ms);
    }
    if (table)
        cli_table_print(table);
    else
        fputs("No events. \"keybroker watch\" shows them as they happen.\n", context->out);
    cli_table_free(table);
    cli_text_deinit(&line);
}
