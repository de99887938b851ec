/*
 * Classification rules: what a vendor's HTTP answer says about a key. One rule is one line of text,
 * so that it reads the same in broker/vendor_rules.c, in `set pool POOL rule=`, in `show vendor`
 * and in the catalog that carries it to running workers, whose library may be older or newer than
 * the broker: a line that it can't read it leaves out, and beyond KB_RULES_MAX (64 in libraries of
 * before 2026-12) it reads none, so what is special stands first and what a status means by itself
 * last. The first rule that matches an answer decides.
 *
 *   STATUS [WHERE=TEXT] CLASS [SCOPE]
 *
 *   429 any=insufficient_quota quota
 *   400 message="Your credit balance is too low*" quota account
 *   403 reason=API_KEY_SERVICE_BLOCKED permission
 *   * header:x-amzn-errortype=Throttling* rate
 *   5xx overload
 *
 *   STATUS  a number, a class (4xx) or *. An error that comes behind HTTP 200 (as the body, or in
 *           a stream) is compared with the rules for 200, and where none of them knows it with
 *           those for the status that says the same. "200 success" says that there is none.
 *
 *   WHERE   code, type, status, reason: that field of the error object; any: one of the four;
 *           header:NAME: that header. Compared whole, without regard to case; a * at the end of
 *           TEXT means "begins with". A limit of 0 that somebody ran into (Gemini's quotaValue)
 *           counts as the reason no_allowance.
 *           message: contained in the error's message, without regard to case, or, with a * at the
 *           end, how the message begins. For vendors without codes. Prefer the beginning: behind
 *           it a message may repeat what somebody put into a prompt.
 *
 *   CLASS   success, invalid, permission, quota, rate, overload, request
 *
 *   SCOPE   request, key, account, endpoint; without it: invalid key, permission request,
 *           quota account, rate key, overload endpoint, request request
 */
#ifndef KEYBROKER_SHARED_RULES_H
#define KEYBROKER_SHARED_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <keybroker.h>
#include <keybroker_shared/report.h>

enum kb_rule_where {
    KB_WHERE_NOWHERE = 0, /* the status alone decides */
    KB_WHERE_CODE,
    KB_WHERE_TYPE,
    KB_WHERE_STATUS,
    KB_WHERE_REASON,
    KB_WHERE_ANY,
    KB_WHERE_MESSAGE,
    KB_WHERE_HEADER,
};

enum { KB_RULE_TEXT_MAX = 96, KB_RULE_HEADER_MAX = 40, KB_RULE_LINE_MAX = 256, KB_RULES_MAX = 80 };

struct kb_rule {
    uint16_t status_from, status_to; /* inclusive */
    uint8_t where;                   /* enum kb_rule_where */
    uint8_t outcome;                 /* kb_outcome */
    uint8_t scope;                   /* enum kb_report_scope */
    bool prefix;                     /* TEXT ended in * */
    char header[KB_RULE_HEADER_MAX]; /* lower case */
    char text[KB_RULE_TEXT_MAX];
};

/* Parse one line (no line end). NULL and *ret filled, or what is wrong with it, as a static
 * sentence. */
static inline const char *kb_rule_parse(const char *line, struct kb_rule *ret);

/* ---- implementation ---- */

static inline const char *kb_rule_skip(const char *at) {
    while (*at == ' ' || *at == '\t')
        at++;
    return at;
}

static inline size_t kb_rule_word(const char *at) {
    return strcspn(at, " \t");
}

/* Index of the word among `names` (NULL at the end), or -1. */
static inline int kb_rule_name(const char *word, size_t length, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (strlen(names[i]) == length && strncmp(names[i], word, length) == 0)
            return i;
    return -1;
}

static inline bool kb_rule_status(const char *word, size_t length, struct kb_rule *rule) {
    if (length == 1 && word[0] == '*') {
        rule->status_from = 0;
        rule->status_to = 999;
        return true;
    }
    if (length != 3 || word[0] < '1' || word[0] > '9')
        return false;
    unsigned hundreds = (unsigned)(word[0] - '0') * 100;
    if (word[1] == 'x' && word[2] == 'x') {
        rule->status_from = (uint16_t)hundreds;
        rule->status_to = (uint16_t)(hundreds + 99);
        return true;
    }
    if (word[1] < '0' || word[1] > '9' || word[2] < '0' || word[2] > '9')
        return false;
    unsigned number = hundreds + (unsigned)(word[1] - '0') * 10 + (unsigned)(word[2] - '0');
    rule->status_from = rule->status_to = (uint16_t)number;
    return true;
}

