/*
 * The demo's story: which keys there are, and what happens to them when.
 */
#ifndef DEMO_SCRIPT_H
#define DEMO_SCRIPT_H

#include <stddef.h>

enum { COMMAND_WORDS = 6 };

struct step {
    unsigned at_ms;
    const char *says;                   /* what the line in the output tells */
    const char *vendor;                 /* a control request to the stand-in, or NULL */
    const char *command[COMMAND_WORDS]; /* keybroker's words, or [0] = NULL */
    const char *input;                  /* its payload: a key's name, or NULL */
};

extern const char *const script_keys[]; /* names, in order of priority, up to NULL; the first is the
                                           pool's default key */
extern const struct step script_steps[];
extern const size_t script_step_count;

#endif
