/*
 * A pool's own classification rules as its record keeps them: lines (keybroker_shared/rules.h)
 * joined by \n, the first one first in effect; "" = none. Pure; called by the pool's rules, the
 * commands and the views.
 */
#ifndef BROKER_RULE_LINES_H
#define BROKER_RULE_LINES_H

#include <jansson.h>

#include "refusal.h"

enum { RULE_LINES_MAX = 32 };

/* Is every line a rule, and are there not too many? 0, or a refusal's code; the message names the
 * line by its number. */
int rule_lines_check(const char *lines, struct refusal *refusal);

/* `line` before the others; one that says the same goes. 0 and *ret_lines, which the caller frees,
 * or a refusal's code. */
int rule_lines_add(const char *lines, const char *line, char **ret_lines, struct refusal *refusal);

/* As an array of strings, and back: NULL if it is none. The caller frees. */
json_t *rule_lines_json(const char *lines);
char *rule_lines_from_json(const json_t *array);

#endif
