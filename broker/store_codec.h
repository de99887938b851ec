/*
 * The codec: records to bytes and back, as they are sealed in the store. Pure: no I/O, no keys.
 *
 * Every encoding is little-endian and explicit: a 16-bit version, then the fixed fields, then the
 * strings, each a 32-bit length, its bytes and a NUL. Decoders take any bytes: they never read
 * beyond `length`, allocate no more than the input's size, and refuse what is not exactly one
 * record (an unknown version, a cut or overlong input, a NUL inside a string). They do not judge
 * whether the values make sense.
 */
#ifndef BROKER_STORE_CODEC_H
#define BROKER_STORE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"
#include "record.h"

enum { STORE_BOOT_ID_SIZE = 16 };

/* The store's own numbers: the record `counters` changes with every group, `start` once a start. */
struct store_tally { /* store_tally.c */
    uint64_t records[2], events[2];
};
struct store_counters {
    uint64_t next_id;
    uint64_t last_event;      /* the newest event's sequence number */
    uint64_t last_version;    /* the newest record version; ascending over the whole store */
    uint64_t groups;          /* committed by store_commit; a reopened store is recognised by it */
    struct store_tally tally; /* since format 4 */
};
struct store_start {
    uint64_t count;
    unsigned char boot_id[STORE_BOOT_ID_SIZE];
};

/* A growing buffer that is used again and again, and wiped whenever its content is dropped. */
struct store_buffer {
    unsigned char *data;
    size_t length;
    size_t capacity;
};
void store_buffer_clear(struct store_buffer *buffer); /* wipes; keeps the memory */
void store_buffer_deinit(struct store_buffer *buffer);
/* Make room for `length` bytes, whose old content is dropped; they are the caller's to fill. */
unsigned char *store_buffer_take(struct store_buffer *buffer, size_t length);

/* Each replaces the buffer's content. */
void store_encode_pool(struct store_buffer *buffer, const struct pool_record *record);
void store_encode_key(struct store_buffer *buffer, const struct key_record *record);
void store_encode_rank(struct store_buffer *buffer, uint64_t rank);
void store_encode_state(struct store_buffer *buffer, const struct key_state *state);
void store_encode_event(struct store_buffer *buffer, const struct event *event);
void store_encode_counters(struct store_buffer *buffer, const struct store_counters *counters);
void store_encode_start(struct store_buffer *buffer, const struct store_start *start);

/* A new record with one reference, or NULL. */
struct pool_record *store_decode_pool(const void *bytes, size_t length);
struct key_record *store_decode_key(const void *bytes, size_t length);
/* False: malformed, and the output is untouched. */
bool store_decode_rank(const void *bytes, size_t length, uint64_t *ret_rank);
bool store_decode_state(const void *bytes, size_t length, struct key_state *ret_state);
bool store_decode_event(const void *bytes, size_t length, struct event *ret_event);
bool store_decode_counters(const void *bytes, size_t length, struct store_counters *ret_counters);
bool store_decode_start(const void *bytes, size_t length, struct store_start *ret_start);

#endif
