/* See chronicle.h. */
#include "chronicle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "model_text.h"
#include "server.h"
#include "timetext.h"

#define DAY_MS INT64_C(86400000)

enum {
    WAITING_MAX = 20000, /* events kept while the disk does not answer; then they are counted */
    FAILOVERS_IN_A_ROW = 10,
    FAILOVER_EVERY_MS = 1000, /* of one pool, as events and log lines */
    LINES_IN_A_ROW = 20,
    LINE_EVERY_MS = 250, /* of all pools */
    EXPIRY_DAYS = 7,
    EXPIRY_PIECE = 512, /* keys looked at in a second */
};

/* ---- what waits for the commit ---- */

/* A pool may have as many as are still free: one alone gets half of all, and whoever comes late
 * finds room, too. */
static bool has_room(struct server *server, uint64_t pool_id) {
    struct group *group = server->gathering;
    size_t all = group->background.count;
    size_t own = (size_t)(uintptr_t)map_get(&group->events_of_pools, pool_id);
    if (all >= WAITING_MAX || own >= WAITING_MAX - all) {
        server->events_dropped++;
        return false;
    }
    map_set(&group->events_of_pools, pool_id, (void *)(uintptr_t)(own + 1));
    return true;
}

static void keep(struct server *server, const struct event *event) {
    if (has_room(server, event->pool_id))
        changeset_event(&server->gathering->background, event);
}

static void keep_change(struct server *server, const struct cause *cause,
                        const struct change *change) {
    uint32_t count = model_tell_change(server->model, change->happened.key, change->happened.from,
                                       change->happened.to, server->now);
    if (!count)
        return;
    struct event event = model_happened_event(cause, change);
    event.count = count;
    keep(server, &event);
}

static void say_guard(const struct event *event) {
    if (strncmp(event->reason, "guard on", 8) == 0)
        log_warning("pool %s: %s", event->pool, event->reason);
    else
        log_info("pool %s: %s", event->pool, event->reason);
}

void chronicle_keep(struct server *server, const struct cause *cause, struct changeset *set) {
    for (size_t i = 0; i < set->count; i++) {
        struct change *change = &set->items[i];
        if (change->kind == CHANGE_HAPPENED && change->happened.from != change->happened.to) {
            keep_change(server, cause, change);
        } else if (change->kind == CHANGE_EVENT) {
            if (cause && change->event->kind == EVENT_GUARD)
                say_guard(change->event);
            if (has_room(server, change->pool_id))
                changeset_move_event(&server->gathering->background, change);
        }
    }
}

void chronicle_tick(struct server *server) {
    struct event event;
    while (model_counted_changes(server->model, server->now, &event))
        keep(server, &event);
}

/* ---- failovers ---- */

/* ", reported by app-3 (alice, pid 12)"; the caller frees it. */
static char *actor_text(const struct event *event) {
    const struct actor_names *names = &event->names;
    if (event->actor.kind != ACTOR_REPORT)
        return mem_strdup("");
    return mem_printf(", reported by %s (%s%suid %u, pid %u)",
                      names->program[0] ? names->program : "a worker", names->user,
                      names->user[0] ? ", " : "", event->actor.uid, event->actor.pid);
}

/* "quota (429 insufficient_quota)"; the caller frees it. */
static char *cause_text(const struct event *event) {
    const char *class = event->outcome ? model_outcome_name(event->outcome) : event->reason;
    if (!event->http_status)
        return mem_strdup(class);
    return mem_printf("%s (%u%s%s)", class, event->http_status, event->vendor_code[0] ? " " : "",
                      event->vendor_code);
}

static void say_failover(struct server *server, const struct event *event) {
    char times[32] = "", left_out[48] = "";
    uint64_t held;
    if (!quota_take(&server->failover_lines, LINES_IN_A_ROW, LINE_EVERY_MS, server->now.mono_ms,
                    &held))
        return;
    if (event->count > 1)
        snprintf(times, sizeof times, ", %u times", event->count);
    if (held)
        snprintf(left_out, sizeof left_out, "; %llu such lines left out", (unsigned long long)held);
    char *cause = cause_text(event), *actor = actor_text(event);
    log_info("pool %s: %s → %s, %s%s%s%s", event->pool, event->key,
             event->to_key[0] ? event->to_key : "no key", cause, actor, times, left_out);
    free(actor);
    free(cause);
}

static void tell_failover(struct server *server, struct outlet *outlet, struct event *event) {
    uint64_t held;
    if (!quota_take(&outlet->failovers_told, FAILOVERS_IN_A_ROW, FAILOVER_EVERY_MS,
                    server->now.mono_ms, &held)) {
        if (!outlet->failover_held)
            outlet->failover_held = mem_alloc(sizeof *outlet->failover_held);
        *outlet->failover_held = *event;
        return;
    }
    event->count = (uint32_t)held + 1;
    keep(server, event);
    say_failover(server, event);
}

