/*
 * See failover.h. This process reports, on the processor where broker and relay also live; a forked
 * observer spins on the other one. In every round relay and broker take short turns. Between two
 * failovers there is a pause of random length, in which the reporter sleeps: so the broker finds
 * the processor free, as the relay does, but its last commit may still be going on.
 *
 * A report benches its key, so every round uses up keys, which are enabled again after it.
 */
#include "failover.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keybroker_shared/report.h>

#include "result.h"
#include "sample.h"

enum {
    FAILOVERS_MAX = 4000,
    ROUNDS_MAX = 15,
    PAUSE_US = 100, /* and up to as much again */
    TURN = 100,
    LOST_MS = 5000, /* an observer that sees nothing for so long never will */
};

enum order { ORDER_NONE, ORDER_WATCH_BROKER, ORDER_WATCH_RELAY };

/* What reporter, observer and relay share. The relay's word stands alone on its cache line, as the
 * generation does on the board. */
struct shared {
    _Alignas(64) _Atomic uint64_t relayed;
    _Alignas(64) _Atomic uint32_t order; /* enum order; the observer sets it back when done */
    _Atomic uint32_t count;
    _Atomic uint32_t watching;
    _Alignas(64) _Atomic uint32_t seen;
    uint64_t seen_ns[FAILOVERS_MAX];
};

struct contest {
    struct rig *rig;
    const char *pool;
    struct shared *shared;
    pid_t observer, relay;
    int relay_fd;
    kb_reader *reader; /* the reporter's */
    uint64_t sent_ns[FAILOVERS_MAX];
    uint64_t reported[FAILOVERS_MAX];
    uint32_t reported_count;
    unsigned random;
};

/* ---- the observer ---- */

static bool is_called_off(const struct shared *shared) {
    return atomic_load_explicit(&shared->order, memory_order_relaxed) == ORDER_NONE;
}

static void note(struct shared *shared, uint32_t index) {
    shared->seen_ns[index] = sample_now_ns();
    atomic_store_explicit(&shared->seen, index + 1, memory_order_release);
}

static void watch_broker(struct shared *shared, kb_reader *reader, uint32_t count) {
    const kb_key *key = kb_current(reader);
    uint64_t last = key ? key->id : 0;
    atomic_store(&shared->watching, 1);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t spins = 0;
        do {
            key = kb_current(reader);
            if (++spins % 65536 == 0 && is_called_off(shared))
                return;
        } while (!key || key->id == last);
        note(shared, i);
        last = key->id;
    }
}

static void watch_relay(struct shared *shared, uint32_t count) {
    uint64_t now, last = atomic_load(&shared->relayed);
    atomic_store(&shared->watching, 1);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t spins = 0;
        do {
            now = atomic_load_explicit(&shared->relayed, memory_order_acquire);
            if (++spins % 65536 == 0 && is_called_off(shared))
                return;
        } while (now == last);
        note(shared, i);
        last = now;
    }
}

__attribute__((noreturn)) static void be_observer(const struct contest *contest) {
    struct shared *shared = contest->shared;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sample_pin(CPU_WATCHING);
    kb_reader *reader = rig_reader(contest->rig, contest->pool);
    for (;;) {
        uint32_t order = atomic_load(&shared->order);
        if (order == ORDER_NONE) {
            sample_sleep_us(200);
            continue;
        }
        if (order == ORDER_WATCH_BROKER)
            watch_broker(shared, reader, atomic_load(&shared->count));
        else
            watch_relay(shared, atomic_load(&shared->count));
        atomic_store(&shared->order, ORDER_NONE);
    }
}

/* ---- the relay ---- */

__attribute__((noreturn)) static void be_relay(const struct contest *contest, int fd) {
    struct kb_report_message message;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sample_pin(CPU_WORKING);
    for (uint64_t received = 1; recv(fd, &message, sizeof message, 0) > 0; received++)
        atomic_store_explicit(&contest->shared->relayed, received, memory_order_release);
    _exit(0);
}

/* ---- the reporter ---- */

static pid_t fork_or_die(void) {
    pid_t pid = fork();
    if (pid < 0)
        sample_die("fork: %s", strerror(errno));
    return pid;
}

