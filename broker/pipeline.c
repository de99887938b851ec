/*
 * The way of a change (server.h). Commands are staged in the model and wait here for the committer;
 * reports and recoveries go to the boards at once and are stored with the next group.
 *
 * If a group fails, everything staged is taken back, also what was gathered meanwhile, because it
 * was judged on top of what failed; every command is answered 503 and the boards are announced
 * anew.
 */
#include "server.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "chronicle.h"
#include "log.h"
#include "memory.h"

enum {
    RETRY_MS = 1000,
    BULKY_CHANGES = 4096, /* ~4 MB of changes */
    TOUCH_MS = 100,       /* how often a declined report may move a key's word */
    TICK_PIECE = 256,     /* recoveries and expiries a turn */
    BACKGROUND_MS = 20,   /* between commits that nobody waits for */
};

/* ---- boards ---- */

static void touch(struct server *server, uint64_t pool_id) {
    struct outlet *outlet = map_get(&server->outlets, pool_id);
    if (outlet)
        outlet_touch(outlet);
}

/* A pool whose first catalog could not be published yet has nothing to announce: its workers go on
 * with what the last broker published. */
static void announce_touched(struct server *server, uint64_t generation, bool failover) {
    for (struct outlet *outlet; (outlet = TAILQ_FIRST(&server->touched));) {
        TAILQ_REMOVE(&server->touched, outlet, in_touched);
        outlet->touched = false;
        if (!outlet->publication.catalog_version)
            continue;
        publication_announce(&outlet->publication, generation, server->now, failover);
        if (!outlet->waking)
            TAILQ_INSERT_TAIL(&server->waking, outlet, in_waking);
        outlet->waking = true;
    }
}

static void write_state(struct server *server, const struct model_key *key,
                        const struct key_state *state, uint64_t generation) {
    struct outlet *outlet = map_get(&server->outlets, key->pool->record->id);
    if (!outlet)
        return;
    struct key_state shown;
    if (state->valid_since == VALID_SINCE_PENDING) {
        shown = *state;
        shown.valid_since = generation;
        state = &shown;
    }
    publication_set_state(&outlet->publication, key->record->slot, key->record->id, state);
}

/* A ticket is compared with valid_since across the pools of an account: a pool that stays at an old
 * generation while another pool's key becomes valid again would have its reports on it called
 * stale. `seen`: the accounts that were touched already; an import may name one very often. */
static void touch_account(struct server *server, struct model_key *key, struct map *seen) {
    if (!key->record->account[0])
        return;
    struct model_account *account = model_account_first(server->model, key);
    if (map_get(seen, (uintptr_t)account))
        return;
    map_set(seen, (uintptr_t)account, account);
    for (; account; account = account->next)
        touch(server, account->pool->record->id);
}

/* Write what a changeset says of statuses to the boards and note whom to tell. */
static void publish_states(struct server *server, const struct changeset *set,
                           uint64_t generation) {
    struct map seen = { 0 };
    for (size_t i = 0; i < set->count; i++) {
        const struct change *change = &set->items[i];
        struct model_key *key = NULL;
        const struct key_state *state = NULL;
        if (change->kind == CHANGE_HAPPENED) {
            key = change->happened.key;
            state = &key->state;
        } else if (change->kind == CHANGE_STATE && change->state.after) {
            key = model_key_by_id(server->model, change->key_id);
            state = change->state.after;
        }
        touch(server, change->pool_id);
        if (!key)
            continue;
        write_state(server, key, state, generation);
        if (state->valid_since == VALID_SINCE_PENDING)
            touch_account(server, key, &seen);
    }
    map_deinit(&seen);
}

/* ---- reports and recoveries ---- */

/* Let the board say whether the guard holds and whether successes are asked for. True if the guard
 * is news: that has to be announced. */
static bool show_trouble(struct outlet *outlet, const struct model_pool *pool) {
    uint32_t flags = (model_guard_is_on(pool) ? KB_BOARD_GUARDED : 0) |
                     (trouble_is_doubtful(&pool->trouble) ? KB_BOARD_DOUBTED : 0);
    bool news = (flags ^ outlet->flags) & KB_BOARD_GUARDED;
    if (flags == outlet->flags)
        return false;
    outlet->flags = flags;
    if (news)
        outlet_touch(outlet);
    board_set_flags(&outlet->publication.board, flags);
    return news;
}

/* Of the pools that a changeset is about; an account reaches into several. */
static bool show_troubles(struct server *server, const struct changeset *set) {
    bool news = false;
    uint64_t last = 0;
    for (size_t i = 0; i < set->count; i++) {
        uint64_t pool_id = set->items[i].pool_id;
        if (pool_id == last)
            continue;
        struct outlet *outlet = map_get(&server->outlets, pool_id);
        const struct model_pool *pool = model_pool_by_id(server->model, pool_id);
        news |= outlet && pool && show_trouble(outlet, pool);
        last = pool_id;
    }
    return news;
}

