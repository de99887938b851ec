/*
 * See changes.h. The clients are connections of this process, pinned to CPU_WATCHING. The store
 * lies in memory and every sync of it takes 0.3 ms, so that the figures compare from one machine to
 * the next; one more figure is of the machine's own disk.
 */
#include "changes.h"

#include "result.h"
#include "sample.h"

enum { ROUNDS = 5, CLIENTS = 16, WINDOW = 16, SYNC_US = 300, ROUND_MS = 500 };

enum kind { MIXED, SWITCH, NOTE, MOVE };

static const char *const KIND_IDS[] = { "mixed", "switch", "note", "move" };
static const char *const KIND_NAMES[] = { "mixed", "disable and enable", "notes", "moves" };

struct pool {
    const char *name;
    unsigned keys;
    const char *what;
};

struct contest {
    struct rig *rig;
    struct pool pool;
    enum kind kind;
    unsigned clients, window; /* changes under way per client */
    double target;
};

/* A client keeps to every 16th key, so that its changes depend on no other's. */
static void send_change(struct rig_admin *admin, const struct contest *contest, unsigned client,
                        unsigned long serial) {
    static const enum kind MIX[] = { SWITCH, SWITCH, NOTE, MOVE };
    const char *pool = contest->pool.name;
    enum kind kind = contest->kind == MIXED ? MIX[serial % 4] : contest->kind;
    unsigned own = (contest->pool.keys - 2) / CLIENTS;
    unsigned long key = 2 + client + CLIENTS * (serial / 4 % own);
    if (kind == SWITCH)
        rig_admin_send(admin, "%s key %s key%lu\n", serial % 2 ? "enable" : "disable", pool, key);
    else if (kind == NOTE)
        rig_admin_send(admin, "set key %s key%lu note=change-%lu\n", pool, key, serial);
    else
        rig_admin_send(admin, "move key %s key%lu to %lu\n", pool, key,
                       2 + serial * 7919 % (contest->pool.keys - 2));
}

/* Changes a second, all acknowledged. */
static double play(const struct contest *contest, struct rig_admin *admins, unsigned long *serials,
                   unsigned long *ret_changes) {
    unsigned long sent = 0, taken = 0;
    unsigned long under_way = (unsigned long)contest->clients * contest->window;
    uint64_t begun_ns = sample_now_ns(), until_ns = begun_ns + UINT64_C(1000000) * ROUND_MS;
    do {
        for (; sent < taken + under_way && sample_now_ns() < until_ns; sent++) {
            unsigned client = (unsigned)(sent % contest->clients);
            send_change(&admins[client], contest, client, serials[client]++);
        }
        if (taken < sent)
            rig_admin_take(&admins[taken++ % contest->clients], NULL, 0);
    } while (taken < sent || sample_now_ns() < until_ns);
    *ret_changes = taken;
    return (double)taken * 1e9 / (double)(sample_now_ns() - begun_ns);
}

static void measure(const struct contest *contest, const char *disk) {
    double per_second[ROUNDS], per_commit[ROUNDS];
    struct rig_admin admins[CLIENTS];
    unsigned long serials[CLIENTS] = { 0 };
    char id[128], name[160], clients[48];
    for (unsigned c = 0; c < contest->clients; c++)
        admins[c] = rig_admin_open(contest->rig);
    for (unsigned round = 0; round < ROUNDS + 1; round++) { /* the first is to warm up */
        unsigned at = round > 0 ? round - 1 : 0;
        unsigned long changes;
        double commits = rig_metric(&admins[0], "keybroker_commits_total");
        per_second[at] = play(contest, admins, serials, &changes);
        per_commit[at] =
            (double)changes / (rig_metric(&admins[0], "keybroker_commits_total") - commits);
    }
    for (unsigned c = 0; c < contest->clients; c++)
        rig_admin_close(&admins[c]);
    if (contest->clients == 1)
        snprintf(clients, sizeof clients, "1 client");
    else
        snprintf(clients, sizeof clients, "%u clients x %u under way", contest->clients,
                 contest->window);
    snprintf(id, sizeof id, "capacity.changes.%s.keys_%u.%s.clients_%u_%u", disk,
             contest->pool.keys, KIND_IDS[contest->kind], contest->clients, contest->window);
    snprintf(name, sizeof name, "%s, %s, %s", contest->pool.what, clients,
             KIND_NAMES[contest->kind]);
    result_add_figure(id, name, "/s", per_second, ROUNDS, contest->target, true);
    snprintf(id, sizeof id, "capacity.changes.%s.keys_%u.%s.clients_%u_%u.per_commit", disk,
             contest->pool.keys, KIND_IDS[contest->kind], contest->clients, contest->window);
    snprintf(name, sizeof name, "%s, %s: changes in a commit", contest->pool.what, clients);
    result_add_figure(id, name, "", per_commit, ROUNDS, 0, false);
}

static void measure_controlled(struct rig *rig) {
    static const struct pool POOLS[] = { { "changes-1000", 1000, "1,000 keys" },
                                         { "changes-10000", 10000, "10,000 keys" },
                                         { "changes-65536", 65536, "65,536 keys" } };
    result_section("durable changes, a disk that syncs in 0.3 ms");
    rig->slow_disk_ready = true;
    rig_start(rig, "io_uring");
    for (unsigned i = 0; i < 3; i++)
        rig_make_pool(rig, POOLS[i].name, "priority", POOLS[i].keys, "");
    rig_delay_syncs(rig, SYNC_US);
    for (unsigned i = 0; i < 3; i++) {
        measure(&(struct contest){ rig, POOLS[i], MIXED, 1, 1, 0 }, "sync_300us");
        measure(&(struct contest){ rig, POOLS[i], MIXED, CLIENTS, 1, 0 }, "sync_300us");
        measure(&(struct contest){ rig, POOLS[i], MIXED, CLIENTS, WINDOW, i == 0 ? 5000 : 0 },
                "sync_300us");
    }
    for (enum kind kind = SWITCH; kind <= MOVE; kind++)
        measure(&(struct contest){ rig, POOLS[0], kind, CLIENTS, WINDOW, 5000 }, "sync_300us");
    rig_delay_syncs(rig, 0);
    rig_stop(rig);
}

void changes_measure(struct rig *rig, bool quick) {
    struct rig controlled;
    const struct pool pool = { "changes-1000", 1000, "1,000 keys" };
    (void)quick;
    sample_pin(CPU_WATCHING);
    rig_open_in_memory(&controlled, rig->build);
    measure_controlled(&controlled);
    rig_close(&controlled);
    result_section("durable changes, this machine's disk");
    rig_start(rig, "io_uring");
    rig_make_pool(rig, pool.name, "priority", pool.keys, "");
    measure(&(struct contest){ rig, pool, MIXED, 1, 1, 0 }, "own_disk");
    measure(&(struct contest){ rig, pool, MIXED, CLIENTS, WINDOW, 0 }, "own_disk");
    rig_stop(rig);
}
