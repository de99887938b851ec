/*
 * Answers taken apart: header blocks in every shape that HTTP allows, and error objects wherever
 * vendors, gateways and proxies put them.
 */
#include "client/response.h"
#include "client/body.h"
#include "client/excerpt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "tests/support/seed.h"

static struct kbi_response response;

static void take(int status, const char *headers, const char *body, size_t length) {
    kb_http_response raw = KB_HTTP_RESPONSE_INIT;
    raw.status = status;
    raw.headers = headers;
    raw.body = body;
    raw.body_len = length;
    kbi_response_init(&response, &raw, true);
}

static void take_body(const char *body) {
    take(400, NULL, body, strlen(body));
}

static void drop(void) {
    kbi_response_deinit(&response);
}

TestSuite(response, .fini = drop, .timeout = 60);

static const char *header(const char *name) {
    static char value[KBI_HEADER_VALUE_MAX];
    uint32_t at = 0;
    return kbi_response_header(&response, name, &at, value) ? value : NULL;
}

static void expect_header(const char *block, const char *name, const char *expected) {
    take(400, block, NULL, 0);
    const char *value = header(name);
    if (expected)
        cr_assert(value && strcmp(value, expected) == 0, "%s of <%s>: %s", name, block,
                  value ? value : "none");
    else
        cr_assert_null(value, "%s of <%s>: %s", name, block, value);
}

Test(response, a_header_is_found_whatever_its_case_and_the_line_ends) {
    expect_header("HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\n\r\n", "retry-after", "7");
    expect_header("HTTP/2 429\nRETRY-AFTER:7\n", "retry-after", "7");
    expect_header("a: b\r\nretry-AFTER :\t 7 \t\r\n", "retry-after", "7");
    expect_header("retry-after: 7", "retry-after", "7");
    expect_header("retry-after: a:b", "retry-after", "a:b");
    expect_header("retry-after:", "retry-after", "");
    expect_header("x-retry-after: 7\r\nretry-after-ms: 8\r\n", "retry-after", NULL);
    expect_header("no colon here\r\nretry-after: 7\r\n", "retry-after", "7");
    expect_header(": 7\r\n", "", NULL);
    expect_header("", "retry-after", NULL);
    expect_header(NULL, "retry-after", NULL);
}

Test(response, a_folded_header_is_one_line) {
    expect_header("retry-after:\r\n 7\r\nx: y\r\n", "retry-after", "7");
    expect_header("date: Sun, 06\n\t Nov\n 1994\nx: y\n", "date", "Sun, 06 Nov 1994");
    expect_header("date: a\r\n  retry-after: 7\r\n", "retry-after", NULL);
    expect_header("date: a\r\n  retry-after: 7\r\n", "date", "a retry-after: 7");
    expect_header(" folded into nothing\r\nretry-after: 7\r\n", "retry-after", "7");
}

Test(response, duplicates_are_given_one_after_the_other) {
    static char huge[KBI_HEADER_VALUE_MAX + 100];
    char value[KBI_HEADER_VALUE_MAX] = "untouched";
    uint32_t at = 0;
    snprintf(huge, sizeof huge, "a: %0*d\r\nx: y\r\nA: 7\r\na:\r\n 8\r\n", KBI_HEADER_VALUE_MAX, 0);
    take(400, huge, NULL, 0);
    cr_assert(kbi_response_header(&response, "a", &at, value));
    cr_assert_str_eq(value, "7", "one that is too long is passed over");
    cr_assert(kbi_response_header(&response, "a", &at, value));
    cr_assert_str_eq(value, "8");
    cr_assert_not(kbi_response_header(&response, "a", &at, value));
    cr_assert_not(kbi_response_header(&response, "a", &at, value));
    cr_assert_str_eq(value, "8");
}

Test(response, the_last_of_several_answers_counts) {
    expect_header("HTTP/1.1 200 Connection established\r\nretry-after: 1\r\n\r\n"
                  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 No\r\nretry-after: 7\r\n\r\n",
                  "retry-after", "7");
    expect_header("HTTP/1.1 429 No\r\nretry-after: 7\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "retry-after",
                  NULL);
}

