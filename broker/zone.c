/* See zone.h. localtime_r does not look at the zone's file again, as mktime does. */
#include "zone.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t floor_seconds(int64_t ms) {
    return ms / 1000 - (ms % 1000 < 0);
}

static int64_t offset_ms(int64_t wall_ms) {
    time_t seconds = floor_seconds(wall_ms);
    struct tm parts;
    return localtime_r(&seconds, &parts) ? parts.tm_gmtoff * INT64_C(1000) : 0;
}

int64_t zone_to_local(int64_t wall_ms) {
    return wall_ms + offset_ms(wall_ms);
}

int64_t zone_from_local(int64_t local_ms) {
    int64_t near = local_ms - offset_ms(local_ms);
    return local_ms - offset_ms(near);
}

char *zone_format(int64_t wall_ms, char buffer[ZONE_TEXT_SIZE]) {
    time_t seconds = floor_seconds(wall_ms);
    struct tm parts;
    if (!localtime_r(&seconds, &parts) ||
        !strftime(buffer, ZONE_TEXT_SIZE, "%Y-%m-%d %H:%M:%S %Z", &parts))
        snprintf(buffer, ZONE_TEXT_SIZE, "%lld", (long long)seconds);
    return buffer;
}
