/*
 * The codec: records to bytes and back. Called by the store (and the fuzzer); see store_codec.h for
 * the format's rules. A field is added by a new version of its record's encoding, whose decoder
 * still reads the old one; a field is never moved.
 */
#include "store_codec.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "memory.h"

/* Of every record, but for pools, which got rules and a guard in version 2, and events, which got
 * names, a count and the key that came next. */
enum {
    CODEC_VERSION = 1,
    POOL_VERSION = 2,
    EVENT_VERSION = 2,
    COUNTERS_VERSION = 2,
    STATE_REPORTS = 9,
};
_Static_assert(sizeof(((struct key_state *)0)->reports) == STATE_REPORTS * sizeof(uint64_t),
               "a new outcome needs a new version of the state's encoding");

/* ---- buffers ---- */

/* A buffer that must grow is wiped and replaced: realloc would leave secrets in freed memory. */
static void reserve(struct store_buffer *buffer, size_t capacity) {
    if (capacity <= buffer->capacity)
        return;
    size_t grown = buffer->capacity ? buffer->capacity : 1024;
    while (grown < capacity)
        grown *= 2;
    unsigned char *data = mem_alloc(grown);
    if (buffer->length > 0)
        memcpy(data, buffer->data, buffer->length);
    mem_wipe_free(buffer->data, buffer->capacity);
    buffer->data = data;
    buffer->capacity = grown;
}

void store_buffer_clear(struct store_buffer *buffer) {
    if (buffer->length > 0)
        sodium_memzero(buffer->data, buffer->length);
    buffer->length = 0;
}

void store_buffer_deinit(struct store_buffer *buffer) {
    mem_wipe_free(buffer->data, buffer->capacity);
    *buffer = (struct store_buffer){ 0 };
}

unsigned char *store_buffer_take(struct store_buffer *buffer, size_t length) {
    store_buffer_clear(buffer);
    reserve(buffer, length > 0 ? length : 1);
    buffer->length = length;
    return buffer->data;
}

/* ---- writing ---- */

static void put_bytes(struct store_buffer *buffer, const void *bytes, size_t length) {
    reserve(buffer, buffer->length + length);
    memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
}

static void put_number(struct store_buffer *buffer, uint64_t value, size_t size) {
    unsigned char bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    put_bytes(buffer, bytes, size);
}

static void put_u32(struct store_buffer *buffer, uint32_t value) {
    put_number(buffer, value, 4);
}

static void put_u64(struct store_buffer *buffer, uint64_t value) {
    put_number(buffer, value, 8);
}

static void put_i64(struct store_buffer *buffer, int64_t value) {
    put_number(buffer, (uint64_t)value, 8);
}

/* The NUL is written too, so that a decoded string can be used where it lies. */
static void put_string(struct store_buffer *buffer, const char *string) {
    size_t length = strlen(string);
    put_u32(buffer, (uint32_t)length);
    put_bytes(buffer, string, length + 1);
}

static void start_version(struct store_buffer *buffer, uint16_t version) {
    store_buffer_clear(buffer);
    put_number(buffer, version, 2);
}

static void start_record(struct store_buffer *buffer) {
    start_version(buffer, CODEC_VERSION);
}

/* ---- reading ---- */

/* Once `bad` is set every read yields zeros and "", so that decoders need one check, at the end. */
struct cursor {
    const unsigned char *at;
    size_t left;
    bool bad;
};

static uint64_t get_number(struct cursor *cursor, size_t size) {
    if (cursor->bad || cursor->left < size) {
        cursor->bad = true;
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)cursor->at[i] << (8 * i);
    cursor->at += size;
    cursor->left -= size;
    return value;
}

static uint32_t get_u32(struct cursor *cursor) {
    return (uint32_t)get_number(cursor, 4);
}

static uint64_t get_u64(struct cursor *cursor) {
    return get_number(cursor, 8);
}

static int64_t get_i64(struct cursor *cursor) {
    return (int64_t)get_number(cursor, 8);
}

/* Points into the input. */
static const char *get_string(struct cursor *cursor) {
    size_t length = get_u32(cursor);
    if (cursor->bad || cursor->left <= length ||
        strnlen((const char *)cursor->at, length) != length || cursor->at[length] != '\0') {
        cursor->bad = true;
        return "";
    }
    const char *string = (const char *)cursor->at;
    cursor->at += length + 1;
    cursor->left -= length + 1;
    return string;
}

static void get_text(struct cursor *cursor, char *text, size_t size) {
    const char *string = get_string(cursor);
    size_t length = strlen(string);
    if (length >= size) {
        cursor->bad = true;
        return;
    }
    memcpy(text, string, length + 1);
}

/* Any version from 1 to `newest`, which the decoder must then tell apart. */
static struct cursor open_version(const void *bytes, size_t length, uint64_t newest,
                                  uint64_t *ret_version) {
    struct cursor cursor = { .at = bytes, .left = length };
    *ret_version = get_number(&cursor, 2);
    if (*ret_version < 1 || *ret_version > newest)
        cursor.bad = true;
    return cursor;
}

