/*
 * Key configurations: from what an operator typed to what a worker is handed (see keyconfig.h).
 * Called by the commands, imports, the catalog writer and the console's lists. It does no I/O and
 * keeps nothing; no message of a refusal may hold any part of a configuration, because a mistyped
 * payload is often a secret in the wrong place.
 */
#include "keyconfig.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "memory.h"
#include "secret.h"

enum { DEPTH_MAX = 8, URL_MAX_BYTES = 2048 };

#define TEXT_FLAGS (JSON_COMPACT | JSON_SORT_KEYS)

/* ---- payloads ---- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* In our own words: jansson's quote the text near the mistake. */
static const char *syntax_complaint(const json_error_t *error) {
    switch (json_error_code(error)) {
    case json_error_invalid_utf8:
        return "not valid UTF-8";
    case json_error_premature_end_of_input:
        return "the object ends too early";
    case json_error_end_of_input_expected:
        return "something follows the object";
    case json_error_duplicate_key:
        return "a name stands twice in one object";
    case json_error_numeric_overflow:
        return "a number is too large";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a string holds a NUL";
    case json_error_stack_overflow:
        return "nested too deeply";
    default:
        return "not valid JSON";
    }
}

static json_t *parse_object(const char *text, size_t length, struct refusal *ret_refusal) {
    json_error_t error;
    json_t *object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        refuse(ret_refusal, REFUSED_SYNTAX, "bad-json", "payload", "line %d, column %d: %s",
               error.line, error.column, syntax_complaint(&error));
    return object;
}

json_t *keyconfig_parse_payload(const char *payload, size_t length, struct refusal *ret_refusal) {
    while (length > 0 && is_blank(payload[length - 1]))
        length--;
    while (length > 0 && is_blank(*payload)) {
        payload++;
        length--;
    }
    if (length == 0) {
        refuse(ret_refusal, REFUSED_SYNTAX, "empty-payload", "payload",
               "give a JSON object with api_key, or a bare API key");
        return NULL;
    }
    if (length > KEYCONFIG_MAX_BYTES) {
        refuse(ret_refusal, REFUSED_TOO_LARGE, "config-too-large", "payload",
               "a key's configuration may have at most %d bytes", KEYCONFIG_MAX_BYTES);
        return NULL;
    }
    if (memchr(payload, '\0', length)) {
        refuse(ret_refusal, REFUSED_SYNTAX, "bad-payload", "payload", "the payload holds a NUL");
        return NULL;
    }
    if (*payload == '{')
        return parse_object(payload, length, ret_refusal);
    /* A JSON string or list in place of an object is a mistake, and no vendor's keys look so. */
    json_t *api_key = *payload == '"' || *payload == '[' ? NULL : json_stringn(payload, length);
    if (!api_key) {
        refuse(ret_refusal, REFUSED_SYNTAX, "bad-payload", "payload",
               "neither a JSON object nor a bare API key%s",
               *payload == '"' ? ", which stands without quotes" : "");
        return NULL;
    }
    json_t *config = json_object();
    json_object_set_new(config, "api_key", api_key);
    return config;
}

/* ---- checks ---- */

static bool is_graphic(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '!' || text[i] > '~')
            return false;
    }
    return true;
}

/* jansson has seen to it that strings are UTF-8; what remains are control characters, among them
 * U+0080–U+009F, which terminals obey. */
static bool has_controls(const char *text, size_t length, bool allow_layout) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (allow_layout && (c == '\n' || c == '\t'))
            continue;
        if (c < 0x20 || c == 0x7f)
            return true;
        if (c == 0xc2 && i + 1 < length && (unsigned char)text[i + 1] < 0xa0)
            return true;
    }
    return false;
}

static int check_values(const json_t *value, int depth, struct refusal *ret_refusal) {
    if (json_is_string(value) &&
        has_controls(json_string_value(value), json_string_length(value), true))
        return refuse(ret_refusal, REFUSED_SYNTAX, "bad-config", "config",
                      "a string holds a control character");
    if (!json_is_object(value) && !json_is_array(value))
        return 0;
    if (depth >= DEPTH_MAX)
        return refuse(ret_refusal, REFUSED_SYNTAX, "bad-config", "config",
                      "nested deeper than %d levels", DEPTH_MAX);
    size_t index;
    json_t *item;
    json_array_foreach(value, index, item) {
        int refused = check_values(item, depth + 1, ret_refusal);
        if (refused)
            return refused;
    }
    const char *name;
    json_object_foreach((json_t *)(uintptr_t)value, name, item) {
        if (has_controls(name, strlen(name), false))
            return refuse(ret_refusal, REFUSED_SYNTAX, "bad-config", "config",
                          "a name holds a control character");
        int refused = check_values(item, depth + 1, ret_refusal);
        if (refused)
            return refused;
    }
    return 0;
}

