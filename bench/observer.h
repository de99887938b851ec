/*
 * The process that is to see the next key: forked once all contestants of a match are made, it
 * lives on CPU_WATCHING, watches whichever it is told to, and stamps the moment at which it had
 * another key in its hands. Used by match.c.
 */
#ifndef BENCH_OBSERVER_H
#define BENCH_OBSERVER_H

#include <stdbool.h>

#include "contestant.h"

enum { OBSERVER_CONTESTANTS_MAX = 6, OBSERVER_COUNT_MAX = 4000 };

struct observer;

/* `contestants` stays the caller's and must outlive the observer. */
struct observer *observer_new(struct contestant *const contestants[], unsigned count);
struct observer *observer_free(struct observer *observer);

/* Watch a contestant until it has had another key `count` times; returns once it watches. */
void observer_watch(struct observer *observer, unsigned contestant, unsigned count);

/* Has it seen more than `index` keys since? Then when it saw that one. */
bool observer_has_seen(const struct observer *observer, unsigned index);
uint64_t observer_seen_ns(const struct observer *observer, unsigned index);

#endif
