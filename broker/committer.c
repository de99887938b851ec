/* See committer.h. */
#include "committer.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"
#include "moment.h"
#include "replica.h"
#include "retired.h"

enum { COMMITTER_NICE = 5 };

struct committer {
    struct store *store;
    struct retired *retired;
    struct replica replica;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct group *todo, *done; /* under the lock, and so are the next two */
    struct group *discarded;
    bool stopping;
    struct errand *errands; /* carried out; under the lock */
    pthread_t finisher;     /* of the last backup; the store thread's, and whose stops that */
    bool has_finisher;
    bool finishing; /* it is still at work; under the lock */
    int event_fd;
};

/* ---- groups ---- */

struct event_query *event_query_free(struct event_query *query) {
    if (query)
        free(query->events);
    free(query);
    return NULL;
}

struct group *group_new(void) {
    return mem_alloc(sizeof(struct group));
}

struct group *group_free(struct group *group) {
    if (!group)
        return NULL;
    for (size_t i = 0; i < group->count; i++)
        changeset_deinit(&group->commands[i].set);
    for (size_t i = 0; i < group->target_count; i++) {
        descriptor_unref(group->targets[i].dir);
        free(group->targets[i].order);
        free(group->targets[i].group_name);
    }
    changeset_deinit(&group->background);
    changeset_deinit(&group->held);
    map_deinit(&group->events_of_pools);
    free(group->commands);
    free(group->targets);
    free(group);
    return NULL;
}

void group_add_command(struct group *group, struct changeset *set, void *owner) {
    if (group->count == group->capacity) {
        group->capacity = group->capacity ? group->capacity * 2 : 16;
        group->commands = mem_resize(group->commands, group->capacity, sizeof *group->commands);
    }
    group->commands[group->count++] = (struct group_command){ .set = *set, .owner = owner };
    *set = (struct changeset){ 0 };
}

/* ---- the replica ---- */

void committer_load_pool(struct committer *committer, struct pool_record *record) {
    replica_load_pool(&committer->replica, record);
}

void committer_load_key(struct committer *committer, struct key_record *record, uint64_t rank) {
    replica_load_key(&committer->replica, record, rank);
}

/* Of one pool (0 = all), those from the command on, newest first; what was set aside is undone
 * already. */
static void undo_from(struct committer *committer, struct group *group, uint64_t pool_id,
                      size_t first) {
    for (size_t i = group->count; i-- > first;) {
        struct group_command *command = &group->commands[i];
        if (!command->aside && (!pool_id || group_command_pool(command) == pool_id))
            replica_apply(&committer->replica, &command->set, true);
    }
}

/* ---- freeing ---- */

/* The pages of a large catalog take milliseconds to free, and so do a large group's records. */
static void free_groups(struct committer *committer, struct group *first) {
    bool bulky = false;
    while (first) {
        struct group *group = first;
        first = group->next;
        bulky |= group->bulky;
        for (size_t i = 0; i < group->target_count; i++) {
            const struct group_target *target = &group->targets[i];
            if (target->retired_version)
                retired_unlink(committer->retired, target->pool_id, target->dir->fd,
                               target->retired_version, target->retired_size);
        }
        group_free(group);
    }
    if (bulky)
        malloc_trim(0);
}

static bool free_discarded(struct committer *committer) {
    pthread_mutex_lock(&committer->lock);
    struct group *discarded = committer->discarded;
    committer->discarded = NULL;
    pthread_mutex_unlock(&committer->lock);
    free_groups(committer, discarded);
    return discarded != NULL;
}

/* ---- publishing ---- */

/* Workers that keep what was replaced open, on purpose or because they never look again, cost their
 * own pool: what they hold and what the next change adds to it must not be more than is left. */
static bool holds_too_much(struct committer *committer, const struct group_target *target) {
    uint64_t held = retired_bytes(committer->retired, target->pool_id);
    struct statfs fs;
    if (!held || fstatfs(target->dir->fd, &fs) < 0)
        return false;
    uint64_t left = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize, next = target->published.size;
    return left < next || held + next > left - next;
}

