/*
 * An inference worker: many chat completions in flight over one libcurl multi handle, one thread,
 * one kb_reader, with whichever vendor the pool's keys belong to. Copy it.
 *
 *     worker [-r RUNTIME_DIR] [-n IN_FLIGHT] [--model NAME] [--stream] [--requests N] [--seconds N]
 *            [--patience SECONDS] [--stats] POOL
 *
 * What to take from it:
 *   - a kb_attempt belongs to one user request and lives over its retries; kb_next then never hands
 *     the same key to that request twice, however many requests share the reader;
 *   - the key's strings are used at once (libcurl copies them); only the 16-byte ticket is kept
 *     until the answer is there;
 *   - every answer goes to kb_report_http as it came, good ones too (the library sends only what
 *     the broker needs to know), and the verdict says what to do with the request;
 *   - a stream is reported when its first event is there, before anything of it is passed on; from
 *     then on the request stays with its key, because the user has seen half an answer;
 *   - when no key is usable nothing spins: kb_recovers_in_ms says for how long, and kb_wait sleeps
 *     until the pool changed.
 * --stats is for watching it (feed.h). It makes requests until SIGTERM, SIGINT, --requests or
 * --seconds.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>
#include <keybroker.h>

#include "chat.h"
#include "feed.h"

enum {
    BODY_MAX = 16 * 1024, /* of an answer that we keep; an error fits easily */
    HEADERS_MAX = 8 * 1024,
    QUESTION_MAX = 1024,
    REST_MS = 50, /* first backoff, doubled at each */
    REST_MAX_MS = 5000,
    POLL_MS = 100,
    IN_FLIGHT_MAX = 1024,
};

enum phase { PHASE_START, PHASE_FLYING, PHASE_RESTING, PHASE_DONE };

/* One user request with all its tries. */
struct request {
    struct worker *worker;
    CURL *easy;
    struct curl_slist *list; /* of headers to send */
    enum phase phase;
    kb_attempt attempt;
    kb_ticket ticket;
    char key_name[65]; /* for the feed only */
    unsigned rests;
    bool starved;       /* rests because no key was usable */
    bool reported;      /* this try's answer, and then: */
    kb_verdict verdict; /* what to do */
    uint64_t wait_ms;   /* how long the vendor asks to wait; KB_NO_HINT = it does not */
    bool streaming;     /* a good stream began: no other key may take over */
    uint64_t due_ms;    /* when resting: until then */
    uint64_t begun_ms;  /* the first try */
    size_t body_length, headers_length;
    char question[QUESTION_MAX];
    char body[BODY_MAX];
    char headers[HEADERS_MAX];
};

struct worker {
    const char *pool;
    const char *model;
    kb_options options;
    unsigned in_flight_max;
    uint64_t requests_max; /* 0 = no end */
    uint64_t end_ms;       /* 0 = none */
    uint64_t patience_ms;
    bool stream;
    bool stats;
    kb_reader *reader;
    CURLM *multi;
    struct request *requests;
    unsigned flying;
    unsigned starved;
    uint64_t begun, ok, failed, failed_usable, broken, retries;
    uint64_t next_stats_ms;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number) {
    (void)number;
    stopping = 1;
}

static uint64_t now_ms(void) {
    return feed_now_ns() / 1000000;
}

/* ---- the answer ---- */

static const char *outcome_name(kb_outcome outcome) {
    static const char *const names[] = { "?",    "success",  "invalid", "permission", "quota",
                                         "rate", "overload", "request", "network" };
    return outcome >= 1 && outcome <= KB_NETWORK ? names[outcome] : names[0];
}

/* Hand over what came, once a try. `arrived` false: there was no answer, or no end of it. */
static kb_verdict request_report(struct request *request, bool arrived) {
    struct worker *worker = request->worker;
    if (request->reported)
        return request->verdict;
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    uint64_t at_ns = worker->stats ? feed_now_ns() : 0;

    kb_http_response response = KB_HTTP_RESPONSE_INIT;
    kb_report_info info = KB_REPORT_INFO_INIT;
    response.status = arrived ? (int)status : 0;
    response.headers = request->headers;
    response.body = request->body;
    response.body_len = request->body_length;
    request->verdict = kb_report_http(worker->reader, request->ticket, &response, &info);
    request->wait_ms = info.wait_ms;
    request->reported = true;

    if (worker->stats && info.outcome != KB_SUCCESS)
        feed_print(json_pack("{s:s, s:I, s:s, s:s, s:s}", "type", "report", "at_ns",
                             (json_int_t)at_ns, "key", request->key_name, "outcome",
                             outcome_name(info.outcome), "code", info.code));
    return request->verdict;
}

