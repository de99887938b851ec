/*
 * "Field: value" lines; see fields.h. Called by the render files.
 */
#include "fields.h"
#include "cli.h"
#include "text.h"
#include "view.h"

#include <ctype.h>
#include <string.h>

static const struct cli_field *find(const struct cli_field *known, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(known[i].name, name) == 0)
            return &known[i];
    }
    return NULL;
}

/* "last_failover" reads "Last failover". */
static void label_of(struct cli_text *label, const char *name) {
    cli_text_add_printable(label, name);
    for (size_t i = 0; i < label->length; i++) {
        if (label->data[i] == '_')
            label->data[i] = ' ';
    }
    if (label->length)
        label->data[0] = (char)toupper((unsigned char)label->data[0]);
}

/* "rate (429 slow_down) at 2026-11-23 16:00:00 +0000 (4m12s ago)" */
static void add_failure(struct cli_text *text, const json_t *failure, int64_t now_ms) {
    const json_t *http_status = json_object_get(failure, "http_status");
    const json_t *code = json_object_get(failure, "vendor_code");
    cli_view_value(text, json_object_get(failure, "class"));
    if (json_is_integer(http_status) || json_is_string(code)) {
        cli_text_adds(text, " (");
        if (json_is_integer(http_status))
            cli_view_value(text, http_status);
        if (json_is_integer(http_status) && json_is_string(code))
            cli_text_adds(text, " ");
        if (json_is_string(code))
            cli_view_value(text, code);
        cli_text_adds(text, ")");
    }
    cli_text_adds(text, " at ");
    cli_view_time(text, json_object_get(failure, "at"), CLI_TIME_LONG, now_ms);
}

static void add_value(const struct cli_context *context, struct cli_text *text, const json_t *value,
                      enum cli_field_kind kind, int64_t now_ms) {
    switch (kind) {
    case CLI_FIELD_EXPIRY:
        if (json_is_null(value)) {
            cli_text_adds(text, "never");
            break;
        }
        cli_view_time(text, value, CLI_TIME_LONG, now_ms);
        break;
    case CLI_FIELD_TIME:
        cli_view_time(text, value, CLI_TIME_LONG, now_ms);
        break;
    case CLI_FIELD_STATUS:
        if (json_is_string(value))
            cli_view_status(text, json_string_value(value), context->color);
        else
            cli_view_value(text, value);
        break;
    case CLI_FIELD_DURATION:
        if (json_is_integer(value))
            cli_view_duration(text, (int64_t)json_integer_value(value) * 1000);
        else
            cli_view_value(text, value);
        break;
    case CLI_FIELD_COUNTS:
        cli_view_counts(text, value, NULL);
        break;
    case CLI_FIELD_FAILURE:
        if (json_is_object(value))
            add_failure(text, value, now_ms);
        else
            cli_view_value(text, value);
        break;
    default:
        cli_view_value(text, value);
    }
}

static void print_one(const struct cli_context *context, const char *label, size_t width,
                      const json_t *value, enum cli_field_kind kind, int64_t now_ms) {
    struct cli_text text = CLI_TEXT_INIT;
    add_value(context, &text, value, kind, now_ms);
    int padding = (int)(width - strlen(label));
    fprintf(context->out, "%s:%*s %s\n", label, padding, "", cli_text_string(&text));
    cli_text_deinit(&text);
}

void cli_fields_print(const struct cli_context *context, const json_t *object,
                      const struct cli_field *known, size_t known_count, int64_t now_ms) {
    struct cli_text label = CLI_TEXT_INIT;
    const char *name;
    json_t *value;
    size_t width = 0;
    json_object_foreach((json_t *)object, name, value) {
        const struct cli_field *field = find(known, known_count, name);
        if (field && field->kind == CLI_FIELD_HIDDEN)
            continue;
        size_t length = field ? strlen(field->label) : strlen(name);
        if (length > width)
            width = length;
    }
    for (size_t i = 0; i < known_count; i++) {
        value = json_object_get(object, known[i].name);
        if (value && known[i].kind != CLI_FIELD_HIDDEN)
            print_one(context, known[i].label, width, value, known[i].kind, now_ms);
    }
    json_object_foreach((json_t *)object, name, value) {
        if (find(known, known_count, name))
            continue;
        cli_text_clear(&label);
        label_of(&label, name);
        print_one(context, cli_text_string(&label), width, value, CLI_FIELD_TEXT, now_ms);
    }
    cli_text_deinit(&label);
}

void cli_fields_lines(const struct cli_context *context, const char *label, const json_t *array) {
    struct cli_text text = CLI_TEXT_INIT;
    if (json_array_size(array))
        fprintf(context->out, "%s:\n", label);
    for (size_t i = 0; i < json_array_size(array); i++) {
        cli_text_clear(&text);
        cli_view_value(&text, json_array_get(array, i));
        fprintf(context->out, "  %s\n", cli_text_string(&text));
    }
    cli_text_deinit(&text);
}
