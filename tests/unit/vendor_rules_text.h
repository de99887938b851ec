/* A vendor's rules as a catalog carries them, parsed as the library does. */
#ifndef TESTS_UNIT_VENDOR_RULES_TEXT_H
#define TESTS_UNIT_VENDOR_RULES_TEXT_H

#include <string.h>

#include "broker/vendor_rules.h"
#include "client/classify.h"

static struct kbi_rules *rules_of(const char *vendor) {
    char text[KB_RULES_MAX * KB_RULE_LINE_MAX] = "";
    for (const char *const *line = vendor_rules(vendor_find(vendor)); *line; line++)
        strcat(strcat(text, *line), "\n");
    return kbi_rules_new(text);
}

#endif