static size_t keep(char *to, size_t *length, size_t size, const char *data, size_t count) {
    size_t kept = count < size - *length ? count : size - *length;
    memcpy(to + *length, data, kept);
    *length += kept;
    return count;
}

static size_t on_header(char *data, size_t size, size_t count, void *userdata) {
    struct request *request = userdata;
    if (size * count >= 5 && memcmp(data, "HTTP/", 5) == 0)
        request->headers_length = 0; /* what came before was an interim answer's */
    keep(request->headers, &request->headers_length, sizeof(request->headers) - 1, data,
         size * count);
    request->headers[request->headers_length] = '\0';
    return size * count;
}

/* Returning less than what came ends the transfer: the request goes on as the verdict says. */
static size_t on_body(char *data, size_t size, size_t count, void *userdata) {
    struct request *request = userdata;
    long status = 0;
    if (!request->streaming)
        keep(request->body, &request->body_length, sizeof(request->body), data, size * count);
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!request->worker->stream || request->streaming || status < 200 || status > 299 ||
        !chat_stream_began(request->body, request->body_length))
        return size * count;
    request->streaming = request_report(request, true) == KB_OK;
    return request->streaming ? size * count : 0;
}

/* ---- one request ---- */

static void request_begin(struct worker *worker, struct request *request) {
    request->attempt = (kb_attempt)KB_ATTEMPT_INIT;
    request->phase = PHASE_START;
    request->streaming = false;
    request->rests = 0;
    request->begun_ms = now_ms();
    worker->begun++;
}

static void request_end(struct worker *worker, struct request *request, bool ok) {
    request->phase = PHASE_DONE;
    if (ok) {
        worker->ok++;
        return;
    }
    worker->failed++;
    if (kb_current(worker->reader))
        worker->failed_usable++;
}

/* Try again after `ms`, with every key allowed again; give up once patience is over. */
static void request_rest(struct worker *worker, struct request *request, uint64_t ms) {
    uint64_t now = now_ms();
    if (now - request->begun_ms >= worker->patience_ms) {
        request_end(worker, request, false);
        return;
    }
    request->attempt = (kb_attempt)KB_ATTEMPT_INIT;
    request->phase = PHASE_RESTING;
    /* No longer than its patience: then it is over, whatever the vendor asked for. */
    uint64_t end = request->begun_ms + worker->patience_ms;
    request->due_ms = now + ms < end ? now + ms : end;
    request->rests++;
}

static uint64_t backoff_ms(const struct request *request) {
    unsigned doublings = request->rests < 7 ? request->rests : 7;
    uint64_t ms = (uint64_t)REST_MS << doublings;
    return ms < REST_MAX_MS ? ms : REST_MAX_MS;
}

/* No key for this request: every permitted one was tried, or none is usable. */
static void request_starve(struct worker *worker, struct request *request) {
    int error = kb_last_error(worker->reader);
    if (error != KB_ETRIED && error != KB_EEXHAUSTED && error != KB_EGUARDED) {
        request_end(worker, request, false);
        return;
    }
    uint64_t ms = error == KB_ETRIED ? 0 : kb_recovers_in_ms(worker->reader);
    if (ms == 0)
        ms = backoff_ms(request);
    request->starved = error != KB_ETRIED;
    request_rest(worker, request, ms < REST_MAX_MS ? ms : REST_MAX_MS);
}

/* Everything that depends on the key. libcurl copies the URL only. */
static bool request_prepare(struct request *request, const kb_key *key) {
    const struct worker *worker = request->worker;
    const struct chat *chat = chat_of(key);
    char url[2048];
    curl_slist_free_all(request->list);
    request->list = curl_slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *list = curl_slist_append(request->list, key->auth_header);
    if (list && chat->header)
        list = curl_slist_append(request->list, chat->header);
    if (list && worker->stats) { /* whoever watches compares it with when the key was benched */
        char begun[48];
        snprintf(begun, sizeof(begun), "X-Begun-Ns: %llu", (unsigned long long)feed_now_ns());
        list = curl_slist_append(request->list, begun);
    }
    if (!request->list || !list ||
        !chat_url(chat, key, worker->model, worker->stream, url, sizeof(url)) ||
        !chat_body(chat, worker->model, "Hello", worker->stream, request->question,
                   sizeof(request->question)))
        return false;
    curl_easy_setopt(request->easy, CURLOPT_URL, url);
    curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, request->list);
    curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, request->question);
    return true;
}

