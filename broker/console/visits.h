/*
 * Visits: the browsers that were let in (sessions; the word is taken by the broker's admin socket).
 * A visit has two random secrets, of which only hashes are kept. Its cookie is hidden from scripts,
 * but a browser sends it to every port of this host, where others' servers may listen. The page's
 * secret is in the page's own storage, which is bound to scheme, host and port, and is sent by the
 * page's script alone. Whoever asks or changes something needs both.
 *
 * A visit ends at sign-out, after twelve hours without use, or when it is the longest unused and
 * there is no room. Pure: time is passed in. The HTTP thread's alone.
 */
#ifndef CONSOLE_VISITS_H
#define CONSOLE_VISITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "token.h"

enum { VISITS_MAX = 64 };
#define VISIT_UNUSED_MS (INT64_C(12) * 3600 * 1000)

struct visit {
    uint64_t id; /* never used again; 0 = free */
    struct token cookie, page;
    int64_t used_ms;
};

struct visits {
    struct visit list[VISITS_MAX];
    uint64_t last_id;
};

struct visit_secrets {
    char cookie[TOKEN_TEXT_SIZE], page[TOKEN_TEXT_SIZE];
};

/* Let one in. Returns its id. */
uint64_t visits_begin(struct visits *visits, int64_t mono_ms, struct visit_secrets *ret);
/* The visit of these two secrets, which counts as used now; 0 = none (any more). */
uint64_t visits_find(struct visits *visits, const struct visit_secrets *secrets, int64_t mono_ms);
/* Is the cookie a visit's? Enough to be given the page's files, and no use of the visit. */
bool visits_know(const struct visits *visits, const char *cookie, int64_t mono_ms);
/* The same by id: a stream that is open uses its visit. */
bool visits_go_on(struct visits *visits, uint64_t id, int64_t mono_ms);
void visits_end(struct visits *visits, uint64_t id);

#endif
