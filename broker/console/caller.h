/*
 * The caller: who is at the other end of a connection, as far as it can be known, so that one who
 * guesses tokens uses up nobody's patience but their own. For connections of this host the kernel
 * names the user (sock_diag: one look-up, however many sockets there are); for others there is the
 * address. Where a web server stands in front, everybody behind it is that server's user.
 */
#ifndef CONSOLE_CALLER_H
#define CONSOLE_CALLER_H

#include <stdbool.h>
#include <stdint.h>

enum caller_kind {
    CALLER_NONE = 0,
    CALLER_OWNER,   /* root, or the user that the console runs as */
    CALLER_USER,    /* another one of this host: `name` is the uid */
    CALLER_LOCAL,   /* somebody of this host */
    CALLER_ADDRESS, /* `name` is an IPv4 address, or the first half of an IPv6 one */
};

struct caller {
    enum caller_kind kind;
    uint64_t name;
};

/* Of a connected TCP socket. */
struct caller caller_of(int fd);
bool caller_equals(const struct caller *one, const struct caller *other);

#endif