Test(response, a_value_that_is_too_long_is_absent) {
    char block[KBI_HEADER_VALUE_MAX + 40];
    for (int extra = 0; extra < 2; extra++) {
        int length = KBI_HEADER_VALUE_MAX - 1 + extra;
        snprintf(block, sizeof block, "x: %0*d\r\n", length, 0);
        take(400, block, NULL, 0);
        cr_assert_eq(header("x") != NULL, extra == 0);
    }
}

Test(response, many_headers_are_cut_off) {
    static char block[20000];
    size_t length = 0;
    for (int i = 0; i < 1000; i++)
        length += (size_t)snprintf(block + length, sizeof block - length, "h%d: %d\r\n", i, i);
    take(400, block, NULL, 0);
    cr_assert_str_eq(header("h63"), "63");
    cr_assert_null(header("h64"));
}

/* ---- bodies ---- */

static const char *shown(const char *text) {
    return text ? text : "-";
}

static void expect(const char *body, const char *code, const char *type, const char *status,
                   const char *message) {
    const struct kbi_error_fields *error = &response.error;
    take_body(body);
    cr_assert_str_eq(shown(error->code), code, "code of %s", body);
    cr_assert_str_eq(shown(error->type), type, "type of %s", body);
    cr_assert_str_eq(shown(error->status), status, "status of %s", body);
    cr_assert_str_eq(shown(error->message), message, "message of %s", body);
    kbi_response_deinit(&response);
}

Test(response, error_objects_are_found_where_vendors_put_them) {
    expect("{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":\"c\"}}", "c", "t", "-", "m");
    expect("{\"error\":{\"message\":\"m\",\"type\":null,\"code\":null}}", "-", "-", "-", "m");
    expect("{\"type\":\"error\",\"error\":{\"type\":\"t\",\"message\":\"m\"},\"request_id\":\"r\"}",
           "-", "t", "-", "m");
    expect("{\"error\":{\"code\":429,\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\"}}", "429",
           "-", "RESOURCE_EXHAUSTED", "m");
    expect("[{\"error\":{\"code\":400,\"status\":\"S\"}},{\"error\":{\"code\":1}}]", "400", "-",
           "S", "-");
    expect("{\"error\":\"text\",\"code\":\"c\"}", "c", "-", "-", "text");
    expect("{\"code\":\"c\",\"message\":\"m\",\"request_id\":\"r\"}", "c", "-", "-", "m");
    expect("{\"object\":\"error\",\"type\":\"t\",\"code\":\"3505\",\"message\":\"m\"}", "3505", "t",
           "-", "m");
    expect("{\"__type\":\"com.amazon.coral.service#AccessDeniedException\",\"message\":\"m\"}", "-",
           "AccessDeniedException", "-", "m");
    expect("{\"detail\":\"Unauthorized\"}", "-", "-", "-", "Unauthorized");
    expect("{\"errors\":[{\"code\":1000,\"message\":\"m\"}]}", "1000", "-", "-", "m");
    expect("\xef\xbb\xbf \r\n{\"error\":{\"code\":\"c\"}}\r\ntrailing", "c", "-", "-", "-");
}

Test(response, an_event_streams_first_data_is_the_body) {
    expect("data: {\"error\":{\"code\":\"c\"}}\n\ndata: {\"error\":{\"code\":\"d\"}}\n", "c", "-",
           "-", "-");
    expect(": PROCESSING\r\n\r\nid: 1\r\nevent: error\r\ndata:{\"error\":{\"code\":\"c\"}}\r\n",
           "c", "-", "-", "-");
    expect("data: [DONE]\n\ndata: {\"error\":{\"code\":\"c\"}}\n", "-", "-", "-", "-");
    expect("hello\ndata: {\"error\":{\"code\":\"c\"}}\n", "-", "-", "-", "-");
}