static int build(struct committer *committer, struct group_target *target,
                 struct catalog_source *source) {
    if (holds_too_much(committer, target))
        return -EDQUOT;
    source->version = target->version;
    int error = board_reserve(target->board, source->slot_count);
    if (!error)
        error = catalog_build(source, target->dir->fd, &target->built);
    return error;
}

static int take_over(const struct group_target *target, struct catalog_source *source) {
    source->version = target->published.version;
    if (!source->version || !catalog_is(source, target->dir->fd, &target->published))
        return -ESTALE;
    return board_reserve(target->board, source->slot_count);
}

static int prepare_target(struct committer *committer, struct group_target *target) {
    struct catalog_source source;
    replica_source(&committer->replica, target->pool_id, &source, &target->order);
    target->count = source.key_count;
    source.regroup = target->regroup;
    source.group = target->group;
    int error;
    if (target->prove) {
        error = take_over(target, &source);
        target->built = target->published;
        target->built.slot_count = source.slot_count;
    } else {
        error = build(committer, target, &source);
        if (error == -ENOSPC && free_discarded(committer))
            error = build(committer, target, &source);
    }
    free((void *)(uintptr_t)source.keys);
    return error;
}

static bool deletes_keys(const struct changeset *set) {
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].kind == CHANGE_KEY && !set->items[i].key.after)
            return true;
    return false;
}

/* The pool has no catalog of what the group wants: its commands are taken back from the first on
 * that needs one, because the later ones were judged on top of it. All of them, if they are to be
 * tried once more. */
static void set_aside(struct committer *committer, struct group *group,
                      struct group_target *target) {
    size_t first = 0;
    for (; first < group->count; first++) {
        const struct group_command *command = &group->commands[first];
        if (group_command_pool(command) != target->pool_id)
            continue;
        if (target->crowded || changeset_needs_catalog(&command->set))
            break;
        target->late |= deletes_keys(&command->set);
    }
    undo_from(committer, group, target->pool_id, first);
    for (size_t i = first; i < group->count; i++)
        if (group_command_pool(&group->commands[i]) == target->pool_id) {
            group->commands[i].aside = true;
            group->commands[i].again = target->crowded;
        }
}

static void prepare_targets(struct committer *committer, struct group *group) {
    bool built = false;
    for (size_t i = 0; i < group->target_count; i++) {
        struct group_target *target = &group->targets[i];
        target->error = prepare_target(committer, target);
        if (target->error) {
            target->crowded = target->error == -ENOSPC && built;
            set_aside(committer, group, target);
        }
        built |= !target->error && !target->prove;
    }
}

static void discard_targets(struct group *group) {
    for (size_t i = 0; i < group->target_count; i++) {
        const struct group_target *target = &group->targets[i];
        if (!target->error && !target->prove)
            catalog_discard(target->dir->fd, target->version);
    }
}

static void publish_targets(struct group *group) {
    for (size_t i = 0; i < group->target_count; i++) {
        struct group_target *target = &group->targets[i];
        if (target->error || target->prove)
            continue;
        target->publish_error = catalog_publish(target->dir->fd, target->version);
        if (target->publish_error)
            catalog_discard(target->dir->fd, target->version);
    }
}

/* ---- committing ---- */

static int fail(struct group *group, const char *step, int error) {
    group->failed_step = step;
    return error;
}

static bool is_aside(const struct group *group, uint64_t pool_id) {
    for (size_t i = 0; i < group->count; i++)
        if (group->commands[i].aside && group_command_pool(&group->commands[i]) == pool_id)
            return true;
    return false;
}

/* A pool that had commands set aside: states of its keys may be those commands' doing, or those of
 * keys that the store is not to have. */
static void hold_states(struct group *group) {
    for (size_t i = 0; i < group->target_count; i++)
        if (group->targets[i].error && is_aside(group, group->targets[i].pool_id))
            changeset_split_states(&group->background, group->targets[i].pool_id, &group->held);
}

static int store_group(struct committer *committer, struct group *group) {
    int error = store_begin(committer->store);
    for (size_t i = 0; i < group->count && !error; i++)
        if (!group->commands[i].aside)
            error = store_apply(committer->store, &group->commands[i].set);
    if (!error)
        error = store_apply(committer->store, &group->background);
    if (error)
        return error; /* store_apply has aborted */
    uint64_t began = moment_mono_ns();
    error = store_commit(committer->store, group->next_id);
    group->commit_ns = moment_mono_ns() - began;
    return error;
}

