/*
 * Vendors, the broker itself and help as an operator reads them. Called by render.c.
 */
#include "cli.h"
#include "fields.h"
#include "help.h"
#include "render.h"
#include "table.h"
#include "text.h"
#include "view.h"

void cli_render_vendors(const struct cli_context *context, const json_t *body) {
    static const struct cli_column columns[] = {
        { "VENDOR", 1, 10, 0 }, { "TITLE", 5, 0, 0 },        { "BASE URL", 2, 20, 0 },
        { "AUTH", 4, 0, 0 },    { "ENVIRONMENT", 3, 20, 0 },
    };
    static const char *const plain[] = { "name", "title", "base_url", "auth", "environment" };
    const json_t *vendors = json_object_get(body, "vendors");
    if (json_array_size(vendors) == 0) {
        fputs("No vendor matches.\n", context->out);
        return;
    }
    struct cli_table *table = cli_table_new(context, columns, sizeof(columns) / sizeof(columns[0]));
    struct cli_text text = CLI_TEXT_INIT;
    for (size_t i = 0; i < json_array_size(vendors); i++) {
        const json_t *vendor = json_array_get(vendors, i);
        cli_table_row(table);
        for (size_t j = 0; j < sizeof(plain) / sizeof(plain[0]); j++) {
            cli_view_value(&text, json_object_get(vendor, plain[j]));
            cli_table_cell(table, &text, NULL);
        }
    }
    cli_text_deinit(&text);
    cli_table_print(table);
    cli_table_free(table);
    cli_render_rest(context, json_array_size(vendors), body);
}

/* "api_key: API key (required, secret)" */
static void add_config_field(json_t *lines, const json_t *field) {
    struct cli_text text = CLI_TEXT_INIT;
    bool required = json_is_true(json_object_get(field, "required"));
    bool secret = json_is_true(json_object_get(field, "secret"));
    cli_view_value(&text, json_object_get(field, "name"));
    cli_text_adds(&text, ": ");
    cli_view_value(&text, json_object_get(field, "title"));
    if (required || secret)
        cli_text_adds(&text, required && secret ? " (required, secret)"
                             : required         ? " (required)"
                                                : " (secret)");
    json_array_append_new(lines, json_string(cli_text_string(&text)));
    cli_text_deinit(&text);
}

void cli_render_vendor(const struct cli_context *context, const json_t *body, int64_t now_ms) {
    static const struct cli_field fields[] = {
        { "name", "Vendor", CLI_FIELD_TEXT },
        { "title", "Title", CLI_FIELD_TEXT },
        { "base_url", "Base URL", CLI_FIELD_TEXT },
        { "base_url_form", "Base URL's form", CLI_FIELD_TEXT },
        { "base_url_required", "Base URL needed", CLI_FIELD_TEXT },
        { "auth", "Auth header", CLI_FIELD_TEXT },
        { "environment", "Environment", CLI_FIELD_TEXT },
        { "rate_scope", "Rate limits per", CLI_FIELD_TEXT },
        { "fields", "Fields", CLI_FIELD_HIDDEN },
        { "rules", "Rules", CLI_FIELD_HIDDEN },
    };
    cli_fields_print(context, body, fields, sizeof(fields) / sizeof(fields[0]), now_ms);
    const json_t *known = json_object_get(body, "fields");
    json_t *lines = json_array();
    for (size_t i = 0; i < json_array_size(known); i++)
        add_config_field(lines, json_array_get(known, i));
    cli_fields_lines(context, "Fields of a key's config", lines);
    json_decref(lines);
    cli_fields_lines(context, "Rules, the first that matches decides",
                     json_object_get(body, "rules"));
}

void cli_render_info(const struct cli_context *context, const json_t *body, int64_t now_ms) {
    static const struct cli_field fields[] = {
        { "version", "Version", CLI_FIELD_TEXT },
        { "pid", "Process", CLI_FIELD_TEXT },
        { "uptime_s", "Up for", CLI_FIELD_DURATION },
        { "loop", "Event loop", CLI_FIELD_TEXT },
        { "state_dir", "State directory", CLI_FIELD_TEXT },
        { "runtime_dir", "Runtime directory", CLI_FIELD_TEXT },
        { "start", "Start", CLI_FIELD_TEXT },
        { "pools", "Pools", CLI_FIELD_TEXT },
        { "keys", "Keys", CLI_FIELD_TEXT },
        { "connections", "Connections", CLI_FIELD_TEXT },
        { "report_connections", "Report connections", CLI_FIELD_TEXT },
        { "admin_connections", "Admin connections", CLI_FIELD_TEXT },
        { "store_ok", "Store works", CLI_FIELD_TEXT },
        { "store_problem", "Store problem", CLI_FIELD_TEXT },
    };
    cli_fields_print(context, body, fields, sizeof(fields) / sizeof(fields[0]), now_ms);
}

void cli_render_help(const struct cli_context *context, const json_t *body) {
    const json_t *commands = json_object_get(body, "commands");
    for (size_t i = 0; i < json_array_size(commands); i++) {
        const json_t *command = json_array_get(commands, i);
        const char *usage = cli_json_string(command, "usage");
        const char *help = cli_json_string(command, "help");
        if (usage)
            cli_help_line(context, 0, usage);
        if (help && *help)
            cli_help_line(context, 4, help);
    }
    if (json_array_size(commands) != 1)
        cli_help_local(context, NULL);
}
