/*
 * kb_report_http as a worker uses it: what reaches the broker's socket and the caller, which key
 * comes next, and that endpoints in trouble are left for last. The test listens in the broker's
 * place; two groups of keys have different base URLs.
 */
#include "client/internal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "client/body.h"
#include "client/classify.h"
#include "tests/support/fixture_pool.h"
#include "tests/support/seed.h"

enum { KEYS = 4 }; /* 1 and 2 at endpoint a, 3 and 4 at endpoint b */

static const char RULES[] = "429 any=insufficient_quota quota account\n"
                            "401 invalid key\n"
                            "403 permission\n"
                            "429 rate account\n";

static struct fixture_pool fixture;
static kb_reader *reader;
static kb_report_info info;

static void use_rules(const char *text) {
    kbi_rules_free(reader->catalog->rules);
    reader->catalog->rules = text ? kbi_rules_new(text) : NULL;
}

static void begin(uint32_t strategy, bool two_endpoints) {
    fixture_pool_init(&fixture, KEYS, strategy, NULL);
    for (uint32_t i = 0; two_endpoints && i < KEYS; i++) {
        struct key_record *key = fixture.keys[i];
        record_set_string(&key->config,
                          i < 2 ? "{\"api_key\":\"k\",\"base_url\":\"https://a.example\"}"
                                : "{\"api_key\":\"k\",\"base_url\":\"https://b.example\"}");
    }
    fixture_pool_publish(&fixture);
    reader = fixture_pool_reader(&fixture);
    use_rules(RULES);
}

static void setup(void) {
    begin(STRATEGY_PRIORITY, true);
}

static void teardown(void) {
    kb_close(reader);
    fixture_pool_deinit(&fixture);
}

TestSuite(report_http, .init = setup, .fini = teardown, .timeout = 60);

static kb_verdict report(uint64_t id, int status, const char *headers, const char *body) {
    kb_http_response response = KB_HTTP_RESPONSE_INIT;
    response.status = status;
    response.headers = headers;
    response.body = body;
    response.body_len = body ? strlen(body) : 0;
    info = (kb_report_info)KB_REPORT_INFO_INIT;
    return kb_report_http(reader, (kb_ticket){ id, fixture.generation }, &response, &info);
}

static uint64_t next_id(void) {
    kb_attempt attempt = KB_ATTEMPT_INIT;
    const kb_key *key = kb_next(reader, &attempt);
    return key ? key->id : 0;
}

static int accept_one(int listener) {
    struct pollfd wait = { .fd = listener, .events = POLLIN };
    cr_assert_eq(poll(&wait, 1, 5000), 1, "nobody connected");
    int fd = accept(listener, NULL, NULL);
    cr_assert_geq(fd, 0);
    return fd;
}

static struct kb_report_message receive(int fd) {
    struct kb_report_message message = { 0 };
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    cr_assert_eq(poll(&wait, 1, 5000), 1, "no report came");
    cr_assert_eq(recv(fd, &message, sizeof message, 0), (ssize_t)sizeof message);
    return message;
}

static bool is_silent(int fd) {
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    return poll(&wait, 1, 0) == 0;
}

static const char QUOTA[] = "{\"error\":{\"message\":\"m\",\"code\":\"insufficient_quota\"}}";

Test(report_http, every_class_has_its_verdict) {
    cr_expect_eq(report(1, 200, NULL, "{}"), KB_OK);
    cr_expect_eq(report(1, 400, NULL, NULL), KB_GIVE_UP);
    cr_expect_eq(report(1, 404, NULL, NULL), KB_GIVE_UP);
    cr_expect_eq(report(1, 403, NULL, NULL), KB_NEXT_KEY);
    cr_expect_eq(kb_current(reader)->id, 1, "a forbidden request is the request's affair");
    cr_expect_eq(report(1, 429, NULL, QUOTA), KB_NEXT_KEY);
    cr_expect_eq(kb_current(reader)->id, 2);
    cr_expect_eq(report(2, 401, NULL, NULL), KB_NEXT_KEY);
    cr_expect_eq(kb_current(reader)->id, 3);
    cr_expect_eq(report(3, 429, NULL, NULL), KB_NEXT_KEY);
    cr_expect_eq(kb_current(reader)->id, 4);
    cr_expect_eq(report(4, 500, NULL, NULL), KB_RETRY_LATER, "all others are skipped");
    cr_expect_eq(report(4, 0, NULL, NULL), KB_RETRY_LATER);
    cr_expect_eq(kb_current(reader)->id, 4);
}