/* WHERE=TEXT; *at is moved behind it. */
static inline const char *kb_rule_condition(const char **at, const char *equals,
                                            struct kb_rule *rule) {
    static const char *const WHERE[] = {
        "code", "type", "status", "reason", "any", "message", NULL
    };
    size_t name = (size_t)(equals - *at);
    int where = kb_rule_name(*at, name, WHERE);
    if (where >= 0) {
        rule->where = (uint8_t)(KB_WHERE_CODE + where);
    } else if (name > 7 && strncmp(*at, "header:", 7) == 0) {
        if (name - 7 >= KB_RULE_HEADER_MAX)
            return "the header's name is too long";
        rule->where = KB_WHERE_HEADER;
        for (size_t i = 7; i < name; i++) {
            char c = (*at)[i];
            rule->header[i - 7] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        }
    } else {
        return "where to look: code, type, status, reason, any, message or header:NAME";
    }
    const char *text = equals + 1;
    size_t length = *text == '"' ? strcspn(text + 1, "\"") : kb_rule_word(text);
    bool quoted = *text == '"';
    if (quoted && text[1 + length] != '"')
        return "a quote is not closed";
    if (length == 0 || length >= KB_RULE_TEXT_MAX)
        return "the text to find has 1 to 95 bytes";
    memcpy(rule->text, text + (quoted ? 1 : 0), length);
    if (rule->text[length - 1] == '*') {
        rule->prefix = true;
        rule->text[length - 1] = '\0';
    }
    *at = text + length + (quoted ? 2 : 0);
    return NULL;
}

static inline uint8_t kb_rule_usual_scope(unsigned outcome) {
    switch (outcome) {
    case KB_QUOTA:
        return KB_SCOPE_ACCOUNT;
    case KB_INVALID:
    case KB_RATE:
        return KB_SCOPE_KEY;
    case KB_OVERLOAD:
    case KB_NETWORK:
        return KB_SCOPE_ENDPOINT;
    default:
        return KB_SCOPE_REQUEST;
    }
}

static inline const char *kb_rule_parse(const char *line, struct kb_rule *ret) {
    static const char *const CLASSES[] = { "success", "invalid",  "permission", "quota",
                                           "rate",    "overload", "request",    NULL };
    static const char *const SCOPES[] = { "request", "key", "account", "endpoint", NULL };
    struct kb_rule rule;
    memset(&rule, 0, sizeof rule);
    if (strlen(line) >= KB_RULE_LINE_MAX)
        return "a rule has at most 255 bytes";
    const char *at = kb_rule_skip(line);
    size_t length = kb_rule_word(at);
    if (!kb_rule_status(at, length, &rule))
        return "a rule begins with a status: 429, 4xx or *";
    at = kb_rule_skip(at + length);
    const char *equals = memchr(at, '=', kb_rule_word(at));
    if (equals) {
        const char *problem = kb_rule_condition(&at, equals, &rule);
        if (problem)
            return problem;
        at = kb_rule_skip(at);
    }
    length = kb_rule_word(at);
    int outcome = kb_rule_name(at, length, CLASSES);
    if (outcome < 0)
        return "the class: success, invalid, permission, quota, rate, overload or request";
    rule.outcome = (uint8_t)(KB_SUCCESS + outcome);
    rule.scope = kb_rule_usual_scope(rule.outcome);
    at = kb_rule_skip(at + length);
    length = kb_rule_word(at);
    if (length) {
        int scope = kb_rule_name(at, length, SCOPES);
        if (scope < 0)
            return "the scope: request, key, account or endpoint";
        rule.scope = (uint8_t)(KB_SCOPE_REQUEST + scope);
        at = kb_rule_skip(at + length);
    }
    if (*at)
        return "something follows the scope";
    *ret = rule;
    return NULL;
}

#endif
