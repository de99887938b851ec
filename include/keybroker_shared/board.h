/*
 * The board: one small mapped file per pool that says how every key is doing right now.
 *
 * The broker is its only writer (broker/board.c), workers map it read-only (client/attach.c). This
 * header is the layout's only description. Numbers are little-endian, as the machine has them.
 *
 *   offset 0     line 0: magic, layout, generation, replaced — the same in every layout, for ever
 *   offset 64    line 1: who serves: broker identity and heartbeat
 *   offset 128   line 2: what is published: slots, catalog
 *   offset 192   line 3: the broker's own choice (hint)
 *   offset 4096  65,536 slots of 32 bytes, sparse; only the first slot_count are allocated
 *
 * Order of stores for a status change: deadline, valid_since, backoff, status (release), hint,
 * generation (release). For a publish: rename the catalog in, statuses, slot_count,
 * the other catalog's version 0, size, checksum, version, catalog_index, hint, generation, unlink
 * the old catalog. A reader that finds version 0, or another version after reading size and
 * checksum than before, has met a publish half-way and keeps what it has until the next generation.
 * Order of loads: generation (acquire), the rest; a reader caches the first generation that it
 * read, so one that mixed two moments looks again at the next generation.
 */
#ifndef KEYBROKER_SHARED_BOARD_H
#define KEYBROKER_SHARED_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KB_BOARD_MAGIC UINT64_C(0x315244414f42424b) /* "KBBOARD1" */
#define KB_BOARD_LAYOUT 1
#define KB_BOARD_FILE "board.1"                    /* the number is the layout's */
#define KB_CATALOG_FILE_FORMAT "catalog.1.%016llx" /* layout, version */
#define KB_REPORT_SOCKET "report.sock"
#define KB_ADMIN_SOCKET "admin.sock"
#define KB_POOLS_DIR "pools"

#define KB_BOARD_SLOTS_MAX 65536u
#define KB_BOARD_SLOTS_OFFSET 4096u
#define KB_BOARD_SIZE (KB_BOARD_SLOTS_OFFSET + KB_BOARD_SLOTS_MAX * 32u)

/* Generations and catalog versions: the store's start counter above, changes since that start
 * below. A start ends long before 2^40 changes (at a million a second: twelve days). */
#define KB_GENERATION_START_SHIFT 40

/* A status word: key id (40 bits) | change counter (20) | status (4, a kb_status). 0 = slot unused.
 */
#define KB_WORD_ID_SHIFT 24
#define KB_WORD_COUNTER_SHIFT 4
#define KB_WORD_COUNTER_MASK UINT64_C(0xfffff)
#define KB_WORD_STATUS_MASK UINT64_C(0xf)
#define KB_KEY_ID_MAX ((UINT64_C(1) << 40) - 1)

static inline uint64_t kb_word_make(uint64_t id, uint32_t counter, unsigned status) {
    return id << KB_WORD_ID_SHIFT |
           ((uint64_t)counter & KB_WORD_COUNTER_MASK) << KB_WORD_COUNTER_SHIFT | status;
}
static inline uint64_t kb_word_id(uint64_t word) {
    return word >> KB_WORD_ID_SHIFT;
}
static inline unsigned kb_word_status(uint64_t word) {
    return (unsigned)(word & KB_WORD_STATUS_MASK);
}

struct kb_board_slot {
    _Atomic uint64_t status; /* a status word */
    _Atomic uint64_t
        deadline_ms; /* CLOCK_MONOTONIC ms at which the key is normal again; 0 = never by itself */
    _Atomic uint64_t valid_since; /* generation; reports with an older ticket are stale */
    _Atomic uint32_t backoff;     /* backoff level; successes are reported while it is not 0 */
    uint32_t reserved;
};

/* One published catalog. A publish fills the one that is not published and then moves
 * catalog_index, so that a broker that dies on the way leaves the old one whole. */
struct kb_board_catalog {
    _Atomic uint64_t version;  /* 0 = none yet, or being filled */
    _Atomic uint64_t size;     /* of the file, bytes */
    _Atomic uint64_t checksum; /* XXH3_64bits of the whole file */
};

/* Flags; with either of them successes are reported. GUARDED: the mass-failure guard holds the
 * pool, and one may prove that it is the keys. DOUBTED: an endpoint failed lately, though not yet
 * too often, and a few failures among many mean nothing. */
#define KB_BOARD_GUARDED 1u
#define KB_BOARD_DOUBTED 2u

/* No hint, or a pool that has no usable key: hint_position holds this. */
#define KB_BOARD_NO_POSITION UINT32_MAX