/* Send the request with the next key that it may use. */
static void request_try(struct worker *worker, struct request *request) {
    const kb_key *key = kb_next(worker->reader, &request->attempt);
    if (!key) {
        request_starve(worker, request);
        return;
    }
    if (!request_prepare(request, key)) {
        request_end(worker, request, false);
        return;
    }
    request->ticket = key->ticket;
    snprintf(request->key_name, sizeof(request->key_name), "%s", key->name);
    request->body_length = 0;
    request->headers_length = 0;
    request->headers[0] = '\0';
    request->reported = false;
    request->starved = false;
    request->phase = PHASE_FLYING;
    curl_multi_add_handle(worker->multi, request->easy);
    worker->flying++;
}

/* The answer is there, or there will be none: do as the verdict says. */
static void request_answered(struct worker *worker, struct request *request, CURLcode result) {
    kb_verdict verdict = request_report(request, result == CURLE_OK);
    curl_multi_remove_handle(worker->multi, request->easy);
    worker->flying--;
    if (request->streaming && result != CURLE_OK) {
        kb_report(worker->reader, request->ticket, KB_NETWORK, KB_NO_HINT);
        request->phase = PHASE_DONE;
        worker->broken++;
        return;
    }
    worker->retries += verdict == KB_NEXT_KEY || verdict == KB_RETRY_LATER;
    switch (verdict) {
    case KB_NEXT_KEY:
        request_try(worker, request);
        return;
    case KB_RETRY_LATER:
        request_rest(worker, request,
                     request->wait_ms == KB_NO_HINT ? backoff_ms(request) : request->wait_ms);
        return;
    case KB_OK:
    case KB_GIVE_UP:
    default:
        request_end(worker, request, verdict == KB_OK);
        return;
    }
}

