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

/* Wherever the border of what is looked at falls. */
Test(response_good, a_streams_last_event_is_found_however_long_the_stream_is) {
    static const char CHUNK[] = "data: {\"choices\":[{\"delta\":{\"content\":\"word \"}}]}\n\n";
    static const char LAST[] = "event: error\ndata: {\"error\":{\"code\":\"slow_down\"}}\n\n";
    static char body[3 * KBI_GOOD_LOOK];
    size_t length = 0;
    while (length + sizeof CHUNK + sizeof LAST < sizeof body) {
        memcpy(body + length, LAST, sizeof LAST - 1);
        take(body, length + sizeof LAST - 1);
        cr_assert_eq(response.hidden_status, 429, "behind %zu bytes", length);
        drop();
        memcpy(body + length, CHUNK, sizeof CHUNK - 1);
        length += sizeof CHUNK - 1;
    }
    take(body, length);
    cr_assert_eq(response.hidden_status, 0);
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