static struct cursor open_record(const void *bytes, size_t length) {
    uint64_t version;
    return open_version(bytes, length, CODEC_VERSION, &version);
}

static bool is_whole(const struct cursor *cursor) {
    return !cursor->bad && cursor->left == 0;
}

/* ---- pools ---- */

void store_encode_pool(struct store_buffer *buffer, const struct pool_record *record) {
    start_version(buffer, POOL_VERSION);
    put_u64(buffer, record->id);
    put_u64(buffer, record->default_key_id);
    put_u64(buffer, record->revision);
    put_i64(buffer, record->created_at_ms);
    put_u32(buffer, record->strategy);
    put_string(buffer, record->name);
    put_string(buffer, record->vendor);
    put_string(buffer, record->group);
    put_string(buffer, record->exceeded_recovery);
    put_string(buffer, record->error_recovery);
    put_string(buffer, record->base_url);
    put_string(buffer, record->rules);
    put_string(buffer, record->guard);
}

struct pool_record *store_decode_pool(const void *bytes, size_t length) {
    uint64_t version;
    struct cursor cursor = open_version(bytes, length, POOL_VERSION, &version);
    struct pool_record *record = pool_record_new();
    record->id = get_u64(&cursor);
    record->default_key_id = get_u64(&cursor);
    record->revision = get_u64(&cursor);
    record->created_at_ms = get_i64(&cursor);
    record->strategy = get_u32(&cursor);
    record_set_string(&record->name, get_string(&cursor));
    record_set_string(&record->vendor, get_string(&cursor));
    record_set_string(&record->group, get_string(&cursor));
    record_set_string(&record->exceeded_recovery, get_string(&cursor));
    record_set_string(&record->error_recovery, get_string(&cursor));
    record_set_string(&record->base_url, get_string(&cursor));
    if (version >= 2) {
        record_set_string(&record->rules, get_string(&cursor));
        record_set_string(&record->guard, get_string(&cursor));
    }
    return is_whole(&cursor) ? record : pool_record_unref(record);
}

/* ---- keys ---- */

void store_encode_key(struct store_buffer *buffer, const struct key_record *record) {
    start_record(buffer);
    put_u64(buffer, record->id);
    put_u64(buffer, record->pool_id);
    put_u32(buffer, record->slot);
    put_u32(buffer, record->weight);
    put_i64(buffer, record->expires_at_ms);
    put_i64(buffer, record->created_at_ms);
    put_i64(buffer, record->updated_at_ms);
    put_string(buffer, record->name);
    put_string(buffer, record->account);
    put_string(buffer, record->note);
    put_string(buffer, record->config);
}

struct key_record *store_decode_key(const void *bytes, size_t length) {
    struct cursor cursor = open_record(bytes, length);
    struct key_record *record = key_record_new();
    record->id = get_u64(&cursor);
    record->pool_id = get_u64(&cursor);
    record->slot = get_u32(&cursor);
    record->weight = get_u32(&cursor);
    record->expires_at_ms = get_i64(&cursor);
    record->created_at_ms = get_i64(&cursor);
    record->updated_at_ms = get_i64(&cursor);
    record_set_string(&record->name, get_string(&cursor));
    record_set_string(&record->account, get_string(&cursor));
    record_set_string(&record->note, get_string(&cursor));
    record_set_string(&record->config, get_string(&cursor));
    return is_whole(&cursor) ? record : key_record_unref(record);
}

void store_encode_rank(struct store_buffer *buffer, uint64_t rank) {
    start_record(buffer);
    put_u64(buffer, rank);
}

bool store_decode_rank(const void *bytes, size_t length, uint64_t *ret_rank) {
    struct cursor cursor = open_record(bytes, length);
    uint64_t rank = get_u64(&cursor);
    if (!is_whole(&cursor))
        return false;
    *ret_rank = rank;
    return true;
}

void store_encode_state(struct store_buffer *buffer, const struct key_state *state) {
    start_record(buffer);
    put_u32(buffer, state->status);
    put_u32(buffer, state->backoff);
    put_i64(buffer, state->deadline_mono);
    put_i64(buffer, state->deadline_wall);
    put_i64(buffer, state->cooling_ms);
    put_i64(buffer, state->normal_since_mono);
    put_i64(buffer, state->status_since_ms);
    put_u64(buffer, state->valid_since);
    for (size_t i = 0; i < STATE_REPORTS; i++)
        put_u64(buffer, state->reports[i]);
    put_i64(buffer, state->last_failure_ms);
    put_u32(buffer, state->last_outcome);
    put_u32(buffer, state->http_status);
    put_string(buffer, state->vendor_code);
    put_string(buffer, state->reason);
}

