/*
 * Whether LMDB can be trusted with the store's file. LMDB has no checksums: it follows page numbers
 * and offsets as they stand, so one flipped bit crashes it when it reads, or makes its next commit
 * write over good pages. Here everything that it will rely on is read first and taken at its word
 * for nothing: every page of the current state and of its free list is where one other page says,
 * nodes lie within their pages without overlapping, keys ascend, counts are as recorded. What the
 * values hold is the vault's to prove. Called by store.c before LMDB opens the file; never writes.
 *
 * Layout (LMDB 0.9, 64-bit, native byte order). The first two pages are meta pages: a page header,
 * then magic, version, address, map size, the records of two trees (free list, tables), the last
 * page's number and the transaction's. The one with the higher transaction is the current state.
 * The other one may have been left half restored by a failed commit; LMDB uses no more of it than
 * its transaction's number, and so it is here.
 */
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"

enum {
    PAGE_NUMBER_AT = 0,
    PAGE_FLAGS_AT = 10,
    PAGE_LOWER_AT = 12,    /* behind the offsets of the nodes */
    PAGE_UPPER_AT = 14,    /* where the nodes begin */
    PAGE_OVERFLOW_AT = 12, /* how many pages a large value takes */
    PAGE_HEADER = 16,
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_OVERFLOW = 4,
    PAGE_META = 8,
    PAGE_SIZE_LEAST = 512,
    PAGE_SIZE_MOST = 32768,

    META_MAGIC_AT = 16,
    META_VERSION_AT = 20,
    META_FREE_AT = 40,
    META_MAIN_AT = 88,
    META_LAST_PAGE_AT = 136,
    META_TRANSACTION_AT = 144,
    META_SIZE = 152,
    META_VERSION = 1,

    TREE_PAD_AT = 0, /* the free list's holds the page size */
    TREE_FLAGS_AT = 4,
    TREE_DEPTH_AT = 6,
    TREE_BRANCHES_AT = 8,
    TREE_LEAVES_AT = 16,
    TREE_OVERFLOWS_AT = 24,
    TREE_ENTRIES_AT = 32,
    TREE_ROOT_AT = 40,
    TREE_SIZE = 48,
    TREE_FIXED_MAP = 0x01,
    TREE_INTEGER_KEYS = 0x08,

    NODE_FLAGS_AT = 4,
    NODE_KEY_SIZE_AT = 6,
    NODE_HEADER = 8,
    NODE_LARGE = 1, /* the value is the number of its first page */
    NODE_TREE = 2,  /* the value is a tree's record */

    LEVELS_MOST = 32,
};
#define META_MAGIC 0xBEEFC0DEu
#define NO_PAGE UINT64_MAX

enum tree_kind { TREE_FREE_LIST, TREE_OF_TABLES, TREE_TABLE };

struct tree {
    enum tree_kind kind;
    uint16_t depth;
    uint64_t branches, leaves, overflows, entries;
    uint64_t root;
};

struct inspection {
    int fd;
    uint32_t page_size; /* 0 = not known yet */
    uint64_t last_page;
    uint64_t transaction;
    uint64_t newest_freed;              /* the highest transaction in the free list */
    unsigned char *claimed;             /* a bit a page: somebody uses it, or it is free */
    unsigned char *levels[LEVELS_MOST]; /* the pages from the root to where we are */
    bool *starts;                       /* by offset: a node begins there */
    char *wrong;                        /* 128 bytes */
};

