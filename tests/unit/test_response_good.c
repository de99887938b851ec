/*
 * Errors behind HTTP 200: found in each of their places, as a whole body or in any event of a
 * stream, and not in what only speaks of errors.
 */
#include "client/body.h"
#include "client/response.h"

#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

static struct kbi_response response;

static void take(const char *body, size_t length) {
    kb_http_response raw = KB_HTTP_RESPONSE_INIT;
    raw.status = 200;
    raw.body = body;
    raw.body_len = length;
    kbi_response_init(&response, &raw, true);
}

static void drop(void) {
    kbi_response_deinit(&response);
}

TestSuite(response_good, .fini = drop, .timeout = 60);

static const char *shown(const char *text) {
    return text ? text : "-";
}

static void expect_hidden(const char *body, const char *code, int status) {
    take(body, strlen(body));
    cr_expect_eq(response.hidden_status, status, "%s: %d", body, response.hidden_status);
    cr_expect_str_eq(shown(response.error.code), code, "%s", body);
    drop();
}

Test(response_good, an_error_behind_a_good_status_is_found_in_its_places) {
    expect_hidden("{\"error\":{\"code\":402}}", "402", 402);
    expect_hidden("{\"id\":\"x\",\"choices\":[{},{\"error\":{\"code\":502}}]}", "502", 502);
    expect_hidden("{\"choices\":null,\"base_resp\":{\"status_code\":1008,\"status_msg\":"
                  "\"insufficient balance\"}}",
                  "1008", 402);
    expect_hidden("{\"base_resp\":{\"status_code\":1002,\"status_msg\":\"rate limit\"}}", "1002",
                  429);
    expect_hidden("{\"base_resp\":{\"status_code\":1004}}", "1004", 401);
    expect_hidden("{\"base_resp\":{\"status_code\":1234}}", "1234", 500);
    expect_hidden("{\"status\":\"failed\",\"error\":{\"code\":\"server_error\"}}", "server_error",
                  500);
    expect_hidden("{\"error\":\"it went wrong\"}", "-", 500);
    expect_hidden("{\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\"}",
                  "rate_limit_exceeded", 429);
    expect_hidden("[{\"candidates\":[]},\n{\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\"}}]",
                  "503", 503);
    expect_hidden("{\"message\":{\"content\":\"a\"}}\n{\"error\":{\"code\":\"slow_down\"}}\n",
                  "slow_down", 429);
    expect_hidden("[{\n  \"candidates\": []\n}\n,\n{\n  \"error\": {\n    \"code\": 429\n  }\n}\n]",
                  "429", 429);
}

Test(response_good, an_error_in_a_stream_is_found_in_any_event) {
    expect_hidden(
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
        "-", 529);
    expect_hidden("data: {\"choices\":[]}\n\ndata: {\"choices\":[{\"error\":{\"code\":429}}]}\n\n",
                  "429", 429);
    expect_hidden(
        "event: response.failed\r\ndata: {\"type\":\"response.failed\",\"response\":{\"error\":"
        "{\"code\":\"server_is_overloaded\"}}}\r\n\r\n",
        "server_is_overloaded", 500);
    expect_hidden(
        "id:1\nevent:error\n:HTTP_STATUS/429\ndata:{\"code\":\"Throttling\",\"message\":\"m\"}\n\n",
        "Throttling", 429);
    expect_hidden("event:error\n:HTTP_STATUS/400\ndata:{\"code\":\"DataInspectionFailed\"}\n\n",
                  "DataInspectionFailed", 400);
    expect_hidden("data: {}\n\ndata: {\"error\":{\"code\":\"slow_down\"}}\n\ndata: [DONE]\n\n",
                  "slow_down", 429);
    expect_hidden("data: {\"error\":null}\n\ndata: {\"error\":{\"code\":502,\"mess", "502", 502);
    expect_hidden("\"code\":1}}\ndata: {\"error\":{\"code\":502}}\n\n", "502", 502);
}

