/*
 * Pools as an operator reads them. Called by render.c.
 */
#include "cli.h"
#include "fields.h"
#include "guard.h"
#include "render.h"
#include "table.h"
#include "text.h"
#include "view.h"

/* "3/7" */
static void view_usable(struct cli_text *text, const json_t *pool) {
    cli_view_value(text, json_object_get(pool, "usable"));
    cli_text_add(text, "/", 1);
    cli_view_value(text, json_object_get(pool, "total"));
}

/* The worst that can be said about the pool, as a status colour. */
static const char *pool_color(const json_t *pool) {
    if (cli_json_integer(pool, "usable", -1) == 0)
        return cli_status_color("error");
    return cli_json_integer(pool, "usable", 0) == cli_json_integer(pool, "total", -1)
               ? cli_status_color("normal")
               : cli_status_color("cooling");
}

static void pools_row(struct cli_table *table, const json_t *pool, int64_t now_ms) {
    static const char *const plain[] = { "name", "vendor", "strategy", "current" };
    struct cli_text text = CLI_TEXT_INIT;
    cli_table_row(table);
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        cli_view_value(&text, json_object_get(pool, plain[i]));
        cli_table_cell(table, &text, NULL);
    }
    view_usable(&text, pool);
    cli_table_cell(table, &text, pool_color(pool));
    cli_guard_word(&text, pool, now_ms);
    cli_table_cell(table, &text, NULL);
    const json_t *failover = json_object_get(pool, "last_failover");
    const json_t *when = json_is_object(failover) ? json_object_get(failover, "time") : failover;
    cli_view_time(&text, when, CLI_TIME_AGO, now_ms);
    cli_table_cell(table, &text, NULL);
    cli_view_value(&text, json_object_get(pool, "group"));
    cli_table_cell(table, &text, NULL);
    cli_view_counts(&text, json_object_get(pool, "counts"), "normal");
    cli_table_cell(table, &text, NULL);
    cli_text_deinit(&text);
}

void cli_render_pools(const struct cli_context *context, const json_t *body, int64_t now_ms) {
    static const struct cli_column columns[] = {
        { "POOL", 1, 10, 0 },
        { "VENDOR", 7, 0, 0 },
        { "STRATEGY", 8, 0, 0 },
        { "CURRENT", 3, 10, 0 },
        { "USABLE", 2, 0, CLI_COLUMN_RIGHT },
        { "GUARD", 4, 0, 0 },
        { "FAILOVER", 6, 0, 0 },
        { "GROUP", 9, 0, 0 },
        { "BENCHED", 5, 10, 0 },
    };
    const json_t *pools = json_object_get(body, "pools");
    if (json_array_size(pools) == 0) {
        if (cli_json_integer(body, "total", 0) == 0)
            fputs("No pools yet. Add one: keybroker add pool openai vendor=openai\n", context->out);
        else
            fputs("No pool matches.\n", context->out);
        return;
    }
    struct cli_table *table = cli_table_new(context, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < json_array_size(pools); i++)
        pools_row(table, json_array_get(pools, i), now_ms);
    cli_table_print(table);
    cli_table_free(table);
    cli_render_rest(context, json_array_size(pools), body);
}

void cli_render_pool(const struct cli_context *context, const json_t *body, int64_t now_ms) {
    static const struct cli_field fields[] = {
        { "name", "Pool", CLI_FIELD_TEXT },
        { "vendor", "Vendor", CLI_FIELD_TEXT },
        { "strategy", "Strategy", CLI_FIELD_TEXT },
        { "current", "Using", CLI_FIELD_TEXT },
        { "next", "Next", CLI_FIELD_TEXT },
        { "recovers_at", "Usable again", CLI_FIELD_TIME },
        { "usable", "Usable", CLI_FIELD_TEXT },
        { "total", "Keys", CLI_FIELD_TEXT },
        { "counts", "By status", CLI_FIELD_COUNTS },
        { "default", "Default key", CLI_FIELD_TEXT },
        { "group", "Group", CLI_FIELD_TEXT },
        { "base_url", "Base URL", CLI_FIELD_TEXT },
        { "exceeded_recovery", "Exceeded recovery", CLI_FIELD_TEXT },
        { "error_recovery", "Error recovery", CLI_FIELD_TEXT },
        { "guard", "Guard", CLI_FIELD_TEXT },
        { "guard_share", "", CLI_FIELD_HIDDEN },
        { "guard_until", "", CLI_FIELD_HIDDEN },
        { "guard_held", "Held back", CLI_FIELD_TEXT },
        { "last_failover", "Last failover", CLI_FIELD_TIME },
        { "revision", "Revision", CLI_FIELD_TEXT },
        { "created_at", "Created", CLI_FIELD_TIME },
        { "rules", "Rules", CLI_FIELD_HIDDEN },
    };
    struct cli_text guard = CLI_TEXT_INIT;
    json_t *shown = json_copy((json_t *)(uintptr_t)body);
    cli_guard_sentence(&guard, body, now_ms);
    if (json_object_get(body, "guard"))
        json_object_set_new(shown, "guard", json_string(cli_text_string(&guard)));
    cli_guard_banner(context, body, now_ms);
    cli_fields_print(context, shown, fields, sizeof(fields) / sizeof(fields[0]), now_ms);
    json_decref(shown);
    cli_text_deinit(&guard);
    cli_fields_lines(context, "Rules before the vendor's", json_object_get(body, "rules"));
}
