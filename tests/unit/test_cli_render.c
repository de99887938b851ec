/*
 * What the command makes of the broker's JSON: tables, fields, events, times. Everything is printed
 * into memory; no broker, no terminal.
 */
#include "client/cli/cli.h"
#include "client/cli/render.h"
#include "client/cli/text.h"
#include "client/cli/view.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

/* 2026-11-23T16:00:00Z */
#define NOW_MS INT64_C(1795449600000)

static void setup(void) {
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("TZ", "UTC", 1);
    tzset();
}

TestSuite(cli_render, .init = setup);
TestSuite(cli_view, .init = setup);

/* What `command` (two words) prints of `json`; caller frees. */
static char *rendered(const char *first, const char *second, const char *json, unsigned width) {
    char *output = NULL;
    size_t length = 0;
    char one[32], two[32];
    char *words[] = { one, two };
    snprintf(one, sizeof(one), "%s", first);
    snprintf(two, sizeof(two), "%s", second);
    struct cli_context context = { .width = width };
    context.out = context.err = open_memstream(&output, &length);
    json_error_t error;
    json_t *body = json_loads(json, 0, &error);
    cr_assert_not_null(body, "%s", error.text);
    cli_render(&context, words, 2, body, NOW_MS);
    json_decref(body);
    fclose(context.out);
    return output;
}

#define KEYS                                                                                       \
    "\"keys\":[{\"name\":\"A\",\"status\":\"normal\",\"priority\":1,\"default\":true,"             \
    "\"current\":true,\"masked\":\"sk-…cdef\",\"expires_at\":null,\"account\":\"acme\","         \
    "\"weight\":1,\"note\":\"first\",\"reason\":null,\"recovers_at\":null,\"news\":[1]},"          \
    "{\"name\":\"B\",\"status\":\"cooling\",\"priority\":2,\"masked\":\"…9999\","                \
    "\"expires_at\":\"2026-12-24T18:30:00Z\",\"recovers_at\":\"2026-11-23T16:04:12Z\","            \
    "\"reason\":\"too many requests in a minute, says the vendor, at great length\"}]"

Test(cli_render, keys_are_listed_with_a_line_that_sums_them_up) {
    char *output = rendered("show", "keys",
                            "{\"pool\":\"openai\",\"vendor\":\"openai\",\"strategy\":\"priority\","
                            "\"total\":2," KEYS "}",
                            0);
    cr_assert_str_eq(
        output,
        "openai (openai, priority): using A, 1 of 2 usable\n"
        "POS  NAME           STATUS   KEY       EXPIRES           RECOVERS  ACCOUNT  NOTE\n"
        "  1  A * (default)  normal   sk-…cdef  never                       acme     first\n"
        "  2  B              cooling  …9999     2026-12-24 18:30  in 4m12s           too many "
        "requests in a minute, says the vendor, at great length\n",
        "%s", output);
    free(output);
}

Test(cli_render, weights_are_listed_only_where_they_matter) {
    char *output = rendered("show", "keys", "{\"strategy\":\"spread\",\"total\":2," KEYS "}", 0);
    cr_assert_not_null(strstr(output, "WEIGHT"));
    free(output);
    output = rendered("show", "keys", "{\"strategy\":\"priority\",\"total\":2," KEYS "}", 0);
    cr_assert_null(strstr(output, "WEIGHT"));
    free(output);
}

Test(cli_render, a_part_of_a_list_claims_nothing_about_the_whole) {
    char *output = rendered("show", "keys",
                            "{\"pool\":\"p\",\"vendor\":\"v\",\"strategy\":\"priority\","
                            "\"total\":900," KEYS "}",
                            0);
    cr_assert_not_null(strstr(output, "p (v, priority): using A\n"), "%s", output);
    cr_assert_not_null(strstr(output, "2 of 900 shown"));
    free(output);
}

Test(cli_render, long_remarks_are_cut_on_a_terminal_and_names_never) {
    char *output = rendered("show", "keys", "{\"total\":2," KEYS "}", 90);
    cr_assert_null(strstr(output, "at great length"), "%s", output);
    cr_assert_not_null(strstr(output, "A * (default)"));
    cr_assert_not_null(strstr(output, "too many"));
    free(output);
}

