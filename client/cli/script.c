/*
 * Commands from standard input, one a line, written as on the admin socket: a payload follows a
 * line that ends in " <<" up to an empty line, or one that ends in " <<LENGTH" with exactly that
 * many bytes. A command that fails does not stop the others. Called by options.c.
 */
#include "cli.h"
#include "command.h"
#include "payload.h"
#include "text.h"
#include "words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct script {
    FILE *input;
    char *line; /* getline's */
    size_t line_capacity;
};

/* The next line without its line feed; false at the end. */
static bool next_line(struct script *script) {
    ssize_t length = getline(&script->line, &script->line_capacity, script->input);
    if (length < 0)
        return false;
    while (length > 0 && strchr("\r\n", script->line[length - 1]))
        script->line[--length] = '\0';
    return true;
}

/* Cuts " <<" or " <<LENGTH" from the line's end. False if there is none; a bare one has
 * *ret_length SIZE_MAX. */
static bool cut_payload_mark(char *line, size_t *ret_length) {
    char *mark = strrchr(line, '<');
    if (!mark || mark - line < 2 || mark[-1] != '<' || mark[-2] != ' ')
        return false;
    char *end = mark + 1;
    size_t length = SIZE_MAX;
    if (*end >= '0' && *end <= '9')
        length = strtoul(end, &end, 10);
    if (*end)
        return false;
    mark[-2] = '\0';
    *ret_length = length;
    return true;
}

/* CLI_OK, or CLI_USAGE after a message; then nothing that follows can be trusted. */
static int read_payload(const struct cli_context *context, struct script *script, size_t length,
                        struct cli_text *payload) {
    if (length != SIZE_MAX) {
        char chunk[4096];
        if (length > CLI_DOCUMENT_BYTES_MAX) {
            cli_error(context, "a payload may have %zu bytes", CLI_DOCUMENT_BYTES_MAX);
            return CLI_USAGE;
        }
        while (length > 0) {
            size_t got =
                fread(chunk, 1, length < sizeof(chunk) ? length : sizeof(chunk), script->input);
            if (got == 0) {
                cli_error(context, "the payload ends early");
                return CLI_USAGE;
            }
            cli_text_add(payload, chunk, got);
            length -= got;
        }
        explicit_bzero(chunk, sizeof(chunk));
        return CLI_OK;
    }
    while (next_line(script) && *script->line) {
        if (payload->length + strlen(script->line) > CLI_DOCUMENT_BYTES_MAX) {
            cli_error(context, "a payload may have %zu bytes", CLI_DOCUMENT_BYTES_MAX);
            return CLI_USAGE;
        }
        if (payload->length)
            cli_text_add(payload, "\n", 1);
        cli_text_adds(payload, script->line);
    }
    return CLI_OK;
}

/* Returns the line's exit code; *ret_stop ends the script. */
static int run_line(struct cli_context *context, struct script *script, bool *ret_stop) {
    struct cli_words words = CLI_WORDS_INIT;
    struct cli_text payload = CLI_TEXT_INIT;
    size_t length;
    int result = CLI_OK;
    bool has_payload = cut_payload_mark(script->line, &length);
    const char *why = cli_words_split(script->line, &words);
    if (has_payload && read_payload(context, script, length, &payload) != CLI_OK) {
        *ret_stop = true;
        result = CLI_USAGE;
    } else if (why) {
        cli_error(context, "%s", why);
        result = CLI_USAGE;
    } else if (words.count == 1 && strcmp(words.items[0], "quit") == 0) {
        *ret_stop = true;
    } else {
        context->given_payload = has_payload ? &payload : NULL;
        result = cli_command_run(context, words.items, words.count);
        context->given_payload = NULL;
    }
    cli_text_deinit(&payload);
    cli_words_deinit(&words);
    return result;
}

int cli_script_run(const struct cli_context *outer, FILE *input) {
    struct cli_context context = *outer;
    struct script script = { .input = input };
    int highest = CLI_OK;
    bool stop = false;
    context.session = true;
    context.payload_source = CLI_PAYLOAD_GIVEN;
    while (!stop && next_line(&script)) {
        const char *first = script.line + strspn(script.line, " \t");
        if (*first == '#' || !*first)
            continue;
        int result = run_line(&context, &script, &stop);
        if (result > highest)
            highest = result;
        fflush(context.out);
    }
    if (script.line)
        explicit_bzero(script.line, script.line_capacity);
    free(script.line);
    return highest;
}
