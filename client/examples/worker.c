/*
 * An inference worker: many chat completions in flight over one libcurl multi handle, one thread,
 * one kb_reader, with whichever vendor the pool's keys belong to. Copy it, with request.c (a user
 * request over its tries), stream.c and chat.c.
 *
 *     worker [-r RUNTIME_DIR] [-n IN_FLIGHT] [--model NAME] [--stream] [--requests N] [--seconds N]
 *            [--patience SECONDS] [--stats] POOL
 *
 * What to take from it:
 *   - a kb_attempt belongs to one user request and lives over its retries; kb_next then never hands
 *     the same key to that request twice, however many requests share the reader;
 *   - the key's strings are used at once (libcurl copies them); only the 16-byte ticket is kept
 *     until the answer is there;
 *   - right before a request is sent, over a connection that may have taken a while to make, its
 *     key is looked at once more;
 *   - every answer goes to kb_report_http as it came, good ones too (the library sends only what
 *     the broker needs to know), and the verdict says what to do with the request;
 *   - a stream is reported when its first event with content is there, before anything of it is
 *     passed on; from then on the request stays with its key, because the user has seen half an
 *     answer; how the stream ended is reported, too, for an error may be its last event;
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

#include "feed.h"
#include "request.h"

enum {
    REST_MS = 50, /* first backoff, doubled at each */
    REST_MAX_MS = 5000,
    POLL_MS = 100,
    IN_FLIGHT_MAX = 1024,
};

enum phase { PHASE_START, PHASE_FLYING, PHASE_RESTING, PHASE_DONE };

/* A place for one request at a time. */
struct place {
    struct request request;
    enum phase phase;
    unsigned rests;
    bool starved;      /* rests because no key was usable */
    uint64_t due_ms;   /* when resting: until then */
    uint64_t begun_ms; /* the first try */
};

struct worker {
    const char *pool;
    kb_options options;
    unsigned in_flight_max;
    uint64_t requests_max; /* 0 = no end */
    uint64_t end_ms;       /* 0 = none */
    uint64_t patience_ms;
    struct call call; /* with the reader */
    CURLM *multi;
    struct place *places;
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

/* ---- one request ---- */

static void begin(struct worker *worker, struct place *place) {
    request_renew(&place->request);
    place->phase = PHASE_START;
    place->rests = 0;
    place->begun_ms = now_ms();
    worker->begun++;
}

static void end(struct worker *worker, struct place *place, bool ok) {
    place->phase = PHASE_DONE;
    if (ok) {
        worker->ok++;
        return;
    }
    worker->failed++;
    if (kb_current(worker->call.reader))
        worker->failed_usable++;
}

/* Try again after `ms`; give up once patience is over. */
static void rest(struct worker *worker, struct place *place, uint64_t ms) {
    uint64_t now = now_ms();
    if (now - place->begun_ms >= worker->patience_ms) {
        end(worker, place, false);
        return;
    }
    place->phase = PHASE_RESTING;
    /* No longer than its patience: then it is over, whatever the vendor asked for. */
    uint64_t end_ms = place->begun_ms + worker->patience_ms;
    place->due_ms = now + ms < end_ms ? now + ms : end_ms;
    place->rests++;
}

static uint64_t backoff_ms(const struct place *place) {
    unsigned doublings = place->rests < 7 ? place->rests : 7;
    uint64_t ms = (uint64_t)REST_MS << doublings;
    return ms < REST_MAX_MS ? ms : REST_MAX_MS;
}

/* No key for this request: every permitted one was tried, or none is usable. */
static void starve(struct worker *worker, struct place *place, int error) {
    if (error != KB_ETRIED && error != KB_EEXHAUSTED && error != KB_EGUARDED) {
        end(worker, place, false);
        return;
    }
    uint64_t ms = error == KB_ETRIED ? 0 : kb_recovers_in_ms(worker->call.reader);
    if (ms == 0)
        ms = backoff_ms(place);
    place->starved = error != KB_ETRIED;
    rest(worker, place, ms < REST_MAX_MS ? ms : REST_MAX_MS);
}

/* Send the request with the next key that it may use. After a rest it may be one that it had
 * before, but only if there is no other. */
static void try(struct worker *worker, struct place *place) {
    int error = request_prepare(&place->request, place->phase == PHASE_RESTING);
    if (error != 0) {
        starve(worker, place, error);
        return;
    }
    place->starved = false;
    place->phase = PHASE_FLYING;
    curl_multi_add_handle(worker->multi, place->request.easy);
    worker->flying++;
}

/* The answer is there, or there will be none: do as the verdict says. */
static void answered(struct worker *worker, struct place *place, CURLcode result) {
    struct request *request = &place->request;
    curl_multi_remove_handle(worker->multi, request->easy);
    worker->flying--;
    if (request->unsent) {
        try(worker, place);
        return;
    }
    kb_verdict verdict = request_finish(request, result);
    if (request_broke(request)) {
        place->phase = PHASE_DONE;
        worker->broken++;
        return;
    }
    worker->retries += verdict == KB_NEXT_KEY || verdict == KB_RETRY_LATER;
    switch (verdict) {
    case KB_NEXT_KEY:
        try(worker, place);
        return;
    case KB_RETRY_LATER:
        rest(worker, place, request->wait_ms == KB_NO_HINT ? backoff_ms(place) : request->wait_ms);
        return;
    case KB_OK:
    case KB_GIVE_UP:
    default:
        end(worker, place, verdict == KB_OK);
        return;
    }
}

/* ---- all of them ---- */

static void print_stats(struct worker *worker) {
    const kb_key *key = kb_current(worker->call.reader);
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
        struct place *place = &worker->places[i];
        if (place->phase == PHASE_DONE && accepting && may_begin(worker))
            begin(worker, place);
        if (place->phase == PHASE_START || (place->phase == PHASE_RESTING && place->due_ms <= now))
            try(worker, place);
        if (place->phase != PHASE_RESTING)
            continue;
        worker->starved += place->starved;
        if (next_ms == 0 || place->due_ms < next_ms)
            next_ms = place->due_ms;
    }
    return next_ms;
}

