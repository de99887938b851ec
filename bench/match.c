/* See match.h. */
#include "match.h"

#include <string.h>

#include "plot.h"
#include "sample.h"

enum { LOST_MS = 20000 }; /* an observer that sees nothing for so long never will */

struct play {
    struct match *match;
    struct observer *observer;
    unsigned random;
};

unsigned match_add(struct match *match, struct contestant *contestant) {
    if (match->count == OBSERVER_CONTESTANTS_MAX)
        sample_die("too many contestants");
    match->entrants[match->count].contestant = contestant;
    return match->count++;
}

static void pause_a_little(struct play *play) {
    unsigned pause_us = play->match->pause_us;
    play->random = play->random * 1664525 + 1013904223;
    sample_sleep_us(pause_us + (play->random >> 8) % pause_us);
}

/* Sleeps, so that whoever carries the news has this processor. */
static void await_seen(struct play *play, unsigned index) {
    uint64_t give_up_ns = sample_now_ns() + UINT64_C(1000000) * LOST_MS;
    do {
        pause_a_little(play);
        if (sample_now_ns() > give_up_ns)
            sample_die("failover %u was never seen", index);
    } while (!observer_has_seen(play->observer, index));
}

static void take_turn(struct play *play, unsigned entrant, unsigned count, double *us) {
    static uint64_t sent_ns[OBSERVER_COUNT_MAX];
    struct contestant *contestant = play->match->entrants[entrant].contestant;
    struct load *load = play->match->entrants[entrant].load;
    if (load)
        load_begin(load);
    observer_watch(play->observer, entrant, count);
    for (unsigned i = 0; i < count; i++) {
        sent_ns[i] = contestant->report(contestant);
        await_seen(play, i);
    }
    if (load)
        load_end(load);
    for (unsigned i = 0; i < count; i++)
        us[i] = (double)(observer_seen_ns(play->observer, i) - sent_ns[i]) / 1000;
}

static void play_round(struct play *play, unsigned failovers, bool counts) {
    static double us[OBSERVER_CONTESTANTS_MAX][OBSERVER_COUNT_MAX];
    struct match *match = play->match;
    for (unsigned done = 0; done < failovers; done += match->turn) {
        unsigned some = failovers - done < match->turn ? failovers - done : match->turn;
        for (unsigned i = 0; i < match->count; i++)
            take_turn(play, i, some, us[i] + done);
    }
    for (unsigned i = 0; i < match->count; i++) {
        struct match_entrant *entrant = &match->entrants[i];
        if (entrant->contestant->settle)
            entrant->contestant->settle(entrant->contestant);
        if (!counts)
            continue;
        if (entrant->figure)
            plot_add(entrant->figure, entrant->curve, us[i], failovers);
        result_note_round(&entrant->rounds, us[i], failovers);
    }
}

void match_play(struct match *match) {
    struct contestant *contestants[OBSERVER_CONTESTANTS_MAX];
    struct play play = { .match = match, .random = 1 };
    for (unsigned i = 0; i < match->count; i++)
        contestants[i] = match->entrants[i].contestant;
    play.observer = observer_new(contestants, match->count);
    play_round(&play, match->warm_up, false);
    for (unsigned i = 0; i < match->rounds; i++)
        play_round(&play, match->failovers, true);
    observer_free(play.observer);
    for (unsigned i = 0; i < match->count; i++)
        match->entrants[i].contestant->free(match->entrants[i].contestant);
}