Test(response, reasons_come_from_details) {
    take_body("{\"error\":{\"code\":400,\"details\":[{\"@type\":\"type.googleapis.com/google.rpc."
              "ErrorInfo\",\"reason\":\"API_KEY_INVALID\"},{\"@type\":\"type.googleapis.com/"
              "google.rpc.RetryInfo\",\"retryDelay\":\"13s\"},7,null]}}");
    cr_assert_eq(response.error.reason_count, 1);
    cr_assert_str_eq(response.error.reasons[0], "API_KEY_INVALID");
    cr_assert_str_eq(response.error.retry_delay, "13s");
    drop();
    take_body("{\"error\":{\"code\":\"429\",\"innererror\":{\"code\":\"inner\"},"
              "\"metadata\":{\"provider_name\":\"p\",\"reason\":\"r\",\"raw\":\"{}\"}}}");
    cr_assert_eq(response.error.reason_count, 2);
    cr_assert_str_eq(response.error.reasons[0], "inner");
    cr_assert_str_eq(response.error.reasons[1], "r");
}

Test(response, more_reasons_than_there_is_room_for_are_left_out) {
    char body[2000] = "{\"error\":{\"details\":[";
    for (int i = 0; i < 40; i++)
        strcat(body, i ? ",{\"reason\":\"r\"}" : "{\"reason\":\"r\"}");
    strcat(body, "]}}");
    take_body(body);
    cr_assert_eq(response.error.reason_count, KBI_REASONS_MAX);
}

Test(response, what_is_no_error_object_has_no_fields) {
    static const char *const BODIES[] = {
        "",
        " ",
        "{",
        "[",
        "[]",
        "{}",
        "null",
        "true",
        "17",
        "\"insufficient_quota\"",
        "{\"error\":null}",
        "{\"error\":7}",
        "{\"error\":[]}",
        "{\"error\":{\"code\":{\"code\":\"c\"},\"type\":[\"t\"],\"status\":true,\"message\":7}}",
        "<html><body>{\"error\":{\"code\":\"insufficient_quota\"}}</body></html>",
        "\x1f\x8b\x08{\"error\":{\"code\":\"insufficient_quota\"}}",
        "{\"error\":{\"code\":\"insufficient_quota",
        "{\"error\":{\"code\":42",
        "{\"error\":{\"code\":",
        "{\"error\":{\"code\"",
        "{\"error\":{\"message\":\"\\\",\\\"code\\\":\\\"c\\\"",
        "{\"error\":{\"x\":\"{\\\"code\\\":\\\"c\\\"}",
        "{\"error\":{\"code\":1e999,\"message\":1}}",
        "{\"choices\":[{\"message\":{\"content\":\"{\\\"error\\\":{\\\"code\\\":\\\"c\\\"}}\"}}]}",
    };
    for (size_t i = 0; i < sizeof BODIES / sizeof *BODIES; i++)
        expect(BODIES[i], "-", "-", "-", "-");
}

Test(response, text_in_sixteen_bits_is_not_read) {
    static const char *const ASCII = "{\"code\":\"c\"}";
    static const char *const MARKS[] = { "", "\xff\xfe", "\xfe\xff" };
    for (size_t i = 0; i < sizeof MARKS / sizeof *MARKS; i++)
        for (size_t high = 0; high < 2; high++) {
            char body[100] = { 0 };
            size_t mark = strlen(MARKS[i]);
            memcpy(body, MARKS[i], mark);
            for (size_t k = 0; ASCII[k]; k++)
                body[mark + 2 * k + high] = ASCII[k];
            take(400, NULL, body, mark + 2 * strlen(ASCII));
            cr_assert_null(response.error.code, "%zu %zu", i, high);
            drop();
        }
}

Test(response, huge_numbers_do_not_spoil_the_rest) {
    expect("{\"n\":123456789012345678901234567890,\"error\":{\"code\":99999999999999999999999,"
           "\"type\":\"t\"}}",
           "-", "t", "-", "-");
    expect("{\"error\":{\"code\":402.5,\"type\":\"t\"}}", "-", "t", "-", "-");
    expect("{\"error\":{\"code\":-1,\"type\":\"t\"}}", "-1", "t", "-", "-");
}

Test(response, a_code_with_a_nul_in_it_is_none) {
    expect("{\"error\":{\"code\":\"c\\u0000\",\"type\":\"t\\u0000x\",\"message\":\"m\\u0000x\"}}",
           "-", "-", "-", "m");
}

