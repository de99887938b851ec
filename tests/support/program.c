/* See program.h. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COMMAND_WORDS_MAX = 32 };

static struct program *programs;

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void become(const char *const *argv, const char *const *environment, pid_t parent, int in,
                   int out, int err) {
    scene_become_child(parent);
    /* Who took on an identity (peer_become) starts programs that have no other to come back to. */
    if (setresgid(getegid(), getegid(), getegid()) < 0 ||
        setresuid(geteuid(), geteuid(), geteuid()) < 0)
        _exit(127);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    for (size_t i = 0; environment && environment[i]; i++)
        putenv((char *)(uintptr_t)environment[i]);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

struct program *program_start(const char *input, const char *const *environment,
                              const char *const *argv) {
    int in[2], out[2], err[2];
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        scene_fail("pipe: %s", strerror(errno));
    struct program *program = calloc(1, sizeof *program);
    if (!program)
        abort();
    pid_t parent = getpid();
    program->pid = fork();
    if (program->pid < 0)
        scene_fail("fork: %s", strerror(errno));
    if (program->pid == 0)
        become(argv, environment, parent, in[0], out[1], err[1]);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    fcntl(in[1], F_SETFL, O_NONBLOCK);
    program->in_fd = in[1];
    program->out_fd = out[0];
    program->err_fd = err[0];
    program->input = input;
    program->input_left = input ? strlen(input) : 0;
    program->out = strdup("");
    program->err = strdup("");
    program->next = programs;
    programs = program;
    return program;
}

/* ---- input and output ---- */

static void take_output(int *fd, char **text, size_t *length) {
    char chunk[16384];
    ssize_t got = read(*fd, chunk, sizeof chunk);
    if (got <= 0) {
        close_fd(fd);
        return;
    }
    *text = realloc(*text, *length + (size_t)got + 1);
    if (!*text)
        abort();
    memcpy(*text + *length, chunk, (size_t)got);
    *length += (size_t)got;
    (*text)[*length] = '\0';
}

static void give_input(struct program *program) {
    ssize_t sent =
        program->input_left ? write(program->in_fd, program->input, program->input_left) : 0;
    if (sent > 0) {
        program->input += sent;
        program->input_left -= (size_t)sent;
    }
    if (program->input_left == 0 || (sent < 0 && errno != EAGAIN && errno != EINTR))
        close_fd(&program->in_fd);
}

/* One exchange. False when both outputs have ended. */
static bool exchange(struct program *program) {
    struct pollfd ends[] = { { .fd = program->in_fd, .events = POLLOUT },
                             { .fd = program->out_fd, .events = POLLIN },
                             { .fd = program->err_fd, .events = POLLIN } };
    if (poll(ends, 3, 50) < 0)
        return true;
    if (ends[0].revents)
        give_input(program);
    if (ends[1].revents)
        take_output(&program->out_fd, &program->out, &program->out_length);
    if (ends[2].revents)
        take_output(&program->err_fd, &program->err, &program->err_length);
    return program->out_fd >= 0 || program->err_fd >= 0;
}

static void ended(struct program *program, int status) {
    program->pid = 0;
    program->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    close_fd(&program->in_fd);
    close_fd(&program->out_fd);
    close_fd(&program->err_fd);
}

void program_finish(struct program *program) {
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    int status;
    signal(SIGPIPE, SIG_IGN);
    while (exchange(program))
        if (scene_now_ms() > until)
            scene_fail("a program has not ended after %d ms", SCENE_PATIENCE_MS);
    while (waitpid(program->pid, &status, WNOHANG) == 0) {
        if (scene_now_ms() > until)
            scene_fail("a program has not ended after %d ms", SCENE_PATIENCE_MS);
        scene_sleep_ms(1);
    }
    ended(program, status);
}

struct program *program_run(const char *input, const char *const *environment,
                            const char *const *argv) {
    struct program *program = program_start(input, environment, argv);
    program_finish(program);
    return program;
}

void program_wait_output(struct program *program, const char *text) {
    int64_t until = scene_now_ms() + SCENE_PATIENCE_MS;
    signal(SIGPIPE, SIG_IGN);
    while (!strstr(program->out, text)) {
        if (!exchange(program) && !strstr(program->out, text))
            scene_fail("a program ended and had not said \"%s\"", text);
        if (scene_now_ms() > until)
            scene_fail("a program has not said \"%s\" after %d ms", text, SCENE_PATIENCE_MS);
    }
}

/* ---- keybroker ---- */

static struct program *start_command(const struct broker *broker, const char *input,
                                     va_list words) {
    const char *argv[COMMAND_WORDS_MAX + 4];
    size_t count = 0;
    argv[count++] = scene_program("keybroker");
    argv[count++] = scene_text("--runtime-dir=%s", broker->runtime_dir);
    for (const char *word; (word = va_arg(words, const char *));) {
        if (count == COMMAND_WORDS_MAX)
            scene_fail("too many words for a command");
        argv[count++] = word;
    }
    argv[count] = NULL;
    return program_start(input, NULL, argv);
}

struct program *command_start(const struct broker *broker, const char *input, ...) {
    va_list words;
    va_start(words, input);
    struct program *program = start_command(broker, input, words);
    va_end(words);
    return program;
}

struct program *command_run(const struct broker *broker, const char *input, ...) {
    va_list words;
    va_start(words, input);
    struct program *program = start_command(broker, input, words);
    va_end(words);
    program_finish(program);
    return program;
}

/* ---- files, the end ---- */

char *program_read_file(const char *path, size_t *ret_length) {
    size_t length = 0;
    char *text = strdup("");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        free(text);
        return NULL;
    }
    while (fd >= 0)
        take_output(&fd, &text, &length);
    if (ret_length)
        *ret_length = length;
    return text;
}

void programs_end(bool show_output) {
    while (programs) {
        struct program *program = programs;
        programs = program->next;
        int status;
        if (program->pid) {
            kill(program->pid, SIGKILL);
            waitpid(program->pid, &status, 0);
            ended(program, status);
        }
        if (show_output && (program->out_length || program->err_length))
            fprintf(stderr, "---- a program (exit code %d) said:\n%.4000s%.4000s----\n",
                    program->code, program->out, program->err);
        free(program->out);
        free(program->err);
        free(program);
    }
}
