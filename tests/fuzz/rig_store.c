/*
 * The store and the catalog's files of the fuzzed broker, in memory: see rig.h. Records go through
 * the codec and are dropped; events and the keys' states are kept, and rig_check compares them.
 */
#include "rig.h"

#include <errno.h>
#include <sodium.h>

#include "broker/catalog.h"
#include "broker/catalog_leaf.h"
#include "broker/memory.h"
#include "broker/store.h"
#include "broker/store_codec.h"

enum { EVENTS_KEPT = 1000, GROUP_SETS_MAX = 4096 };

struct store {
    struct event events[EVENTS_KEPT];
    size_t count, committed;
    uint64_t last_seq, committed_seq;
    bool broken;
    struct changeset *applied[GROUP_SETS_MAX]; /* since store_begin; the caller's until commit */
    size_t applied_count;
    struct map states; /* key id → key_state, as committed */
    struct store_buffer buffer;
};

static struct store the_store;

struct store *rig_store_begin(void) {
    the_store.count = the_store.committed = 0;
    the_store.last_seq = the_store.committed_seq = 0;
    the_store.broken = false;
    return &the_store;
}

size_t rig_store_states(void) {
    return the_store.states.count;
}

const struct key_state *rig_store_state(uint64_t key_id) {
    return map_get(&the_store.states, key_id);
}

/* What is written must be readable. */
static void store_change(struct store *store, const struct change *change) {
    struct store_buffer *buffer = &store->buffer;
    if (change->kind == CHANGE_POOL && change->pool.after) {
        store_encode_pool(buffer, change->pool.after);
        struct pool_record *record = store_decode_pool(buffer->data, buffer->length);
        must(record && strcmp(record->name, change->pool.after->name) == 0);
        pool_record_unref(record);
    } else if (change->kind == CHANGE_KEY && change->key.after) {
        store_encode_key(buffer, change->key.after);
        struct key_record *record = store_decode_key(buffer->data, buffer->length);
        must(record && strcmp(record->config, change->key.after->config) == 0);
        key_record_unref(record);
    } else if (change->kind == CHANGE_STATE && change->state.after) {
        struct key_state state;
        store_encode_state(buffer, change->state.after);
        must(store_decode_state(buffer->data, buffer->length, &state));
        must(state.status == change->state.after->status);
    } else if (change->kind == CHANGE_EVENT) {
        struct event event;
        change->event->seq = ++store->last_seq;
        store_encode_event(buffer, change->event);
        must(store_decode_event(buffer->data, buffer->length, &event));
        if (store->count < EVENTS_KEPT)
            store->events[store->count++] = event;
    } else {
        must(change->kind != CHANGE_HAPPENED);
    }
}

static void keep_state(struct store *store, const struct change *change) {
    const struct key_state *after = change->state.after;
    free(map_remove(&store->states, change->key_id));
    if (after)
        map_set(&store->states, change->key_id, fuzz_copy(after, sizeof *after));
}

static void keep_states(struct store *store) {
    for (size_t i = 0; i < store->applied_count; i++)
        for (size_t j = 0; j < store->applied[i]->count; j++)
            if (store->applied[i]->items[j].kind == CHANGE_STATE)
                keep_state(store, &store->applied[i]->items[j]);
}

int store_begin(struct store *store) {
    must(!store->broken);
    store->applied_count = 0;
    return rig.failure == RIG_FAILS_TO_BEGIN ? -EIO : 0;
}

int store_apply(struct store *store, struct changeset *set) {
    for (size_t i = 0; i < set->count; i++)
        store_change(store, &set->items[i]);
    must(store->applied_count < GROUP_SETS_MAX);
    store->applied[store->applied_count++] = set;
    return 0;
}

void store_abort(struct store *store) {
    store->count = store->committed;
    store->last_seq = store->committed_seq;
}

int store_commit(struct store *store, uint64_t next_id) {
    must(next_id > 0);
    if (rig.failure == RIG_FAILS_TO_COMMIT) {
        store_abort(store);
        store->broken = true;
        return -EIO;
    }
    store->committed = store->count;
    store->committed_seq = store->last_seq;
    keep_states(store);
    return 0;
}

