/* See throughput.h. */
#include "throughput.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <keybroker_shared/report.h>

#include "result.h"
#include "sample.h"

enum {
    ROUNDS = 5,
    REPORTS = 100000,
    CONNECTIONS = 16,
    SINGLE_CHANGES = 200,
    SHARED_CHANGES = 3200, /* by all clients together */
    WINDOW = 16,           /* changes under way per client */
    ADDS = 15,
};

static void tell(const char *name, const char *unit, double *values, unsigned count) {
    result_add_figure(name, name, unit, values, count, 0, false);
}

/* ---- reports ---- */

static uint64_t cpu_ns(pid_t pid) {
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
        return 0;
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Reports the broker has judged so far, whatever became of them. */
static unsigned long reports_judged(struct rig_admin *admin) {
    static char text[256 * 1024];
    unsigned long sum = 0;
    rig_admin_send(admin, "show metrics\n");
    rig_admin_take(admin, text, sizeof text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, "keybroker_reports_total{", 24) == 0)
            sum += strtoul(strrchr(line, ' '), NULL, 10);
    return sum;
}

static void measure_reports(struct rig *rig, unsigned connections, const char *name) {
    double each_us[ROUNDS], per_second[ROUNDS];
    int fds[CONNECTIONS];
    char label[96];
    struct rig_admin admin = rig_admin_open(rig);
    kb_reader *reader = rig_reader(rig, "reports");
    const kb_key *key = kb_current(reader);
    struct kb_report_message message = { .size = sizeof message,
                                         .type = KB_REPORT_OUTCOME,
                                         .key_id = key->id,
                                         .generation = key->ticket.generation,
                                         .hint_ms = KB_NO_HINT,
                                         .outcome = KB_QUOTA,
                                         .count = 1 };
    for (unsigned i = 0; i < connections; i++)
        fds[i] = rig_connect_report(rig, "reports");
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned long wanted = reports_judged(&admin) + REPORTS;
        uint64_t begun_ns = sample_now_ns(), begun_cpu_ns = cpu_ns(rig->broker);
        for (unsigned i = 0; i < REPORTS; i++)
            if (send(fds[i % connections], &message, sizeof message, MSG_NOSIGNAL) < 0)
                sample_die("report: %s", strerror(errno));
        while (reports_judged(&admin) < wanted)
            sample_sleep_us(1000);
        per_second[round] = REPORTS * 1e9 / (double)(sample_now_ns() - begun_ns);
        each_us[round] = (double)(cpu_ns(rig->broker) - begun_cpu_ns) / 1000 / REPORTS;
    }
    snprintf(label, sizeof label, "reports of one key, %s", name);
    tell(label, "/s", per_second, ROUNDS);
    snprintf(label, sizeof label, "reports of one key, %s: broker's processor time", name);
    tell(label, "us", each_us, ROUNDS);
    for (unsigned i = 0; i < connections; i++)
        close(fds[i]);
    kb_close(reader);
    rig_admin_close(&admin);
}

/* ---- changes ---- */

static void measure_single_changes(struct rig *rig) {
    double per_second[ROUNDS];
    struct rig_admin admin = rig_admin_open(rig);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t begun_ns = sample_now_ns();
        for (unsigned i = 0; i < SINGLE_CHANGES; i++) {
            rig_admin_send(&admin, "set key changes key%u note=%u.%u\n", 2 + i % 98, round, i);
            rig_admin_take(&admin, NULL, 0);
        }
        per_second[round] = SINGLE_CHANGES * 1e9 / (double)(sample_now_ns() - begun_ns);
    }
    tell("durable changes, one client, one after the other", "/s", per_second, ROUNDS);
    rig_admin_close(&admin);
}

static void measure_shared_changes(struct rig *rig) {
    double per_second[ROUNDS];
    struct rig_admin admins[CONNECTIONS];
    for (unsigned c = 0; c < CONNECTIONS; c++)
        admins[c] = rig_admin_open(rig);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t begun_ns = sample_now_ns();
        unsigned sent = 0, taken = 0;
        for (; taken < SHARED_CHANGES; taken++) {
            for (; sent < SHARED_CHANGES && sent < taken + CONNECTIONS * WINDOW; sent++)
                rig_admin_send(&admins[sent % CONNECTIONS],
                               "set key changes key%u note=%u.%u.shared\n", 2 + sent % 98, round,
                               sent);
            rig_admin_take(&admins[taken % CONNECTIONS], NULL, 0);
        }
        per_second[round] = SHARED_CHANGES * 1e9 / (double)(sample_now_ns() - begun_ns);
    }
    tell("durable changes, 16 clients, 16 under way each", "/s", per_second, ROUNDS);
    for (unsigned c = 0; c < CONNECTIONS; c++)
        rig_admin_close(&admins[c]);
}

/* ---- catalogs ---- */

static void measure_publishing(struct rig *rig, unsigned keys) {
    double import_ms, add_ms[ADDS];
    char pool[32], label[96];
    snprintf(pool, sizeof pool, "publish-%u", keys);
    uint64_t begun_ns = sample_now_ns();
    rig_make_pool(rig, pool, "priority", keys - 1, "");
    import_ms = (double)(sample_now_ns() - begun_ns) / 1e6;
    struct rig_admin admin = rig_admin_open(rig);
    for (unsigned i = 0; i < ADDS; i++) {
        begun_ns = sample_now_ns();
        rig_admin_send(&admin, "add key %s name=added <<\nsk-bench-added\n\n", pool);
        rig_admin_take(&admin, NULL, 0);
        add_ms[i] = (double)(sample_now_ns() - begun_ns) / 1e6;
        rig_admin_send(&admin, "delete key %s added\n", pool);
        rig_admin_take(&admin, NULL, 0);
    }
    rig_admin_close(&admin);
    snprintf(label, sizeof label, "import of %u keys", keys);
    tell(label, "ms", &import_ms, 1);
    snprintf(label, sizeof label, "add a key, durable and published, %u keys", keys);
    tell(label, "ms", add_ms, ADDS);
}

void throughput_measure(struct rig *rig, bool quick) {
    (void)quick;
    result_section("what the broker takes");
    rig_start(rig, "io_uring");
    rig_make_pool(rig, "reports", "priority", 10, "");
    measure_reports(rig, 1, "1 connection");
    measure_reports(rig, CONNECTIONS, "16 connections");
    rig_make_pool(rig, "changes", "priority", 100, "");
    measure_single_changes(rig);
    measure_shared_changes(rig);
    measure_publishing(rig, 1000);
    measure_publishing(rig, 10000);
    measure_publishing(rig, 65536);
    rig_stop(rig);
}
