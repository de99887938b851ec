/*
 * See wasted.h. The workers are the example worker, unchanged, in both cases. Workers who find out
 * by themselves are made from it: each gets a pool of its own with the same keys, so that what one
 * reports reaches nobody else; what it learned is lost with it, as a list in its memory would be.
 */
#include "wasted.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "result.h"
#include "sample.h"
#include "vendor.h"

enum {
    WORKERS_MAX = 32,
    ROUNDS_MAX = 5,
    LATE_NS = 1000000,
    WARM_UP_US = 1500000,
    AFTER_US = 1500000,
    RESTARTED_US = 1000000,
};

struct size {
    const char *id;
    unsigned workers, in_flight, rounds;
    unsigned latency_min_ms, latency_max_ms; /* the vendor's */
};

/* The second would keep more than two processors busy with HTTP alone if calls were shorter. */
static const struct size SIZES[] = {
    { "4x8", 4, 8, 5, 8, 25 },
    { "32x50", 32, 50, 3, 300, 700 },
};

/* One round of one way. */
struct trial {
    struct rig *rig;
    const struct vendor *vendor;
    const struct size *size;
    bool alone; /* each worker with a pool of its own */
    unsigned serial;
    pid_t workers[WORKERS_MAX];
};

struct outcome {
    double wasted;         /* calls answered with the failure after the key ran out */
    double late;           /* … that began later than 1 ms after somebody knew */
    double failed;         /* user requests that got no good answer in the end */
    double wasted_by_next; /* by workers that start afterwards */
};

/* ---- pools ---- */

static void pool_name(const struct trial *trial, unsigned worker, char name[static 32]) {
    if (trial->alone)
        snprintf(name, 32, "t%u-%u", trial->serial, worker);
    else
        snprintf(name, 32, "t%u", trial->serial);
}

static unsigned pool_count(const struct trial *trial) {
    return trial->alone ? trial->size->workers : 1;
}

/* Three keys, of which the first will run out. */
static void make_pools(const struct trial *trial, unsigned keys_serial) {
    static const char *const NAMES[] = { "first", "second", "third" };
    struct rig_admin admin = rig_admin_open(trial->rig);
    for (unsigned i = 0; i < 3; i++)
        vendor_control(trial->vendor, "key?key=sk-%u-%s", keys_serial, NAMES[i]);
    for (unsigned p = 0; p < pool_count(trial); p++) {
        char pool[32];
        pool_name(trial, p, pool);
        for (unsigned i = 0; i < 3; i++) {
            if (i == 0)
                rig_admin_send(&admin, "add pool %s vendor=openai guard=off", pool);
            else
                rig_admin_send(&admin, "add key %s name=%s", pool, NAMES[i]);
            rig_admin_send(&admin,
                           " <<\n{\"api_key\":\"sk-%u-%s\","
                           "\"base_url\":\"http://127.0.0.1:%u/v1\"}\n\n",
                           keys_serial, NAMES[i], trial->vendor->port);
            rig_admin_take(&admin, NULL, 0);
        }
    }
    rig_admin_close(&admin);
}

/* ---- workers ---- */

static void worker_log(const struct trial *trial, unsigned worker, char path[static 700]) {
    snprintf(path, 700, "%s/worker-%u.log", trial->rig->state, worker);
}

__attribute__((noreturn)) static void become_worker(const struct trial *trial, unsigned worker) {
    char program[600], log[700], pool[32], in_flight[16];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(program, sizeof program, "%s/examples/worker", trial->rig->build);
    snprintf(in_flight, sizeof in_flight, "%u", trial->size->in_flight);
    pool_name(trial, worker, pool);
    worker_log(trial, worker, log);
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dup2(out, STDOUT_FILENO);
    execl(program, program, "-r", trial->rig->runtime, "-n", in_flight, "--patience", "10",
          "--stats", pool, (char *)NULL);
    _exit(127);
}

static void start_workers(struct trial *trial) {
    for (unsigned i = 0; i < trial->size->workers; i++) {
        trial->workers[i] = fork();
        if (trial->workers[i] < 0)
            sample_die("fork: %s", strerror(errno));
        if (trial->workers[i] == 0)
            become_worker(trial, i);
    }
}

/* The last line of statistics: {"type":"stats",…,"ok":…,"failed":…}. */
static unsigned failures_of(const struct trial *trial, unsigned worker) {
    char path[700], line[4096];
    json_int_t ok = 0, failed = 0;
    worker_log(trial, worker, path);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        json_t *said = json_loads(line, 0, NULL);
        const char *type = json_string_value(json_object_get(said, "type"));
        if (type && strcmp(type, "stats") == 0) {
            ok = json_integer_value(json_object_get(said, "ok"));
            failed = json_integer_value(json_object_get(said, "failed")) +
                     json_integer_value(json_object_get(said, "broken"));
        }
        json_decref(said);
    }
    if (file)
        fclose(file);
    if (ok == 0)
        sample_die("a worker got no answer at all; see %s", path);
    return (unsigned)failed;
}

static unsigned stop_workers(struct trial *trial) {
    unsigned failed = 0;
    for (unsigned i = 0; i < trial->size->workers; i++)
        kill(trial->workers[i], SIGTERM);
    for (unsigned i = 0; i < trial->size->workers; i++) {
        waitpid(trial->workers[i], NULL, 0);
        failed += failures_of(trial, i);
    }
    return failed;
}

/* ---- when did anybody know ---- */

struct onlooker {
    pthread_t thread;
    kb_reader *reader;
    atomic_bool *over;
    uint64_t known_ns; /* 0 = the pool did not change */
};

/* Goes before the workers where that is allowed: it is to know when the board changed, not when the
 * scheduler came to it. */