Test(response, of_a_body_that_ends_early_what_was_whole_counts) {
    expect("{\"error\":{\"code\":\"c\",\"message\":\"cut o", "c", "-", "-", "-");
    expect("{\"error\":{\"code\":\"c\",\"message\":", "c", "-", "-", "-");
    expect("{\"error\":{\"code\":\"c\",\"mess", "c", "-", "-", "-");
    expect("{\"error\":{\"code\":\"c\",", "c", "-", "-", "-");
    expect("{\"error\":{\"code\":\"c\"", "c", "-", "-", "-");
    expect("{\"error\":{\"type\":\"t\",\"code\":42", "-", "t", "-", "-");
    expect("{\"x\":[1,2],\"code\":42,\"y\":[{\"z\":\"", "42", "-", "-", "-");
    expect("[{\"error\":{\"code\":\"c\"}},", "c", "-", "-", "-");
    expect("[{\"error\":{\"code\":\"c\",\"details\":[{\"reason\":\"r", "c", "-", "-", "-");
    expect("data: {\"error\":{\"code\":\"c\"},\"x\":", "c", "-", "-", "-");
    expect("{\"error\":{\"code\":\"c\"}", "c", "-", "-", "-");
    expect("{\"error\":{\"code\":\"c\"},]", "-", "-", "-", "-");
    expect("{\"error\":{\"code\":\"c\"}}}}", "c", "-", "-", "-");
}

Test(response, what_is_no_text_does_not_spoil_the_rest) {
    static const char *const MESSAGES[][2] = {
        { "\xff\xfe", "??" },
        { "a\xc3", "a?" },
        { "\xc0\xaf\xe0\x80\x80", "?????" },
        { "\xed\xa0\x80.", "???." },
        { "\xf4\x90\x80\x80\xf5", "?????" },
        { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "a\nb\tc\x01", "a?b?c?" },
        { "\\ud83d\\ude00", "\xf0\x9f\x98\x80" },
        { "\\ud83d", "?ud83d" },
        { "\\ud83d\\ud83d\\ude00", "?ud83d\xf0\x9f\x98\x80" },
        { "\\ude00", "?ude00" },
        { "\\u12", "?u12" },
        { "\\x41 \\/\\t", "?x41 /\t" },
    };
    for (size_t i = 0; i < sizeof MESSAGES / sizeof *MESSAGES; i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"message\":\"%s\",\"code\":\"c\"}", MESSAGES[i][0]);
        expect(body, "c", "-", "-", MESSAGES[i][1]);
    }
    take(400, NULL, "{\"message\":\"a\0b\",\"code\":\"c\"}", 31);
    cr_assert_str_eq(shown(response.error.code), "c");
    cr_assert_str_eq(shown(response.error.message), "a?b");
}

Test(response, no_message_hides_a_code) {
    static const char *const PARTS[] = { "\\",   "\\u",  "\\ud8", "\\udc00", "d83d", "/",    "\n",
                                         "\x01", "\xc3", "\xa9",  "\xf0",    "\x9f", "\xed", "{",
                                         "]",    ",",    "x",     "u",       "n",    "\xff", " " };
    struct seed seed = seed_begin("no_message_hides_a_code");
    for (int round = 0; round < 20000; round++) {
        char message[200] = "", body[300];
        for (uint64_t n = seed_below(&seed, 20); n > 0; n--)
            strcat(message, PARTS[seed_below(&seed, sizeof PARTS / sizeof *PARTS)]);
        snprintf(body, sizeof body, "{\"message\":\"%s.\",\"code\":\"c\"}", message);
        take_body(body);
        cr_assert_str_eq(shown(response.error.code), "c", "%s", body);
        drop();
    }
}

Test(response, of_members_that_come_twice_the_last_counts) {
    expect("{\"error\":{\"code\":\"a\",\"code\":\"b\"}}", "b", "-", "-", "-");
    expect("{\"error\":{\"code\":\"a\"},\"error\":{\"code\":\"b\"}}", "b", "-", "-", "-");
}

static void nest(char *body, int depth) {
    memset(body, '[', (size_t)depth);
    memset(body + depth, ']', (size_t)depth);
    body[2 * depth] = '\0';
}

