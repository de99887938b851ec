/*
 * Chooses how a reply is shown; see render.h. Called by command.c with a parsed body.
 */
#include "render.h"
#include "cli.h"
#include "fields.h"
#include "text.h"
#include "view.h"

#include <string.h>

void cli_render_rest(const struct cli_context *context, size_t shown, const json_t *body) {
    int64_t total = cli_json_integer(body, "total", 0);
    if (total > 0 && (uint64_t)total > shown)
        fprintf(context->out, "%zu of %lld shown; offset=N and limit=N show others.\n", shown,
                (long long)total);
}

static void render_lines(const struct cli_context *context, const json_t *lines) {
    struct cli_text text = CLI_TEXT_INIT;
    for (size_t i = 0; i < json_array_size(lines); i++) {
        cli_text_clear(&text);
        cli_view_value(&text, json_array_get(lines, i));
        fprintf(context->out, "  %s\n", cli_text_string(&text));
    }
    cli_text_deinit(&text);
}

/* What a change answers: its message, whatever it says that it understood, and the differences that
 * an import found. What is for programs alone, the message has in its words. */
static void render_change(const struct cli_context *context, const json_t *body, int64_t now_ms) {
    static const struct cli_field said[] = {
        { "message", "", CLI_FIELD_HIDDEN },    { "changes", "", CLI_FIELD_HIDDEN },
        { "key", "", CLI_FIELD_HIDDEN },        { "id", "", CLI_FIELD_HIDDEN },
        { "priority", "", CLI_FIELD_HIDDEN },   { "revision", "", CLI_FIELD_HIDDEN },
        { "applied", "", CLI_FIELD_HIDDEN },    { "masked", "", CLI_FIELD_HIDDEN },
        { "expires_at", "", CLI_FIELD_HIDDEN },
    };
    const char *message = cli_json_string(body, "message");
    if (!message) {
        cli_fields_print(context, body, NULL, 0, now_ms);
        return;
    }
    struct cli_text text = CLI_TEXT_INIT;
    cli_text_add_printable(&text, message);
    fprintf(context->out, "%s\n", cli_text_string(&text));
    cli_text_deinit(&text);
    cli_fields_print(context, body, said, sizeof(said) / sizeof(said[0]), now_ms);
    render_lines(context, json_object_get(body, "changes"));
}

/* What export prints is what import reads: JSON, in the broker's order. */
static void render_document(const struct cli_context *context, const json_t *body) {
    json_dumpf(body, context->out, JSON_INDENT(2));
    fputc('\n', context->out);
}

static void render_metrics(const struct cli_context *context, const json_t *body) {
    const char *text = cli_json_string(body, "text");
    if (!text)
        return;
    fputs(text, context->out);
    if (*text && text[strlen(text) - 1] != '\n')
        fputc('\n', context->out);
}

static void render_show(const struct cli_context *context, const char *noun, const json_t *body,
                        int64_t now_ms) {
    if (strcmp(noun, "pools") == 0)
        cli_render_pools(context, body, now_ms);
    else if (strcmp(noun, "pool") == 0)
        cli_render_pool(context, body, now_ms);
    else if (strcmp(noun, "keys") == 0)
        cli_render_keys(context, body, now_ms);
    else if (strcmp(noun, "key") == 0)
        cli_render_key(context, body, now_ms);
    else if (strcmp(noun, "events") == 0)
        cli_render_events(context, body, now_ms);
    else if (strcmp(noun, "vendors") == 0)
        cli_render_vendors(context, body);
    else if (strcmp(noun, "vendor") == 0)
        cli_render_vendor(context, body, now_ms);
    else if (strcmp(noun, "info") == 0)
        cli_render_info(context, body, now_ms);
    else if (strcmp(noun, "metrics") == 0)
        render_metrics(context, body);
    else
        cli_fields_print(context, body, NULL, 0, now_ms);
}

void cli_render(const struct cli_context *context, char *const *words, size_t count,
                const json_t *body, int64_t now_ms) {
    if (count >= 2 && strcmp(words[0], "show") == 0)
        render_show(context, words[1], body, now_ms);
    else if (count >= 1 && strcmp(words[0], "export") == 0)
        render_document(context, body);
    else if (count >= 1 && strcmp(words[0], "help") == 0)
        cli_render_help(context, body);
    else
        render_change(context, body, now_ms);
}
