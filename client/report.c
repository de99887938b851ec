/*
 * Reporting: tells the broker what became of a key, and acts on it at once in this reader (skips).
 * Called by kb_report and by whoever classifies answers; kb_wait and kb_health send what is left
 * over. Nothing here blocks: what the socket does not take is kept, one entry per key, and sent
 * later. It never touches keys that the caller holds.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SUCCESS_EVERY_MS = 100 };

void kbi_report_init(struct reporter *reporter) {
    reporter->fd = KBI_NO_FD;
    reporter->pid = 0;
    reporter->count = 0;
    reporter->connect_after_ms = 0;
}

void kbi_report_disconnect(struct reporter *reporter) {
    if (reporter->fd >= 0)
        close(reporter->fd);
    reporter->fd = KBI_NO_FD;
    reporter->connect_after_ms = 0;
}

/* A forked child reports on a connection of its own, and leaves the parent's reports to the parent.
 */
static void settle_in_process(kb_reader *reader) {
    struct reporter *reporter = &reader->reporter;
    if (reporter->pid != 0 && kbi_dice_is_of_this_process(&reader->dice))
        return;
    pid_t pid = getpid();
    kbi_dice_set_process(&reader->dice);
    if (reporter->pid == pid)
        return;
    if (reporter->pid != 0) {
        kbi_report_disconnect(reporter);
        reporter->count = 0;
    }
    reporter->pid = pid;
}

/* Reached through the directory's descriptor: a path of any length fits sun_path that way. */
static int connect_in(int fd, const struct attachment *attachment) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const size_t room = sizeof address.sun_path;
    int length =
        kbi_attach_has_proc()
            ? snprintf(address.sun_path, room, "/proc/self/fd/%d/" KB_REPORT_SOCKET,
                       attachment->dir_fd)
            : snprintf(address.sun_path, room, "%s/" KB_REPORT_SOCKET, attachment->pool_path);
    if (length < 0 || (size_t)length >= room) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return connect(fd, (const struct sockaddr *)&address, sizeof address);
}

static bool connect_to_broker(kb_reader *reader) {
    struct reporter *reporter = &reader->reporter;
    if (reporter->fd >= 0)
        return true;
    uint64_t now_ms = kbi_mono_ms();
    if (!reader->attachment.board || now_ms < reporter->connect_after_ms)
        return false;
    reporter->connect_after_ms = now_ms + KBI_RETRY_MS;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect_in(fd, &reader->attachment) < 0) {
        bool nobody = errno == ENOENT;
        close(fd);
        if (nobody)
            kbi_reader_check_place(reader);
        return false;
    }
    reporter->fd = fd;
    return true;
}

/* True when the message is on its way. A connection that broke is made anew once. */
static bool send_one(kb_reader *reader, const struct kb_report_message *message) {
    struct reporter *reporter = &reader->reporter;
    for (int tries = 0; tries < 2 && connect_to_broker(reader); tries++) {
        ssize_t sent = send(reporter->fd, message, sizeof *message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == (ssize_t)sizeof *message)
            return true;
        if (sent < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM))
            return false;
        close(reporter->fd);
        reporter->fd = KBI_NO_FD;
    }
    return false;
}

/* With the process settled. */
static void flush(kb_reader *reader) {
    struct reporter *reporter = &reader->reporter;
    uint32_t sent = 0;
    while (sent < reporter->count && send_one(reader, &reporter->queue[sent]))
        sent++;
    if (sent == 0)
        return;
    reporter->count -= sent;
    memmove(reporter->queue, reporter->queue + sent, reporter->count * sizeof *reporter->queue);
}

void kbi_report_flush(kb_reader *reader) {
    if (reader->reporter.count == 0)
        return;
    settle_in_process(reader);
    flush(reader);
}

