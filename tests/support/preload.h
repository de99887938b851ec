/*
 * A broker with one of the preloaded shared objects (step_clock.so, short_memory.so): makes the
 * control block that both sides share. Ends the test when it cannot do its work.
 */
#ifndef TESTS_PRELOAD_H
#define TESTS_PRELOAD_H

#include <stddef.h>

#include "broker.h"

/* Before the broker's start: its control block, zeroed, of this size. One a test. `variable` names
 * its file to the object. */
void *preload_new(struct broker *broker, const char *object, const char *variable, size_t size);

#endif