static uint16_t native_u16(const unsigned char *bytes) {
    uint16_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static uint32_t native_u32(const unsigned char *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static uint64_t native_u64(const unsigned char *bytes) {
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static bool damaged(struct inspection *file, uint64_t page, const char *how) {
    snprintf(file->wrong, 128, "is damaged (page %llu: %s)", (unsigned long long)page, how);
    return false;
}

/* Read rather than mapped: a sector that cannot be read is an error here, not a SIGBUS. */
static bool read_at(struct inspection *file, uint64_t page, void *bytes, size_t size) {
    uint64_t offset = page * file->page_size;
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(file->fd, (char *)bytes + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return damaged(file, page, got < 0 ? strerror(errno) : "is missing");
        done += (size_t)got;
    }
    return true;
}

/* Everybody's pages are their own. */
static bool claim(struct inspection *file, uint64_t page, uint64_t count) {
    if (page < 2 || page > file->last_page || count > file->last_page - page + 1)
        return damaged(file, page, "out of bounds");
    for (; count > 0; count--, page++) {
        unsigned char bit = (unsigned char)(1u << page % 8);
        if (file->claimed[page / 8] & bit)
            return damaged(file, page, "used twice");
        file->claimed[page / 8] |= bit;
    }
    return true;
}

/* ---- values ---- */

struct value {
    const unsigned char *bytes; /* NULL: in pages of its own, from `page` */
    uint64_t page;
    uint32_t size;
};

static bool check_large(struct inspection *file, struct tree *tree, const struct value *value) {
    unsigned char header[PAGE_HEADER];
    uint64_t needed = (PAGE_HEADER - 1 + (uint64_t)value->size) / file->page_size + 1;
    if (value->page < 2 || value->page > file->last_page)
        return damaged(file, value->page, "out of bounds");
    if (!read_at(file, value->page, header, sizeof(header)))
        return false;
    uint32_t pages = native_u32(header + PAGE_OVERFLOW_AT);
    if (native_u64(header + PAGE_NUMBER_AT) != value->page ||
        native_u16(header + PAGE_FLAGS_AT) != PAGE_OVERFLOW || pages < needed)
        return damaged(file, value->page, "not the large value that it should be");
    tree->overflows -= pages;
    return claim(file, value->page, pages);
}

/* Descending page numbers behind their count: LMDB takes runs of neighbours from them. */
static bool check_free_pages(struct inspection *file, uint64_t page, const unsigned char *bytes,
                             uint32_t size) {
    uint64_t count = size >= 8 ? native_u64(bytes) : UINT64_MAX;
    if (count > size / 8 - 1)
        return damaged(file, page, "a free list that is too short");
    for (uint64_t i = 1, before = UINT64_MAX; i <= count; i++) {
        uint64_t number = native_u64(bytes + i * 8);
        if (number >= before)
            return damaged(file, page, "a free list out of order");
        if (!claim(file, number, 1))
            return false;
        before = number;
    }
    return true;
}

static bool check_free_entry(struct inspection *file, uint64_t page, const unsigned char *key,
                             uint16_t key_size, const struct value *value) {
    uint64_t freed_by = key_size == 8 ? native_u64(key) : 0;
    if (freed_by == 0 || freed_by > file->transaction)
        return damaged(file, page, "freed by a transaction that was not");
    file->newest_freed = freed_by;
    if (value->bytes)
        return check_free_pages(file, page, value->bytes, value->size);
    unsigned char *bytes = mem_alloc(PAGE_HEADER + (size_t)value->size);
    bool well = read_at(file, value->page, bytes, PAGE_HEADER + (size_t)value->size) &&
                check_free_pages(file, value->page, bytes + PAGE_HEADER, value->size);
    free(bytes);
    return well;
}

/* ---- pages ---- */

static bool check_tree(struct inspection *file, enum tree_kind kind, const unsigned char *record,
                       unsigned level);

static const unsigned char *node_at(const unsigned char *page, unsigned index) {
    return page + native_u16(page + PAGE_HEADER + 2 * index);
}

static uint32_t value_size(const unsigned char *node) {
    return native_u32(node); /* low and high half, on a little-endian machine */
}

static uint64_t child_of(const unsigned char *node) {
    return native_u32(node) | (uint64_t)native_u16(node + NODE_FLAGS_AT) << 32;
}

/* How long a node is, as LMDB counts; more than any page if it says nonsense. */
static uint64_t node_bytes(const unsigned char *node, bool leaf) {
    uint64_t bytes = NODE_HEADER + (uint64_t)native_u16(node + NODE_KEY_SIZE_AT);
    if (leaf)
        bytes += native_u16(node + NODE_FLAGS_AT) & NODE_LARGE ? 8 : value_size(node);
    return (bytes + 1) & ~UINT64_C(1);
}

/* Header and nodes: the nodes fill the page from `upper` to its end, each once. */
static bool check_layout(struct inspection *file, const unsigned char *page, uint64_t number,
                         unsigned *ret_count) {
    uint16_t flags = native_u16(page + PAGE_FLAGS_AT);
    uint32_t lower = native_u16(page + PAGE_LOWER_AT), upper = native_u16(page + PAGE_UPPER_AT);
    if (native_u64(page + PAGE_NUMBER_AT) != number || (flags != PAGE_BRANCH && flags != PAGE_LEAF))
        return damaged(file, number, "not the page that it should be");
    if (lower <= PAGE_HEADER || lower % 2 != 0 || lower > upper || upper > file->page_size)
        return damaged(file, number, "wrong bounds");
    unsigned count = (lower - PAGE_HEADER) / 2, met = 0;
    memset(file->starts, 0, file->page_size);
    for (unsigned i = 0; i < count; i++) {
        uint16_t offset = native_u16(page + PAGE_HEADER + 2 * i);
        if (offset < upper || offset % 2 != 0 || offset + (uint32_t)NODE_HEADER > file->page_size ||
            file->starts[offset])
            return damaged(file, number, "a node out of bounds");
        file->starts[offset] = true;
    }
    for (uint64_t at = upper; at < file->page_size; met++) {
        if (!file->starts[at])
            return damaged(file, number, "nodes that overlap");
        at += node_bytes(page + at, flags == PAGE_LEAF);
        if (at > file->page_size)
            return damaged(file, number, "a node out of bounds");
    }
    if (met != count)
        return damaged(file, number, "nodes that overlap");
    *ret_count = count;
    return true;
}

/* Do keys ascend from a to b? Either may be NULL: then they do. */
static bool ascend(enum tree_kind kind, const unsigned char *a, const unsigned char *b,
                   bool or_equal) {
    if (!a || !b)
        return true;
    uint16_t a_size = native_u16(a + NODE_KEY_SIZE_AT), b_size = native_u16(b + NODE_KEY_SIZE_AT);
    if (kind == TREE_FREE_LIST && a_size == 8 && b_size == 8) {
        uint64_t left = native_u64(a + NODE_HEADER), right = native_u64(b + NODE_HEADER);
        return left < right || (or_equal && left == right);
    }
    int order = memcmp(a + NODE_HEADER, b + NODE_HEADER, a_size < b_size ? a_size : b_size);
    if (order == 0)
        order = a_size - b_size;
    return order < 0 || (or_equal && order == 0);
}

static bool check_entry(struct inspection *file, struct tree *tree, uint64_t page,
                        const unsigned char *node, unsigned level) {
    uint16_t flags = native_u16(node + NODE_FLAGS_AT);
    uint16_t key_size = native_u16(node + NODE_KEY_SIZE_AT);
    const unsigned char *key = node + NODE_HEADER;
    struct value value = { .bytes = key + key_size, .size = value_size(node) };
    if (flags != (tree->kind == TREE_OF_TABLES ? NODE_TREE : flags & NODE_LARGE))
        return damaged(file, page, "a value of another kind");
    tree->entries--;
    if (tree->kind == TREE_OF_TABLES)
        return value.size == TREE_SIZE ? check_tree(file, TREE_TABLE, value.bytes, level + 1)
                                       : damaged(file, page, "not the record of a table");
    if (flags & NODE_LARGE) {
        value.page = native_u64(value.bytes);
        value.bytes = NULL;
        if (!check_large(file, tree, &value))
            return false;
    }
    return tree->kind == TREE_FREE_LIST ? check_free_entry(file, page, key, key_size, &value)
                                        : true;
}

/* A page and what is below it. Its keys are not before `low` and before `high` (nodes of pages
 * above; NULL = no bound). A branch's first node has no key that counts. */
static bool check_page(struct inspection *file, struct tree *tree, uint64_t number, unsigned height,
                       unsigned level, const unsigned char *low, const unsigned char *high) {
    if (level == LEVELS_MOST)
        return damaged(file, number, "too deep");
    if (!file->levels[level])
        file->levels[level] = mem_alloc(file->page_size);
    unsigned char *page = file->levels[level];
    unsigned count = 0;
    if (!claim(file, number, 1) || !read_at(file, number, page, file->page_size) ||
        !check_layout(file, page, number, &count))
        return false;
    bool leaf = native_u16(page + PAGE_FLAGS_AT) == PAGE_LEAF;
    if (leaf != (height == 1))
        return damaged(file, number, "at the wrong height");
    if (leaf)
        tree->leaves--;
    else
        tree->branches--;
    const unsigned char *before = low;
    for (unsigned i = 0; i < count; i++) {
        const unsigned char *node = node_at(page, i);
        const unsigned char *next = i + 1 < count ? node_at(page, i + 1) : NULL;
        bool has_key = leaf || i > 0;
        if (has_key && (!ascend(tree->kind, before, node, before == low) ||
                        !ascend(tree->kind, node, high, false)))
            return damaged(file, number, "keys out of order");
        if (has_key)
            before = node;
        if (leaf ? !check_entry(file, tree, number, node, level)
                 : !check_page(file, tree, child_of(node), height - 1, level + 1, before,
                               next ? next : high))
            return false;
    }
    return true;
}

/* ---- trees ---- */

/* The counts of the record are counted down; what is met once too often wraps round. */
static bool check_tree(struct inspection *file, enum tree_kind kind, const unsigned char *record,
                       unsigned level) {
    struct tree tree = {
        .kind = kind,
        .depth = native_u16(record + TREE_DEPTH_AT),
        .branches = native_u64(record + TREE_BRANCHES_AT),
        .leaves = native_u64(record + TREE_LEAVES_AT),
        .overflows = native_u64(record + TREE_OVERFLOWS_AT),
        .entries = native_u64(record + TREE_ENTRIES_AT),
        .root = native_u64(record + TREE_ROOT_AT),
    };
    uint16_t flags = native_u16(record + TREE_FLAGS_AT);
    uint64_t at = tree.root == NO_PAGE ? 0 : tree.root;
    if (kind == TREE_FREE_LIST ? (flags & 0xff) != TREE_INTEGER_KEYS
                               : flags != 0 || native_u32(record + TREE_PAD_AT) != 0)
        return damaged(file, at, "the root of a tree of another kind");
    if (tree.root == NO_PAGE
            ? tree.depth != 0
            : tree.depth == 0 || !check_page(file, &tree, tree.root, tree.depth, level, NULL, NULL))
        return *file->wrong ? false : damaged(file, at, "a root at the wrong height");
    if (tree.branches || tree.leaves || tree.overflows || tree.entries)
        return damaged(file, at, "the root of a tree that counts otherwise");
    return true;
}

/* The free list goes first, so that the transactions in it are known to be in order. Each commit
 * frees the pages that it has copied, so its own number is the last one there: a meta page whose
 * number was raised says so. */
static bool check_state(struct inspection *file, const unsigned char *meta) {
    file->last_page = native_u64(meta + META_LAST_PAGE_AT);
    file->transaction = native_u64(meta + META_TRANSACTION_AT);
    file->claimed = mem_alloc(file->last_page / 8 + 1);
    file->starts = mem_alloc(file->page_size);
    bool well = check_tree(file, TREE_FREE_LIST, meta + META_FREE_AT, 0);
    if (well && file->transaction > 1 && file->newest_freed != file->transaction)
        well = damaged(file, 0, "the wrong transaction");
    well = well && check_tree(file, TREE_OF_TABLES, meta + META_MAIN_AT, 0);
    free(file->starts);
    free(file->claimed);
    for (size_t i = 0; i < LEVELS_MOST; i++)
        free(file->levels[i]);
    return well;
}

/* ---- meta pages ---- */

static bool is_wrong(struct inspection *file, const char *how) {
    snprintf(file->wrong, 128, "%s", how);
    return false;
}

static bool check_meta(struct inspection *file, unsigned number, uint64_t file_size,
                       unsigned char meta[META_SIZE]) {
    off_t offset = (off_t)number * (off_t)file->page_size;
    if (pread(file->fd, meta, META_SIZE, offset) != META_SIZE)
        return is_wrong(file, "is truncated");
    if (native_u16(meta + PAGE_FLAGS_AT) != PAGE_META ||
        native_u32(meta + META_MAGIC_AT) != META_MAGIC)
        return is_wrong(file, "is not an LMDB file");
    if (native_u32(meta + META_VERSION_AT) != META_VERSION)
        return is_wrong(file, "is of another LMDB version");
    uint32_t size = native_u32(meta + META_FREE_AT + TREE_PAD_AT);
    if (size < PAGE_SIZE_LEAST || size > PAGE_SIZE_MOST || (size & (size - 1)) != 0 ||
        (file->page_size != 0 && file->page_size != size))
        return is_wrong(file, "is damaged (page size)");
    file->page_size = size;
    if (native_u16(meta + META_FREE_AT + TREE_FLAGS_AT) & TREE_FIXED_MAP)
        return is_wrong(file, "is damaged (address)");
    /* LMDB itself does not always write the last pages of a transaction (those that were freed
     * again within it), so in general a file may be shorter than this; the store's never is,
     * because store_txn_begin extends it to the whole map before anything is written. */
    if (native_u64(meta + META_LAST_PAGE_AT) >= file_size / size)
        return is_wrong(file, "is truncated");
    return true;
}

/* Each commit writes the page that does not hold the state that it replaces. */
static bool check_file(struct inspection *file, uint64_t file_size) {
    unsigned char metas[2][META_SIZE];
    for (unsigned i = 0; i < 2; i++)
        if (!check_meta(file, i, file_size, metas[i]))
            return false;
    uint64_t first = native_u64(metas[0] + META_TRANSACTION_AT);
    uint64_t second = native_u64(metas[1] + META_TRANSACTION_AT);
    bool is_new = first == 0 && second == 0;
    if (!is_new && (first % 2 != 0 || (first + 1 != second && second + 1 != first)))
        return is_wrong(file, "is damaged (transactions)");
    return check_state(file, metas[first < second]);
}

int store_inspect(int dir_fd, bool *ret_exists, char error[256]) {
    /* O_NONBLOCK: a FIFO in the file's place must not hang the start. */
    int fd = openat(dir_fd, STORE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *ret_exists = false;
        return 0;
    }
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        int rc = -errno;
        snprintf(error, 256, "cannot open the store " STORE_FILE ": %s", strerror(-rc));
        if (fd >= 0)
            close(fd);
        return rc;
    }

    char wrong[128] = "";
    struct inspection file = { .fd = fd, .wrong = wrong };
    if (!S_ISREG(st.st_mode))
        is_wrong(&file, "is not a regular file");
    else if (st.st_size == 0)
        is_wrong(&file, "is empty"); /* a store of ours is renamed into place whole */
    else
        check_file(&file, (uint64_t)st.st_size);
    close(fd);
    if (*wrong) {
        snprintf(error, 256,
                 "the store " STORE_FILE " %s; it was left as it is: restore it from a backup",
                 wrong);
        return -EUCLEAN;
    }
    *ret_exists = true;
    return 0;
}
