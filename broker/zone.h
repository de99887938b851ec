/*
 * The broker's time zone, in which people's dates are read and told: $TZ, else the host's. It is
 * loaded at the start (log.h), before the sandbox closes.
 */
#ifndef BROKER_ZONE_H
#define BROKER_ZONE_H

#include <stdint.h>

enum { ZONE_TEXT_SIZE = 48 };

/* A clock on the wall as ms since 1970-01-01 00:00 there, from and to ms since 1970-01-01 UTC. A
 * time that the zone skips is the one an hour on; one that it has twice, one of both. */
int64_t zone_from_local(int64_t local_ms);
int64_t zone_to_local(int64_t wall_ms);

/* "2027-01-31 23:59:59 CET" into buffer; returns it. */
char *zone_format(int64_t wall_ms, char buffer[ZONE_TEXT_SIZE]);

#endif
