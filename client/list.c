/*
 * Queries about all keys: kb_list, kb_recovers_in_ms, kb_health. They look at the board as it is
 * now, and never touch the key that the caller holds nor the reader's choice.
 */
#include "internal.h"

#include <string.h>

enum { ALIVE_MS = 3000 };

/* Board and catalog, as new as can be had. The catalog is held: a callback may call the library. */
static int begin(kb_reader *reader, struct now *ret_now, struct catalog **ret_catalog) {
    uint64_t generation;
    *ret_now = kbi_now();
    int error = kbi_reader_sync(reader, ret_now, &generation);
    if (error != 0)
        return error;
    *ret_catalog = kbi_catalog_ref(reader->catalog);
    return 0;
}

int kb_list(kb_reader *reader, kb_list_fn fn, void *userdata) {
    struct now now;
    struct catalog *catalog;
    if (!reader || !fn)
        return KB_EINVAL;
    int result = begin(reader, &now, &catalog);
    if (result != 0)
        return result;
    for (uint32_t i = 0; i < catalog->count && result == 0; i++) {
        const struct kb_catalog_entry *entry = &catalog->entries[i];
        const struct kb_board *board = reader->attachment.board;
        struct standing standing = { KB_STATUS_DISABLED, KBI_NEVER };
        kb_key key;
        if (!kbi_catalog_fill(catalog, entry->id, &key)) {
            result = KB_ECORRUPT;
            break;
        }
        if (board)
            standing = kbi_standing(board, kbi_slot_count(board), entry, &now);
        uint64_t from_ms = standing.usable_from_ms;
        kb_list_entry listed = {
            .id = entry->id,
            .position = i + 1,
            .weight = entry->weight,
            .status = standing.status,
            .is_default = (entry->flags & KB_CATALOG_DEFAULT) != 0,
            .recovers_in_ms =
                from_ms == 0 || from_ms == KBI_NEVER ? from_ms : from_ms - now.mono_ms,
            .expires_at_ms = entry->expires_at_ms,
            .name = key.name,
            .account = key.account,
            .base_url = key.base_url,
        };
        result = fn(&listed, userdata);
    }
    kbi_catalog_unref(catalog);
    return result;
}

uint64_t kb_recovers_in_ms(kb_reader *reader) {
    struct now now;
    struct catalog *catalog;
    if (!reader || begin(reader, &now, &catalog) != 0)
        return KBI_NEVER;
    uint32_t slot_count = kbi_slot_count(reader->attachment.board);
    uint64_t first_ms = KBI_NEVER;
    kbi_skip_prune(&reader->skips, reader->attachment.board, now.mono_ms);
    for (uint32_t i = 0; i < catalog->count && first_ms != 0; i++) {
        uint64_t from_ms = kbi_usable_from(reader, slot_count, &catalog->entries[i], &now);
        first_ms = from_ms < first_ms ? from_ms : first_ms;
    }
    kbi_catalog_unref(catalog);
    return first_ms == 0 || first_ms == KBI_NEVER ? first_ms : first_ms - now.mono_ms;
}

int kb_health(kb_reader *reader, kb_health_info *ret_info) {
    struct now now;
    struct catalog *catalog;
    if (!reader || !ret_info || ret_info->size <= offsetof(kb_health_info, broker_alive))
        return KB_EINVAL;
    kbi_reader_check_place(reader);
    int error = begin(reader, &now, &catalog);
    if (error != 0)
        return error;
    kbi_report_flush(reader);
    const struct kb_board *board = reader->attachment.board;
    uint64_t beat_ms = atomic_load_explicit(&board->heartbeat_ms, memory_order_relaxed);
    uint32_t flags = atomic_load_explicit(&board->flags, memory_order_relaxed);
    uint32_t slot_count = kbi_slot_count(board);
    size_t size = ret_info->size < sizeof *ret_info ? ret_info->size : sizeof *ret_info;
    kb_health_info info = {
        .size = ret_info->size,
        .heartbeat_age_ms = now.mono_ms > beat_ms ? now.mono_ms - beat_ms : 0,
        .guarded = (flags & KB_BOARD_GUARDED) != 0,
        .generation = atomic_load_explicit(&board->generation, memory_order_acquire),
        .keys = catalog->count,
        .reports_pending = reader->reporter.count,
    };
    info.broker_alive = beat_ms != 0 && info.heartbeat_age_ms < ALIVE_MS;
    for (uint32_t i = 0; i < catalog->count; i++) {
        struct standing standing = kbi_standing(board, slot_count, &catalog->entries[i], &now);
        info.by_status[standing.status]++;
        info.usable += standing.status == KB_STATUS_NORMAL;
    }
    kbi_catalog_unref(catalog);
    memcpy(ret_info, &info, size);
    return 0;
}
