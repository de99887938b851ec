/*
 * A pool's own rules with a real broker: set, shown, refused and removed; kept by the store,
 * carried by exports, and obeyed by workers that were attached before.
 */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "tests/support/peer.h"
#include "tests/support/program.h"
#include "tests/support/worker.h"

static const char MINE[] = "429 any=my_code quota account";
static const char WORDY[] = "400 message=\"credit balance\" quota account";

/* The pool's rules joined by " | ". */
static const char *rules_of(struct peer *peer, const char *pool) {
    struct answer *answer = peer_must(peer, "json show pool %s", pool);
    const json_t *rules = answer_at(answer, "rules");
    cr_assert(json_is_array(rules), "%s", answer->body);
    const char *text = "";
    for (size_t i = 0; i < json_array_size(rules); i++)
        text =
            scene_text("%s%s%s", text, i ? " | " : "", json_string_value(json_array_get(rules, i)));
    return text;
}

static void set_both(struct peer *peer) {
    peer_must(peer, "set pool main rule=\"%s\"", MINE);
    peer_must(peer, "set pool main rule='%s'", WORDY);
}

TEST_BOTH_LOOPS(rules, the_newest_stands_first_and_default_removes_all) {
    struct peer *peer = peer_start(b, 2);
    cr_assert_str_eq(rules_of(peer, "main"), "");
    set_both(peer);
    cr_assert_str_eq(rules_of(peer, "main"), scene_text("%s | %s", WORDY, MINE));
    peer_must(peer, "set pool main rule=\"%s\"", MINE);
    cr_assert_str_eq(rules_of(peer, "main"), scene_text("%s | %s", MINE, WORDY),
                     "one that is there comes to the front");
    peer_must(peer, "set pool main rules=default rule='5xx overload'");
    cr_assert_str_eq(rules_of(peer, "main"), "5xx overload", "removed first, then added");
    peer_must(peer, "set pool main rules=default");
    cr_assert_str_eq(rules_of(peer, "main"), "");
}

TEST_BOTH_LOOPS(rules, what_is_no_rule_is_refused_with_the_reason) {
    static const struct {
        const char *rule;
        const char *says;
    } CASES[] = {
        { "", "begins with a status" },
        { "any=foo quota", "begins with a status" },
        { "429 any=foo", "the class" },
        { "429 body=foo quota", "where to look" },
        { "429 any=foo quota planet", "the scope" },
        { "429 any=foo quota account too", "follows the scope" },
        { "400 message=\"open quota", "not closed" },
        { "999 any=foo quota", "100 to 599" },
    };
    struct peer *peer = peer_start(b, 2);
    peer_must(peer, "set pool main rule=\"%s\"", MINE);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct answer *answer = peer_ask(peer, "json set pool main rule='%s'", CASES[i].rule);
        cr_assert_eq(answer->code, 400, "%s: %s", CASES[i].rule, answer->status);
        cr_assert_str_eq(answer_string(answer, "field"), "rule");
        cr_assert_not_null(strstr(answer_string(answer, "message"), CASES[i].says), "%s: %s",
                           CASES[i].rule, answer->body);
    }
    cr_assert_eq(peer_ask(peer, "set pool main rules=none")->code, 400);
    cr_assert_eq(peer_ask(peer, "set pool main rules=")->code, 400);
    cr_assert_str_eq(rules_of(peer, "main"), MINE);
}

TEST_BOTH_LOOPS(rules, a_pool_has_at_most_32) {
    struct peer *peer = peer_start(b, 2);
    for (unsigned i = 0; i < 32; i++)
        peer_must(peer, "set pool main rule='429 code=code%u quota'", i);
    const char *full = rules_of(peer, "main");
    cr_assert_eq(peer_ask(peer, "set pool main rule='429 code=more quota'")->code, 409);
    cr_assert_str_eq(rules_of(peer, "main"), full);
    peer_must(peer, "set pool main rule='429 code=code0 quota'");
    kb_reader *reader = worker_open(b, "main");
    cr_assert_str_neq(worker_current(reader), "", "a catalog holds them all");
    kb_close(reader);
}

TEST_BOTH_LOOPS(rules, they_outlive_the_broker) {
    struct peer *peer = peer_start(b, 2);
    set_both(peer);
    const char *before = rules_of(peer, "main");
    broker_restart(b);
    cr_assert_str_eq(rules_of(peer_open(b), "main"), before);
}

/* What the reader makes of this answer to the key that it is handed now. */
static kb_outcome outcome_of(kb_reader *reader, int status, const char *body) {
    const kb_key *key = kb_current(reader);
    cr_assert_not_null(key);
    kb_http_response response = KB_HTTP_RESPONSE_INIT;
    kb_report_info info = KB_REPORT_INFO_INIT;
    response.status = status;
    response.body = body;
    response.body_len = strlen(body);
    kb_report_http(reader, key->ticket, &response, &info);
    return info.outcome;
}

