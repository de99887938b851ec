/*
 * What the broker keeps things in: the heap of deadlines, the hash map, the byte buffer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "broker/buffer.h"
#include "broker/heap.h"
#include "broker/map.h"
#include "tests/support/seed.h"

/* ---- heap ---- */

Test(heap, an_empty_heap_waits_for_ever) {
    struct heap heap = { 0 };
    cr_assert_eq(heap_first(&heap), INT64_MAX);
    heap_clear(&heap);
    heap_deinit(&heap);
}

Test(heap, the_earliest_comes_first_whatever_the_order_of_pushing) {
    struct seed seed = seed_begin("heap");
    struct heap heap = { 0 };
    for (int round = 0; round < 50; round++) {
        size_t count = 1 + seed_below(&seed, 200);
        int64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            int64_t when = (int64_t)seed_below(&seed, 50) - 25;
            sum += when;
            heap_push(&heap, when, (uint64_t)(when + 1000));
        }
        int64_t before = INT64_MIN;
        for (size_t i = 0; i < count; i++) {
            int64_t first = heap_first(&heap);
            struct heap_entry entry = heap_pop(&heap);
            cr_assert_eq(entry.when, first);
            cr_assert_geq(entry.when, before);
            cr_assert_eq(entry.key_id, (uint64_t)(entry.when + 1000), "entries stay whole");
            before = entry.when;
            sum -= entry.when;
        }
        cr_assert_eq(sum, 0, "what went in came out");
        cr_assert_eq(heap.count, 0);
    }
    heap_deinit(&heap);
}

Test(heap, pushing_and_popping_may_alternate) {
    struct heap heap = { 0 };
    heap_push(&heap, 5, 50);
    heap_push(&heap, 3, 30);
    cr_assert_eq(heap_pop(&heap).key_id, 30);
    heap_push(&heap, 1, 10);
    heap_push(&heap, 9, 90);
    cr_assert_eq(heap_pop(&heap).key_id, 10);
    cr_assert_eq(heap_pop(&heap).key_id, 50);
    cr_assert_eq(heap_first(&heap), 9);
    heap_clear(&heap);
    cr_assert_eq(heap_first(&heap), INT64_MAX);
    heap_deinit(&heap);
    cr_assert_null(heap.entries);
}

/* ---- map ---- */

Test(map, an_empty_map_has_nothing) {
    struct map map = { 0 };
    size_t i = 0;
    cr_assert_null(map_get(&map, 0));
    cr_assert_null(map_remove(&map, 1));
    cr_assert_null(map_next(&map, &i));
    map_deinit(&map);
}

Test(map, setting_again_replaces) {
    struct map map = { 0 };
    int a, b;
    map_set(&map, 0, &a);
    map_set(&map, 0, &b);
    cr_assert_eq(map.count, 1);
    cr_assert_eq(map_get(&map, 0), &b);
    cr_assert_eq(map_remove(&map, 0), &b);
    cr_assert_null(map_get(&map, 0));
    cr_assert_eq(map.count, 0);
    map_deinit(&map);
}

/* The same as a plain array says, through any history; few keys, so that probing runs meet. */
static void walk(struct seed *seed, uint64_t keys, uint64_t stride, int steps) {
    static int values[4096];
    void *expected[4096] = { NULL };
    struct map map = { 0 };
    size_t count = 0;
    for (int step = 0; step < steps; step++) {
        uint64_t key = seed_below(seed, keys);
        void *value = &values[seed_below(seed, 4096)];
        if (seed_below(seed, 2)) {
            map_set(&map, key * stride, value);
            count += expected[key] == NULL;
            expected[key] = value;
        } else {
            cr_assert_eq(map_remove(&map, key * stride), expected[key]);
            count -= expected[key] != NULL;
            expected[key] = NULL;
        }
        cr_assert_eq(map.count, count);
        uint64_t other = seed_below(seed, keys);
        cr_assert_eq(map_get(&map, other * stride), expected[other]);
    }
    for (uint64_t key = 0; key < keys; key++)
        cr_assert_eq(map_get(&map, key * stride), expected[key]);
    size_t i = 0, seen = 0;
    while (map_next(&map, &i))
        seen++;
    cr_assert_eq(seen, count, "every value is met once");
    map_deinit(&map);
}

