/*
 * The example worker against a vendor that fails in each way, in the shapes of four vendors: what
 * became of the keys, what the events say, and that no user request fails while another key would
 * do. The vendor is tests/support/vendor_standin_main.c.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/peer.h"
#include "tests/support/program.h"
#include "tests/support/standin.h"
#include "tests/support/worker.h"

static const struct {
    const char *name, *path;
} VENDORS[] = {
    { "openai", "openai/v1" },
    { "anthropic", "anthropic" },
    { "gemini", "gemini" },
    { "openrouter", "openrouter/v1" },
};
enum { VENDOR_COUNT = 4 };

/* ---- pools and workers ---- */

static void add_key(struct peer *peer, const char *pool, const char *vendor, unsigned i,
                    const char *base_url) {
    const char *payload =
        scene_text("{\"api_key\":\"sk-standin-%s-%u\",\"base_url\":\"%s\"}", pool, i, base_url);
    if (i == 0)
        peer_must_with(peer, payload, "add pool %s vendor=%s guard=off", pool, vendor);
    else
        peer_must_with(peer, payload, "add key %s name=k%u", pool, i);
    if (i == 0)
        peer_must(peer, "set key %s key1 name=k0", pool);
}

/* A pool of keys k0, k1 … that the stand-in knows as sk-standin-POOL-0 …. */
static void make_pool(struct peer *peer, const char *url, const char *pool, unsigned vendor,
                      unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        add_key(peer, pool, VENDORS[vendor].name, i,
                scene_text("%s/%s", url, VENDORS[vendor].path));
        standin_steer(url, scene_text("key?key=sk-standin-%s-%u", pool, i));
    }
}

struct outcome {
    int code;
    json_t *stats;  /* the last ones */
    json_t *report; /* the first one, or NULL */
};

static struct outcome outcome_of(struct program *worker) {
    struct outcome outcome = { .code = worker->code };
    for (char *line = strtok(worker->out, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *said = json_loads(line, 0, NULL);
        cr_assert_not_null(said, "%s", line);
        json_t **place = NULL;
        if (strcmp(json_text(said, "type"), "stats") == 0)
            place = &outcome.stats;
        else if (strcmp(json_text(said, "type"), "report") == 0 && !outcome.report)
            place = &outcome.report;
        if (place) {
            json_decref(*place);
            *place = json_incref(said);
        }
        json_decref(said);
    }
    cr_assert_not_null(outcome.stats, "the worker said nothing: %s", worker->err);
    return outcome;
}

static void outcome_free(struct outcome *outcome) {
    json_decref(outcome->stats);
    json_decref(outcome->report);
}

static long long tally(const struct outcome *outcome, const char *name) {
    return json_integer_value(json_object_get(outcome->stats, name));
}

static struct program *worker_start(struct broker *b, const char *pool, const char *in_flight,
                                    const char *requests, const char *stream) {
    const char *argv[] = { scene_program("examples/worker"),
                           "-r",
                           b->runtime_dir,
                           "-n",
                           in_flight,
                           "--requests",
                           requests,
                           "--stats",
                           pool,
                           stream,
                           NULL };
    return program_start(NULL, NULL, argv);
}

static struct outcome work(struct broker *b, const char *pool, const char *in_flight,
                           const char *requests, const char *stream) {
    struct program *worker = worker_start(b, pool, in_flight, requests, stream);
    program_finish(worker);
    return outcome_of(worker);
}

static unsigned count_status(struct peer *peer, const char *pool, const char *status) {
    struct answer *answer = peer_must(peer, "json show keys %s", pool);
    const json_t *keys = answer_at(answer, "keys");
    unsigned count = 0;
    for (size_t i = 0; i < json_array_size(keys); i++)
        count += strcmp(json_text(json_array_get(keys, i), "status"), status) == 0;
    return count;
}

/* ---- a key that fails ---- */

struct expectation {
    const char *answer;              /* what the stand-in says to the first key */
    const char *outcome, *status;    /* what that is, and what it makes of the key */
    const char *codes[VENDOR_COUNT]; /* the vendor's code; NULL = the vendor has no such answer */
    int http[VENDOR_COUNT];
};

static const struct expectation KEY_FAILURES[] = {
    { "quota",
      "quota",
      "exceeded",
      { "insufficient_quota", "invalid_request_error", "RESOURCE_EXHAUSTED", "402" },
      { 429, 400, 402, 402 } },
    { "invalid",
      "invalid",
      "error",
      { "invalid_api_key", "authentication_error", "API_KEY_INVALID", "401" },
      { 401, 401, 400, 401 } },
    { "rate",
      "rate",
      "cooling",
      { "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED", "429" },
      { 429, 429, 429, 429 } },
    { "rate200", /* behind HTTP 200; of a stream behind what only announces an answer */
      "rate",
      "cooling",
      { "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED", "429" },
      { 200, 200, 200, 200 } },
    { "permission",
      "permission",
      "normal",
      { "model_not_found", "permission_error", "API_KEY_SERVICE_BLOCKED", NULL },
      { 403, 403, 403, 0 } },
};

/* The newest event of this pool that names a class. */
static const json_t *classed_event(struct peer *peer, const char *pool) {
    struct answer *answer = peer_must(peer, "json show events pool=%s limit=100", pool);
    const json_t *events = answer_at(answer, "events"), *found = NULL;
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *event = json_array_get(events, i);
        if (*json_text(event, "class"))
            found = event;
    }
    return found;
}

