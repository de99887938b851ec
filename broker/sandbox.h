/*
 * What the broker gives up once it is up, so that whoever takes it over through its sockets gets
 * little: privileges, and with a seccomp filter every system call that serving does not need. One
 * filter does for both loops. Called by startup.c only: first sandbox_drop_privileges, while the
 * process has one thread (capabilities are a thread's own), then sandbox_enter, when directories,
 * store, ring and sockets are open, which binds all threads that there are.
 *
 * What the broker does while it runs must be in sandbox.c's list: pools and their sockets come and
 * go, catalogs are written, a failing store is reopened, a wiped runtime directory is made anew,
 * groups are looked up, and in the end everything is shut down.
 */
#ifndef BROKER_SANDBOX_H
#define BROKER_SANDBOX_H

/* No new privileges for ever, and of root's capabilities only what serving needs. 0 or -errno. */
int sandbox_drop_privileges(void);

/* From here on a call that is not in the list fails with ENOSYS, as on a kernel that does not have
 * it, and one that only an intruder makes (another program, another process's memory, another ring)
 * ends the process. -EOPNOTSUPP: built with a sanitizer, whose run-time library does as it likes.
 * 0 or -errno. */
int sandbox_enter(void);

#endif
