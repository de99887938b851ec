/*
 * See failover.h. Lines of different workers, and of a worker's two threads, arrive in any order,
 * so a report or a switch away from the key, whichever is first, begins a failover, and whatever
 * arrives later still corrects it. Switches without a report are no failover: an operator did
 * that, or a key that ranks higher came back.
 */
#include "failover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void failover_begin(struct failovers *failovers, const char *key) {
    snprintf(failovers->failing, sizeof(failovers->failing), "%s", key);
    failovers->reported_ns = 0;
    failovers->last_switch_ns = 0;
    failovers->switched_count = 0;
    failovers->counted = false;
    memset(failovers->switched, 0, sizeof(failovers->switched));
}

static void failover_measure(struct failovers *failovers) {
    if (failovers->switched_count < failovers->workers || failovers->reported_ns == 0 ||
        failovers->count == FAILOVERS_MAX)
        return;
    if (!failovers->counted)
        failovers->count++;
    failovers->counted = true;
    failovers->us[failovers->count - 1] =
        (failovers->last_switch_ns - failovers->reported_ns) / 1000;
}

void failovers_report(struct failovers *failovers, unsigned worker, const char *key,
                      uint64_t at_ns) {
    bool latest =
        strcmp(failovers->failing, key) == 0 &&
        (failovers->switched_count < failovers->workers || at_ns < failovers->last_switch_ns);
    if (!latest) {
        /* An answer that was under way when the key was benched says nothing new. */
        if (strcmp(failovers->current[worker], key) != 0)
            return;
        failover_begin(failovers, key);
    }
    if (failovers->reported_ns == 0 || at_ns < failovers->reported_ns)
        failovers->reported_ns = at_ns;
    failover_measure(failovers);
}

void failovers_switch(struct failovers *failovers, unsigned worker, const char *from,
                      const char *to, uint64_t at_ns) {
    snprintf(failovers->current[worker], KEY_NAME_SIZE, "%s", to);
    if (!*from)
        return;
    if (strcmp(failovers->failing, from) != 0 || failovers->switched[worker])
        failover_begin(failovers, from);
    failovers->switched[worker] = true;
    failovers->switched_count++;
    if (at_ns > failovers->last_switch_ns)
        failovers->last_switch_ns = at_ns;
    failover_measure(failovers);
}

uint64_t failovers_last_us(const struct failovers *failovers) {
    return failovers->count ? failovers->us[failovers->count - 1] : 0;
}

static int ascending(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

uint64_t failovers_percentile_us(const struct failovers *failovers, unsigned percent) {
    unsigned count = failovers->count;
    if (count == 0)
        return 0;
    uint64_t sorted[FAILOVERS_MAX];
    memcpy(sorted, failovers->us, count * sizeof(sorted[0]));
    qsort(sorted, count, sizeof(sorted[0]), ascending);
    return sorted[(count - 1) * percent / 100];
}
