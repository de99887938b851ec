/* See errand.h. */
#include "errand.h"

#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include "memory.h"

struct errand *errand_new(enum errand_kind kind) {
    struct errand *errand = mem_alloc(sizeof *errand);
    errand->kind = kind;
    return errand;
}

/* The connection may be gone before it is carried out. */
void errand_set_actor(struct errand *errand, const struct actor *actor) {
    errand->actor = *actor;
    if (actor->names)
        errand->names = *actor->names;
    errand->actor.names = &errand->names;
}

struct errand *errand_free(struct errand *errand) {
    if (!errand)
        return NULL;
    free(errand->path);
    mem_wipe_free(errand, sizeof *errand);
    return NULL;
}

/* What a disk or its filling may mend by itself is 503, the rest waits for the operator. */
static void refuse_errand(struct errand *errand, int error, const char *problem) {
    bool passing = error == -EIO || error == -ENOSPC || error == -EDQUOT || error == -ENOMEM ||
                   error == -EMFILE || error == -ENFILE || error == -EINPROGRESS;
    bool backup = errand->kind == ERRAND_BACKUP;
    refuse(&errand->refusal, passing ? REFUSED_UNAVAILABLE : REFUSED_RULE,
           backup ? "no-backup" : "not-rotated", backup ? "FILE" : "", "%s", problem);
}

bool errand_carry_out(struct errand *errand, struct store *store) {
    char problem[256] = "";
    int error;
    if (errand->kind == ERRAND_ROTATE) {
        error = store_rotate_master(store, errand->given ? errand->master : NULL, problem);
        sodium_memzero(errand->master, sizeof errand->master);
    } else {
        error = store_backup_begin(store, errand->path, &errand->backup, problem);
    }
    if (error)
        refuse_errand(errand, error, problem);
    return !errand->backup;
}

void errand_finish(struct errand *errand) {
    char problem[256] = "";
    int error = store_backup_finish(errand->backup, &errand->bytes, problem);
    errand->backup = NULL;
    if (error)
        refuse_errand(errand, error, problem);
}
