/*
 * Who caused an event, as people say it: "by alice", "reported by app-3 (inference)". Users whom
 * the broker could not name are looked up here, where waiting for a directory service holds nobody
 * up.
 */
#ifndef KEYBROKER_CLI_WHO_H
#define KEYBROKER_CLI_WHO_H

#include "text.h"

#include <jansson.h>

/* Nothing where the event does not say. */
void cli_add_who(struct cli_text *text, const json_t *event);

#endif