static bool says_guard(const struct changeset *set) {
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].kind == CHANGE_EVENT && set->items[i].event->kind == EVENT_GUARD)
            return true;
    return false;
}

/* The boards first; what workers don't wait for comes after the announcement, in settle_live. */
static uint64_t publish_live(struct server *server, const struct changeset *set, bool announce,
                             bool failover) {
    uint64_t generation = announce ? server_next_generation(server) : 0;
    publish_states(server, set, generation);
    if (announce)
        announce_touched(server, generation, failover);
    return generation;
}

static void settle_live(struct server *server, const struct cause *cause, struct changeset *set,
                        uint64_t generation) {
    model_announced(server->model, set, generation);
    chronicle_keep(server, cause, set);
    chronicle_failovers(server, cause, set);
}

/* An empty live changeset: one is kept, so that the way of a report allocates nothing. */
static struct changeset *begin_live(struct server *server) {
    changeset_truncate(&server->happening, 0);
    server->happening.live = true;
    return &server->happening;
}

/* A reader that reported skips the key until its word moves: also a declined report must move it.
 * But not what the guard holds: there the reader goes on with its other keys. */
static void decline(struct server *server, struct outlet *outlet, uint64_t key_id) {
    struct model_key *key = model_key_by_id(server->model, key_id);
    if (!key || server->now.mono_ms - key->touched_mono < TOUCH_MS)
        return;
    key->touched_mono = server->now.mono_ms;
    publication_touch(&outlet->publication, key->record->slot, key->record->id);
    outlet_touch(outlet);
    announce_touched(server, server_next_generation(server), false);
}

/* False where only other keys of the account changed: the reported one was stale. */
static bool says_status(const struct changeset *set, uint64_t key_id) {
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].kind == CHANGE_HAPPENED && set->items[i].key_id == key_id)
            return true;
    return false;
}

void server_report(struct server *server, struct outlet *outlet, const struct actor *actor,
                   const struct report *report, uint64_t received_ns) {
    server->now = moment_at(received_ns);
    const struct model_key *key = model_key_by_id(server->model, report->key_id);
    if (key)
        publication_expect(&outlet->publication, key->record->slot);
    struct model_pool *pool = model_pool_by_id(server->model, outlet->pool_id);
    struct changeset *set = begin_live(server);
    struct cause cause = { .now = server->now, .actor = *actor };
    enum report_fate fate = FATE_UNKNOWN;
    if (pool)
        fate =
            model_report(server->model, &cause, pool, report, outlet->publication.generation, set);
    bool news = pool && show_trouble(outlet, pool);
    if (says_guard(set)) /* an account reaches into other pools */
        news |= show_troubles(server, set);
    uint64_t generation = 0;
    if (set->count)
        generation = publish_live(server, set, news || fate == FATE_APPLIED, true);
    if (fate == FATE_APPLIED)
        histogram_add(&server->metrics.publish, moment_mono_ns() - received_ns);
    settle_live(server, &cause, set, generation);
    uint32_t outcome = report->outcome <= KB_NETWORK ? report->outcome : 0;
    server->metrics.reports[outcome][fate] += report->count;
    if (fate == FATE_STALE || (fate == FATE_APPLIED && !says_status(set, report->key_id)))
        decline(server, outlet, report->key_id);
}

void server_tick(struct server *server) {
    struct changeset *set = begin_live(server);
    struct cause cause = { .now = server->now, .actor = { .kind = ACTOR_BROKER } };
    chronicle_tick(server);
    model_tick(server->model, server->now, TICK_PIECE, set);
    if (!set->count)
        return;
    show_troubles(server, set);
    uint64_t generation = publish_live(server, set, true, true);
    settle_live(server, &cause, set, generation);
}

/* ---- commands ---- */

void server_stage(struct server *server, struct changeset *set, void *owner) {
    group_add_command(server->gathering, set, owner);
}

void server_query_events(struct server *server, struct event_query *query) {
    query->next = server->gathering->queries;
    server->gathering->queries = query;
}

void server_send_errand(struct server *server, struct errand *errand) {
    struct errand **last = &server->gathering->errands;
    while (*last) /* in the order in which they came; few */
        last = &(*last)->next;
    *last = errand;
    server->errands++;
}

static bool is_to_be_published(const struct server *server) {
    return server_publication_due(server) <= server->now.mono_ms;
}

/* Is there only what reports and the clock changed? It is on the boards already and nobody waits
 * for its commit, so a storm of failovers must not keep the disk and a processor busy with one
 * commit for each. */
