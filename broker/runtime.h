/*
 * Directories, locks and sockets: the state directory, the runtime directory and a pool's place in
 * it. Everything is opened relative to descriptors, symbolic links are never followed, and what
 * belongs to somebody else is never used.
 */
#ifndef BROKER_RUNTIME_H
#define BROKER_RUNTIME_H

#include <stdbool.h>
#include <sys/types.h>

/* Open (make, with its parents) a directory with this mode. -EACCES if it belongs to somebody else.
 * With `refuse_disk`: -EMEDIUMTYPE unless it is on tmpfs or ramfs. Descriptor or -errno. */
int runtime_open_dir(const char *path, mode_t mode, bool refuse_disk);

#define RUNTIME_LOCK_FILE ".lock"

/* Lock that file in the directory (never unlinked) for this process. Descriptor, -EBUSY if another
 * broker has it, or -errno. */
int runtime_lock(int dir_fd);

/* Open or make a directory below `parent_fd`: `mode`, group `gid` ((gid_t)-1 = leave). Descriptor
 * or -errno
 * (-EPERM: may not chgrp). */
int runtime_open_subdir(int parent_fd, const char *name, mode_t mode, gid_t gid);

/* Give a file its directory's group, then this mode: who may enter the directory may read it. 0 or
 * -errno. */
int runtime_share_file(int fd, int dir_fd, mode_t mode);

/* A listening Unix socket at dir_fd/name, replacing what a dead broker left; `type` SOCK_STREAM or
 * SOCK_SEQPACKET. Descriptor or -errno. */
int runtime_listen(int dir_fd, const char *name, int type, mode_t mode, gid_t gid);

#endif
