/*
 * Which changes of a key's status are events of their own. Part of the model (model.h): pure, asked
 * after the boards were written.
 *
 * A key that goes to and fro (a rate limit of a second, over and over) is told of a dozen times in
 * a row, then every five seconds in one event that says how often it changed. What is grave, used
 * up or refused, is always told at once.
 */
#include "model.h"

#include "model_text.h"

enum { TOLD_IN_A_ROW = 12, TELL_EVERY_MS = 5000 };

uint32_t model_tell_change(struct model *model, struct model_key *key, uint32_t from, uint32_t to,
                           struct moment now) {
    uint64_t held = key->told.held;
    bool grave = to == KB_STATUS_EXCEEDED || to == KB_STATUS_ERROR;
    if (!quota_take(&key->told, TOLD_IN_A_ROW, TELL_EVERY_MS, now.mono_ms, &held) && !grave) {
        if (!held)
            heap_push(&model->flaps, now.mono_ms + TELL_EVERY_MS, key->record->id);
        key->held_from = from;
        key->held_to = to;
        return 0;
    }
    key->told.held = 0;
    return (uint32_t)held + 1;
}

bool model_counted_changes(struct model *model, struct moment now, struct event *ret_event) {
    while (heap_first(&model->flaps) <= now.mono_ms) {
        struct heap_entry due = heap_pop(&model->flaps);
        struct model_key *key = model_key_by_id(model, due.key_id);
        uint64_t held = 0;
        /* They may have been told with a grave one, or be those of a later time. */
        if (!key || !key->told.held ||
            !quota_has_room(&key->told, TOLD_IN_A_ROW, TELL_EVERY_MS, now.mono_ms))
            continue;
        quota_take(&key->told, TOLD_IN_A_ROW, TELL_EVERY_MS, now.mono_ms, &held);
        struct cause cause = { .now = now, .actor = { .kind = ACTOR_BROKER } };
        struct event event = model_event(&cause, EVENT_STATUS, key->pool, key);
        event.from = key->held_from;
        event.to = key->held_to;
        event.count = (uint32_t)held;
        model_copy_text(event.reason, sizeof event.reason, key->state.reason);
        if (event.to != KB_STATUS_NORMAL) {
            event.outcome = key->state.last_outcome;
            event.http_status = key->state.http_status;
            model_copy_text(event.vendor_code, sizeof event.vendor_code, key->state.vendor_code);
        }
        *ret_event = event;
        return true;
    }
    return false;
}