Test(report_http, the_broker_is_told_class_scope_status_code_and_wait) {
    int listener = fixture_pool_listen(&fixture);
    cr_assert_eq(report(1, 429, "retry-after: 7\r\n", QUOTA), KB_NEXT_KEY);
    cr_assert_eq(info.outcome, KB_QUOTA);
    cr_assert_eq(info.scope, KB_CONCERNS_ACCOUNT);
    cr_assert_eq(info.wait_ms, 7000);
    cr_assert_str_eq(info.code, "insufficient_quota");
    cr_assert(info.sent && !info.queued && !info.stale && !info.guarded);
    int fd = accept_one(listener);
    struct kb_report_message message = receive(fd);
    cr_assert_eq(message.size, sizeof message);
    cr_assert_eq(message.type, KB_REPORT_OUTCOME);
    cr_assert_eq(message.key_id, 1);
    cr_assert_eq(message.generation, fixture.generation);
    cr_assert_eq(message.outcome, KB_QUOTA);
    cr_assert_eq(message.scope, KB_SCOPE_ACCOUNT);
    cr_assert_eq(message.http_status, 429);
    cr_assert_eq(message.hint_ms, 7000);
    cr_assert_eq(message.count, 1);
    cr_assert_str_eq(message.vendor_code, "insufficient_quota");
    report(1, 404, NULL, NULL);
    report(1, 200, NULL, NULL);
    cr_assert(is_silent(fd), "neither mistakes nor successes are the broker's business");
    report(2, 503, NULL, NULL);
    message = receive(fd);
    cr_assert_eq(message.outcome, KB_OVERLOAD);
    cr_assert_eq(message.scope, KB_SCOPE_DEFAULT, "no rule: the vendor's usual scope");
    cr_assert_eq(info.scope, KB_CONCERNS_ENDPOINT);
    cr_assert_eq(message.hint_ms, KB_NO_HINT);
    report(2, 0, NULL, NULL);
    message = receive(fd);
    cr_assert_eq(message.outcome, KB_NETWORK);
    cr_assert_eq(message.http_status, 0);
    close(fd);
    close(listener);
}

Test(report_http, a_report_that_nobody_hears_is_queued_and_a_late_one_stale) {
    report(1, 429, NULL, NULL);
    cr_assert(info.queued && !info.sent && !info.stale);
    fixture.entries[1].valid_since = fixture.generation + 1;
    fixture_pool_set_silently(&fixture, 1, KB_STATUS_NORMAL, 0);
    report(2, 401, NULL, NULL);
    cr_assert(info.stale);
    board_set_flags(&fixture.board, KB_BOARD_GUARDED);
    cr_assert_eq(report(3, 401, NULL, NULL), KB_NEXT_KEY, "there are others");
    cr_assert(info.guarded);
}

Test(report_http, the_callers_struct_is_filled_up_to_its_size) {
    kb_http_response response = KB_HTTP_RESPONSE_INIT;
    response.status = 401;
    kb_ticket ticket = { 1, fixture.generation };
    struct {
        kb_report_info info;
        char canary;
    } room;
    memset(&room, 0x55, sizeof room);
    room.info.size = offsetof(kb_report_info, wait_ms);
    cr_assert_eq(kb_report_http(reader, ticket, &response, &room.info), KB_NEXT_KEY);
    cr_assert_eq(room.info.outcome, KB_INVALID);
    cr_assert_eq(room.info.scope, KB_CONCERNS_KEY);
    cr_assert_eq(room.info.size, offsetof(kb_report_info, wait_ms));
    cr_assert_eq(room.info.wait_ms, UINT64_C(0x5555555555555555));
    room.info.size = sizeof room.info + 1;
    cr_assert_eq(kb_report_http(reader, ticket, &response, &room.info), KB_NEXT_KEY);
    cr_assert_eq(room.canary, 0x55);
    cr_assert_eq(kb_report_http(reader, ticket, &response, NULL), KB_NEXT_KEY);
}

