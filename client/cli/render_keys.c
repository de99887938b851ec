/*
 * Keys as an operator reads them. Called by render.c.
 */
#include "cli.h"
#include "fields.h"
#include "guard.h"
#include "render.h"
#include "table.h"
#include "text.h"
#include "view.h"

#include <string.h>

static bool is_status(const json_t *key, const char *status) {
    const char *own = cli_json_string(key, "status");
    return own && strcmp(own, status) == 0;
}

/* "openai (openai, priority): using A, 3 of 7 usable". What cannot be known from a part of the list
 * is left out. */
static void header_line(const struct cli_context *context, const json_t *body) {
    const json_t *keys = json_object_get(body, "keys");
    const char *current = NULL;
    size_t normal = 0;
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i);
        normal += is_status(key, "normal") ? 1 : 0;
        if (json_is_true(json_object_get(key, "current")))
            current = cli_json_string(key, "name");
    }
    /* A filtered list says of the whole pool what the broker says of it. */
    size_t count = json_array_size(keys);
    int64_t matching = cli_json_integer(body, "total", (int64_t)count);
    int64_t total = cli_json_integer(body, "pool_total", matching);
    bool complete = total == (int64_t)count;
    int64_t usable = cli_json_integer(body, "usable", complete ? (int64_t)normal : -1);
    if (!current && json_is_string(json_object_get(body, "current")))
        current = cli_json_string(body, "current");

    struct cli_text line = CLI_TEXT_INIT;
    cli_view_value(&line, json_object_get(body, "pool"));
    cli_text_adds(&line, " (");
    cli_view_value(&line, json_object_get(body, "vendor"));
    cli_text_adds(&line, ", ");
    cli_view_value(&line, json_object_get(body, "strategy"));
    cli_text_adds(&line, ")");
    const char *separator = ": ";
    if (current) {
        cli_text_adds(&line, ": using ");
        cli_text_add_printable(&line, current);
        separator = ", ";
    } else if (usable == 0) {
        cli_text_adds(&line, ": no key to use");
        separator = ", ";
    }
    if (usable >= 0)
        cli_text_addf(&line, "%s%lld of %lld usable", separator, (long long)usable,
                      (long long)total);
    fprintf(context->out, "%s\n", cli_text_string(&line));
    cli_text_deinit(&line);
}

/* Name, * for the key in use, "default" for the one that cannot be deleted. */
static void view_name(struct cli_text *text, const json_t *key) {
    cli_view_value(text, json_object_get(key, "name"));
    if (json_is_true(json_object_get(key, "current")))
        cli_text_adds(text, " *");
    if (json_is_true(json_object_get(key, "default")))
        cli_text_adds(text, " (default)");
}

static void view_expiry(struct cli_text *text, const json_t *key, int64_t now_ms) {
    const json_t *expiry = json_object_get(key, "expires_at");
    if (json_is_null(expiry))
        cli_text_adds(text, "never");
    else
        cli_view_time(text, expiry, CLI_TIME_SHORT, now_ms);
}

/* The note, and why the key is as it is. */
static void view_note(struct cli_text *text, const json_t *key) {
    const char *note = cli_json_string(key, "note");
    const char *reason = cli_json_string(key, "reason");
    if (reason)
        cli_text_add_printable(text, reason);
    if (reason && *reason && note && *note)
        cli_text_adds(text, " · ");
    if (note)
        cli_text_add_printable(text, note);
}

