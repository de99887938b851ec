/*
 * See classify.h. A code counts only where vendors put codes: in the fields that response.c found,
 * compared whole. A message is searched only by rules that say so, and without what it quotes,
 * because vendors quote prompts, parameters and other people's errors in their messages.
 */
#include "classify.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGE_LOOK = 160 }; /* what a message is about stands at its beginning */

/* ---- rules ---- */

static void add_rule(struct kbi_rules *rules, const char *line) {
    struct kb_rule rule;
    if (kb_rule_parse(line, &rule))
        return;
    for (char *at = rule.text; *at; at++)
        *at = kbi_lower(*at);
    if (rule.status_from <= 299 && rule.status_to >= 200) {
        bool anywhere = rule.where != KB_WHERE_NOWHERE;
        rules->good_needs_headers |= rule.where == KB_WHERE_HEADER;
        rules->good_needs_body |= anywhere && rule.where != KB_WHERE_HEADER;
    }
    rules->rules[rules->count++] = rule;
}

struct kbi_rules *kbi_rules_new(const char *text) {
    size_t lines = 1;
    for (const char *at = text; *at && lines < KB_RULES_MAX; at++)
        lines += *at == '\n';
    struct kbi_rules *rules = calloc(1, sizeof *rules + lines * sizeof *rules->rules);
    if (!rules)
        return NULL;
    while (*text && rules->count < lines) {
        char line[KB_RULE_LINE_MAX];
        size_t length = strcspn(text, "\n");
        if (length < sizeof line) {
            memcpy(line, text, length);
            line[length] = '\0';
            add_rule(rules, line);
        }
        text += length + (text[length] == '\n');
    }
    return rules;
}

struct kbi_rules *kbi_rules_free(struct kbi_rules *rules) {
    free(rules);
    return NULL;
}

/* ---- matching ---- */

/* `text` is in lower case. */
static bool compares(const char *value, const char *text, bool prefix) {
    for (; *text; value++, text++)
        if (kbi_lower(*value) != *text)
            return false;
    return prefix || !*value;
}

static const char *field_if(const char *value, const struct kb_rule *rule) {
    return value && compares(value, rule->text, rule->prefix) ? value : NULL;
}

static const char *match_reason(const struct kbi_error_fields *error, const struct kb_rule *rule) {
    for (uint32_t i = 0; i < error->reason_count; i++)
        if (field_if(error->reasons[i], rule))
            return error->reasons[i];
    return NULL;
}

static const char *match_any(const struct kbi_error_fields *error, const struct kb_rule *rule) {
    const char *fields[] = { error->code, error->type, error->status };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (field_if(fields[i], rule))
            return fields[i];
    return match_reason(error, rule);
}

/* The quote that ends a quotation which `c` begins, or 0. An apostrophe inside a word is none. */
static char closing_quote(char c, char before) {
    bool in_word = (before >= 'a' && before <= 'z') || (before >= '0' && before <= '9');
    if (c == '"' || c == '`')
        return c;
    return c == '\'' && !in_word ? '\'' : '\0';
}

static bool ends_quotation(const char *at, char quote) {
    char after = kbi_lower(at[1]);
    return *at == quote && (quote != '\'' || !(after >= 'a' && after <= 'z'));
}

/* The beginning of a message in lower case, without blanks before it, each quotation one NUL-free
 * mark that nothing matches. */
static void unquoted(const char *message, char ret_plain[MESSAGE_LOOK]) {
    size_t length = 0;
    char before = ' ';
    message += strspn(message, " \t\r\n");
    while (*message && length < MESSAGE_LOOK - 1) {
        char c = kbi_lower(*message);
        char quote = closing_quote(c, before);
        if (quote) {
            for (message++; *message && !ends_quotation(message, quote);)
                message += *message == '\\' && message[1] ? 2 : 1;
            c = '\x01';
        }
        ret_plain[length++] = before = c;
        message += *message != '\0';
    }
    ret_plain[length] = '\0';
}