Test(response_good, a_good_answer_that_speaks_of_errors_is_none) {
    static const char *const BODIES[] = {
        "{\"error\":null,\"output\":\"{\\\"error\\\":{\\\"code\\\":402}}\"}",
        "{\"error\":{},\"choices\":[{\"error\":null}]}",
        "{\"error\":\"\",\"choices\":[]}",
        "{\"error\":{\"message\":\"\",\"type\":\"\",\"param\":\"\",\"code\":null},\"choices\":[]}",
        "{\"error\":{\"code\":0}}",
        "{\"error\":{\"code\":200}}",
        "{\"error\":false}",
        "{\"base_resp\":{\"status_code\":0,\"status_msg\":\"success\"}}",
        "{\"base_resp\":null}",
        "{\"choices\":[{\"delta\":{\"error\":{\"code\":402}}}]}",
        "{\"output\":[{\"error\":{\"code\":402}}],\"tool\":{\"error\":{\"code\":402}}}",
        "{\"type\":\"message\",\"code\":\"insufficient_quota\",\"message\":\"error\"}",
        "data: {\"delta\":\"\\ndata: {\\\"error\\\":{\\\"code\\\":402}}\"}\n\n",
        "event: message\ndata: {\"code\":\"insufficient_quota\"}\n\n",
        "event: errors\ndata: {\"code\":\"insufficient_quota\"}\n\n",
        "event: error\n\ndata: {\"code\":\"insufficient_quota\"}\n\n",
        "{\n\"a\": [\n{\n\"error\": {\"code\": 402}\n}\n]\n}",
        "<html>{\"error\":{\"code\":402}}</html>",
        "error",
        "",
    };
    for (size_t i = 0; i < sizeof BODIES / sizeof *BODIES; i++)
        expect_hidden(BODIES[i], "-", 0);
}

Test(response_good, names_stand_for_the_status_that_vendors_send_with_them) {
    static const struct {
        const char *error;
        int status;
    } CASES[] = {
        { "\"code\":\"429\"", 429 },
        { "\"code\":403,\"type\":\"rate_limit_error\"", 403 },
        { "\"status\":503", 503 },
        { "\"code\":\"insufficient_quota\"", 429 },
        { "\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\"", 429 },
        { "\"type\":\"authentication_error\"", 401 },
        { "\"type\":\"permission_error\"", 403 },
        { "\"type\":\"billing_error\"", 402 },
        { "\"type\":\"not_found_error\"", 404 },
        { "\"type\":\"api_error\"", 500 },
        { "\"code\":\"invalid_prompt\"", 400 },
        { "\"code\":\"invalid_api_key\",\"type\":\"invalid_request_error\"", 401 },
        { "\"code\":\"engine_overloaded\",\"type\":\"invalid_request_error\"", 503 },
        { "\"status\":\"RESOURCE_EXHAUSTED\"", 429 },
        { "\"status\":\"INVALID_ARGUMENT\"", 400 },
        { "\"code\":7,\"message\":\"m\"", 500 },
        { "\"code\":\"what_nobody_knows\"", 500 },
        { "\"metadata\":{\"error_type\":\"rate_limit_exceeded\"}", 429 },
        { "\"code\":\"insufficient_user_quota\"", 402 },
        { "\"code\":\"Arrearage\"", 402 },
        { "\"type\":\"budget_exceeded\"", 429 },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"error\":{%s}}", CASES[i].error);
        take(body, strlen(body));
        cr_expect_eq(response.hidden_status, CASES[i].status, "%s: %d", body,
                     response.hidden_status);
        drop();
    }
}

/* A body that is built up; wherever it ends it may be taken. */
static char long_body[40 * KBI_GOOD_LOOK];
static size_t long_length;

static void append(const char *text) {
    size_t length = strlen(text);
    cr_assert_lt(long_length + length, sizeof long_body);
    memcpy(long_body + long_length, text, length);
    long_length += length;
}

/* Between them as many bytes as it takes. */
static void append_padded(const char *begin, size_t bytes, const char *end) {
    append(begin);
    cr_assert_lt(long_length + bytes, sizeof long_body);
    memset(long_body + long_length, 'x', bytes);
    long_length += bytes;
    append(end);
}

/* All that such an error says is there: a part of it would be judged otherwise. */
static void expect_all_of_it(const char *about, size_t number) {
    take(long_body, long_length);
    cr_assert_eq(response.hidden_status, 429, "%s %zu: %d", about, number, response.hidden_status);
    cr_assert_str_eq(shown(response.error.message), "m", "%s %zu", about, number);
    cr_assert_str_eq(shown(response.error.type), "requests", "%s %zu", about, number);
    cr_assert_str_eq(shown(response.error.code), "slow_down", "%s %zu", about, number);
    drop();
}

#define AN_ERROR "\"error\":{\"message\":\"m\",\"type\":\"requests\",\"code\":\"slow_down\"}"

/* Wherever the border of what is looked at falls. */
Test(response_good, a_streams_last_event_is_found_whole_however_long_the_stream_is) {
    static const char CHUNK[] = "data: {\"choices\":[{\"delta\":{\"content\":\"word \"}}]}\n\n";
    static const char LAST[] = "event: error\ndata: {" AN_ERROR "}\n\n";
    long_length = 0;
    while (long_length < (size_t)4 * KBI_GOOD_LOOK) {
        size_t before = long_length;
        append(LAST);
        expect_all_of_it("behind", before);
        long_length = before;
        append(CHUNK);
    }
    take(long_body, long_length);
    cr_assert_eq(response.hidden_status, 0);
}