bool store_decode_state(const void *bytes, size_t length, struct key_state *ret_state) {
    struct cursor cursor = open_record(bytes, length);
    struct key_state state = { 0 };
    state.status = get_u32(&cursor);
    state.backoff = get_u32(&cursor);
    state.deadline_mono = get_i64(&cursor);
    state.deadline_wall = get_i64(&cursor);
    state.cooling_ms = get_i64(&cursor);
    state.normal_since_mono = get_i64(&cursor);
    state.status_since_ms = get_i64(&cursor);
    state.valid_since = get_u64(&cursor);
    for (size_t i = 0; i < STATE_REPORTS; i++)
        state.reports[i] = get_u64(&cursor);
    state.last_failure_ms = get_i64(&cursor);
    state.last_outcome = get_u32(&cursor);
    state.http_status = get_u32(&cursor);
    get_text(&cursor, state.vendor_code, sizeof(state.vendor_code));
    get_text(&cursor, state.reason, sizeof(state.reason));
    if (!is_whole(&cursor))
        return false;
    *ret_state = state;
    return true;
}

/* ---- events ---- */

void store_encode_event(struct store_buffer *buffer, const struct event *event) {
    start_version(buffer, EVENT_VERSION);
    put_u64(buffer, event->seq);
    put_i64(buffer, event->time_ms);
    put_u64(buffer, event->pool_id);
    put_u64(buffer, event->key_id);
    put_u32(buffer, event->kind);
    put_u32(buffer, event->from);
    put_u32(buffer, event->to);
    put_u32(buffer, event->outcome);
    put_u32(buffer, event->http_status);
    put_u32(buffer, event->actor.kind);
    put_u32(buffer, event->actor.uid);
    put_u32(buffer, event->actor.pid);
    put_string(buffer, event->pool);
    put_string(buffer, event->key);
    put_string(buffer, event->vendor_code);
    put_string(buffer, event->reason);
    put_u32(buffer, event->count);
    put_string(buffer, event->to_key);
    put_string(buffer, event->names.user);
    put_string(buffer, event->names.program);
}

bool store_decode_event(const void *bytes, size_t length, struct event *ret_event) {
    uint64_t version;
    struct cursor cursor = open_version(bytes, length, EVENT_VERSION, &version);
    struct event event = { 0 };
    event.seq = get_u64(&cursor);
    event.time_ms = get_i64(&cursor);
    event.pool_id = get_u64(&cursor);
    event.key_id = get_u64(&cursor);
    event.kind = get_u32(&cursor);
    event.from = get_u32(&cursor);
    event.to = get_u32(&cursor);
    event.outcome = get_u32(&cursor);
    event.http_status = get_u32(&cursor);
    event.actor.kind = get_u32(&cursor);
    event.actor.uid = get_u32(&cursor);
    event.actor.pid = get_u32(&cursor);
    get_text(&cursor, event.pool, sizeof(event.pool));
    get_text(&cursor, event.key, sizeof(event.key));
    get_text(&cursor, event.vendor_code, sizeof(event.vendor_code));
    get_text(&cursor, event.reason, sizeof(event.reason));
    if (version >= 2) {
        event.count = get_u32(&cursor);
        get_text(&cursor, event.to_key, sizeof(event.to_key));
        get_text(&cursor, event.names.user, sizeof(event.names.user));
        get_text(&cursor, event.names.program, sizeof(event.names.program));
    }
    if (!is_whole(&cursor))
        return false;
    *ret_event = event;
    return true;
}

/* ---- the store's own numbers ---- */

void store_encode_counters(struct store_buffer *buffer, const struct store_counters *counters) {
    start_version(buffer, COUNTERS_VERSION);
    put_u64(buffer, counters->next_id);
    put_u64(buffer, counters->last_event);
    put_u64(buffer, counters->last_version);
    put_u64(buffer, counters->groups);
    for (size_t i = 0; i < 2; i++) {
        put_u64(buffer, counters->tally.records[i]);
        put_u64(buffer, counters->tally.events[i]);
    }
}

bool store_decode_counters(const void *bytes, size_t length, struct store_counters *ret_counters) {
    uint64_t version;
    struct cursor cursor = open_version(bytes, length, COUNTERS_VERSION, &version);
    struct store_counters counters = { 0 };
    counters.next_id = get_u64(&cursor);
    counters.last_event = get_u64(&cursor);
    counters.last_version = get_u64(&cursor);
    counters.groups = get_u64(&cursor);
    for (size_t i = 0; version > 1 && i < 2; i++) {
        counters.tally.records[i] = get_u64(&cursor);
        counters.tally.events[i] = get_u64(&cursor);
    }
    if (!is_whole(&cursor))
        return false;
    *ret_counters = counters;
    return true;
}

void store_encode_start(struct store_buffer *buffer, const struct store_start *start) {
    start_record(buffer);
    put_u64(buffer, start->count);
    put_bytes(buffer, start->boot_id, STORE_BOOT_ID_SIZE);
}

bool store_decode_start(const void *bytes, size_t length, struct store_start *ret_start) {
    struct cursor cursor = open_record(bytes, length);
    struct store_start start = { 0 };
    start.count = get_u64(&cursor);
    for (size_t i = 0; i < STORE_BOOT_ID_SIZE; i++)
        start.boot_id[i] = (unsigned char)get_number(&cursor, 1);
    if (!is_whole(&cursor))
        return false;
    *ret_start = start;
    return true;
}
