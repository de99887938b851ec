/*
 * Which pools a group publishes, and what becomes of those that can't be published (server.h). Each
 * stands for itself: a pool whose next catalog finds no room refuses its own changes, goes on with
 * what is published, and is tried again; all others go on.
 */
#include "server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "identity.h"
#include "log.h"
#include "memory.h"

enum { RETRY_MS = 1000 };

/* ---- what a group is to publish ---- */

static bool changes_catalog(const struct changeset *set) {
    for (size_t i = 0; i < set->count; i++) {
        enum change_kind kind = set->items[i].kind;
        if (kind == CHANGE_POOL || kind == CHANGE_KEY || kind == CHANGE_RANK)
            return true;
    }
    return false;
}

/* A pool follows its record to another group when that is published, never before. */
static void add_group(struct group_target *target, const struct outlet *outlet,
                      const struct pool_record *record) {
    if (strcmp(record->group, outlet->group) == 0)
        return;
    target->group_name = mem_strdup(record->group);
    if (identity_find_group(record->group, &target->group))
        return; /* it was there when the command was judged */
    if (target->group == (gid_t)-1)
        target->group = getegid();
    target->regroup = true;
}

static void add_target(struct server *server, struct group *group, struct outlet *outlet,
                       bool prove) {
    const struct model_pool *pool = model_pool_by_id(server->model, outlet->pool_id);
    if (!pool || outlet->target)
        return;
    outlet->target = true;
    group->targets = mem_resize(group->targets, group->target_count + 1, sizeof *group->targets);
    struct group_target *target = &group->targets[group->target_count++];
    *target = (struct group_target){
        .pool_id = outlet->pool_id,
        .dir = descriptor_ref(outlet->publication.dir),
        .board = &outlet->publication.board,
        .published = publication_named_catalog(&outlet->publication),
        .prove = prove,
        .version = server_next_generation(server),
    };
    add_group(target, outlet, pool->record);
}

static bool is_ready(const struct server *server, const struct outlet *outlet) {
    return outlet->due != DUE_RETRY || outlet->retry_mono <= server->now.mono_ms;
}

void server_collect_targets(struct server *server, struct group *group) {
    for (size_t i = 0; i < group->count; i++) {
        struct outlet *outlet = map_get(&server->outlets, group_command_pool(&group->commands[i]));
        if (outlet && changes_catalog(&group->commands[i].set))
            add_target(server, group, outlet, false);
    }
    struct outlet *outlet, *build = NULL;
    for (outlet = TAILQ_FIRST(&server->due); outlet; outlet = TAILQ_NEXT(outlet, in_due)) {
        if (outlet->due == DUE_PROOF)
            add_target(server, group, outlet, true);
        else if (!build && !outlet->target && is_ready(server, outlet))
            build = outlet;
    }
    if (build)
        add_target(server, group, build, false);
    for (size_t i = 0; i < group->target_count; i++)
        ((struct outlet *)map_get(&server->outlets, group->targets[i].pool_id))->target = false;
}

int64_t server_publication_due(const struct server *server) {
    int64_t due = INT64_MAX;
    const struct outlet *outlet;
    if (!server->store_ok)
        return due;
    for (outlet = TAILQ_FIRST(&server->due); outlet; outlet = TAILQ_NEXT(outlet, in_due)) {
        int64_t when = outlet->due == DUE_RETRY ? outlet->retry_mono : 0;
        if (when < due)
            due = when;
    }
    return due;
}

/* ---- what could not be published ---- */

static void explain(const struct group_target *target, const struct outlet *outlet,
                    char problem[256]) {
    const char *name = outlet ? outlet->name : "(new)";
    if (target->error == -ENOSPC)
        snprintf(problem, 256,
                 "the runtime directory has no room for the next catalog of pool %s: give it a "
                 "larger tmpfs, or delete keys or pools, which needs no room",
                 name);
    else if (target->error == -EDQUOT)
        snprintf(problem, 256,
                 "workers of pool %s hold so many of its replaced catalogs open that the runtime "
                 "directory runs out of room: end those that never look for the current key",
                 name);
    else
        snprintf(problem, 256, "pool %s can't be published in the runtime directory: %s", name,
                 strerror(-(target->error ? target->error : target->publish_error)));
}

/* Once, until it works again. */
static void complain(const struct group_target *target, struct outlet *outlet) {
    char problem[256];
    explain(target, outlet, problem);
    if (!outlet->complained)
        log_error("%s; its workers go on with what is published", problem);
    outlet->complained = true;
}

void server_explain_aside(const struct server *server, const struct group *group, uint64_t pool_id,
                          char problem[256]) {
    for (size_t i = 0; i < group->target_count; i++)
        if (group->targets[i].pool_id == pool_id)
            explain(&group->targets[i], map_get(&server->outlets, pool_id), problem);
}

/* ---- commands that were set aside ---- */

/* To be tried first the next time. Commands of other pools change neither these keys nor what these
 * commands stand on, so it is all the same that those came first. */
static void put_back(struct server *server, struct group *group) {
    struct group *gathering = server->gathering, back = { 0 };
    size_t kept = 0;
    for (size_t i = 0; i < group->count; i++) {
        struct group_command *command = &group->commands[i];
        if (command->again)
            group_add_command(&back, &command->set, command->owner);
        else
            group->commands[kept++] = *command;
    }
    group->count = kept;
    for (size_t i = 0; i < gathering->count; i++)
        group_add_command(&back, &gathering->commands[i].set, gathering->commands[i].owner);
    free(gathering->commands);
    gathering->commands = back.commands;
    gathering->count = back.count;
    gathering->capacity = back.capacity;
}