bool store_is_broken(const struct store *store) {
    return store->broken;
}

int store_reopen(struct store *store) {
    store->broken = rig.failure == RIG_FAILS_TO_COMMIT;
    return store->broken ? -EIO : 0;
}

int store_check_master(struct store *store, char error[256]) {
    (void)store, (void)error;
    return 0;
}

/* It has neither a file nor keys. */
int store_rotate_master(struct store *store, const unsigned char *given, char error[256]) {
    (void)store, (void)given;
    snprintf(error, 256, "this store has no master key");
    return -EPERM;
}

int store_backup_begin(struct store *store, const char *path, struct store_backup **ret_backup,
                       char error[256]) {
    (void)store, (void)path, (void)ret_backup;
    snprintf(error, 256, "this store has no file");
    return -EPERM;
}

int store_backup_finish(struct store_backup *backup, uint64_t *ret_bytes, char error[256]) {
    (void)backup, (void)ret_bytes, (void)error;
    return -EPERM;
}

struct store *store_close(struct store *store) {
    size_t i = 0;
    for (void *state; (state = map_next(&store->states, &i));)
        free(state);
    map_deinit(&store->states);
    return NULL;
}

int store_events(struct store *store, uint64_t after, size_t limit, struct event **ret_events,
                 uint64_t *ret_oldest, uint64_t *ret_last) {
    if (store->broken)
        return -EIO;
    struct event *events = mem_resize(NULL, store->committed + 1, sizeof *events);
    int count = 0;
    for (size_t i = 0; i < store->committed && (size_t)count < limit; i++)
        if (store->events[i].seq > after)
            events[count++] = store->events[i];
    *ret_events = events;
    *ret_oldest = store->committed ? store->events[0].seq : 1;
    *ret_last = store->committed ? store->events[store->committed - 1].seq : 0;
    return count;
}

uint64_t store_events_newest(struct store *store, uint64_t last, size_t count) {
    for (size_t i = store->committed; i-- > 0;)
        if (store->events[i].seq <= last && --count == 0)
            return store->events[i].seq - 1;
    return 0;
}

/* ---- the catalog ---- */

/* Nobody reads it here, and LMDB would take most of the time: what its keys would be handed out as
 * is worked out and checked, no file is written. */
int catalog_build(const struct catalog_source *source, int pool_dir_fd,
                  struct catalog_built *ret_built) {
    (void)pool_dir_fd;
    if (rig.failure == RIG_HAS_NO_ROOM || (rig.failure == RIG_HAS_ROOM_FOR_ONE && rig.built))
        return -ENOSPC;
    rig.built++;
    for (uint32_t i = 0; i < source->key_count; i++) {
        const struct kb_catalog_key *key =
            catalog_leaf_of(source->keys[i], source->pool,
                            catalog_label_hash(source->pool->base_url))
                ->key;
        const char *record = (const char *)key;
        must(record[key->api_key] && key->base_url && record[key->size - 1] == '\0');
        for (const char *at = record + key->auth_header; *at; at++)
            must(*at >= ' ' && *at <= '~');
    }
    *ret_built = (struct catalog_built){ .version = source->version,
                                         .size = 4096,
                                         .checksum = source->version * 3,
                                         .slot_count = source->slot_count };
    return 0;
}

bool catalog_is(const struct catalog_source *source, int pool_dir_fd,
                const struct catalog_built *published) {
    (void)source, (void)pool_dir_fd, (void)published;
    return false;
}

int catalog_publish(int pool_dir_fd, uint64_t version) {
    (void)pool_dir_fd, (void)version;
    return 0;
}

void catalog_discard(int pool_dir_fd, uint64_t version) {
    (void)pool_dir_fd, (void)version;
}

void catalog_unlink(int pool_dir_fd, uint64_t version) {
    (void)pool_dir_fd, (void)version;
}

void catalog_unlink_others(int pool_dir_fd, uint64_t keep) {
    (void)pool_dir_fd, (void)keep;
}