/* Tables whose names and remarks are as long as they may be. */
#define LONG_NAME "a-name-of-ünusual-length-that-somebody-gave-to-this-and-not-to-that"
static const struct {
    const char *first, *second, *json;
    unsigned other_lines; /* above the table */
} WIDE[] = {
    { "show", "keys", "{\"strategy\":\"spread\",\"total\":2," KEYS "}", 1 },
    { "show", "keys",
      "{\"keys\":[{\"name\":\"" LONG_NAME "\",\"status\":\"exceeded\",\"priority\":65536,"
      "\"account\":\"" LONG_NAME "\",\"note\":\"" LONG_NAME LONG_NAME "\",\"masked\":\"sk-…cdef\","
      "\"expires_at\":\"2026-12-24T18:30:00Z\",\"recovers_at\":\"2026-11-23T16:04:12Z\"}]}",
      1 },
    { "show", "pools",
      "{\"pools\":[{\"name\":\"" LONG_NAME "\",\"vendor\":\"openai\",\"strategy\":\"priority\","
      "\"current\":\"" LONG_NAME "\",\"usable\":3,\"total\":7,\"guard\":\"watching\","
      "\"last_failover\":\"2026-11-23T15:00:00Z\",\"group\":\"" LONG_NAME "\","
      "\"counts\":{\"normal\":3,\"cooling\":1,\"exceeded\":1,\"error\":1,\"expired\":1}}]}",
      0 },
    { "show", "vendors",
      "{\"vendors\":[{\"name\":\"" LONG_NAME "\",\"title\":\"" LONG_NAME "\",\"base_url\":"
      "\"https://generativelanguage.example.com/v1beta\",\"auth\":\"Authorization: Bearer\","
      "\"environment\":[\"ONE_API_KEY\",\"ONE_BASE_URL\",\"ANOTHER_API_KEY\"]}]}",
      0 },
    { "show", "events",
      "{\"events\":[{\"seq\":100000,\"time\":\"2026-11-23T15:00:00Z\",\"pool\":\"" LONG_NAME
      "\",\"key\":\"" LONG_NAME "\",\"kind\":\"status\",\"from\":\"cooling\",\"to\":"
      "\"exceeded\",\"class\":\"quota\",\"reason\":\"" LONG_NAME "\",\"who\":\"report\"}]}",
      0 },
};

static int places_of(const char *line) {
    wchar_t wide[1024];
    cr_assert_lt(mbstowcs(wide, line, 1024), 1024);
    return wcswidth(wide, 1024);
}

Test(cli_render, no_table_is_wider_than_its_terminal) {
    for (unsigned width = 1; width <= 300; width++) {
        for (size_t i = 0; i < sizeof(WIDE) / sizeof(WIDE[0]); i++) {
            char *output = rendered(WIDE[i].first, WIDE[i].second, WIDE[i].json, width);
            unsigned number = 0;
            char *rest = output;
            for (char *line; (line = strsep(&rest, "\n")) && rest;)
                cr_assert(number++ < WIDE[i].other_lines || places_of(line) <= (int)width,
                          "%s %zu in %u places: %s", WIDE[i].second, i, width, line);
            cr_assert_geq(number, WIDE[i].other_lines + 2);
            free(output);
        }
    }
}

Test(cli_render, without_a_terminal_no_table_is_cut) {
    for (size_t i = 0; i < sizeof(WIDE) / sizeof(WIDE[0]); i++) {
        char *output = rendered(WIDE[i].first, WIDE[i].second, WIDE[i].json, 0);
        for (const char *at = output; (at = strstr(at, "…")); at += strlen("…"))
            cr_assert(strncmp(at, "…cdef", 7) == 0 || strncmp(at, "…9999", 7) == 0, "%s", output);
        cr_assert(i == 0 || strstr(output, LONG_NAME), "%s", output);
        free(output);
    }
}

