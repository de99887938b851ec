/*
 * The public header as other compilers see it: C++ in all its versions, by g++ and clang++ where
 * they are there. No C++ library is needed: what is compiled calls nothing.
 */
#include <criterion/criterion.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[] = "/tmp/keybroker-header.XXXXXX";

static void setup(void) {
    cr_assert_not_null(mkdtemp(directory));
}

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...) {
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    return system(command); // NOLINT(cert-env33-c): fixed commands of the test's own
}

static void teardown(void) {
    (void)!shell("rm -rf %s", directory);
}

TestSuite(header, .init = setup, .fini = teardown, .timeout = 120);

/* Each initializer where programs have one; exits with 0 when all of them are zero but `size`. */
static const char PROGRAM[] =
    "#include <keybroker.h>\n"
    "#include <string.h>\n"
    "template <typename T> static bool is_sized(T value) {\n"
    "    T zero;\n"
    "    memset(&zero, 0, sizeof zero);\n"
    "    zero.size = sizeof zero;\n"
    "    return memcmp(&zero, &value, sizeof zero) == 0;\n"
    "}\n"
    "static kb_options options = KB_OPTIONS_INIT;\n"
    "struct request {\n"
    "    kb_attempt attempt = KB_ATTEMPT_INIT;\n"
    "    kb_http_response response = KB_HTTP_RESPONSE_INIT;\n"
    "};\n"
    "int main() {\n"
    "    kb_health_info health = KB_HEALTH_INFO_INIT;\n"
    "    kb_report_info info = KB_REPORT_INFO_INIT;\n"
    "    request one, another;\n"
    "    another.attempt.tried_count = 3;\n"
    "    another.attempt = KB_ATTEMPT_INIT;\n"
    "    return !(is_sized(options) && is_sized(health) && is_sized(info) &&\n"
    "             is_sized(one.attempt) && is_sized(one.response) && is_sized(another.attempt));\n"
    "}\n";

static void compile_and_run(const char *compiler) {
    static const char *const VERSIONS[] = { "c++11", "c++14", "c++17", "c++20" };
    for (size_t i = 0; i < sizeof VERSIONS / sizeof *VERSIONS; i++) {
        cr_assert_eq(
            shell("%s -std=%s -Wall -Wextra -pedantic -Werror -Iinclude -c -o %s/program.o "
                  "%s/program.cc",
                  compiler, VERSIONS[i], directory, directory),
            0, "%s -std=%s", compiler, VERSIONS[i]);
        cr_assert_eq(
            shell("cc -o %s/program %s/program.o && %s/program", directory, directory, directory),
            0, "%s -std=%s", compiler, VERSIONS[i]);
    }
}

Test(header, its_initializers_compile_in_cxx_without_a_warning_and_zero_what_they_leave_out) {
    static const char *const COMPILERS[] = { "g++", "clang++" };
    char path[64];
    unsigned found = 0;
    snprintf(path, sizeof path, "%s/program.cc", directory);
    FILE *file = fopen(path, "w");
    cr_assert(file);
    fputs(PROGRAM, file);
    fclose(file);
    for (size_t i = 0; i < sizeof COMPILERS / sizeof *COMPILERS; i++) {
        if (shell("command -v %s >/dev/null", COMPILERS[i]) != 0)
            continue;
        compile_and_run(COMPILERS[i]);
        found++;
    }
    if (!found)
        cr_skip_test("no C++ compiler here");
}
