/*
 * Tab completion: what may stand at the cursor, given the words before it. The grammar is here; the
 * names of pools, keys and vendors come from a function, so that this is tested without a broker.
 */
#ifndef KEYBROKER_CLI_COMPLETE_H
#define KEYBROKER_CLI_COMPLETE_H

#include "words.h"

#include <stddef.h>

struct cli_context;

enum cli_names { CLI_NAMES_POOLS, CLI_NAMES_KEYS, CLI_NAMES_VENDORS };

/* Add the names of that kind (keys: of `pool`) to `ret_names`; nothing if they can't be had. */
typedef void (*cli_names_fn)(enum cli_names kind, const char *pool, struct cli_words *ret_names,
                             void *userdata);

/* Every candidate for the word after `words` that begins with `prefix`, without repeats. */
void cli_complete(char *const *words, size_t count, const char *prefix, cli_names_fn names,
                  void *userdata, struct cli_words *ret_candidates);

/* The names from the broker; `userdata` is a const struct cli_context. */
void cli_names_from_broker(enum cli_names kind, const char *pool, struct cli_words *ret_names,
                           void *userdata);

#endif