/* First what says nothing goes, then remarks are cut, then columns go; name and status stay. */
Test(cli_render, a_narrow_table_keeps_what_matters_most) {
    const char *json = "{\"total\":2,\"strategy\":\"priority\"," KEYS "}";
    static const struct {
        unsigned width;
        const char *table;
    } narrow[] = {
        { 82, "POS  NAME           STATUS   KEY       EXPIRES           RECOVERS  NOTE\n"
              "  1  A * (default)  normal   sk-…cdef  never                       first\n"
              "  2  B              cooling  …9999     2026-12-24 18:30  in 4m12s  "
              "too many reque…\n" },
        { 60, "POS  NAME           STATUS   RECOVERS  NOTE\n"
              "  1  A * (default)  normal             first\n"
              "  2  B              cooling  in 4m12s  too many requests in…\n" },
        { 40, "POS  NAME           STATUS   RECOVERS\n"
              "  1  A * (default)  normal\n"
              "  2  B              cooling  in 4m12s\n" },
        { 20, "NAME         STATUS\n"
              "A * (defau…  normal\n"
              "B            cooling\n" },
    };
    for (size_t i = 0; i < sizeof(narrow) / sizeof(narrow[0]); i++) {
        char *output = rendered("show", "keys", json, narrow[i].width);
        cr_expect_str_eq(strchr(output, '\n') + 1, narrow[i].table, "%u:\n%s", narrow[i].width,
                         output);
        free(output);
    }
}

#define HOLDING "\"guard\":\"holding\",\"guard_share\":30,\"guard_until\":\"2026-11-23T16:00:41Z\""

Test(cli_render, the_guard_is_shown_as_it_was_set_and_while_it_holds_with_a_banner) {
    static const char banner[] =
        "The guard holds until 2026-11-23 16:00:41 +0000 (in 41s): too many keys failed at once, "
        "so "
        "it may not be the keys. What would bench more of them is held back.\n";
    char *output =
        rendered("show", "pool", "{\"name\":\"p\",\"guard\":\"on\",\"guard_share\":30}", 0);
    cr_assert_str_eq(output, "Pool:  p\nGuard: 30%, watching\n");
    free(output);
    output = rendered("show", "pool", "{\"name\":\"p\"," HOLDING "}", 0);
    cr_assert_eq(strncmp(output, banner, strlen(banner)), 0, "%s", output);
    cr_assert_not_null(strstr(output, "Guard: 30%, holding until 2026-11-23 16:00:41"));
    free(output);
    output = rendered("show", "pool", "{\"guard\":\"off\",\"guard_share\":0}", 0);
    cr_assert_str_eq(output, "Guard: off\n");
    free(output);
    output = rendered("show", "keys", "{" HOLDING "," KEYS "}", 0);
    cr_assert_not_null(strstr(output, banner), "%s", output);
    free(output);
    output = rendered("show", "pools",
                      "{\"pools\":[{\"name\":\"a\"," HOLDING "},"
                      "{\"name\":\"b\",\"guard\":\"on\",\"guard_share\":50}]}",
                      0);
    cr_assert_not_null(strstr(output, "holds 41s"), "%s", output);
    cr_assert_not_null(strstr(output, "50%"), "%s", output);
    free(output);
}

Test(cli_render, what_a_change_understood_is_shown) {
    char *output =
        rendered("set", "key",
                 "{\"message\":\"changed a (#2)\",\"key\":\"a\",\"id\":2,\"revision\":7,"
                 "\"expires_at\":\"2026-12-24T18:30:00Z\",\"understood\":[\"one\",\"two\"]}",
                 0);
    cr_assert_str_eq(output, "changed a (#2)\n"
                             "Understood: one, two\n");
    free(output);
    output = rendered("set", "key", "{\"message\":\"changed\",\"key\":\"a\",\"revision\":7}", 0);
    cr_assert_str_eq(output, "changed\n");
    free(output);
}