Test(report_http, what_cannot_be_asked_gives_up) {
    kb_http_response response = KB_HTTP_RESPONSE_INIT;
    kb_ticket ticket = { 1, fixture.generation };
    response.status = 401;
    cr_assert_eq(kb_report_http(NULL, ticket, &response, NULL), KB_GIVE_UP);
    cr_assert_eq(kb_report_http(reader, ticket, NULL, NULL), KB_GIVE_UP);
    cr_assert_eq(kb_report_http(reader, (kb_ticket){ 0 }, &response, NULL), KB_GIVE_UP);
    response.size = 4;
    cr_assert_eq(kb_report_http(reader, ticket, &response, NULL), KB_GIVE_UP);
    cr_assert_eq(kb_current(reader)->id, 1);
}

Test(report_http, without_rules_the_status_decides) {
    use_rules(NULL);
    cr_assert_eq(report(1, 429, NULL, QUOTA), KB_NEXT_KEY);
    cr_assert_eq(info.outcome, KB_RATE);
    cr_assert_str_eq(info.code, "insufficient_quota");
}

Test(report_http, a_new_catalogs_rules_reach_a_running_reader) {
    fixture_pool_publish(&fixture);
    kb_current(reader);
    cr_assert_not_null(reader->catalog->rules, "the pool's vendor has rules");
    report(1, 429, NULL, QUOTA);
    cr_assert_eq(info.outcome, KB_QUOTA);
}

Test(report_http, an_error_behind_a_good_status_is_one_whatever_the_rules_say_of_200) {
    static const char BODY[] = "{\"error\":{\"code\":429,\"message\":\"m\"}}";
    cr_assert_eq(report(1, 200, "retry-after: 3", BODY), KB_NEXT_KEY);
    cr_assert_eq(info.outcome, KB_RATE, "as with status 429");
    cr_assert_eq(info.scope, KB_CONCERNS_ACCOUNT);
    cr_assert_eq(info.wait_ms, 3000);
    cr_assert_str_eq(info.code, "429");
    use_rules("200 code=429 quota key\n429 rate account\n");
    cr_assert_eq(report(2, 200, "retry-after: 3", BODY), KB_NEXT_KEY);
    cr_assert_eq(info.outcome, KB_QUOTA, "a rule for 200 goes before");
    use_rules("2xx success\n429 rate account\n");
    cr_assert_eq(report(3, 200, NULL, BODY), KB_OK, "an operator may say that it is none");
    use_rules(NULL);
    report(3, 200, NULL, BODY);
    cr_assert_eq(info.outcome, KB_RATE);
    cr_assert_eq(report(4, 200, NULL, "{\"choices\":[]}"), KB_OK);
    cr_assert_str_eq(info.code, "");
}

/* All that may not be looked at lies in pages that nobody may touch: looking would end the test. */
Test(report_http, of_a_good_answer_only_the_bodys_beginning_and_what_ends_it_are_touched) {
    enum { SIZE = 1 << 20 };
    char *body = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(body != MAP_FAILED && closed != MAP_FAILED);
    static const char BEGIN[] = "data: {\"error\":null,\"x\":\"";
    static const char END[] = "\n\ndata: {\"error\":{\"code\":\"rate_limit_exceeded\"}}\n\n";
    memset(body, 'x', SIZE);
    memcpy(body, BEGIN, sizeof BEGIN - 1);
    memcpy(body + SIZE - sizeof END + 1, END, sizeof END - 1);
    cr_assert_eq(
        mprotect(body + KBI_GOOD_LOOK, SIZE - 2 * KBI_GOOD_LOOK - KBI_LOOK_BACK, PROT_NONE), 0);
    kb_http_response response = KB_HTTP_RESPONSE_INIT;
    response.status = 200;
    response.body = body;
    response.body_len = SIZE;
    kb_ticket ticket = { 1, fixture.generation };
    cr_assert_eq(kb_report_http(reader, ticket, &response, NULL), KB_NEXT_KEY, "the last event");
    memset(body + SIZE - sizeof END, 'x', sizeof END);
    response.headers = closed;
    cr_assert_eq(kb_report_http(reader, ticket, &response, NULL), KB_OK);
    memset(body, ' ', KBI_GOOD_LOOK);
    cr_assert_eq(kb_report_http(reader, ticket, &response, NULL), KB_OK, "nothing but blanks");
    response.status = 0;
    response.body = closed;
    cr_assert_eq(kb_report_http(reader, ticket, &response, NULL), KB_NEXT_KEY);
    munmap(body, SIZE);
    munmap(closed, 4096);
}

