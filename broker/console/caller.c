/* See caller.h. */
#include "caller.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool caller_equals(const struct caller *one, const struct caller *other) {
    return one->kind == other->kind && one->name == other->name;
}

/* ---- addresses ---- */

/* Either family as IPv6, so that there is one form. */
struct end {
    struct in6_addr address;
    in_port_t port;
    sa_family_t family;
};

static void read_end(const struct sockaddr_storage *from, struct end *ret) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
    *ret = (struct end){ .family = from->ss_family };
    if (from->ss_family == AF_INET) {
        ret->address.s6_addr[10] = ret->address.s6_addr[11] = 0xff;
        memcpy(&ret->address.s6_addr[12], &v4->sin_addr, sizeof v4->sin_addr);
        ret->port = v4->sin_port;
    } else if (from->ss_family == AF_INET6) {
        ret->address = v6->sin6_addr;
        ret->port = v6->sin6_port;
    }
}

static uint32_t v4_of(const struct end *end) {
    uint32_t address;
    memcpy(&address, &end->address.s6_addr[12], sizeof address);
    return address;
}

static bool is_loopback(const struct end *end) {
    return IN6_IS_ADDR_V4MAPPED(&end->address) ? ntohl(v4_of(end)) >> 24 == IN_LOOPBACKNET
                                               : IN6_IS_ADDR_LOOPBACK(&end->address);
}

/* ---- users ---- */

static void put_address(const struct end *end, __be32 ret[4]) {
    if (end->family == AF_INET)
        ret[0] = v4_of(end);
    else
        memcpy(ret, &end->address, sizeof end->address);
}

/* The socket at the other end: its user. False: it can't be known; of one that was closed already
 * the kernel would say root. */
static bool find_user(const struct end *peer, const struct end *own, uid_t *ret_uid) {
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 what;
    } request = { .head = { .nlmsg_len = sizeof request,
                            .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                            .nlmsg_flags = NLM_F_REQUEST },
                  .what = {
                      .sdiag_family = (__u8)peer->family,
                      .sdiag_protocol = IPPROTO_TCP,
                      .idiag_states = ~0u,
                      .id = { .idiag_sport = peer->port,
                              .idiag_dport = own->port,
                              .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } } };
    put_address(peer, request.what.id.idiag_src);
    put_address(own, request.what.id.idiag_dst);
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    union {
        struct nlmsghdr head;
        char bytes[4096];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return false;
    ssize_t got = -1;
    if (sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel) > 0)
        got = recv(fd, &answer, sizeof answer, MSG_DONTWAIT); /* it is here when sendto returns */
    close(fd);
    const struct inet_diag_msg *found = NLMSG_DATA(&answer.head);
    if (got < (ssize_t)NLMSG_LENGTH(sizeof *found) ||
        answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY || !found->idiag_inode)
        return false;
    *ret_uid = found->idiag_uid;
    return true;
}

struct caller caller_of(int fd) {
    struct sockaddr_storage there, here;
    socklen_t there_size = sizeof there, here_size = sizeof here;
    if (getpeername(fd, (struct sockaddr *)&there, &there_size) < 0 ||
        getsockname(fd, (struct sockaddr *)&here, &here_size) < 0)
        return (struct caller){ .kind = CALLER_LOCAL };
    struct end peer, own;
    read_end(&there, &peer);
    read_end(&here, &own);
    if (!is_loopback(&peer)) {
        uint64_t half = 0;
        if (IN6_IS_ADDR_V4MAPPED(&peer.address))
            half = ntohl(v4_of(&peer));
        else
            memcpy(&half, &peer.address, sizeof half);
        return (struct caller){ .kind = CALLER_ADDRESS, .name = half };
    }
    uid_t uid;
    if (!find_user(&peer, &own, &uid))
        return (struct caller){ .kind = CALLER_LOCAL };
    if (uid == 0 || uid == geteuid())
        return (struct caller){ .kind = CALLER_OWNER };
    return (struct caller){ .kind = CALLER_USER, .name = uid };
}
