/*
 * `make demo`: a pool of keys that fail one after the other under four workers that make real HTTP
 * requests. Starts everything in private directories, plays the script, prints a line a second,
 * ends by itself and leaves nothing running.
 *
 *     demo --build DIR [--seconds N] [--workers N] [--in-flight N]
 *
 * Exit code: 0 if keys failed over and no request failed while a key was usable, 1 if not, 130
 * after Ctrl-C.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "benched.h"
#include "script.h"
#include "stage.h"

enum { SECONDS = 20, TICK_MS = 1000 };

/* What one worker said last. */
struct tally {
    uint64_t ok, failed, failed_usable, retries;
};

struct demo {
    struct stage stage;
    struct failovers failovers;
    struct tally tallies[WORKERS_MAX];
    unsigned worker; /* whose lines are being read */
    uint64_t wasted; /* calls that the vendor refused, as it counted them */
    uint64_t served;
    struct benched benched;
    uint64_t answered_before; /* at the last line */
    uint64_t printed_ms;
    unsigned counted_before;
    CURL *control;
    int signals;
};

static int64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t now_ms(void) {
    return (uint64_t)clock_ns(CLOCK_MONOTONIC) / 1000000;
}

/* ---- the stand-in's control requests ---- */

struct text {
    size_t length;
    char bytes[512 * 1024]; /* 4096 refusals */
};

static size_t on_text(char *data, size_t size, size_t count, void *userdata) {
    struct text *text = userdata;
    size_t length = size * count;
    if (length > sizeof(text->bytes) - text->length)
        return 0;
    memcpy(text->bytes + text->length, data, length);
    text->length += length;
    return length;
}

