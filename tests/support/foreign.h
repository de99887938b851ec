/*
 * Programs under test for other users, whom root's tests become: the build may lie where only root
 * may enter, say below a root home (0700), and a temporary directory may be one that nothing can be
 * executed in.
 */
#ifndef TESTS_FOREIGN_H
#define TESTS_FOREIGN_H

/* As scene_program, but a path that every user may execute: a copy, where the build is closed to
 * others. Only for root, also for one who has taken on an identity (peer_become). */
const char *foreign_program(const char *name);

#endif