Test(response_good, an_error_on_the_borders_of_what_is_looked_at_is_not_judged_by_its_half) {
    for (size_t before = KBI_GOOD_LOOK - 200; before < KBI_GOOD_LOOK; before++) {
        for (size_t behind = 0; behind <= (size_t)2 * KBI_GOOD_LOOK;
             behind += KBI_GOOD_LOOK - 128) {
            long_length = 0;
            append_padded("data: {\"x\":\"", before - 16, "\"}\n\ndata: {" AN_ERROR "}\n\n");
            append_padded("data: {\"x\":\"", behind, "\"}\n\n");
            take(long_body, long_length);
            bool found = response.hidden_status != 0;
            drop();
            if (found)
                expect_all_of_it("before", before);
            else
                cr_assert_gt(behind, KBI_GOOD_LOOK,
                             "only what is far from the end is not looked at");
        }
    }
}

Test(response_good, fields_of_an_event_on_the_border_belong_to_it) {
    for (size_t behind = KBI_GOOD_LOOK - 150; behind < KBI_GOOD_LOOK - 20; behind++) {
        long_length = 0;
        append_padded("data: {\"x\":\"", (size_t)3 * KBI_GOOD_LOOK, "\"}\n\n");
        append(
            "id: 1\nevent: error\n:HTTP_STATUS/429\ndata: {\"message\":\"m\",\"type\":\"requests\","
            "\"code\":\"slow_down\"}\n\n");
        append_padded("data: {\"x\":\"", behind, "\"}\n\n");
        expect_all_of_it("behind it", behind);
    }
}

/* OpenAI's repeat the request: its instructions and tools. */
Test(response_good, an_event_that_is_longer_than_what_is_looked_at_is_found_by_its_beginning) {
    static const size_t SIZES[] = { 100, 15000, 16384, 20480, 33000, 50000, 100000, 250000 };
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        for (size_t j = 0; j < sizeof SIZES / sizeof *SIZES; j++) {
            long_length = 0;
            append_padded(
                "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{"
                "\"error\":null,\"instructions\":\"",
                SIZES[i], "\"}}\n\n");
            append_padded(
                "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{"
                "\"status\":\"failed\"," AN_ERROR ",\"instructions\":\"",
                SIZES[j], "\",\"output\":[]}}\n\n");
            expect_all_of_it("of", SIZES[j]);
            append("data: [DONE]\n\n");
            expect_all_of_it("before the last of", SIZES[j]);
        }
    }
}

Test(response_good, a_line_of_json_that_is_longer_than_what_is_looked_at_is_found_too) {
    long_length = 0;
    append_padded("{\"x\":\"", 20480, "\"}\n");
    append_padded("{" AN_ERROR ",\"x\":\"", 40960, "\"}\n");
    expect_all_of_it("a line", 0);
    long_length = 0;
    append_padded("{\"x\":\"", 20480, "\"," AN_ERROR "}");
    expect_all_of_it("all of a body", long_length);
}

/* Many vendors' chunks say with an empty object that there is no error. */
Test(response_good, a_streams_last_event_is_found_behind_any_number_of_empty_errors) {
    static const char *const EMPTY[] = { "{}", "\"\"", "{\"code\":0,\"message\":\"\"}" };
    for (size_t i = 0; i < sizeof EMPTY / sizeof *EMPTY; i++) {
        char chunk[64];
        long_length = 0;
        snprintf(chunk, sizeof chunk, "data: {\"error\":%s}\n\n", EMPTY[i]);
        for (size_t count = 0; count < 2000; count++) {
            size_t before = long_length;
            append("data: {" AN_ERROR "}\n\n");
            expect_all_of_it("chunks", count);
            long_length = before;
            append(chunk);
        }
        take(long_body, long_length);
        cr_assert_eq(response.hidden_status, 0);
        drop();
    }
}

Test(response_good, of_a_good_answer_only_the_error_member_is_read) {
    const char *good = "{\"type\":\"message\",\"status\":\"completed\",\"message\":\"quota\","
                       "\"code\":\"insufficient_quota\",\"error\":null}";
    take(good, strlen(good));
    cr_assert_null(response.error.code);
    cr_assert_null(response.error.type);
    cr_assert_null(response.error.status);
    cr_assert_null(response.error.message);
    drop();
    const char *hidden = "{\"id\":\"x\",\"error\":{\"code\":402,\"message\":\"no credits\"}}";
    take(hidden, strlen(hidden));
    cr_assert_str_eq(response.error.code, "402");
}
