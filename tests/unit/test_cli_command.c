/*
 * The command as a process: exit codes, payloads, prompts and broken brokers, against a stand-in
 * for the admin socket that records what it is asked and answers what the test says.
 */
#include "client/cli/admin_client.h"
#include "client/cli/cli.h"
#include "client/cli/text.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 10000

/* One test's directory, with a name that no socket address could hold. */
static char directory[800];
static char base[400];
static pid_t server;

static void setup(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(base, sizeof(base), "%.300s/kbcli-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(base));
    int length = snprintf(directory, sizeof(directory), "%s/", base);
    memset(directory + length, 'd', 150);
    cr_assert_eq(mkdir(directory, 0700), 0);
    cr_assert_eq(chdir(directory), 0);
    setenv("HOME", directory, 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_RUNTIME_DIR");
    unsetenv("KEYBROKER_RUNTIME_DIR");
}

static void remove_tree(const char *name) {
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", "--", name, (char *)NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
}

static void teardown(void) {
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
    }
    if (chdir("/") == 0)
        remove_tree(base);
}

TestSuite(cli_command, .init = setup, .fini = teardown, .timeout = 60);

/* Take one request with its payload and append both to the file "seen". */
static bool serve_request(FILE *stream) {
    char *line = NULL;
    size_t capacity = 0;
    if (getline(&line, &capacity, stream) <= 0)
        return false;
    FILE *seen = fopen("seen", "a");
    fputs(line, seen);
    const char *mark = strstr(line, " <<");
    for (long left = mark ? atol(mark + 3) : 0; left > 0; left--)
        fputc(fgetc(stream), seen);
    fclose(seen);
    free(line);
    return true;
}

/* Answer every connection's request with `reply`, then hang up, or stay until the test ends. */
static void serve_as(const char *reply, bool stay) {
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "admin.sock" };
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    unlink("admin.sock");
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(listener, 8), 0);
    server = fork();
    if (server != 0) {
        close(listener);
        return;
    }
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        FILE *stream = fdopen(fd, "r+");
        if (serve_request(stream))
            (void)!send(fd, reply, strlen(reply), MSG_NOSIGNAL);
        if (!stay)
            fclose(stream);
    }
}

static void serve(const char *reply) {
    serve_as(reply, false);
}

static void serve_and_stay(const char *reply) {
    serve_as(reply, true);
}

static char *read_file(const char *name) {
    static char content[65536];
    FILE *file = fopen(name, "r");
    size_t length = file ? fread(content, 1, sizeof(content) - 1, file) : 0;
    content[length] = '\0';
    if (file)
        fclose(file);
    return content;
}

/* Run the command with standard input from `input`; its output is in "out" and "err". */
static int run(const char *input, ...) {
    char *arguments[16] = { (char *)"keybroker", (char *)"-r", directory };
    int count = 3;
    va_list list;
    va_start(list, input);
    while ((arguments[count] = va_arg(list, char *)))
        count++;
    va_end(list);
    FILE *file = fopen("in", "w");
    fputs(input, file);
    fclose(file);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("in", "r", stdin) || !freopen("out", "w", stdout) ||
            !freopen("err", "w", stderr))
            _exit(99);
        int code = cli_main(count, arguments);
        fflush(stdout);
        fflush(stderr);
        _exit(code);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status), "the command was killed: %d", status);
    return WEXITSTATUS(status);
}

#define run(...) run(__VA_ARGS__, (char *)NULL)

Test(cli_command, an_answer_is_rendered_and_the_code_is_0) {
    serve("OK\n{\"message\":\"key B was enabled\"}\n\n");
    cr_assert_eq(run("", "enable", "key", "openai", "Team B's"), 0);
    cr_assert_str_eq(read_file("out"), "key B was enabled\n");
    cr_assert_str_eq(read_file("err"), "");
    cr_assert_str_eq(read_file("seen"), "json enable key openai 'Team B'\\''s'\n");
}

Test(cli_command, json_is_passed_on_as_it_came) {
    serve("OK\n{\"pools\": [ ],\"total\":0}\n\n");
    cr_assert_eq(run("", "-j", "show", "pools"), 0);
    cr_assert_str_eq(read_file("out"), "{\"pools\": [ ],\"total\":0}\n");
}

Test(cli_command, a_refusal_is_1_and_names_the_argument) {
    serve("ERR 409 no\n{\"code\":409,\"reason\":\"x\",\"message\":\"the key expired\","
          "\"field\":\"KEY\"}\n\n");
    cr_assert_eq(run("", "enable", "key", "p", "A"), 1);
    cr_assert_str_eq(read_file("out"), "");
    cr_assert_str_eq(read_file("err"), "keybroker: the key expired\n");
    cr_assert_eq(run("", "-j", "enable", "key", "p", "A"), 1);
    cr_assert_not_null(strstr(read_file("out"), "\"code\":409"));
}

