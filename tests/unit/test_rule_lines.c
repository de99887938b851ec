/* A pool's own rules as text: what goes in front, what is refused, and the way to JSON and back. */
#include "rule_lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include <keybroker_shared/rules.h>

#include "memory.h"

static void expect_added(const char *lines, const char *line, const char *expected) {
    char *all = NULL;
    struct refusal refusal = { 0 };
    cr_assert_eq(rule_lines_add(lines, line, &all, &refusal), 0, "%s: %s", line, refusal.message);
    cr_expect_str_eq(all, expected);
    free(all);
}

static void expect_refused(const char *lines, const char *line, int code) {
    char *all = NULL;
    struct refusal refusal = { 0 };
    cr_expect_eq(rule_lines_add(lines, line, &all, &refusal), code, "%s", line);
    cr_expect_null(all);
    cr_expect_str_eq(refusal.field, "rule");
    cr_expect(refusal.message[0]);
}

Test(rule_lines, a_new_one_goes_before_the_others) {
    expect_added("", "429 rate", "429 rate");
    expect_added("429 rate", "5xx rate", "5xx rate\n429 rate");
    expect_added("a\nb", "429 rate", "429 rate\na\nb");
    expect_added("", "  429 rate ", "429 rate");
}

Test(rule_lines, one_that_says_the_same_goes) {
    expect_added("a\n429 rate\nb", "429 rate", "429 rate\na\nb");
    expect_added("429 rate", "429 rate ", "429 rate");
    expect_added("429 rate account", "429 rate", "429 rate\n429 rate account");
}

Test(rule_lines, what_is_no_rule_is_refused) {
    expect_refused("", "", REFUSED_SYNTAX);
    expect_refused("", "  ", REFUSED_SYNTAX);
    expect_refused("", "429", REFUSED_SYNTAX);
    expect_refused("", "429 message=\"a\nb\" quota", REFUSED_SYNTAX);
    expect_refused("", "429 message=\"\xff\" quota", REFUSED_SYNTAX);
    expect_refused("", "429 rate\n", REFUSED_SYNTAX);
    expect_refused("", "429\trate", REFUSED_SYNTAX);
    static const char *const STATUSES[] = { "4", "42", "0xx", "4x9", "49x", "4a9", "42a", "4290" };
    for (size_t i = 0; i < sizeof STATUSES / sizeof *STATUSES; i++) {
        char *line = mem_printf("%s rate", STATUSES[i]);
        expect_refused("", line, REFUSED_SYNTAX);
        free(line);
    }
    expect_refused("", "429 code= quota", REFUSED_SYNTAX);
    expect_refused("", "429 code=\"\" quota", REFUSED_SYNTAX);
    expect_refused("", "429 code=\"open quota", REFUSED_SYNTAX);
    expect_refused("", "429 where=a quota", REFUSED_SYNTAX);
    expect_refused("", "429 header:=a quota", REFUSED_SYNTAX);
    char *longest = mem_printf("429 code=%0*d quota", KB_RULE_TEXT_MAX, 0);
    expect_refused("", longest, REFUSED_SYNTAX);
    free(longest);
    longest = mem_printf("429 header:x%0*d=a quota", KB_RULE_HEADER_MAX, 0);
    expect_refused("", longest, REFUSED_SYNTAX);
    free(longest);
    longest = mem_printf("429 rate%300s", "");
    expect_refused("", longest, REFUSED_SYNTAX);
    free(longest);
}

Test(rule_lines, a_status_that_cannot_be_is_refused_with_the_lines_number_and_the_cure) {
    static const char *const STATUSES[] = { "999", "600", "6xx", "9xx" };
    struct refusal refusal = { 0 };
    for (size_t i = 0; i < sizeof STATUSES / sizeof *STATUSES; i++) {
        char *line = mem_printf("%s code=a quota", STATUSES[i]);
        char *lines = mem_printf("429 rate\n%s\n5xx overload", line);
        expect_refused("", line, REFUSED_SYNTAX);
        cr_expect_eq(rule_lines_check(lines, &refusal), REFUSED_SYNTAX);
        cr_expect(strstr(refusal.message, "rule 2: ") == refusal.message, "%s", refusal.message);
        cr_expect_not_null(strstr(refusal.message, "100 to 599"), "%s", refusal.message);
        free(lines);
        free(line);
    }
    cr_expect_eq(rule_lines_check("599 rate\n100 rate\n* rate\n1xx rate", &refusal), 0);
}

/* `count` different rules. */
static char *many(unsigned count) {
    char *lines = mem_strdup("");
    for (unsigned i = 0; i < count; i++) {
        char *longer = mem_printf("%s%s429 code=c%u rate", lines, i ? "\n" : "", i);
        free(lines);
        lines = longer;
    }
    return lines;
}

Test(rule_lines, there_are_at_most_32) {
    char *full = many(RULE_LINES_MAX), *over = many(RULE_LINES_MAX + 1);
    struct refusal refusal = { 0 };
    expect_refused(full, "429 rate", REFUSED_RULE);
    char *all = NULL;
    cr_expect_eq(rule_lines_add(full, "429 code=c7 rate", &all, &refusal), 0);
    free(all);
    cr_expect_eq(rule_lines_check(full, &refusal), 0);
    cr_expect_eq(rule_lines_check(over, &refusal), REFUSED_RULE);
    free(full);
    free(over);
}

Test(rule_lines, every_line_is_checked) {
    struct refusal refusal = { 0 };
    cr_expect_eq(rule_lines_check("", &refusal), 0);
    cr_expect_eq(rule_lines_check("429 rate\n5xx rate", &refusal), 0);
    cr_expect_eq(rule_lines_check("429 rate\nnonsense", &refusal), REFUSED_SYNTAX);
    cr_expect_eq(rule_lines_check("429 rate\n\n5xx rate", &refusal), REFUSED_SYNTAX);
}

Test(rule_lines, they_survive_the_way_to_json_and_back) {
    char *full = many(RULE_LINES_MAX);
    const char *const cases[] = { "", "429 rate", "400 message=\"ü\" quota\n5xx rate", full };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *array = rule_lines_json(cases[i]);
        char *again = rule_lines_from_json(array);
        cr_assert_not_null(again);
        cr_expect_str_eq(again, cases[i]);
        free(again);
        json_decref(array);
    }
    free(full);
}

Test(rule_lines, what_is_no_array_of_lines_is_not_taken) {
    static const char *const CASES[] = { "null", "\"429 rate\"", "{}",
                                         "[1]",  "[\"\"]",       "[\"429 rate\\n5xx rate\"]" };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        json_t *json = json_loads(CASES[i], JSON_DECODE_ANY, NULL);
        char *lines = rule_lines_from_json(json);
        cr_expect_null(lines, "%s", CASES[i]);
        free(lines);
        json_decref(json);
    }
}
