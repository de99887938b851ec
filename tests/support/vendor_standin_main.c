/*
 * A vendor to fail against: an HTTP server on 127.0.0.1 that meters API keys (standin_meter.h) and
 * answers in the words of OpenAI, Anthropic, Gemini or OpenRouter (standin_answer.h), whichever the
 * path begins with. The demo, the process tests and the benchmarks start it; workers reach it
 * through a key's base_url. It shares no code with the broker, so that the two can not be wrong
 * together.
 *
 *     vendor_standin [--port N] [--latency-ms MIN[-MAX]]
 *
 * It prints "http://127.0.0.1:PORT" when it listens, and ends on SIGTERM, SIGINT or with its
 * parent. The vendors are at /openai/v1/ (and /v1/), /anthropic/v1/, /gemini/v1beta/ and
 * /openrouter/v1/; each wants the key in its own header and streams when asked in its own way.
 * Everything under /dead/ closes the connection. The rest steers it:
 *
 *     POST /control/key?key=K[&quota=N][&rate=N&window_ms=M][&revoked=0|1][&answer=CLASS]
 *              make or change a key; quota and rate: -1 = unlimited, quota counts from now.
 *              CLASS is what to answer whatever else is known: invalid, permission, quota, rate,
 *              overload, overload200 and rate200 (inside HTTP 200), request, dead (no answer), cut
 * (a good one that breaks off), late (a good stream that ends with an error), or success: as the
 * meter says POST /control/revoke?key=K POST /control/all?answer=CLASS  the same for all known keys
 *     POST /control/overload?ms=N     answer overload for so long
 *     POST /control/latency?min=MS&max=MS
 *     GET  /control/stats             what each key was asked and told, times by CLOCK_MONOTONIC
 *     GET  /control/refusals?key=K    of its last 4096 refused requests: when each began by its
 *             X-Begun-Ns header, reached this host (standin_arrival.h) and had its turn here:
 *             [[begun_ns, reached_ns, arrived_ns], …]
 *
 * Threads: two of libmicrohttpd's run the handler; one of ours, the pacer, lets each answer go when
 * its latency has passed. `lock` guards the pacer's list.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "standin_arrival.h"
#include "standin_meter.h"

enum {
    THREADS = 2,
    CONNECTIONS_MAX = 4000,
    UPLOAD_KEPT = 1024,
    PIECE_MAX = 160,
    REST_NS = 50000000,
};

/* One request, from its first header to its last byte. */
struct request {
    struct MHD_Connection *connection;
    struct request *next; /* in the pacer's list, by due time */
    uint64_t reached_ns, arrived_ns;
    uint64_t due_ns;
    size_t upload_bytes;
    char upload[UPLOAD_KEPT]; /* its beginning */
    bool judged;
    bool drop; /* close the connection instead of answering */
    bool cut;  /* … in the middle of the answer */
    struct standin_answer answer;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t paced;
static struct request *pending;
static bool stopping;

/* ---- judging ---- */

static const char *key_of(struct MHD_Connection *connection, const struct standin_vendor *vendor) {
    const char *value =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, vendor->key_header);
    if (!value)
        return "";
    if (!vendor->bearer)
        return value;
    return strncasecmp(value, "Bearer ", 7) == 0 ? value + 7 : "";
}

static bool wants_stream(const struct request *request, const char *url) {
    return strstr(url, ":streamGenerateContent") || strstr(request->upload, "\"stream\":true") ||
           strstr(request->upload, "\"stream\": true");
}

