/* See classify.h. The answers are the caller's mistakes: those are classified but not sent. */
#include "classify.h"

#include <stdio.h>
#include <string.h>

#include <keybroker.h>

#include "result.h"
#include "sample.h"

enum { ROUNDS = 9, CALLS = 2000, BODY_BYTES = 2048, STREAM_BYTES = 65536 };

static const char HEADERS[] = "HTTP/1.1 400 Bad Request\r\n"
                              "Date: Mon, 23 Nov 2026 18:00:00 GMT\r\n"
                              "Content-Type: application/json\r\n"
                              "Content-Length: 2048\r\n"
                              "x-request-id: req_0123456789abcdef0123456789abcdef\r\n"
                              "x-ratelimit-limit-requests: 500\r\n"
                              "x-ratelimit-remaining-requests: 499\r\n"
                              "x-ratelimit-reset-requests: 120ms\r\n"
                              "x-ratelimit-remaining-tokens: 29000\r\n"
                              "x-ratelimit-reset-tokens: 2s\r\n\r\n";

/* An error object whose message fills it up. */
static void make_body(char body[BODY_BYTES + 1]) {
    static const char END[] = "\",\"type\":\"invalid_request_error\",\"param\":\"messages\","
                              "\"code\":\"invalid_value\"}}";
    int begun = snprintf(body, BODY_BYTES + 1, "{\"error\":{\"message\":\"Invalid value: ");
    memset(body + begun, 'x', BODY_BYTES - (size_t)begun);
    memcpy(body + BODY_BYTES + 1 - sizeof END, END, sizeof END);
}

/* An answer that worked: what is between `before` and `after` is the model's text, which may speak
 * of errors. */
static void make_answer(char *body, size_t size, const char *before, const char *after) {
    static const char WORDS[] = "the \\\"error\\\" was in line seven, ";
    size_t length = (size_t)snprintf(body, size, "%s", before), end = size - 1 - strlen(after);
    while (length < end) {
        size_t piece = end - length < sizeof WORDS - 1 ? 1 : sizeof WORDS - 1;
        memcpy(body + length, WORDS, piece);
        length += piece;
    }
    memcpy(body + length, after, strlen(after) + 1);
}

/* Events of a stream that worked, as many as fit. */
static size_t make_stream(char *body, size_t size) {
    size_t length = 0;
    for (int serial = 0; length + 200 < size; serial++)
        length +=
            (size_t)snprintf(body + length, size - length,
                             "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\","
                             "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word %d\"},"
                             "\"finish_reason\":null}]}\n\n",
                             serial);
    return length;
}

/* The median call, in microseconds. */
static double round_us(kb_reader *reader, const kb_http_response *response) {
    static double us[CALLS];
    const kb_key *key = kb_current(reader);
    if (!key)
        sample_die("no key: %s", kb_strerror(kb_last_error(reader)));
    kb_ticket ticket = key->ticket;
    for (int i = 0; i < CALLS; i++) {
        uint64_t begun = sample_now_ns();
        kb_report_http(reader, ticket, response, NULL);
        us[i] = (double)(sample_now_ns() - begun) / 1000;
    }
    return sample_percentile(us, CALLS, 50);
}

static void measure(kb_reader *reader, const kb_http_response *response, const char *id,
                    const char *name, double target, bool quick) {
    double us[ROUNDS];
    int rounds = quick ? 3 : ROUNDS;
    for (int i = 0; i < rounds; i++)
        us[i] = round_us(reader, response);
    result_add_figure(id, name, "us", us, (unsigned)rounds, target, false);
}

void classify_measure(struct rig *rig, bool quick) {
    static char stream[STREAM_BYTES];
    char body[BODY_BYTES + 1], answer[BODY_BYTES + 1], response[BODY_BYTES + 1];
    kb_http_response bad = KB_HTTP_RESPONSE_INIT, good = KB_HTTP_RESPONSE_INIT;

    result_section("kb_report_http: classifying a vendor's answer");
    make_body(body);
    make_answer(answer, sizeof answer, "{\"choices\":[{\"message\":{\"content\":\"",
                "\"}}],\"usage\":{\"prompt_tokens\":7}}");
    make_answer(response, sizeof response,
                "{\"id\":\"resp_1\",\"error\": null,\"output\":[{\"text\":\"", "\"}]}");
    bad.status = 400;
    good.status = 200;
    bad.headers = good.headers = HEADERS;
    bad.body = body;
    bad.body_len = good.body_len = BODY_BYTES;
    rig_start(rig, "io_uring");
    rig_make_pool(rig, "classify", "priority", 10, "");
    kb_reader *reader = rig_reader(rig, "classify");
    measure(reader, &bad, "classify.error", "an error with a 2 KiB body", 10, quick);
    good.body = answer;
    measure(reader, &good, "classify.success", "an answer that worked, 2 KiB", 0, quick);
    good.body = response;
    measure(reader, &good, "classify.null", "one that says \"error\": null", 0, quick);
    good.body = stream;
    good.body_len = make_stream(stream, sizeof stream);
    measure(reader, &good, "classify.stream", "a stream that worked, 64 KiB", 0, quick);
    kb_close(reader);
    rig_stop(rig);
}