static bool has_refused(const struct group *group, uint64_t pool_id) {
    for (size_t i = 0; i < group->count; i++) {
        const struct group_command *command = &group->commands[i];
        if (command->aside && !command->again && group_command_pool(command) == pool_id)
            return true;
    }
    return false;
}

/* What was gathered meanwhile was judged on top of what is refused, and goes with it. The answers
 * come later: a session that is answered says more. */
static void take_back(struct server *server, struct group *group, uint64_t pool_id) {
    struct group *gathering = server->gathering;
    for (size_t i = gathering->count; i-- > 0;)
        if (group_command_pool(&gathering->commands[i]) == pool_id)
            model_undo(server->model, &gathering->commands[i].set);
    for (size_t i = group->count; i-- > 0;)
        if (group->commands[i].aside && group_command_pool(&group->commands[i]) == pool_id)
            model_undo(server->model, &group->commands[i].set);
    size_t kept = 0;
    for (size_t i = 0; i < gathering->count; i++) {
        struct group_command *command = &gathering->commands[i];
        if (group_command_pool(command) != pool_id) {
            gathering->commands[kept++] = *command;
            continue;
        }
        group_add_command(group, &command->set, command->owner);
        group->commands[group->count - 1].aside = true;
    }
    gathering->count = kept;
}

static bool is_refused(const struct group *group, const struct group_target *target) {
    return target->error && has_refused(group, target->pool_id);
}

void server_take_back_aside(struct server *server, struct group *group) {
    for (size_t i = 0; i < group->target_count; i++) {
        const struct group_target *target = &group->targets[i];
        if (!is_refused(group, target))
            continue;
        complain(target, map_get(&server->outlets, target->pool_id));
        take_back(server, group, target->pool_id);
    }
}

void server_keep_held(struct server *server, const struct group *group) {
    for (size_t i = 0; i < group->held.count; i++) {
        struct model_key *key = model_key_by_id(server->model, group->held.items[i].key_id);
        if (key)
            model_mark_dirty(server->model, key);
    }
}

void server_settle_aside(struct server *server, struct group *group, uint64_t generation) {
    for (size_t i = 0; i < group->target_count; i++)
        if (is_refused(group, &group->targets[i]))
            server_settle_pool(server, group->targets[i].pool_id, generation);
    server_keep_held(server, group);
    put_back(server, group);
}

/* ---- what was published, or was not ---- */

static void retry(struct server *server, struct outlet *outlet) {
    outlet->retry_mono = server->now.mono_ms + RETRY_MS;
    outlet_set_due(outlet, DUE_RETRY);
}

/* Deleted keys are handed out no more, whatever the catalog that is published has. */
static void forget_deleted(const struct group *group, struct outlet *outlet) {
    for (size_t i = 0; i < group->count; i++) {
        const struct changeset *set = &group->commands[i].set;
        if (group->commands[i].aside || group_command_pool(&group->commands[i]) != outlet->pool_id)
            continue;
        for (size_t j = 0; j < set->count; j++)
            if (set->items[j].kind == CHANGE_KEY && !set->items[j].key.after)
                publication_forget(&outlet->publication, set->items[j].key.before->slot,
                                   set->items[j].key_id);
    }
    outlet_touch(outlet);
}

/* There is no catalog of what is stored. */
static void fall_behind(struct server *server, const struct group *group,
                        const struct group_target *target, struct outlet *outlet) {
    complain(target, outlet);
    forget_deleted(group, outlet);
    outlet->behind = true;
    outlet->shown = false; /* of keys that were added nothing is */
    retry(server, outlet);
}

static void take_failure(struct server *server, const struct group *group,
                         const struct group_target *target, struct outlet *outlet) {
    if (target->prove)
        outlet_set_due(outlet, DUE_CATALOG);
    else if (target->late)
        fall_behind(server, group, target, outlet);
    else if (outlet->due) {
        if (!target->crowded)
            complain(target, outlet);
        retry(server, outlet);
    }
}

static void take(struct server *server, struct group_target *target, struct outlet *outlet,
                 uint64_t generation) {
    if (outlet->complained)
        log_info("pool %s is published again", outlet->name);
    outlet->complained = outlet->behind = false;
    outlet_set_due(outlet, DUE_NOTHING);
    int error = !target->group_name ? 0
                : target->regroup   ? outlet_regroup(outlet, target->group, target->group_name)
                                    : -ENOENT;
    if (error) {
        log_error("pool %s: cannot give its directory to group %s: %s; trying again", outlet->name,
                  target->group_name, strerror(-error));
        outlet->behind = true;
        retry(server, outlet);
    }
    publication_set_catalog(&outlet->publication, &target->built, target->order, target->count);
    target->order = NULL;
    outlet_touch(outlet);
    if (!outlet->shown)
        server_show_pool(server, outlet, generation);
    error = outlet->listener ? 0 : outlet_listen(outlet);
    if (error)
        log_error("pool %s: cannot open its report socket: %s; trying again", outlet->name,
                  strerror(-error));
}

void server_take_targets(struct server *server, struct group *group, uint64_t generation) {
    for (size_t i = 0; i < group->target_count; i++) {
        struct group_target *target = &group->targets[i];
        struct outlet *outlet = map_get(&server->outlets, target->pool_id);
        if (!outlet) /* it was to be added, and that is refused */
            continue;
        if (target->error)
            take_failure(server, group, target, outlet);
        else if (target->publish_error)
            fall_behind(server, group, target, outlet);
        else
            take(server, target, outlet, generation);
    }
}

bool server_is_published(const struct server *server, const struct group_command *command) {
    const struct outlet *outlet = map_get(&server->outlets, group_command_pool(command));
    return !outlet || changeset_is_events(&command->set) ||
           (outlet->publication.catalog_version &&
            (!outlet->behind || !changeset_needs_catalog(&command->set)));
}
