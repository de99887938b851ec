/*
 * A small runner for Criterion tests under ThreadSanitizer. Criterion's own shares memory with its
 * children at addresses where TSan allows no mapping, so it can not start there. This one finds the
 * tests where the Test() macro puts them, forks for each, and prints Criterion's summary line. It
 * knows what our tests use: init, fini, signal, exit_code, timeout, disabled, and the assertions;
 * theories and parameterized tests it counts as failed rather than skip them in silence.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/options.h>

extern struct criterion_test *__start_cr_tst[] __attribute__((weak));
extern struct criterion_test *__stop_cr_tst[] __attribute__((weak));
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak));

struct criterion_options criterion_options; /* the assertions look into it */

static const struct criterion_test *current;
static const struct criterion_suite *current_suite;
static jmp_buf aborted;
static bool failed;

void criterion_internal_test_setup(void) {
    if (current_suite && current_suite->data && current_suite->data->init)
        current_suite->data->init();
    if (current->data->init)
        current->data->init();
}

void criterion_internal_test_main(void (*test)(void)) {
    if (setjmp(aborted) == 0)
        test();
}

void criterion_internal_test_teardown(void) {
    if (current->data->fini)
        current->data->fini();
    if (current_suite && current_suite->data && current_suite->data->fini)
        current_suite->data->fini();
}

void criterion_abort_test(void) {
    longjmp(aborted, 1);
}

void criterion_continue_test(void) {}

void cri_asserts_passed_incr(void) {}

void criterion_send_assert(struct criterion_assert_stats *stats) {
    if (stats->passed)
        return;
    failed = true;
    fprintf(stderr, "[----] %s:%u: Assertion failed: %s\n", stats->file, stats->line,
            stats->message ? stats->message : "");
}

void criterion_test_die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(1);
}

void criterion_skip_test(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "[SKIP] %s::%s: ", current->category, current->name);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    longjmp(aborted, 1);
}

int cr_asprintf(char **ret_text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(ret_text, format, arguments);
    va_end(arguments);
    return length;
}

int cr_vasprintf(char **ret_text, const char *format, va_list arguments) {
    return vasprintf(ret_text, format, arguments);
}

void cr_asprintf_free(char *text) {
    free(text);
}

char *cr_translate_assert_msg(int index, ...) {
    (void)index;
    return strdup("see the expression at this line");
}

static const struct criterion_suite *suite_of(const struct criterion_test *test) {
    for (struct criterion_suite **suite = __start_cr_sts; suite < __stop_cr_sts; suite++)
        if (*suite && strcmp((*suite)->name, test->category) == 0)
            return *suite;
    return NULL;
}

static double timeout_of(const struct criterion_test *test, const struct criterion_suite *suite) {
    if (test->data->timeout > 0)
        return test->data->timeout;
    return suite && suite->data ? suite->data->timeout : 0;
}

static int run_child(const struct criterion_test *test, const struct criterion_suite *suite) {
    current = test;
    current_suite = suite;
    double seconds = timeout_of(test, suite);
    if (seconds > 0)
        alarm((unsigned)seconds + 1);
    test->test();
    if (failed)
        exit(1);
    exit(0);
}

/* True if the test passed. */
static bool run_test(const struct criterion_test *test, bool *ret_crashed) {
    if (test->data->kind_ != CR_TEST_NORMAL) {
        fprintf(stderr, "[FAIL] %s::%s: this runner knows no parameters\n", test->category,
                test->name);
        return false;
    }
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        return false;
    if (child == 0)
        return run_child(test, suite_of(test)) == 0;
    int status = 0;
    waitpid(child, &status, 0);
    bool passed = test->data->signal
                      ? WIFSIGNALED(status) && WTERMSIG(status) == test->data->signal
                      : WIFEXITED(status) && WEXITSTATUS(status) == test->data->exit_code;
    *ret_crashed = !passed && WIFSIGNALED(status);
    if (!passed)
        fprintf(stderr, "[FAIL] %s::%s: %s %d\n", test->category, test->name,
                WIFSIGNALED(status) ? "signal" : "exit code",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return passed;
}

int main(void) {
    unsigned tested = 0;
    unsigned passing = 0;
    unsigned crashing = 0;
    for (struct criterion_test **test = __start_cr_tst; test < __stop_cr_tst; test++) {
        if (!*test || (*test)->data->disabled)
            continue;
        bool crashed = false;
        tested++;
        if (run_test(*test, &crashed))
            passing++;
        else if (crashed)
            crashing++;
    }
    fprintf(stderr, "[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n",
            tested, passing, tested - passing, crashing);
    return passing == tested ? 0 : 1;
}