static bool is_background(const struct server *server) {
    return !server->gathering->count && !server->reload && server->store_ok && !server->stopping &&
           !is_to_be_published(server) &&
           (server->gathering->background.count || server->model->dirty);
}

int64_t server_background_due(const struct server *server) {
    return !server->committing && is_background(server) ? server->background_mono : INT64_MAX;
}

void server_flush(struct server *server) {
    struct group *group = server->gathering;
    if (server->committing)
        return;
    bool gather = is_background(server) && server->now.mono_ms < server->background_mono;
    bool wait = server->now.mono_ms < server->retry_mono;
    bool work = group->count || group->background.count || server->model->dirty || server->reload ||
                is_to_be_published(server) || !server->store_ok;
    if ((wait && !server->store_ok) || gather || !work) {
        if (!group->queries && !group->errands)
            return;
        /* Looking needs no working disk, and must not wait for one. */
        struct group *asking = group_new();
        asking->queries = group->queries;
        asking->errands = group->errands;
        asking->only_queries = true;
        group->queries = NULL;
        group->errands = NULL;
        group = asking;
    } else {
        server->gathering = group_new();
        server->background_mono = server->now.mono_ms + BACKGROUND_MS;
        model_collect_dirty(server->model, &group->background);
        server_collect_targets(server, group);
        group->next_id = server->model->next_id;
        group->reopen = !server->store_ok;
        group->check_master = server->reload;
        server->reload = false;
    }
    server->committing = true;
    committer_submit(server->committer, group);
}

/* ---- a group came back ---- */

void server_show_pool(struct server *server, struct outlet *outlet, uint64_t generation) {
    const struct model_pool *pool = model_pool_by_id(server->model, outlet->pool_id);
    for (uint32_t i = 0; pool && i < pool->count; i++)
        if (!pool->order[i]->pending)
            write_state(server, pool->order[i], &pool->order[i]->state, generation);
    if (pool)
        show_trouble(outlet, pool);
    /* A board shows only keys of the catalog that it names. */
    outlet->shown = outlet->publication.catalog_version && !outlet->behind;
}

void server_settle_pool(struct server *server, uint64_t pool_id, uint64_t generation) {
    struct model_pool *pool = model_pool_by_id(server->model, pool_id);
    struct outlet *outlet = map_get(&server->outlets, pool_id);
    if (!pool) {
        server_close_outlet(server, pool_id, true);
        return;
    }
    struct map seen = { 0 };
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->order[i]->state.valid_since == VALID_SINCE_PENDING)
            touch_account(server, pool->order[i], &seen);
    map_deinit(&seen);
    model_settle_pool(server->model, pool, generation);
    if (!outlet)
        return;
    server_show_pool(server, outlet, generation);
    outlet_touch(outlet);
}

void server_show_all(struct server *server) {
    uint64_t generation = server_next_generation(server);
    size_t i = 0;
    for (struct outlet *outlet; (outlet = map_next(&server->outlets, &i));) {
        publication_recheck_expiries(&outlet->publication);
        server_show_pool(server, outlet, generation);
        outlet_touch(outlet);
    }
    announce_touched(server, generation, false);
}

static void retire_deleted(struct server *server, const struct changeset *set) {
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].kind == CHANGE_POOL && !set->items[i].pool.after)
            server_close_outlet(server, set->items[i].pool_id, true);
}

static void pass_on_events(struct server *server, const struct changeset *set) {
    for (size_t i = 0; i < set->count; i++) {
        pause_at(&server->model->pause, i);
        if (set->items[i].kind == CHANGE_EVENT) {
            server->metrics.events++;
            server->last_event = set->items[i].event->seq;
            admin_event(server->admin, set->items[i].event);
        }
    }
}

static void retire_catalogs(struct server *server, struct group *group) {
    for (size_t i = 0; i < group->target_count; i++) {
        struct group_target *target = &group->targets[i];
        struct outlet *outlet = map_get(&server->outlets, target->pool_id);
        if (!outlet)
            continue;
        target->retired_version = outlet->publication.retired_catalog;
        target->retired_size = outlet->publication.retired_size;
        outlet->publication.retired_catalog = 0;
    }
}

static void answer_command(struct server *server, const struct group *group,
                           const struct group_command *command) {
    char problem[256] = "";
    if (command->aside) {
        server_explain_aside(server, group, group_command_pool(command), problem);
        admin_unpublishable(command->owner, problem);
        return;
    }
    if (server_is_published(server, command))
        admin_committed(command->owner);
    else
        admin_unpublished(command->owner);
    pass_on_events(server, &command->set);
}

