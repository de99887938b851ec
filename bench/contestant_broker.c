/*
 * See contestant.h: keybroker. A report benches its key, so every round uses up keys, which are
 * enabled again after it.
 */
#include "contestant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <keybroker_shared/report.h>

#include "sample.h"

enum { REPORTED_MAX = 4000, STORM_MAX = 1000 };

struct broker {
    struct contestant contestant;
    struct rig *rig;
    const char *pool;
    kb_reader *reader;
    uint64_t last; /* the observer's: the key it was handed */
    uint64_t reported[REPORTED_MAX];
    uint32_t reported_count;
    uint32_t benched; /* keys that were benched when the contest began */
    unsigned storm;   /* connections that report each failure; 0 = the reader's own */
    int fds[STORM_MAX];
};

/* ---- the observer ---- */

static void broker_attach(struct contestant *contestant) {
    struct broker *broker = (struct broker *)contestant;
    broker->reader = rig_reader(broker->rig, broker->pool);
}

static void broker_look(struct contestant *contestant) {
    struct broker *broker = (struct broker *)contestant;
    const kb_key *key = kb_current(broker->reader);
    broker->last = key ? key->id : 0;
}

static void broker_spin(struct contestant *contestant) {
    struct broker *broker = (struct broker *)contestant;
    const kb_key *key;
    do {
        key = kb_current(broker->reader);
    } while (!key || key->id == broker->last);
    broker->last = key->id;
}

static void broker_sleep(struct contestant *contestant) {
    struct broker *broker = (struct broker *)contestant;
    const kb_key *key;
    while (!(key = kb_current(broker->reader)) || key->id == broker->last)
        kb_wait(broker->reader, -1);
    broker->last = key->id;
}

/* ---- the reporter ---- */

static kb_ticket present_key(struct broker *broker) {
    const kb_key *key = kb_current(broker->reader);
    if (!key)
        sample_die("pool %s is out of keys", broker->pool);
    if (broker->reported_count == REPORTED_MAX)
        sample_die("a round of more than %d failovers", REPORTED_MAX);
    broker->reported[broker->reported_count++] = key->id;
    return key->ticket;
}

static uint64_t broker_report(struct contestant *contestant) {
    struct broker *broker = (struct broker *)contestant;
    kb_ticket ticket = present_key(broker);
    uint64_t sent_ns = sample_now_ns();
    kb_report(broker->reader, ticket, KB_QUOTA, KB_NO_HINT);
    return sent_ns;
}

static uint64_t storm_report(struct contestant *contestant) {
    struct broker *broker = (struct broker *)contestant;
    kb_ticket ticket = present_key(broker);
    struct kb_report_message message = { .size = sizeof message,
                                         .type = KB_REPORT_OUTCOME,
                                         .key_id = ticket.id,
                                         .generation = ticket.generation,
                                         .hint_ms = KB_NO_HINT,
                                         .outcome = KB_QUOTA,
                                         .count = 1 };
    uint64_t sent_ns = sample_now_ns();
    for (unsigned i = 0; i < broker->storm; i++)
        if (send(broker->fds[i], &message, sizeof message, MSG_NOSIGNAL) < 0)
            sample_die("report: %s", strerror(errno));
    return sent_ns;
}

static uint32_t exceeded_keys(struct broker *broker) {
    kb_health_info health = KB_HEALTH_INFO_INIT;
    kb_current(broker->reader);
    kb_health(broker->reader, &health);
    return health.by_status[KB_STATUS_EXCEEDED];
}

/* What was reported must be benched, each key of it and no other. */
static void broker_settle(struct contestant *contestant) {
    struct broker *broker = (struct broker *)contestant;
    uint32_t benched = exceeded_keys(broker) - broker->benched;
    if (benched != broker->reported_count)
        sample_die("pool %s: %u keys were reported and %u are benched", broker->pool,
                   broker->reported_count, benched);
    rig_enable(broker->rig, broker->pool, broker->reported, broker->reported_count);
    broker->reported_count = 0;
}

static struct contestant *broker_free(struct contestant *contestant) {
    struct broker *broker = (struct broker *)contestant;
    for (unsigned i = 0; i < broker->storm; i++)
        close(broker->fds[i]);
    kb_close(broker->reader);
    free(broker);
    return NULL;
}

static struct broker *broker_new(struct rig *rig, const char *pool) {
    struct broker *broker = calloc(1, sizeof *broker);
    if (!broker)
        sample_die("no memory");
    broker->contestant = (struct contestant){ .attach = broker_attach,
                                              .look = broker_look,
                                              .await = broker_spin,
                                              .report = broker_report,
                                              .settle = broker_settle,
                                              .free = broker_free };
    broker->rig = rig;
    broker->pool = pool;
    broker->reader = rig_reader(rig, pool);
    broker->benched = exceeded_keys(broker);
    return broker;
}

struct contestant *contestant_broker_new(struct rig *rig, const char *pool, bool blocks) {
    struct broker *broker = broker_new(rig, pool);
    if (blocks)
        broker->contestant.await = broker_sleep;
    return &broker->contestant;
}

struct contestant *contestant_storm_new(struct rig *rig, const char *pool, unsigned count) {
    struct broker *broker = broker_new(rig, pool);
    if (count > STORM_MAX)
        sample_die("a storm of more than %d connections", STORM_MAX);
    broker->contestant.report = storm_report;
    broker->storm = count;
    for (unsigned i = 0; i < count; i++)
        broker->fds[i] = rig_connect_report(rig, pool);
    return &broker->contestant;
}
