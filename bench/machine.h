/*
 * What the figures depend on: processor, kernel, compiler, disk and the peers' versions, without
 * what would identify the machine.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

/* One line each at the head of the results. `build` is the directory whose disk holds the stores.
 */
void machine_describe(const char *build);

#endif
