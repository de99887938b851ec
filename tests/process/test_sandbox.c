/*
 * What the broker gave up before it serves: every thread of it is under the filter and has no
 * privileges to gain; and what the filter does with calls that it does not allow, tried in
 * processes under the same filter. That it allows what the broker needs is what all other process
 * tests show.
 */
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "sandbox.h"
#include "tests/support/broker.h"
#include "tests/support/peer.h"
#include "tests/support/program.h"
#include "tests/support/worker.h"

/* ---- the broker ---- */

/* A number of a thread's status; `base` 16 for sets of capabilities. */
static unsigned long long thread_number(pid_t pid, const char *thread, const char *field,
                                        int base) {
    char *status = program_read_file(scene_text("/proc/%d/task/%s/status", (int)pid, thread), NULL);
    cr_assert_not_null(status);
    const char *line = strstr(status, scene_text("\n%s:\t", field));
    cr_assert_not_null(line, "no %s in the status", field);
    unsigned long long number = strtoull(line + strlen(field) + 3, NULL, base);
    free(status);
    return number;
}

/* How many threads were looked at. */
static unsigned expect_of_threads(const struct broker *b, const char *field, int base,
                                  unsigned long long expected) {
    DIR *threads = opendir(scene_text("/proc/%d/task", (int)b->pid));
    cr_assert_not_null(threads);
    unsigned count = 0;
    for (struct dirent *thread; (thread = readdir(threads));) {
        if (thread->d_name[0] == '.')
            continue;
        cr_assert_eq(thread_number(b->pid, thread->d_name, field, base), expected,
                     "%s of thread %s", field, thread->d_name);
        count++;
    }
    closedir(threads);
    return count;
}

TEST_BOTH_LOOPS(sandbox, every_thread_is_bound_before_the_first_command) {
    broker_start(b, NULL);
    cr_assert_geq(expect_of_threads(b, "NoNewPrivs", 10, 1), 2u);
    if (!scene_sanitized())
        cr_assert_geq(expect_of_threads(b, "Seccomp", 10, 2), 2u);
}

TEST_BOTH_LOOPS(sandbox, roots_broker_keeps_three_capabilities) {
    if (geteuid() != 0)
        cr_skip_test("only root has any");
    unsigned long long kept = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_IPC_LOCK;
    broker_start(b, NULL);
    kept &= thread_number(getpid(), scene_text("%d", (int)getpid()), "CapPrm", 16);
    cr_assert_geq(expect_of_threads(b, "CapEff", 16, kept), 2u);
    expect_of_threads(b, "CapPrm", 16, kept);
    expect_of_threads(b, "CapInh", 16, 0);
}

/* By name: the look-up goes through whatever nsswitch.conf names. */
TEST_BOTH_LOOPS(sandbox, groups_are_looked_up_by_name_under_the_filter) {
    if (geteuid() != 0)
        cr_skip_test("only root may give files to any group");
    broker_start(b, NULL);
    struct peer *peer = peer_open(b);
    char names[3][64];
    unsigned found = 0;
    setgrent();
    for (struct group *group; found < 3 && (group = getgrent());)
        if (group->gr_gid != 0)
            snprintf(names[found++], sizeof names[0], "%s", group->gr_name);
    endgrent();
    cr_assert_gt(found, 0u, "this system has no groups");
    for (unsigned i = 0; i < found; i++)
        peer_must_with(peer, "sk-test-0123456789abcdef", "add pool p%u vendor=openai group=%s", i,
                       names[i]);
    struct answer *refused = peer_ask_with(peer, "sk-test-0123456789abcdef",
                                           "add pool q vendor=openai group=no-such-group");
    cr_assert_eq(refused->code, 404, "%s", refused->status);
}

/* ---- the filter ---- */

struct attempt {
    const char *name;
    long (*make)(void);
};

enum { DIES = 128 + SIGSYS, NO_FILTER = 255 };

static int try_it(void *argument) {
    const struct attempt *attempt = argument;
    if (sandbox_enter())
        return NO_FILTER;
    errno = 0;
    return attempt->make() < 0 ? errno : 0;
}

