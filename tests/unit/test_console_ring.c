/*
 * The console's ring of events and what a stream is sent from it: what was missed, when to load
 * everything anew, and when nothing is to be said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "broker/console/ring.h"

static struct ring ring;
static char said[1 << 18];

static void teardown(void) {
    ring_deinit(&ring);
}

TestSuite(console_ring, .fini = teardown);

/* Events up to `last`, all that there were before it included. */
static void fill(uint64_t from, uint64_t last) {
    for (uint64_t seq = from; seq <= last; seq++) {
        char json[32];
        snprintf(json, sizeof json, "{\"seq\":%llu}", (unsigned long long)seq);
        ring_add(&ring, seq, json);
    }
}

/* What the stream is sent now, message by message: "broker", "change 7", "reset", "beat". */
static const char *told(struct ring_cursor *cursor, size_t most) {
    struct buffer out = { 0 };
    said[0] = '\0';
    cr_assert(ring_write(&ring, cursor, "now", most, &out));
    cr_assert(buffer_append(&out, "", 1));
    char *rest = buffer_bytes(&out);
    while (*rest) {
        char *end = strstr(rest, "\n\n");
        cr_assert_not_null(end, "a message does not end: %s", rest);
        *end = '\0';
        const char *id = strncmp(rest, "id: ", 4) == 0 ? rest + 4 : NULL;
        char *event = strstr(rest, "event: ");
        cr_assert_not_null(event);
        cr_assert_not_null(strstr(event, "\ndata: "));
        int name = (int)strcspn(event + 7, "\n");
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s%.*s", *said ? " " : "", name,
                 event + 7);
        if (id && strncmp(event + 7, "change", 6) == 0)
            snprintf(said + strlen(said), sizeof said - strlen(said), ":%lu",
                     strtoul(id, NULL, 10));
        rest = end + 2;
    }
    buffer_deinit(&out);
    return said;
}

static const char *all(struct ring_cursor *cursor) {
    return told(cursor, SIZE_MAX);
}

static struct ring_cursor since(uint64_t seq) {
    return (struct ring_cursor){ .resumes = true, .since = seq };
}

Test(console_ring, a_new_stream_hears_what_happens_from_now_on) {
    struct ring_cursor cursor = { 0 };
    ring_begin(&ring, 4, 6);
    fill(5, 6);
    ring_connected(&ring, true, NULL);
    cr_assert_str_eq(all(&cursor), "broker");
    cr_assert_not(ring_has_news(&ring, &cursor));
    fill(7, 8);
    cr_assert(ring_has_news(&ring, &cursor));
    cr_assert_str_eq(all(&cursor), "change:7 change:8");
    cr_assert_not(ring_has_news(&ring, &cursor));
}

Test(console_ring, a_stream_that_resumes_hears_what_it_missed) {
    ring_begin(&ring, 4, 4);
    fill(5, 9);
    struct ring_cursor cursor = since(6);
    cr_assert_str_eq(all(&cursor), "broker change:7 change:8 change:9");
    cursor = since(9);
    cr_assert_str_eq(all(&cursor), "broker");
    cursor = since(4);
    cr_assert_str_eq(all(&cursor), "broker change:5 change:6 change:7 change:8 change:9");
}

Test(console_ring, what_is_older_than_the_ring_or_newer_than_everything_starts_anew) {
    ring_begin(&ring, 4, 4);
    fill(5, 9);
    struct ring_cursor cursor = since(3);
    cr_assert_str_eq(all(&cursor), "broker reset");
    fill(10, 10);
    cr_assert_str_eq(all(&cursor), "change:10");
    cursor = since(11);
    cr_assert_str_eq(all(&cursor), "broker reset");
}

Test(console_ring, it_keeps_the_newest_1024) {
    ring_begin(&ring, 0, 0);
    fill(1, 3000);
    cr_assert_eq(ring.next - ring.first, RING_EVENTS_MAX);
    struct ring_cursor cursor = since(3000 - RING_EVENTS_MAX - 1);
    cr_assert_str_eq(all(&cursor), "broker reset");
    cursor = since(3000 - RING_EVENTS_MAX);
    cr_assert_eq(strncmp(all(&cursor), "broker change:1977 ", 19), 0);
    cr_assert_str_eq(strrchr(said, ' '), " change:3000");
}

