/* See import_document.h. */
#include "import_document.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <keybroker_shared/board.h>

#include "memory.h"
#include "record.h"

enum {
    NAME_BYTES = 64,          /* of a member that a document has */
    SETTINGS_BYTES = 1 << 20, /* a pool's, with its rules */
    KEY_BYTES = 512 << 10,    /* a key's, whose configuration has 64 KiB at most */
    MEMBERS_MAX = 64,
    LOOKED_AT = 16 << 10, /* bytes between pauses */
};

/* ---- refusals ---- */

static int refuse_document(struct refusal *refusal, const char *field, const char *message) {
    return refuse(refusal, REFUSED_SYNTAX, "bad-import", field, "%s", message);
}

/* `at`: where the part begins that error is about; NULL error = at itself is wrong. */
static int refuse_json(const struct import_document *document, const char *at,
                       const json_error_t *error, struct refusal *refusal) {
    int line = 1, column = 1;
    for (const char *c = document->text.at; c < at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
        if ((c - document->text.at) % LOOKED_AT == LOOKED_AT - 1)
            pause_take(document->pause);
    }
    if (error) {
        column = error->line > 1 ? error->column : column + error->column - 1;
        line += error->line - 1;
    }
    return refuse(refusal, REFUSED_SYNTAX, "bad-json", "",
                  "the payload is no JSON: line %d, column %d", line, column);
}

/* ---- reading ---- */

static int load(const struct import_document *document, struct json_part part, size_t most,
                json_t **ret, struct refusal *refusal) {
    json_error_t error;
    if (part.length > most)
        return refuse(refusal, REFUSED_TOO_LARGE, "bad-import", "",
                      "a key or the pool's settings take more than %zu KiB of the document",
                      most >> 10);
    *ret = json_part_load(part, &error);
    return *ret ? 0 : refuse_json(document, part.at, &error, refusal);
}

/* Find every key, and stop at the first that is none. */
static int read_keys(struct import_document *document, struct json_part value,
                     struct refusal *refusal) {
    struct json_parts parts;
    struct json_part key;
    size_t room = 0;
    enum json_parts_next next;
    if (document->keys || !json_parts_begin(&parts, value, '[', document->pause))
        return refuse_document(refusal, "keys", "the payload is not what export prints");
    document->keys = mem_resize(NULL, 1, sizeof *document->keys);
    while ((next = json_parts_next(&parts, NULL, &key)) == JSON_PART) {
        if (*key.at != '{')
            return refuse_document(refusal, "keys", "every key is an object with a config object");
        if (document->count == KB_BOARD_SLOTS_MAX)
            return refuse(refusal, REFUSED_RULE, "pool-full", "keys",
                          "a pool holds at most %u keys", KB_BOARD_SLOTS_MAX);
        if (document->count == room) {
            room = room ? room * 2 : 64;
            document->keys = mem_resize(document->keys, room, sizeof *document->keys);
        }
        document->keys[document->count++] = key;
    }
    return next == JSON_PARTS_END ? 0 : refuse_json(document, parts.at, NULL, refusal);
}

static int read_format(const struct import_document *document, struct json_part value,
                       struct refusal *refusal) {
    json_t *format = NULL;
    int refused = load(document, value, NAME_BYTES, &format, refusal);
    if (!refused && json_integer_value(format) != EXPORT_FORMAT)
        refused = refuse_document(refusal, "format", "the payload is not what export prints");
    json_decref(format);
    return refused;
}

static int read_member(struct import_document *document, const char *name, struct json_part value,
                       struct refusal *refusal) {
    if (strcmp(name, "keys") == 0)
        return read_keys(document, value, refusal);
    if (strcmp(name, "format") == 0)
        return read_format(document, value, refusal);
    if (strcmp(name, "pool") != 0)
        return 0;
    if (document->settings)
        return refuse_document(refusal, "pool", "the document has two pools");
    int refused = load(document, value, SETTINGS_BYTES, &document->settings, refusal);
    if (!refused && !json_is_object(document->settings))
        refused = refuse_document(refusal, "pool", "pool: an object with the pool's settings");
    return refused;
}

int import_document_read(struct import_document *document, struct json_part text,
                         const struct pause *pause, struct refusal *refusal) {
    struct json_parts parts;
    struct json_part name, value;
    enum json_parts_next next;
    unsigned members = 0;
    *document = (struct import_document){ .text = text, .pause = pause };
    if (!json_parts_begin(&parts, text, '{', pause))
        return refuse_json(document, parts.at, NULL, refusal);
    while ((next = json_parts_next(&parts, &name, &value)) == JSON_PART) {
        if (++members > MEMBERS_MAX)
            return refuse_document(refusal, "", "the payload is not what export prints");
        if (name.length > NAME_BYTES)
            continue;
        json_t *string = NULL;
        int refused = load(document, name, NAME_BYTES, &string, refusal);
        if (!refused)
            refused = read_member(document, json_string_value(string), value, refusal);
        json_decref(string);
        if (refused)
            return refused;
    }
    if (next == JSON_PARTS_BROKEN)
        return refuse_json(document, parts.at, NULL, refusal);
    return document->keys ? 0
                          : refuse_document(refusal, "", "the payload is not what export prints");
}

void import_document_deinit(struct import_document *document) {
    json_decref(document->settings);
    free(document->keys);
    *document = (struct import_document){ 0 };
}

/* ---- keys ---- */

static int check_types(const json_t *object, struct refusal *refusal) {
    static const char *const TEXTS[] = { "name", "account", "note", "expires_at" };
    static const char *const SWITCHES[] = { "disabled", "default" };
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        const json_t *value = json_object_get(object, TEXTS[i]);
        if (value && !json_is_string(value) && !json_is_null(value))
            return refuse_document(refusal, TEXTS[i], "a text or a time is a JSON string");
    }
    for (size_t i = 0; i < sizeof SWITCHES / sizeof *SWITCHES; i++) {
        const json_t *value = json_object_get(object, SWITCHES[i]);
        if (value && !json_is_boolean(value))
            return refuse_document(refusal, SWITCHES[i], "disabled and default are true or false");
    }
    const json_t *weight = json_object_get(object, "weight");
    json_int_t number = json_integer_value(weight);
    if (weight && (!json_is_integer(weight) || number < 1 || number > WEIGHT_MAX))
        return refuse_document(refusal, "weight", "a weight is a whole number from 1 to 1000");
    return 0;
}

json_t *import_document_key(const struct import_document *document, size_t index,
                            struct refusal *refusal) {
    json_t *object = NULL;
    int refused = load(document, document->keys[index], KEY_BYTES, &object, refusal);
    if (!refused && !json_is_object(json_object_get(object, "config")))
        refused = refuse_document(refusal, "keys", "every key is an object with a config object");
    if (!refused)
        refused = check_types(object, refusal);
    if (!refused)
        return object;
    json_decref(object);
    return NULL;
}
