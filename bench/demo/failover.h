/*
 * Failovers as the demo sees them: from the first report of a failing key, in whichever worker, to
 * the last worker's switch. Pure: fed with what the workers' feeds say (client/examples/feed.h).
 *
 * What is measured: a report's time is taken just before kb_report; a switch's just after a thread
 * that slept in kb_wait got the new key from kb_current. So it spans the report's way to the
 * broker, the broker's judgement, the store to the board, the wake-up and that thread's turn on a
 * machine that is busy with the workers' HTTP. The reading itself is a nanosecond's work.
 */
#ifndef DEMO_FAILOVER_H
#define DEMO_FAILOVER_H

#include <stdbool.h>
#include <stdint.h>

enum { WORKERS_MAX = 64, FAILOVERS_MAX = 256, KEY_NAME_SIZE = 65 };

/* Keys fail one at a time, so only the latest failover is still open to what arrives late. */
struct failovers {
    unsigned workers;
    char current[WORKERS_MAX][KEY_NAME_SIZE]; /* what each worker was handed last */
    char failing[KEY_NAME_SIZE];              /* the key that the latest switch left */
    uint64_t reported_ns;                     /* its earliest report; 0 = none seen */
    uint64_t last_switch_ns;
    unsigned switched_count;
    bool switched[WORKERS_MAX];
    bool counted; /* it is in `us` already */
    unsigned count;
    uint64_t us[FAILOVERS_MAX]; /* how long each took */
};

void failovers_report(struct failovers *failovers, unsigned worker, const char *key,
                      uint64_t at_ns);
void failovers_switch(struct failovers *failovers, unsigned worker, const char *from,
                      const char *to, uint64_t at_ns);

/* Of the latest that was counted; 0 when there was none. */
uint64_t failovers_last_us(const struct failovers *failovers);

/* The value below which `percent` of them lie; 0 when there were none. */
uint64_t failovers_percentile_us(const struct failovers *failovers, unsigned percent);

#endif
