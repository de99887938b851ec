/* The codec: every record survives the way to bytes and back, and no bytes can hurt a decoder. */
#include "store_fixture.h"

#include "store_codec.h"

static struct store_buffer buffer;

static void free_buffer(void) {
    store_buffer_deinit(&buffer);
}

TestSuite(store_codec, .fini = free_buffer);

/* A copy of exactly `length` bytes on the heap, so that a read beyond them is noticed. */
static unsigned char *exact_copy(const unsigned char *bytes, size_t length) {
    unsigned char *copy = malloc(length ? length : 1);
    cr_assert_not_null(copy);
    if (length > 0)
        memcpy(copy, bytes, length);
    return copy;
}

Test(store_codec, a_pool_survives) {
    struct pool_record *pool = new_pool(77, "main");
    store_encode_pool(&buffer, pool);
    struct pool_record *again = store_decode_pool(buffer.data, buffer.length);
    cr_assert_not_null(again);
    cr_expect(pools_equal(pool, again));
    cr_expect_eq(again->refs, 1);
    pool_record_unref(pool);
    pool_record_unref(again);
}

Test(store_codec, a_key_survives_with_extreme_values_and_a_long_config) {
    char *config = mem_alloc(SECRET_MAX_BYTES * 8);
    memset(config, 'x', SECRET_MAX_BYTES * 8 - 1);
    struct key_record *key = new_key(UINT64_MAX, UINT64_MAX - 1, config);
    key->slot = UINT32_MAX;
    key->expires_at_ms = INT64_MIN;
    key->created_at_ms = INT64_MAX;
    record_set_string(&key->note, "");
    store_encode_key(&buffer, key);
    struct key_record *again = store_decode_key(buffer.data, buffer.length);
    cr_assert_not_null(again);
    cr_expect(keys_equal(key, again));
    key_record_unref(key);
    key_record_unref(again);
    free(config);
}

Test(store_codec, states_ranks_and_events_survive) {
    struct key_state state = new_state(UINT64_MAX / 32), state_again;
    memset(state.reason, 'r', sizeof(state.reason) - 1);
    store_encode_state(&buffer, &state);
    cr_assert(store_decode_state(buffer.data, buffer.length, &state_again));
    cr_expect(states_equal(&state, &state_again));

    uint64_t rank = 0;
    store_encode_rank(&buffer, UINT64_MAX - 5);
    cr_assert(store_decode_rank(buffer.data, buffer.length, &rank));
    cr_expect_eq(rank, UINT64_MAX - 5);

    struct event event = new_event(1, 2), event_again;
    event.seq = 99;
    memset(event.key, 'k', sizeof(event.key) - 1);
    store_encode_event(&buffer, &event);
    cr_assert(store_decode_event(buffer.data, buffer.length, &event_again));
    cr_expect(events_equal(&event, &event_again));
}

Test(store_codec, the_stores_own_numbers_survive) {
    struct store_counters counters = { 1, UINT64_MAX, 3, 4, { { 5, 6 }, { UINT64_MAX, 8 } } },
                          counters_again;
    store_encode_counters(&buffer, &counters);
    cr_assert(store_decode_counters(buffer.data, buffer.length, &counters_again));
    cr_expect_arr_eq(&counters, &counters_again, sizeof(counters));

    struct store_start start = { .count = 8, .boot_id = "0123456789abcde" }, start_again;
    store_encode_start(&buffer, &start);
    cr_assert(store_decode_start(buffer.data, buffer.length, &start_again));
    cr_expect_arr_eq(&start, &start_again, sizeof(start));
}

/* The bytes themselves are a promise to every store that exists. */
Test(store_codec, the_encoding_is_little_endian_and_fixed) {
    static const unsigned char RANK[] = { 1, 0, 8, 7, 6, 5, 4, 3, 2, 1 };
    store_encode_rank(&buffer, 0x0102030405060708);
    cr_assert_eq(buffer.length, sizeof(RANK));
    cr_expect_arr_eq(buffer.data, RANK, sizeof(RANK));

    static const unsigned char TAIL[] = { 4, 0, 0, 0, '{', '1', '2', '}', 0 };
    struct key_record *key = new_key(1, 2, "{12}");
    store_encode_key(&buffer, key);
    cr_expect_arr_eq(buffer.data + buffer.length - sizeof(TAIL), TAIL, sizeof(TAIL));
    key_record_unref(key);
}

/* Every decoder on the same bytes; how many took them. Leaks and overreads are the sanitizer's. */
static int decode_all(const unsigned char *bytes, size_t length) {
    struct key_state state;
    struct event event;
    struct store_counters counters;
    struct store_start start;
    uint64_t rank;
    struct pool_record *pool = store_decode_pool(bytes, length);
    struct key_record *key = store_decode_key(bytes, length);
    int taken =
        (pool != NULL) + (key != NULL) + store_decode_rank(bytes, length, &rank) +
        store_decode_state(bytes, length, &state) + store_decode_event(bytes, length, &event) +
        store_decode_counters(bytes, length, &counters) + store_decode_start(bytes, length, &start);
    pool_record_unref(pool);
    key_record_unref(key);
    return taken;
}