TEST_BOTH_LOOPS(rules, an_attached_worker_obeys_them_without_opening_anew) {
    static const char BODY[] = "{\"error\":{\"message\":\"no\",\"code\":\"my_code\"}}";
    struct peer *peer = peer_start(b, 2);
    kb_reader *reader = worker_open(b, "main");
    cr_assert_eq(outcome_of(reader, 418, BODY), KB_REQUEST);
    peer_must(peer, "set pool main rule='418 any=my_code quota key'");
    cr_assert_eq(outcome_of(reader, 418, BODY), KB_QUOTA);
    EVENTUALLY(strcmp(peer_key_status(peer, "main", "key1"), "exceeded") == 0);
    peer_must(peer, "set pool main rules=default");
    cr_assert_eq(outcome_of(reader, 418, BODY), KB_REQUEST);
    cr_assert_eq(outcome_of(reader, 429, "{\"error\":{\"code\":\"insufficient_quota\"}}"), KB_QUOTA,
                 "the vendor's were there all the time");
    kb_close(reader);
}

TEST_BOTH_LOOPS(rules, the_vendors_own_reach_the_worker_and_fit_what_the_vendor_sends) {
    static const struct {
        const char *vendor;
        int status;
        const char *headers, *body;
        kb_outcome outcome;
        kb_scope scope;
    } CASES[] = {
        { "anthropic", 400, NULL,
          "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
          "\"Your credit balance is too low to access the Anthropic API.\"}}",
          KB_QUOTA, KB_CONCERNS_ACCOUNT },
        { "gemini", 400, NULL,
          "{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":"
          "\"INVALID_ARGUMENT\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo"
          "\",\"reason\":\"API_KEY_INVALID\"}]}}",
          KB_INVALID, KB_CONCERNS_KEY },
        { "mistral", 429, NULL,
          "{\"object\":\"error\",\"message\":\"Service tier capacity exceeded for this model.\","
          "\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}",
          KB_OVERLOAD, KB_CONCERNS_ENDPOINT },
        { "xai", 400, NULL,
          "{\"code\":\"Client specified an invalid argument\",\"error\":"
          "\"Incorrect API key provided: xa***yz.\"}",
          KB_INVALID, KB_CONCERNS_KEY },
        { "openrouter", 200, NULL,
          "{\"error\":{\"code\":402,\"message\":\"Insufficient credits\"}}", KB_QUOTA,
          KB_CONCERNS_ACCOUNT },
        { "openrouter", 200, NULL, "{\"error\":{\"code\":502,\"message\":\"Upstream\"}}",
          KB_OVERLOAD, KB_CONCERNS_ENDPOINT },
        { "openrouter", 200, NULL, "{\"choices\":[{\"message\":{\"content\":\"402\"}}]}",
          KB_SUCCESS, 0 },
        { "groq", 400, NULL,
          "{\"error\":{\"message\":\"Organization has been restricted.\",\"type\":"
          "\"invalid_request_error\",\"code\":\"organization_restricted\"}}",
          KB_INVALID, KB_CONCERNS_ACCOUNT },
        { "bedrock", 400,
          "HTTP/1.1 400 Bad Request\r\nX-Amzn-ErrorType: "
          "ServiceQuotaExceededException:http://internal.amazon.com/\r\n\r\n",
          "{\"message\":\"no more\"}", KB_QUOTA, KB_CONCERNS_ACCOUNT },
        { "bedrock", 403, NULL, "{\"Message\":\"Bearer Token has expired\"}", KB_INVALID,
          KB_CONCERNS_KEY },
        { "dashscope", 429, NULL,
          "{\"error\":{\"message\":\"Too fast\",\"type\":\"insufficient_quota\",\"code\":"
          "\"insufficient_quota\"}}",
          KB_RATE, KB_CONCERNS_ACCOUNT },
        { "moonshot", 403, NULL, "{\"error\":{\"type\":\"exceeded_current_quota_error\"}}",
          KB_QUOTA, KB_CONCERNS_ACCOUNT },
        { "moonshot", 403, NULL, "", KB_PERMISSION, KB_CONCERNS_REQUEST },
        { "anthropic", 200, NULL,
          "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}\n\n",
          KB_RATE, KB_CONCERNS_ACCOUNT },
    };
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const char *pool = scene_text("p%zu", i);
        peer_must_with(peer,
                       "{\"api_key\":\"sk-test-0123456789\",\"base_url\":\"https://a.example\"}",
                       "add pool %s vendor=%s", pool, CASES[i].vendor);
        kb_reader *reader = worker_open(b, pool);
        const kb_key *key = kb_current(reader);
        cr_assert_not_null(key);
        kb_http_response response = KB_HTTP_RESPONSE_INIT;
        kb_report_info info = KB_REPORT_INFO_INIT;
        response.status = CASES[i].status;
        response.headers = CASES[i].headers;
        response.body = CASES[i].body;
        response.body_len = strlen(CASES[i].body);
        kb_report_http(reader, key->ticket, &response, &info);
        cr_expect_eq(info.outcome, CASES[i].outcome, "%s %s: %d", CASES[i].vendor, CASES[i].body,
                     (int)info.outcome);
        if (CASES[i].scope)
            cr_expect_eq(info.scope, CASES[i].scope, "%s %s: %d", CASES[i].vendor, CASES[i].body,
                         (int)info.scope);
        kb_close(reader);
    }
}

