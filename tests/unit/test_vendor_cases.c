/*
 * Answers that went wrong at other pools (vendor_cases.jsonl: the data, with what should come out
 * and why), each through kb_report_http with its vendor's rules, as a worker would hand it over.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <jansson.h>

#include "client/internal.h"
#include "tests/support/fixture_pool.h"
#include "tests/unit/vendor_rules_text.h"

static const char FILE_NAME[] = "tests/unit/vendor_cases.jsonl";
enum { CASES = 40 };

static const char *text_of(const json_t *row, const char *name) {
    return json_string_value(json_object_get(row, name));
}

/* Is it one of those listed? Not judged when nothing is. */
static bool is_one_of(const json_t *list, const char *word) {
    if (!json_is_array(list))
        return true;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), word) == 0)
            return true;
    return false;
}

static bool is_within(const json_t *range, uint64_t wait_ms) {
    json_int_t least = json_integer_value(json_array_get(range, 0));
    json_int_t most = json_integer_value(json_array_get(range, 1));
    if (!json_is_array(range))
        return true;
    if (least < 0)
        return wait_ms == KB_NO_HINT;
    return wait_ms >= (uint64_t)least && wait_ms <= (uint64_t)most;
}

static void judge(const json_t *row, const struct fixture_pool *fixture) {
    static const char *const OUTCOMES[] = { "?",    "SUCCESS",  "INVALID", "PERMISSION", "QUOTA",
                                            "RATE", "OVERLOAD", "REQUEST", "NETWORK" };
    static const char *const SCOPES[] = { "?", "request", "key", "account", "endpoint" };
    const char *name = text_of(row, "name"), *body = text_of(row, "body");
    const json_t *want = json_object_get(row, "want");
    kb_reader *reader = fixture_pool_reader(fixture);
    kb_http_response response = KB_HTTP_RESPONSE_INIT;
    kb_report_info info = KB_REPORT_INFO_INIT;
    kbi_rules_free(reader->catalog->rules);
    reader->catalog->rules = rules_of(text_of(row, "vendor"));
    response.status = (int)json_integer_value(json_object_get(row, "status"));
    response.headers = text_of(row, "headers");
    response.body = body;
    response.body_len = strlen(body);
    kb_report_http(reader, (kb_ticket){ 1, fixture->generation }, &response, &info);
    cr_expect(is_one_of(json_object_get(want, "outcome"), OUTCOMES[info.outcome]), "%s: outcome %s",
              name, OUTCOMES[info.outcome]);
    cr_expect(is_one_of(json_object_get(want, "scope"), SCOPES[info.scope]), "%s: scope %s", name,
              SCOPES[info.scope]);
    cr_expect(is_within(json_object_get(want, "wait_ms"), info.wait_ms), "%s: wait %" PRIu64, name,
              info.wait_ms);
    kb_close(reader);
}

Test(vendor_cases, answers_that_went_wrong_elsewhere_are_understood, .timeout = 60) {
    struct fixture_pool fixture;
    FILE *file = fopen(FILE_NAME, "re");
    char *line = NULL;
    size_t size = 0, count = 0;
    cr_assert_not_null(file, "%s: run it from the repository's root", FILE_NAME);
    fixture_pool_init(&fixture, 8, STRATEGY_PRIORITY, NULL);
    while (getline(&line, &size, file) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        cr_assert_not_null(row, "no JSON: %s", line);
        if (text_of(row, "vendor")) { /* the first line says what the file is */
            judge(row, &fixture);
            count++;
        }
        json_decref(row);
    }
    cr_assert_eq(count, CASES);
    free(line);
    fclose(file);
    fixture_pool_deinit(&fixture);
}
