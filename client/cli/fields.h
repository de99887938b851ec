/*
 * One JSON object as aligned "Field: value" lines: known fields first, in a given order and under
 * given labels; whatever else the broker sends follows under its own name.
 */
#ifndef KEYBROKER_CLI_FIELDS_H
#define KEYBROKER_CLI_FIELDS_H

#include <jansson.h>
#include <stdint.h>

struct cli_context;

enum cli_field_kind {
    CLI_FIELD_TEXT = 0,
    CLI_FIELD_TIME,     /* absent: an en dash */
    CLI_FIELD_EXPIRY,   /* absent: never */
    CLI_FIELD_STATUS,   /* coloured */
    CLI_FIELD_DURATION, /* seconds */
    CLI_FIELD_COUNTS,   /* an object of numbers: "3 normal, 1 cooling" */
    CLI_FIELD_FAILURE,  /* an object: class, http_status, vendor_code, at */
    CLI_FIELD_HIDDEN,   /* shown elsewhere or not at all */
};

struct cli_field {
    const char *name;
    const char *label;
    enum cli_field_kind kind;
};

void cli_fields_print(const struct cli_context *context, const json_t *object,
                      const struct cli_field *known, size_t known_count, int64_t now_ms);

/* Below them "Label:" and every string of the array on a line of its own; nothing without any. */
void cli_fields_lines(const struct cli_context *context, const char *label, const json_t *array);

#endif
