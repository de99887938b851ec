/*
 * Spreading: picks keys in proportion to their weights in constant time (Vose's alias method, with
 * whole numbers), from memory that was allocated with the catalog. Called by choose.c. Also owns
 * the reader's random numbers, which must differ between readers and after a fork, or a host's
 * workers would all pick the same keys in step.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* One column of the alias table: a throw below `keep` of `total` takes positions[0], others take
 * positions[1]. 16 bits are enough: a pool has at most 65,536 keys. */
struct column {
    uint32_t keep;
    uint16_t positions[2];
};

enum { CACHE_KEYS = 1024, TAG_SHIFT_MAX = 10 };
_Static_assert(KB_BOARD_SLOTS_MAX <= 65536, "columns and positions are 16 bits");
_Static_assert(KB_BOARD_SLOTS_MAX / CACHE_KEYS < UINT8_MAX, "tags are 8 bits");

struct spread {
    uint32_t capacity;
    uint32_t usable;
    uint32_t total; /* sum of weights: at most 65,536 × 1,000 */
    bool even;
    struct column *columns;
    uint16_t *work; /* two stacks, growing towards each other */

    /* Filled keys, direct-mapped by position. A tag of 0 is empty. */
    uint32_t cache_shift;
    uint8_t *tags;
    kb_key *keys;
};

struct spread *kbi_spread_new(uint32_t count) {
    struct spread *spread = calloc(1, sizeof *spread);
    if (!spread)
        return NULL;
    while (spread->cache_shift < TAG_SHIFT_MAX && (UINT32_C(1) << spread->cache_shift) < count)
        spread->cache_shift++;
    size_t room = count ? count : 1, cached = (size_t)1 << spread->cache_shift;
    spread->capacity = count;
    spread->columns = calloc(room, sizeof *spread->columns);
    spread->work = calloc(room, sizeof *spread->work);
    spread->tags = calloc(cached, sizeof *spread->tags);
    spread->keys = calloc(cached, sizeof *spread->keys);
    if (!spread->columns || !spread->work || !spread->tags || !spread->keys)
        return kbi_spread_free(spread);
    return spread;
}

struct spread *kbi_spread_free(struct spread *spread) {
    if (!spread)
        return NULL;
    free(spread->columns);
    free(spread->work);
    free(spread->tags);
    free(spread->keys);
    free(spread);
    return NULL;
}

void kbi_spread_clear(struct spread *spread) {
    spread->usable = 0;
    spread->total = 0;
    spread->even = true;
}

/* A weight out of range would break the sums: such a key counts as 1. */
void kbi_spread_add(struct spread *spread, uint32_t position, uint32_t weight) {
    if (spread->usable == spread->capacity)
        return;
    if (weight == 0 || weight > 1000)
        weight = 1;
    spread->columns[spread->usable] =
        (struct column){ .keep = weight, .positions = { (uint16_t)position } };
    if (weight != spread->columns[0].keep)
        spread->even = false;
    spread->usable++;
    spread->total += weight;
}

/*
 * Scale every weight so that the mean is `total`, then fill each column that is below it from one
 * that is above. Everything stays a whole number, so nothing is lost to rounding.
 */
void kbi_spread_finish(struct spread *spread) {
    struct column *columns = spread->columns;
    uint32_t count = spread->usable, total = spread->total;
    uint32_t small = 0, large = count; /* stack tops: [0, small) and [large, count) */
    if (spread->even)
        return;
    for (uint32_t i = 0; i < count; i++) {
        columns[i].keep *= count;
        columns[i].positions[1] = columns[i].positions[0];
        if (columns[i].keep < total)
            spread->work[small++] = (uint16_t)i;
        else
            spread->work[--large] = (uint16_t)i;
    }
    while (small > 0 && large < count) {
        struct column *less = &columns[spread->work[--small]];
        uint16_t more = spread->work[large];
        less->positions[1] = columns[more].positions[0];
        columns[more].keep -= total - less->keep;
        if (columns[more].keep < total) {
            large++;
            spread->work[small++] = more;
        }
    }
}

uint32_t kbi_spread_usable(const struct spread *spread) {
    return spread->usable;
}

uint32_t kbi_spread_position(const struct spread *spread, uint32_t index) {
    return spread->columns[index].positions[0];
}

uint64_t kbi_spread_share(const struct spread *spread, uint32_t position) {
    uint64_t share = 0;
    for (uint32_t i = 0; i < spread->usable; i++) {
        const struct column *column = &spread->columns[i];
        uint32_t keep = spread->even || column->keep > spread->total ? spread->total : column->keep;
        if (column->positions[0] == position)
            share += keep;
        if (column->positions[1] == position)
            share += spread->total - keep;
    }
    return share;
}

/* The key at `position` of the order, filled on first use. NULL if its record is not sound. */
const kb_key *kbi_spread_key(kb_reader *reader, uint32_t position) {
    struct catalog *catalog = reader->catalog;
    struct spread *spread = catalog->spread;
    uint32_t cached = position & ((UINT32_C(1) << spread->cache_shift) - 1);
    uint8_t tag = (uint8_t)((position >> spread->cache_shift) + 1);
    kb_key *key = &spread->keys[cached];
    if (spread->tags[cached] != tag) {
        spread->tags[cached] = 0;
        if (!kbi_catalog_fill(catalog, catalog->entries[position].id, key))
            return NULL;
        spread->tags[cached] = tag;
    }
    key->ticket.generation = reader->ticket_generation;
    return key;
}

/* Indexed rather than branched: no predictor guesses dice. */
static inline uint32_t throw_dice(const struct spread *spread, struct dice *dice) {
    uint64_t roll = kbi_dice_roll(dice);
    const struct column *column = &spread->columns[(roll >> 32) * spread->usable >> 32];
    if (spread->even)
        return column->positions[0];
    return column->positions[(uint32_t)((roll & UINT32_MAX) * spread->total >> 32) >= column->keep];
}

uint32_t kbi_spread_throw(kb_reader *reader) {
    return throw_dice(reader->catalog->spread, &reader->dice);
}

const kb_key *kbi_spread_pick(kb_reader *reader) {
    return kbi_spread_key(reader, throw_dice(reader->catalog->spread, &reader->dice));
}

static void seed(struct dice *dice) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    dice->state = (uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)dice ^
                  (uint64_t)time.tv_nsec * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)time.tv_sec;
    if (dice->fork_mark)
        *dice->fork_mark = 1;
}

/* A page that the kernel wipes in a forked child tells the child, without a system call, that its
 * numbers would repeat the parent's. Where that is not to be had, they do repeat. */
void kbi_dice_init(struct dice *dice) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *mark = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mark != MAP_FAILED && madvise(mark, page, MADV_WIPEONFORK) < 0) {
        munmap(mark, page);
        mark = MAP_FAILED;
    }
    dice->fork_mark = mark == MAP_FAILED ? NULL : mark;
    seed(dice);
}

void kbi_dice_deinit(struct dice *dice) {
    if (dice->fork_mark)
        munmap(dice->fork_mark, (size_t)sysconf(_SC_PAGESIZE));
    dice->fork_mark = NULL;
}

/* wyrand: a multiplication and an addition, good enough to share work out. */
uint64_t kbi_dice_roll(struct dice *dice) {
    if (dice->fork_mark && *dice->fork_mark == 0)
        seed(dice);
    dice->state += UINT64_C(0xa0761d6478bd642f);
    __extension__ unsigned __int128 product =
        (unsigned __int128)dice->state * (dice->state ^ UINT64_C(0xe7037ed1a0b428db));
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}
