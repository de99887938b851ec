/*
 * `exec`: run a program with the current key in its environment. The secret travels in the
 * environment only: the reader's mapping and descriptors are gone before the program starts. Called
 * by command.c.
 */
#include "cli.h"
#include "help.h"
#include "local.h"
#include "text.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The environment with the key's variables in front of what they replace. */
struct environment {
    char **items;
    size_t count;
};

/* Takes over `assignment`; replaces a variable of the same name. */
static void environment_put(struct environment *environment, char *assignment) {
    size_t name_length = strcspn(assignment, "=") + 1;
    for (size_t i = 0; i < environment->count; i++) {
        if (strncmp(environment->items[i], assignment, name_length) == 0) {
            free(environment->items[i]);
            environment->items[i] = assignment;
            return;
        }
    }
    environment->items =
        cli_must(realloc(environment->items, (environment->count + 2) * sizeof(char *)));
    environment->items[environment->count++] = assignment;
    environment->items[environment->count] = NULL;
}

static void environment_free(struct environment *environment) {
    for (size_t i = 0; i < environment->count; i++) {
        explicit_bzero(environment->items[i], strlen(environment->items[i]));
        free(environment->items[i]);
    }
    free(environment->items);
}

static char *assignment_new(const char *name, const char *value) {
    char *assignment = NULL;
    if (asprintf(&assignment, "%s=%s", name, value) < 0)
        assignment = NULL;
    return cli_must(assignment);
}

static void environment_fill(struct environment *environment, const char *pool, const kb_key *key) {
    for (char **variable = environ; variable && *variable; variable++)
        environment_put(environment, cli_must(strdup(*variable)));
    for (const char *at = key->environment; at && *at; at += strlen(at) + 1)
        environment_put(environment, cli_must(strdup(at)));
    environment_put(environment, assignment_new("KEYBROKER_POOL", pool));
    environment_put(environment, assignment_new("KEYBROKER_KEY", key->name));
}

/* Does not return. */
static void become(const struct cli_context *context, char *const *command,
                   const struct environment *environment) {
    fflush(context->out);
    execvpe(command[0], command, environment->items);
    int code = errno == ENOENT ? CLI_EXEC_NOT_FOUND : CLI_EXEC_CANNOT_RUN;
    cli_error(context, "cannot run %s: %s", command[0], strerror(errno));
    fflush(context->err);
    _exit(code);
}

/* From the prompt: the program is a child, and Ctrl-C is for it alone. */
static int run_child(const struct cli_context *context, char *const *command,
                     const struct environment *environment) {
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    struct sigaction before;
    fflush(context->out);
    sigaction(SIGINT, &ignore, &before);
    pid_t child = fork();
    if (child == 0) {
        struct sigaction usual = { .sa_handler = SIG_DFL };
        sigaction(SIGINT, &usual, NULL);
        become(context, command, environment);
    }
    int status = 0;
    pid_t waited;
    do {
        waited = child < 0 ? -1 : waitpid(child, &status, 0);
    } while (waited < 0 && child > 0 && errno == EINTR);
    int error = errno;
    sigaction(SIGINT, &before, NULL);
    if (waited < 0) {
        cli_error(context, "cannot run %s: %s", command[0], strerror(error));
        return CLI_EXEC_FAILED;
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int cli_exec(const struct cli_context *context, char *const *words, size_t count) {
    if (count == 2 && strcmp(words[1], "--help") == 0) {
        cli_help_local(context, words[0]);
        return CLI_OK;
    }
    size_t first = count > 2 && strcmp(words[2], "--") == 0 ? 3 : 2;
    if (count <= first || words[1][0] == '-') {
        cli_error(context, "usage: exec POOL -- COMMAND...");
        return CLI_EXEC_FAILED;
    }
    kb_reader *reader;
    const kb_key *key;
    int result = cli_take_key(context, words[1], &reader, &key);
    if (result != CLI_OK)
        return CLI_EXEC_FAILED;

    struct environment environment = { 0 };
    environment_fill(&environment, words[1], key);
    kb_close(reader);
    /* The words may be followed by anything; an argument vector ends in NULL. */
    size_t length = count - first;
    char **command = cli_must(calloc(length + 1, sizeof(char *)));
    memcpy(command, words + first, length * sizeof(char *));
    if (context->session)
        result = run_child(context, command, &environment);
    else
        become(context, command, &environment);
    free(command);
    environment_free(&environment);
    return result;
}
