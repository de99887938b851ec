/*
 * A vendor to fail against: an HTTP server on 127.0.0.1 that meters API keys and answers in
 * OpenAI's words when one is unknown, revoked, used up or too fast. The demo, the process tests and
 * the benchmarks start it; workers reach it through a key's base_url. It shares no code with the
 * broker, so that the two can not be wrong together.
 *
 *     vendor_standin [--port N] [--latency-ms MIN[-MAX]]
 *
 * It prints "http://127.0.0.1:PORT" when it listens, and ends on SIGTERM, SIGINT or with its
 * parent. Everything under /v1/ is the vendor. The rest steers it:
 *
 *     POST /control/key?key=K[&quota=N][&rate=N&window_ms=M][&revoked=0|1]
 *              make or change a key; quota and rate: -1 = unlimited, quota counts from now
 *     POST /control/revoke?key=K
 *     POST /control/overload?ms=N     answer 503 for so long
 *     POST /control/latency?min=MS&max=MS
 *     GET  /control/stats             what each key was asked and told, times by CLOCK_MONOTONIC
 *
 * Threads: two of libmicrohttpd's run the handler; one of ours, the pacer, lets each answer go when
 * its latency has passed. `lock` guards keys and the pacer's list.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
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

enum { KEYS_MAX = 1024, KEY_SIZE = 256, THREADS = 2, CONNECTIONS_MAX = 4000, BODY_MAX = 1024 };

/* One key as the vendor sees it. All times are CLOCK_MONOTONIC nanoseconds, 0 = never. */
struct meter {
    char key[KEY_SIZE];
    bool revoked;
    int64_t quota; /* requests left; -1 = unlimited */
    int64_t rate;  /* requests per window; -1 = unlimited */
    uint64_t window_ns;
    uint64_t window_start_ns;
    int64_t window_used;
    uint64_t good;
    uint64_t invalid; /* 401 */
    uint64_t used_up; /* 429 insufficient_quota */
    uint64_t limited; /* 429 rate_limit_exceeded */
    uint64_t overloaded;
    uint64_t last_good_ns; /* arrival of the last request that was served */
    uint64_t bad_ns;       /* arrival of the first refused one since then */
    uint64_t last_bad_ns;
};

