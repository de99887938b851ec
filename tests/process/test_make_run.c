/*
 * What `make run` runs: bench/demo/run.sh.
 */
#include <criterion/criterion.h>

#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/program.h"
#include "tests/support/scene.h"

enum { CONSOLE_PORT = 8480 };

/* Whoever has it, the port is taken afterwards. */
static void take_port(void) {
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(CONSOLE_PORT),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0)
        cr_assert_eq(listen(fd, 1), 0);
}

static struct program *run(const char *state) {
    const char *keybroker = scene_program("keybroker");
    const char *build = scene_text("%.*s", (int)(strrchr(keybroker, '/') - keybroker), keybroker);
    const char *argv[] = { "bench/demo/run.sh", build, state, NULL };
    struct program *program = program_start(NULL, NULL, argv);
    program_wait_output(program, "http://127.0.0.1:");
    program_wait_output(program, "token=");
    return program;
}

static void end(struct program *program) {
    kill(program->pid, SIGTERM);
    program_finish(program);
    cr_assert_eq(program->code, 0, "%s", program->err);
}

static const char *runtime_dir(const struct program *program) {
    const char *at = strstr(program->out, "KEYBROKER_RUNTIME_DIR=");
    cr_assert(at, "%s", program->out);
    at += strlen("KEYBROKER_RUNTIME_DIR=");
    return scene_text("%.*s", (int)strcspn(at, "\n"), at);
}

Test(make_run, a_taken_port_is_said_and_hints_fit_what_is_there, .fini = scene_end,
     .timeout = 120) {
    const char *state = scene_text("%s/state", scene_disk());
    scene_begin("auto");
    take_port();
    struct program *first = run(state);
    cr_assert_not_null(strstr(first->out, "port 8480 is taken"), "%s", first->out);
    cr_assert_null(strstr(first->out, "http://127.0.0.1:8480/"), "%s", first->out);
    cr_assert_not_null(strstr(first->out, "add pool openai"), "%s", first->out);
    const char *directory = runtime_dir(first);
    const char *argv[] = {
        scene_program("keybroker"), "-r", directory, "add", "pool", "mine", "vendor=openai", NULL
    };
    struct program *added = program_run("sk-1234567890123456", NULL, argv);
    cr_assert_eq(added->code, 0, "%s", added->err);
    end(first);
    cr_assert_neq(access(directory, F_OK), 0, "what was published is gone");
    struct program *second = run(state);
    cr_assert_null(strstr(second->out, "add pool"), "%s", second->out);
    cr_assert_not_null(strstr(second->out, "show keys mine"), "%s", second->out);
    cr_assert_not_null(strstr(second->out, "current mine"), "%s", second->out);
    end(second);
    scene_passed();
}