Test(report_http, another_endpoint_is_worth_a_try) {
    cr_assert_eq(report(1, 503, NULL, NULL), KB_NEXT_KEY);
    cr_assert_eq(next_id(), 3, "the failed endpoint's keys come last");
    cr_assert_eq(report(3, 0, NULL, NULL), KB_RETRY_LATER, "now both have failed");
    cr_assert_eq(next_id(), 1, "in trouble is better than none");
}

Test(report_http, a_classified_outage_is_judged_alike) {
    kb_ticket first = { 1, fixture.generation };
    cr_assert_eq(kb_report(reader, first, KB_NETWORK, 0), KB_NEXT_KEY);
    cr_assert_eq(next_id(), 3);
    fixture_pool_set(&fixture, 2, KB_STATUS_DISABLED, 0);
    fixture_pool_set(&fixture, 3, KB_STATUS_COOLING, 0);
    cr_assert_eq(kb_report(reader, first, KB_OVERLOAD, 0), KB_RETRY_LATER, "no usable key there");
}

Test(report_http, keys_at_an_endpoint_in_trouble_are_tried_after_all_others) {
    report(1, 503, NULL, NULL);
    static const uint64_t ORDER[] = { 3, 4, 1, 2 };
    kb_attempt attempt = KB_ATTEMPT_INIT;
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(kb_next(reader, &attempt)->id, ORDER[i], "try %d", i);
    cr_assert_null(kb_next(reader, &attempt));
    cr_assert_eq(kb_last_error(reader), KB_ETRIED);
    kb_attempt pinned = KB_ATTEMPT_INIT;
    pinned.pin_key = 2;
    cr_assert_eq(kb_next(reader, &pinned)->id, 2, "a pin is stronger");
}

Test(report_http, a_worker_that_only_asks_for_the_current_key_leaves_a_dead_endpoint) {
    cr_assert_eq(kb_current(reader)->id, 1);
    cr_assert_eq(report(1, 0, NULL, NULL), KB_NEXT_KEY);
    cr_assert_eq(kb_current(reader)->id, 3, "with no broker to ask");
    cr_assert_eq(kb_current(reader)->id, 3);
    fixture_pool_announce(&fixture);
    cr_assert_eq(kb_current(reader)->id, 3, "the broker's own choice knows nothing of it");
    fixture_pool_set(&fixture, 2, KB_STATUS_ERROR, 0);
    cr_assert_eq(kb_current(reader)->id, 4);
    cr_assert_eq(report(4, 503, NULL, NULL), KB_RETRY_LATER);
    cr_assert_eq(kb_current(reader)->id, 1, "in trouble is better than none");
    report(1, 200, NULL, NULL);
    cr_assert_eq(kb_current(reader)->id, 1, "and it works again");
    fixture_pool_set(&fixture, 0, KB_STATUS_ERROR, 0);
    cr_assert_eq(kb_current(reader)->id, 2);
    fixture_pool_set(&fixture, 1, KB_STATUS_ERROR, 0);
    cr_assert_eq(kb_current(reader)->id, 4, "the last one left");
}

