/*
 * Patience: how many wrong tokens each caller may still try: ten at once, then one a second. Who
 * has none left is refused before anything is compared, so guessing is slow however it is done.
 * Each caller has their own, so nobody locks out another by guessing; callers for whom there is no
 * room share one, which bounds the guesses of all together. Pure: time is passed in.
 */
#ifndef CONSOLE_PATIENCE_H
#define CONSOLE_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "caller.h"

enum {
    PATIENCE_AT_ONCE = 10,
    PATIENCE_REGAINED_MS = 1000, /* for one more */
    PATIENCE_CALLERS_MAX = 64,   /* who have used up some */
};

struct patience_account {
    struct caller caller;
    unsigned left;
    int64_t counted_ms;
};

struct patience {
    struct patience_account owner; /* the owner's place is never somebody else's */
    struct patience_account callers[PATIENCE_CALLERS_MAX];
    struct patience_account others;
};

/* May this caller try a token? */
bool patience_has(struct patience *patience, const struct caller *caller, int64_t mono_ms);
/* A token of theirs was wrong. */
void patience_spend(struct patience *patience, const struct caller *caller, int64_t mono_ms);

#endif
