/*
 * Fuzz target: the small languages in which operators write. Input: a byte that picks one, then
 * the text. What was understood must mean the same when it is written and read again.
 */
#include "fuzz.h"

#include "broker/keyconfig.h"
#include "broker/recovery.h"
#include "broker/rule_lines.h"
#include "broker/timetext.h"
#include "broker/words.h"
#include "client/classify.h"
#include "client/cli/text.h"
#include "client/cli/view.h"
#include "client/cli/words.h"

#define NOW_MS INT64_C(1773576000000)

static void check_time(const char *text) {
    int64_t wall_ms, again_ms;
    char written[TIMETEXT_SIZE];
    if (!timetext_parse(text, NOW_MS, &wall_ms) || wall_ms == 0)
        return;
    must(wall_ms > 0);
    timetext_format(wall_ms, written);
    must(timetext_parse(written, NOW_MS, &again_ms) && again_ms == wall_ms);
    must(cli_parse_time(written, &again_ms) && again_ms == wall_ms);
}

/* A recovery by the calendar lies ahead, within a month or so; one by duration is exact. */
static void check_recovery(const char *text) {
    struct recovery recovery;
    if (!recovery_parse(text, &recovery))
        return;
    int64_t since_ms = NOW_MS - 5000;
    for (int64_t now_ms = NOW_MS; now_ms < NOW_MS + INT64_C(400) * 86400000; now_ms += 86399999) {
        int64_t at_ms = recovery_at_ms(&recovery, since_ms, now_ms);
        if (recovery.kind == RECOVERY_NEVER)
            must(at_ms == 0);
        else if (recovery.kind == RECOVERY_AFTER)
            must(at_ms == since_ms + recovery.after_ms);
        else
            must(at_ms > now_ms && at_ms <= now_ms + INT64_C(62) * 86400000);
    }
}

static void check_duration(const char *text) {
    int64_t ms;
    if (timetext_parse_duration(text, &ms))
        must(ms >= 1000 && ms <= INT64_C(366) * 86400000);
}

/* `length`: of the text that they were read from. */
static void check_parsed_rules(const struct kbi_rules *rules, size_t length) {
    must(rules && rules->count <= KB_RULES_MAX);
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct kbi_rule *rule = &rules->rules[i];
        must(rule->outcome >= KB_SUCCESS && rule->outcome <= KB_REQUEST);
        must(rule->scope >= KB_SCOPE_REQUEST && rule->scope <= KB_SCOPE_ENDPOINT);
        must(rule->status_from <= rule->status_to && rule->where <= KB_WHERE_HEADER);
        must(!rule->text || strlen(rule->text) <= length);
        must(!rule->header || strlen(rule->header) <= length);
    }
}

/* Every line that the broker accepts from an import is a rule to a worker's library too, and is
 * exported as it came. */
static void check_rules(const char *text) {
    struct refusal refusal = { 0 };
    struct kbi_rules *rules = kbi_rules_new(text);
    check_parsed_rules(rules, strlen(text));
    kbi_rules_free(rules);
    json_t *array = rule_lines_json(text);
    char *lines = rule_lines_from_json(array);
    if (lines && rule_lines_check(lines, &refusal) == 0) {
        json_t *exported = rule_lines_json(lines);
        must(json_equal(exported, array));
        rules = kbi_rules_new(lines);
        must(rules && rules->count == json_array_size(array));
        kbi_rules_free(rules);
        json_decref(exported);
    }
    free(lines);
    json_decref(array);
}

static void check_added_rule(char *text) {
    struct refusal refusal = { 0 };
    char *newline = strrchr(text, '\n'), *lines = NULL;
    const char *before = newline ? newline + 1 : "";
    if (newline)
        *newline = '\0';
    if (rule_lines_check(before, &refusal) || rule_lines_add(before, text, &lines, &refusal))
        return;
    must(rule_lines_check(lines, &refusal) == 0);
    free(lines);
}

/* Broker and command cut the same line into the same words; what the command quotes, the broker
 * reads as it was. */
static void check_words(const char *text) {
    struct cli_words words = CLI_WORDS_INIT;
    struct cli_text line = CLI_TEXT_INIT;
    char *items[64];
    const char *problem;
    if (!cli_words_split(text, &words) && words.count <= 64 &&
        cli_words_join(&line, words.items, words.count)) {
        char *copy = fuzz_copy(cli_text_string(&line), line.length + 1);
        must(words_split(copy, items, 64, &problem) == (int)words.count);
        for (size_t i = 0; i < words.count; i++)
            must(strcmp(items[i], words.items[i]) == 0);
        free(copy);
    }
    cli_words_deinit(&words);
    cli_text_deinit(&line);
    char *copy = fuzz_copy(text, strlen(text) + 1);
    int count = words_split(copy, items, 64, &problem);
    for (int i = 0; i < count; i++)
        must(items[i] >= copy && items[i] + strlen(items[i]) <= copy + strlen(text));
    must(count >= 0 || problem);
    free(copy);
    (void)cli_line_may_hold_secret(text);
    (void)cli_word_gives_secret(text);
}

static void check_url(const char *text) {
    struct refusal refusal = { 0 };
    char *url, *again;
    if (keyconfig_check_base_url(text, &url, &refusal))
        return;
    must(keyconfig_check_base_url(url, &again, &refusal) == 0 && strcmp(url, again) == 0);
    for (const char *at = url; *at; at++)
        must(*at > ' ' && *at <= '~');
    free(url);
    free(again);
}

static void check_cli_time(const char *text) {
    int64_t ms;
    struct cli_text out = CLI_TEXT_INIT;
    if (cli_parse_time(text, &ms))
        for (int style = CLI_TIME_SHORT; style <= CLI_TIME_AGO; style++)
            cli_view_ms(&out, ms, (enum cli_time_style)style, NOW_MS);
    cli_view_masked(&out, text);
    cli_text_add_printable(&out, text);
    cli_text_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = { data, size };
    uint8_t which = input_byte(&input);
    char *text = malloc(input.left + 1);
    must(text);
    if (input.left)
        memcpy(text, input.at, input.left);
    text[input.left] = '\0';
    switch (which % 8) {
    case 0:
        check_time(text);
        break;
    case 1:
        check_recovery(text);
        break;
    case 2:
        check_duration(text);
        break;
    case 3:
        check_rules(text);
        break;
    case 4:
        check_added_rule(text);
        break;
    case 5:
        check_words(text);
        break;
    case 6:
        check_url(text);
        break;
    default:
        check_cli_time(text);
    }
    free(text);
    return 0;
}
