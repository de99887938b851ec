/*
 * What the library's files share: the reader, and one section per file with what that file offers
 * the others. Internal functions are called kbi_…, so that the static library claims no other names
 * and the version script (kb_*) exports none of them.
 *
 * Rules for every file here: nothing found in shared memory is trusted to be in range; no loop
 * depends on it for its end; what was handed to the caller stays intact until a call that the
 * public header names.
 */
#ifndef CLIENT_INTERNAL_H
#define CLIENT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include <keybroker.h>
#include <keybroker_shared/board.h>
#include <keybroker_shared/catalog.h>
#include <keybroker_shared/report.h>

#define KBI_NEVER UINT64_MAX

enum {
    KBI_NOT_READY = 1,           /* attach: found, but its broker is still making it */
    KBI_NO_FD = -1,              /* a descriptor that is not open */
    KBI_RETRY_MS = 10,           /* between tries to attach, open a catalog, connect */
    KBI_CALENDAR_MS = 800,       /* and up to KBI_CALENDAR_SPREAD_MS more: how often who goes by */
    KBI_CALENDAR_SPREAD_MS = 63, /* the calendar looks whether it was set */
    KBI_CALENDAR_STEP_MS = 100,  /* less may be the coarse clocks' own doing */
    KBI_SKIPS = 256,
    KBI_SKIP_FILTER_BITS = 2048,
    KBI_SKIP_MS = 30000,      /* a skip without a hint */
    KBI_GUARD_SKIP_MS = 5000, /* the same while the guard holds: it may not be the key */
    KBI_QUEUE = 64,
    KBI_SUCCESSES = 64,
    KBI_TROUBLES = 8,
    KBI_TROUBLE_MS = 10000,
    KBI_HINT_MAX_MS = 24 * 60 * 60 * 1000,
};

/* Both coarse clocks, in milliseconds; a vDSO read, never a system call. */
struct now {
    uint64_t mono_ms;
    int64_t wall_ms;
};

static inline uint64_t kbi_mono_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static inline struct now kbi_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME_COARSE, &time);
    return (struct now){ kbi_mono_ms(), (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000 };
}

/* ---- attach.c: a pool's directory and its board ---- */

struct attachment {
    const struct kb_board *board; /* mapped read-only; NULL = detached */
    int dir_fd;                   /* O_PATH */
    const char *pool_path;        /* of the directory, the caller's, for where there is no /proc */
    dev_t device;
    ino_t inode;
};

bool kbi_pool_name_is_valid(const char *pool);

/* Find the pool's directory as kb_open promises; *ret_path is the caller's. 0 or KB_E…. */
int kbi_attach_find(const char *pool, const kb_options *options, char **ret_path);

/* Map the board in the directory, whose path must outlive the attachment. 0, KBI_NOT_READY or
 * KB_E…. */
int kbi_attach_open(struct attachment *ret_attachment, const char *pool_path);
void kbi_attach_close(struct attachment *attachment);

/* What /proc/self/fd/… leads to can be opened. It is by descriptors that the library opens what
 * LMDB and connect want a path for; without /proc (in a chroot, say) by name. */
bool kbi_attach_has_proc(void);

/* False when another board, or none, stands at this one's name. */
bool kbi_attach_is_in_place(const struct attachment *attachment, const char *pool_path);

/* ---- catalog.c: one published catalog; the only file that calls mdb_* ---- */

struct kbi_lmdb;
struct kbi_rules;
struct catalog {
    unsigned refs;
    uint64_t version;
    const struct kb_catalog_entry *entries; /* in order of priority, checked */
    uint32_t count;
    uint32_t strategy;
    const char *vendor;
    bool endpoints_differ;   /* not all keys have the same base URL */
    struct kbi_rules *rules; /* classify.h; NULL = none */
    struct spread *spread;   /* NULL unless the strategy is spread */
    struct kbi_lmdb *lmdb;
};

/* Verify and open the catalog that the board names. 0, KBI_NOT_READY (none yet, or met half-way) or
 * KB_E…. */
int kbi_catalog_open(struct catalog **ret_catalog, const struct attachment *attachment);
struct catalog *kbi_catalog_ref(struct catalog *catalog);
struct catalog *kbi_catalog_unref(struct catalog *catalog); /* NULL allowed; returns NULL */

/* The key's record, bounds checked; NULL if there is none or it is not sound. Does not allocate. */
const struct kb_catalog_key *kbi_catalog_record(const struct catalog *catalog, uint64_t id);