Test(report_http, the_current_key_goes_back_when_the_trouble_is_over) {
    cr_assert_eq(report(1, 0, NULL, NULL), KB_NEXT_KEY);
    cr_assert_eq(kb_current(reader)->id, 3);
    cr_assert_eq(reader->valid_until_ms, reader->troubles.until_ms);
    cr_assert_eq(report(3, 0, NULL, NULL), KB_RETRY_LATER);
    cr_assert_eq(kb_current(reader)->id, 1);
    /* As if ten seconds had passed for the second endpoint. */
    reader->troubles.troubles[1].until_ms = 1;
    kbi_reader_stir(reader);
    cr_assert_eq(kb_current(reader)->id, 3);
}

Test(report_http, trouble_ends_after_ten_seconds) {
    uint64_t now_ms = fixture_now_ms();
    report(1, 503, NULL, NULL);
    uint64_t until_ms = reader->troubles.until_ms;
    cr_assert(until_ms >= now_ms + 10000 && until_ms <= fixture_now_ms() + 10000);
    uint64_t endpoint = kbi_catalog_endpoint(reader->catalog, 1);
    cr_assert(kbi_trouble_until(&reader->troubles, endpoint, until_ms - 1));
    cr_assert_not(kbi_trouble_until(&reader->troubles, endpoint, until_ms));
}

Test(report_http, a_success_ends_trouble_and_is_told_once) {
    int listener = fixture_pool_listen(&fixture);
    report(1, 503, NULL, NULL);
    int fd = accept_one(listener);
    cr_assert_eq(receive(fd).outcome, KB_OVERLOAD);
    report(3, 200, NULL, NULL);
    cr_assert(is_silent(fd), "that endpoint is not in trouble");
    report(2, 200, NULL, NULL);
    struct kb_report_message message = receive(fd);
    cr_assert_eq(message.outcome, KB_SUCCESS);
    cr_assert_eq(message.key_id, 2);
    cr_assert_eq(next_id(), 1);
    report(2, 200, NULL, NULL);
    report(1, 200, NULL, NULL);
    cr_assert(is_silent(fd));
    report(1, 503, NULL, NULL);
    cr_assert_eq(receive(fd).outcome, KB_OVERLOAD);
    report(2, 200, NULL, NULL);
    cr_assert(is_silent(fd), "not twice within 100 ms");
    close(fd);
    close(listener);
}

Test(report_http, a_success_is_told_when_another_workers_failures_are_in_doubt) {
    int listener = fixture_pool_listen(&fixture);
    report(1, 200, NULL, NULL);
    cr_assert_eq(poll(&(struct pollfd){ .fd = listener, .events = POLLIN }, 1, 0), 0);
    board_set_flags(&fixture.board, KB_BOARD_DOUBTED);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(report(1, 200, NULL, NULL), KB_OK);
    int fd = accept_one(listener);
    struct kb_report_message message = receive(fd);
    cr_assert_eq(message.outcome, KB_SUCCESS);
    cr_assert_eq(message.key_id, 1);
    cr_assert_eq(message.count, 1);
    board_set_flags(&fixture.board, 0);
    fixture_sleep_ms(110);
    while (!is_silent(fd)) /* 50 calls may take longer than 100 ms on a busy machine */
        receive(fd);
    report(1, 200, NULL, NULL);
    cr_assert(is_silent(fd), "nobody asks any more");
    close(fd);
    close(listener);
}

Test(report_http, the_table_of_troubles_is_bounded) {
    struct troubles troubles = { 0 };
    for (uint64_t endpoint = 1; endpoint <= KBI_TROUBLES + 1; endpoint++)
        kbi_trouble_add(&troubles, endpoint, 1000 * endpoint);
    cr_assert_not(kbi_trouble_until(&troubles, 1, 1), "the first to end gave way");
    for (uint64_t endpoint = 2; endpoint <= KBI_TROUBLES + 1; endpoint++)
        cr_assert(kbi_trouble_until(&troubles, endpoint, 1000 * endpoint));
    kbi_trouble_clear(&troubles, KBI_TROUBLES + 1);
    cr_assert_eq(troubles.until_ms, 1000 * KBI_TROUBLES + KBI_TROUBLE_MS);
}

static void spread_setup(void) {
    begin(STRATEGY_SPREAD, true);
}