static void expect_key_failure(struct broker *b, struct peer *peer, const char *url,
                               const struct expectation *expected, unsigned vendor,
                               const char *stream) {
    const char *pool = scene_text("%s-%s", VENDORS[vendor].name, expected->answer);
    make_pool(peer, url, pool, vendor, 2);
    standin_steer(url, scene_text("key?key=sk-standin-%s-0&answer=%s", pool, expected->answer));
    struct outcome outcome = work(b, pool, "4", "24", stream);
    cr_expect_eq(outcome.code, 0, "%s", pool);
    cr_expect_eq(tally(&outcome, "ok"), 24, "%s", pool);
    cr_expect_eq(standin_told(url, scene_text("sk-standin-%s-1", pool), "good"), 24, "%s", pool);
    cr_assert_not_null(outcome.report, "%s", pool);
    cr_expect_str_eq(json_text(outcome.report, "outcome"), expected->outcome, "%s", pool);
    cr_expect_str_eq(json_text(outcome.report, "code"), expected->codes[vendor], "%s", pool);
    EVENTUALLY(strcmp(peer_key_status(peer, pool, "k0"), expected->status) == 0);
    cr_expect_str_eq(peer_key_status(peer, pool, "k1"), "normal", "%s", pool);
    EVENTUALLY(classed_event(peer, pool));
    const json_t *event = classed_event(peer, pool);
    cr_expect_str_eq(json_text(event, "class"), expected->outcome, "%s", pool);
    cr_expect_str_eq(json_text(event, "vendor_code"), expected->codes[vendor], "%s", pool);
    cr_expect_eq(json_integer_value(json_at(event, "http_status")), expected->http[vendor], "%s",
                 pool);
    outcome_free(&outcome);
}

static void expect_key_failures(struct broker *b, const char *stream) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = standin_start();
    for (size_t i = 0; i < sizeof KEY_FAILURES / sizeof *KEY_FAILURES; i++)
        for (unsigned vendor = 0; vendor < VENDOR_COUNT; vendor++)
            if (KEY_FAILURES[i].codes[vendor])
                expect_key_failure(b, peer, url, &KEY_FAILURES[i], vendor, stream);
}

TEST_BOTH_LOOPS(vendors, a_key_that_fails_costs_no_request_while_another_is_usable) {
    expect_key_failures(b, NULL);
}

TEST_BOTH_LOOPS(vendors, neither_does_it_when_answers_are_streams) {
    expect_key_failures(b, "--stream");
}

