/*
 * A descriptor that several hold: it is closed when the last of them lets go. So a pool's directory
 * can be lent to the store thread without a second descriptor, and outlives the pool for as long as
 * the thread still removes a file there. Any thread.
 */
#ifndef BROKER_DESCRIPTOR_H
#define BROKER_DESCRIPTOR_H

#include <stdatomic.h>

struct descriptor {
    _Atomic unsigned holders;
    int fd;
};

/* Takes over `fd`. */
struct descriptor *descriptor_new(int fd);
struct descriptor *descriptor_ref(struct descriptor *descriptor);
struct descriptor *descriptor_unref(struct descriptor *descriptor); /* NULL allowed; returns NULL */

#endif