Test(cli_command, a_named_argument_is_named_and_a_place_in_the_usage_is_not) {
    serve("ERR 400 no\n{\"code\":400,\"message\":\"TIME is never or "
          "+30d\",\"field\":\"expires\"}\n\n");
    cr_assert_eq(run("", "set", "key", "p", "A", "expires=x"), 2);
    cr_assert_str_eq(read_file("err"), "keybroker: TIME is never or +30d (argument: expires)\n");
}

Test(cli_command, a_master_key_is_read_where_it_is_said_to_be_given) {
    serve("OK\n{\"message\":\"done\"}\n\n");
    cr_assert_eq(run("", "rotate", "master-key", "given"), 2);
    cr_assert_not_null(strstr(read_file("err"), "no master key was given"), "%s", read_file("err"));
    cr_assert_eq(run("", "rotate", "master-key"), 0);
    cr_assert_eq(run("", "rotate", "master-key", "extra"), 0); /* the broker's to refuse */
}

Test(cli_command, a_syntax_error_is_2) {
    serve("ERR 400 no such command\n\n");
    cr_assert_eq(run("", "frobnicate"), 2);
    cr_assert_str_eq(read_file("err"), "keybroker: no such command\n");
    cr_assert_eq(run("", "--frobnicate"), 2);
    cr_assert_eq(run("", "show", "pools", "--json"), 2);
    cr_assert_eq(run("", "show", "pools\n"), 2);
}

Test(cli_command, no_broker_is_3_and_help_still_helps) {
    cr_assert_eq(run("", "show", "info"), 3);
    cr_assert_not_null(strstr(read_file("err"), "keybrokerd"));
    cr_assert_eq(run("", "help"), 0);
    cr_assert_not_null(strstr(read_file("out"), "exec POOL"));
    cr_assert_eq(run("", "--help"), 0);
}

Test(cli_command, a_broker_that_dies_in_its_answer_is_3) {
    serve("OK\n{\"message\":\"don");
    cr_assert_eq(run("", "delete", "key", "p", "A"), 3);
    cr_assert_not_null(strstr(read_file("err"), "not known"), "%s", read_file("err"));
    cr_assert_str_eq(read_file("out"), "");
}

Test(cli_command, something_that_is_no_broker_is_3) {
    serve("220 mail.example ESMTP\n\n");
    cr_assert_eq(run("", "show", "info"), 3);
}

Test(cli_command, an_answer_of_any_length_is_bounded) {
    static char reply[100000];
    memset(reply, 'x', sizeof(reply) - 1);
    memcpy(reply, "OK\n", 3);
    serve(reply);
    struct cli_context context = { .runtime_dir = directory, .out = stdout, .err = stderr };
    struct cli_connection connection;
    struct cli_text why = CLI_TEXT_INIT;
    struct cli_reply answer = CLI_REPLY_INIT;
    cr_assert_eq(cli_connect(&context, 5, &connection, &why), 0);
    connection.bytes_left = 50000;
    cli_send(&connection, "json show info", NULL);
    cr_assert_eq(cli_read_reply(&connection, &answer), CLI_READ_TOO_LONG);
    cli_disconnect(&connection);
    cli_reply_deinit(&answer);
    cli_text_deinit(&why);
}

Test(cli_command, a_secret_comes_from_standard_input_without_its_newline) {
    serve("OK\n{\"message\":\"added\"}\n\n");
    cr_assert_eq(run("sk-1234\n", "add", "key", "openai", "name=B"), 0);
    cr_assert_str_eq(read_file("seen"), "json add key openai name=B <<7\nsk-1234");
}

Test(cli_command, a_secret_on_the_command_line_is_refused_and_not_repeated) {
    serve("OK\n\n");
    cr_assert_eq(run("", "add", "key", "openai", "api_key=sk-1234"), 2);
    cr_assert_null(strstr(read_file("err"), "sk-1234"));
    cr_assert_eq(run("", "add", "key", "openai", "sk-1234"), 2);
    cr_assert_null(strstr(read_file("err"), "sk-1234"));
    cr_assert_eq(run("", "set", "key", "openai", "A", "config={\"api_key\":\"sk-1234\"}"), 2);
    cr_assert_str_eq(read_file("seen"), "");
}

Test(cli_command, an_empty_secret_is_refused_here) {
    serve("OK\n\n");
    cr_assert_eq(run("\n", "add", "key", "openai"), 2);
    cr_assert_str_eq(read_file("seen"), "");
}

