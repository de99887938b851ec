/*
 * The command's options and what follows from them: one command, a script of commands, or the
 * prompt. Called by main.c.
 */
#include "cli.h"
#include "command.h"
#include "help.h"

#include <fcntl.h>
#include <getopt.h>
#include <keybroker.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { OPTION_NO_COLOR = 256 };

static const struct option long_options[] = {
    { "json", no_argument, NULL, 'j' },
    { "runtime-dir", required_argument, NULL, 'r' },
    { "no-color", no_argument, NULL, OPTION_NO_COLOR },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { 0 },
};

/* Names are UTF-8 whatever the locale says. */
static void set_locale(void) {
    setlocale(LC_ALL, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

static void look_at_terminal(struct cli_context *context) {
    struct winsize size;
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    if (!isatty(STDOUT_FILENO))
        return;
    context->width = 80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        context->width = size.ws_col;
    context->color = !(no_color && *no_color) && terminal && strcmp(terminal, "dumb") != 0;
}

/* -1 to go on, else the exit code. */
static int parse_options(struct cli_context *context, int argc, char **argv) {
    int option;
    bool no_color = false;
    look_at_terminal(context);
    optind = 1;
    /* "+": what follows the command is the command's. */
    while ((option = getopt_long(argc, argv, "+jr:hV", long_options, NULL)) != -1) {
        switch (option) {
        case 'j':
            context->json = true;
            break;
        case 'r':
            context->runtime_dir = optarg;
            break;
        case OPTION_NO_COLOR:
            no_color = true;
            break;
        case 'h':
            cli_help_usage(stdout);
            return CLI_OK;
        case 'V':
            printf("keybroker %s\n", kb_version());
            return CLI_OK;
        default:
            fputs("Try: keybroker --help\n", stderr);
            return CLI_USAGE;
        }
    }
    if (no_color)
        context->color = false;
    return -1;
}

/* Where one of them is closed, what is printed must not land in whatever is opened first. */
static void open_standard_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            _exit(CLI_REFUSED);
}

int cli_main(int argc, char **argv) {
    struct cli_context context = { .out = stdout, .err = stderr };
    open_standard_streams();
    set_locale();
    int result = parse_options(&context, argc, argv);
    if (result >= 0)
        return result;
    if (optind < argc)
        result = cli_command_run(&context, argv + optind, (size_t)(argc - optind));
    else if (isatty(STDIN_FILENO))
        result = cli_prompt_run(&context);
    else
        result = cli_script_run(&context, stdin);
    if ((fflush(stdout) != 0 || ferror(stdout)) && result == CLI_OK) {
        cli_error(&context, "cannot write the output");
        result = CLI_REFUSED;
    }
    return result;
}
