/*
 * The command line and the environment of keybroker-console, read once at start.
 */
#ifndef CONSOLE_SETTINGS_H
#define CONSOLE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include <sys/socket.h>

enum { SETTINGS_HOSTS_MAX = 8 };

struct settings {
    char *runtime_dir;               /* owned */
    struct sockaddr_storage address; /* to listen at; port 0 = any */
    bool loopback;                   /* only this host reaches it */
    const char *token_file;          /* NULL = one-time tokens */
    const char *metrics_token_file;  /* NULL = no /metrics */
    const char
        *hosts[SETTINGS_HOSTS_MAX + 1]; /* --host NAME, beside the address; NULL at the end */
};

/* Fill *ret. Returns -1 to go on, else the exit code: 0 after --help or --version, 2 after a
 * mistake (explained on stderr). */
int settings_parse(struct settings *ret, int argc, char **argv);
void settings_deinit(struct settings *settings);

/* "127.0.0.1:8480", "[::1]:8480", "localhost:8480" → address. False if it is none. */
bool settings_parse_address(const char *text, struct sockaddr_storage *ret_address);
bool settings_is_loopback(const struct sockaddr_storage *address);
socklen_t settings_address_size(const struct sockaddr_storage *address);

#endif