TEST_BOTH_LOOPS(vendors, a_rate_limit_lasts_as_long_as_the_vendor_says) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = standin_start();
    for (unsigned vendor = 0; vendor < VENDOR_COUNT; vendor++) {
        const char *pool = VENDORS[vendor].name;
        make_pool(peer, url, pool, vendor, 1);
        standin_steer(url, scene_text("key?key=sk-standin-%s-0&rate=5&window_ms=700", pool));
        struct outcome outcome = work(b, pool, "2", "12", NULL);
        cr_expect_eq(outcome.code, 0, "%s", pool);
        cr_expect_eq(tally(&outcome, "ok"), 12, "%s", pool);
        long long limited = standin_told(url, scene_text("sk-standin-%s-0", pool), "limited");
        cr_expect(limited >= 1 && limited <= 12, "%s: %lld, but it waits", pool, limited);
        outcome_free(&outcome);
    }
}

/* ---- what is not the key's fault ---- */

TEST_BOTH_LOOPS(vendors, the_callers_mistake_costs_no_key_anything_and_is_not_retried) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = standin_start();
    for (unsigned vendor = 0; vendor < VENDOR_COUNT; vendor++) {
        const char *pool = VENDORS[vendor].name;
        make_pool(peer, url, pool, vendor, 2);
        /* 403 is moderation at OpenRouter. */
        const char *answer = strcmp(pool, "openrouter") == 0 ? "permission" : "request";
        standin_steer(url, scene_text("key?key=sk-standin-%s-0&answer=%s", pool, answer));
        struct outcome outcome = work(b, pool, "2", "6", NULL);
        cr_expect_eq(outcome.code, 1, "%s", pool);
        cr_expect_eq(tally(&outcome, "failed"), 6, "%s", pool);
        cr_expect_eq(tally(&outcome, "retries"), 0, "%s", pool);
        cr_expect_str_eq(json_text(outcome.report, "outcome"), "request", "%s", pool);
        cr_expect_str_eq(peer_key_status(peer, pool, "k0"), "normal", "%s", pool);
        cr_expect_eq(standin_told(url, scene_text("sk-standin-%s-1", pool), "good"), 0, "%s", pool);
        outcome_free(&outcome);
    }
}

TEST_BOTH_LOOPS(vendors, an_overload_is_waited_for_and_costs_no_key_anything) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = standin_start();
    for (unsigned vendor = 0; vendor < VENDOR_COUNT; vendor++) {
        const char *pool = VENDORS[vendor].name;
        make_pool(peer, url, pool, vendor, 2);
        standin_steer(url, "overload?ms=300");
        struct outcome outcome = work(b, pool, "4", "12", NULL);
        cr_expect_eq(outcome.code, 0, "%s", pool);
        cr_expect_gt(tally(&outcome, "retries"), 0, "%s", pool);
        cr_assert_not_null(outcome.report, "%s", pool);
        cr_expect_str_eq(json_text(outcome.report, "outcome"), "overload", "%s", pool);
        cr_expect_str_eq(peer_key_status(peer, pool, "k0"), "normal", "%s", pool);
        cr_expect_str_eq(peer_key_status(peer, pool, "k1"), "normal", "%s", pool);
        outcome_free(&outcome);
    }
}

/* A pool whose first two keys are at one endpoint that fails, the third at another. */
static void expect_endpoint_failure(struct broker *b, struct peer *peer, const char *url,
                                    const char *pool, const char *bad_url, const char *answer,
                                    const char *stream) {
    for (unsigned i = 0; i < 3; i++) {
        add_key(peer, pool, "openrouter", i, i < 2 ? bad_url : scene_text("%s/openrouter/v1", url));
        standin_steer(url, scene_text("key?key=sk-standin-%s-%u&answer=%s", pool, i,
                                      i < 2 ? answer : "success"));
    }
    struct outcome outcome = work(b, pool, "4", "40", stream);
    cr_expect_eq(outcome.code, 0, "%s", pool);
    cr_expect_eq(tally(&outcome, "ok"), 40, "%s", pool);
    cr_expect_eq(standin_told(url, scene_text("sk-standin-%s-2", pool), "good"), 40, "%s", pool);
    cr_expect_str_eq(peer_key_status(peer, pool, "k2"), "normal", "%s", pool);
    EVENTUALLY(strcmp(peer_key_status(peer, pool, "k0"), "cooling") == 0);
    cr_expect_str_eq(peer_key_status(peer, pool, "k1"), "cooling", "%s: the endpoint's", pool);
    outcome_free(&outcome);
}

