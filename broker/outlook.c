/* See outlook.h. */
#include "outlook.h"

const struct model_key *outlook_next(const struct model_pool *pool, uint64_t current_id,
                                     int64_t wall_ms) {
    if (!current_id || pool->record->strategy != STRATEGY_PRIORITY)
        return NULL;
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->order[i]->record->id != current_id &&
            model_status(pool->order[i], wall_ms) == KB_STATUS_NORMAL)
            return pool->order[i];
    return NULL;
}

int64_t outlook_key_recovers_at(const struct model_key *key, struct moment now) {
    if (!key->state.deadline_mono || model_status(key, now.wall_ms) == KB_STATUS_EXPIRED)
        return 0;
    return now.wall_ms + key->state.deadline_mono - now.mono_ms;
}

int64_t outlook_recovers_at(const struct model_pool *pool, struct moment now) {
    int64_t earliest = 0;
    for (uint32_t i = 0; i < pool->count; i++) {
        const struct model_key *key = pool->order[i];
        if (model_status(key, now.wall_ms) == KB_STATUS_NORMAL)
            return 0;
        int64_t at = outlook_key_recovers_at(key, now);
        bool expires_before = key->record->expires_at_ms && key->record->expires_at_ms <= at;
        if (at && !expires_before && (!earliest || at < earliest))
            earliest = at;
    }
    return earliest;
}
