/*
 * keybroker-console's streams with a real broker: every page sees what happens, within a second, in
 * order and without a gap, across restarts of the broker and of the console; one that does not read
 * holds nobody up.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <criterion/criterion.h>
#include <keybroker.h>

#include "tests/support/console.h"
#include "tests/support/peer.h"

static struct peer *peer;

static struct console *start(struct broker *b) {
    broker_start(b, NULL);
    peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 3);
    struct console *console = console_start(b, NULL);
    console_sign_in(console);
    return console;
}

static long long id_of(const char *message) {
    cr_assert_not_null(message, "no message came");
    cr_assert_eq(strncmp(message, "id: ", 4), 0, "%s", message);
    return atoll(message + 4);
}

static long long next_change(struct web *stream) {
    return id_of(web_message_of(stream, "change", SCENE_PATIENCE_MS));
}

static long long last_event(void) {
    return answer_number(peer_must(peer, "json show info"), "last_event");
}

/* So many changes, all of them done. */
static void change_often(unsigned count) {
    for (unsigned i = 0; i < count; i++)
        peer_send(peer, i % 2 ? "enable key main key2" : "disable key main key2");
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(peer_read(peer)->code, 0);
}

static unsigned console_descriptors(const struct console *console) {
    unsigned count = 0;
    DIR *dir = opendir(scene_text("/proc/%d/fd", (int)console->program->pid));
    cr_assert_not_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Open one and wait until it is in its place. */
static struct web *follow(const struct console *console) {
    struct web *stream = web_stream(console, "");
    cr_assert_not_null(web_message_of(stream, "beat", SCENE_PATIENCE_MS));
    return stream;
}

TEST_CONSOLE(console_stream, it_begins_with_the_brokers_state_and_beats_each_second) {
    struct console *console = start(b);
    struct web *stream = web_stream(console, "");
    const char *first = web_message(stream, SCENE_PATIENCE_MS);
    cr_assert_not_null(strstr(first, "event: broker\ndata: {\"connected\":"), "%s", first);
    web_message_of(stream, "beat", SCENE_PATIENCE_MS);
    int64_t begun = scene_now_ms();
    for (unsigned i = 0; i < 3; i++) {
        const char *beat = web_message_of(stream, "beat", SCENE_PATIENCE_MS);
        cr_assert_not_null(strstr(beat, scene_text("{\"seq\":%lld,\"now\":\"20", last_event())),
                           "%s", beat);
    }
    int64_t took = scene_now_ms() - begun;
    cr_assert(took > 2000 && took < 6000, "three beats took %lld ms", (long long)took);
}

TEST_CONSOLE(console_stream, changes_come_in_order_with_the_brokers_own_events) {
    struct console *console = start(b);
    struct web *stream = follow(console);
    long long seq = last_event();
    for (unsigned i = 1; i <= 100; i++) {
        peer_must(peer, i % 2 ? "disable key main key2" : "enable key main key2");
        const char *message = web_message_of(stream, "change", SCENE_PATIENCE_MS);
        cr_assert_eq(id_of(message), seq + i);
        json_t *event = json_loads(strstr(message, "data: ") + 6, 0, NULL);
        cr_assert_eq(json_integer_value(json_object_get(event, "seq")), seq + i);
        cr_assert_str_eq(json_text(event, "key"), "key2");
        cr_assert_str_eq(json_text(event, "to"), i % 2 ? "disabled" : "normal");
        json_decref(event);
    }
}

static void report_current_failed(const struct broker *b) {
    kb_reader *reader;
    kb_options options = { .size = sizeof options, .runtime_dir = b->runtime_dir };
    cr_assert_eq(kb_open(&reader, "main", &options), 0);
    const kb_key *key = kb_current(reader);
    cr_assert_not_null(key);
    cr_assert_eq(kb_report(reader, key->ticket, KB_RATE, 60000), KB_NEXT_KEY);
    kb_close(reader);
}

TEST_CONSOLE(console_stream, two_hundred_pages_see_a_failover_within_a_second) {
    enum { PAGES = 200 };
    struct console *console = start(b);
    struct web *streams[PAGES];
    for (unsigned i = 0; i < PAGES; i++)
        streams[i] = web_stream(console, "");
    for (unsigned i = 0; i < PAGES; i++)
        cr_assert_not_null(web_message_of(streams[i], "beat", SCENE_PATIENCE_MS));
    long long seq = last_event();
    int64_t begun = scene_now_ms();
    report_current_failed(b);
    for (unsigned i = 0; i < PAGES; i++) {
        const char *message = web_message_of(streams[i], "change", SCENE_PATIENCE_MS);
        cr_assert_eq(id_of(message), seq + 1);
        cr_assert_not_null(strstr(message, "\"cooling\""), "%s", message);
    }
    int64_t took = scene_now_ms() - begun;
    cr_assert_lt(took, scene_sanitized() ? 5000 : 1000);
}

TEST_CONSOLE(console_stream, a_page_that_was_away_hears_what_it_missed) {
    struct console *console = start(b);
    struct web *stream = follow(console);
    long long seq = last_event();
    web_close(stream);
    for (unsigned i = 0; i < 5; i++)
        peer_must(peer, i % 2 ? "enable key main key2" : "disable key main key2");
    stream = web_stream(console, scene_text("Last-Event-ID: %lld\r\n", seq));
    for (unsigned i = 1; i <= 5; i++)
        cr_assert_eq(next_change(stream), seq + i);
    struct web *again = web_stream(console, scene_text("Last-Event-ID: %lld\r\n", seq + 3));
    cr_assert_eq(next_change(again), seq + 4);
    struct web *unknown = web_stream(console, "Last-Event-ID: 999999\r\n");
    cr_assert_not_null(web_message_of(unknown, "reset", SCENE_PATIENCE_MS));
}

TEST_CONSOLE(console_stream, what_is_older_than_the_newest_1024_is_loaded_anew) {
    struct console *console = start(b);
    long long seq = last_event();
    for (unsigned i = 0; i < 11; i++)
        change_often(100);
    struct web *fresh = follow(console);
    EVENTUALLY(strstr(web_message_of(fresh, "beat", SCENE_PATIENCE_MS),
                      scene_text("\"seq\":%lld", seq + 1100)));
    struct web *stream = web_stream(console, scene_text("Last-Event-ID: %lld\r\n", seq));
    cr_assert_not_null(web_message_of(stream, "reset", SCENE_PATIENCE_MS));
    peer_must(peer, "disable key main key2");
    cr_assert_eq(next_change(stream), seq + 1101);
}

TEST_CONSOLE(console_stream, a_killed_broker_is_seen_and_its_successor_goes_on_without_a_gap) {
    struct console *console = start(b);
    struct web *stream = follow(console);
    for (unsigned round = 0; round < 3; round++) {
        long long seq = last_event();
        broker_kill(b);
        const char *gone = web_message_of(stream, "broker", SCENE_PATIENCE_MS);
        cr_assert_not_null(strstr(gone, "\"connected\":false"), "%s", gone);
        int64_t begun = scene_now_ms();
        broker_restart(b);
        peer = peer_open(b);
        peer_must(peer, round % 2 ? "enable key main key2" : "disable key main key2");
        const char *back = web_message_of(stream, "broker", SCENE_PATIENCE_MS);
        cr_assert_not_null(strstr(back, "\"connected\":true"), "%s", back);
        if (!scene_sanitized())
            cr_assert_lt(scene_now_ms() - begun, 4000);
        cr_assert_eq(next_change(stream), seq + 1);
    }
}

TEST_CONSOLE(console_stream, a_broker_on_another_store_has_everything_loaded_anew) {
    struct console *console = start(b);
    struct web *stream = follow(console);
    broker_kill(b);
    b->state_dir = scene_dir(scene_disk(), "other-state", 0700);
    cr_assert_eq(system(scene_text("rm -rf %s/pools/*", b->runtime_dir)), 0);
    broker_restart(b);
    cr_assert_not_null(web_message_of(stream, "reset", SCENE_PATIENCE_MS));
    peer = peer_open(b);
    peer_make_pool(peer, "fresh", "openai", 1);
    cr_assert_not_null(strstr(web_message_of(stream, "change", SCENE_PATIENCE_MS), "\"fresh\""));
}

TEST_CONSOLE(console_stream, a_broker_that_stands_still_counts_as_gone_until_it_goes_on) {
    struct console *console = start(b);
    struct web *stream = follow(console);
    long long seq = last_event();
    broker_pause(b);
    const char *gone = web_message_of(stream, "broker", SCENE_PATIENCE_MS);
    cr_assert_not_null(strstr(gone, "\"connected\":false"), "%s", gone);
    broker_continue(b);
    const char *back = web_message_of(stream, "broker", SCENE_PATIENCE_MS);
    cr_assert_not_null(strstr(back, "\"connected\":true"), "%s", back);
    peer_must(peer, "disable key main key2");
    cr_assert_eq(next_change(stream), seq + 1);
}

TEST_CONSOLE(console_stream, a_new_console_knows_what_happened_before_it_began) {
    struct console *first = start(b);
    struct web *stream = follow(first);
    long long seq = last_event();
    cr_assert_eq(console_stop(first), 0);
    cr_assert_null(web_message_of(stream, "change", 1000));
    peer_must(peer, "disable key main key2");
    peer_must(peer, "enable key main key2");
    struct console *second = console_start(b, NULL);
    console_sign_in(second);
    struct web *resumed = web_stream(second, scene_text("Last-Event-ID: %lld\r\n", seq));
    cr_assert_eq(next_change(resumed), seq + 1);
    cr_assert_eq(next_change(resumed), seq + 2);
    struct web *fresh = follow(second);
    peer_must(peer, "disable key main key2");
    cr_assert_eq(next_change(fresh), seq + 3, "a new page is not told old news");
}

TEST_CONSOLE(console_stream, a_console_that_began_before_its_broker_connects_by_itself) {
    struct console *console = console_start(b, NULL);
    console_sign_in(console);
    struct web *stream = web_stream(console, "");
    const char *away = web_message(stream, SCENE_PATIENCE_MS);
    cr_assert_not_null(strstr(away, "\"connected\":false"), "%s", away);
    broker_start(b, NULL);
    const char *back = web_message_of(stream, "broker", SCENE_PATIENCE_MS);
    cr_assert_not_null(strstr(back, "\"connected\":true"), "%s", back);
    peer = peer_open(b);
    peer_make_pool(peer, "main", "openai", 1);
    cr_assert_not_null(web_message_of(stream, "change", SCENE_PATIENCE_MS));
}

/* A stream whose reader has stopped reading and has little room. */
static void stuck_stream(const struct console *console) {
    struct web *web = web_open(console);
    setsockopt(web->fd, SOL_SOCKET, SO_RCVBUF, &(int){ 4096 }, sizeof(int));
    web_send(web, "GET /api/stream HTTP/1.1\r\nHost: %s\r\n%s\r\n", console->address,
             console->session);
}

TEST_CONSOLE(console_stream, a_page_that_does_not_read_is_dropped_and_holds_nobody_up) {
    enum { ROUNDS = 12, BATCH = 100, STUCK = 5 };
    struct console *console = start(b);
    struct web *stream = follow(console);
    unsigned before = console_descriptors(console);
    for (unsigned i = 0; i < STUCK; i++)
        stuck_stream(console);
    long long seq = last_event();
    for (unsigned round = 0; round < ROUNDS; round++) {
        change_often(BATCH);
        for (unsigned i = 0; i < BATCH; i++)
            cr_assert_eq(next_change(stream), ++seq);
    }
    cr_assert_geq(console_descriptors(console), before + STUCK, "they were not stuck");
    EVENTUALLY(console_descriptors(console) <= before);
    peer_must(peer, "disable key main key2");
    cr_assert_eq(next_change(stream), seq + 1);
}