Test(cli_render, pools_are_listed_with_what_ails_them) {
    char *output = rendered("show", "pools",
                            "{\"pools\":[{\"name\":\"openai\",\"vendor\":\"openai\","
                            "\"strategy\":\"priority\",\"current\":null,\"usable\":0,\"total\":3,"
                            "\"counts\":{\"normal\":0,\"cooling\":2,\"error\":1,\"expired\":0},"
                            "\"guard\":\"on\",\"last_failover\":\"2026-11-23T15:59:00Z\"}],"
                            "\"total\":1}",
                            0);
    cr_assert_str_eq(output,
                     "POOL    VENDOR  STRATEGY  CURRENT  USABLE  GUARD  FAILOVER   GROUP  BENCHED\n"
                     "openai  openai  priority  –           0/3  on     1m00s ago  –      "
                     "2 cooling, 1 error\n",
                     "%s", output);
    free(output);
}

Test(cli_render, empty_lists_teach_the_next_step) {
    char *output = rendered("show", "pools", "{\"pools\":[],\"total\":0}", 0);
    cr_assert_not_null(strstr(output, "keybroker add pool openai vendor=openai"));
    free(output);
    output = rendered("show", "pools", "{\"pools\":[],\"total\":4}", 0);
    cr_assert_str_eq(output, "No pool matches.\n");
    free(output);
    output = rendered("show", "events", "{\"events\":[]}", 0);
    cr_assert_not_null(strstr(output, "watch"));
    free(output);
}

Test(cli_render, a_key_is_shown_field_by_field_with_unknown_ones_at_the_end) {
    char *output = rendered("show", "key",
                            "{\"brand_new\":{\"a\":1,\"b\":[true,null]},\"name\":\"A\","
                            "\"pool\":\"p\",\"expires_at\":null,\"status\":\"cooling\","
                            "\"recovers_at\":\"2026-11-23T16:04:12Z\",\"note\":\"\"}",
                            0);
    cr_assert_str_eq(output,
                     "Pool:      p\n"
                     "Name:      A\n"
                     "Status:    cooling\n"
                     "Recovers:  2026-11-23 16:04:12 +0000 (in 4m12s)\n"
                     "Expires:   never\n"
                     "Note:      –\n"
                     "Brand new: a=1, b=yes, –\n",
                     "%s", output);
    free(output);
}

Test(cli_render, a_failure_and_counters_read_as_a_sentence) {
    char *output = rendered("show", "key",
                            "{\"last_failure\":{\"at\":\"2026-11-23T15:55:48Z\",\"class\":\"rate\","
                            "\"http_status\":429,\"vendor_code\":\"slow_down\"},"
                            "\"counters\":{\"success\":0,\"rate\":3,\"quota\":1}}",
                            0);
    cr_assert_str_eq(output,
                     "Last failure: rate (429 slow_down) at 2026-11-23 15:55:48 +0000 (4m12s ago)\n"
                     "Reports:      3 rate, 1 quota\n",
                     "%s", output);
    free(output);
}

Test(cli_render, a_vendors_fields_and_rules_stand_a_line_each) {
    char *output = rendered("show", "vendor",
                            "{\"name\":\"v\",\"rules\":[\"402 quota account\",\"5xx overload\"],"
                            "\"fields\":[{\"name\":\"api_key\",\"title\":\"API key\","
                            "\"required\":true,\"secret\":true},{\"name\":\"region\","
                            "\"title\":\"Region\",\"required\":false,\"secret\":false}]}",
                            0);
    cr_assert_str_eq(output,
                     "Vendor: v\n"
                     "Fields of a key's config:\n"
                     "  api_key: API key (required, secret)\n"
                     "  region: Region\n"
                     "Rules, the first that matches decides:\n"
                     "  402 quota account\n"
                     "  5xx overload\n",
                     "%s", output);
    free(output);
}

Test(cli_render, a_pool_shows_its_own_rules_only_where_it_has_some) {
    char *output = rendered("show", "pool", "{\"name\":\"p\",\"rules\":[]}", 0);
    cr_assert_str_eq(output, "Pool: p\n");
    free(output);
    output = rendered("show", "pool", "{\"name\":\"p\",\"rules\":[\"429 any=a quota\"]}", 0);
    cr_assert_str_eq(output, "Pool: p\nRules before the vendor's:\n  429 any=a quota\n");
    free(output);
}

