/*
 * Who a number names: groups by name, and which user and group ids can be trusted to name anybody.
 *
 * In a user namespace (rootless containers, userns-remap) the kernel shows every id that the
 * namespace does not map as one and the same number, the overflow id, 65534 as a rule. Where that
 * is also the broker's own uid (`USER nobody`), strangers and their files would pass for its own.
 * So while ids are unmapped, the overflow ids name nobody.
 *
 * Group look-ups go through NSS and may block; they are for commands and the start. Everything else
 * reads files of /proc once. Any thread.
 */
#ifndef BROKER_IDENTITY_H
#define BROKER_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

/* A group's id by name or number; "" = (gid_t)-1. 0; -ENOENT: this host has no such group; another
 * -errno: the look-up itself failed, so nobody knows (a directory service that is away, say). */
int identity_find_group(const char *name, gid_t *ret_gid);

/* Is it the user that the broker runs as, and nobody else? */
bool identity_is_own_user(uid_t uid);
/* Can membership in the group be told from that in any group which has no number here? */
bool identity_group_is_known(gid_t gid);

/* Does a /proc/PID/uid_map (or gid_map) with this content map every id? For identity.c and its
 * tests. */
bool identity_map_is_whole(const char *map);

#endif
