/*
 * What kb_current is measured against: the least that a function can do that hands out a pointer
 * which another process may take back. Stands in a file of its own, and in a shared library of its
 * own beside the shared libkeybroker, so that calling it costs what calling the library costs.
 */
#ifndef BENCH_REFERENCE_H
#define BENCH_REFERENCE_H

#include <stdatomic.h>
#include <stdint.h>

struct reference {
    const _Atomic uint64_t *generation;
    uint64_t seen;
    const void *choice;
};

/* One acquire load, one compare; the choice, or NULL if the generation moved. */
const void *reference_current(struct reference *reference);

#endif
