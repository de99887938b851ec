/*
 * See sandbox.h. Two answers to what is not allowed: what a library may try on another system gets
 * ENOSYS, because libraries then do without, where EPERM would be an error and death an outage
 * after an upgrade of libc. What no library has a reason to try is a sign of a break-in: the
 * process dies, and the kernel's audit log names the call.
 *
 * A filter cannot see what io_uring does, so no further ring can be made and the loop's own is
 * bound to its operations (loop_uring.c). recvmsg is not in the list, so that no accomplice can
 * hand in a ring, or any other descriptor.
 *
 * libseccomp and not a program of our own for the kernel's machine: it knows the calls' numbers on
 * every architecture, looks into 64-bit arguments rightly, and orders the list as a search tree.
 */
#include "sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include "identity.h"
#include "memory.h"

/* Numbers that this architecture does not have (open on arm64) are negative, and passed over. */
static const int ALLOWED[] = {
    /* the loops */
    SCMP_SYS(io_uring_enter), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),
    SCMP_SYS(timerfd_settime), SCMP_SYS(accept4), SCMP_SYS(recvfrom), SCMP_SYS(sendto),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(close),
    /* sockets of pools and of the admin; connecting: look-ups of groups */
    SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(connect), SCMP_SYS(getsockopt), SCMP_SYS(sendmsg),
    /* threads, signals, time, the end */
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), /* a thread for a backup */
    SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday),
    SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
    SCMP_SYS(getegid), SCMP_SYS(exit), SCMP_SYS(exit_group),
    /* memory */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock),
    SCMP_SYS(munlock), SCMP_SYS(getrandom), SCMP_SYS(sysinfo), /* by qsort */
    SCMP_SYS(uname), /* by LMDB, when a store is opened again */
    /* files: the store, catalogs, boards, the master key, /etc/group */
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(fcntl), SCMP_SYS(flock), SCMP_SYS(stat),
    SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(statfs),
    SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
    SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(lseek), SCMP_SYS(pread64),
    SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(writev), SCMP_SYS(fsync), SCMP_SYS(fdatasync),
    SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(getdents64), SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
    SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(chmod), SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat), SCMP_SYS(fchown), SCMP_SYS(fchownat), SCMP_SYS(umask),
    SCMP_SYS(inotify_add_watch), /* on catalogs that were replaced */
};

static const int DEADLY[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(bpf),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(mount),
    SCMP_SYS(setuid),
    SCMP_SYS(setresuid),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
};

struct condition {
    int call;
    unsigned argument;
    uint64_t mask, bits;
};

/* Newer libraries set the highest bit of what they register with a ring. */
#define INT_BITS UINT32_MAX
#define REGISTER_BITS INT32_MAX
#define ALL_BITS UINT64_MAX

static const struct condition CONDITIONS[] = {
    /* A thread of this process, not another process. Of clone3 a filter sees nothing: without it
     * libc takes clone. */
    { SCMP_SYS(clone), 0, CLONE_VM | CLONE_THREAD, CLONE_VM | CLONE_THREAD },
    { SCMP_SYS(socket), 0, INT_BITS, AF_UNIX },
    /* No code comes in: what look-ups need was loaded before (load_lookups). */
    { SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
    { SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
    /* The ring's end: its operations are taken back, its registered descriptor is let go. */
    { SCMP_SYS(io_uring_register), 1, REGISTER_BITS, IORING_REGISTER_SYNC_CANCEL },
    { SCMP_SYS(io_uring_register), 1, REGISTER_BITS, IORING_UNREGISTER_RING_FDS },
    { SCMP_SYS(prlimit64), 2, ALL_BITS, 0 },  /* to look at limits, not to set them */
    { SCMP_SYS(ioctl), 1, INT_BITS, TCGETS }, /* is stderr a terminal? */
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A call that this architecture does not have needs no rule. */
static int settle(int error) {
    return error == -EDOM ? 0 : error;
}

static int rule_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count) {
    int error = 0;
    for (size_t i = 0; i < count && !error; i++)
        error = settle(seccomp_rule_add_array(filter, action, calls[i], 0, NULL));
    return error;
}

/* Allowed where the argument's bits in `mask` are these. */
static int rule_if(scmp_filter_ctx filter, const struct condition *when) {
    struct scmp_arg_cmp argument = { .arg = when->argument,
                                     .op = SCMP_CMP_MASKED_EQ,
                                     .datum_a = when->mask,
                                     .datum_b = when->bits };
    return settle(seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, when->call, 1, &argument));
}

static int rule_conditions(scmp_filter_ctx filter) {
    /* abort(), and nobody else's signals */
    const struct condition own = { SCMP_SYS(tgkill), 0, INT_BITS, (uint32_t)getpid() };
    int error = rule_if(filter, &own);
    for (size_t i = 0; i < COUNT(CONDITIONS) && !error; i++)
        error = rule_if(filter, &CONDITIONS[i]);
    return error;
}

/* Part of every sanitizer's run-time library, and of nothing else. Those start processes and trace
 * them, with which an allow list would be worth nothing. */
extern void __sanitizer_print_stack_trace(void) __attribute__((weak));

/* All of nsswitch.conf's modules for groups are loaded by a look-up that none can answer. */
static void load_lookups(void) {
    gid_t gid;
    identity_find_group("keybroker:no-such-group", &gid);
}

static int make_filter(void) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!filter)
        return -ENOMEM;
    int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    /* Kernels before 5.16 slow a filtered process down against attacks by code that it runs for
     * others (speculative store bypass). The broker runs nobody's code. */
    if (!error)
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    if (!error)
        error = rule_all(filter, SCMP_ACT_ALLOW, ALLOWED, COUNT(ALLOWED));
    if (!error)
        error = rule_all(filter, SCMP_ACT_KILL_PROCESS, DEADLY, COUNT(DEADLY));
    if (!error)
        error = rule_conditions(filter);
    if (!error)
        error = seccomp_load(filter);
    seccomp_release(filter);
    return error;
}

/* Out of memory libc's look-ups crash, and libseccomp crashes, goes round in circles, or makes a
 * filter that kills a thread and leaves the process. So what they take (half a megabyte) is seen to
 * be there, in the heap, and kept from going back to the kernel by what lies behind it. */
int sandbox_enter(void) {
    if (__sanitizer_print_stack_trace)
        return -EOPNOTSUPP;
    enum { PIECES = 16, PIECE_BYTES = 64 * 1024 };
    void *pieces[PIECES];
    for (size_t i = 0; i < PIECES; i++)
        pieces[i] = mem_alloc(PIECE_BYTES);
    void *behind = mem_alloc(PIECE_BYTES);
    for (size_t i = 0; i < PIECES; i++)
        free(pieces[i]);
    load_lookups();
    int error = make_filter();
    free(behind);
    return error;
}

/* ---- privileges ---- */

/* Giving files to pools' groups; working in directories of others, as with --runtime-dir in a
 * user's; locking memory that holds keys. */
static const unsigned KEPT = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_IPC_LOCK;

int sandbox_drop_privileges(void) {
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capget, &header, sets) < 0)
        return -errno;
    sets[0].permitted &= KEPT;
    sets[1].permitted = 0;
    for (size_t i = 0; i < COUNT(sets); i++) {
        sets[i].effective = sets[i].permitted;
        sets[i].inheritable = 0;
    }
    return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}
