/*
 * See idle.h. 100 readers are attached, with a connection to the report socket each; nobody does
 * anything. A wake-up is a voluntary context switch of any of the broker's threads: each sleep that
 * ended began with one.
 */
#include "idle.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "result.h"
#include "sample.h"

enum { READERS = 100, SECONDS = 10, SETTLE_US = 3500000, KEYS = 1000 };

static unsigned long switches_of_thread(pid_t pid, const char *thread) {
    char path[320], line[256];
    unsigned long count = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, thread);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "voluntary_ctxt_switches: %lu", &count) == 1)
            break;
    if (file)
        fclose(file);
    return count;
}

static unsigned long switches_of(pid_t pid) {
    char path[64];
    unsigned long sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    if (!threads)
        sample_die("%s cannot be read", path);
    for (struct dirent *entry; (entry = readdir(threads));)
        if (isdigit((unsigned char)entry->d_name[0]))
            sum += switches_of_thread(pid, entry->d_name);
    closedir(threads);
    return sum;
}

static void measure(struct rig *rig, const char *loop) {
    static kb_reader *readers[READERS];
    static int connections[READERS];
    char id[96], name[128];
    rig_start(rig, loop);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = rig_reader(rig, "idle");
        connections[i] = rig_connect_report(rig, "idle");
    }
    sample_sleep_us(SETTLE_US);
    unsigned long switches = switches_of(rig->broker);
    uint64_t busy_ns = sample_process_ns(rig->broker);
    sample_sleep_us(SECONDS * 1000000);
    double wakeups = (double)(switches_of(rig->broker) - switches) / SECONDS;
    double busy_ms = (double)(sample_process_ns(rig->broker) - busy_ns) / 1e6 / SECONDS;
    for (unsigned i = 0; i < READERS; i++) {
        kb_close(readers[i]);
        close(connections[i]);
    }
    rig_stop(rig);
    snprintf(id, sizeof id, "idle.%s.wakeups", loop);
    snprintf(name, sizeof name, "idle, %d readers, %s: wake-ups a second", READERS, loop);
    result_add_figure(id, name, "/s", &wakeups, 1, 1.1, false);
    snprintf(id, sizeof id, "idle.%s.busy", loop);
    snprintf(name, sizeof name, "idle, %d readers, %s: processor time a second", READERS, loop);
    result_add_figure(id, name, "ms", &busy_ms, 1, 0, false);
}

void idle_measure(struct rig *rig, bool quick) {
    (void)quick;
    result_section("a broker with nothing to do (its heartbeat beats once a second)");
    rig_start(rig, "io_uring");
    rig_make_pool(rig, "idle", "priority", KEYS, "");
    rig_stop(rig);
    measure(rig, "io_uring");
    measure(rig, "epoll");
}