/* To a merge a null means "not there"; so it does in a new configuration, or importing what was
 * exported would change it. */
static void drop_nulls(json_t *object) {
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, name, value) {
        if (json_is_null(value))
            json_object_del(object, name);
        else if (json_is_object(value))
            drop_nulls(value);
    }
}

static int check_api_key(const json_t *config, struct refusal *ret_refusal) {
    const json_t *api_key = json_object_get(config, "api_key");
    if (!api_key || json_is_null(api_key))
        return refuse(ret_refusal, REFUSED_SYNTAX, "missing-api-key", "api_key",
                      "the configuration has no api_key");
    if (!json_is_string(api_key) || json_string_length(api_key) == 0)
        return refuse(ret_refusal, REFUSED_SYNTAX, "bad-api-key", "api_key",
                      "api_key must be a string that is not empty");
    if (json_string_length(api_key) > SECRET_MAX_BYTES)
        return refuse(ret_refusal, REFUSED_TOO_LARGE, "secret-too-long", "api_key",
                      "api_key may have at most %d bytes", SECRET_MAX_BYTES);
    if (!is_graphic(json_string_value(api_key), json_string_length(api_key)))
        return refuse(ret_refusal, REFUSED_SYNTAX, "bad-api-key", "api_key",
                      "api_key may hold only printable ASCII without spaces");
    return 0;
}

static bool is_port(const char *text, size_t length) {
    if (length == 0 || length > 5)
        return false;
    unsigned long port = 0;
    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        port = port * 10 + (unsigned long)(text[i] - '0');
    }
    return port >= 1 && port <= 65535;
}

/* A host name or an address, and perhaps a port. Narrower than the URL standards: nothing that two
 * readers of one URL could take for two hosts. */
static bool is_authority(const char *text, size_t length) {
    size_t host = 0;
    if (length > 0 && text[0] == '[') {
        host = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
        if (host < 3 || host >= length || text[host] != ']')
            return false;
        host++;
    } else {
        while (host < length && (isalnum((unsigned char)text[host]) || strchr("-._", text[host])))
            host++;
    }
    if (host == 0)
        return false;
    return host == length || (text[host] == ':' && is_port(text + host + 1, length - host - 1));
}

/* Length of "https://host:port", or 0 with *ret_complaint set. */
static size_t url_origin(const char *url, const char **ret_complaint) {
    size_t scheme = 0;
    if (strncasecmp(url, "https://", 8) == 0)
        scheme = 8;
    else if (strncasecmp(url, "http://", 7) == 0)
        scheme = 7;
    else {
        *ret_complaint = "must begin with https:// or http://";
        return 0;
    }
    size_t authority = strcspn(url + scheme, "/?#");
    if (memchr(url + scheme, '@', authority)) {
        *ret_complaint = "may not hold a user name or password";
        return 0;
    }
    if (!is_authority(url + scheme, authority)) {
        *ret_complaint = "names no valid host and port";
        return 0;
    }
    return scheme + authority;
}

int keyconfig_check_base_url(const char *url, char **ret_url, struct refusal *ret_refusal) {
    const char *complaint = NULL;
    size_t length = strlen(url);
    size_t origin = 0;
    if (length > URL_MAX_BYTES)
        complaint = "is too long";
    else if (!is_graphic(url, length) || strpbrk(url, "\\\"<>^`{|}"))
        complaint = "holds a space or another character that no URL may hold";
    else if (strchr(url, '#'))
        complaint = "may not have a fragment";
    else
        origin = url_origin(url, &complaint);
    if (complaint)
        return refuse(ret_refusal, REFUSED_SYNTAX, "bad-base-url", "base_url", "base_url %s",
                      complaint);
    char *tidy = mem_strdup(url);
    for (size_t i = 0; i < origin; i++)
        tidy[i] = (char)tolower((unsigned char)tidy[i]);
    if (!strchr(tidy, '?')) {
        while (length > origin && tidy[length - 1] == '/')
            tidy[--length] = '\0';
    }
    *ret_url = tidy;
    return 0;
}

