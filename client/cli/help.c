/*
 * Built-in help; see help.h. The broker's commands are described by the broker alone (its help is
 * made from its command table), so that this text cannot drift from it.
 */
#include "help.h"
#include "cli.h"
#include "text.h"

#include <string.h>

enum { USAGE_INDENT = 8 }; /* of a usage line's further lines */

static const struct {
    const char *name, *usage, *help;
} local_commands[] = {
    { "current", "current POOL [--reveal]",
      "Show the key that workers use now, read as they read it; --reveal prints the key itself." },
    { "exec", "exec POOL -- COMMAND...",
      "Run COMMAND with the current key in its environment (the vendor's usual variables, "
      "KEYBROKER_POOL, KEYBROKER_KEY). It exits as COMMAND does; with 125 when there is no key "
      "to run it with, 126 when it can't be run, 127 when there is no such program." },
    { "watch", "watch [pool=POOL] [since=SEQ]", "Show events as they happen." },
    { "help", "help [COMMAND]", "Explain the broker's commands, or one of them." },
    { "quit", "quit", "Leave the prompt (so does Ctrl-D)." },
};

void cli_help_usage(FILE *stream) {
    fputs("Usage: keybroker [OPTION]... [COMMAND]\n"
          "\n"
          "Manage the API keys that keybrokerd hands to this host's workers. Without COMMAND:\n"
          "a prompt on a terminal, otherwise commands are read from standard input, one a line.\n"
          "\n"
          "  -j, --json             print answers as JSON\n"
          "  -r, --runtime-dir DIR  where the broker is (default: $KEYBROKER_RUNTIME_DIR,\n"
          "                         $XDG_RUNTIME_DIR/keybroker if a broker is there,\n"
          "                         /run/keybroker)\n"
          "      --no-color         no colours (nor with NO_COLOR set, nor in a pipe)\n"
          "  -h, --help             this page\n"
          "  -V, --version          the version\n"
          "\n"
          "First steps:\n"
          "  keybroker add pool openai vendor=openai     asks for the first API key\n"
          "  keybroker add key openai name=second        asks for another\n"
          "  keybroker show keys openai\n"
          "  keybroker help                              all commands, from the broker\n"
          "\n"
          "API keys are asked for without echo, or read from standard input; never given as\n"
          "arguments, where every user of this host could see them.\n"
          "\n"
          "Exit status: 0 done, 1 refused, 2 wrong usage, 3 broker not reachable; exec's own\n"
          "failures are 125 (no key to run it with), 126 (cannot be run), 127 (not found).\n",
          stream);
}

/* UTF-8's further bytes take no place. */
static size_t places_of(const char *word, size_t length) {
    size_t places = 0;
    for (size_t i = 0; i < length; i++)
        places += ((unsigned char)word[i] & 0xc0) != 0x80;
    return places;
}

void cli_help_line(const struct cli_context *context, unsigned indent, const char *line) {
    struct cli_text text = CLI_TEXT_INIT;
    unsigned further = indent ? indent : USAGE_INDENT;
    size_t used = indent;
    cli_text_add_printable(&text, line);
    fprintf(context->out, "%*s", (int)indent, "");
    const char *word = cli_text_string(&text);
    for (bool first = true; *word; first = false) {
        size_t blanks = strspn(word, " "), length = strcspn(word + blanks, " ");
        size_t places = places_of(word + blanks, length);
        if (!first && context->width && used + blanks + places > context->width) {
            fprintf(context->out, "\n%*s", (int)further, "");
            used = further;
            word += blanks;
            blanks = 0;
        }
        fprintf(context->out, "%.*s", (int)(blanks + length), word);
        used += blanks + places;
        word += blanks + length;
    }
    fputc('\n', context->out);
    cli_text_deinit(&text);
}

bool cli_help_local(const struct cli_context *context, const char *name) {
    bool found = false;
    for (size_t i = 0; i < sizeof(local_commands) / sizeof(local_commands[0]); i++) {
        /* Without a name: only what the broker's own list lacks. */
        bool broker_has = strcmp(local_commands[i].name, "watch") == 0 ||
                          strcmp(local_commands[i].name, "help") == 0 ||
                          strcmp(local_commands[i].name, "quit") == 0;
        if (name ? strcmp(name, local_commands[i].name) != 0 : broker_has)
            continue;
        cli_help_line(context, 0, local_commands[i].usage);
        cli_help_line(context, 4, local_commands[i].help);
        found = true;
    }
    return found;
}