Test(cli_command, an_order_is_read_only_when_no_key_is_named) {
    serve("OK\n{\"message\":\"ordered\"}\n\n");
    cr_assert_eq(run("[\"B\",\"A\"]", "order", "keys", "p", "if-revision=3"), 0);
    cr_assert_eq(run("", "order", "keys", "p", "B", "A"), 0);
    cr_assert_str_eq(read_file("seen"), "json order keys p if-revision=3 <<9\n[\"B\",\"A\"]"
                                        "json order keys p B A\n");
}

Test(cli_command, a_long_order_travels_as_a_payload) {
    struct cli_text script = CLI_TEXT_INIT;
    serve("OK\n{\"message\":\"ordered\"}\n\n");
    cli_text_adds(&script, "order keys p");
    for (int i = 0; i < 600; i++)
        cli_text_addf(&script, " k%d", i);
    cli_text_adds(&script, " if-revision=3\n");
    cr_assert_eq(run(script.data), 0);
    const char *seen = read_file("seen");
    cr_assert_eq(strncmp(seen, "json order keys p if-revision=3 <<", 34), 0, "%.60s", seen);
    cr_assert_not_null(strstr(seen, "\n[\"k0\",\"k1\","));
    cr_assert_not_null(strstr(seen, ",\"k599\"]"));
    cli_text_deinit(&script);
}

Test(cli_command, a_script_goes_on_after_errors_and_ends_with_the_highest_code) {
    serve("ERR 404 no\n\n");
    cr_assert_eq(run("# a comment\n\nshow pool a\nshow 'pool\nshow pool b\n"), 2);
    cr_assert_str_eq(read_file("seen"), "json show pool a\njson show pool b\n");
}

Test(cli_command, a_script_carries_payloads_as_the_socket_does) {
    serve("OK\n{\"message\":\"added\"}\n\n");
    cr_assert_eq(run("add key p name=a <<\nsk-1\n\nadd key p <<6\nsk-22\nadd key p\nquit\nbad\n"),
                 2);
    cr_assert_str_eq(read_file("seen"), "json add key p name=a <<4\nsk-1json add key p <<5\nsk-22");
}

Test(cli_command, a_watch_prints_events_and_ends_with_3_when_the_broker_goes) {
    serve("OK\n{\"type\":\"heartbeat\",\"seq\":1}\n"
          "{\"type\":\"event\",\"time\":\"x\",\"pool\":\"p\",\"kind\":\"set pool\"}\n");
    cr_assert_eq(run("", "watch", "pool=p"), 3);
    cr_assert_str_eq(read_file("out"), "x p set pool\n");
    cr_assert_str_eq(read_file("seen"), "json watch pool=p\n");
}

Test(cli_command, a_refused_watch_is_an_ordinary_error) {
    serve("ERR 404 no\n{\"code\":404,\"message\":\"there is no pool p\"}\n\n");
    cr_assert_eq(run("", "watch", "pool=p"), 1);
    cr_assert_str_eq(read_file("err"), "keybroker: there is no pool p\n");
}

/* A command on a terminal, and all that it showed there. */
struct terminal {
    int fd;
    pid_t child;
    struct cli_text shown;
    size_t expected; /* what was waited for ends here */
};

static void terminal_run(struct terminal *terminal, int count, const char *const *words) {
    char *arguments[16] = { (char *)"keybroker", (char *)"-r", directory };
    for (int i = 0; i < count; i++)
        arguments[3 + i] = (char *)words[i];
    *terminal = (struct terminal){ 0 };
    terminal->child = forkpty(&terminal->fd, NULL, NULL, NULL);
    if (terminal->child == 0) {
        setenv("TERM", "dumb", 1);
        int code = cli_main(3 + count, arguments);
        fflush(stdout);
        _exit(code);
    }
}

/* Wait until `text` appears after what was waited for before. */
static void terminal_expect(struct terminal *terminal, const char *text) {
    struct pollfd waiting = { .fd = terminal->fd, .events = POLLIN };
    for (;;) {
        const char *shown = cli_text_string(&terminal->shown);
        const char *found = strstr(shown + terminal->expected, text);
        if (found) {
            terminal->expected = (size_t)(found - shown) + strlen(text);
            return;
        }
        char chunk[4096];
        cr_assert_gt(poll(&waiting, 1, WAIT_MS), 0, "no \"%s\" in: %s", text, shown);
        ssize_t got = read(terminal->fd, chunk, sizeof(chunk));
        cr_assert_gt(got, 0, "no \"%s\" in: %s", text, shown);
        cli_text_add(&terminal->shown, chunk, (size_t)got);
    }
}