/* Only to publish, the disk need not be written. */
static bool is_to_be_stored(const struct group *group) {
    bool commands = false;
    for (size_t i = 0; i < group->count; i++)
        commands |= !group->commands[i].aside;
    return commands || group->background.count || group->reopen;
}

/* Catalogs are built before the commit and renamed in after it, so that a full runtime directory
 * refuses a change while it still can be refused. */
static int commit(struct committer *committer, struct group *group) {
    if (group->reopen && store_is_broken(committer->store)) {
        int error = store_reopen(committer->store);
        if (error)
            return fail(group, "store", error);
    }
    for (size_t i = 0; i < group->count; i++)
        replica_apply(&committer->replica, &group->commands[i].set, false);
    prepare_targets(committer, group);
    hold_states(group);
    int error = is_to_be_stored(group) ? store_group(committer, group) : 0;
    if (error) {
        discard_targets(group);
        undo_from(committer, group, 0, 0);
        return fail(group, "store", error);
    }
    publish_targets(group);
    return 0;
}

static void check_master(struct committer *committer) {
    char problem[256] = "";
    if (store_check_master(committer->store, problem))
        log_error("the master key would not open the store at the next start: %s", problem);
    else
        log_info("the master key opens the store");
}

/* ---- errands ---- */

/* Under the lock. */
static void ring(struct committer *committer) {
    uint64_t one = 1;
    ssize_t ignored = write(committer->event_fd, &one, sizeof one); /* can't fail: counts to 2 */
    (void)ignored;
}

static void give_errand_back(struct committer *committer, struct errand *errand, bool finished) {
    pthread_mutex_lock(&committer->lock);
    errand->next = committer->errands;
    committer->errands = errand;
    committer->finishing &= !finished;
    ring(committer);
    pthread_mutex_unlock(&committer->lock);
}

struct finishing {
    struct committer *committer;
    struct errand *errand;
};

static void *finish(void *argument) {
    struct finishing *finishing = argument;
    errand_finish(finishing->errand);
    give_errand_back(finishing->committer, finishing->errand, true);
    free(finishing);
    return NULL;
}

static bool is_finishing(struct committer *committer) {
    pthread_mutex_lock(&committer->lock);
    bool finishing = committer->finishing;
    pthread_mutex_unlock(&committer->lock);
    return finishing;
}

/* The copy is taken; its disk has as long as it needs, while groups go on. */
static void finish_aside(struct committer *committer, struct errand *errand) {
    if (committer->has_finisher)
        pthread_join(committer->finisher, NULL);
    struct finishing *finishing = mem_alloc(sizeof *finishing);
    *finishing = (struct finishing){ .committer = committer, .errand = errand };
    committer->finishing = true; /* nobody else looks: the last one has ended */
    committer->has_finisher = pthread_create(&committer->finisher, NULL, finish, finishing) == 0;
    if (!committer->has_finisher)
        finish(finishing); /* then groups have to wait */
}

static void carry_out(struct committer *committer, struct errand *errand) {
    if (errand->kind == ERRAND_BACKUP && is_finishing(committer))
        refuse(&errand->refusal, REFUSED_UNAVAILABLE, "busy", "",
               "another backup is being written: try again");
    else if (!errand_carry_out(errand, committer->store)) {
        finish_aside(committer, errand);
        return;
    }
    give_errand_back(committer, errand, false);
}

static void process(struct committer *committer, struct group *group) {
    if (group->check_master)
        check_master(committer);
    if (!group->only_queries)
        group->error = commit(committer, group);
    for (struct event_query *query = group->queries; query; query = query->next) {
        if (query->newest_count)
            query->after = store_events_newest(committer->store, query->last, query->newest_count);
        query->result = store_events(committer->store, query->after, query->limit, &query->events,
                                     &query->oldest, &query->newest);
    }
    while (group->errands) {
        struct errand *errand = group->errands;
        group->errands = errand->next;
        carry_out(committer, errand);
        group->broke_store |= !group->error && store_is_broken(committer->store);
    }
}

