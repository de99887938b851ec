/*
 * How long a vendor asks to wait. Pure: the time is passed in. Called by report_http.c.
 */
#ifndef CLIENT_HINT_H
#define CLIENT_HINT_H

#include <stdint.h>

#include <keybroker.h>

#include "response.h"

/* Milliseconds, 1 to 24 hours, or KB_NO_HINT. Times of day are taken relative to the answer's own
 * Date, so that it does not matter how the clocks are set, else to `wall_ms`. */
uint64_t kbi_hint(const struct kbi_response *response, kb_outcome outcome, int64_t wall_ms);

#endif
