/*
 * /etc/group as a test wants it: in a mount namespace of the test's own process, which what it
 * starts inherits. Needs root; the machine's file is never touched.
 */
#ifndef TESTS_OWN_GROUPS_H
#define TESTS_OWN_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* One group "big" with this many members, and behind it "small" (gid + 1) without any. Called again
 * it replaces the file. False: not here (no root, or namespaces are not allowed). */
bool own_groups(const char *directory, gid_t gid, size_t members);

#endif
