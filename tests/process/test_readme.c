/*
 * The README's words are kept: its C example compiles against the public header alone, and does
 * what it says with a real broker; every command that it shows is one that the broker or the
 * command knows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/support/peer.h"
#include "tests/support/program.h"

enum { README_MAX = 1 << 18 };

static char *readme(void) {
    static char text[README_MAX];
    FILE *file = fopen("README.md", "r");
    cr_assert(file, "README.md is in the directory that tests are run from");
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    return text;
}

/* What stands between ```LANGUAGE and ``` the n-th time, from 0. */
static char *block(const char *language, unsigned n) {
    char fence[16];
    snprintf(fence, sizeof fence, "```%s\n", language);
    char *at = readme();
    for (unsigned i = 0; i <= n; i++) {
        at = strstr(at, fence);
        cr_assert(at, "README.md has no block %u of %s", n, language);
        at += strlen(fence);
    }
    char *end = strstr(at, "```");
    cr_assert(end);
    *end = '\0';
    return at;
}

static const char *compile_example(void) {
    const char *source = scene_text("%s/example.c", scene_disk());
    const char *program = scene_text("%s/example", scene_disk());
    FILE *file = fopen(source, "w");
    cr_assert(file);
    fputs(block("c", 0), file);
    fclose(file);
    const char *variant = getenv("KEYBROKER_VARIANT"), *sanitizer = "";
    if (variant && strcmp(variant, "asan") == 0)
        sanitizer = "-fsanitize=address,undefined";
    if (variant && strcmp(variant, "tsan") == 0)
        sanitizer = "-fsanitize=thread";
    if (variant && strcmp(variant, "cov") == 0)
        sanitizer = "--coverage";
    const char *beside = scene_program("keybroker");
    int directory = (int)(strrchr(beside, '/') - beside);
    const char *command = scene_text("cc -std=c17 -Wall -Wextra -Werror %s -Iinclude -o %s %s "
                                     "%.*s/libkeybroker.a -llmdb -ljansson 2>&1",
                                     sanitizer, program, source, directory, beside);
    int result = system(command); // NOLINT(cert-env33-c): a fixed command of the test's own
    cr_assert_eq(result, 0, "%s", command);
    return program;
}

TEST_BOTH_LOOPS(readme, the_example_compiles_and_fails_over) {
    broker_start(b, NULL);
    peer_make_pool(peer_open(b), "openai", "openai", 2);
    const char *environment[] = { scene_text("KEYBROKER_RUNTIME_DIR=%s", b->runtime_dir), NULL };
    const char *argv[] = { compile_example(), NULL };
    struct program *example = program_run(NULL, environment, argv);
    cr_assert_eq(example->code, 0);
    cr_assert(strstr(example->out, "https://api.openai.com/v1/chat/completions with key1's key"));
    cr_assert(strstr(example->out, "then key2"), "%s", example->out);
}

/* Whether the broker's help, or the command itself, knows this command of one or two words. */
static bool is_known(struct broker *b, const char *first, const char *second) {
    if (strcmp(first, "current") == 0 || strcmp(first, "exec") == 0 || strcmp(first, "help") == 0)
        return true;
    struct program *two = command_run(b, NULL, "help", first, second, NULL);
    return two->code == 0 || command_run(b, NULL, "help", first, NULL)->code == 0;
}

TEST_BOTH_LOOPS(readme, every_command_that_it_shows_is_known) {
    broker_start(b, NULL);
    unsigned shown = 0;
    for (char *at = block("sh", 1); (at = strstr(at, "keybroker ")); at++) {
        char first[32] = "", second[32] = "";
        sscanf(at, "keybroker %31[a-z-] %31[a-z-]", first, second);
        if (!first[0])
            continue; /* the prompt */
        cr_expect(is_known(b, first, second), "README shows: keybroker %s %s", first, second);
        shown++;
    }
    cr_assert_gt(shown, 25);
}