static int request_init(struct worker *worker, struct request *request) {
    request->worker = worker;
    request->phase = PHASE_DONE;
    request->easy = curl_easy_init();
    if (!request->easy)
        return KB_ENOMEM;
    curl_easy_setopt(request->easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(request->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(request->easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(request->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(request->easy, CURLOPT_HEADERDATA, request);
    curl_easy_setopt(request->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(request->easy, CURLOPT_TIMEOUT_MS, 60000L);
    return 0;
}

/* ---- all of them ---- */

static void print_stats(struct worker *worker) {
    const kb_key *key = kb_current(worker->reader);
    feed_print(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:s}", "type", "stats",
                         "at_ns", (json_int_t)feed_now_ns(), "requests", (json_int_t)worker->begun,
                         "ok", (json_int_t)worker->ok, "failed", (json_int_t)worker->failed,
                         "failed_usable", (json_int_t)worker->failed_usable, "broken",
                         (json_int_t)worker->broken, "retries", (json_int_t)worker->retries,
                         "in_flight", (int)worker->flying, "waiting", (int)worker->starved, "key",
                         key ? key->name : ""));
}

static bool may_begin(const struct worker *worker) {
    return worker->requests_max == 0 || worker->begun < worker->requests_max;
}

static bool all_done(const struct worker *worker) {
    return worker->requests_max != 0 &&
           worker->ok + worker->failed + worker->broken >= worker->requests_max;
}

/* Begin, go on with and retry whatever is due. Returns the time of the next that is not, or 0. */
static uint64_t start_due(struct worker *worker, bool accepting) {
    uint64_t now = now_ms();
    uint64_t next_ms = 0;
    worker->starved = 0;
    for (unsigned i = 0; i < worker->in_flight_max; i++) {
        struct request *request = &worker->requests[i];
        if (request->phase == PHASE_DONE && accepting && may_begin(worker))
            request_begin(worker, request);
        if (request->phase == PHASE_START ||
            (request->phase == PHASE_RESTING && request->due_ms <= now))
            request_try(worker, request);
        if (request->phase != PHASE_RESTING)
            continue;
        worker->starved += request->starved;
        if (next_ms == 0 || request->due_ms < next_ms)
            next_ms = request->due_ms;
    }
    return next_ms;
}

static bool collect_answers(struct worker *worker) {
    bool any = false;
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(worker->multi, &left))) {
        struct request *request = NULL;
        CURLcode result = message->data.result; /* gone once the handle is removed */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
        request_answered(worker, request, result);
        any = true;
    }
    return any;
}

/* Those that wait for a key try again now: the pool has changed. */
static void wake_starved(struct worker *worker) {
    for (unsigned i = 0; i < worker->in_flight_max; i++)
        if (worker->requests[i].phase == PHASE_RESTING && worker->requests[i].starved)
            worker->requests[i].due_ms = 0;
}

/* Sleep until a socket is ready, a rest is over or, with nothing in flight, the pool changed. */
static void pause_until(struct worker *worker, uint64_t next_ms) {
    uint64_t now = now_ms();
    uint64_t ms = POLL_MS;
    if (next_ms != 0)
        ms = next_ms <= now ? 0 : next_ms - now < POLL_MS ? next_ms - now : POLL_MS;
    if (worker->flying > 0)
        curl_multi_poll(worker->multi, NULL, 0, (int)ms, NULL);
    else if (kb_wait(worker->reader, (int)ms) > 0)
        wake_starved(worker);
}

static void work(struct worker *worker) {
    for (;;) {
        uint64_t now = now_ms();
        bool accepting = !stopping && (worker->end_ms == 0 || now < worker->end_ms);
        if ((!accepting && worker->flying == 0) || all_done(worker))
            break;
        uint64_t next_ms = start_due(worker, accepting);
        int running = 0;
        curl_multi_perform(worker->multi, &running);
        bool answered = collect_answers(worker);
        if (worker->stats && now >= worker->next_stats_ms) {
            worker->next_stats_ms = now + 1000;
            print_stats(worker);
        }
        if (!answered) /* else there is something to begin, or to try again */
            pause_until(worker, next_ms);
    }
}

/* ---- start and end ---- */

static int worker_init(struct worker *worker) {
    int error = kb_open(&worker->reader, worker->pool, &worker->options);
    if (error != 0)
        return error;
    worker->multi = curl_multi_init();
    worker->requests = calloc(worker->in_flight_max, sizeof(*worker->requests));
    if (!worker->multi || !worker->requests)
        return KB_ENOMEM;
    curl_multi_setopt(worker->multi, CURLMOPT_MAXCONNECTS, (long)worker->in_flight_max);
    for (unsigned i = 0; i < worker->in_flight_max && error == 0; i++)
        error = request_init(worker, &worker->requests[i]);
    return error;
}

static void worker_deinit(struct worker *worker) {
    for (unsigned i = 0; worker->requests && i < worker->in_flight_max; i++) {
        curl_easy_cleanup(worker->requests[i].easy);
        curl_slist_free_all(worker->requests[i].list);
    }
    free(worker->requests);
    curl_multi_cleanup(worker->multi);
    kb_close(worker->reader);
}

static bool parse_arguments(struct worker *worker, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(word, "--stats") == 0 || strcmp(word, "--stream") == 0) {
            *(word[4] == 'a' ? &worker->stats : &worker->stream) = true;
            continue;
        }
        if (word[0] != '-') {
            if (worker->pool)
                return false;
            worker->pool = word;
            continue;
        }
        if (!value)
            return false;
        i++;
        if (strcmp(word, "-r") == 0)
            worker->options.runtime_dir = value;
        else if (strcmp(word, "-n") == 0)
            worker->in_flight_max = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(word, "--model") == 0)
            worker->model = value;
        else if (strcmp(word, "--requests") == 0)
            worker->requests_max = strtoull(value, NULL, 10);
        else if (strcmp(word, "--seconds") == 0)
            worker->end_ms = now_ms() + strtoull(value, NULL, 10) * 1000;
        else if (strcmp(word, "--patience") == 0)
            worker->patience_ms = strtoull(value, NULL, 10) * 1000;
        else
            return false;
    }
    return worker->pool && worker->in_flight_max >= 1 && worker->in_flight_max <= IN_FLIGHT_MAX;
}

int main(int argc, char **argv) {
    struct worker worker = { .options = KB_OPTIONS_INIT, .in_flight_max = 8, .patience_ms = 30000 };
    if (!parse_arguments(&worker, argc, argv)) {
        fprintf(stderr, "usage: worker [-r RUNTIME_DIR] [-n IN_FLIGHT] [--model NAME] [--stream] "
                        "[--requests N] [--seconds N] [--patience SECONDS] [--stats] POOL\n");
        return 2;
    }
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);

    struct feed_watcher *watcher = NULL;
    int error = worker_init(&worker);
    if (error == 0 && worker.stats)
        error = feed_watcher_start(&watcher, worker.pool, &worker.options);
    if (error == 0)
        work(&worker);
    else
        fprintf(stderr, "worker: pool %s: %s\n", worker.pool, kb_strerror(error));
    feed_watcher_stop(watcher);
    if (error == 0 && worker.stats)
        print_stats(&worker);
    else if (error == 0)
        printf("%llu requests, %llu answered, %llu failed, %llu broke off, %llu retries\n",
               (unsigned long long)worker.begun, (unsigned long long)worker.ok,
               (unsigned long long)worker.failed, (unsigned long long)worker.broken,
               (unsigned long long)worker.retries);
    worker_deinit(&worker);
    curl_global_cleanup();
    return error != 0 || worker.failed > 0 || worker.broken > 0 ? 1 : 0;
}