/* 0, the errno, or DIES */
static int outcome(const struct attempt *attempt) {
    int code = worker_wait(worker_fork(try_it, (void *)(uintptr_t)attempt));
    cr_assert_neq(code, NO_FILTER, "the filter could not be had");
    return code;
}

static void expect_all(const struct attempt *attempts, size_t count, int expected) {
    if (scene_sanitized())
        cr_skip_test("a sanitizer's run-time library does not live under the filter");
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(outcome(&attempts[i]), expected, "%s", attempts[i].name);
}

static long run_program(void) {
    char *none[] = { NULL };
    return execve("/bin/true", none, none);
}

static long fork_once(void) {
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static long trace_parent(void) {
    return syscall(SYS_ptrace, 16, getppid(), 0, 0); /* PTRACE_ATTACH */
}

static long read_parent(void) {
    return syscall(SYS_process_vm_readv, getppid(), NULL, 0UL, NULL, 0UL, 0UL);
}

static long make_ring(void) {
    struct io_uring_params parameters = { 0 };
    return syscall(SYS_io_uring_setup, 8, &parameters);
}

static long become_somebody(void) {
    return syscall(SYS_setuid, 65534);
}

static long mount_something(void) {
    return syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, NULL);
}

Test(sandbox, what_only_an_intruder_does_ends_the_process) {
    static const struct attempt ATTEMPTS[] = {
        { "execve", run_program },           { "ptrace", trace_parent },
        { "process_vm_readv", read_parent }, { "io_uring_setup", make_ring },
        { "setuid", become_somebody },       { "mount", mount_something },
    };
    expect_all(ATTEMPTS, sizeof ATTEMPTS / sizeof *ATTEMPTS, DIES);
}

static long reach_the_network(void) {
    return socket(AF_INET, SOCK_STREAM, 0);
}

static long watch_routes(void) {
    return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long receive_descriptors(void) {
    struct msghdr message = { 0 };
    return recvmsg(-1, &message, 0);
}

static long run_made_code(void) {
    void *code =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return code == MAP_FAILED ? -1 : 0;
}

static long make_code_runnable(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return 0;
    return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static long kill_parent(void) {
    return kill(getppid(), SIGTERM);
}

static long kill_parents_thread(void) {
    return syscall(SYS_tgkill, getppid(), getppid(), SIGTERM);
}

static long raise_limit(void) {
    struct rlimit limit = { 64, 64 };
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static long register_with_a_ring(void) {
    return syscall(SYS_io_uring_register, -1, IORING_REGISTER_FILES, NULL, 0);
}

static long change_root(void) {
    return chroot("/");
}

Test(sandbox, anything_else_is_a_call_that_the_kernel_does_not_have) {
    static const struct attempt ATTEMPTS[] = {
        { "clone", fork_once },
        { "socket(AF_INET)", reach_the_network },
        { "socket(AF_NETLINK)", watch_routes },
        { "recvmsg", receive_descriptors },
        { "mmap(PROT_EXEC)", run_made_code },
        { "mprotect(PROT_EXEC)", make_code_runnable },
        { "kill", kill_parent },
        { "tgkill of another process", kill_parents_thread },
        { "setrlimit", raise_limit },
        { "io_uring_register", register_with_a_ring },
        { "chroot", change_root },
    };
    expect_all(ATTEMPTS, sizeof ATTEMPTS / sizeof *ATTEMPTS, ENOSYS);
}

static long open_unix_socket(void) {
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long map_memory(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : mprotect(page, 4096, PROT_READ);
}

static long look_at_limit(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit);
}

Test(sandbox, the_same_calls_with_harmless_arguments_work) {
    static const struct attempt ATTEMPTS[] = {
        { "socket(AF_UNIX)", open_unix_socket },
        { "mmap", map_memory },
        { "getrlimit", look_at_limit },
    };
    expect_all(ATTEMPTS, sizeof ATTEMPTS / sizeof *ATTEMPTS, 0);
}

static long give_up(void) {
    abort();
}

Test(sandbox, abort_still_aborts) {
    if (scene_sanitized())
        cr_skip_test("a sanitizer's run-time library does not live under the filter");
    static const struct attempt ABORT = { "abort", give_up };
    cr_assert_eq(outcome(&ABORT), 128 + SIGABRT);
}
