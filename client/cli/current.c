/*
 * `current`: the key that workers are handed now, read through the library as they read it, so that
 * it also works without a broker. Called by command.c; exec.c shares cli_take_key.
 */
#include "admin_client.h"
#include "cli.h"
#include "local.h"
#include "text.h"
#include "view.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static void explain_no_key(const struct cli_context *context, const char *pool, kb_reader *reader) {
    struct cli_text message = CLI_TEXT_INIT;
    cli_text_addf(&message, "pool %s: %s", pool, kb_strerror(kb_last_error(reader)));
    uint64_t recovers_ms = kb_recovers_in_ms(reader);
    if (recovers_ms != UINT64_MAX && recovers_ms > 0 && recovers_ms <= INT64_MAX) {
        cli_text_adds(&message, "; a key recovers in ");
        cli_view_duration(&message, (int64_t)recovers_ms);
    } else if (recovers_ms == UINT64_MAX) {
        cli_text_addf(&message, "; none comes back by itself, see \"keybroker show keys %s\"",
                      pool);
    }
    cli_error(context, "%s", cli_text_string(&message));
    cli_text_deinit(&message);
}

/* Nothing is published. Is it the pool that is missing, or the broker? */
static int explain_no_pool(const struct cli_context *context, const char *pool) {
    struct cli_connection connection;
    struct cli_text why = CLI_TEXT_INIT;
    int result = CLI_REFUSED;
    if (cli_connect(context, 0, &connection, &why) == 0) {
        cli_disconnect(&connection);
        cli_error(context, "pool %s: there is no such pool, see \"keybroker show pools\"", pool);
    } else {
        cli_error(context, "pool %s: nothing is published, and %s", pool, cli_text_string(&why));
        result = CLI_UNREACHABLE;
    }
    cli_text_deinit(&why);
    return result;
}

/* There is a key, and it may not be for long. */
static void warn_of_guard(const struct cli_context *context, const char *pool, kb_reader *reader) {
    kb_health_info health = KB_HEALTH_INFO_INIT;
    if (kb_health(reader, &health) == 0 && health.guarded)
        cli_error(context,
                  "pool %s: the guard holds: too many keys failed at once, so it may not be "
                  "the keys; see \"keybroker show pool %s\"",
                  pool, pool);
}

int cli_take_key(const struct cli_context *context, const char *pool, kb_reader **ret_reader,
                 const kb_key **ret_key) {
    kb_options options = KB_OPTIONS_INIT;
    options.runtime_dir = context->runtime_dir;
    kb_reader *reader = NULL;
    int error = kb_open(&reader, pool, &options);
    if (error == KB_ENOENT)
        return explain_no_pool(context, pool);
    if (error < 0) {
        if (error == KB_ESYSTEM)
            cli_error(context, "pool %s: %s: %s", pool, kb_strerror(error), strerror(errno));
        else if (error == KB_EINVAL)
            cli_error(context, "\"%s\" is no pool's name; see \"keybroker show pools\"", pool);
        else
            cli_error(context, "pool %s: %s", pool, kb_strerror(error));
        return CLI_REFUSED;
    }
    const kb_key *key = kb_current(reader);
    if (!key) {
        explain_no_key(context, pool, reader);
        kb_close(reader);
        return CLI_REFUSED;
    }
    warn_of_guard(context, pool, reader);
    *ret_reader = reader;
    *ret_key = key;
    return CLI_OK;
}

static void print_json(const struct cli_context *context, const char *pool, kb_reader *reader,
                       const kb_key *key, bool reveal) {
    kb_health_info health = KB_HEALTH_INFO_INIT;
    bool guarded = kb_health(reader, &health) == 0 && health.guarded;
    struct cli_text masked = CLI_TEXT_INIT;
    cli_view_masked(&masked, key->api_key);
    json_t *object = cli_must(json_object());
    json_object_set_new(object, "pool", json_string(pool));
    json_object_set_new(object, "id", json_integer((json_int_t)key->id));
    json_object_set_new(object, "name", json_string(key->name));
    json_object_set_new(object, "vendor", json_string(key->vendor));
    json_object_set_new(object, "masked", json_string(cli_text_string(&masked)));
    if (reveal)
        json_object_set_new(object, "api_key", json_string(key->api_key));
    json_object_set_new(object, "base_url", json_string(key->base_url));
    json_object_set_new(object, "account", *key->account ? json_string(key->account) : json_null());
    json_object_set_new(object, "expires_at_ms",
                        key->expires_at_ms ? json_integer(key->expires_at_ms) : json_null());
    json_object_set_new(object, "guarded", json_boolean(guarded));
    json_dumpf(object, context->out, JSON_COMPACT);
    fputc('\n', context->out);
    json_decref(object);
    cli_text_deinit(&masked);
}

static void print_lines(const struct cli_context *context, const kb_key *key) {
    struct cli_text text = CLI_TEXT_INIT;
    cli_text_adds(&text, "Name:     ");
    cli_text_add_printable(&text, key->name);
    cli_text_adds(&text, "\nAPI key:  ");
    cli_view_masked(&text, key->api_key);
    cli_text_adds(&text, "\nVendor:   ");
    cli_text_add_printable(&text, key->vendor);
    cli_text_adds(&text, "\nBase URL: ");
    cli_text_add_printable(&text, key->base_url);
    cli_text_adds(&text, "\nAccount:  ");
    cli_text_add_printable(&text, *key->account ? key->account : CLI_ABSENT);
    cli_text_adds(&text, "\nExpires:  ");
    if (key->expires_at_ms)
        cli_view_ms(&text, key->expires_at_ms, CLI_TIME_LONG, cli_now_ms());
    else
        cli_text_adds(&text, "never");
    fprintf(context->out, "%s\n", cli_text_string(&text));
    cli_text_deinit(&text);
}

int cli_current(const struct cli_context *context, char *const *words, size_t count) {
    const char *pool = NULL;
    bool reveal = false;
    for (size_t i = 1; i < count; i++) {
        if (strcmp(words[i], "--reveal") == 0) {
            reveal = true;
        } else if (!pool && words[i][0] != '-') {
            pool = words[i];
        } else {
            pool = NULL;
            break;
        }
    }
    if (!pool) {
        cli_error(context, "usage: current POOL [--reveal]");
        return CLI_USAGE;
    }
    kb_reader *reader;
    const kb_key *key;
    int result = cli_take_key(context, pool, &reader, &key);
    if (result != CLI_OK)
        return result;
    if (context->json)
        print_json(context, pool, reader, key, reveal);
    else if (reveal)
        fprintf(context->out, "%s\n", key->api_key);
    else
        print_lines(context, key);
    kb_close(reader);
    return CLI_OK;
}