static void group_succeeded(struct server *server, struct group *group) {
    /* Taking back may pause, and a report that comes then has a generation of its own: ours has to
     * be a newer one. */
    server_take_back_aside(server, group);
    uint64_t generation = server_next_generation(server);
    server_settle_aside(server, group, generation);
    server_take_targets(server, group, generation);
    for (size_t i = 0; i < group->count; i++) {
        const struct group_command *command = &group->commands[i];
        if (command->aside)
            continue;
        retire_deleted(server, &command->set);
        publish_states(server, &command->set, generation);
        show_troubles(server, &command->set);
    }
    announce_touched(server, generation, false);
    retire_catalogs(server, group);
    for (size_t i = 0; i < group->count; i++)
        if (!group->commands[i].aside)
            model_published(server->model, &group->commands[i].set, generation);
    for (size_t i = 0; i < group->count; i++)
        answer_command(server, group, &group->commands[i]);
    pass_on_events(server, &group->background);
    server->metrics.commits++;
    histogram_add(&server->metrics.commit, group->commit_ns);
    if (!server->store_ok)
        log_info("the store works again");
    server->store_ok = true;
}

static void undo_commands(struct server *server, struct group *group, const char *problem) {
    for (size_t i = group->count; i-- > 0;)
        model_undo(server->model, &group->commands[i].set);
    for (size_t i = 0; i < group->count; i++) {
        admin_refused(group->commands[i].owner, problem);
        changeset_deinit(&group->commands[i].set);
    }
    group->count = 0;
}

/* States and events that were already true stay to be stored. */
static void keep_background(struct server *server, struct group *group) {
    struct changeset later = server->gathering->background;
    server->gathering->background = (struct changeset){ 0 };
    for (size_t i = 0; i < group->background.count; i++) {
        const struct change *change = &group->background.items[i];
        struct model_key *key = model_key_by_id(server->model, change->key_id);
        if (change->kind == CHANGE_STATE && key)
            model_mark_dirty(server->model, key);
    }
    server_keep_held(server, group);
    /* In the order in which they happened. */
    chronicle_keep(server, NULL, &group->background);
    chronicle_keep(server, NULL, &later);
    changeset_deinit(&later);
}

static void close_orphans(struct server *server) {
    for (bool again = true; again;) {
        again = false;
        size_t i = 0;
        for (struct outlet *outlet; (outlet = map_next(&server->outlets, &i));)
            if (!model_pool_by_id(server->model, outlet->pool_id)) {
                server_close_outlet(server, outlet->pool_id, true);
                again = true;
                break;
            }
    }
}

static void group_failed(struct server *server, struct group *group) {
    snprintf(server->store_problem, sizeof server->store_problem, "%s: %s", group->failed_step,
             strerror(-group->error));
    if (server->store_ok)
        log_error("%s; changes are refused, workers are served, trying again every second",
                  server->store_problem);
    server->store_ok = false;
    server->retry_mono = server->now.mono_ms + RETRY_MS;
    server->metrics.failed_commits++;
    if (group->error == -ESTALE) {
        /* The disk went on without us: only a start that loads anew can know what is on it. */
        log_error("the store is not what was written last; ending, to be started anew");
        server->failed = server->stopping = true;
    }
    bool staged = group->count || server->gathering->count;
    undo_commands(server, server->gathering, server->store_problem);
    undo_commands(server, group, server->store_problem);
    keep_background(server, group);
    if (!staged)
        return;
    model_settle(server->model, server_next_generation(server));
    close_orphans(server);
    /* The boards lag behind the model only by what was staged, and that is gone. */
    server_show_all(server);
}

static bool is_bulky(const struct group *group) {
    size_t changes = 0;
    for (size_t i = 0; i < group->count; i++)
        changes += group->commands[i].set.count;
    return changes > BULKY_CHANGES;
}

static void answer_queries(struct group *group) {
    while (group->queries) {
        struct event_query *query = group->queries;
        group->queries = query->next;
        admin_events(query);
    }
}

static void answer_errands(struct server *server) {
    for (struct errand *errand = committer_take_errands(server->committer), *next; errand;
         errand = next) {
        next = errand->next;
        server->errands--;
        admin_errand(server, errand);
    }
}

void server_group_done(struct server *server) {
    struct group *group = committer_take(server->committer);
    answer_errands(server);
    if (!group)
        return;
    server->now = moment_now();
    server->committing = false;
    if (!group->only_queries) {
        if (group->error)
            group_failed(server, group);
        else
            group_succeeded(server, group);
    }
    if (group->broke_store && server->store_ok) {
        log_error("the store failed; changes are refused, workers are served, trying again every "
                  "second");
        snprintf(server->store_problem, sizeof server->store_problem, "store: closed");
        server->store_ok = false;
        server->retry_mono = server->now.mono_ms;
    }
    group->bulky = is_bulky(group);
    answer_queries(group);
    committer_discard(server->committer, group);
}
