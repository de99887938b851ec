/*
 * What the loop's ring lets an intruder do: somebody who runs code in the broker maps the ring once
 * more and submits what he likes, past every seccomp filter. A ring of the same shape, which is not
 * bound, shows that the attack itself works.
 */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "../support/loop_end.h"

/* The only ring that this process has open. */
static int find_ring(void) {
    for (int fd = 3; fd < 1024; fd++) {
        char link[64], name[64] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, name, sizeof name - 1) > 0 && strcmp(name, "anon_inode:[io_uring]") == 0)
            return fd;
    }
    cr_assert_fail("the loop has no ring");
    return -1;
}

static unsigned ring_number(int fd, const char *field) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file);
    unsigned value = 0;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, field, strlen(field)) == 0)
            value = (unsigned)strtoul(line + strlen(field), NULL, 0);
    fclose(file);
    cr_assert_gt(value, 0u, "no %s", field);
    return value;
}

/* A ring of the same size, and through it the layout of the other. */
static void make_twin(int fd, struct io_uring *ret_twin, struct io_uring *ret_intruder) {
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL,
        .cq_entries = ring_number(fd, "CqMask:") + 1,
    };
    cr_assert_eq(io_uring_queue_init_params(ring_number(fd, "SqMask:") + 1, ret_twin, &parameters),
                 0);
    cr_assert_eq(io_uring_queue_mmap(fd, &parameters, ret_intruder), 0);
}

enum attack { OPEN_FILE, MAKE_SOCKET, READ_MESSAGE, TAKE_FIXED_FILE, ATTACKS };

static int attack(struct io_uring *ring, enum attack kind) {
    static struct msghdr message;
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    cr_assert_not_null(sqe);
    switch (kind) {
    case OPEN_FILE:
        io_uring_prep_openat(sqe, AT_FDCWD, "/proc/self/environ", O_RDONLY | O_CLOEXEC, 0);
        break;
    case MAKE_SOCKET:
        io_uring_prep_socket(sqe, AF_INET, SOCK_STREAM, 0, 0);
        break;
    case READ_MESSAGE: /* descriptors could be passed in */
        io_uring_prep_recvmsg(sqe, -1, &message, MSG_DONTWAIT);
        break;
    case TAKE_FIXED_FILE:
    case ATTACKS:
        io_uring_prep_recv(sqe, 0, NULL, 0, MSG_DONTWAIT);
        sqe->flags |= IOSQE_FIXED_FILE;
    }
    struct io_uring_cqe *cqe;
    cr_assert_geq(io_uring_submit_and_wait(ring, 1), 0);
    cr_assert_eq(io_uring_peek_cqe(ring, &cqe), 0);
    int result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return result;
}

Test(loop_on_io_uring, its_ring_does_only_what_the_loop_needs) {
    struct loop *loop = make_loop(LOOP_URING);
    struct io_uring twin, intruder;
    make_twin(find_ring(), &twin, &intruder);
    int file = attack(&twin, OPEN_FILE);
    cr_assert_geq(file, 0, "the attack itself fails: %s", strerror(-file));
    close(file);
    cr_assert_neq(attack(&twin, READ_MESSAGE), -EACCES);
    cr_assert_neq(attack(&twin, TAKE_FIXED_FILE), -EACCES);
    for (enum attack kind = OPEN_FILE; kind < ATTACKS; kind++)
        cr_assert_eq(attack(&intruder, kind), -EACCES, "attack %d succeeded", kind);
    io_uring_queue_exit(&twin);
    loop_free(loop);
}

static int register_with(int fd, unsigned what, void *argument, unsigned count) {
    return syscall(SYS_io_uring_register, fd, what, argument, count) < 0 ? -errno : 0;
}

Test(loop_on_io_uring, nothing_more_is_registered_with_its_ring) {
    struct loop *loop = make_loop(LOOP_URING);
    int fd = find_ring(), files[] = { 0 };
    struct io_uring_restriction all = { .opcode = IORING_RESTRICTION_SQE_OP,
                                        .sqe_op = IORING_OP_OPENAT };
    cr_assert_eq(register_with(fd, IORING_REGISTER_FILES, files, 1), -EACCES);
    cr_assert_eq(register_with(fd, IORING_REGISTER_PERSONALITY, NULL, 0), -EACCES);
    cr_assert_lt(register_with(fd, IORING_REGISTER_RESTRICTIONS, &all, 1), 0);
    loop_free(loop);
}
