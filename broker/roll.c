/* See roll.h. */
#include "roll.h"

#include <stdlib.h>

#include "memory.h"

enum {
    FIRST_PIECE = 2048, /* ids; ~50 µs: most pools whole, exactly as they are now */
    PIECE = 256,
    RESTARTS_MAX = 16, /* for a pool that is changed on and on; then all in one go */
};

static void copy_ids(struct roll *roll, const struct model_pool *pool, uint32_t piece) {
    uint32_t left = roll->count - roll->filled;
    for (uint32_t end = roll->filled + (piece < left ? piece : left); roll->filled < end;
         roll->filled++)
        roll->ids[roll->filled] = pool->order[roll->filled]->record->id;
}

static void begin(struct roll *roll, const struct model_pool *pool) {
    pool_record_unref(roll->record);
    free(roll->ids);
    roll->record = pool_record_ref(pool->record);
    roll->count = pool->count;
    roll->filled = 0;
    roll->ids = mem_resize(NULL, pool->count, sizeof *roll->ids);
    copy_ids(roll, pool, FIRST_PIECE);
}

struct roll *roll_of(struct roll **rolls, struct model_pool *pool) {
    for (struct roll *roll = *rolls; roll; roll = roll->next)
        if (roll->record == pool->record) {
            roll->references++;
            return roll;
        }
    struct roll *roll = mem_alloc(sizeof *roll);
    roll->references = 1;
    roll->pool_id = pool->record->id;
    begin(roll, pool);
    roll->next = *rolls;
    roll->link = rolls;
    if (roll->next)
        roll->next->link = &roll->next;
    *rolls = roll;
    return roll;
}

bool roll_fill(struct roll *roll, const struct model *model) {
    if (roll->filled == roll->count)
        return true;
    const struct model_pool *pool = model_pool_by_id(model, roll->pool_id);
    if (!pool) { /* deleted meanwhile: so have been its keys */
        roll->count = roll->filled;
        return true;
    }
    if (pool->record != roll->record) {
        begin(roll, pool);
        roll->restarts++;
    }
    copy_ids(roll, pool, roll->restarts > RESTARTS_MAX ? UINT32_MAX : PIECE);
    return roll->filled == roll->count;
}

struct roll *roll_unref(struct roll *roll) {
    if (!roll || --roll->references)
        return NULL;
    *roll->link = roll->next;
    if (roll->next)
        roll->next->link = roll->link;
    pool_record_unref(roll->record);
    free(roll->ids);
    free(roll);
    return NULL;
}
