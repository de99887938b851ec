/*
 * The catalog's writer: builds one immutable LMDB file per published version
 * (keybroker_shared/catalog.h). Called from the store thread only. Besides the store, the only file
 * of the broker that calls mdb_*.
 */
#ifndef BROKER_CATALOG_H
#define BROKER_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "record.h"

/* What a catalog is made of; nothing is kept. `keys` in order of priority. */
struct catalog_source {
    const struct pool_record *pool;
    struct key_record *const *keys;
    uint32_t key_count;
    uint32_t slot_count; /* highest slot in use + 1 */
    uint64_t version;
    bool
        regroup; /* the file is for `group`, which the directory will belong to: else for its own */
    gid_t group;
};

struct catalog_built {
    uint64_t version;
    uint64_t size;
    uint64_t checksum;
    uint32_t slot_count;
};

/* Write the file aside in the pool's directory (".catalog.<version>.new", mode 0640, the
 * directory's group). 0 or -errno (ENOSPC and the like; nothing is left behind). */
int catalog_build(const struct catalog_source *source, int pool_dir_fd,
                  struct catalog_built *ret_built);

/* Is the published file what would be built of this source (with its version)? Its size, checksum,
 * owner, group and mode are right, and every record in it is compared: no room is needed for that.
 */
bool catalog_is(const struct catalog_source *source, int pool_dir_fd,
                const struct catalog_built *published);

/* Rename a built catalog to its name; or remove it. 0 or -errno. */
int catalog_publish(int pool_dir_fd, uint64_t version);
void catalog_discard(int pool_dir_fd, uint64_t version);

/* Unlink one published version; unlink all (and left-over built ones) but `keep`. */
void catalog_unlink(int pool_dir_fd, uint64_t version);
void catalog_unlink_others(int pool_dir_fd, uint64_t keep);

#endif
