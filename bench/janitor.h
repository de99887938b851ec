/*
 * Removes directories when the bench ends, in whatever way: a process of its own waits for that.
 * Used by whoever makes a directory that must not stay (rig.c, peers.c).
 */
#ifndef BENCH_JANITOR_H
#define BENCH_JANITOR_H

/* These paths, NULL at the end, are removed once this process is gone. Processes of the bench that
 * live in them should die with it (PR_SET_PDEATHSIG). */
void janitor_start(const char *const *paths);

/* Now. */
void janitor_remove(const char *path);

#endif
