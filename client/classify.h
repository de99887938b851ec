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

struct kbi_rules {
    uint32_t count;
    bool good_needs_headers; /* a rule for 2xx looks at headers */
    bool good_needs_body;    /* … at the body */
    struct kb_rule rules[];  /* texts in lower case */
};

struct kbi_finding {
    kb_outcome outcome;
    enum kb_report_scope scope;
    bool by_rule;  /* false: no rule matched, the status alone decided */
    char code[64]; /* the vendor's own, printable ASCII; "" = none */
};

/* One rule a line. A line that cannot be understood (a newer broker's) is left out. NULL without
 * memory. */
struct kbi_rules *kbi_rules_new(const char *text);
struct kbi_rules *kbi_rules_free(struct kbi_rules *rules); /* NULL allowed; returns NULL */

/* `rules` may be NULL: the status decides. Without an answer (status 0 or less) it is NETWORK. */
struct kbi_finding kbi_classify(const struct kbi_rules *rules, const struct kbi_response *response);

#endif