/* Commits must not keep a report waiting for a processor that both threads share: a woken event
 * loop preempts a nicer thread. Niceness belongs to threads here, whatever POSIX says. */
static void give_way(void) {
    int ignored = nice(COMMITTER_NICE);
    (void)ignored; /* a sandbox may forbid it */
}

/* Under the lock. */
static void hand_back(struct committer *committer, struct group *group) {
    committer->todo = NULL;
    committer->done = group;
    ring(committer);
}

static void *work(void *argument) {
    struct committer *committer = argument;
    give_way();
    pthread_mutex_lock(&committer->lock);
    for (;;) {
        while (!committer->todo && !committer->discarded && !committer->stopping)
            pthread_cond_wait(&committer->wake, &committer->lock);
        struct group *group = committer->todo;
        if (!group && !committer->discarded)
            break;
        pthread_mutex_unlock(&committer->lock);
        if (group)
            process(committer, group);
        pthread_mutex_lock(&committer->lock);
        if (group)
            hand_back(committer, group);
        pthread_mutex_unlock(&committer->lock);
        free_discarded(committer);
        pthread_mutex_lock(&committer->lock);
    }
    pthread_mutex_unlock(&committer->lock);
    return NULL;
}

/* ---- the thread ---- */

struct committer *committer_new(struct store *store) {
    struct committer *committer = mem_alloc(sizeof *committer);
    committer->store = store;
    committer->retired = retired_new();
    committer->event_fd = -1;
    pthread_mutex_init(&committer->lock, NULL);
    pthread_cond_init(&committer->wake, NULL);
    return committer;
}

int committer_start(struct committer *committer, int *ret_fd) {
    committer->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (committer->event_fd < 0)
        return -errno;
    /* Signals belong to the event loop. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&committer->thread, NULL, work, committer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return -error;
    committer->running = true;
    *ret_fd = committer->event_fd;
    return 0;
}

void committer_discard(struct committer *committer, struct group *group) {
    pthread_mutex_lock(&committer->lock);
    group->next = committer->discarded;
    committer->discarded = group;
    pthread_cond_signal(&committer->wake);
    pthread_mutex_unlock(&committer->lock);
}

void committer_submit(struct committer *committer, struct group *group) {
    pthread_mutex_lock(&committer->lock);
    assert(!committer->todo && !committer->done);
    committer->todo = group;
    pthread_cond_signal(&committer->wake);
    pthread_mutex_unlock(&committer->lock);
}

struct group *committer_take(struct committer *committer) {
    uint64_t count;
    ssize_t ignored = read(committer->event_fd, &count, sizeof count);
    (void)ignored; /* empty is fine: the lock decides */
    pthread_mutex_lock(&committer->lock);
    struct group *group = committer->done;
    committer->done = NULL;
    pthread_mutex_unlock(&committer->lock);
    return group;
}

struct errand *committer_take_errands(struct committer *committer) {
    pthread_mutex_lock(&committer->lock);
    struct errand *errands = committer->errands;
    committer->errands = NULL;
    pthread_mutex_unlock(&committer->lock);
    return errands;
}

struct group *committer_stop(struct committer *committer) {
    if (!committer->running)
        return NULL;
    pthread_mutex_lock(&committer->lock);
    committer->stopping = true;
    pthread_cond_signal(&committer->wake);
    pthread_mutex_unlock(&committer->lock);
    pthread_join(committer->thread, NULL);
    if (committer->has_finisher)
        pthread_join(committer->finisher, NULL);
    committer->running = false;
    struct group *group = committer->done;
    committer->done = NULL;
    return group;
}

struct committer *committer_free(struct committer *committer) {
    if (!committer)
        return NULL;
    assert(!committer->running);
    replica_deinit(&committer->replica);
    free_groups(committer, committer->discarded);
    retired_free(committer->retired);
    store_close(committer->store);
    if (committer->event_fd >= 0)
        close(committer->event_fd);
    pthread_mutex_destroy(&committer->lock);
    pthread_cond_destroy(&committer->wake);
    free(committer);
    return NULL;
}