/* Line 0 as plain numbers: what either side reads of a file before it maps it. */
struct kb_board_head {
    uint64_t magic;
    uint32_t layout;
    uint32_t replaced;
    uint64_t generation;
    uint64_t size;
    uint64_t reserved[4];
};

struct kb_board {
    /* Line 0. The generation is the only word here that changes in normal operation. The magic is
     * stored last (release) when a board is made: a reader that does not see it has nothing yet. */
    _Atomic uint64_t magic;
    uint32_t layout;
    _Atomic uint32_t replaced; /* not 0: this board is dead, attach anew */
    _Atomic uint64_t generation;
    uint64_t size; /* of the file */
    uint64_t line0_reserved[4];

    /* Line 1. */
    _Atomic uint64_t heartbeat_ms; /* CLOCK_MONOTONIC ms, once a second while the broker lives */
    _Atomic uint64_t broker_start; /* the store's start counter */
    _Atomic uint32_t broker_pid;
    _Atomic uint32_t flags; /* KB_BOARD_… */
    uint64_t line1_reserved[5];

    /* Line 2. */
    _Atomic uint32_t catalog_index; /* which of the two below is published */
    _Atomic uint32_t slot_count;    /* slots that are allocated; readers never look beyond */
    struct kb_board_catalog catalogs[2];
    uint64_t line2_reserved;

    /* Line 3: the hint. hint_generation is set to 0 before the others change and to the generation
     * that is about to be published after; a reader uses the hint only if it equals the generation
     * it read. */
    _Atomic uint64_t hint_generation;
    _Atomic uint64_t hint_catalog;  /* the catalog version whose order hint_position counts in */
    _Atomic uint64_t hint_until_ms; /* CLOCK_MONOTONIC ms: no key of the pool recovers before;
                                       UINT64_MAX = none */
    _Atomic uint32_t hint_position; /* index in the order, or KB_BOARD_NO_POSITION */
    uint32_t line3_reserved0;
    uint64_t line3_reserved[4];

    unsigned char padding[KB_BOARD_SLOTS_OFFSET - 256];
    struct kb_board_slot slots[];
};

_Static_assert(sizeof(struct kb_board_slot) == 32, "two slots per cache line");
_Static_assert(offsetof(struct kb_board, layout) == 8, "line 0 never changes");
_Static_assert(offsetof(struct kb_board, replaced) == 12, "line 0 never changes");
_Static_assert(offsetof(struct kb_board, generation) == 16, "line 0 never changes");
_Static_assert(offsetof(struct kb_board, size) == 24, "line 0 never changes");
_Static_assert(sizeof(struct kb_board_head) == 64, "line 0 is one cache line");
_Static_assert(offsetof(struct kb_board, heartbeat_ms) == 64, "line 1");
_Static_assert(offsetof(struct kb_board, catalog_index) == 128, "line 2");
_Static_assert(sizeof(struct kb_board_catalog) == 24, "two in a line");
_Static_assert(offsetof(struct kb_board, hint_generation) == 192, "line 3");
_Static_assert(offsetof(struct kb_board, slots) == KB_BOARD_SLOTS_OFFSET, "slots are page-aligned");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared words must be lock-free");

/* The published catalog's version alone; 0 = none yet. */
static inline uint64_t kb_board_catalog_version(const struct kb_board *board) {
    uint32_t index = atomic_load_explicit(&board->catalog_index, memory_order_acquire) & 1;
    return atomic_load_explicit(&board->catalogs[index].version, memory_order_acquire);
}

/* Version, size and checksum that belong together. False: none yet, or it is being filled again
 * (two publishes passed meanwhile): look once more. */
static inline bool kb_board_read_catalog(const struct kb_board *board, uint64_t *ret_version,
                                         uint64_t *ret_size, uint64_t *ret_checksum) {
    uint32_t index = atomic_load_explicit(&board->catalog_index, memory_order_acquire) & 1;
    const struct kb_board_catalog *catalog = &board->catalogs[index];
    uint64_t version = atomic_load_explicit(&catalog->version, memory_order_acquire);
    uint64_t size = atomic_load_explicit(&catalog->size, memory_order_acquire);
    uint64_t checksum = atomic_load_explicit(&catalog->checksum, memory_order_acquire);
    if (version == 0 || version != atomic_load_explicit(&catalog->version, memory_order_relaxed))
        return false;
    *ret_version = version;
    *ret_size = size;
    *ret_checksum = checksum;
    return true;
}

#endif
