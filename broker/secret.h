/*
 * Secrets as people enter them: what an API key may not hold, and what looks like one where a name
 * should stand. One check for the command, the console and imports: the rules for keys (model.h)
 * ask it about every new api_key, name, account and note. Pure; no message repeats what it is
 * about.
 */
#ifndef BROKER_SECRET_H
#define BROKER_SECRET_H

#include <stdbool.h>

#include "refusal.h"
#include "vendor.h"

/* A new api_key: no quotes, blanks, commas or semicolons, which are left of a list, a shell or a
 * document that it was copied from; and not several keys. 0, or a refusal's code. */
int secret_check(const char *api_key, struct refusal *refusal);

/* Is a word of `text` an API key, by its looks? Known prefixes of every vendor count. With `vendor`
 * (NULL allowed) one whose keys have no prefix also has long runs of letters and digits taken for
 * keys: account numbers look like that too, so names alone are asked about with it. */
bool secret_is_like(const struct vendor *vendor, const char *text);
/* For what is shown: `field` is the option that it came in. */
int secret_check_shown(const struct vendor *vendor, const char *text, const char *field,
                       struct refusal *refusal);

#endif