TEST_BOTH_LOOPS(vendors, a_dead_endpoint_of_the_first_keys_costs_no_request) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = standin_start();
    expect_endpoint_failure(b, peer, url, "closing", scene_text("%s/dead", url), "success", NULL);
    expect_endpoint_failure(b, peer, url, "refusing", "http://127.0.0.1:1/v1", "success", NULL);
}

TEST_BOTH_LOOPS(vendors, an_error_inside_http_200_is_one) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = standin_start();
    const char *bad_url = scene_text("http://localhost:%s/openrouter/v1", strrchr(url, ':') + 1);
    expect_endpoint_failure(b, peer, url, "whole", bad_url, "overload200", NULL);
    expect_endpoint_failure(b, peer, url, "stream", bad_url, "overload200", "--stream");
}

TEST_BOTH_LOOPS(vendors, a_stream_that_began_never_switches_the_key) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = standin_start();
    for (unsigned vendor = 0; vendor < VENDOR_COUNT; vendor++) {
        const char *pool = VENDORS[vendor].name;
        make_pool(peer, url, pool, vendor, 2);
        standin_steer(url, scene_text("key?key=sk-standin-%s-0&answer=cut", pool));
        struct outcome outcome = work(b, pool, "2", "6", "--stream");
        cr_expect_eq(outcome.code, 1, "%s", pool);
        cr_expect_eq(tally(&outcome, "broken"), 6, "%s", pool);
        cr_expect_eq(tally(&outcome, "retries"), 0, "%s", pool);
        cr_expect_eq(standin_told(url, scene_text("sk-standin-%s-1", pool), "good"), 0, "%s", pool);
        outcome_free(&outcome);
    }
}

/* The user has half an answer, so it is over; but the endpoint's trouble is no secret. */
TEST_BOTH_LOOPS(vendors, an_error_inside_a_stream_that_began_is_reported_and_not_retried) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = standin_start();
    for (unsigned vendor = 0; vendor < VENDOR_COUNT; vendor++) {
        const char *pool = VENDORS[vendor].name;
        make_pool(peer, url, pool, vendor, 2);
        standin_steer(url, scene_text("key?key=sk-standin-%s-0&answer=late", pool));
        struct outcome outcome = work(b, pool, "2", "6", "--stream");
        cr_expect_eq(outcome.code, 1, "%s", pool);
        cr_expect_eq(tally(&outcome, "broken"), 6, "%s", pool);
        cr_expect_eq(tally(&outcome, "retries"), 0, "%s", pool);
        cr_assert_not_null(outcome.report, "%s", pool);
        cr_expect_str_eq(json_text(outcome.report, "outcome"), "overload", "%s", pool);
        cr_expect_eq(standin_told(url, scene_text("sk-standin-%s-1", pool), "good"), 0, "%s", pool);
        cr_expect_str_eq(peer_key_status(peer, pool, "k0"), "normal", "%s", pool);
        outcome_free(&outcome);
    }
}

/* Where most keys of a pool are refused at once the guard thinks of something else, until the key
 * that works proves that it is the others. */
TEST_BOTH_LOOPS(vendors, a_guarded_pool_still_answers_if_a_key_works) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = standin_start();
    make_pool(peer, url, "main", 0, 6);
    peer_must(peer, "set pool main guard=on");
    for (unsigned i = 0; i < 5; i++)
        standin_steer(url, scene_text("revoke?key=sk-standin-main-%u", i));
    struct outcome outcome = work(b, "main", "4", "400", NULL);
    cr_assert_eq(outcome.code, 0);
    cr_assert_eq(tally(&outcome, "ok"), 400);
    EVENTUALLY(count_status(peer, "main", "error") == 5);
    outcome_free(&outcome);
}

/* A listener that lets nobody in: its queue is full, so that whoever connects tries again each
 * second. */
enum { CROWD = 3 };

static int crowded_listener(int crowd[CROWD], unsigned *ret_port) {
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(listener, 0), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(crowd[i], (struct sockaddr *)&address, size);
    }
    *ret_port = ntohs(address.sin_port);
    return listener;
}