static struct contest *contest_new(struct rig *rig, const char *pool) {
    struct contest *contest = calloc(1, sizeof *contest);
    int pair[2];
    if (!contest || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        sample_die("socketpair: %s", strerror(errno));
    contest->rig = rig;
    contest->pool = pool;
    contest->random = 1;
    contest->shared = sample_shared(sizeof *contest->shared);
    contest->relay_fd = pair[0];
    contest->observer = fork_or_die();
    if (contest->observer == 0)
        be_observer(contest);
    contest->relay = fork_or_die();
    if (contest->relay == 0) {
        close(pair[0]);
        be_relay(contest, pair[1]);
    }
    close(pair[1]);
    contest->reader = rig_reader(rig, pool);
    return contest;
}

static void contest_free(struct contest *contest) {
    kb_close(contest->reader);
    close(contest->relay_fd);
    kill(contest->observer, SIGKILL);
    waitpid(contest->observer, NULL, 0);
    waitpid(contest->relay, NULL, 0);
    munmap(contest->shared, sizeof *contest->shared);
    free(contest);
}

static void pause_a_little(struct contest *contest) {
    contest->random = contest->random * 1664525 + 1013904223;
    sample_sleep_us(PAUSE_US + (contest->random >> 16) % PAUSE_US);
}

/* Sleeps, so that whoever relays has this processor. */
static void await_seen(struct contest *contest, uint32_t index) {
    uint64_t give_up_ns = sample_now_ns() + UINT64_C(1000000) * LOST_MS;
    do {
        pause_a_little(contest);
        if (sample_now_ns() > give_up_ns)
            sample_die("failover %u was never seen (pool %s)", index, contest->pool);
    } while (atomic_load_explicit(&contest->shared->seen, memory_order_acquire) <= index);
}

static void give_order(struct contest *contest, enum order order, uint32_t count) {
    struct shared *shared = contest->shared;
    while (atomic_load(&shared->order) != ORDER_NONE)
        sample_sleep_us(100);
    atomic_store(&shared->seen, 0);
    atomic_store(&shared->watching, 0);
    atomic_store(&shared->count, count);
    atomic_store(&shared->order, order);
    while (!atomic_load(&shared->watching))
        sample_sleep_us(100);
}

static void add_times(const struct contest *contest, uint32_t count, double *us) {
    for (uint32_t i = 0; i < count; i++)
        us[i] = (double)(contest->shared->seen_ns[i] - contest->sent_ns[i]) / 1000;
}

static void turn_of_relay(struct contest *contest, uint32_t count, double *us) {
    struct kb_report_message message = { .size = sizeof message };
    give_order(contest, ORDER_WATCH_RELAY, count);
    for (uint32_t i = 0; i < count; i++) {
        contest->sent_ns[i] = sample_now_ns();
        if (send(contest->relay_fd, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            sample_die("relay: %s", strerror(errno));
        await_seen(contest, i);
    }
    add_times(contest, count, us);
}

static void turn_of_broker(struct contest *contest, uint32_t count, double *us) {
    give_order(contest, ORDER_WATCH_BROKER, count);
    for (uint32_t i = 0; i < count; i++) {
        const kb_key *key = kb_current(contest->reader);
        if (!key)
            sample_die("pool %s is out of keys", contest->pool);
        kb_ticket ticket = key->ticket;
        contest->reported[contest->reported_count++] = ticket.id;
        contest->sent_ns[i] = sample_now_ns();
        kb_report(contest->reader, ticket, KB_QUOTA, KB_NO_HINT);
        await_seen(contest, i);
    }
    add_times(contest, count, us);
}

/* Short turns, so that what else happens on the machine happens to both. */
static void play_round(struct contest *contest, uint32_t count, double *relay_us,
                       double *broker_us) {
    contest->reported_count = 0;
    for (uint32_t done = 0; done < count; done += TURN) {
        uint32_t some = count - done < TURN ? count - done : TURN;
        turn_of_relay(contest, some, relay_us + done);
        turn_of_broker(contest, some, broker_us + done);
    }
    rig_enable(contest->rig, contest->pool, contest->reported, contest->reported_count);
}

/* ---- the variants ---- */

struct variant {
    const char *what, *loop;
    unsigned keys, benched, failovers, idle;
    unsigned sync_delay_ms;
    bool in_quick;
};

static const struct variant VARIANTS[] = {
    { .what = "plain", .loop = "io_uring", .keys = 4000, .failovers = 3000, .in_quick = true },
    { .what = "plain", .loop = "epoll", .keys = 4000, .failovers = 3000, .in_quick = true },
    { .what = "10,000 keys", .loop = "io_uring", .keys = 10000, .failovers = 3000 },
    { .what = "past 9,000 benched keys",
      .loop = "io_uring",
      .keys = 12500,
      .benched = 9000,
      .failovers = 3000,
      .in_quick = true },
    { .what = "disk with 50 ms syncs",
      .loop = "io_uring",
      .keys = 4000,
      .failovers = 3000,
      .sync_delay_ms = 50,
      .in_quick = true },
    { .what = "disk with 50 ms syncs",
      .loop = "epoll",
      .keys = 4000,
      .failovers = 3000,
      .sync_delay_ms = 50 },
    { .what = "1,000 idle connections",
      .loop = "io_uring",
      .keys = 4000,
      .failovers = 3000,
      .idle = 1000 },
    { .what = "1,000 idle connections",
      .loop = "epoll",
      .keys = 4000,
      .failovers = 3000,
      .idle = 1000 },
};

static void tell(const struct variant *variant, const char *what, double *relays, double *brokers,
                 unsigned rounds, double target, double limit) {
    char id[128], name[112];
    snprintf(name, sizeof name, "%s, %s, %s", what, variant->what, variant->loop);
    snprintf(id, sizeof id, "failover.%s", name);
    struct result result = result_against(id, name, "us", brokers, relays, rounds);
    result.target = target;
    result.limit = limit;
    result_add(&result);
}

/* Bench the first keys of the order by reports, no faster than the broker takes them: what a reader
 * could not send it may forget. */
static void bench_first(struct contest *contest, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        kb_health_info health = KB_HEALTH_INFO_INIT;
        const kb_key *key = kb_current(contest->reader);
        if (!key)
            sample_die("pool %s is out of keys", contest->pool);
        uint64_t id = key->id;
        kb_report(contest->reader, key->ticket, KB_QUOTA, KB_NO_HINT);
        do {
            kb_health(contest->reader, &health);
            key = kb_current(contest->reader);
        } while (health.reports_pending > 0 || (key && key->id == id));
    }
    sample_sleep_us(500000);
}

static void measure(struct rig *rig, const struct variant *variant, bool quick) {
    double relay_p50[ROUNDS_MAX], relay_p99[ROUNDS_MAX];
    double broker_p50[ROUNDS_MAX], broker_p99[ROUNDS_MAX];
    unsigned rounds = quick ? 3 : 9, count = quick ? 800 : variant->failovers;
    static int idle[1000];
    char pool[48];
    static unsigned serial;

    snprintf(pool, sizeof pool, "failover-%u", ++serial);
    rig->slow_disk_ready = variant->sync_delay_ms > 0;
    rig_start(rig, variant->loop);
    rig_make_pool(rig, pool, "priority", variant->keys, "");
    for (unsigned i = 0; i < variant->idle; i++)
        idle[i] = rig_connect_report(rig, pool);
    struct contest *contest = contest_new(rig, pool);
    bench_first(contest, variant->benched);
    if (variant->sync_delay_ms)
        rig_delay_syncs(rig, variant->sync_delay_ms * 1000);
    uint64_t syncs = atomic_load(&rig->disk->syncs_begun);
    for (unsigned i = 0; i < rounds + 1; i++) { /* the first is to warm up */
        static double relay_us[FAILOVERS_MAX], broker_us[FAILOVERS_MAX];
        unsigned at = i == 0 ? 0 : i - 1, some = i == 0 ? 300 : count;
        play_round(contest, some, relay_us, broker_us);
        relay_p50[at] = sample_percentile(relay_us, some, 50);
        relay_p99[at] = sample_percentile(relay_us, some, 99);
        broker_p50[at] = sample_percentile(broker_us, some, 50);
        broker_p99[at] = sample_percentile(broker_us, some, 99);
    }
    if (variant->sync_delay_ms && atomic_load(&rig->disk->syncs_begun) == syncs)
        sample_die("the slow disk was never used");
    rig_delay_syncs(rig, 0);
    rig->slow_disk_ready = false;
    tell(variant, "p50", relay_p50, broker_p50, rounds, 1.4, 3);
    tell(variant, "p99", relay_p99, broker_p99, rounds, 3, 0);
    contest_free(contest);
    for (unsigned i = 0; i < variant->idle; i++)
        close(idle[i]);
    rig_stop(rig);
}

void failover_measure(struct rig *rig, bool quick) {
    result_section("report to another process's next key (reference: bare SEQPACKET relay)");
    prctl(PR_SET_TIMERSLACK, 1);
    sample_pin(CPU_WORKING);
    for (size_t i = 0; i < sizeof VARIANTS / sizeof *VARIANTS; i++)
        if (VARIANTS[i].in_quick || !quick)
            measure(rig, &VARIANTS[i], quick);
}