static void terminal_type(struct terminal *terminal, const char *text) {
    cr_assert_eq(write(terminal->fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Take in the rest and return the child's wait status. The terminal stays open. */
static int terminal_wait(struct terminal *terminal) {
    struct pollfd waiting = { .fd = terminal->fd, .events = POLLIN };
    char chunk[4096];
    ssize_t got;
    int status;
    while (poll(&waiting, 1, WAIT_MS) > 0 && (got = read(terminal->fd, chunk, sizeof(chunk))) > 0)
        cli_text_add(&terminal->shown, chunk, (size_t)got);
    waitpid(terminal->child, &status, 0);
    return status;
}

static void terminal_deinit(struct terminal *terminal) {
    close(terminal->fd);
    cli_text_deinit(&terminal->shown);
}

Test(cli_command, a_secret_is_asked_for_without_echo) {
    struct terminal terminal;
    serve("OK\n{\"message\":\"added\"}\n\n");
    terminal_run(&terminal, 3, (const char *const[]){ "add", "key", "openai" });
    terminal_expect(&terminal, "API key: ");
    terminal_type(&terminal, "sk-wrong\025sk-12345\1776\n");
    int status = terminal_wait(&terminal);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_null(strstr(terminal.shown.data, "sk-"), "%s", terminal.shown.data);
    cr_assert_not_null(strstr(terminal.shown.data, "added"));
    cr_assert_str_eq(read_file("seen"), "json add key openai <<8\nsk-12346");
    terminal_deinit(&terminal);
}

Test(cli_command, a_pasted_object_of_several_lines_is_taken_whole) {
    struct terminal terminal;
    serve("OK\n{\"message\":\"added\"}\n\n");
    terminal_run(&terminal, 3, (const char *const[]){ "add", "key", "openai" });
    terminal_expect(&terminal, "API key: ");
    terminal_type(&terminal, "{\"api_key\":\n\"sk-1\"\n}\n");
    terminal_wait(&terminal);
    cr_assert_str_eq(read_file("seen"), "json add key openai <<20\n{\"api_key\":\n\"sk-1\"\n}");
    terminal_deinit(&terminal);
}

Test(cli_command, an_interrupted_question_leaves_the_terminal_with_its_echo) {
    struct terminal terminal;
    struct termios state;
    serve("OK\n\n");
    terminal_run(&terminal, 3, (const char *const[]){ "add", "key", "openai" });
    terminal_expect(&terminal, "API key: ");
    tcgetattr(terminal.fd, &state);
    cr_assert_eq(state.c_lflag & (tcflag_t)ECHO, 0);
    terminal_type(&terminal, "sk-1\003");
    int status = terminal_wait(&terminal);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    tcgetattr(terminal.fd, &state);
    cr_assert_neq(state.c_lflag & (tcflag_t)ECHO, 0);
    cr_assert_neq(state.c_lflag & (tcflag_t)ICANON, 0);
    cr_assert_str_eq(read_file("seen"), "");
    terminal_deinit(&terminal);
}

Test(cli_command, the_prompt_completes_runs_and_remembers_but_no_secret) {
    struct terminal terminal;
    struct stat info;
    serve("OK\n{\"message\":\"very well\"}\n\n");
    terminal_run(&terminal, 0, NULL);
    terminal_expect(&terminal, "keybroker> ");
    terminal_type(&terminal, "dis\tk\t\n");
    terminal_expect(&terminal, "very well");
    terminal_expect(&terminal, "keybroker> ");
    terminal_type(&terminal, "add key p api_key=sk-1\n");
    terminal_expect(&terminal, "never taken");
    terminal_expect(&terminal, "keybroker> ");
    terminal_type(&terminal, "quit\n");
    int status = terminal_wait(&terminal);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    cr_assert_str_eq(read_file("seen"), "json disable key\n");
    cr_assert_str_eq(read_file(".local/state/keybroker/history"), "disable key \nquit\n");
    cr_assert_eq(stat(".local/state/keybroker/history", &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600);
    terminal_deinit(&terminal);
}

Test(cli_command, ctrl_c_ends_a_watch_and_not_the_prompt) {
    struct terminal terminal;
    serve_and_stay("OK\n{\"type\":\"event\",\"pool\":\"p\",\"kind\":\"import\"}\n");
    terminal_run(&terminal, 0, NULL);
    terminal_expect(&terminal, "keybroker> ");
    terminal_type(&terminal, "watch\n");
    terminal_expect(&terminal, "p import");
    terminal_type(&terminal, "\003");
    terminal_expect(&terminal, "keybroker> ");
    terminal_type(&terminal, "quit\n");
    int status = terminal_wait(&terminal);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    terminal_deinit(&terminal);
}

Test(cli_command, a_pool_that_nobody_published_has_no_current_key) {
    cr_assert_eq(run("", "current", "none"), 3);
    cr_assert_not_null(strstr(read_file("err"), "pool none: "));
    cr_assert_not_null(strstr(read_file("err"), "no broker"), "%s", read_file("err"));
    cr_assert_eq(run("", "exec", "none", "--", "true"), 125);
    cr_assert_eq(run("", "current"), 2);
    cr_assert_eq(run("", "exec", "none"), 125);
}
