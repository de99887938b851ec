/*
 * A pause: what long work over many keys, or many bytes, calls every few of them, so that whoever
 * runs it can do what must not wait (the server lets workers' reports in and shows that it lives).
 * All that work's own state is whole then, and what it reads may have been reported about
 * afterwards. Zero = nobody needs one.
 */
#ifndef BROKER_PAUSE_H
#define BROKER_PAUSE_H

#include <stddef.h>

struct pause {
    void (*take)(void *owner);
    void *owner;
};

enum { PAUSE_EVERY = 32 }; /* keys that take a microsecond each */

static inline void pause_take(const struct pause *pause) {
    if (pause->take)
        pause->take(pause->owner);
}

/* For the `i`th of many keys. */
static inline void pause_at(const struct pause *pause, size_t i) {
    if (i % PAUSE_EVERY == PAUSE_EVERY - 1)
        pause_take(pause);
}

#endif
