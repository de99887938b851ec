/*
 * watch with a real broker: events as they happen, what was missed, heartbeats, and watchers that
 * do not read.
 */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/support/peer.h"

static struct peer *start(struct broker *b, const char *keep) {
    broker_start(b, "--keep-events", keep, NULL);
    struct peer *peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 3);
    return peer;
}

static long long last_event(struct peer *peer) {
    return answer_number(peer_must(peer, "json show info"), "last_event");
}

static struct peer *watch(struct broker *b, const char *options) {
    struct peer *watcher = peer_open(b);
    peer_send(watcher, "json watch %s", options);
    cr_assert_str_eq(peer_read_line(watcher), "OK");
    return watcher;
}

/* The next line that is no heartbeat (or is one, if that is wanted). The caller frees it. */
static json_t *next(struct peer *watcher, bool heartbeat) {
    for (;;) {
        const char *line = peer_read_line(watcher);
        cr_assert_not_null(line, "the broker dropped the watcher");
        json_t *object = json_loads(line, 0, NULL);
        cr_assert_not_null(object, "no JSON: %s", line);
        if ((strcmp(json_text(object, "type"), "heartbeat") == 0) == heartbeat)
            return object;
        json_decref(object);
    }
}

static long long next_seq(struct peer *watcher, const char *kind) {
    json_t *event = next(watcher, false);
    cr_assert_str_eq(json_text(event, "type"), "event");
    cr_assert_str_eq(json_text(event, "kind"), kind);
    long long seq = json_integer_value(json_object_get(event, "seq"));
    json_decref(event);
    return seq;
}

TEST_BOTH_LOOPS(watch, events_arrive_as_they_happen_at_every_watcher) {
    struct peer *peer = start(b, "1000");
    struct peer *one = watch(b, ""), *two = watch(b, "pool=main");
    long long seq = last_event(peer);
    for (unsigned i = 1; i <= 50; i++) {
        peer_must(peer, i % 2 ? "disable key main key2" : "enable key main key2");
        cr_assert_eq(next_seq(one, "status"), seq + i);
        cr_assert_eq(next_seq(two, "status"), seq + i);
    }
}

TEST_BOTH_LOOPS(watch, an_ok_is_followed_by_its_event_and_none_is_lost) {
    enum { CHANGES = 300 };
    struct peer *peer = start(b, "1000");
    long long since = last_event(peer);
    for (unsigned i = 0; i < CHANGES; i++)
        peer_send(peer, "set key main key2 weight=%u", i + 1);
    /* Comes in the middle of it: what is on the disk and what comes live must join. */
    struct peer *watcher = watch(b, scene_text("since=%lld", since));
    for (unsigned i = 0; i < CHANGES; i++)
        cr_assert_eq(peer_read(peer)->code, 0);
    for (unsigned i = 1; i <= CHANGES; i++)
        cr_assert_eq(next_seq(watcher, "set key"), since + i);
}

TEST_BOTH_LOOPS(watch, since_shows_what_was_missed_also_over_a_restart) {
    struct peer *peer = start(b, "1000");
    long long since = last_event(peer);
    peer_must(peer, "disable key main key2");
    peer_must(peer, "move key main key3 first");
    broker_restart(b);
    peer = peer_open(b);
    struct peer *watcher = watch(b, scene_text("since=%lld", since));
    cr_assert_eq(next_seq(watcher, "status"), since + 1);
    cr_assert_eq(next_seq(watcher, "move key"), since + 2);
    peer_must(peer, "enable key main key2");
    cr_assert_eq(next_seq(watcher, "status"), since + 3);
}

TEST_BOTH_LOOPS(watch, a_gap_is_told_before_the_oldest_event_that_is_kept) {
    struct peer *peer = start(b, "20");
    for (unsigned i = 0; i < 60; i++)
        peer_send(peer, "set key main key2 weight=%u", i + 1);
    for (unsigned i = 0; i < 60; i++)
        cr_assert_eq(peer_read(peer)->code, 0);
    struct peer *watcher = watch(b, "since=5");
    json_t *gap = next(watcher, false);
    cr_assert_str_eq(json_text(gap, "type"), "gap");
    cr_assert_eq(json_integer_value(json_object_get(gap, "from")), 6);
    long long to = json_integer_value(json_object_get(gap, "to"));
    json_decref(gap);
    long long last = last_event(peer);
    cr_assert_gt(to, 5);
    cr_assert_geq(last - to, 20, "at least the newest 20 are kept: gap to %lld of %lld", to, last);
    for (long long seq = to + 1; seq <= last; seq++)
        cr_assert_eq(next_seq(watcher, "set key"), seq);
    struct answer *events = peer_must(peer, "json show events limit=1000");
    cr_assert_eq(json_array_size(answer_at(events, "events")), (size_t)(last - to));
}