/* Fill all of *ret_key but the ticket's generation. False, and untouched, without the record. */
bool kbi_catalog_fill(const struct catalog *catalog, uint64_t id, kb_key *ret_key);

/* An account label as entries hold it; 0 for none. */
uint64_t kbi_account_hash(const char *account);

/* The key's base URL as entries hold it; 0 without the record. */
uint64_t kbi_catalog_endpoint(const struct catalog *catalog, uint64_t id);

/* ---- skip.c: keys that this reader has seen fail ---- */

struct skip {
    uint64_t id;
    uint64_t word; /* the status word at the report; another one ends the skip */
    uint64_t until_ms;
    uint32_t slot;
    bool hinted; /* until_ms is what the vendor asked for */
};

struct skips {
    uint32_t count;
    uint64_t filter[KBI_SKIP_FILTER_BITS / 64]; /* by slot; a clear bit means no skip */
    struct skip skips[KBI_SKIPS];
};

void kbi_skip_add(struct skips *skips, const struct skip *skip);
void kbi_skip_prune(struct skips *skips, const struct kb_board *board, uint64_t now_ms);

/* 0 = not skipped. */
uint64_t kbi_skip_until(const struct skips *skips, uint64_t id, uint32_t slot);

/* ---- trouble.c: endpoints that this reader has seen fail ---- */

struct trouble {
    uint64_t endpoint; /* as entries hold it; 0 = free */
    uint64_t until_ms;
};

struct troubles {
    uint64_t until_ms; /* none lasts longer: the quick way to know that there is none */
    struct trouble troubles[KBI_TROUBLES];
};

void kbi_trouble_add(struct troubles *troubles, uint64_t endpoint, uint64_t now_ms);
/* 0 = not in trouble. */
uint64_t kbi_trouble_until(const struct troubles *troubles, uint64_t endpoint, uint64_t now_ms);
void kbi_trouble_clear(struct troubles *troubles, uint64_t endpoint);

/* ---- report.c: the connection to the broker ---- */

struct reporter {
    int fd;
    pid_t pid; /* who opened fd and queued */
    uint64_t connect_after_ms;
    uint32_t count;
    struct kb_report_message queue[KBI_QUEUE]; /* oldest first, one per key */
    uint64_t success_after_ms[KBI_SUCCESSES];  /* by key id; not before */
};

/* What became of a report on this side of the socket. */
enum report_fate { REPORT_NOT_SENT, REPORT_SENT, REPORT_QUEUED };
struct report_result {
    kb_verdict verdict;
    enum report_fate fate;
    bool stale;   /* older than the key's valid_since: the broker will only count it */
    bool guarded; /* the mass-failure guard was on */
};

/* Judge, queue and send one report whose outcome, key, generation and hint are set; the rest of the
 * message travels as it is. */
struct report_result kbi_report(kb_reader *reader, const struct kb_report_message *message);
void kbi_report_init(struct reporter *reporter);
void kbi_report_flush(kb_reader *reader);
void kbi_report_disconnect(struct reporter *reporter);

/* ---- spread.c: picks in proportion to weight ---- */

struct spread;
struct spread *kbi_spread_new(uint32_t count);
struct spread *kbi_spread_free(struct spread *spread); /* NULL allowed; returns NULL */
void kbi_spread_clear(struct spread *spread);
void kbi_spread_add(struct spread *spread, uint32_t position, uint32_t weight);
void kbi_spread_finish(struct spread *spread); /* after the last kbi_spread_add */
uint32_t kbi_spread_usable(const struct spread *spread);
uint32_t kbi_spread_position(const struct spread *spread, uint32_t index); /* index < usable */

/* How often a position comes up in usable × total throws: usable × its weight. For tests. */
uint64_t kbi_spread_share(const struct spread *spread, uint32_t position);

/* A position by weight (at least one must be usable); the key there, NULL if its record is unsound;
 * both at once. */
uint32_t kbi_spread_throw(kb_reader *reader);
const kb_key *kbi_spread_key(kb_reader *reader, uint32_t position);
const kb_key *kbi_spread_pick(kb_reader *reader);

/* Private random numbers that differ between readers, threads and forked processes. */
struct dice {
    uint64_t state;
    uint32_t *fork_mark; /* two words on a page that a fork wipes; NULL = not had */
};
void kbi_dice_init(struct dice *dice);
void kbi_dice_deinit(struct dice *dice);
uint64_t kbi_dice_roll(struct dice *dice);
/* Was no fork between the last kbi_dice_set_process and now? False where that cannot be told
 * without a system call. */
