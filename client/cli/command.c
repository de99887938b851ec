/*
 * Runs one command; see command.h. Local commands are handed on; everything else is sent to the
 * broker as it is, so that a new broker command needs no new program here. Keeps secrets off
 * command lines.
 */
#include "command.h"
#include "admin_client.h"
#include "cli.h"
#include "help.h"
#include "local.h"
#include "payload.h"
#include "render.h"
#include "view.h"
#include "words.h"

#include <ctype.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A change may wait for a slow disk. */
#define REPLY_TIMEOUT_S 300u

static const char secret_advice[] =
    "an API key is never taken from the command line, where every user of this host can see it; "
    "leave it out and you are asked for it, or give it on standard input";

void cli_error(const struct cli_context *context, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("keybroker: ", context->err);
    vfprintf(context->err, format, arguments);
    fputc('\n', context->err);
    va_end(arguments);
}

int cli_report_error(const struct cli_context *context, const struct cli_reply *reply) {
    json_t *body = json_loadb(cli_text_string(&reply->body), reply->body.length, 0, NULL);
    const char *message = cli_json_string(body, "message");
    const char *field = cli_json_string(body, "field");
    struct cli_text text = CLI_TEXT_INIT;
    cli_text_add_printable(&text, message ? message : cli_text_string(&reply->status));
    if (text.length == 0)
        cli_text_addf(&text, "refused (%d)", reply->code);
    /* POOL, KEY and the like stand where the usage says, and messages name what stood there. */
    if (field && islower((unsigned char)*field) && !strstr(cli_text_string(&text), field)) {
        cli_text_adds(&text, " (argument: ");
        cli_text_add_printable(&text, field);
        cli_text_adds(&text, ")");
    }
    if (context->json && reply->body.length)
        fprintf(context->out, "%s\n", cli_text_string(&reply->body));
    cli_error(context, "%s", cli_text_string(&text));
    cli_text_deinit(&text);
    json_decref(body);
    /* A status line that is neither OK nor ERR came from something that is no broker. */
    if (reply->code == 0)
        return CLI_UNREACHABLE;
    return reply->code == 400 ? CLI_USAGE : CLI_REFUSED;
}

/* False, after a message that does not repeat it, if a word looks like a secret. */
static bool check_no_secret(const struct cli_context *context, char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (cli_word_gives_secret(words[i])) {
            cli_error(context, "%s", secret_advice);
            return false;
        }
    }
    /* `add pool openai sk-…`: only NAME=VALUE may follow the pool. */
    bool adds = count >= 3 && strcmp(words[0], "add") == 0 &&
                (strcmp(words[1], "pool") == 0 || strcmp(words[1], "key") == 0);
    for (size_t i = 3; adds && i < count; i++) {
        if (!strchr(words[i], '=')) {
            cli_error(context, "word %zu is not NAME=VALUE; if it is an API key: %s", i + 1,
                      secret_advice);
            return false;
        }
    }
    return true;
}

/* Options belong before the command; behind it they would puzzle the broker. */
static bool check_options(const struct cli_context *context, char *const *words, size_t count) {
    for (size_t i = 1; i < count; i++) {
        if (strcmp(words[i], "-j") == 0 || strcmp(words[i], "--json") == 0) {
            cli_error(context, "%s goes before the command: keybroker %s %s ...", words[i],
                      words[i], words[0]);
            return false;
        }
    }
    return true;
}

static bool only_looks(char *const *words) {
    return strcmp(words[0], "show") == 0 || strcmp(words[0], "help") == 0 ||
           strcmp(words[0], "export") == 0;
}

static void print_body(const struct cli_context *context, char *const *words, size_t count,
                       const struct cli_reply *reply) {
    if (context->json) {
        if (reply->body.length)
            fprintf(context->out, "%s\n", cli_text_string(&reply->body));
        return;
    }
    json_t *body = json_loadb(cli_text_string(&reply->body), reply->body.length, 0, NULL);
    if (json_is_object(body))
        cli_render(context, words, count, body, cli_now_ms());
    else if (reply->body.length)
        fprintf(context->out, "%s\n", cli_text_string(&reply->body));
    json_decref(body);
}

/* Help when no broker is there to give it. False if nothing is known of the command. */
static bool show_built_in_help(const struct cli_context *context, char *const *words,
                               size_t count) {
    if (count > 1)
        return cli_help_local(context, words[1]);
    cli_help_usage(context->out);
    fputc('\n', context->out);
    return cli_help_local(context, NULL);
}

