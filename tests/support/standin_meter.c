/*
 * See standin_meter.h.
 */
#include "standin_meter.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEYS_MAX = 1024, KEY_SIZE = 256, REFUSALS_KEPT = 4096, RATE_WINDOW_MS = 2000 };

/* One key as the vendor sees it. 0 = never. */
struct meter {
    char key[KEY_SIZE];
    enum standin_class answer; /* to everything; STANDIN_SUCCESS = as below */
    bool revoked;
    int64_t quota; /* requests left; -1 = unlimited */
    int64_t rate;  /* requests per window; -1 = unlimited */
    uint64_t window_ns;
    uint64_t window_start_ns;
    int64_t window_used;
    uint64_t given[STANDIN_CLASSES]; /* answers by class */
    uint64_t last_good_ns;           /* arrival of the last request that was served */
    uint64_t bad_ns;                 /* arrival of the first refused one since then */
    uint64_t last_bad_ns;
    uint64_t refusals; /* so far; the last ones are in a ring */
    struct standin_times refused[REFUSALS_KEPT];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct meter *meters[KEYS_MAX];
static size_t meter_count;
static uint64_t unknown_count;
static uint64_t request_count;
static uint64_t latency_min_us = 5000;
static uint64_t latency_max_us = 20000;
static uint64_t overload_until_ns;
static enum standin_class answer_to_all; /* STANDIN_SUCCESS = by key */

uint64_t standin_now_ns(void) {
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

/* ---- judging ---- */

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

static enum standin_class class_of(struct meter *meter, uint64_t now) {
    if (answer_to_all != STANDIN_SUCCESS)
        return answer_to_all;
    if (meter->answer != STANDIN_SUCCESS)
        return meter->answer;
    if (meter->revoked)
        return STANDIN_INVALID;
    if (now < overload_until_ns)
        return STANDIN_OVERLOAD;
    if (meter->quota == 0)
        return STANDIN_QUOTA;
    return over_rate(meter, now) ? STANDIN_RATE : STANDIN_SUCCESS;
}

static void meter_count_answer(struct meter *meter, enum standin_class what,
                               struct standin_times times) {
    meter->given[what]++;
    if (what == STANDIN_SUCCESS) {
        meter->quota -= meter->quota > 0;
        meter->last_good_ns = times.arrived_ns;
        meter->bad_ns = 0;
        return;
    }
    meter->refused[meter->refusals++ % REFUSALS_KEPT] = times;
    meter->last_bad_ns = times.arrived_ns;
    if (meter->bad_ns == 0)
        meter->bad_ns = times.arrived_ns;
}

/* What the window has left, or a usual time where the meter was told to refuse. */
static uint64_t retry_ms(const struct meter *meter, uint64_t now) {
    uint64_t end_ns = meter->window_start_ns + meter->window_ns;
    return meter->rate >= 0 && end_ns > now ? (end_ns - now) / 1000000 + 1 : RATE_WINDOW_MS;
}

struct standin_judgement standin_judge(const char *key, struct standin_times times) {
    uint64_t now = standin_now_ns();
    struct standin_judgement judgement = { .what = STANDIN_INVALID };
    pthread_mutex_lock(&lock);
    struct meter *meter = meter_find(key);
    judgement.facts.serial = ++request_count;
    if (meter) {
        judgement.what = class_of(meter, now);
        meter_count_answer(meter, judgement.what, times);
        judgement.facts.limit = meter->rate;
        judgement.facts.used = meter->window_used;
        judgement.facts.retry_ms = retry_ms(meter, now);
    } else {
        unknown_count++;
    }
    uint64_t span_us = latency_max_us - latency_min_us;
    uint64_t extra_us = span_us ? (uint64_t)random() % (span_us + 1) : 0;
    judgement.due_ns = now + (latency_min_us + extra_us) * 1000;
    pthread_mutex_unlock(&lock);
    return judgement;
}

/* ---- control ---- */

struct arguments {
    const char *(*find)(void *userdata, const char *name);
    void *userdata;
};

static const char *argument(const struct arguments *arguments, const char *name) {
    return arguments->find(arguments->userdata, name);
}

static int64_t number(const struct arguments *arguments, const char *name, int64_t fallback) {
    const char *value = argument(arguments, name);
    return value && *value ? strtoll(value, NULL, 10) : fallback;
}

static unsigned control_answer(const struct arguments *arguments, enum standin_class *what) {
    const char *name = argument(arguments, "answer");
    enum standin_class found = name ? standin_class_named(name) : *what;
    if (found == STANDIN_CLASSES)
        return 400;
    *what = found;
    return 200;
}

static unsigned control_key(const struct arguments *arguments, bool revoke) {
    const char *key = argument(arguments, "key");
    struct meter *meter = key ? meter_make(key) : NULL;
    if (!meter)
        return 400;
    meter->revoked = revoke || number(arguments, "revoked", meter->revoked) != 0;
    meter->quota = number(arguments, "quota", meter->quota);
    meter->rate = number(arguments, "rate", meter->rate);
    int64_t window_ms = number(arguments, "window_ms", 0);
    if (window_ms > 0)
        meter->window_ns = (uint64_t)window_ms * 1000000;
    else if (meter->window_ns == 0)
        meter->window_ns = UINT64_C(60000000000);
    return control_answer(arguments, &meter->answer);
}

static unsigned control_latency(const struct arguments *arguments) {
    int64_t minimum = number(arguments, "min", -1);
    int64_t maximum = number(arguments, "max", minimum);
    if (minimum < 0 || maximum < minimum || maximum > 60000)
        return 400;
    latency_min_us = (uint64_t)minimum * 1000;
    latency_max_us = (uint64_t)maximum * 1000;
    return 200;
}

static void write_meter(FILE *out, const struct meter *meter) {
    const uint64_t *given = meter->given;
    fprintf(out,
            "{\"key\":\"%s\",\"revoked\":%s,\"quota\":%" PRId64 ",\"rate\":%" PRId64
            ",\"good\":%" PRIu64 ",\"invalid\":%" PRIu64 ",\"used_up\":%" PRIu64
            ",\"limited\":%" PRIu64 ",\"overloaded\":%" PRIu64 ",\"forbidden\":%" PRIu64
            ",\"mistaken\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"last_good_ns\":%" PRIu64
            ",\"bad_ns\":%" PRIu64 ",\"last_bad_ns\":%" PRIu64 "}",
            meter->key, meter->revoked ? "true" : "false", meter->quota, meter->rate,
            given[STANDIN_SUCCESS], given[STANDIN_INVALID], given[STANDIN_QUOTA],
            given[STANDIN_RATE] + given[STANDIN_RATE_IN_200],
            given[STANDIN_OVERLOAD] + given[STANDIN_OVERLOAD_IN_200] + given[STANDIN_LATE],
            given[STANDIN_PERMISSION], given[STANDIN_REQUEST],
            given[STANDIN_DEAD] + given[STANDIN_CUT], meter->last_good_ns, meter->bad_ns,
            meter->last_bad_ns);
}

static void write_stats(FILE *out) {
    fprintf(out,
            "{\"now_ns\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"unknown\":%" PRIu64 ",\"keys\":[",
            standin_now_ns(), request_count, unknown_count);
    for (size_t i = 0; i < meter_count; i++) {
        fputs(i ? "," : "", out);
        write_meter(out, meters[i]);
    }
    fputs("]}\n", out);
}

static void write_refusals(FILE *out, const struct meter *meter) {
    uint64_t first = meter->refusals > REFUSALS_KEPT ? meter->refusals - REFUSALS_KEPT : 0;
    fprintf(out, "{\"refusals\":%" PRIu64 ",\"at\":[", meter->refusals);
    for (uint64_t i = first; i < meter->refusals; i++) {
        const struct standin_times *times = &meter->refused[i % REFUSALS_KEPT];
        fprintf(out, "%s[%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", i > first ? "," : "",
                times->begun_ns, times->reached_ns, times->arrived_ns);
    }
    fputs("]}\n", out);
}

/* `key` NULL = of all. */
static unsigned show(const char *key, char **ret_text) {
    char *text = NULL;
    size_t size = 0;
    const struct meter *meter = key ? meter_find(key) : NULL;
    if (key && !meter)
        return 404;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return 500;
    if (meter)
        write_refusals(out, meter);
    else
        write_stats(out);
    fclose(out);
    *ret_text = text;
    return text ? 200 : 500;
}

unsigned standin_control(const char *what, const char *(*find)(void *userdata, const char *),
                         void *userdata, char **ret_text) {
    struct arguments arguments = { .find = find, .userdata = userdata };
    unsigned status = 404;
    pthread_mutex_lock(&lock);
    if (strcmp(what, "key") == 0) {
        status = control_key(&arguments, false);
    } else if (strcmp(what, "revoke") == 0) {
        status = control_key(&arguments, true);
    } else if (strcmp(what, "all") == 0) {
        status = control_answer(&arguments, &answer_to_all);
    } else if (strcmp(what, "latency") == 0) {
        status = control_latency(&arguments);
    } else if (strcmp(what, "overload") == 0) {
        overload_until_ns = standin_now_ns() + (uint64_t)number(&arguments, "ms", 0) * 1000000;
        status = 200;
    } else if (strcmp(what, "stats") == 0) {
        status = show(NULL, ret_text);
    } else if (strcmp(what, "refusals") == 0) {
        const char *key = argument(&arguments, "key");
        status = show(key ? key : "", ret_text);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void standin_set_latency_ms(uint64_t minimum, uint64_t maximum) {
    latency_min_us = minimum * 1000;
    latency_max_us = maximum * 1000;
}

void standin_meter_deinit(void) {
    for (size_t i = 0; i < meter_count; i++)
        free(meters[i]);
    meter_count = 0;
}
