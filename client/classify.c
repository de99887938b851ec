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

/* In lower case at *end, which is moved behind it. */
static const char *keep(char **end, const char *text) {
    char *kept = *end;
    if (!*text)
        return NULL;
    for (; *text; text++)
        *(*end)++ = kbi_lower(*text);
    *(*end)++ = '\0';
    return kept;
}

static void add_rule(struct kbi_rules *rules, const char *line, char **end) {
    struct kb_rule rule;
    if (kb_rule_parse(line, &rule))
        return;
    if (rule.status_from <= 299 && rule.status_to >= 200)
        rules->good_needs_headers |= rule.where == KB_WHERE_HEADER;
    rules->rules[rules->count++] = (struct kbi_rule){ .status_from = rule.status_from,
                                                      .status_to = rule.status_to,
                                                      .where = rule.where,
                                                      .outcome = rule.outcome,
                                                      .scope = rule.scope,
                                                      .prefix = rule.prefix,
                                                      .header = keep(end, rule.header),
                                                      .text = keep(end, rule.text) };
}

struct kbi_rules *kbi_rules_new(const char *text) {
    size_t lines = 1;
    for (const char *at = text; *at && lines < KB_RULES_MAX; at++)
        lines += *at == '\n';
    /* Texts are parts of their lines. Each has a NUL, for which its "=" makes room; a header's is
     * the ":" before it. */
    struct kbi_rules *rules =
        calloc(1, sizeof *rules + lines * sizeof *rules->rules + strlen(text) + 1);
    if (!rules)
        return NULL;
    char *end = (char *)&rules->rules[lines];
    while (*text && rules->count < lines) {
        char line[KB_RULE_LINE_MAX];
        size_t length = strcspn(text, "\n");
        if (length < sizeof line) {
            memcpy(line, text, length);
            line[length] = '\0';
            add_rule(rules, line, &end);
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

/* `text` is in lower case; NULL is in front of everything. */
static bool compares(const char *value, const char *text, bool prefix) {
    for (; text && *text; value++, text++)
        if (kbi_lower(*value) != *text)
            return false;
    return prefix || !*value;
}

static inline bool begins_alike(const char *value, const char *text) {
    return !text || kbi_lower(*value) == *text;
}

static const char *field_if(const char *value, const struct kbi_rule *rule) {
    return value && compares(value, rule->text, rule->prefix) ? value : NULL;
}

static const char *match_reason(const struct kbi_error_fields *error, const struct kbi_rule *rule) {
    for (uint32_t i = 0; i < error->reason_count; i++)
        if (field_if(error->reasons[i], rule))
            return error->reasons[i];
    return NULL;
}

static const char *match_any(const struct kbi_error_fields *error, const struct kbi_rule *rule) {
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
    uint32_t letters; /* a bit for each that a field begins with: most rules end there */
    bool has_plain;
    char plain[MESSAGE_LOOK];
    char header[KBI_HEADER_VALUE_MAX];
    const char *code; /* what the matching field held */
};

static uint32_t letter(char c) {
    return UINT32_C(1) << (kbi_lower(c) & 31);
}

static uint32_t first_letters(const struct kbi_error_fields *error) {
    const char *fields[] = { error->code, error->type, error->status };
    uint32_t letters = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        letters |= fields[i] ? letter(*fields[i]) : 0;
    for (uint32_t i = 0; i < error->reason_count; i++)
        letters |= letter(*error->reasons[i]);
    return letters;
}

static bool match_message(struct search *search, const char *message, const struct kbi_rule *rule) {
    if (rule->prefix && !begins_alike(message + strspn(message, " \t\r\n"), rule->text))
        return false;
    if (!search->has_plain)
        unquoted(message, search->plain);
    search->has_plain = true;
    return rule->prefix ? compares(search->plain, rule->text, true)
                        : strstr(search->plain, rule->text ? rule->text : "") != NULL;
}

/* Any header of that name will do. */
static const char *match_header(struct search *search, const struct kbi_rule *rule) {
    for (uint32_t at = 0; kbi_response_header(search->response, rule->header, &at, search->header);)
        if (field_if(search->header, rule))
            return search->header;
    return NULL;
}

static bool matches(struct search *search, const struct kbi_rule *rule) {
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
        if (!rule->text || search->letters & letter(*rule->text))
            search->code = match_any(error, rule);
        break;
    case KB_WHERE_HEADER:
        search->code = match_header(search, rule);
        break;
    case KB_WHERE_MESSAGE:
        return error->message && match_message(search, error->message, rule);
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
    case 408: /* the vendor's own time ran out */
    case 424: /* what it depends on failed */
    case 425: /* too early */
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

/* The first rule for that status that matches; NULL = none does. */
static const struct kbi_rule *rule_for(const struct kbi_rules *rules, int status,
                                       struct search *search) {
    for (uint32_t i = 0; rules && i < rules->count; i++) {
        const struct kbi_rule *rule = &rules->rules[i];
        if (status >= rule->status_from && status <= rule->status_to && matches(search, rule))
            return rule;
    }
    return NULL;
}

struct kbi_finding kbi_classify(const struct kbi_rules *rules,
                                const struct kbi_response *response) {
    int hidden = response->hidden_status;
    struct kbi_finding finding = { .outcome =
                                       outcome_of_status(hidden ? hidden : response->status) };
    const struct kbi_rule *rule = NULL;
    struct search search;
    finding.scope = kb_rule_usual_scope(finding.outcome);
    search.response = response;
    search.letters = first_letters(&response->error);
    search.has_plain = false;
    search.code = NULL;
    if (response->status > 0)
        rule = rule_for(rules, response->status, &search);
    if (!rule && hidden)
        rule = rule_for(rules, hidden, &search);
    if (rule) {
        finding.outcome = rule->outcome;
        finding.scope = rule->scope;
        finding.by_rule = true;
        finding.rule = (uint32_t)(rule - rules->rules) + 1;
    }
    if (search.code && rule && !is_number(search.code))
        set_code(&finding, search.code);
    else if (finding.outcome != KB_SUCCESS)
        set_code(&finding, usual_code(&response->error));
    return finding;
}