static void judge(struct request *request, const struct standin_vendor *vendor, const char *rest,
                  const char *url) {
    const char *key = key_of(request->connection, vendor);
    if (strncmp(rest, vendor->path, strlen(vendor->path)) != 0) {
        standin_say(&request->answer, 404,
                    "{\"error\":{\"message\":\"Invalid URL\",\"type\":"
                    "\"invalid_request_error\",\"param\":null,\"code\":null}}");
        request->due_ns = standin_now_ns();
        return;
    }
    const char *begun =
        MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "X-Begun-Ns");
    struct standin_judgement judgement = standin_judge(
        key, (struct standin_times){ .begun_ns = begun ? strtoull(begun, NULL, 10) : 0,
                                     .reached_ns = request->reached_ns,
                                     .arrived_ns = request->arrived_ns });
    judgement.facts.key = key;
    judgement.facts.stream = wants_stream(request, url);
    judgement.facts.prompt_tokens = request->upload_bytes / 4;
    request->due_ns = judgement.due_ns;
    request->drop = judgement.what == STANDIN_DEAD;
    request->cut = judgement.what == STANDIN_CUT;
    vendor->say(&request->answer, judgement.what, &judgement.facts);
}

/* ---- the pacer ---- */

/* Hold the connection until request->due_ns. MHD calls the handler again once it is resumed. */
static void pace(struct request *request) {
    MHD_suspend_connection(request->connection);
    pthread_mutex_lock(&lock);
    if (stopping) { /* the pacer may be gone */
        MHD_resume_connection(request->connection);
        pthread_mutex_unlock(&lock);
        return;
    }
    struct request **place = &pending;
    while (*place && (*place)->due_ns <= request->due_ns)
        place = &(*place)->next;
    request->next = *place;
    *place = request;
    if (pending == request)
        pthread_cond_signal(&paced);
    pthread_mutex_unlock(&lock);
}

