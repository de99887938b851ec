/*
 * The link to the broker: one thread that runs every exchange and the watcher. The HTTP thread
 * gives it exchanges and never waits; each is given back by its `done`, in the link's thread, with
 * an answer, a refusal or, when its time is over, without one.
 */
#ifndef CONSOLE_LINK_H
#define CONSOLE_LINK_H

#include <stdbool.h>

#include "exchange.h"
#include "feed.h"

enum { LINK_EXCHANGES_MAX = 128 };

struct link;

/* 0 or -errno. `runtime_dir` and `feed` outlive it. `tick` is called in its thread about once a
 * second. */
int link_start(struct link **ret_link, const char *runtime_dir, struct feed *feed,
               void (*tick)(void *userdata), void *userdata);
/* The exchange is the link's until `done` was called. False: too many are under way, or it stops;
 * nothing happened. */
bool link_send(struct link *link, struct exchange *exchange);
/* End what is under way (`done` is called for each), then the thread. It takes nothing any more. */
void link_stop(struct link *link);
struct link *link_free(struct link *link); /* stopped before, or NULL; returns NULL */

#endif