static int severity(uint32_t outcome) {
    switch (outcome) {
    case KB_INVALID:
        return 6;
    case KB_QUOTA:
        return 5;
    case KB_RATE:
        return 4;
    case KB_PERMISSION:
        return 3;
    case KB_OVERLOAD:
        return 2;
    case KB_NETWORK:
        return 1;
    default:
        return 0;
    }
}

static uint64_t longer_hint(uint64_t a, uint64_t b) {
    if (a == KB_NO_HINT || b == KB_NO_HINT)
        return a == KB_NO_HINT ? b : a;
    return a > b ? a : b;
}

/*
 * Two reports about one key become one: the worse outcome with its particulars, the longer hint,
 * the sum of both. A report from before the key was last renewed must not lend its outcome to one
 * from after, so the broker's own rule (older than valid_since = stale) is applied here as well;
 * among equals the older generation stands, which can only make the broker more lenient.
 */
static void coalesce(struct kb_report_message *queued, const struct kb_report_message *message,
                     uint64_t valid_since) {
    bool queued_stale = queued->generation < valid_since;
    bool message_stale = message->generation < valid_since;
    if (queued_stale != message_stale) {
        if (queued_stale)
            *queued = *message;
        return;
    }
    struct kb_report_message merged =
        severity(message->outcome) > severity(queued->outcome) ? *message : *queued;
    uint32_t room = KB_REPORT_COUNT_MAX - queued->count;
    merged.count = queued->count + (message->count < room ? message->count : room);
    merged.hint_ms = longer_hint(queued->hint_ms, message->hint_ms);
    merged.generation =
        queued->generation < message->generation ? queued->generation : message->generation;
    *queued = merged;
}

/* False when the queue is full of worse news. */
static bool enqueue(struct reporter *reporter, const struct kb_report_message *message,
                    uint64_t valid_since) {
    uint32_t mildest = 0;
    for (uint32_t i = 0; i < reporter->count; i++) {
        if (reporter->queue[i].key_id == message->key_id) {
            coalesce(&reporter->queue[i], message, valid_since);
            return true;
        }
        if (severity(reporter->queue[i].outcome) < severity(reporter->queue[mildest].outcome))
            mildest = i;
    }
    if (reporter->count < KBI_QUEUE) {
        reporter->queue[reporter->count++] = *message;
        return true;
    }
    if (severity(reporter->queue[mildest].outcome) >= severity(message->outcome))
        return false;
    reporter->queue[mildest] = *message;
    return true;
}

/* Behind what waits already, so that reports of a key arrive in their order. */
static enum report_fate send_or_queue(kb_reader *reader, const struct kb_report_message *message,
                                      uint64_t valid_since) {
    struct reporter *reporter = &reader->reporter;
    settle_in_process(reader);
    flush(reader);
    if (reporter->count == 0 && send_one(reader, message))
        return REPORT_SENT;
    return enqueue(reporter, message, valid_since) ? REPORT_QUEUED : REPORT_NOT_SENT;
}

/* The board's slot of a key, from what is at hand before the catalog is asked; NULL if unknown. */
static const struct kb_board_slot *slot_of(const kb_reader *reader, uint64_t id,
                                           uint32_t *ret_slot) {
    const struct kb_board *board = reader->attachment.board;
    const struct catalog *catalog = reader->catalog;
    uint32_t slot;

    if (!board || !catalog)
        return NULL;
    if (reader->choice && reader->choice_catalog == catalog && reader->choice_key.id == id) {
        slot = catalog->entries[reader->choice_position].slot;
    } else {
        const struct kb_catalog_key *record = kbi_catalog_record(catalog, id);
        if (!record)
            return NULL;
        slot = record->slot;
    }
    if (slot >= kbi_slot_count(board))
        return NULL;
    *ret_slot = slot;
    return &board->slots[slot];
}

