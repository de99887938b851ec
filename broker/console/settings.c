/* See settings.h. */
#include "settings.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <keybroker.h>

#include "../memory.h"

static const char HELP[] =
    "keybroker-console: the key pools of this host as a web page\n"
    "\n"
    "usage: keybroker-console [OPTION...]\n"
    "\n"
    "  --listen ADDRESS:PORT      where (127.0.0.1:8480); port 0 takes any that is free; an\n"
    "                             address that others reach needs --token-file, and TLS in front\n"
    "  --runtime-dir DIR          the broker's runtime directory\n"
    "  --token-file FILE          sign in with the token in this file (32 or more characters, "
    "mode\n"
    "                             0600 or 0400) instead of with one-time tokens\n"
    "  --metrics-token-file FILE  serve /metrics to those who send the token in this file\n"
    "  --host NAME                a name by which browsers reach it, beside its address; again "
    "for\n"
    "                             more\n"
    "  --version, --help\n"
    "\n"
    "It prints the address to open, with a token that lets one browser in. What may be done there\n"
    "is what the user that it runs as may do: run it as a member of the viewer group, and it only\n"
    "shows. The runtime directory: option, else $KEYBROKER_RUNTIME_DIR, else\n"
    "$XDG_RUNTIME_DIR/keybroker if a broker is there, else /run/keybroker.\n";

static const char DEFAULT_LISTEN[] = "127.0.0.1:8480";

enum { OPT_LISTEN = 256, OPT_RUNTIME, OPT_TOKEN, OPT_METRICS, OPT_HOST, OPT_VERSION, OPT_HELP };

static const struct option OPTIONS[] = {
    { "listen", required_argument, NULL, OPT_LISTEN },
    { "runtime-dir", required_argument, NULL, OPT_RUNTIME },
    { "token-file", required_argument, NULL, OPT_TOKEN },
    { "metrics-token-file", required_argument, NULL, OPT_METRICS },
    { "host", required_argument, NULL, OPT_HOST },
    { "version", no_argument, NULL, OPT_VERSION },
    { "help", no_argument, NULL, OPT_HELP },
    { 0 },
};

static int complain(const char *format, const char *what) {
    fprintf(stderr, format, what);
    fputs("keybroker-console: see keybroker-console --help\n", stderr);
    return 2;
}

/* ---- where to listen ---- */

static bool parse_port(const char *text, in_port_t *ret_port) {
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || port > UINT16_MAX)
        return false;
    *ret_port = htons((uint16_t)port);
    return true;
}

bool settings_parse_address(const char *text, struct sockaddr_storage *ret_address) {
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    in_port_t port;
    if (!colon || (size_t)(colon - text) >= sizeof host || !parse_port(colon + 1, &port))
        return false;
    size_t length = (size_t)(colon - text);
    memcpy(host, text, length);
    host[length] = '\0';
    struct sockaddr_storage address = { 0 };
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
    if (strcmp(host, "localhost") == 0)
        strcpy(host, "127.0.0.1");
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = port;
    } else if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1)
            return false;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = port;
    } else {
        return false;
    }
    *ret_address = address;
    return true;
}

bool settings_is_loopback(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 ==
               IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

socklen_t settings_address_size(const struct sockaddr_storage *address) {
    return address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* ---- where the broker is ---- */

static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static char *default_runtime_dir(void) {
    if (environment("KEYBROKER_RUNTIME_DIR"))
        return mem_strdup(environment("KEYBROKER_RUNTIME_DIR"));
    if (environment("XDG_RUNTIME_DIR")) {
        char *own = mem_printf("%s/keybroker", environment("XDG_RUNTIME_DIR"));
        char *socket_path = mem_printf("%s/admin.sock", own);
        bool there = access(socket_path, F_OK) == 0;
        free(socket_path);
        if (there)
            return own;
        free(own);
    }
    return mem_strdup("/run/keybroker");
}

/* ---- the options ---- */

static int add_host(struct settings *ret) {
    size_t count = 0;
    while (ret->hosts[count])
        count++;
    if (count == SETTINGS_HOSTS_MAX || !*optarg)
        return complain("keybroker-console: --host %s: empty, or one too many\n", optarg);
    ret->hosts[count] = optarg;
    return -1;
}

static int take(struct settings *ret, int option) {
    switch (option) {
    case OPT_LISTEN:
        return settings_parse_address(optarg, &ret->address)
                   ? -1
                   : complain("keybroker-console: --listen %s: an address with a port, like "
                              "127.0.0.1:8480 or [::1]:8480\n",
                              optarg);
    case OPT_RUNTIME:
        free(ret->runtime_dir);
        ret->runtime_dir = mem_strdup(optarg);
        return -1;
    case OPT_TOKEN:
        ret->token_file = optarg;
        return -1;
    case OPT_METRICS:
        ret->metrics_token_file = optarg;
        return -1;
    case OPT_HOST:
        return add_host(ret);
    case OPT_VERSION:
        printf("keybroker-console %s\n", KB_VERSION);
        return 0;
    case OPT_HELP:
        fputs(HELP, stdout);
        return 0;
    default:
        return complain("%s", "");
    }
}

int settings_parse(struct settings *ret, int argc, char **argv) {
    *ret = (struct settings){ 0 };
    settings_parse_address(DEFAULT_LISTEN, &ret->address);
    for (int option; (option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
        int code = take(ret, option);
        if (code >= 0)
            return code;
    }
    if (optind < argc)
        return complain("keybroker-console: %s: no arguments are taken\n", argv[optind]);
    ret->loopback = settings_is_loopback(&ret->address);
    if (!ret->loopback && !ret->token_file)
        return complain("keybroker-console: others reach that address: give --token-file%s\n", "");
    if (!ret->runtime_dir)
        ret->runtime_dir = default_runtime_dir();
    return -1;
}

void settings_deinit(struct settings *settings) {
    free(settings->runtime_dir);
}