static void *pacer(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
    while (!stopping || pending) {
        if (!pending) {
            pthread_cond_wait(&paced, &lock);
            continue;
        }
        uint64_t due = pending->due_ns;
        if (!stopping && standin_now_ns() < due) {
            struct timespec until = { .tv_sec = (time_t)(due / 1000000000u),
                                      .tv_nsec = (long)(due % 1000000000u) };
            pthread_cond_timedwait(&paced, &lock, &until);
            continue;
        }
        struct request *request = pending;
        pending = request->next;
        MHD_resume_connection(request->connection);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* ---- answering ---- */

static const char *argument(void *connection, const char *name) {
    return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

static enum MHD_Result control(struct MHD_Connection *connection, const char *what) {
    static char nothing[] = "{}\n";
    char *text = NULL;
    unsigned status = standin_control(what, argument, connection, &text);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text ? text : nothing), text ? text : nothing,
                                        text ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "content-type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* The next piece of a body; half of it only, when it is to break off. */
static ssize_t give_piece(void *userdata, uint64_t at, char *buffer, size_t room) {
    const struct request *request = userdata;
    const struct standin_answer *answer = &request->answer;
    size_t end = request->cut ? answer->length / 2 : answer->length;
    if (at >= end)
        return request->cut ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    size_t piece = end - (size_t)at;
    if (at == answer->rest_at && at > 0) /* so that the other end has read what came before */
        nanosleep(&(struct timespec){ .tv_nsec = REST_NS }, NULL);
    else if (at < answer->rest_at)
        piece = answer->rest_at - (size_t)at;
    if (piece > PIECE_MAX)
        piece = PIECE_MAX;
    if (piece > room)
        piece = room;
    memcpy(buffer, answer->body + at, piece);
    return (ssize_t)piece;
}

static enum MHD_Result reply(struct request *request) {
    struct standin_answer *answer = &request->answer;
    bool in_pieces = request->cut || strcmp(answer->content_type, "application/json") != 0;
    struct MHD_Response *response =
        in_pieces
            ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_MAX, give_piece, request,
                                                NULL)
            : MHD_create_response_from_buffer(answer->length, answer->body, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "content-type", answer->content_type);
    for (size_t i = 0; i < answer->header_count; i++)
        MHD_add_response_header(response, answer->headers[i].name, answer->headers[i].value);
    enum MHD_Result result = MHD_queue_response(request->connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

static void take_upload(struct request *request, const char *upload, size_t size) {
    for (size_t i = 0; i < size && request->upload_bytes + i < UPLOAD_KEPT - 1; i++)
        request->upload[request->upload_bytes + i] = upload[i];
    request->upload_bytes += size;
}

/* ---- libmicrohttpd's callbacks ---- */

static int descriptor_of(struct MHD_Connection *connection) {
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static void connected(void *unused, struct MHD_Connection *connection, void **context,
                      enum MHD_ConnectionNotificationCode code) {
    (void)unused;
    (void)context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        standin_arrival_watch(descriptor_of(connection));
}

/* Called with the headers, with each piece of the body, at its end, and again after a resume. */
static enum MHD_Result handle(void *unused, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **context) {
    (void)unused;
    (void)method;
    (void)version;
    struct request *request = *context;
    if (!request) {
        request = calloc(1, sizeof(*request));
        if (!request)
            return MHD_NO;
        request->connection = connection;
        request->arrived_ns = standin_now_ns();
        request->reached_ns = standin_arrival_ns(descriptor_of(connection));
        if (request->reached_ns == 0)
            request->reached_ns = request->arrived_ns;
        *context = request;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        take_upload(request, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    if (strncmp(url, "/control/", 9) == 0)
        return control(connection, url + 9);
    if (!request->judged) {
        const char *rest;
        const struct standin_vendor *vendor = standin_vendor_of(url, &rest);
        if (!vendor) /* /dead/, and whatever else nobody is at home at */
            return MHD_NO;
        request->judged = true;
        judge(request, vendor, rest, url);
        pace(request);
        return MHD_YES;
    }
    return request->drop ? MHD_NO : reply(request);
}

static void completed(void *unused, struct MHD_Connection *connection, void **context,
                      enum MHD_RequestTerminationCode code) {
    (void)unused;
    (void)connection;
    (void)code;
    free(*context);
    *context = NULL;
}

/* ---- main ---- */

static bool parse_arguments(int argc, char **argv, uint16_t *ret_port) {
    for (int i = 1; i < argc; i += 2) {
        char *end = NULL;
        if (i + 1 == argc)
            return false;
        unsigned long value = strtoul(argv[i + 1], &end, 10);
        if (strcmp(argv[i], "--port") == 0 && *end == '\0' && value <= UINT16_MAX) {
            *ret_port = (uint16_t)value;
        } else if (strcmp(argv[i], "--latency-ms") == 0) {
            unsigned long maximum = *end == '-' ? strtoul(end + 1, &end, 10) : value;
            if (*end != '\0' || maximum < value || maximum > 60000)
                return false;
            standin_set_latency_ms(value, maximum);
        } else {
            return false;
        }
    }
    return true;
}

static struct MHD_Daemon *serve(uint16_t port) {
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, port, NULL, NULL, handle, NULL,
        MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_NOTIFY_CONNECTION,
        connected, NULL, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_END);
}

int main(int argc, char **argv) {
    uint16_t port = 0;
    if (!parse_arguments(argc, argv, &port)) {
        fprintf(stderr, "usage: vendor_standin [--port N] [--latency-ms MIN[-MAX]]\n");
        return 2;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGTERM);

    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&paced, &monotonic);
    pthread_t pacer_thread;
    struct MHD_Daemon *daemon = serve(port);
    if (!daemon || pthread_create(&pacer_thread, NULL, pacer, NULL) != 0) {
        fprintf(stderr, "vendor_standin: cannot listen on 127.0.0.1:%u: %s\n", port,
                strerror(errno));
        return 1;
    }
    printf("http://127.0.0.1:%u\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);

    int received;
    sigwait(&signals, &received);
    pthread_mutex_lock(&lock);
    stopping = true;
    pthread_cond_signal(&paced);
    pthread_mutex_unlock(&lock);
    pthread_join(pacer_thread, NULL);
    MHD_stop_daemon(daemon);
    standin_meter_deinit();
    return 0;
}