static int control(struct demo *demo, const char *request, struct text *ret_text) {
    char url[512];
    snprintf(url, sizeof(url), "%s/control/%s", demo->stage.vendor_url, request);
    ret_text->length = 0;
    curl_easy_setopt(demo->control, CURLOPT_URL, url);
    curl_easy_setopt(demo->control, CURLOPT_WRITEFUNCTION, on_text);
    curl_easy_setopt(demo->control, CURLOPT_WRITEDATA, ret_text);
    curl_easy_setopt(demo->control, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(demo->control, CURLOPT_TIMEOUT_MS, 3000L);
    curl_easy_setopt(demo->control, CURLOPT_NOSIGNAL, 1L);
    CURLcode result = curl_easy_perform(demo->control);
    if (result == CURLE_OK)
        return 0;
    fprintf(stderr, "demo: the stand-in vendor does not answer: %s\n", curl_easy_strerror(result));
    return -1;
}

static uint64_t number(const json_t *object, const char *name) {
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static int read_vendor(struct demo *demo) {
    static struct text text;
    if (control(demo, "stats", &text) != 0)
        return -1;
    json_t *stats = json_loadb(text.bytes, text.length, 0, NULL);
    uint64_t wasted = number(stats, "unknown");
    uint64_t served = 0;
    size_t i;
    json_t *key;
    json_array_foreach(json_object_get(stats, "keys"), i, key) {
        wasted += number(key, "invalid") + number(key, "used_up") + number(key, "limited");
        served += number(key, "good");
    }
    demo->wasted = wasted;
    demo->served = served;
    json_decref(stats);
    return 0;
}

/* When a request chose its key the worker wrote into it; when it arrived the vendor knows. */
static int count_late(struct demo *demo, const char *key) {
    static struct text text;
    char request[128];
    snprintf(request, sizeof(request), "refusals?key=sk-demo-%s", key);
    if (control(demo, request, &text) != 0)
        return -1;
    json_t *refusals = json_loadb(text.bytes, text.length, 0, NULL);
    int64_t calendar_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
    size_t i;
    json_t *times;
    json_array_foreach(json_object_get(refusals, "at"), i, times) {
        int64_t at_ns[3];
        for (size_t j = 0; j < 3; j++)
            at_ns[j] = json_integer_value(json_array_get(times, j)) + calendar_ns;
        benched_judge(&demo->benched, key, at_ns[0], at_ns[1], at_ns[2]);
    }
    json_decref(refusals);
    return 0;
}

/* The vendor's record against the broker's. */
static int count_all_late(struct demo *demo, unsigned seconds) {
    static const char *const show_events[] = { "-j",          "show",       "events",
                                               "pool=openai", "limit=1000", NULL };
    char *text = stage_ask(&demo->stage, show_events);
    json_t *answer = text ? json_loads(text, 0, NULL) : NULL;
    bool told = answer != NULL;
    benched_read(&demo->benched, json_object_get(answer, "events"));
    json_decref(answer);
    free(text);
    if (!told)
        return -1;
    for (size_t i = 0; script_keys[i]; i++)
        if (count_late(demo, script_keys[i]) != 0)
            return -1;
    for (size_t i = 0; i < script_step_count; i++) {
        const struct step *step = &script_steps[i];
        if (step->input && step->at_ms < seconds * 1000 && count_late(demo, step->input) != 0)
            return -1;
    }
    return 0;
}

/* ---- what the workers say ---- */

static const char *word(const json_t *object, const char *name) {
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

static void on_line(void *userdata, const char *line) {
    struct demo *demo = userdata;
    json_t *said = json_loads(line, 0, NULL);
    const char *type = word(said, "type");
    uint64_t at_ns = number(said, "at_ns");
    if (strcmp(type, "stats") == 0) {
        demo->tallies[demo->worker] =
            (struct tally){ .ok = number(said, "ok"),
                            .failed = number(said, "failed"),
                            .failed_usable = number(said, "failed_usable"),
                            .retries = number(said, "retries") };
    } else if (strcmp(type, "report") == 0) {
        failovers_report(&demo->failovers, demo->worker, word(said, "key"), at_ns);
    } else if (strcmp(type, "switch") == 0) {
        failovers_switch(&demo->failovers, demo->worker, word(said, "from"), word(said, "to"),
                         at_ns);
    }
    json_decref(said);
}

static void read_worker(struct demo *demo, unsigned worker) {
    struct process *process = &demo->stage.workers[worker];
    demo->worker = worker;
    if (process->out >= 0 && !process_read_lines(process, on_line, demo)) {
        close(process->out);
        process->out = -1;
    }
}

static struct tally total(const struct demo *demo) {
    struct tally sum = { 0 };
    for (unsigned i = 0; i < demo->stage.worker_count; i++) {
        sum.ok += demo->tallies[i].ok;
        sum.failed += demo->tallies[i].failed;
        sum.failed_usable += demo->tallies[i].failed_usable;
        sum.retries += demo->tallies[i].retries;
    }
    return sum;
}

/* ---- what is printed ---- */

static void print_heading(const struct demo *demo, unsigned seconds) {
    if (demo->stage.console_url[0])
        printf(
            "To watch it in a browser, open this now (`make demo SECONDS=300` gives more time than "
            "%u s):\n  %s\n\n",
            seconds, demo->stage.console_url);
    printf(
        "A pool of 6 keys, %u worker processes with %u requests in flight each, and a vendor at "
        "%s\nthat answers in OpenAI's words. The broker and the workers log to build/demo.log.\n\n"
        "  time  requests/s  current key  failovers  calls wasted  report to last worker's "
        "switch\n",
        demo->stage.worker_count, demo->stage.in_flight, demo->stage.vendor_url);
    fflush(stdout);
}

static int print_line(struct demo *demo, uint64_t begun_ms) {
    if (read_vendor(demo) != 0)
        return -1;
    uint64_t now = now_ms();
    uint64_t span_ms = now - demo->printed_ms;
    uint64_t rate = (demo->served - demo->answered_before) * 1000 / (span_ms ? span_ms : 1);
    const char *key = demo->failovers.current[0];
    printf("  %2" PRIu64 " s  %10" PRIu64 "  %-11s  %9u  %12" PRIu64, (now - begun_ms + 500) / 1000,
           rate, *key ? key : "none", demo->failovers.count, demo->wasted);
    if (demo->failovers.count > demo->counted_before)
        printf("  %6" PRIu64 " µs", failovers_last_us(&demo->failovers));
    putchar('\n');
    fflush(stdout);
    demo->answered_before = demo->served;
    demo->counted_before = demo->failovers.count;
    demo->printed_ms = now;
    return 0;
}

/* Requests that a benched key should not have had. */
static void print_late(const struct demo *demo, uint64_t calls) {
    const struct benched *benched = &demo->benched;
    printf(
        "  %u of %" PRIu64 " requests reached the vendor with a key that the broker had benched "
        "more than %d ms before\n    (%u workers with %u in flight each; by the time stamps of the "
        "vendor's kernel and of the broker)\n",
        benched->reached, calls, GRACE_US / 1000, demo->stage.worker_count, demo->stage.in_flight);
    if (benched->reached > 0)
        printf("    of these, %u chose the key so late; the others had chosen it before, and their "
               "worker lost its turn\n    between choosing and sending; the last one came %" PRId64
               " µs after\n",
               benched->chosen, benched->latest_us);
    if (benched->taken > benched->reached)
        printf("    (%u more were in time, but waited so long in the stand-in vendor, which shares "
               "these processors)\n",
               benched->taken - benched->reached);
}

/* The summary; true if the demo showed what it is for. */
static bool print_summary(const struct demo *demo, uint64_t ran_ms, double publish_us) {
    struct tally sum = total(demo);
    const struct failovers *failovers = &demo->failovers;
    uint64_t calls = demo->served + demo->wasted;
    printf("\n  %" PRIu64 " requests answered in %" PRIu64 " s, %" PRIu64 " failed (%" PRIu64
           " of them while a key was usable)\n",
           sum.ok, (ran_ms + 500) / 1000, sum.failed, sum.failed_usable);
    printf("  %u failovers; from the report to the last of %u workers' switch: median %" PRIu64
           " µs, slowest %" PRIu64 " µs\n",
           failovers->count, demo->stage.worker_count, failovers_percentile_us(failovers, 50),
           failovers_percentile_us(failovers, 100));
    if (publish_us > 0)
        printf("    of that %.0f µs on average in the broker, from the report's arrival to the "
               "board that workers read\n",
               publish_us);
    printf("    (a switch is counted when a thread that slept in kb_wait has the next key, on "
           "cores that are\n    busy with the workers' HTTP)\n");
    printf("  %" PRIu64
           " calls wasted on a bad key (%.2f %%): on their way when it died; every one "
           "was retried\n",
           demo->wasted, calls ? 100.0 * (double)demo->wasted / (double)calls : 0);
    print_late(demo, calls);
    printf("  %s\n", sum.failed == 0 ? "No user request failed while another key was usable."
                                     : "User requests failed: see above.");
    return sum.failed == 0 && failovers->count > 0 && sum.ok > 0;
}

/* ---- the play ---- */

static int set_up_pool(struct demo *demo) {
    static struct text ignored;
    static const char *const add_pool[] = { "add", "pool", "openai", "vendor=openai", NULL };
    static const char *const rename_default[] = { "set",  "key",          "openai",
                                                  "key1", "name=primary", NULL };
    for (size_t i = 0; script_keys[i]; i++) {
        char request[128];
        char name[80];
        snprintf(request, sizeof(request), "key?key=sk-demo-%s", script_keys[i]);
        snprintf(name, sizeof(name), "name=%s", script_keys[i]);
        const char *const add_key[] = { "add", "key", "openai", name, NULL };
        if (control(demo, request, &ignored) != 0 ||
            stage_command(&demo->stage, i == 0 ? add_pool : add_key, script_keys[i]) != 0)
            return -1;
    }
    return stage_command(&demo->stage, rename_default, NULL);
}

static int play_step(struct demo *demo, const struct step *step) {
    static struct text ignored;
    printf("        » %s\n", step->says);
    fflush(stdout);
    if (step->vendor && control(demo, step->vendor, &ignored) != 0)
        return -1;
    return step->command[0] ? stage_command(&demo->stage, step->command, step->input) : 0;
}

/* Sleep until `until_ms`, reading what workers print. 0, -1, or 1 after a signal. */
static int listen_until(struct demo *demo, uint64_t until_ms) {
    unsigned workers = demo->stage.worker_count;
    for (uint64_t now = now_ms(); now < until_ms; now = now_ms()) {
        struct pollfd fds[WORKERS_MAX + 1];
        for (unsigned i = 0; i < workers; i++)
            fds[i] = (struct pollfd){ .fd = demo->stage.workers[i].out, .events = POLLIN };
        fds[workers] = (struct pollfd){ .fd = demo->signals, .events = POLLIN };
        int ready = poll(fds, workers + 1, (int)(until_ms - now));
        if (ready < 0 && errno != EINTR)
            return -1;
        for (unsigned i = 0; ready > 0 && i < workers; i++)
            if (fds[i].revents)
                read_worker(demo, i);
        if (ready > 0 && fds[workers].revents)
            return 1;
    }
    const char *casualty = stage_casualty(&demo->stage);
    if (casualty)
        fprintf(stderr, "demo: %s ended by itself; see %s\n", casualty, demo->stage.log);
    return casualty ? -1 : 0;
}

static int play(struct demo *demo, unsigned seconds) {
    uint64_t begun_ms = now_ms();
    uint64_t line_ms = begun_ms + TICK_MS;
    size_t step = 0;
    demo->printed_ms = begun_ms;
    while (line_ms <= begun_ms + seconds * 1000u) {
        bool scripted = step < script_step_count && begun_ms + script_steps[step].at_ms < line_ms;
        int result = listen_until(demo, scripted ? begun_ms + script_steps[step].at_ms : line_ms);
        if (result != 0)
            return result;
        if (scripted) {
            result = play_step(demo, &script_steps[step++]);
        } else {
            result = print_line(demo, begun_ms);
            line_ms += TICK_MS;
        }
        if (result != 0)
            return result;
    }
    return 0;
}

/* Let the workers finish what they have in flight and say their last word. */
static void end_workers(struct demo *demo) {
    for (unsigned i = 0; i < demo->stage.worker_count; i++)
        if (demo->stage.workers[i].pid > 0)
            kill(demo->stage.workers[i].pid, SIGTERM);
    for (unsigned i = 0; i < demo->stage.worker_count; i++) {
        process_stop(&demo->stage.workers[i], 5000);
        read_worker(demo, i);
    }
}

static int perform(struct demo *demo, const char *build, unsigned seconds) {
    uint64_t begun_ms = 0;
    int result = stage_open(&demo->stage, build);
    if (result == 0)
        result = stage_start_services(&demo->stage);
    if (result == 0)
        result = set_up_pool(demo);
    if (result == 0)
        result = stage_start_workers(&demo->stage);
    if (result == 0) {
        print_heading(demo, seconds);
        begun_ms = now_ms();
        result = play(demo, seconds);
    }
    uint64_t ran_ms = now_ms() - begun_ms;
    end_workers(demo);
    double publish_us = result == 0 ? stage_publish_us(&demo->stage) : 0;
    bool shown = result == 0 && read_vendor(demo) == 0 && count_all_late(demo, seconds) == 0 &&
                 print_summary(demo, ran_ms, publish_us);
    int closed = stage_close(&demo->stage);
    if (result > 0)
        return 130;
    if (closed != 0)
        fprintf(stderr, "demo: not everything ended as it should; see %s\n", demo->stage.log);
    return shown && closed == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    const char *build = NULL;
    unsigned seconds = SECONDS;
    static struct demo demo = { .stage = { .worker_count = 4, .in_flight = 8 } };
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--build") == 0)
            build = argv[i + 1];
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--workers") == 0)
            demo.stage.worker_count = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--in-flight") == 0)
            demo.stage.in_flight = (unsigned)strtoul(argv[i + 1], NULL, 10);
    }
    if (!build || seconds == 0 || demo.stage.worker_count == 0 ||
        demo.stage.worker_count > WORKERS_MAX || demo.stage.in_flight == 0) {
        fprintf(stderr, "usage: demo --build DIR [--seconds N] [--workers N] [--in-flight N]\n");
        return 2;
    }
    demo.failovers.workers = demo.stage.worker_count;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    demo.signals = signalfd(-1, &signals, SFD_CLOEXEC);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    demo.control = curl_easy_init();
    int code = demo.control && demo.signals >= 0 ? perform(&demo, build, seconds) : 1;
    curl_easy_cleanup(demo.control);
    curl_global_cleanup();
    if (code == 130)
        printf("\n  Interrupted; everything has ended.\n");
    return code;
}