static inline bool kbi_dice_is_of_this_process(const struct dice *dice) {
    return dice->fork_mark && dice->fork_mark[1] != 0;
}
static inline void kbi_dice_set_process(struct dice *dice) {
    if (dice->fork_mark)
        dice->fork_mark[1] = 1;
}

/* ---- choose.c: which key, and for how long ---- */

/* A status read with its deadline: when this key may be used. */
struct standing {
    kb_status status;
    uint64_t usable_from_ms; /* CLOCK_MONOTONIC; 0 = now, KBI_NEVER = not by itself */
};

struct standing kbi_standing(const struct kb_board *board, uint32_t slot_count,
                             const struct kb_catalog_entry *entry, const struct now *now);
uint32_t kbi_slot_count(const struct kb_board *board);

/* As usable_from_ms, the reader's own skips included. */
uint64_t kbi_usable_from(const kb_reader *reader, uint32_t slot_count,
                         const struct kb_catalog_entry *entry, const struct now *now);

/* Until when the key is left for last because of its endpoint; 0 = it is not. */
uint64_t kbi_avoided_until(const kb_reader *reader, const struct kb_catalog_entry *entry,
                           uint64_t now_ms);

/* Why an attached pool has no key to give. */
int kbi_why_none(const kb_reader *reader);

/* Choose anew; fills the reader's choice. `moved`: the generation did, so the hint may be used. */
void kbi_choose(kb_reader *reader, uint64_t generation, bool moved, const struct now *now);

/* ---- reader.c: the reader itself ---- */

struct kb_reader {
    /* What the hot path reads. Who must look closer every time watches a word of the library's own
     * that never matches, whatever a damaged board says. */
    const _Atomic uint64_t *watched;
    uint64_t fast_generation;
    const kb_key *choice; /* NULL = none */

    const _Atomic uint64_t *generation; /* the board's; of a detached reader the library's word */

    /* What the choice was made from and how long it holds. */
    uint64_t seen_generation;   /* the first that was read */
    uint64_t ticket_generation; /* the last at which `catalog` was the board's own: a reader that
                                   could not follow must not speak for what it has not read */
    uint64_t valid_until_ms;    /* look at the choice again */
    bool dirty;                 /* choose anew, whatever the generation */
    bool calendar;              /* the choice depends on the time of day, which can be set */
    uint32_t choice_position;
    uint64_t deadline_ms;  /* choose anew at this time at the latest */
    int64_t wall_ahead_ms; /* the calendar's lead over CLOCK_MONOTONIC at the choice */
    int choice_error;      /* why there is none */
    int error;             /* kb_last_error */
    struct dice dice;

    struct attachment attachment;
    struct catalog *catalog;
    struct catalog *held;    /* the one that keys in the caller's hands point into */
    bool misplaced;          /* the file at the board's name is another */
    uint64_t place_check_ms; /* when kb_wait looks at that again */
    int sync_error;          /* why board or catalog are not the newest */
    uint64_t retry_ms;       /* not before; 0 = nothing to try again */

    kb_key choice_key; /* choice points here, unless the strategy is spread */
    const struct catalog *choice_catalog;
    kb_key next_key; /* kb_next's own */

    char *pool_path;
    struct skips skips;
    struct troubles troubles;
    struct reporter reporter;
};

_Static_assert(offsetof(struct kb_reader, valid_until_ms) < 64, "the hot path is one cache line");

/* From now on kb_current hands the choice out while the board is at `generation`; KBI_NEVER: looks
 * closer every time. */
void kbi_reader_watch(kb_reader *reader, uint64_t generation);

/* Bring board and catalog up to date, as far as possible, without touching keys that the caller
 * holds. Returns 0 or why there is no catalog at all; the generation is the first that was read. */
int kbi_reader_sync(kb_reader *reader, const struct now *now, uint64_t *ret_generation);

/* Sync, choose anew; keys in the caller's hands end here. */
void kbi_reader_refresh(kb_reader *reader);

/* Refresh if anything changed or a deadline passed. */
void kbi_reader_look(kb_reader *reader);

/* The next kb_current looks closer. */
void kbi_reader_stir(kb_reader *reader);

/* Notice a board that was replaced behind everybody's back; enters the kernel. */
void kbi_reader_check_place(kb_reader *reader);

#endif