struct search {
    const struct kbi_response *response;
    bool has_plain;
    char plain[MESSAGE_LOOK];
    char header[KBI_HEADER_VALUE_MAX];
    const char *code; /* what the matching field held */
};

/* Any header of that name will do. */
static const char *match_header(struct search *search, const struct kb_rule *rule) {
    for (uint32_t at = 0; kbi_response_header(search->response, rule->header, &at, search->header);)
        if (field_if(search->header, rule))
            return search->header;
    return NULL;
}

static bool matches(struct search *search, const struct kb_rule *rule) {
    const struct kbi_error_fields *error = &search->response->error;
    search->code = NULL;
    switch (rule->where) {
    case KB_WHERE_NOWHERE:
        return true;
    case KB_WHERE_CODE:
        search->code = field_if(error->code, rule);
        break;
    case KB_WHERE_TYPE:
        search->code = field_if(error->type, rule);
        break;
    case KB_WHERE_STATUS:
        search->code = field_if(error->status, rule);
        break;
    case KB_WHERE_REASON:
        search->code = match_reason(error, rule);
        break;
    case KB_WHERE_ANY:
        search->code = match_any(error, rule);
        break;
    case KB_WHERE_HEADER:
        search->code = match_header(search, rule);
        break;
    case KB_WHERE_MESSAGE:
        if (!error->message)
            return false;
        if (!search->has_plain)
            unquoted(error->message, search->plain);
        search->has_plain = true;
        return rule->prefix ? compares(search->plain, rule->text, true)
                            : strstr(search->plain, rule->text) != NULL;
    default:
        return false;
    }
    return search->code != NULL;
}

/* ---- the finding ---- */

static kb_outcome outcome_of_status(int status) {
    switch (status) {
    case 401:
        return KB_INVALID;
    case 402:
        return KB_QUOTA;
    case 403:
        return KB_PERMISSION;
    case 408:
        return KB_OVERLOAD;
    case 429:
        return KB_RATE;
    default:
        break;
    }
    if (status <= 0)
        return KB_NETWORK;
    if (status < 300)
        return KB_SUCCESS;
    return status < 500 ? KB_REQUEST : KB_OVERLOAD;
}

static bool is_number(const char *text) {
    return text[strspn(text, "0123456789")] == '\0';
}

/* The most telling one: a name rather than a number. */
static const char *usual_code(const struct kbi_error_fields *error) {
    const char *reason = error->reason_count > 0 ? error->reasons[0] : NULL;
    const char *fields[] = { error->code, reason, error->status, error->type };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i] && *fields[i] && !is_number(fields[i]))
            return fields[i];
    return error->code ? error->code : "";
}

static void set_code(struct kbi_finding *finding, const char *code) {
    size_t length = strnlen(code, sizeof finding->code - 1);
    for (size_t i = 0; i < length; i++)
        finding->code[i] = (char)(code[i] >= ' ' && code[i] <= '~' ? code[i] : '?');
}

struct kbi_finding kbi_classify(const struct kbi_rules *rules,
                                const struct kbi_response *response) {
    struct kbi_finding finding = { .outcome = outcome_of_status(response->status) };
    struct search search;
    finding.scope = kb_rule_usual_scope(finding.outcome);
    search.response = response;
    search.has_plain = false;
    search.code = NULL;
    for (uint32_t i = 0; rules && response->status > 0 && i < rules->count; i++) {
        const struct kb_rule *rule = &rules->rules[i];
        if (response->status < rule->status_from || response->status > rule->status_to ||
            !matches(&search, rule))
            continue;
        finding.outcome = rule->outcome;
        finding.scope = rule->scope;
        finding.by_rule = true;
        break;
    }
    if (search.code && finding.by_rule && !is_number(search.code))
        set_code(&finding, search.code);
    else if (finding.outcome != KB_SUCCESS)
        set_code(&finding, usual_code(&response->error));
    return finding;
}
