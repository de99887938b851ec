/* See descriptor.h. */
#include "descriptor.h"

#include <stdlib.h>
#include <unistd.h>

#include "memory.h"

struct descriptor *descriptor_new(int fd) {
    struct descriptor *descriptor = mem_alloc(sizeof *descriptor);
    atomic_init(&descriptor->holders, 1);
    descriptor->fd = fd;
    return descriptor;
}

struct descriptor *descriptor_ref(struct descriptor *descriptor) {
    atomic_fetch_add_explicit(&descriptor->holders, 1, memory_order_relaxed);
    return descriptor;
}

struct descriptor *descriptor_unref(struct descriptor *descriptor) {
    if (descriptor &&
        atomic_fetch_sub_explicit(&descriptor->holders, 1, memory_order_acq_rel) == 1) {
        close(descriptor->fd);
        free(descriptor);
    }
    return NULL;
}