TEST_BOTH_LOOPS(vendors, a_key_that_fails_while_its_connection_is_made_is_not_used) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = standin_start();
    int crowd[CROWD];
    unsigned port;
    int listener = crowded_listener(crowd, &port);
    add_key(peer, "main", "openai", 0, scene_text("http://127.0.0.1:%u/v1", port));
    add_key(peer, "main", "openai", 1, scene_text("%s/v1", url));
    standin_steer(url, "key?key=sk-standin-main-1");
    struct program *worker = worker_start(b, "main", "1", "1", NULL);
    scene_sleep_ms(400); /* it connects, or will */
    kb_reader *reader = worker_open(b, "main");
    kb_report(reader, kb_current(reader)->ticket, KB_QUOTA, KB_NO_HINT);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "k0"), "exceeded") == 0);
    for (int i = 0; i < CROWD; i++)
        close(crowd[i]);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;)
        close(fd);
    program_finish(worker);
    struct outcome outcome = outcome_of(worker);
    cr_assert_eq(tally(&outcome, "ok"), 1, "%s", worker->err);
    cr_assert_eq(standin_told(url, "sk-standin-main-1", "good"), 1);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        char byte;
        cr_assert_leq(read(fd, &byte, 1), 0, "a request was sent with the key that had failed");
    }
    outcome_free(&outcome);
    kb_close(reader);
    close(listener);
}

/* ---- all at once ---- */

TEST_BOTH_LOOPS(vendors, a_vendor_that_refuses_everybody_does_not_cost_a_pool_its_keys) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    const char *url = standin_start();
    make_pool(peer, url, "main", 0, 6);
    peer_must(peer, "set pool main guard=on");
    standin_steer(url, "all?answer=invalid");
    struct program *worker = worker_start(b, "main", "4", "40", NULL);
    kb_reader *reader = worker_open(b, "main");
    kb_health_info health = KB_HEALTH_INFO_INIT;
    EVENTUALLY(kb_health(reader, &health) == 0 && health.guarded);
    struct answer *held = peer_must(peer, "json show pool main");
    cr_assert_str_eq(answer_string(held, "guard"), "holding");
    cr_assert(json_is_string(answer_at(held, "guard_until")));
    scene_sleep_ms(300); /* of refusals that the guard holds */
    cr_assert_geq(count_status(peer, "main", "normal"), 3);
    cr_assert_leq(count_status(peer, "main", "error"), 3);
    standin_steer(url, "all?answer=success");
    program_finish(worker);
    struct outcome outcome = outcome_of(worker);
    cr_assert_eq(outcome.code, 0, "%s", worker->err);
    cr_assert_eq(tally(&outcome, "ok"), 40);
    cr_assert_geq(count_status(peer, "main", "normal"), 3);
    outcome_free(&outcome);
    kb_close(reader);
}

TEST_BOTH_LOOPS(vendors, the_shell_example_asks_and_goes_on_with_the_next_key) {
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    if (system("command -v curl >/dev/null") != 0) // NOLINT(cert-env33-c): a fixed command
        cr_skip_test("the curl command is not installed");
    const char *url = standin_start();
    make_pool(peer, url, "main", 0, 2);
    const char *environment[] = { scene_text("KEYBROKER_RUNTIME_DIR=%s", b->runtime_dir),
                                  scene_text("KEYBROKER=%s", scene_program("keybroker")), NULL };
    const char *argv[] = { "client/examples/worker.sh", "main", "Say \"hello\"", "Again", NULL };
    struct program *shell = program_run(NULL, environment, argv);
    cr_assert_eq(shell->code, 0, "%s", shell->err);
    cr_assert_not_null(strstr(shell->out, "This is a stand-in."), "%s", shell->out);
    cr_assert_eq(standin_told(url, "sk-standin-main-0", "good"), 2);
    standin_steer(url, "key?key=sk-standin-main-0&answer=quota");
    struct outcome outcome = work(b, "main", "1", "1", NULL); /* somebody reports it */
    outcome_free(&outcome);
    shell = program_run(NULL, environment, argv);
    cr_assert_eq(shell->code, 0, "%s", shell->err);
    cr_assert_eq(standin_told(url, "sk-standin-main-1", "good"), 3);
}
