/*
 * The bulletin: the newest events as lines, for those who watch. One watcher or a hundred, a line
 * is made once, when the first one needs it; a watcher only keeps how far it has read. It is
 * bounded: who has fallen behind further is given the rest from the store. Event loop only.
 */
#ifndef BROKER_BULLETIN_H
#define BROKER_BULLETIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "event.h"

/* A line in both of its forms, each made when it is first wanted. */
struct line {
    char *text[2]; /* [json]; NULL = not made yet */
    size_t length[2];
};

struct notice {
    struct event event;
    struct line line;
};

enum { BULLETIN_NOTICES = 2048, BULLETIN_BYTES = 4 * 1024 * 1024 };

struct bulletin {
    struct notice *notices[BULLETIN_NOTICES]; /* a ring */
    size_t first, count;
    size_t fresh; /* added since bulletin_read */
    size_t bytes;
    uint64_t from;    /* everything that came with this sequence number or a later one is here */
    uint64_t made;    /* lines, so far */
    struct line beat; /* the newest heartbeat */
    uint64_t beat_seq;
    int64_t beat_ms;
};

void bulletin_init(struct bulletin *bulletin, uint64_t last_event);
void bulletin_deinit(struct bulletin *bulletin);

/* An event happened. `kept`: somebody watches. */
void bulletin_add(struct bulletin *bulletin, const struct event *event, bool kept);
/* Watchers have their turn: what was added may be read from now on. False if nothing was. */
bool bulletin_read(struct bulletin *bulletin);
/* Is everything from `seq` on here? */
bool bulletin_covers(const struct bulletin *bulletin, uint64_t seq);
/* The first notice from `seq` on; NULL = none. */
struct notice *bulletin_find(const struct bulletin *bulletin, uint64_t seq);
const struct line *bulletin_line(struct bulletin *bulletin, struct notice *notice, bool json);

/* The second's heartbeat; `seq`: the newest event. */
void bulletin_beat(struct bulletin *bulletin, uint64_t seq, int64_t wall_ms);
const struct line *bulletin_beat_line(struct bulletin *bulletin, bool json);

/* One line for an object (taken over), to be freed; *ret_length without its NUL. */
char *bulletin_make_line(json_t *object, bool json, size_t *ret_length);
/* {"type":"event", …} */
json_t *bulletin_event(const struct event *event);

#endif