static bool collect_answers(struct worker *worker) {
    bool any = false;
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(worker->multi, &left))) {
        struct place *place = NULL;
        CURLcode result = message->data.result; /* gone once the handle is removed */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&place);
        answered(worker, place, result);
        any = true;
    }
    return any;
}

/* Those that wait for a key try again now: the pool has changed. */
static void wake_starved(struct worker *worker) {
    for (unsigned i = 0; i < worker->in_flight_max; i++)
        if (worker->places[i].phase == PHASE_RESTING && worker->places[i].starved)
            worker->places[i].due_ms = 0;
}

/* Sleep until a socket is ready, a rest is over or, with nothing in flight, the pool changed. */
static void pause_until(struct worker *worker, uint64_t next_ms) {
    uint64_t now = now_ms();
    uint64_t ms = POLL_MS;
    if (next_ms != 0)
        ms = next_ms <= now ? 0 : next_ms - now < POLL_MS ? next_ms - now : POLL_MS;
    if (worker->flying > 0)
        curl_multi_poll(worker->multi, NULL, 0, (int)ms, NULL);
    else if (kb_wait(worker->call.reader, (int)ms) > 0)
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
        if (worker->call.feed && now >= worker->next_stats_ms) {
            worker->next_stats_ms = now + 1000;
            print_stats(worker);
        }
        if (!answered) /* else there is something to begin, or to try again */
            pause_until(worker, next_ms);
    }
}

/* ---- start and end ---- */

static int worker_init(struct worker *worker) {
    int error = kb_open(&worker->call.reader, worker->pool, &worker->options);
    if (error != 0)
        return error;
    worker->multi = curl_multi_init();
    worker->places = calloc(worker->in_flight_max, sizeof(*worker->places));
    if (!worker->multi || !worker->places)
        return KB_ENOMEM;
    curl_multi_setopt(worker->multi, CURLMOPT_MAXCONNECTS, (long)worker->in_flight_max);
    for (unsigned i = 0; i < worker->in_flight_max && error == 0; i++) {
        worker->places[i].phase = PHASE_DONE;
        error = request_init(&worker->places[i].request, &worker->call);
        if (error == 0)
            curl_easy_setopt(worker->places[i].request.easy, CURLOPT_PRIVATE, &worker->places[i]);
    }
    return error;
}

static void worker_deinit(struct worker *worker) {
    for (unsigned i = 0; worker->places && i < worker->in_flight_max; i++)
        request_deinit(&worker->places[i].request);
    free(worker->places);
    curl_multi_cleanup(worker->multi);
    kb_close(worker->call.reader);
}

static bool parse_arguments(struct worker *worker, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(word, "--stats") == 0 || strcmp(word, "--stream") == 0) {
            *(word[4] == 'a' ? &worker->call.feed : &worker->call.stream) = true;
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
            worker->call.model = value;
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
    if (error == 0 && worker.call.feed)
        error = feed_watcher_start(&watcher, worker.pool, &worker.options);
    if (error == 0)
        work(&worker);
    else
        fprintf(stderr, "worker: pool %s: %s\n", worker.pool, kb_strerror(error));
    feed_watcher_stop(watcher);
    if (error == 0 && worker.call.feed)
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
