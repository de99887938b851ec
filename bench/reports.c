/*
 * See reports.h. This process sends as fast as the sockets take it, on CPU_WATCHING, one connection
 * after the other; the broker has CPU_WORKING for itself.
 */
#include "reports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <keybroker_shared/report.h>

#include "result.h"
#include "sample.h"

enum { ROUNDS = 7, REPORTS = 100000, CONNECTIONS_MAX = 1000, KEYS = 10000 };

static const char *const LOOPS[] = { "io_uring", "epoll" };

static double reports_judged(struct rig_admin *admin) {
    return rig_metric(admin, "keybroker_reports_total{");
}

static struct kb_report_message make_report(kb_ticket ticket) {
    return (struct kb_report_message){ .size = sizeof(struct kb_report_message),
                                       .type = KB_REPORT_OUTCOME,
                                       .key_id = ticket.id,
                                       .generation = ticket.generation,
                                       .hint_ms = KB_NO_HINT,
                                       .outcome = KB_QUOTA,
                                       .count = 1 };
}

static void send_report(int fd, const struct kb_report_message *message) {
    if (send(fd, message, sizeof *message, MSG_NOSIGNAL) < 0)
        sample_die("report: %s", strerror(errno));
}

static void await_judged(struct rig_admin *admin, double wanted) {
    while (reports_judged(admin) < wanted)
        sample_sleep_us(500);
}

static void tell(const char *loop, const char *what, const char *id_end, double *per_second,
                 double *each_us, double target) {
    char id[96], name[128];
    snprintf(id, sizeof id, "capacity.reports.%s.%s.rate", loop, id_end);
    snprintf(name, sizeof name, "%s, %s", what, loop);
    result_add_figure(id, name, "/s", per_second, ROUNDS, target, true);
    snprintf(id, sizeof id, "capacity.reports.%s.%s.each", loop, id_end);
    snprintf(name, sizeof name, "%s, %s: processor time of one", what, loop);
    result_add_figure(id, name, "us", each_us, ROUNDS, 0, false);
}

/* All about one key, which the first of them benches: what a storm of workers sends. */
static void measure_storm(struct rig *rig, const char *loop, const int *fds, unsigned connections) {
    double each_us[ROUNDS], per_second[ROUNDS];
    char id[32], what[64];
    struct rig_admin admin = rig_admin_open(rig);
    kb_reader *reader = rig_reader(rig, "storm");
    struct kb_report_message message = make_report(kb_current(reader)->ticket);
    for (unsigned round = 0; round < ROUNDS + 1; round++) { /* the first is to warm up */
        unsigned at = round > 0 ? round - 1 : 0;
        double wanted = reports_judged(&admin) + REPORTS;
        uint64_t begun_ns = sample_now_ns(), begun_cpu_ns = sample_process_ns(rig->broker);
        for (unsigned i = 0; i < REPORTS; i++)
            send_report(fds[i % connections], &message);
        await_judged(&admin, wanted);
        per_second[at] = REPORTS * 1e9 / (double)(sample_now_ns() - begun_ns);
        each_us[at] = (double)(sample_process_ns(rig->broker) - begun_cpu_ns) / 1000 / REPORTS;
    }
    snprintf(id, sizeof id, "connections_%u", connections);
    snprintf(what, sizeof what, "reports of one key, %u connection%s", connections,
             connections > 1 ? "s" : "");
    tell(loop, what, id, per_second, each_us, strcmp(loop, "io_uring") == 0 ? 300000 : 0);
    kb_close(reader);
    rig_admin_close(&admin);
}

static int take_id(const kb_list_entry *entry, void *userdata) {
    uint64_t **next = userdata;
    *(*next)++ = entry->id;
    return 0;
}

/* Each benches another key: judged, published on the board, written to the store. */
static void measure_benching(struct rig *rig, const char *loop, const int *fds) {
    double each_us[ROUNDS], per_second[ROUNDS];
    static uint64_t ids[KEYS];
    uint64_t *next = ids;
    struct rig_admin admin = rig_admin_open(rig);
    kb_reader *reader = rig_reader(rig, "benching");
    kb_list(reader, take_id, &next);
    for (unsigned round = 0; round < ROUNDS; round++) {
        kb_ticket ticket = kb_current(reader)->ticket;
        double wanted = reports_judged(&admin) + KEYS - 1;
        uint64_t begun_ns = sample_now_ns(), begun_cpu_ns = sample_process_ns(rig->broker);
        for (unsigned i = 0; i + 1 < KEYS; i++) { /* not the last: a reader needs a key */
            struct kb_report_message message =
                make_report((kb_ticket){ .id = ids[i], .generation = ticket.generation });
            send_report(fds[i % 16], &message);
        }
        await_judged(&admin, wanted);
        per_second[round] = KEYS * 1e9 / (double)(sample_now_ns() - begun_ns);
        each_us[round] = (double)(sample_process_ns(rig->broker) - begun_cpu_ns) / 1000 / KEYS;
        rig_enable(rig, "benching", ids, KEYS - 1);
    }
    tell(loop, "reports that each bench a key, 16 connections", "benching", per_second, each_us, 0);
    kb_close(reader);
    rig_admin_close(&admin);
}

static void allow_descriptors(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < CONNECTIONS_MAX + 100)
        sample_die("not enough descriptors");
}

void reports_measure(struct rig *rig, bool quick) {
    static int fds[CONNECTIONS_MAX], benching[16];
    static const unsigned CONNECTIONS[] = { 1, 16, 256, 1000 };
    (void)quick;
    result_section("reports the broker takes");
    allow_descriptors();
    sample_pin(CPU_WATCHING);
    for (int l = 0; l < 2; l++) {
        rig_start(rig, LOOPS[l]);
        if (l == 0) {
            rig_make_pool(rig, "storm", "priority", 10, "");
            rig_make_pool(rig, "benching", "priority", KEYS, "");
        }
        for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
            fds[i] = rig_connect_report(rig, "storm");
        for (unsigned i = 0; i < 16; i++)
            benching[i] = rig_connect_report(rig, "benching");
        for (unsigned i = 0; i < sizeof CONNECTIONS / sizeof *CONNECTIONS; i++)
            measure_storm(rig, LOOPS[l], fds, CONNECTIONS[i]);
        measure_benching(rig, LOOPS[l], benching);
        for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
            close(fds[i]);
        for (unsigned i = 0; i < 16; i++)
            close(benching[i]);
        rig_stop(rig);
    }
}
