/*
 * What else a broker is busy with while failovers are measured: a process on CPU_WORKING, beside
 * everybody else, that keeps admin connections busy from load_begin to load_end. Used by match.c
 * during one contestant's turns.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "rig.h"

struct load;

/* An import of 10,000 keys into a pool of their own, each changed by it, again and again. */
struct load *load_importing_new(struct rig *rig);

/* Changes in a pool of 65,536 keys one after the other, each of which publishes its catalog. */
struct load *load_publishing_new(struct rig *rig);

/* Twenty connections, each with 256 lists and metrics of a broker with 65,536 keys sent ahead, and
 * read as fast as they come: what any viewer may do. */
struct load *load_viewing_new(struct rig *rig);

void load_begin(struct load *load); /* returns once it is at it */
void load_end(struct load *load); /* … once the broker has answered the last, or been hung up on */
/* How often the broker did what is asked, in all. */
unsigned load_done(const struct load *load);
struct load *load_free(struct load *load);

#endif
