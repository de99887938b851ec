/*
 * Catalogs that were replaced and that workers still hold. A file that was unlinked keeps its pages
 * for as long as anybody has it open or mapped; nothing in the directory shows it. So each is
 * watched when it is unlinked: the kernel says when the last holder let go, whatever way it holds
 * the file, and costs one descriptor for all of them. Store thread only.
 */
#ifndef BROKER_RETIRED_H
#define BROKER_RETIRED_H

#include <stdint.h>

struct retired;

/* Where the kernel has no watches to give it counts nothing. */
struct retired *retired_new(void);
struct retired *retired_free(struct retired *retired); /* returns NULL */

/* Unlink a catalog of the pool, and count its bytes until nobody holds it any more. */
void retired_unlink(struct retired *retired, uint64_t pool_id, int pool_dir_fd, uint64_t version,
                    uint64_t bytes);
/* What the pool's workers hold now. */
uint64_t retired_bytes(struct retired *retired, uint64_t pool_id);

#endif