Test(cli_render, answers_without_any_known_field_are_shown_all_the_same) {
    static const char *const nouns[] = { "info",   "pools",   "pool",   "keys",    "key",
                                         "events", "vendors", "vendor", "metrics", "novelty" };
    for (size_t i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++) {
        free(rendered("show", nouns[i], "{}", 0));
        free(rendered("show", nouns[i],
                      "{\"pools\":[{}],\"keys\":[{}],\"events\":[{}],\"vendors\":[{}],"
                      "\"text\":7}",
                      0));
        free(rendered("show", nouns[i],
                      "{\"pools\":[3],\"keys\":{\"a\":1},\"events\":[[]],\"vendors\":\"x\"}", 40));
    }
    char *output = rendered("show", "novelty", "{\"answer\":42}", 0);
    cr_assert_str_eq(output, "Answer: 42\n");
    free(output);
}

Test(cli_render, an_import_prints_its_differences_and_an_export_is_json) {
    char *output =
        rendered("import", "p", "{\"message\":\"2 changes\",\"changes\":[\"a\",\"b\"]}", 0);
    cr_assert_str_eq(output, "2 changes\n  a\n  b\n");
    free(output);
    output = rendered("export", "p", "{\"format\":1,\"pool\":{}}", 0);
    cr_assert_str_eq(output, "{\n  \"format\": 1,\n  \"pool\": {}\n}\n");
    free(output);
}

static void expect_line(const char *json, const char *expected) {
    struct cli_text text = CLI_TEXT_INIT;
    json_t *event = json_loads(json, 0, NULL);
    cr_assert_not_null(event);
    cli_event_line(&text, event, false);
    cr_assert_str_eq(cli_text_string(&text), expected);
    json_decref(event);
    cli_text_deinit(&text);
}

Test(cli_render, an_event_is_one_line) {
    expect_line("{\"type\":\"event\",\"time\":\"2026-11-23T12:01:02Z\",\"pool\":\"openai\","
                "\"key\":\"key2\",\"kind\":\"status\",\"from\":\"normal\",\"to\":\"cooling\","
                "\"class\":\"rate\",\"http_status\":429,\"who\":\"report uid=0\"}",
                "12:01:02 openai/key2 normal → cooling  rate (429), reported by uid=0");
    expect_line("{\"type\":\"event\",\"time\":\"2026-11-23T12:01:02Z\",\"pool\":\"openai\","
                "\"key\":null,\"kind\":\"add pool\",\"from\":null}",
                "12:01:02 openai add pool");
    expect_line("{\"type\":\"heartbeat\",\"seq\":9}", "");
    expect_line(
        "{\"type\":\"event\",\"time\":\"2026-11-23T12:01:02Z\",\"pool\":\"openai\","
        "\"key\":\"team-1\",\"kind\":\"failover\",\"to_key\":\"team-2\",\"class\":\"quota\","
        "\"count\":1,\"who\":\"report uid=4007007 "
        "pid=9\",\"uid\":4007007,\"pid\":9,\"user\":\"ai\","
        "\"program\":\"app-3\"}",
        "12:01:02 openai/team-1 failover → team-2  quota, reported by app-3 (ai)");
    expect_line(
        "{\"type\":\"event\",\"time\":\"2026-11-23T12:01:02Z\",\"pool\":\"openai\","
        "\"key\":\"team-1\",\"kind\":\"failover\",\"to_key\":null,\"class\":\"quota\","
        "\"count\":4,\"who\":\"report uid=4007007 pid=9\",\"uid\":4007007,\"pid\":9,\"user\":null,"
        "\"program\":null}",
        "12:01:02 openai/team-1 failover → no key (4 times)  quota, reported by uid 4007007");
    expect_line("{\"type\":\"event\",\"time\":\"2026-11-23T12:01:02Z\",\"pool\":\"\","
                "\"key\":null,\"kind\":\"backup\",\"reason\":\"/b/1\",\"count\":1,"
                "\"who\":\"uid=0 pid=9\",\"uid\":0,\"pid\":9,\"user\":null,\"program\":null}",
                "12:01:02 – backup  /b/1 by root");
    expect_line("{\"type\":\"event\",\"time\":\"2026-11-23T12:01:02Z\",\"pool\":\"p\","
                "\"key\":\"k\",\"kind\":\"status\",\"from\":\"cooling\",\"to\":\"normal\","
                "\"reason\":\"cooling over\",\"who\":\"broker\",\"uid\":null,\"pid\":null}",
                "12:01:02 p/k cooling → normal  cooling over by broker");
    expect_line("{\"type\":\"gap\",\"from\":1,\"to\":5}", "(events 1 to 5 are not kept any more)");
}