Test(report_http_spread, trouble_is_left_out_of_the_shares, .init = spread_setup, .fini = teardown,
     .timeout = 60) {
    cr_assert_eq(report(1, 503, NULL, NULL), KB_NEXT_KEY);
    for (int i = 0; i < 200; i++)
        cr_assert_geq(next_id(), 3);
    for (int i = 0; i < 200; i++)
        cr_assert_geq(kb_current(reader)->id, 3);
    kb_attempt attempt = KB_ATTEMPT_INIT;
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(kb_next(reader, &attempt)->id >= 3, i < 2);
    cr_assert_eq(report(3, 503, NULL, NULL), KB_RETRY_LATER);
    unsigned counts[KEYS + 1] = { 0 };
    for (int i = 0; i < 400; i++)
        counts[kb_current(reader)->id]++;
    for (int i = 1; i <= KEYS; i++)
        cr_assert_gt(counts[i], 20, "all in trouble: all share again");
}

static void one_endpoint_setup(void) {
    begin(STRATEGY_PRIORITY, false);
}

Test(report_http_alone, with_one_endpoint_an_outage_means_patience, .init = one_endpoint_setup,
     .fini = teardown, .timeout = 60) {
    cr_assert_eq(report(1, 503, NULL, NULL), KB_RETRY_LATER);
    cr_assert_eq(report(1, 0, NULL, NULL), KB_RETRY_LATER);
    cr_assert_eq(next_id(), 1);
    cr_assert_eq(kb_current(reader)->id, 1);
    cr_assert_eq(reader->valid_until_ms, KBI_NEVER, "there is nothing to come back to");
    kb_close(reader);
    reader = fixture_pool_reader(&fixture);
    board_set_flags(&fixture.board, KB_BOARD_DOUBTED);
    report(1, 200, NULL, NULL);
    cr_assert(!info.sent && !info.queued, "it would not matter: no endpoint can be left");
}

Test(report_http, random_answers_are_survived_and_mistakes_cost_nothing) {
    struct seed seed = seed_begin("random_answers_are_survived_and_mistakes_cost_nothing");
    use_rules("4xx any=a quota\n* message=quota rate\n2xx code=4* request\n");
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    cr_assert_eq(mprotect(memory + page, page, PROT_NONE), 0);
    static const char *const PARTS[] = { "{\"error\":", "{",      "}",  "\"code\":",    "\"a\"",
                                         "[",           "]",      ",",  "\"message\":", "\"quota\"",
                                         "402",         "data: ", "\n", "\"",           "\\",
                                         "\xff",        " " };
    for (int round = 0; round < 20000; round++) {
        char text[200] = "", block[200] = "";
        for (uint64_t n = seed_below(&seed, 12); n > 0; n--)
            strcat(text, PARTS[seed_below(&seed, sizeof PARTS / sizeof *PARTS)]);
        for (uint64_t n = seed_below(&seed, 4); n > 0; n--)
            strcat(block, PARTS[seed_below(&seed, sizeof PARTS / sizeof *PARTS)]);
        kb_http_response response = KB_HTTP_RESPONSE_INIT;
        response.status = (int)seed_below(&seed, 620) - 10;
        response.headers = block;
        response.body_len = strlen(text);
        response.body = memory + page - response.body_len;
        memcpy(memory + page - response.body_len, text, response.body_len);
        kb_ticket ticket = { 1 + seed_below(&seed, KEYS), fixture.generation };
        kb_report_info one = KB_REPORT_INFO_INIT, two = KB_REPORT_INFO_INIT;
        uint32_t skips = reader->skips.count, queued = reader->reporter.count;
        kb_verdict verdict = kb_report_http(reader, ticket, &response, &one);
        if (one.outcome == KB_REQUEST) {
            cr_assert_eq(verdict, KB_GIVE_UP);
            cr_assert(reader->skips.count == skips && reader->reporter.count == queued);
        }
        kb_report_http(reader, ticket, &response, &two);
        cr_assert(one.outcome == two.outcome && one.scope == two.scope &&
                  strcmp(one.code, two.code) == 0);
    }
    munmap(memory, 2 * page);
}
