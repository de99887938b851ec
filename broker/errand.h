/*
 * An errand: work for the store thread that changes nothing in the model and that somebody waits
 * for: a backup, another master key. Commands make them, the committer carries them out in its
 * order of groups, admin answers.
 */
#ifndef BROKER_ERRAND_H
#define BROKER_ERRAND_H

#include <stdbool.h>
#include <stdint.h>

#include "event.h"
#include "refusal.h"
#include "store.h"
#include "vault.h"

enum errand_kind { ERRAND_BACKUP, ERRAND_ROTATE };

struct errand {
    struct errand *next;
    void *owner;        /* who waits for it; the committer does not look */
    struct actor actor; /* who asked for it; its names are those below */
    struct actor_names names;
    enum errand_kind kind;
    char *path;                           /* of a backup; owned */
    bool given;                           /* a rotation: an operator keeps the new key, this one */
    unsigned char master[VAULT_KEY_SIZE]; /* wiped */
    struct store_backup *backup;          /* taken, not finished yet */
    /* Results: */
    struct refusal refusal; /* code 0 = done */
    uint64_t bytes;         /* of the backup's file */
};

struct errand *errand_new(enum errand_kind kind);
void errand_set_actor(struct errand *errand, const struct actor *actor);
struct errand *errand_free(struct errand *errand); /* NULL allowed; returns NULL */

/* On the store thread. False: it has to be finished, by any thread. */
bool errand_carry_out(struct errand *errand, struct store *store);
void errand_finish(struct errand *errand);

#endif
