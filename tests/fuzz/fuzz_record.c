/*
 * Fuzz target: records as the store holds them. Input: a byte that picks the kind, then a record's
 * bytes. Whatever decodes must encode to the same bytes (a pool, an event or counters of version 1
 * to version 2, which then does).
 */
#include "fuzz.h"

#include "broker/store_codec.h"

static struct store_buffer buffer;

static void check_same(const void *bytes, size_t length) {
    must(buffer.length == length && memcmp(buffer.data, bytes, length) == 0);
}

static void check_pool(const unsigned char *bytes, size_t length) {
    struct pool_record *record = store_decode_pool(bytes, length);
    if (!record)
        return;
    store_encode_pool(&buffer, record);
    if (bytes[0] != 1)
        check_same(bytes, length);
    struct pool_record *again = store_decode_pool(buffer.data, buffer.length);
    must(again && strcmp(again->rules, record->rules) == 0 && again->id == record->id);
    pool_record_unref(again);
    pool_record_unref(record);
}

static void check_key(const unsigned char *bytes, size_t length) {
    struct key_record *record = store_decode_key(bytes, length);
    if (!record)
        return;
    store_encode_key(&buffer, record);
    check_same(bytes, length);
    key_record_unref(record);
}

static void check_event(const unsigned char *bytes, size_t length) {
    struct event event, again;
    if (!store_decode_event(bytes, length, &event))
        return;
    store_encode_event(&buffer, &event);
    if (bytes[0] != 1)
        check_same(bytes, length);
    must(store_decode_event(buffer.data, buffer.length, &again));
    must(again.seq == event.seq && strcmp(again.reason, event.reason) == 0);
}

static void check_plain(unsigned kind, const unsigned char *bytes, size_t length) {
    uint64_t rank;
    struct key_state state;
    struct store_counters counters;
    struct store_start start;
    if (kind == 2 && store_decode_rank(bytes, length, &rank))
        store_encode_rank(&buffer, rank);
    else if (kind == 3 && store_decode_state(bytes, length, &state))
        store_encode_state(&buffer, &state);
    else if (kind == 5 && store_decode_counters(bytes, length, &counters))
        store_encode_counters(&buffer, &counters);
    else if (kind == 6 && store_decode_start(bytes, length, &start))
        store_encode_start(&buffer, &start);
    else
        return;
    if (kind != 5 || bytes[0] != 1)
        check_same(bytes, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    unsigned kind = data[0] % 7;
    unsigned char *bytes = fuzz_copy(data + 1, size - 1);
    if (kind == 0)
        check_pool(bytes, size - 1);
    else if (kind == 1)
        check_key(bytes, size - 1);
    else if (kind == 4)
        check_event(bytes, size - 1);
    else
        check_plain(kind, bytes, size - 1);
    free(bytes);
    store_buffer_deinit(&buffer);
    return 0;
}
