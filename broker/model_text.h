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

/* A change of status with all that belongs to it: deadlines, event, schedule. */
struct why {
    uint32_t outcome; /* 0 = not a report */
    uint32_t http_status;
    const char *vendor_code;
    const char *reason;
    int64_t cooling_ms; /* for KB_STATUS_COOLING */
    bool forget_backoff;
};
/* A key's status, and whether it is known to have expired, change only between these two: its
 * pool, account and endpoint count it, because neither a report nor who looks may wait until ten
 * thousand keys are counted. */
static inline unsigned model_counted_as(const struct model_key *key) {
    return key->expiry_seen ? (unsigned)KB_STATUS_EXPIRED : key->state.status;
}
static inline void model_begin_change(struct model_key *key) {
    unsigned status = model_counted_as(key);
    key->pool->counts[status]--;
    key->account->changes++;
    model_guard_forget(key);
    if (status != KB_STATUS_NORMAL)
        return;
    key->endpoint->normal--;
    key->pool->accounts_normal -= --key->account->normal == 0;
}
static inline void model_end_change(struct model_key *key) {
    unsigned status = model_counted_as(key);
    key->pool->counts[status]++;
    if (status != KB_STATUS_NORMAL)
        return;
    key->endpoint->normal++;
    key->pool->accounts_normal += key->account->normal++ == 0;
}

/* Of a failure report. */
struct why model_why_of(const struct report *report);
void model_become(struct model *model, const struct cause *cause, struct model_key *key,
                  kb_status status, const struct why *why, struct changeset *set);
/* Is the report older than what happened to the key since? */
bool model_is_stale(const struct model_key *key, const struct report *report);

/* Remove a key of whatever kind (its pool may be going too). */
void model_drop_key(struct model *model, struct model_key *key, struct changeset *set);
/* Set the deadlines of an exceeded or erroneous key by its pool's policy. */
void model_set_recovery(struct model_key *key, struct moment now);

#endif