static int check_base_url(json_t *config, const struct vendor *vendor, const char *pool_base_url,
                          struct refusal *ret_refusal) {
    const json_t *value = json_object_get(config, "base_url");
    bool absent =
        !value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
    if (absent) {
        if (!*vendor->base_url && (!pool_base_url || !*pool_base_url))
            return refuse(ret_refusal, REFUSED_SYNTAX, "missing-base-url", "base_url",
                          "%s needs a base_url, in the key's configuration or the pool's",
                          vendor->name);
        json_object_del(config, "base_url");
        return 0;
    }
    if (!json_is_string(value))
        return refuse(ret_refusal, REFUSED_SYNTAX, "bad-base-url", "base_url",
                      "base_url must be a string");
    char *tidy = NULL;
    int refused = keyconfig_check_base_url(json_string_value(value), &tidy, ret_refusal);
    if (refused)
        return refused;
    json_object_set_new(config, "base_url", json_string(tidy));
    free(tidy);
    return 0;
}

static int check_fields(const json_t *config, const struct vendor *vendor,
                        struct refusal *ret_refusal) {
    for (const struct vendor_field *field = vendor->fields; field && field->name; field++) {
        const json_t *value = json_object_get(config, field->name);
        bool absent = !value || json_is_null(value) ||
                      (json_is_string(value) && json_string_length(value) == 0);
        if (field->required && absent)
            return refuse(ret_refusal, REFUSED_SYNTAX, "missing-field", field->name,
                          "%s needs %s in the key's configuration", vendor->name, field->name);
    }
    return 0;
}

int keyconfig_check(json_t *config, const struct vendor *vendor, const char *pool_base_url,
                    struct refusal *ret_refusal) {
    if (!json_is_object(config))
        return refuse(ret_refusal, REFUSED_SYNTAX, "bad-config", "config",
                      "the configuration must be a JSON object");
    int refused = check_api_key(config, ret_refusal);
    if (!refused)
        refused = check_values(config, 0, ret_refusal);
    if (refused)
        return refused;
    drop_nulls(config);
    refused = check_base_url(config, vendor, pool_base_url, ret_refusal);
    if (!refused)
        refused = check_fields(config, vendor, ret_refusal);
    if (!refused && json_dumpb(config, NULL, 0, TEXT_FLAGS) > KEYCONFIG_MAX_BYTES)
        refused = refuse(ret_refusal, REFUSED_TOO_LARGE, "config-too-large", "config",
                         "a key's configuration may have at most %d bytes", KEYCONFIG_MAX_BYTES);
    return refused;
}

/* ---- changes and texts ---- */

void keyconfig_merge(json_t *config, const json_t *patch) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)patch, name, value) {
        if (json_is_null(value)) {
            json_object_del(config, name);
        } else if (json_is_object(value)) {
            json_t *inner = json_object_get(config, name);
            if (!json_is_object(inner)) {
                json_object_set_new(config, name, json_object());
                inner = json_object_get(config, name);
            }
            keyconfig_merge(inner, value);
        } else {
            json_object_set_new(config, name, json_deep_copy(value));
        }
    }
}

/* Measured first and then written into memory of our own, so that no half-grown buffer with a
 * secret in it is freed unwiped. */
char *keyconfig_text(const json_t *config) {
    size_t length = json_dumpb(config, NULL, 0, TEXT_FLAGS);
    char *text = mem_alloc(length + 1);
    json_dumpb(config, text, length, TEXT_FLAGS);
    return text;
}

static bool is_secret_name(const char *name) {
    static const char *const words[] = { "secret",     "token", "passw",         "passphrase",
                                         "credential", "key",   "authorization", "cookie" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasestr(name, words[i]))
            return true;
    }
    return false;
}

/* `value` as it may be shown; `hide` when a name above it says that it is secret. */
static json_t *masked_value(const json_t *value, bool hide) {
    if (json_is_string(value))
        return hide || secret_is_like(NULL, json_string_value(value)) ? json_string("…")
                                                                      : json_deep_copy(value);
    if (json_is_array(value)) {
        json_t *masked = json_array();
        size_t index;
        json_t *item;
        json_array_foreach(value, index, item) {
            json_array_append_new(masked, masked_value(item, hide));
        }
        return masked;
    }
    if (json_is_object(value)) {
        json_t *masked = json_object();
        const char *name;
        json_t *item;
        json_object_foreach((json_t *)(uintptr_t)value, name, item) {
            json_object_set_new(masked, name, masked_value(item, hide || is_secret_name(name)));
        }
        return masked;
    }
    return json_deep_copy(value);
}