static const struct change *change_of(const struct changeset *set, uint64_t key_id) {
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].kind == CHANGE_HAPPENED && set->items[i].key_id == key_id)
            return &set->items[i];
    return NULL;
}

static void note_failover(struct server *server, struct outlet *outlet, const struct cause *cause,
                          const struct changeset *set) {
    struct publication *pub = &outlet->publication;
    const struct model_pool *pool = model_pool_by_id(server->model, outlet->pool_id);
    const struct model_key *key = model_key_by_id(server->model, pub->moved_from);
    const struct model_key *next = model_key_by_id(server->model, pub->choice_id);
    const struct change *change = change_of(set, pub->moved_from);
    pub->moved_from = 0;
    if (!pool || !key)
        return;
    const struct cause broker = { .now = cause->now, .actor = { .kind = ACTOR_BROKER } };
    struct event event = model_event(change ? cause : &broker, EVENT_FAILOVER, pool, key);
    if (next)
        model_copy_text(event.to_key, sizeof event.to_key, next->record->name);
    if (change) {
        event.outcome = change->happened.outcome;
        event.http_status = change->happened.http_status;
        model_copy_text(event.vendor_code, sizeof event.vendor_code, change->happened.vendor_code);
    }
    model_copy_text(event.reason, sizeof event.reason,
                    change ? change->happened.reason : "its time passed");
    tell_failover(server, outlet, &event);
}

void chronicle_failovers(struct server *server, const struct cause *cause,
                         const struct changeset *set) {
    uint64_t last = 0;
    for (size_t i = 0; i < set->count; i++) {
        uint64_t pool_id = set->items[i].pool_id;
        struct outlet *outlet = pool_id == last ? NULL : map_get(&server->outlets, pool_id);
        if (outlet && outlet->publication.moved_from)
            note_failover(server, outlet, cause, set);
        last = pool_id;
    }
}

static void tell_held_failovers(struct server *server, struct outlet *outlet) {
    struct quota *told = &outlet->failovers_told;
    if (!told->held ||
        !quota_has_room(told, FAILOVERS_IN_A_ROW, FAILOVER_EVERY_MS, server->now.mono_ms))
        return;
    struct event event = *outlet->failover_held;
    told->held--; /* itself */
    tell_failover(server, outlet, &event);
}

/* ---- pools without a key, keys that expire ---- */

static void say_exhausted(struct server *server, struct outlet *outlet) {
    struct publication *pub = &outlet->publication;
    bool exhausted = pub->exhausted_since_mono != 0;
    if (exhausted == outlet->exhausted_told)
        return;
    outlet->exhausted_told = exhausted;
    if (!exhausted) {
        log_info("pool %s: there is a usable key again", outlet->name);
        return;
    }
    char time[TIMETEXT_SIZE];
    int64_t at = publication_recovers_at(pub, server->now);
    if (at)
        log_warning("pool %s: no key is usable; one comes back by itself at %s", outlet->name,
                    timetext_format(at / 1000 * 1000, time));
    else
        log_warning("pool %s: no key is usable, and none comes back by itself: enable, add or "
                    "renew one",
                    outlet->name);
}

/* Once a day and key, also after a start. False: enough lines for now. */
static bool warn_of_expiry(struct server *server, struct model_key *key) {
    int64_t now = server->now.wall_ms, expires = key->record->expires_at_ms, left = expires - now;
    if (!expires || left <= 0 || left > EXPIRY_DAYS * DAY_MS ||
        (key->warned_wall && now - key->warned_wall < DAY_MS && now >= key->warned_wall))
        return true;
    uint64_t held;
    char time[TIMETEXT_SIZE];
    if (!quota_take(&server->expiry_lines, LINES_IN_A_ROW, LINE_EVERY_MS, server->now.mono_ms,
                    &held))
        return false;
    key->warned_wall = now;
    if (left >= DAY_MS)
        snprintf(time, sizeof time, "%lld d", (long long)(left / DAY_MS));
    else
        snprintf(time, sizeof time, "%lld h", (long long)(left / (DAY_MS / 24)));
    char at[TIMETEXT_SIZE];
    log_warning("pool %s: key %s expires in %s, at %s: renew it, or set another expiry",
                key->pool->record->name, key->record->name, time, timetext_format(expires, at));
    return true;
}

/* All keys in turn, some each second. A map that grew meanwhile has them in another order: who is
 * passed over then is met in the next round. */
static void look_at_expiries(struct server *server) {
    for (unsigned i = 0; i < EXPIRY_PIECE; i++) {
        struct model_key *key = map_next(&server->model->keys, &server->expiry_cursor);
        if (!key) {
            server->expiry_cursor = 0;
            return;
        }
        if (!warn_of_expiry(server, key)) {
            server->expiry_cursor--;
            return;
        }
    }
}

void chronicle_beat(struct server *server) {
    size_t i = 0;
    for (struct outlet *outlet; (outlet = map_next(&server->outlets, &i));) {
        say_exhausted(server, outlet);
        tell_held_failovers(server, outlet);
    }
    look_at_expiries(server);
}