Test(console_ring, a_stream_that_falls_behind_the_ring_starts_anew) {
    struct ring_cursor cursor = { 0 };
    ring_begin(&ring, 0, 0);
    cr_assert_str_eq(all(&cursor), "broker");
    fill(1, RING_EVENTS_MAX + 1);
    cr_assert_str_eq(all(&cursor), "reset");
    fill(RING_EVENTS_MAX + 2, RING_EVENTS_MAX + 2);
    cr_assert_str_eq(all(&cursor), "change:1026");
}

Test(console_ring, a_hole_or_another_life_starts_every_stream_anew) {
    struct ring_cursor cursor = { 0 };
    ring_begin(&ring, 0, 0);
    all(&cursor);
    fill(1, 3);
    fill(7, 7);
    cr_assert_str_eq(all(&cursor), "reset");
    fill(8, 8);
    cr_assert_str_eq(all(&cursor), "change:8");
    ring_begin(&ring, 0, 0);
    cr_assert_str_eq(all(&cursor), "reset");
    fill(1, 1);
    cr_assert_str_eq(all(&cursor), "change:1");
}

Test(console_ring, an_event_that_is_told_twice_is_heard_once) {
    struct ring_cursor cursor = { 0 };
    ring_begin(&ring, 0, 0);
    all(&cursor);
    fill(1, 3);
    fill(2, 4);
    cr_assert_str_eq(all(&cursor), "change:1 change:2 change:3 change:4");
}

Test(console_ring, nobody_has_a_place_before_what_already_happened_is_there) {
    struct ring_cursor fresh = { 0 }, resumed = since(8);
    cr_assert_str_eq(all(&fresh), "broker", "the broker was never there");
    ring_begin(&ring, 4, 9);
    fill(5, 7);
    cr_assert_not(ring_has_news(&ring, &fresh));
    cr_assert_str_eq(all(&resumed), "broker");
    fill(8, 9);
    cr_assert_str_eq(all(&fresh), "");
    cr_assert_str_eq(all(&resumed), "change:9");
    fill(10, 10);
    cr_assert_str_eq(all(&fresh), "change:10");
}

Test(console_ring, a_beat_follows_everything_before_it_and_none_is_of_another_time) {
    struct ring_cursor cursor = { 0 };
    ring_begin(&ring, 0, 0);
    ring_beat(&ring, "{}");
    cr_assert_str_eq(all(&cursor), "broker", "not connected: the beat is old");
    ring_connected(&ring, true, NULL);
    fill(1, 3);
    ring_beat(&ring, "{}");
    cr_assert_str_eq(told(&cursor, 1), "broker", "no more than was asked for");
    cr_assert_str_eq(told(&cursor, 1), "change:1");
    cr_assert_str_eq(told(&cursor, 60), "change:2 change:3 beat");
    cr_assert_str_eq(all(&cursor), "");
    ring_beat(&ring, "{}");
    ring_beat(&ring, "{}");
    cr_assert_str_eq(all(&cursor), "beat", "one is as good as two");
}

Test(console_ring, coming_and_going_of_the_broker_is_said_once) {
    struct ring_cursor cursor = { 0 };
    all(&cursor);
    ring_connected(&ring, false, NULL);
    cr_assert_not(ring_has_news(&ring, &cursor));
    ring_connected(&ring, true, NULL);
    cr_assert_str_eq(all(&cursor), "broker");
    ring_connected(&ring, false, NULL);
    ring_connected(&ring, true, NULL);
    cr_assert_str_eq(all(&cursor), "broker");
}

Test(console_ring, that_the_broker_refuses_is_said_once_and_with_its_reason) {
    struct ring_cursor cursor = { 0 };
    all(&cursor);
    ring_connected(&ring, false, "\"not you\"");
    struct ring_cursor fresh = { 0 };
    struct buffer out = { 0 };
    ring_write(&ring, &fresh, "now", 100, &out);
    buffer_append(&out, "", 1);
    cr_assert_not_null(strstr(buffer_bytes(&out), "\"connected\":false,\"refused\":\"not you\""),
                       "%s", buffer_bytes(&out));
    buffer_deinit(&out);
    cr_assert_str_eq(all(&cursor), "broker");
    ring_connected(&ring, false, "\"not you\"");
    cr_assert_str_eq(all(&cursor), "");
    ring_connected(&ring, false, "\"nor you\"");
    cr_assert_str_eq(all(&cursor), "broker");
    ring_connected(&ring, false, NULL);
    cr_assert_str_eq(all(&cursor), "broker");
    ring_connected(&ring, true, NULL);
    cr_assert_str_eq(all(&cursor), "broker");
}