/* The key's endpoint, if this reader has lately seen it fail; else 0. */
static uint64_t endpoint_in_trouble(const kb_reader *reader, uint64_t id, uint64_t now_ms) {
    if (now_ms >= reader->troubles.until_ms || !reader->catalog)
        return 0;
    uint64_t endpoint = kbi_catalog_endpoint(reader->catalog, id);
    return endpoint != 0 && kbi_trouble_until(&reader->troubles, endpoint, now_ms) ? endpoint : 0;
}

/* Success matters only to a key in backoff, after trouble at an endpoint, whoever saw it, and as a
 * proof while the guard holds; and not more often than now and then. */
static bool success_is_due(kb_reader *reader, const struct kb_board_slot *slot, uint32_t flags,
                           uint64_t id) {
    bool asked = slot && atomic_load_explicit(&slot->backoff, memory_order_relaxed) != 0;
    if (flags & KB_BOARD_DOUBTED && reader->catalog && reader->catalog->endpoints_differ)
        asked = true;
    if (flags & KB_BOARD_GUARDED)
        asked = true;
    if (!asked && reader->troubles.until_ms == 0)
        return false;
    uint64_t now_ms = kbi_mono_ms();
    uint64_t endpoint = endpoint_in_trouble(reader, id, now_ms);
    if (!asked && endpoint == 0)
        return false;
    /* Keys that share a place wait for each other: a moment later will do as well. */
    uint64_t *next_ms = &reader->reporter.success_after_ms[id % KBI_SUCCESSES];
    if (now_ms < *next_ms)
        return false;
    *next_ms = now_ms + SUCCESS_EVERY_MS;
    if (endpoint != 0) {
        kbi_trouble_clear(&reader->troubles, endpoint);
        kbi_reader_stir(reader);
    }
    return true;
}

/* For the vendor's own trouble: another key helps if it is usable and belongs to an endpoint that
 * this reader has not just seen fail as well. */
static kb_verdict judge_endpoint(kb_reader *reader, uint64_t id) {
    const struct catalog *catalog = reader->catalog;
    struct now now = kbi_now();
    if (!reader->attachment.board || !catalog)
        return KB_RETRY_LATER;
    uint64_t endpoint = kbi_catalog_endpoint(catalog, id);
    kbi_trouble_add(&reader->troubles, endpoint, now.mono_ms);
    if (endpoint == 0 || !catalog->endpoints_differ)
        return KB_RETRY_LATER;
    kbi_reader_stir(reader);
    uint32_t slot_count = kbi_slot_count(reader->attachment.board);
    kbi_skip_prune(&reader->skips, reader->attachment.board, now.mono_ms);
    for (uint32_t i = 0; i < catalog->count; i++) {
        const struct kb_catalog_entry *entry = &catalog->entries[i];
        if (entry->endpoint != endpoint &&
            !kbi_trouble_until(&reader->troubles, entry->endpoint, now.mono_ms) &&
            kbi_usable_from(reader, slot_count, entry, &now) == 0)
            return KB_NEXT_KEY;
    }
    return KB_RETRY_LATER;
}

/* Is there a usable key that this reader does not skip, besides this one? */
static bool has_other(kb_reader *reader, uint64_t id) {
    const struct catalog *catalog = reader->catalog;
    struct now now = kbi_now();
    if (!reader->attachment.board || !catalog)
        return false;
    uint32_t slot_count = kbi_slot_count(reader->attachment.board);
    kbi_skip_prune(&reader->skips, reader->attachment.board, now.mono_ms);
    for (uint32_t i = 0; i < catalog->count; i++)
        if (catalog->entries[i].id != id &&
            kbi_usable_from(reader, slot_count, &catalog->entries[i], &now) == 0)
            return true;
    return false;
}

/* For a failure that condemns the key: this reader leaves it out by itself. The guard holds keys
 * that fail together, because something else may be wrong; then the broker leaves the key usable,
 * and one that answers is the proof that it is the keys: so this reader goes on with the others
 * while it has any, and comes back to this one soon. */
