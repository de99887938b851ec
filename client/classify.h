/*
 * Classification: what a vendor's answer says about a key, by the rules that the catalog carries
 * (keybroker_shared/rules.h). Pure: the same rules and answer give the same class. catalog.c parses
 * the rules once; report_http.c asks.
 */
#ifndef CLIENT_CLASSIFY_H
#define CLIENT_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keybroker.h>
#include <keybroker_shared/rules.h>

#include "response.h"

/* A kb_rule without its air: each reader keeps all of them. */
struct kbi_rule {
    uint16_t status_from, status_to;
    uint8_t where, outcome, scope;
    bool prefix;
    const char *header, *text; /* in lower case; NULL = none */
};

struct kbi_rules {
    uint32_t count;
    bool good_needs_headers; /* a rule for 2xx looks at headers */
    struct kbi_rule rules[]; /* behind them their texts */
};

struct kbi_finding {
    kb_outcome outcome;
    enum kb_report_scope scope;
    bool by_rule;  /* false: no rule matched, the status alone decided */
    uint32_t rule; /* which one did, the first is 1; 0 = none */
    char code[64]; /* the vendor's own, printable ASCII; "" = none */
};

/* One rule a line. A line that cannot be understood (a newer broker's) is left out. NULL without
 * memory. */
struct kbi_rules *kbi_rules_new(const char *text);
struct kbi_rules *kbi_rules_free(struct kbi_rules *rules); /* NULL allowed; returns NULL */

/* `rules` may be NULL: the status decides. Without an answer (status 0 or less) it is NETWORK. An
 * error behind a good status is judged by the rules for that status, and where none of them knows
 * it, as if it had come with the status that says the same. */
struct kbi_finding kbi_classify(const struct kbi_rules *rules, const struct kbi_response *response);

#endif
