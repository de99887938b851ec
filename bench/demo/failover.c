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
    failovers->first_switch_ns = 0;
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
    struct benched *benched = &failovers->benched[failovers->count - 1];
    memcpy(benched->key, failovers->failing, sizeof(benched->key));
    benched->from_ns = failovers->first_switch_ns;
}

/* A key is handed out again. */
static void failovers_back(struct failovers *failovers, const char *key, uint64_t at_ns) {
    for (unsigned i = 0; i < failovers->count; i++) {
        struct benched *benched = &failovers->benched[i];
        if (strcmp(benched->key, key) == 0 && at_ns > benched->from_ns &&
            (benched->until_ns == 0 || at_ns < benched->until_ns))
            benched->until_ns = at_ns;
    }
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
    failovers_back(failovers, to, at_ns);
    if (!*from)
        return;
    if (strcmp(failovers->failing, from) != 0 || failovers->switched[worker])
        failover_begin(failovers, from);
    failovers->switched[worker] = true;
    failovers->switched_count++;
    if (failovers->first_switch_ns == 0 || at_ns < failovers->first_switch_ns)
        failovers->first_switch_ns = at_ns;
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

bool failovers_is_late(const struct failovers *failovers, const char *key, uint64_t at_ns,
                       uint64_t *ret_us) {
    for (unsigned i = 0; i < failovers->count; i++) {
        const struct benched *benched = &failovers->benched[i];
        if (strcmp(benched->key, key) != 0 ||
            at_ns <= benched->from_ns + GRACE_US * UINT64_C(1000) ||
            (benched->until_ns != 0 && at_ns >= benched->until_ns))
            continue;
        *ret_us = (at_ns - benched->from_ns) / 1000;
        return true;
    }
    return false;
}