static void judge_failure(kb_reader *reader, const struct kb_report_message *message, uint64_t word,
                          uint32_t slot, struct report_result *result) {
    bool hinted = message->hint_ms != KB_NO_HINT;
    bool held = result->guarded &&
                (message->outcome == KB_INVALID || (message->outcome == KB_RATE && !hinted));
    result->verdict = KB_NEXT_KEY;
    /* A renewed key needs no skip, unless this reader has not been able to read what is new. */
    bool renewed = result->stale && reader->sync_error == 0;
    if (message->outcome == KB_PERMISSION || message->scope == KB_SCOPE_REQUEST || renewed ||
        kb_word_id(word) != message->key_id)
        return;
    uint64_t skip_ms = held ? KBI_GUARD_SKIP_MS : hinted ? message->hint_ms : KBI_SKIP_MS;
    kbi_skip_add(&reader->skips, &(struct skip){ .id = message->key_id,
                                                 .word = word,
                                                 .until_ms = kbi_mono_ms() + skip_ms,
                                                 .slot = slot,
                                                 .hinted = hinted });
    kbi_reader_stir(reader);
    if (held && !has_other(reader, message->key_id))
        result->verdict = KB_RETRY_LATER;
}

/*
 * The status word is read before the report leaves, so that the broker's answer to it ends the
 * skip. It may have changed since the caller was handed the key; then it says so itself.
 */
struct report_result kbi_report(kb_reader *reader, const struct kb_report_message *message) {
    struct report_result result = { .verdict = KB_GIVE_UP, .fate = REPORT_NOT_SENT };
    uint64_t word = 0, valid_since = 0;
    uint32_t slot_index = 0, flags = 0;
    const struct kb_board_slot *slot = slot_of(reader, message->key_id, &slot_index);

    if (slot) {
        word = atomic_load_explicit(&slot->status, memory_order_acquire);
        valid_since = atomic_load_explicit(&slot->valid_since, memory_order_relaxed);
        if (kb_word_id(word) == message->key_id)
            result.stale = message->generation < valid_since;
    }
    if (reader->attachment.board)
        flags = atomic_load_explicit(&reader->attachment.board->flags, memory_order_relaxed);
    result.guarded = flags & KB_BOARD_GUARDED;
    switch (message->outcome) {
    case KB_SUCCESS:
        result.verdict = KB_OK;
        if (!success_is_due(reader, slot, flags, message->key_id)) {
            kbi_report_flush(reader);
            return result;
        }
        break;
    case KB_INVALID:
    case KB_PERMISSION:
    case KB_QUOTA:
    case KB_RATE:
    case KB_OVERLOAD:
    case KB_NETWORK:
        break;
    default:
        return result;
    }
    /* First the others, then this reader: all of them wait for it. */
    result.fate = send_or_queue(reader, message, valid_since);
    if (message->outcome == KB_OVERLOAD || message->outcome == KB_NETWORK)
        result.verdict = judge_endpoint(reader, message->key_id);
    else if (message->outcome != KB_SUCCESS)
        judge_failure(reader, message, word, slot_index, &result);
    return result;
}

kb_verdict kb_report(kb_reader *reader, kb_ticket ticket, kb_outcome outcome, uint64_t hint_ms) {
    if (!reader || ticket.id == 0 || ticket.id > KB_KEY_ID_MAX)
        return KB_GIVE_UP;
    if (hint_ms == 0)
        hint_ms = KB_NO_HINT;
    else if (hint_ms != KB_NO_HINT && hint_ms > KBI_HINT_MAX_MS)
        hint_ms = KBI_HINT_MAX_MS;
    struct kb_report_message message = {
        .size = sizeof message,
        .type = KB_REPORT_OUTCOME,
        .scope = KB_SCOPE_DEFAULT,
        .key_id = ticket.id,
        .generation = ticket.generation,
        .hint_ms = hint_ms,
        .outcome = (uint32_t)outcome,
        .count = 1,
    };
    return kbi_report(reader, &message).verdict;
}
