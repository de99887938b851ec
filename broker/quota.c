/* See quota.h. */
#include "quota.h"

static int64_t later(int64_t a, int64_t b) {
    return a > b ? a : b;
}

bool quota_has_room(const struct quota *quota, unsigned in_a_row, int64_t interval_ms,
                    int64_t now_mono) {
    return later(quota->full_mono, now_mono) + interval_ms <= now_mono + in_a_row * interval_ms;
}

bool quota_take(struct quota *quota, unsigned in_a_row, int64_t interval_ms, int64_t now_mono,
                uint64_t *ret_held) {
    if (!quota_has_room(quota, in_a_row, interval_ms, now_mono)) {
        quota->held++;
        return false;
    }
    quota->full_mono = later(quota->full_mono, now_mono) + interval_ms;
    *ret_held = quota->held;
    quota->held = 0;
    return true;
}