static void keys_row(struct cli_table *table, const json_t *key, bool with_weight, int64_t now_ms) {
    struct cli_text text = CLI_TEXT_INIT;
    const char *status = cli_json_string(key, "status");
    const json_t *position = json_object_get(key, "priority");
    if (!position)
        position = json_object_get(key, "position");
    cli_table_row(table);
    cli_view_value(&text, position);
    cli_table_cell(table, &text, NULL);
    view_name(&text, key);
    cli_table_cell(table, &text, NULL);
    cli_view_value(&text, json_object_get(key, "status"));
    cli_table_cell(table, &text, cli_status_color(status));
    cli_view_value(&text, json_object_get(key, "masked"));
    cli_table_cell(table, &text, NULL);
    view_expiry(&text, key, now_ms);
    cli_table_cell(table, &text, NULL);
    const json_t *recovers = json_object_get(key, "recovers_at");
    if (json_is_string(recovers))
        cli_view_time(&text, recovers, CLI_TIME_IN, now_ms);
    else if (!is_status(key, "normal"))
        cli_text_adds(&text, CLI_ABSENT);
    cli_table_cell(table, &text, NULL);
    const char *account = cli_json_string(key, "account");
    cli_text_add_printable(&text, account ? account : "");
    cli_table_cell(table, &text, NULL);
    if (with_weight)
        cli_view_value(&text, json_object_get(key, "weight"));
    cli_table_cell(table, &text, NULL);
    view_note(&text, key);
    cli_table_cell(table, &text, NULL);
    cli_text_deinit(&text);
}

void cli_render_keys(const struct cli_context *context, const json_t *body, int64_t now_ms) {
    static const struct cli_column columns[] = {
        { "POS", 3, 0, CLI_COLUMN_RIGHT },
        { "NAME", 1, 10, 0 },
        { "STATUS", 2, 0, 0 },
        { "KEY", 7, 0, 0 },
        { "EXPIRES", 6, 0, 0 },
        { "RECOVERS", 4, 0, 0 },
        { "ACCOUNT", 8, 8, 0 },
        { "WEIGHT", 9, 0, CLI_COLUMN_RIGHT | CLI_COLUMN_IF_FILLED },
        { "NOTE", 5, 14, 0 },
    };
    const json_t *keys = json_object_get(body, "keys");
    const char *strategy = cli_json_string(body, "strategy");
    bool with_weight = strategy && strcmp(strategy, "spread") == 0;
    header_line(context, body);
    cli_guard_banner(context, body, now_ms);
    if (json_array_size(keys) == 0) {
        fputs("No key matches.\n", context->out);
        return;
    }
    struct cli_table *table = cli_table_new(context, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < json_array_size(keys); i++)
        keys_row(table, json_array_get(keys, i), with_weight, now_ms);
    cli_table_print(table);
    cli_table_free(table);
    cli_render_rest(context, json_array_size(keys), body);
}

void cli_render_key(const struct cli_context *context, const json_t *body, int64_t now_ms) {
    static const struct cli_field fields[] = {
        { "pool", "Pool", CLI_FIELD_TEXT },
        { "name", "Name", CLI_FIELD_TEXT },
        { "id", "Id", CLI_FIELD_TEXT },
        { "priority", "Position", CLI_FIELD_TEXT },
        { "status", "Status", CLI_FIELD_STATUS },
        { "reason", "Reason", CLI_FIELD_TEXT },
        { "status_since", "Since", CLI_FIELD_TIME },
        { "recovers_at", "Recovers", CLI_FIELD_TIME },
        { "current", "In use", CLI_FIELD_TEXT },
        { "default", "Default key", CLI_FIELD_TEXT },
        { "masked", "API key", CLI_FIELD_TEXT },
        { "base_url", "Base URL", CLI_FIELD_TEXT },
        { "config", "Config", CLI_FIELD_TEXT },
        { "expires_at", "Expires", CLI_FIELD_EXPIRY },
        { "account", "Account", CLI_FIELD_TEXT },
        { "weight", "Weight", CLI_FIELD_TEXT },
        { "note", "Note", CLI_FIELD_TEXT },
        { "last_failure", "Last failure", CLI_FIELD_FAILURE },
        { "counters", "Reports", CLI_FIELD_COUNTS },
        { "created_at", "Created", CLI_FIELD_TIME },
        { "updated_at", "Updated", CLI_FIELD_TIME },
    };
    cli_fields_print(context, body, fields, sizeof(fields) / sizeof(fields[0]), now_ms);
}
