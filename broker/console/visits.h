/*
 * Visits: the browsers that were let in (sessions; the word is taken by the broker's admin socket).
 * A visit is known by the random value of its cookie, of which only a hash is kept; it ends at
 * sign-out, after twelve hours without use, or when it is the longest unused and there is no room.
 * Pure: time is passed in. The HTTP thread's alone.
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
    struct token cookie;
    int64_t used_ms;
};

struct visits {
    struct visit list[VISITS_MAX];
    uint64_t last_id;
};

/* Let one in: its cookie's value. Returns its id. */
uint64_t visits_begin(struct visits *visits, int64_t mono_ms, char ret_cookie[TOKEN_TEXT_SIZE]);
/* The visit that the cookie's value belongs to, which counts as used now; 0 = none (any more). */
uint64_t visits_find(struct visits *visits, const char *cookie, int64_t mono_ms);
/* The same by id: a stream that is open uses its visit. */
bool visits_go_on(struct visits *visits, uint64_t id, int64_t mono_ms);
void visits_end(struct visits *visits, uint64_t id);

#endif
