/*
 * What each vendor's answers say about a key, as ordered rule lines (keybroker_shared/rules.h).
 * Published with every catalog, printed by `show vendor`. Data only: the library classifies.
 */
#ifndef BROKER_VENDOR_RULES_H
#define BROKER_VENDOR_RULES_H

#include "vendor.h"

enum { VENDOR_RULES_MAX = 48 };

/* Most special first, NULL at the end. A vendor that is not known (NULL too) has generic's. */
const char *const *vendor_rules(const struct vendor *vendor);

#endif