Test(cli_render, nothing_that_others_wrote_steers_the_terminal) {
    char *output = rendered("show", "key", "{\"note\":\"a\\u001b[2Jb\",\"x\\u001by\":1}", 0);
    cr_assert_null(strchr(output, '\033'));
    free(output);
    output =
        rendered("show", "keys",
                 "{\"pool\":\"\\u001b\",\"keys\":[{\"name\":\"\\u001b[2J\",\"note\":\"\\n\"}]}", 0);
    cr_assert_null(strchr(output, '\033'));
    free(output);
}

/* Found by fuzz_reply: only the broker writes these, but they were printed as they came. */
Test(cli_render, help_is_wrapped_between_words_on_a_terminal) {
    static const char json[] = "{\"commands\":[{\"usage\":\"set key POOL KEY [name=] [note=]\","
                               "\"help\":\"change a key, in one go or two\"}]}";
    char *output = rendered("help", "set", json, 0);
    cr_assert_str_eq(output, "set key POOL KEY [name=] [note=]\n"
                             "    change a key, in one go or two\n");
    free(output);
    output = rendered("help", "set", json, 24);
    cr_assert_str_eq(output, "set key POOL KEY [name=]\n        [note=]\n"
                             "    change a key, in one\n    go or two\n");
    free(output);
}

Test(cli_render, a_help_line_does_not_steer_the_terminal_either) {
    char *output =
        rendered("help", "show",
                 "{\"commands\":[{\"usage\":\"show\\u001b[2J\",\"help\":\"a\\u009bb\"}]}", 0);
    cr_assert_str_eq(output, "show?[2J\n    a?b\n");
    free(output);
}

Test(cli_view, times_are_read_with_offsets_and_fractions) {
    int64_t ms = 0;
    cr_assert(cli_parse_time("2026-11-23T16:00:00Z", &ms));
    cr_assert_eq(ms, NOW_MS);
    cr_assert(cli_parse_time("2026-11-23T18:30:00.250+02:30", &ms));
    cr_assert_eq(ms, NOW_MS + 250);
    ms = 5;
    cr_assert_not(cli_parse_time("2026-11-23", &ms));
    cr_assert_not(cli_parse_time("2026-11-23T16:00:00", &ms));
    cr_assert_not(cli_parse_time("2026-11-23T16:00:00Zx", &ms));
    cr_assert_not(cli_parse_time("soon", &ms));
    cr_assert_eq(ms, 5);
}

static void expect_duration(int64_t ms, const char *expected) {
    struct cli_text text = CLI_TEXT_INIT;
    cli_view_duration(&text, ms);
    cr_assert_str_eq(cli_text_string(&text), expected);
    cli_text_deinit(&text);
}

Test(cli_view, durations_are_short_and_never_round_down_to_nothing) {
    expect_duration(-5, "0s");
    expect_duration(1, "1s");
    expect_duration(59000, "59s");
    expect_duration(252000, "4m12s");
    expect_duration(INT64_C(12000000), "3h20m");
    expect_duration(INT64_C(446400000), "5d4h");
    expect_duration(INT64_C(7776000000), "90d");
    expect_duration(INT64_MAX, "106751991167d");
}

static void expect_masked(const char *secret, const char *expected) {
    struct cli_text text = CLI_TEXT_INIT;
    cli_view_masked(&text, secret);
    cr_assert_str_eq(cli_text_string(&text), expected);
    cli_text_deinit(&text);
}

Test(cli_view, a_mask_shows_four_characters_only_where_eight_stay_hidden) {
    expect_masked("", "…");
    expect_masked("12345678901", "…");
    expect_masked("123456789012", "…9012");
}