Test(response, deep_nesting_is_not_followed) {
    static char body[KBI_BODY_MAX];
    nest(body, KBI_EXCERPT_DEPTH_MAX);
    take_body(body);
    cr_assert_not_null(response.root);
    drop();
    nest(body, KBI_BODY_MAX / 2 - 1);
    take_body(body);
    drop();
    int length = sprintf(body, "{\"error\":{\"code\":\"c\"},\"x\":");
    nest(body + length, KBI_EXCERPT_DEPTH_MAX);
    strcat(body, ",\"code\":\"d\"}");
    take_body(body);
    cr_assert_str_eq(shown(response.error.code), "c", "what stands before it counts");
}

Test(response, only_the_first_64_kib_of_a_body_are_looked_at) {
    static const char FORMAT[] = "{\"x\":\"%0*d\",\"error\":{\"code\":\"c\"}}";
    static char body[KBI_BODY_MAX + 100];
    int filling = KBI_BODY_MAX - (int)strlen("{\"x\":\"\",\"error\":{\"code\":\"c\"");
    for (int extra = 0; extra < 2; extra++) {
        int length = snprintf(body, sizeof body, FORMAT, filling + extra, 0);
        take(400, NULL, body, (size_t)length);
        cr_assert_eq(response.error.code != NULL, extra == 0);
        drop();
    }
}

Test(response, an_error_within_the_first_64_kib_of_a_large_body_is_understood) {
    static char body[4 << 20];
    int length = sprintf(body, "{\"error\":{\"code\":\"c\",\"message\":\"m\"},\"echo\":\"");
    memset(body + length, 'x', sizeof body - (size_t)length);
    take(400, NULL, body, 200 * 1024);
    cr_assert_str_eq(shown(response.error.code), "c");
    cr_assert_str_eq(shown(response.error.message), "m");
    drop();
    take(400, NULL, body, sizeof body);
    cr_assert_str_eq(shown(response.error.code), "c");
    drop();
    memset(body, ' ', KBI_BODY_MAX);
    take(400, NULL, body, sizeof body);
    cr_assert_null(response.root);
}

/* What jansson is given. */
static const char *excerpt_of(const char *text) {
    static char out[4000];
    size_t length;
    if (!kbi_excerpt(text, strlen(text), out, sizeof out - 1, &length))
        return NULL;
    out[length] = '\0';
    return out;
}

Test(response, only_what_may_hold_an_errors_fields_is_parsed) {
    static const struct {
        const char *text, *excerpt;
    } CASES[] = {
        { "{\"error\" : {\"code\":1, \"x\":[{\"code\":2}], \"type\":\"t\"}} rest",
          "{\"error\":{\"code\":1,\"type\":\"t\"}}" },
        { "{\"x\":{\"y\":\"}\\\"\"},\"code\":null}", "{\"code\":null}" },
        { "[ {} , [ ] , 1.5e3 , \"\\u00e9\" ]", "[{},[],1.5e3,\"\\u00e9\"]" },
        { "{\"x\":1}", "{}" },
        { "{\"x\":}", NULL },
        { "{\"x\"}", NULL },
        { "{x:1}", NULL },
        { "{\"x\":1,}", NULL },
        { "[1,]", NULL },
        { "[1 2]", NULL },
        { "[1}", NULL },
        { "{\"code\":\"c\\\"}", "{}" },
        { "{\"code\":\"\\u12", "{}" },
        { "{\"code\":\"c\\", "{}" },
        { "{\"x\":1,\"code\":2,\"type\":[3,{\"status\":", "{\"code\":2,\"type\":[3,{}]}" },
        { "[[1,2", "[[1]]" },
        { "[", "[]" },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const char *excerpt = excerpt_of(CASES[i].text);
        if (CASES[i].excerpt)
            cr_expect(excerpt && strcmp(excerpt, CASES[i].excerpt) == 0, "%s gave %s",
                      CASES[i].text, shown(excerpt));
        else
            cr_expect_null(excerpt, "%s gave %s", CASES[i].text, excerpt);
    }
}

