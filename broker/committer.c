/* See committer.h. */
#include "committer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "map.h"
#include "memory.h"
#include "moment.h"

enum { COMMITTER_NICE = 5 };

struct copied_key {
    struct key_record *record;
    uint64_t rank;
};

struct copied_pool {
    struct pool_record *record;
    struct map keys;
    struct copied_key **order; /* by rank; NULL = to be sorted anew */
};

static void disorder(struct copied_pool *pool) {
    free(pool->order);
    pool->order = NULL;
}

struct committer {
    struct store *store;
    struct map pools; /* id → copied_pool */
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

struct group *group_new(void) {
    return mem_alloc(sizeof(struct group));
}

struct group *group_free(struct group *group) {
    if (!group)
        return NULL;
    for (size_t i = 0; i < group->count; i++)
        changeset_deinit(&group->commands[i].set);
    for (size_t i = 0; i < group->target_count; i++) {
        struct group_target *target = &group->targets[i];
        if (target->retired_version)
            catalog_unlink(target->dir_fd, target->retired_version);
        close(target->dir_fd);
        free(target->order);
    }
    changeset_deinit(&group->background);
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

/* ---- the copy ---- */

void committer_load_pool(struct committer *committer, struct pool_record *record) {
    struct copied_pool *pool = mem_alloc(sizeof *pool);
    pool->record = pool_record_ref(record);
    map_set(&committer->pools, record->id, pool);
}

void committer_load_key(struct committer *committer, struct key_record *record, uint64_t rank) {
    struct copied_pool *pool = map_get(&committer->pools, record->pool_id);
    assert(pool);
    struct copied_key *key = mem_alloc(sizeof *key);
    key->record = key_record_ref(record);
    key->rank = rank;
    map_set(&pool->keys, record->id, key);
    disorder(pool);
}

static void copy_set_pool(struct committer *committer, struct pool_record *from,
                          struct pool_record *to) {
    if (!from) {
        committer_load_pool(committer, to);
        return;
    }
    struct copied_pool *pool = map_get(&committer->pools, from->id);
    if (!to) {
        assert(!pool->keys.count);
        map_remove(&committer->pools, from->id);
        pool_record_unref(pool->record);
        map_deinit(&pool->keys);
        disorder(pool);
        free(pool);
    } else {
        pool_record_unref(pool->record);
        pool->record = pool_record_ref(to);
    }
}

static void copy_set_key(struct committer *committer, struct key_record *from,
                         struct key_record *to) {
    if (!from) {
        committer_load_key(committer, to, 0); /* its rank follows */
        return;
    }
    struct copied_pool *pool = map_get(&committer->pools, from->pool_id);
    struct copied_key *key = map_get(&pool->keys, from->id);
    key_record_unref(key->record);
    if (to) {
        key->record = key_record_ref(to);
        return;
    }
    map_remove(&pool->keys, from->id);
    disorder(pool);
    free(key);
}

static void copy_set_rank(struct committer *committer, uint64_t pool_id, uint64_t key_id,
                          uint64_t rank) {
    struct copied_pool *pool = map_get(&committer->pools, pool_id);
    struct copied_key *key = map_get(&pool->keys, key_id);
    if (!key)
        return;
    key->rank = rank;
    disorder(pool);
}

static void copy_apply(struct committer *committer, const struct changeset *set, bool undo) {
    for (size_t i = 0; i < set->count; i++) {
        const struct change *change = &set->items[undo ? set->count - 1 - i : i];
        switch (change->kind) {
        case CHANGE_POOL:
            copy_set_pool(committer, undo ? change->pool.after : change->pool.before,
                          undo ? change->pool.before : change->pool.after);
            break;
        case CHANGE_KEY:
            copy_set_key(committer, undo ? change->key.after : change->key.before,
                         undo ? change->key.before : change->key.after);
            break;
        case CHANGE_RANK:
            copy_set_rank(committer, change->pool_id, change->key_id,
                          undo ? change->rank.before : change->rank.after);
            break;
        case CHANGE_STATE:
        case CHANGE_EVENT:
        case CHANGE_HAPPENED:
            break;
        }
    }
}

/* ---- publishing ---- */

/* By value: comparing through pointers misses the cache a million times. */
struct ranked_key {
    uint64_t rank, id;
    struct copied_key *key;
};

static int by_rank(const void *left, const void *right) {
    const struct ranked_key *a = left, *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void sort(struct copied_pool *pool) {
    size_t count = pool->keys.count, n = 0, iterator = 0;
    struct ranked_key *ranked = mem_resize(NULL, count, sizeof *ranked);
    for (struct copied_key *key; (key = map_next(&pool->keys, &iterator));)
        ranked[n++] = (struct ranked_key){ key->rank, key->record->id, key };
    qsort(ranked, count, sizeof *ranked, by_rank);
    pool->order = mem_resize(NULL, count, sizeof(struct copied_key *));
    for (size_t i = 0; i < count; i++)
        pool->order[i] = ranked[i].key;
    free(ranked);
}

static int build_catalog(struct committer *committer, struct group_target *target) {
    struct copied_pool *pool = map_get(&committer->pools, target->pool_id);
    assert(pool);
    uint32_t count = (uint32_t)pool->keys.count, slots = 0;
    if (!pool->order)
        sort(pool);
    struct key_record **records = mem_resize(NULL, count, sizeof(struct key_record *));
    target->order = mem_resize(NULL, count, sizeof *target->order);
    target->count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct key_record *record = pool->order[i]->record;
        records[i] = record;
        target->order[i] = (struct published_key){ .id = record->id,
                                                   .expires_at_ms = record->expires_at_ms,
                                                   .slot = record->slot };
        if (record->slot >= slots)
            slots = record->slot + 1;
    }
    struct catalog_source source = { .pool = pool->record,
                                     .keys = records,
                                     .key_count = count,
                                     .slot_count = slots,
                                     .version = target->version };
    int error = board_reserve(target->board, slots);
    if (!error)
        error = catalog_build(&source, target->dir_fd, &target->built);
    free(records);
    return error;
}

static int build_catalogs(struct committer *committer, struct group *group) {
    for (size_t i = 0; i < group->target_count; i++) {
        int error = build_catalog(committer, &group->targets[i]);
        if (!error)
            continue;
        while (i-- > 0)
            catalog_discard(group->targets[i].dir_fd, group->targets[i].version);
        return error;
    }
    return 0;
}

/* ---- committing ---- */

static int fail(struct group *group, const char *step, int error) {
    group->failed_step = step;
    return error;
}

static int apply_to_store(struct committer *committer, struct group *group) {
    int error = store_begin(committer->store);
    for (size_t i = 0; i < group->count && !error; i++)
        error = store_apply(committer->store, &group->commands[i].set);
    if (!error)
        error = store_apply(committer->store, &group->background);
    return error ? fail(group, "store", error) : 0;
}

static int commit(struct committer *committer, struct group *group) {
    if (group->reopen && store_is_broken(committer->store)) {
        int error = store_reopen(committer->store);
        if (error)
            return fail(group, "store", error);
    }
    int error = apply_to_store(committer, group);
    if (error)
        return error; /* store_apply has aborted */
    for (size_t i = 0; i < group->count; i++)
        copy_apply(committer, &group->commands[i].set, false);
    /* Catalogs are built before the commit and renamed in after it, so that a full runtime
     * directory fails the group while it still can be failed. */
    error = build_catalogs(committer, group);
    if (error) {
        store_abort(committer->store);
        fail(group, "runtime directory", error);
    } else {
        uint64_t began = moment_mono_ns();
        error = store_commit(committer->store, group->next_id);
        group->commit_ns = moment_mono_ns() - began;
        if (error) {
            for (size_t i = 0; i < group->target_count; i++)
                catalog_discard(group->targets[i].dir_fd, group->targets[i].version);
            fail(group, "store", error);
        }
    }
    if (error) {
        for (size_t i = group->count; i-- > 0;)
            copy_apply(committer, &group->commands[i].set, true);
        return error;
    }
    for (size_t i = 0; i < group->target_count; i++)
        group->targets[i].publish_error =
            catalog_publish(group->targets[i].dir_fd, group->targets[i].version);
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
    for (struct event_query *query = group->queries; query; query = query->next)
        query->result = store_events(committer->store, query->after, query->limit, &query->events,
                                     &query->oldest, &query->newest);
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

static void free_groups(struct group *first) {
    while (first) {
        struct group *group = first;
        first = group->next;
        group_free(group);
    }
}

static void *work(void *argument) {
    struct committer *committer = argument;
    give_way();
    pthread_mutex_lock(&committer->lock);
    for (;;) {
        while (!committer->todo && !committer->discarded && !committer->stopping)
            pthread_cond_wait(&committer->wake, &committer->lock);
        struct group *group = committer->todo, *discarded = committer->discarded;
        if (!group && !discarded)
            break;
        committer->discarded = NULL;
        pthread_mutex_unlock(&committer->lock);
        if (group)
            process(committer, group);
        pthread_mutex_lock(&committer->lock);
        if (group)
            hand_back(committer, group);
        pthread_mutex_unlock(&committer->lock);
        free_groups(discarded);
        pthread_mutex_lock(&committer->lock);
    }
    pthread_mutex_unlock(&committer->lock);
    return NULL;
}

/* ---- the thread ---- */

struct committer *committer_new(struct store *store) {
    struct committer *committer = mem_alloc(sizeof *committer);
    committer->store = store;
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
    size_t i = 0;
    for (struct copied_pool *pool; (pool = map_next(&committer->pools, &i));) {
        size_t j = 0;
        for (struct copied_key *key; (key = map_next(&pool->keys, &j));) {
            key_record_unref(key->record);
            free(key);
        }
        map_deinit(&pool->keys);
        disorder(pool);
        pool_record_unref(pool->record);
        free(pool);
    }
    map_deinit(&committer->pools);
    free_groups(committer->discarded);
    store_close(committer->store);
    if (committer->event_fd >= 0)
        close(committer->event_fd);
    pthread_mutex_destroy(&committer->lock);
    pthread_cond_destroy(&committer->wake);
    free(committer);
    return NULL;
}
