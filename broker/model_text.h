/*
 * What the rules' files share and nobody else needs: checks of names and texts, and the two steps
 * that pools and keys have in common. Part of the model (model.h).
 */
#ifndef BROKER_MODEL_TEXT_H
#define BROKER_MODEL_TEXT_H

#include <string.h>

#include "model.h"

/* 0 or a refusal's code. */
int model_check_pool_name(const char *name, struct refusal *refusal);
/* Key names and accounts: 1–64 printable UTF-8 characters, not beginning with '#'. */
int model_check_label(const char *text, const char *field, struct refusal *refusal);
int model_check_note(const char *note, struct refusal *refusal);

/* What fits of `text`. On the way of a report: snprintf takes ten times as long. */
static inline void model_copy_text(char *to, size_t size, const char *text) {
    size_t length = strlen(text);
    if (length > size - 1)
        length = size - 1;
    memcpy(to, text, length);
    to[length] = '\0';
}

/* Remove a key of whatever kind (its pool may be going too). */
void model_drop_key(struct model *model, struct model_key *key, struct changeset *set);
/* Set the deadlines of an exceeded or erroneous key by its pool's policy. */
void model_set_recovery(struct model_key *key, struct moment now);

#endif
