/*
 * `watch`: events as they happen, one line each, until the broker goes away or Ctrl-C. Called by
 * command.c.
 */
#include "admin_client.h"
#include "cli.h"
#include "command.h"
#include "local.h"
#include "render.h"
#include "words.h"

#include <jansson.h>

/* Print one line of the stream. False when nobody reads our output any more. */
static bool show_line(const struct cli_context *context, const struct cli_text *line) {
    if (context->json) {
        fprintf(context->out, "%s\n", cli_text_string(line));
    } else {
        json_t *event = json_loadb(cli_text_string(line), line->length, 0, NULL);
        struct cli_text text = CLI_TEXT_INIT;
        if (event)
            cli_event_line(&text, event, context->color);
        if (text.length)
            fprintf(context->out, "%s\n", cli_text_string(&text));
        cli_text_deinit(&text);
        json_decref(event);
    }
    return fflush(context->out) == 0;
}

static int follow(const struct cli_context *context, struct cli_connection *connection) {
    struct cli_text line = CLI_TEXT_INIT;
    int result = CLI_UNREACHABLE;
    for (;;) {
        /* The bound is one line's, not the stream's. */
        connection->bytes_left = CLI_REPLY_BYTES_MAX;
        enum cli_read read = cli_read_line(connection, &line);
        if (read == CLI_READ_INTERRUPTED) {
            fputc('\n', context->out); /* after the terminal's ^C */
            result = CLI_OK;
            break;
        }
        if (read != CLI_READ_LINE || line.length == 0) {
            cli_error(context, "the broker went away");
            break;
        }
        if (!show_line(context, &line)) {
            result = CLI_REFUSED;
            break;
        }
    }
    cli_text_deinit(&line);
    return result;
}

int cli_watch(const struct cli_context *context, char *const *words, size_t count) {
    struct cli_text request = CLI_TEXT_INIT;
    struct cli_text why = CLI_TEXT_INIT;
    struct cli_reply reply = CLI_REPLY_INIT;
    struct cli_connection connection;
    int result;
    cli_text_adds(&request, "json ");
    if (!cli_words_join(&request, words, count)) {
        cli_error(context, "arguments may not contain control characters");
        result = CLI_USAGE;
        goto out;
    }
    if (cli_connect(context, 0, &connection, &why) < 0) {
        cli_error(context, "%s", cli_text_string(&why));
        result = CLI_UNREACHABLE;
        goto out;
    }
    cli_send(&connection, cli_text_string(&request), NULL);
    if (cli_read_status(&connection, &reply) != CLI_READ_LINE) {
        cli_error(context, "the broker went away before it answered");
        result = CLI_UNREACHABLE;
    } else if (reply.ok) {
        result = follow(context, &connection);
    } else {
        /* The error's body is one line of JSON. */
        (void)cli_read_line(&connection, &reply.body);
        result = cli_report_error(context, &reply);
    }
    cli_disconnect(&connection);
out:
    cli_reply_deinit(&reply);
    cli_text_deinit(&why);
    cli_text_deinit(&request);
    return result;
}