static int ask_broker(const struct cli_context *context, char *const *words, size_t count,
                      const struct cli_text *payload) {
    struct cli_text request = CLI_TEXT_INIT;
    struct cli_text why = CLI_TEXT_INIT;
    struct cli_reply reply = CLI_REPLY_INIT;
    int result;
    cli_text_adds(&request, "json ");
    if (!cli_words_join(&request, words, count)) {
        cli_error(context, "arguments may not contain control characters");
        result = CLI_USAGE;
        goto out;
    }
    result =
        cli_request(context, cli_text_string(&request), payload, REPLY_TIMEOUT_S, &reply, &why);
    if (result != CLI_OK) {
        if (strcmp(words[0], "help") == 0 && show_built_in_help(context, words, count)) {
            cli_error(context, "only built-in help is shown: %s", cli_text_string(&why));
            result = CLI_OK;
        } else {
            cli_error(context, "%s%s", cli_text_string(&why),
                      reply.sent && !only_looks(words)
                          ? "; whether the change was made is not known, look with show"
                          : "");
        }
        goto out;
    }
    if (reply.ok)
        print_body(context, words, count, &reply);
    else
        result = cli_report_error(context, &reply);
out:
    cli_reply_deinit(&reply);
    cli_text_deinit(&why);
    cli_text_deinit(&request);
    return result;
}

/* Before a secret is asked for: is anybody there to take it? */
static bool check_reachable(const struct cli_context *context) {
    struct cli_connection connection;
    struct cli_text why = CLI_TEXT_INIT;
    bool reachable = cli_connect(context, REPLY_TIMEOUT_S, &connection, &why) == 0;
    if (reachable)
        cli_disconnect(&connection);
    else
        cli_error(context, "%s", cli_text_string(&why));
    cli_text_deinit(&why);
    return reachable;
}

/* A request line has its bounds; an order that may not fit travels as the payload that it may be.
 */
#define ORDER_WORDS_MAX 500

static int run_long_order(const struct cli_context *context, char *const *words, size_t count) {
    char **line = cli_must(calloc(count, sizeof(char *)));
    json_t *keys = cli_must(json_array());
    struct cli_text payload = CLI_TEXT_INIT;
    size_t line_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i < 3 || strncmp(words[i], "if-revision=", 12) == 0)
            line[line_count++] = words[i];
        else
            json_array_append_new(keys, json_string(words[i]));
    }
    char *array = cli_must(json_dumps(keys, JSON_COMPACT));
    cli_text_adds(&payload, array);
    int result = ask_broker(context, line, line_count, &payload);
    free(array);
    cli_text_deinit(&payload);
    json_decref(keys);
    free(line);
    return result;
}

static int run_remote(const struct cli_context *context, char *const *words, size_t count) {
    enum cli_payload_kind kind = cli_payload_kind(words, count);
    struct cli_text payload = CLI_TEXT_INIT;
    if (count > ORDER_WORDS_MAX && strcmp(words[0], "order") == 0 && strcmp(words[1], "keys") == 0)
        return run_long_order(context, words, count);
    if (kind == CLI_PAYLOAD_NONE)
        return ask_broker(context, words, count, NULL);
    if (!check_reachable(context))
        return CLI_UNREACHABLE;
    int result = cli_payload_read(context, kind, &payload);
    if (result == CLI_OK)
        result = ask_broker(context, words, count, &payload);
    cli_text_deinit(&payload);
    return result;
}

int cli_command_run(const struct cli_context *context, char *const *words, size_t count) {
    if (count == 0)
        return CLI_OK;
    if (strcmp(words[0], "exec") == 0)
        return cli_exec(context, words, count);
    if (!check_no_secret(context, words, count) || !check_options(context, words, count))
        return CLI_USAGE;
    if (count >= 2 && strcmp(words[count - 1], "--help") == 0) {
        char help[] = "help";
        char *help_words[] = { help, words[0] };
        return cli_command_run(context, help_words, 2);
    }
    if (strcmp(words[0], "current") == 0)
        return cli_current(context, words, count);
    if (strcmp(words[0], "watch") == 0)
        return cli_watch(context, words, count);
    if (strcmp(words[0], "quit") == 0)
        return CLI_OK;
    /* Known here alone; the broker would say that there is no such command. */
    if (count == 2 && strcmp(words[0], "help") == 0 &&
        (strcmp(words[1], "current") == 0 || strcmp(words[1], "exec") == 0)) {
        cli_help_local(context, words[1]);
        return CLI_OK;
    }
    return run_remote(context, words, count);
}
