/*
 * See standin_arrival.h. The kernel hands its stamps out with recvmsg, but libmicrohttpd reads with
 * recv: so this program brings a recv of its own, which the library then finds instead of libc's.
 */
#include "standin_arrival.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

enum { CONNECTIONS = 8192 }; /* descriptors beyond that are not stamped */

static _Atomic uint64_t arrivals[CONNECTIONS];

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The kernel stamps with the calendar's clock. */
static uint64_t stamp_of(struct msghdr *message) {
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        struct timespec stamp;
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&stamp, CMSG_DATA(part), sizeof(stamp));
        uint64_t calendar_ns = (uint64_t)stamp.tv_sec * 1000000000u + (uint64_t)stamp.tv_nsec;
        return calendar_ns - (clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC));
    }
    return 0;
}

ssize_t recv(int fd, void *buffer, size_t size, int flags) {
    _Alignas(struct cmsghdr) char control[128];
    struct iovec piece = { .iov_base = buffer, .iov_len = size };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = control,
                              .msg_controllen = sizeof(control) };
    ssize_t length = recvmsg(fd, &message, flags);
    if (length > 0 && fd < CONNECTIONS)
        arrivals[fd] = stamp_of(&message);
    return length;
}

void standin_arrival_watch(int fd) {
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){ 1 }, sizeof(int));
    if (fd < CONNECTIONS)
        arrivals[fd] = 0;
}

uint64_t standin_arrival_ns(int fd) {
    return fd < CONNECTIONS ? arrivals[fd] : 0;
}