TEST_BOTH_LOOPS(watch, events_never_stand_in_the_middle_of_a_reply) {
    enum { KEYS = 2000 };
    struct peer *peer = start(b, "100000");
    peer_make_large_pool(peer, "large", "k", KEYS);
    struct peer *watcher = peer_open(b);
    peer_send(watcher, "json show keys large"); /* takes several turns */
    peer_send(watcher, "json watch since=0");
    for (unsigned i = 0; i < 20; i++)
        peer_must(peer, "set key main key2 weight=%u", i + 1);
    struct answer *list = peer_read(watcher);
    cr_assert_eq(json_array_size(answer_at(list, "keys")), KEYS);
    cr_assert_str_eq(peer_read_line(watcher), "OK");
    cr_assert_eq(next_seq(watcher, "add key"), 1);
    /* What it watches would stand in the middle of other replies. */
    peer_send(watcher, "show keys large");
    const char *line = peer_read_line(watcher);
    while (line && strncmp(line, "ERR 409", 7) != 0)
        line = peer_read_line(watcher);
    cr_assert_not_null(line);
    peer_send(watcher, "quit");
    cr_assert(peer_read_to_end(watcher));
}

TEST_BOTH_LOOPS(watch, only_the_events_of_its_pool_reach_a_watcher) {
    struct peer *peer = start(b, "1000");
    peer_make_pool(peer, "other", "anthropic", 2);
    struct peer *watcher = watch(b, "pool=other");
    peer_must(peer, "disable key main key2");
    peer_must(peer, "disable key other key2");
    json_t *event = next(watcher, false);
    cr_assert_str_eq(json_text(event, "pool"), "other");
    json_decref(event);
    struct peer *nowhere = peer_open(b);
    cr_assert_eq(peer_ask(nowhere, "watch pool=nowhere")->code, 404);
    cr_assert_eq(peer_ask(nowhere, "watch since=-4")->code, 400);
}

TEST_BOTH_LOOPS(watch, a_heartbeat_comes_every_second_and_names_the_last_event) {
    struct peer *peer = start(b, "1000");
    struct peer *watcher = watch(b, "");
    json_t *beat = next(watcher, true);
    cr_assert_eq(json_integer_value(json_object_get(beat, "seq")), last_event(peer));
    json_decref(beat);
    int64_t began = scene_now_ms();
    json_decref(next(watcher, true));
    cr_assert_lt(scene_now_ms() - began, 10000);
}

TEST_BOTH_LOOPS(watch, an_event_in_text_is_one_line) {
    struct peer *peer = start(b, "1000");
    struct peer *watcher = peer_open(b);
    peer_send(watcher, "watch");
    cr_assert_str_eq(peer_read_line(watcher), "OK");
    peer_must(peer, "set key main key2 note='two words'");
    const char *line = peer_read_line(watcher);
    while (strstr(line, "type=heartbeat"))
        line = peer_read_line(watcher);
    cr_assert_not_null(strstr(line, "kind=\"set key\""), "%s", line);
    cr_assert_not_null(strstr(line, "key=key2"), "%s", line);
}

TEST_BOTH_LOOPS(watch, a_watcher_that_does_not_read_is_dropped_and_nobody_else_waits) {
    enum { KEYS = 10000 };
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *name = "a-long-name-of-a-key-that-makes-every-event-about-it-long-"; /* 58 */
    peer_make_pool(peer, "small", "openai", 2);
    struct peer *stuck = watch(b, ""), *other = watch(b, "pool=small");
    long before = broker_memory_kib(b, "RssAnon");
    for (unsigned round = 0; round < 4 && !broker_log_has(b, "does not read"); round++) {
        peer_make_large_pool(peer, scene_text("large%u", round), name, KEYS);
        peer_must(peer, "delete pool large%u confirm=large%u", round, round);
    }
    EVENTUALLY(broker_log_has(b, "it watches and does not read"));
    cr_assert(peer_read_to_end(stuck), "the stuck watcher is still connected");
    peer_must(peer, "disable key small key2");
    json_t *event = next(other, false);
    while (strcmp(json_text(event, "kind"), "status") != 0) {
        json_decref(event);
        event = next(other, false);
    }
    json_decref(event);
    if (!scene_sanitized())
        cr_assert_lt(broker_memory_kib(b, "RssAnon") - before, 64 * 1024);
}