static void encode_kind(unsigned kind) {
    struct pool_record *pool = new_pool(3, "main");
    struct key_record *key = new_key(3, 4, "{\"api_key\":\"sk-0123456789\"}");
    struct key_state state = new_state(4);
    struct event event = new_event(3, 4);
    if (kind == 0)
        store_encode_pool(&buffer, pool);
    else if (kind == 1)
        store_encode_key(&buffer, key);
    else if (kind == 2)
        store_encode_state(&buffer, &state);
    else
        store_encode_event(&buffer, &event);
    pool_record_unref(pool);
    key_record_unref(key);
}

Test(store_codec, a_cut_or_longer_record_is_refused) {
    for (unsigned kind = 0; kind < 4; kind++) {
        encode_kind(kind);
        for (size_t length = 0; length <= buffer.length + 1; length++) {
            unsigned char *bytes = mem_alloc(length);
            memcpy(bytes, buffer.data, length < buffer.length ? length : buffer.length);
            int taken = decode_all(bytes, length);
            /* A cut record may look like another, shorter kind's: those have no strings. */
            bool fixed = length == 10 || length == 34 || length == 26 || length == 66;
            if (!fixed)
                cr_expect_eq(taken, length == buffer.length, "kind %u length %zu", kind, length);
            free(bytes);
        }
    }
}

Test(store_codec, another_version_is_refused) {
    for (unsigned kind = 0; kind < 4; kind++) {
        encode_kind(kind);
        buffer.data[0] = 3;
        cr_expect_eq(decode_all(buffer.data, buffer.length), 0);
        buffer.data[0] = 0;
        cr_expect_eq(decode_all(buffer.data, buffer.length), 0);
        buffer.data[0] = 1;
        buffer.data[1] = 1;
        cr_expect_eq(decode_all(buffer.data, buffer.length), 0);
    }
}

Test(store_codec, a_pool_of_version_1_has_neither_rules_nor_guard) {
    struct pool_record *pool = new_pool(77, "main");
    record_set_string(&pool->rules, "");
    record_set_string(&pool->guard, "on");
    record_set_string(&pool->guard, "on");
    store_encode_pool(&buffer, pool);
    buffer.data[0] = 1;
    cr_expect_null(store_decode_pool(buffer.data, buffer.length), "it ended with the base URL");
    struct pool_record *old = store_decode_pool(buffer.data, buffer.length - 12);
    cr_assert_not_null(old);
    cr_expect(pools_equal(pool, old));
    pool_record_unref(pool);
    pool_record_unref(old);
}

Test(store_codec, an_event_of_version_1_has_no_names_count_and_next_key) {
    struct event event = new_event(3, 4), old;
    event.count = 0;
    event.to_key[0] = event.names.user[0] = event.names.program[0] = '\0';
    store_encode_event(&buffer, &event);
    buffer.data[0] = 1;
    cr_expect_not(store_decode_event(buffer.data, buffer.length, &old), "it ended with the reason");
    cr_assert(store_decode_event(buffer.data, buffer.length - 4 - 3 * 5, &old));
    cr_expect(events_equal(&event, &old));
}

Test(store_codec, a_nul_inside_a_string_is_refused) {
    encode_kind(1);
    unsigned char *secret = memmem(buffer.data, buffer.length, "sk-", 3);
    cr_assert_not_null(secret);
    *secret = '\0';
    cr_expect_null(store_decode_key(buffer.data, buffer.length));
}

Test(store_codec, a_text_longer_than_its_field_is_refused) {
    struct event event = new_event(3, 4), untouched = { .seq = 5 };
    memset(event.pool, 'p', POOL_NAME_MAX);
    store_encode_event(&buffer, &event);
    unsigned char *text = memmem(buffer.data, buffer.length, "pppp", 4);
    cr_assert_not_null(text);
    size_t at = (size_t)(text - buffer.data), size = buffer.length + 1;
    unsigned char *longer = mem_alloc(size);
    memcpy(longer, buffer.data, at);
    longer[at] = 'p';
    memcpy(longer + at + 1, text, buffer.length - at);
    longer[at - 4]++; /* the length before it */
    cr_expect_not(store_decode_event(longer, size, &untouched));
    cr_expect_eq(untouched.seq, 5);
    free(longer);
}

Test(store_codec, no_bytes_hurt_a_decoder) {
    unsigned seed = 20240607;
    for (int round = 0; round < 20000; round++) {
        encode_kind((unsigned)round % 4);
        size_t length = buffer.length;
        unsigned char *bytes = exact_copy(buffer.data, length);
        int flips = 1 + rand_r(&seed) % 4;
        for (int i = 0; i < flips; i++)
            bytes[(size_t)rand_r(&seed) % length] = (unsigned char)rand_r(&seed);
        if (round % 3 == 0)
            length = (size_t)rand_r(&seed) % length;
        unsigned char *cut = exact_copy(bytes, length);
        cr_expect_leq(decode_all(cut, length), 2, "round %d", round);
        free(cut);
        free(bytes);
    }
}

Test(store_codec, a_cleared_buffer_is_wiped) {
    encode_kind(1);
    size_t length = buffer.length;
    cr_assert_not_null(memmem(buffer.data, length, "sk-0123456789", 13));
    store_buffer_clear(&buffer);
    cr_expect_eq(buffer.length, 0);
    for (size_t i = 0; i < length; i++)
        cr_assert_eq(buffer.data[i], 0, "byte %zu", i);
}
