/* See reference.h. */
#include "reference.h"

#include <stddef.h>

const void *reference_current(struct reference *reference) {
    uint64_t now = atomic_load_explicit(reference->generation, memory_order_acquire);
    return __builtin_expect(now == reference->seen, 1) ? reference->choice : NULL;
}