json_t *keyconfig_masked(const char *config_text, const struct vendor *vendor) {
    json_t *config = json_loads(config_text, 0, NULL);
    if (!json_is_object(config)) {
        json_decref(config);
        return json_object();
    }
    json_t *masked = masked_value(config, false);
    const struct vendor_field *field = vendor ? vendor->fields : NULL;
    for (; field && field->name; field++) {
        const json_t *value = json_object_get(config, field->name);
        if (field->secret && value)
            json_object_set_new(masked, field->name, masked_value(value, true));
    }
    const char *api_key = json_string_value(json_object_get(config, "api_key"));
    if (api_key) {
        char *mask = vendor_mask(vendor, api_key);
        json_object_set_new(masked, "api_key", json_string(mask));
        free(mask);
    }
    json_decref(config);
    return masked;
}

/* An api_key shows a little more than the mask alone. */
static bool is_mask(const json_t *value, bool api_key) {
    const char *text = json_string_value(value);
    return text && (strcmp(text, "…") == 0 || (api_key && strstr(text, "…")));
}

static bool has_masks(const json_t *value) {
    const char *name;
    json_t *item;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (has_masks(json_array_get(value, i)))
            return true;
    if (json_is_object(value))
        json_object_foreach((json_t *)(uintptr_t)value, name, item) {
            if (has_masks(item))
                return true;
        }
    /* cppcheck-suppress missingReturn ; it takes jansson's loop for a function */
    return is_mask(value, false);
}

bool keyconfig_has_masks(const json_t *config) {
    return is_mask(json_object_get(config, "api_key"), true) || has_masks(config);
}

static void drop_masks(json_t *object) {
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, name, value) {
        if (json_is_object(value))
            drop_masks(value);
        else if (has_masks(value))
            json_object_del(object, name);
    }
}

void keyconfig_drop_masks(json_t *config) {
    if (is_mask(json_object_get(config, "api_key"), true))
        json_object_del(config, "api_key");
    drop_masks(config);
}

/* ---- what workers are handed ---- */

/* `format` with its one %s replaced; by hand, so that nothing but the result ever holds the key. */
static char *auth_header(const char *format, const char *api_key) {
    const char *mark = strstr(format, "%s");
    size_t before = mark ? (size_t)(mark - format) : strlen(format);
    char *header = mem_alloc(strlen(format) + strlen(api_key) + 1);
    char *end = mempcpy(header, format, before);
    if (mark)
        stpcpy(stpcpy(end, api_key), mark + 2);
    return header;
}

/* Append NAME=VALUE with its NUL; returns where the next one begins. */
static char *put_variable(char *end, const char *name, const char *value, size_t value_length) {
    end = stpcpy(stpcpy(end, name), "=");
    end = mempcpy(end, value, value_length);
    *end = '\0';
    return end + 1;
}

static void make_environment(struct keyconfig_handout *handout, const struct vendor *vendor) {
    size_t key_length = strlen(handout->api_key);
    size_t url_length = strlen(handout->base_url);
    size_t cut = strlen(vendor->env_cut);
    if (cut > 0 && url_length > cut &&
        strcmp(handout->base_url + url_length - cut, vendor->env_cut) == 0)
        url_length -= cut;
    bool with_url = *vendor->env_base_url && url_length > 0;
    size_t size = strlen(vendor->env_key) + 1 + key_length + 1 + 1;
    if (with_url)
        size += strlen(vendor->env_base_url) + 1 + url_length + 1;
    handout->environment = mem_alloc(size);
    handout->environment_size = size;
    char *end = put_variable(handout->environment, vendor->env_key, handout->api_key, key_length);
    if (with_url)
        put_variable(end, vendor->env_base_url, handout->base_url, url_length);
}

void keyconfig_handout_init(struct keyconfig_handout *handout, const struct key_record *key,
                            const struct pool_record *pool) {
    /* A vendor that this version does not know was written by a newer one. */
    const struct vendor *vendor = vendor_find(pool->vendor);
    if (!vendor)
        vendor = vendor_find("generic");
    json_t *config = json_loads(key->config, 0, NULL);
    const char *api_key = json_string_value(json_object_get(config, "api_key"));
    const char *base_url = json_string_value(json_object_get(config, "base_url"));
    if (!base_url || !*base_url)
        base_url = *pool->base_url ? pool->base_url : vendor->base_url;
    handout->api_key = mem_strdup(api_key ? api_key : "");
    handout->base_url = mem_strdup(base_url);
    handout->auth_header = auth_header(vendor->auth_format, handout->api_key);
    make_environment(handout, vendor);
    json_decref(config);
}

void keyconfig_handout_deinit(struct keyconfig_handout *handout) {
    mem_wipe_string(handout->api_key);
    mem_wipe_string(handout->base_url);
    mem_wipe_string(handout->auth_header);
    mem_wipe_free(handout->environment, handout->environment_size);
    *handout = (struct keyconfig_handout){ 0 };
}
