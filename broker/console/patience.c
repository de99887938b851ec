/* See patience.h. */
#include "patience.h"

#include <stddef.h>

static void regain(struct patience_account *account, int64_t mono_ms) {
    int64_t regained = (mono_ms - account->counted_ms) / PATIENCE_REGAINED_MS;
    if (!account->caller.kind || account->left + regained >= PATIENCE_AT_ONCE) {
        account->left = PATIENCE_AT_ONCE;
        account->counted_ms = mono_ms;
    } else {
        account->left += (unsigned)regained;
        account->counted_ms += regained * PATIENCE_REGAINED_MS;
    }
}

/* The caller's own account, or a free one, or that of those who have none. */
static struct patience_account *find(struct patience *patience, const struct caller *caller,
                                     int64_t mono_ms) {
    if (caller->kind == CALLER_OWNER)
        return &patience->owner;
    struct patience_account *free_one = NULL;
    for (size_t i = 0; i < PATIENCE_CALLERS_MAX; i++) {
        struct patience_account *account = &patience->callers[i];
        if (account->caller.kind && caller_equals(&account->caller, caller))
            return account;
        regain(account, mono_ms);
        if (account->left == PATIENCE_AT_ONCE)
            free_one = account;
    }
    if (!free_one)
        return &patience->others;
    free_one->caller = (struct caller){ .kind = CALLER_NONE };
    return free_one;
}

bool patience_has(struct patience *patience, const struct caller *caller, int64_t mono_ms) {
    struct patience_account *account = find(patience, caller, mono_ms);
    regain(account, mono_ms);
    return account->left > 0;
}

void patience_spend(struct patience *patience, const struct caller *caller, int64_t mono_ms) {
    struct patience_account *account = find(patience, caller, mono_ms);
    regain(account, mono_ms);
    account->caller = *caller;
    if (account->left)
        account->left--;
}