/* One request, from its first header to its last byte. */
struct request {
    struct MHD_Connection *connection;
    struct request *next; /* in the pacer's list, by due time */
    uint64_t due_ns;
    size_t upload_bytes;
    bool judged;
    unsigned status;
    uint64_t retry_after_ms;
    char body[BODY_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t paced;
static struct request *pending;
static bool stopping;
static struct meter *meters[KEYS_MAX];
static size_t meter_count;
static uint64_t unknown_count;
static uint64_t request_count;
static uint64_t latency_min_us = 5000;
static uint64_t latency_max_us = 20000;
static uint64_t overload_until_ns;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct meter *meter_find(const char *key) {
    for (size_t i = 0; i < meter_count; i++)
        if (strcmp(meters[i]->key, key) == 0)
            return meters[i];
    return NULL;
}

static struct meter *meter_make(const char *key) {
    struct meter *meter = meter_find(key);
    if (meter || meter_count == KEYS_MAX || !*key || strlen(key) >= KEY_SIZE)
        return meter;
    meter = calloc(1, sizeof(*meter));
    if (!meter)
        return NULL;
    snprintf(meter->key, sizeof(meter->key), "%s", key);
    meter->quota = -1;
    meter->rate = -1;
    meters[meter_count++] = meter;
    return meter;
}

/* ---- the vendor's judgement and words ---- */

__attribute__((format(printf, 3, 4))) static void answer(struct request *request, unsigned status,
                                                         const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    request->status = status;
    vsnprintf(request->body, sizeof(request->body), format, arguments);
    va_end(arguments);
}

static void answer_invalid(struct request *request, const char *key) {
    size_t length = strlen(key);
    answer(
        request, 401,
        "{\"error\":{\"message\":\"Incorrect API key provided: %.4s****%s. You can find your API "
        "key at https://platform.openai.com/account/api-keys.\",\"type\":"
        "\"invalid_request_error\",\"param\":null,\"code\":\"invalid_api_key\"}}",
        length > 8 ? key : "", length > 8 ? key + length - 4 : "");
}

static void answer_used_up(struct request *request) {
    answer(request, 429,
           "{\"error\":{\"message\":\"You exceeded your current quota, please check your plan and "
           "billing details. For more information on this error, read the docs: "
           "https://platform.openai.com/docs/guides/error-codes/api-errors.\",\"type\":"
           "\"insufficient_quota\",\"param\":null,\"code\":\"insufficient_quota\"}}");
}

static void answer_limited(struct request *request, const struct meter *meter, uint64_t now) {
    request->retry_after_ms = (meter->window_start_ns + meter->window_ns - now) / 1000000 + 1;
    answer(request, 429,
           "{\"error\":{\"message\":\"Rate limit reached for gpt-4o-mini in organization "
           "org-standin on requests per min (RPM): Limit %" PRId64 ", Used %" PRId64
           ", Requested 1. Please try again in %" PRIu64
           "ms.\",\"type\":\"requests\",\"param\":null,\"code\":\"rate_limit_exceeded\"}}",
           meter->rate, meter->window_used, request->retry_after_ms);
}

static void answer_overloaded(struct request *request) {
    answer(request, 503,
           "{\"error\":{\"message\":\"The server is currently overloaded with other requests. "
           "Sorry about that! You can retry your request.\",\"type\":\"server_error\",\"param\":"
           "null,\"code\":\"server_is_overloaded\"}}");
}

static void answer_completion(struct request *request) {
    size_t prompt_tokens = request->upload_bytes / 4;
    answer(
        request, 200,
        "{\"id\":\"chatcmpl-%016" PRIx64 "\",\"object\":\"chat.completion\",\"created\":%lld,"
        "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"This is a stand-in.\",\"refusal\":null},\"logprobs\":null,"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":6,"
        "\"total_tokens\":%zu}}",
        request_count, (long long)time(NULL), prompt_tokens, prompt_tokens + 6);
}

/* True if this request is one too many for its window. */
static bool over_rate(struct meter *meter, uint64_t now) {
    if (meter->rate < 0)
        return false;
    if (now - meter->window_start_ns >= meter->window_ns) {
        meter->window_start_ns = now;
        meter->window_used = 0;
    }
    if (meter->window_used >= meter->rate)
        return true;
    meter->window_used++;
    return false;
}

/* What the vendor answers to a request that arrives now with this key. */
static void judge(struct request *request, const char *key) {
    uint64_t now = now_ns();
    pthread_mutex_lock(&lock);
    request_count++;
    struct meter *meter = meter_find(key);
    uint64_t *refusals = NULL;
    if (!meter) {
        unknown_count++;
        answer_invalid(request, key);
    } else if (meter->revoked) {
        refusals = &meter->invalid;
        answer_invalid(request, key);
    } else if (now < overload_until_ns) {
        refusals = &meter->overloaded;
        answer_overloaded(request);
    } else if (meter->quota == 0) {
        refusals = &meter->used_up;
        answer_used_up(request);
    } else if (over_rate(meter, now)) {
        refusals = &meter->limited;
        answer_limited(request, meter, now);
    } else {
        meter->quota -= meter->quota > 0;
        meter->good++;
        meter->last_good_ns = now;
        meter->bad_ns = 0;
        answer_completion(request);
    }
    if (refusals) {
        ++*refusals;
        meter->last_bad_ns = now;
        if (meter->bad_ns == 0)
            meter->bad_ns = now;
    }
    uint64_t span_us = latency_max_us - latency_min_us;
    uint64_t extra_us = span_us ? (uint64_t)random() % (span_us + 1) : 0;
    request->due_ns = now + (latency_min_us + extra_us) * 1000;
    pthread_mutex_unlock(&lock);
}

/* The key in whichever header this vendor's clients use. */
static const char *key_of(struct MHD_Connection *connection) {
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    if (value && strncasecmp(value, "Bearer ", 7) == 0)
        return value + 7;
    static const char *const headers[] = { "x-api-key", "x-goog-api-key", "api-key" };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, headers[i]);
        if (value)
            return value;
    }
    return "";
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
        if (!stopping && now_ns() < due) {
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

/* ---- control ---- */

static const char *argument(struct MHD_Connection *connection, const char *name) {
    return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

static int64_t argument_number(struct MHD_Connection *connection, const char *name,
                               int64_t fallback) {
    const char *value = argument(connection, name);
    return value && *value ? strtoll(value, NULL, 10) : fallback;
}

static unsigned control_key(struct MHD_Connection *connection, bool revoke) {
    const char *key = argument(connection, "key");
    struct meter *meter = key ? meter_make(key) : NULL;
    if (!meter)
        return 400;
    meter->revoked = revoke || argument_number(connection, "revoked", meter->revoked) != 0;
    meter->quota = argument_number(connection, "quota", meter->quota);
    meter->rate = argument_number(connection, "rate", meter->rate);
    int64_t window_ms = argument_number(connection, "window_ms", 0);
    if (window_ms > 0)
        meter->window_ns = (uint64_t)window_ms * 1000000;
    else if (meter->window_ns == 0)
        meter->window_ns = UINT64_C(60000000000);
    return 200;
}

static unsigned control_latency(struct MHD_Connection *connection) {
    int64_t minimum = argument_number(connection, "min", -1);
    int64_t maximum = argument_number(connection, "max", minimum);
    if (minimum < 0 || maximum < minimum || maximum > 60000)
        return 400;
    latency_min_us = (uint64_t)minimum * 1000;
    latency_max_us = (uint64_t)maximum * 1000;
    return 200;
}

/* Everything in one JSON object; the caller frees it. */
static char *stats_text(void) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out,
            "{\"now_ns\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"unknown\":%" PRIu64 ",\"keys\":[",
            now_ns(), request_count, unknown_count);
    for (size_t i = 0; i < meter_count; i++) {
        const struct meter *meter = meters[i];
        fprintf(out,
                "%s{\"key\":\"%s\",\"revoked\":%s,\"quota\":%" PRId64 ",\"rate\":%" PRId64
                ",\"good\":%" PRIu64 ",\"invalid\":%" PRIu64 ",\"used_up\":%" PRIu64
                ",\"limited\":%" PRIu64 ",\"overloaded\":%" PRIu64 ",\"last_good_ns\":%" PRIu64
                ",\"bad_ns\":%" PRIu64 ",\"last_bad_ns\":%" PRIu64 "}",
                i ? "," : "", meter->key, meter->revoked ? "true" : "false", meter->quota,
                meter->rate, meter->good, meter->invalid, meter->used_up, meter->limited,
                meter->overloaded, meter->last_good_ns, meter->bad_ns, meter->last_bad_ns);
    }
    fputs("]}\n", out);
    fclose(out);
    return text;
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, char *body,
                             enum MHD_ResponseMemoryMode mode, uint64_t retry_after_ms) {
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(body), body, mode);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "content-type", "application/json");
    if (retry_after_ms > 0) {
        char text[24];
        snprintf(text, sizeof(text), "%" PRIu64, (retry_after_ms + 999) / 1000);
        MHD_add_response_header(response, "retry-after", text);
        snprintf(text, sizeof(text), "%" PRIu64, retry_after_ms);
        MHD_add_response_header(response, "retry-after-ms", text);
    }
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result control(struct MHD_Connection *connection, const char *what) {
    unsigned status = 404;
    char *stats = NULL;
    pthread_mutex_lock(&lock);
    if (strcmp(what, "key") == 0) {
        status = control_key(connection, false);
    } else if (strcmp(what, "revoke") == 0) {
        status = control_key(connection, true);
    } else if (strcmp(what, "latency") == 0) {
        status = control_latency(connection);
    } else if (strcmp(what, "overload") == 0) {
        overload_until_ns = now_ns() + (uint64_t)argument_number(connection, "ms", 0) * 1000000;
        status = 200;
    } else if (strcmp(what, "stats") == 0) {
        stats = stats_text();
        status = stats ? 200 : 500;
    }
    pthread_mutex_unlock(&lock);
    if (stats)
        return reply(connection, status, stats, MHD_RESPMEM_MUST_FREE, 0);
    static char nothing[] = "{}\n";
    return reply(connection, status, nothing, MHD_RESPMEM_PERSISTENT, 0);
}

