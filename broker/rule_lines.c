/* See rule_lines.h. */
#include "rule_lines.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <keybroker_shared/rules.h>

#include "memory.h"
#include "model_text.h"
#include "printable.h"
#include "vendor_rules.h"

_Static_assert((int)RULE_LINES_MAX + (int)VENDOR_RULES_MAX <= (int)KB_RULES_MAX,
               "what a catalog holds");

/* What is wrong with it, or NULL. A status that can't be is as readable as any, and stays in what
 * was stored before; but whoever enters it has mistyped. */
static const char *problem_of(const char *line) {
    struct kb_rule rule;
    if (!printable_text(line))
        return "a rule is printable text";
    const char *problem = kb_rule_parse(line, &rule);
    if (!problem && rule.status_from > 599)
        problem = "no answer has this status: name one from 100 to 599, a class (4xx) or *";
    return problem;
}

/* `number` says which of several it is, 0 = the only one. */
static int check_line(const char *line, unsigned number, struct refusal *refusal) {
    const char *problem = problem_of(line);
    if (!problem)
        return 0;
    if (number == 0)
        return refuse(refusal, REFUSED_SYNTAX, "bad-rule", "rule", "%s", problem);
    return refuse(refusal, REFUSED_SYNTAX, "bad-rule", "rule", "rule %u: %s", number, problem);
}

static int refuse_many(struct refusal *refusal) {
    return refuse(refusal, REFUSED_RULE, "too-many-rules", "rule",
                  "a pool has at most %d rules of its own; rules=default removes them",
                  RULE_LINES_MAX);
}

/* The next line of *at, which is moved behind it; *ret_line is the caller's to free. */
static bool next_line(const char **at, char **ret_line) {
    if (!**at)
        return false;
    size_t length = strcspn(*at, "\n");
    *ret_line = mem_printf("%.*s", (int)length, *at);
    *at += length + ((*at)[length] == '\n');
    return true;
}

int rule_lines_check(const char *lines, struct refusal *refusal) {
    const char *at = lines;
    char *line;
    int refused = 0;
    for (unsigned count = 0; !refused && next_line(&at, &line); free(line))
        refused =
            ++count > RULE_LINES_MAX ? refuse_many(refusal) : check_line(line, count, refusal);
    return refused;
}

int rule_lines_add(const char *lines, const char *line, char **ret_lines, struct refusal *refusal) {
    int refused = check_line(line, 0, refusal);
    if (refused)
        return refused;
    size_t blanks = strspn(line, " "), length = strlen(line);
    while (line[length - 1] == ' ')
        length--;
    char *all = mem_printf("%.*s", (int)(length - blanks), line + blanks);
    size_t added = strlen(all);
    unsigned count = 1;
    const char *at = lines;
    for (char *old; next_line(&at, &old); free(old)) {
        if (strncmp(old, all, added) == 0 && !old[added])
            continue;
        char *longer = mem_printf("%s\n%s", all, old);
        free(all);
        all = longer;
        count++;
    }
    if (count > RULE_LINES_MAX) {
        free(all);
        return refuse_many(refusal);
    }
    *ret_lines = all;
    return 0;
}

json_t *rule_lines_json(const char *lines) {
    json_t *array = json_array();
    const char *at = lines;
    for (char *line; next_line(&at, &line); free(line))
        json_array_append_new(array, json_string(line));
    return array;
}

char *rule_lines_from_json(const json_t *array) {
    if (!json_is_array(array))
        return NULL;
    char *lines = mem_strdup("");
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *line = json_string_value(json_array_get(array, i));
        char *longer = NULL;
        if (line && *line && !strchr(line, '\n'))
            longer = mem_printf("%s%s%s", lines, i ? "\n" : "", line);
        free(lines);
        if (!longer)
            return NULL;
        lines = longer;
    }
    return lines;
}