static void *look_on(void *argument) {
    struct onlooker *onlooker = argument;
    const kb_key *key = kb_current(onlooker->reader);
    uint64_t first = key ? key->id : 0;
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 });
    while (onlooker->known_ns == 0 && !atomic_load(onlooker->over)) {
        key = kb_current(onlooker->reader);
        if (key && key->id != first)
            onlooker->known_ns = sample_now_ns();
        else
            kb_wait(onlooker->reader, 100);
    }
    return NULL;
}

/* Let the first key run out under the workers; when the first pool was told. */
static uint64_t run_out(const struct trial *trial, unsigned keys_serial) {
    struct onlooker onlookers[WORKERS_MAX] = { 0 };
    atomic_bool over = false;
    uint64_t first_ns = UINT64_MAX;
    for (unsigned p = 0; p < pool_count(trial); p++) {
        char pool[32];
        pool_name(trial, p, pool);
        onlookers[p].reader = rig_reader(trial->rig, pool);
        onlookers[p].over = &over;
        if (pthread_create(&onlookers[p].thread, NULL, look_on, &onlookers[p]) != 0)
            sample_die("no thread");
    }
    sample_sleep_us(WARM_UP_US);
    vendor_control(trial->vendor, "key?key=sk-%u-first&quota=0", keys_serial);
    sample_sleep_us(AFTER_US);
    atomic_store(&over, true);
    for (unsigned p = 0; p < pool_count(trial); p++) {
        pthread_join(onlookers[p].thread, NULL);
        kb_close(onlookers[p].reader);
        if (onlookers[p].known_ns != 0 && onlookers[p].known_ns < first_ns)
            first_ns = onlookers[p].known_ns;
    }
    if (first_ns == UINT64_MAX)
        sample_die("nobody noticed that a key ran out");
    return first_ns;
}

/* ---- a round ---- */

static struct outcome play(struct rig *rig, const struct vendor *vendor, const struct size *size,
                           bool alone) {
    static unsigned serial;
    char api_key[32];
    struct outcome outcome;
    unsigned late, keys_serial = ++serial;
    struct trial trial = {
        .rig = rig, .vendor = vendor, .size = size, .alone = alone, .serial = serial
    };
    snprintf(api_key, sizeof api_key, "sk-%u-first", keys_serial);
    make_pools(&trial, keys_serial);
    start_workers(&trial);
    uint64_t known_ns = run_out(&trial, keys_serial);
    outcome.failed = stop_workers(&trial);
    unsigned wasted = vendor_refused(vendor, api_key, known_ns + LATE_NS, &late);
    outcome.wasted = wasted;
    outcome.late = late;
    if (alone) { /* whoever starts now knows nothing yet */
        trial.serial = ++serial;
        make_pools(&trial, keys_serial);
        vendor_control(vendor, "key?key=%s&quota=0", api_key);
    }
    start_workers(&trial);
    sample_sleep_us(RESTARTED_US);
    outcome.failed += stop_workers(&trial);
    outcome.wasted_by_next = vendor_refused(vendor, api_key, 0, &late) - wasted;
    return outcome;
}

/* With a ratio, unless one of its denominators is nothing. */
static void tell(const struct size *size, const char *what, const char *name, double *shared,
                 double *alone) {
    char id[64], text[112];
    snprintf(id, sizeof id, "wasted.%s.%s", size->id, what);
    snprintf(text, sizeof text, "%s: %s", size->id, name);
    for (unsigned i = 0; i < size->rounds; i++) {
        if (alone[i] > 0)
            continue;
        result_add_figure(id, text, "calls", shared, size->rounds, 0, false);
        return;
    }
    struct result result = result_against(id, text, "calls", shared, alone, size->rounds);
    result_add(&result);
}

static void measure(struct rig *rig, const struct vendor *vendor, const struct size *size) {
    double wasted[2][ROUNDS_MAX], late[2][ROUNDS_MAX], next[2][ROUNDS_MAX], failed[2] = { 0 };
    vendor_control(vendor, "latency?min=%u&max=%u", size->latency_min_ms, size->latency_max_ms);
    for (unsigned i = 0; i < size->rounds; i++) {
        for (int alone = 0; alone < 2; alone++) {
            struct outcome outcome = play(rig, vendor, size, alone);
            wasted[alone][i] = outcome.wasted;
            late[alone][i] = outcome.late;
            next[alone][i] = outcome.wasted_by_next;
            failed[alone] += outcome.failed;
        }
    }
    tell(size, "calls", "calls refused for the key that ran out", wasted[0], wasted[1]);
    tell(size, "late", "of these, begun 1 ms after the first knew", late[0], late[1]);
    tell(size, "next", "by workers that started afterwards", next[0], next[1]);
    char id[64], text[112];
    snprintf(id, sizeof id, "wasted.%s.failed", size->id);
    snprintf(text, sizeof text, "%s: user requests that failed", size->id);
    result_add_figure(id, text, "", failed, 1, 0, false);
    if (failed[0] > 0)
        result_fail(id, text, "while other keys were usable");
}

static void free_of_processors(pid_t pid) {
    cpu_set_t set;
    memset(&set, 0xff, sizeof set);
    if (sched_setaffinity(pid, sizeof set, &set) < 0)
        sample_die("cannot use every processor: %s", strerror(errno));
}

void wasted_measure(struct rig *rig, bool quick) {
    struct vendor vendor;
    result_section("what a key that runs out costs (reference: workers who each find out)");
    vendor_start(&vendor, rig->build);
    rig_start(rig, "io_uring");
    free_of_processors(rig->broker);
    for (size_t i = 0; i < (quick ? 1 : sizeof SIZES / sizeof *SIZES); i++)
        measure(rig, &vendor, &SIZES[i]);
    rig_stop(rig);
    vendor_stop(&vendor);
}