TEST_BOTH_LOOPS(rules, an_export_carries_them) {
    struct peer *peer = peer_start(b, 2);
    set_both(peer);
    const char *rules = rules_of(peer, "main");
    const char *text = peer_must(peer, "export main secrets=yes")->body;
    peer_must_with(peer, text, "import copy");
    cr_assert_str_eq(rules_of(peer, "copy"), rules);
    peer_must(peer, "set pool copy rules=default rule='5xx overload'");
    struct answer *answer = peer_must_with(peer, text, "json import copy mode=merge");
    cr_assert_eq(json_array_size(answer_at(answer, "changes")), 1, "%s", answer->body);
    cr_assert_str_eq(rules_of(peer, "copy"), rules);
    answer = peer_must_with(peer, text, "json import copy mode=replace");
    cr_assert_eq(json_array_size(answer_at(answer, "changes")), 0, "%s", answer->body);
    peer_must_with(peer, "{\"pool\":{},\"keys\":[]}", "import copy mode=merge");
    cr_assert_str_eq(rules_of(peer, "copy"), rules, "a document without rules leaves them");
    peer_must_with(peer, "{\"pool\":{\"rules\":[]},\"keys\":[]}", "import copy mode=merge");
    cr_assert_str_eq(rules_of(peer, "copy"), "");
}

TEST_BOTH_LOOPS(rules, an_import_with_bad_rules_changes_nothing) {
    static const char *const RULES[] = {
        "\"429 rate\"", "[7]", "[\"\"]", "[\"429 nonsense\"]", "[{}]", "[\"429 rate\\n5xx rate\"]"
    };
    struct peer *peer = peer_start(b, 2);
    set_both(peer);
    const char *before = rules_of(peer, "main");
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        const char *text = scene_text("{\"pool\":{\"rules\":%s},\"keys\":[]}", RULES[i]);
        cr_assert_eq(peer_ask_with(peer, text, "import main mode=merge")->code, 400, "%s",
                     RULES[i]);
        cr_assert_str_eq(rules_of(peer, "main"), before);
    }
    struct answer *answer =
        peer_ask_with(peer, "{\"pool\":{\"rules\":[\"429 rate\",\"999 quota\"]},\"keys\":[]}",
                      "json import main mode=merge");
    cr_assert_not_null(strstr(answer_string(answer, "message"), "rule 2: "), "%s", answer->body);
}

TEST_BOTH_LOOPS(rules, a_vendor_is_shown_with_its_fields_and_rules_and_a_list_stays_short) {
    struct peer *peer = peer_start(b, 2);
    struct answer *vendor = peer_must(peer, "json show vendor openai");
    cr_assert_str_eq(answer_string(vendor, "fields.0.name"), "api_key");
    cr_assert(json_is_true(answer_at(vendor, "fields.0.secret")));
    cr_assert_str_eq(answer_string(vendor, "fields.2.name"), "organization");
    cr_assert_str_eq(answer_string(vendor, "rules.4"), "4xx any=insufficient_quota quota account");
    struct answer *list = peer_must(peer, "json show vendors");
    cr_assert_null(answer_at(list, "vendors.0.rules"));
    cr_assert_null(answer_at(list, "vendors.0.fields"));
}

TEST_BOTH_LOOPS(rules, the_command_shows_and_takes_them) {
    peer_start(b, 2);
    struct program *set =
        command_run(b, NULL, "set", "pool", "main", scene_text("rule=%s", WORDY), NULL);
    cr_assert_eq(set->code, 0, "%s", set->err);
    struct program *pool = command_run(b, NULL, "show", "pool", "main", NULL);
    cr_assert_not_null(strstr(pool->out, WORDY), "%s", pool->out);
    struct program *vendor = command_run(b, NULL, "show", "vendor", "azure", NULL);
    cr_assert_not_null(strstr(vendor->out, "base_url: Base URL (required)\n"), "%s", vendor->out);
    cr_assert_not_null(strstr(vendor->out, "\n  429 any=429 rate account\n"), "%s", vendor->out);
    set = command_run(b, NULL, "set", "pool", "main", "rule=nonsense", NULL);
    cr_assert_eq(set->code, 2);
    cr_assert_not_null(strstr(set->err, "begins with a status"), "%s", set->err);
}