Test(response, long_texts_are_cut_between_characters) {
    static const char *const UNITS[] = { "x",   "\xc3\xa9", "\xf0\x9f\x98\x80",
                                         "\\n", "\\u00e9x", "\\ud83d\\ude00y" };
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
        for (int shift = 0; shift < 12; shift++) {
            char body[20000] = "";
            sprintf(body, "{\"code\":\"c\",\"message\":\"%.*s", shift, "------------");
            for (int count = 0; count < 1000; count++)
                strcat(body, UNITS[i]);
            strcat(body, "\"}");
            take_body(body);
            cr_assert_str_eq(shown(response.error.code), "c", "%s + %d", UNITS[i], shift);
            drop();
        }
}

Test(response, a_long_text_ends_where_its_quote_is) {
    static const char *const TAILS[] = { "",         "\\\"",         "\\\\",
                                         "\\\\\\\"", "\\u0022",      "\\u\\\"z",
                                         "\\n\\\"x", "\\\"\\\"\\\\", "\\\"\\u1\\\"" };
    for (size_t i = 0; i < sizeof TAILS / sizeof *TAILS; i++) {
        char body[1000];
        snprintf(body, sizeof body, "{\"message\":\"%0*d%s\",\"code\":\"c\"}", 400, 0, TAILS[i]);
        take_body(body);
        cr_assert_str_eq(shown(response.error.code), "c", "%s", TAILS[i]);
        drop();
    }
    static char body[KBI_BODY_MAX];
    memset(body, '\\', sizeof body);
    memcpy(body, "{\"code\":\"c\",\"message\":\"", 23);
    take(400, NULL, body, sizeof body);
    cr_assert_str_eq(shown(response.error.code), "c");
}

Test(response, an_error_that_is_all_fields_is_parsed_whole) {
    static char body[20000] = "{\"error\":{\"details\":[";
    for (int i = 0; i < 1000; i++)
        strcat(body, "{\"msg\":\"m\"},");
    strcat(body, "{\"reason\":\"r\"}]}}");
    take_body(body);
    cr_assert_eq(response.error.reason_count, 1);
    cr_assert_str_eq(response.error.reasons[0], "r");
}

/* A page of ours that nobody may read beyond. */
static char *guarded_end(size_t *ret_room) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (KBI_BODY_MAX + page) / page * page;
    char *memory =
        mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    cr_assert_eq(mprotect(memory + room, page, PROT_NONE), 0);
    *ret_room = room;
    return memory + room;
}

Test(response, nothing_is_read_beyond_the_body_or_the_headers_nul) {
    static const char BODY[] = ": x\n\ndata: {\"error\":{\"code\":\"c\\\"\",\"n\":[1,2.5e3,true]}}";
    static const char HEADERS[] = "HTTP/1.1 429 x\r\nretry-after:\r\n 7\r\nX: y\r\n\r\n";
    size_t room;
    char *end = guarded_end(&room);
    for (size_t length = 0; length < sizeof BODY; length++) {
        memcpy(end - length, BODY, length);
        take(429, NULL, end - length, length);
        drop();
    }
    for (size_t length = 0; length < sizeof HEADERS; length++) {
        char *block = end - length - 1;
        memcpy(block, HEADERS, length);
        end[-1] = '\0';
        take(429, block, NULL, 0);
        header("retry-after");
        header("x");
    }
    memset(end - KBI_BODY_MAX, ' ', KBI_BODY_MAX);
    take(429, NULL, end - KBI_BODY_MAX, KBI_BODY_MAX);
    cr_assert_null(response.root);
}

Test(response, random_bytes_are_survived) {
    static const char ALPHABET[] = "{}[]\"\\:,dat \n\r\te\xff\x00"
                                   "1-.ncoru";
    struct seed seed = seed_begin("random_bytes_are_survived");
    size_t room;
    char *end = guarded_end(&room);
    for (int round = 0; round < 20000; round++) {
        size_t length = seed_below(&seed, 100);
        for (size_t i = 1; i <= length; i++)
            end[-(ptrdiff_t)i] = ALPHABET[seed_below(&seed, sizeof ALPHABET)];
        take(429, NULL, end - length, length);
        drop();
    }
}