/* ---- libmicrohttpd's callbacks ---- */

/* Called with the headers, with each piece of the body, at its end, and again after a resume. */
static enum MHD_Result handle(void *unused, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **context) {
    (void)unused;
    (void)method;
    (void)version;
    (void)upload;
    struct request *request = *context;
    if (!request) {
        request = calloc(1, sizeof(*request));
        if (!request)
            return MHD_NO;
        request->connection = connection;
        *context = request;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        request->upload_bytes += *upload_size;
        *upload_size = 0;
        return MHD_YES;
    }
    if (strncmp(url, "/control/", 9) == 0)
        return control(connection, url + 9);
    if (!request->judged) {
        request->judged = true;
        if (strncmp(url, "/v1/", 4) == 0) {
            judge(request, key_of(connection));
            pace(request);
            return MHD_YES;
        }
        answer(request, 404,
               "{\"error\":{\"message\":\"Invalid URL\",\"type\":\"invalid_request_error\","
               "\"param\":null,\"code\":null}}");
    }
    return reply(connection, request->status, request->body, MHD_RESPMEM_MUST_COPY,
                 request->retry_after_ms);
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
            latency_min_us = value * 1000;
            latency_max_us = maximum * 1000;
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
    return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, port, NULL,
                            NULL, handle, NULL, MHD_OPTION_SOCK_ADDR, &address,
                            MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                            MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_END);
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
    for (size_t i = 0; i < meter_count; i++)
        free(meters[i]);
    return 0;
}