Test(map, says_what_was_set_through_any_history) {
    struct seed seed = seed_begin("map");
    walk(&seed, 10, 1, 5000);
    walk(&seed, 40, 1, 20000);
    walk(&seed, 4096, 1, 50000);
    walk(&seed, 300, UINT64_C(1) << 40, 20000);
    walk(&seed, 300, UINT64_C(1) << 55, 20000);
}

Test(map, equal_names_have_equal_hashes_and_others_do_not) {
    char copy[] = "openai";
    cr_assert_eq(map_hash("openai"), map_hash(copy));
    cr_assert_neq(map_hash("openai"), map_hash("openaj"));
    cr_assert_neq(map_hash(""), map_hash("a"));
}

/* ---- buffer ---- */

Test(buffer, an_empty_buffer_can_be_used_and_dropped) {
    struct buffer buffer = { 0 };
    cr_assert_eq(buffer_length(&buffer), 0);
    cr_assert(buffer_append(&buffer, NULL, 0));
    buffer_consume(&buffer, 0);
    buffer_deinit(&buffer);
    buffer_deinit(&buffer);
}

Test(buffer, what_goes_in_comes_out_in_order) {
    struct seed seed = seed_begin("buffer");
    struct buffer buffer = { 0 };
    unsigned char next_in = 0, next_out = 0;
    for (int round = 0; round < 3000; round++) {
        unsigned char chunk[600];
        size_t in = seed_below(&seed, sizeof chunk);
        for (size_t i = 0; i < in; i++)
            chunk[i] = next_in++;
        cr_assert(buffer_append(&buffer, chunk, in));
        size_t out = seed_below(&seed, buffer_length(&buffer) + 1);
        for (size_t i = 0; i < out; i++)
            cr_assert_eq((unsigned char)buffer_bytes(&buffer)[i], next_out++);
        buffer_consume(&buffer, out);
    }
    cr_assert_eq((unsigned char)(next_in - next_out), (unsigned char)buffer_length(&buffer));
    buffer_deinit(&buffer);
}

Test(buffer, a_long_stream_needs_no_more_room_than_what_is_unread) {
    struct buffer buffer = { 0 };
    for (int i = 0; i < 100000; i++) {
        buffer_append_text(&buffer, "twenty characters...");
        buffer_consume(&buffer, i % 2 ? 30 : 10);
        if (i % 2 == 0)
            continue;
        cr_assert_eq(buffer_length(&buffer), 0);
    }
    cr_assert_leq(buffer.capacity, 8192);
    buffer_append_text(&buffer, "x");
    for (int i = 0; i < 100000; i++) { /* and when it is never quite empty */
        buffer_append_text(&buffer, "yyyyyyyyyy");
        buffer_consume(&buffer, 10);
    }
    cr_assert_leq(buffer.capacity, 8192);
    buffer_deinit(&buffer);
}

Test(buffer, what_was_read_is_wiped) {
    struct buffer buffer = { 0 };
    buffer_append_text(&buffer, "secret and the rest");
    buffer_consume(&buffer, 6);
    for (size_t i = 0; i < 6; i++)
        cr_assert_eq(buffer.data[i], 0);
    cr_assert_eq(memcmp(buffer_bytes(&buffer), " and the rest", 13), 0);
    buffer_deinit(&buffer);
}

Test(buffer, prints_texts_of_any_length) {
    struct buffer buffer = { 0 };
    char longer[10000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    cr_assert(buffer_printf(&buffer, "%d %s ", 42, "is"));
    cr_assert(buffer_printf(&buffer, "%s", longer));
    cr_assert(buffer_printf(&buffer, "%s", ""));
    cr_assert_eq(buffer_length(&buffer), 6 + sizeof longer - 1);
    cr_assert_eq(memcmp(buffer_bytes(&buffer), "42 is xxx", 9), 0);
    buffer_deinit(&buffer);
}

Test(buffer, text_is_appended_without_its_end) {
    struct buffer buffer = { 0 };
    buffer_append_text(&buffer, "ab");
    buffer_append_text(&buffer, "");
    buffer_append(&buffer, "c\0d", 3);
    cr_assert_eq(buffer_length(&buffer), 5);
    cr_assert_eq(memcmp(buffer_bytes(&buffer), "abc\0d", 5), 0);
    buffer_deinit(&buffer);
}
