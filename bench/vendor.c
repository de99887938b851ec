/* See vendor.h. */
#include "vendor.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "sample.h"

enum { ANSWER_MAX = 512 * 1024 };

void vendor_start(struct vendor *vendor, const char *build) {
    char program[600], line[128];
    snprintf(program, sizeof program, "%s/vendor_standin", build);
    vendor->child = child_start((const char *[]){ program, NULL }, false);
    if (!child_line(&vendor->child, line, sizeof line) ||
        sscanf(line, "http://127.0.0.1:%u", &vendor->port) != 1)
        sample_die("%s does not start", program);
}

void vendor_stop(struct vendor *vendor) {
    kill(vendor->child.pid, SIGTERM);
    child_end(&vendor->child);
}

/* The answer's body, which holds until the next call. */
static const char *ask(const struct vendor *vendor, const char *what) {
    static char answer[ANSWER_MAX];
    char request[512];
    size_t length = 0;
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)vendor->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int size =
        snprintf(request, sizeof request,
                 "GET /control/%s HTTP/1.1\r\nHost: vendor\r\nConnection: close\r\n\r\n", what);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        send(fd, request, (size_t)size, MSG_NOSIGNAL) != size)
        sample_die("stand-in vendor: %s", strerror(errno));
    for (ssize_t got; (got = recv(fd, answer + length, sizeof answer - 1 - length, 0)) > 0;)
        length += (size_t)got;
    close(fd);
    answer[length] = '\0';
    const char *body = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0 || !body)
        sample_die("stand-in vendor: %s: %.80s", what, answer);
    return body + 4;
}

void vendor_control(const struct vendor *vendor, const char *format, ...) {
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    ask(vendor, what);
}

/* Of a call's time stamps: when it began, for it began before it came anywhere. */
static uint64_t first_of(const json_t *times) {
    json_int_t first = INT64_MAX;
    const json_t *time;
    size_t i;
    json_array_foreach(times, i, time) {
        if (json_integer_value(time) < first)
            first = json_integer_value(time);
    }
    return (uint64_t)first;
}

unsigned vendor_refused(const struct vendor *vendor, const char *api_key, uint64_t since_ns,
                        unsigned *ret_later) {
    char what[256];
    unsigned later = 0;
    size_t i;
    json_t *times;
    snprintf(what, sizeof what, "refusals?key=%s", api_key);
    json_t *refusals = json_loads(ask(vendor, what), 0, NULL);
    if (!refusals)
        sample_die("stand-in vendor: no list of refusals");
    json_array_foreach(json_object_get(refusals, "at"), i, times) {
        later += first_of(times) > since_ns;
    }
    unsigned count = (unsigned)json_integer_value(json_object_get(refusals, "refusals"));
    json_decref(refusals);
    *ret_later = later;
    return count;
}
