/* See classify.h. The answers are the caller's mistakes: those are classified but not sent. */
#include "classify.h"

#include <stdio.h>
#include <string.h>

#include <keybroker.h>

#include "result.h"
#include "sample.h"

enum { ROUNDS = 9, CALLS = 2000, BODY_BYTES = 2048 };

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
    char body[BODY_BYTES + 1];
    kb_http_response bad = KB_HTTP_RESPONSE_INIT, good = KB_HTTP_RESPONSE_INIT;

    result_section("kb_report_http: classifying a vendor's answer");
    make_body(body);
    bad.status = 400;
    good.status = 200;
    bad.headers = good.headers = HEADERS;
    bad.body = good.body = body;
    bad.body_len = good.body_len = BODY_BYTES;
    rig_start(rig, "io_uring");
    rig_make_pool(rig, "classify", "priority", 10, "");
    kb_reader *reader = rig_reader(rig, "classify");
    measure(reader, &bad, "classify.error", "an error with a 2 KiB body", 10, quick);
    measure(reader, &good, "classify.success", "an answer that worked", 0, quick);
    kb_close(reader);
    rig_stop(rig);
}
